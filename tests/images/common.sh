# shellcheck shell=bash
# What tests of other people's kernels share. $1 and $2 of the script: umbra, talk.
# shellcheck source=tools/lib/images.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/images.sh"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034 # for those who source this
umbra=${1:?} talk=${2:?}

# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
work=$dir tap_show=()
has() { grep -aqE -- "$2" "$1"; result $? "$2"; }
hasnt() { ! grep -aqE -- "$2" "$1"; result $? "no line has: $2"; }

# need NAME...: images of the cache.
need() {
    local name
    for name; do
        [ -s "$(images_path "$name")/package" ] && continue
        skip_all "no image $name in $images_dir; tools/fetch-images fetches it"
    done
}

need_initramfs() {
    need busybox
    "$top/tools/make-initramfs" "$work/initramfs.gz" || exit 1
}

# Without carriage returns.
plain() { tr -d '\r' <"$1"; }
