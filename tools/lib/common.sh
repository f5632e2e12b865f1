# shellcheck shell=bash
# What the scripts of tools/ share: where we are, how to speak, steps with time limits.
# Source it with $me set to the script's name.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
cd "$root" || exit 1

say() { printf '%s: %s\n' "${me:?}" "$*"; }
warn() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { warn "$*"; exit 1; }

# limited SECONDS CMD...: run CMD without standard input; 124 or 137 when time was up. The command is
# a process group of its own, and an interrupt of the script ends that group at once.
limited_pid=''
limited() {
    local limit=$1 rc
    shift
    timeout --kill-after=10 "$limit" "$@" </dev/null &
    limited_pid=$!
    wait "$limited_pid"
    rc=$?
    limited_pid=''
    return "$rc"
}

on_signal() {
    [ -z "$limited_pid" ] || kill -TERM "$limited_pid" 2>/dev/null
    warn "interrupted"
    exit "$1"
}
trap 'on_signal 129' HUP
trap 'on_signal 130' INT
trap 'on_signal 143' TERM

# build_preset NAME [TARGET...]: configure and build; output goes to build/logs/NAME.build.log.
build_preset() {
    local preset=$1 log=build/logs/$1.build.log rc targets=()
    shift
    [ $# -eq 0 ] || targets=(--target "$@")
    mkdir -p build/logs
    { limited 120 cmake --preset "$preset" &&
        limited "${BUILD_LIMIT:-900}" cmake --build --preset "$preset" "${targets[@]}" -- -j "$(nproc)"; } \
        >"$log" 2>&1
    rc=$?
    [ $rc -eq 0 ] || { tail -n 60 "$log"; warn "building $preset failed (status $rc); all of it: $log"; }
    return $rc
}

# Can a KVM virtual machine be made here? Prints why not.
kvm_missing() {
    if [ ! -e /dev/kvm ]; then
        echo "/dev/kvm is not there"
    elif [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
        echo "no permission for /dev/kvm (run as root, or join the group that owns it)"
    else
        return 1
    fi
}
