# shellcheck shell=bash
# What tests of other people's kernels share. $1 and $2 of the script: umbra, talk.
# shellcheck source=tools/lib/images.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/images.sh"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034 # for those who source this
umbra=${1:?} talk=${2:?}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# shellcheck disable=SC2034 # for those who source this
failed=0
# result STATUS TEXT
# shellcheck disable=SC2034
result() {
    if [ "$1" -eq 0 ]; then echo "ok - $2"; else echo "not ok - $2"; failed=1; fi
}
has() { grep -aqE -- "$2" "$1"; result $? "$2"; }
hasnt() { ! grep -aqE -- "$2" "$1"; result $? "no line has: $2"; }

# need NAME...: images of the cache.
need() {
    local name
    for name; do
        [ -s "$(images_path "$name")/package" ] && continue
        echo "SKIPPED: no image $name in $images_dir; tools/fetch-images fetches it"
        exit 77
    done
}

need_initramfs() {
    need busybox
    "$top/tools/make-initramfs" "$work/initramfs.gz" || exit 1
}

# need_kvm MIPS: a KVM that is usable, and runs a tight loop at least that fast.
need_kvm() {
    local info
    info=$("$umbra" info --json)
    if ! grep -q '"kvm": {"usable": true' <<<"$info"; then
        echo "SKIPPED: no usable /dev/kvm on this host: $("$umbra" info | head -n 1)"
        exit 77
    fi
    kvm_mips=$(sed -n 's/.*"kvm_mips": \([0-9]*\).*/\1/p' <<<"$info")
    [ "${kvm_mips:-0}" -ge "$1" ] && return
    echo "SKIPPED: this host's KVM runs a tight loop at ${kvm_mips:-0} MIPS; this takes $1"
    exit 77
}

# Without carriage returns.
plain() { tr -d '\r' <"$1"; }
