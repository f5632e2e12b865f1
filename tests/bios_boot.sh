#!/bin/bash
# bios_boot.sh UMBRA GUESTDIR WHERE: guest/bios/boot.S from a disk's first sector, through SeaBIOS: BIOS calls,
# real mode, resets. WHERE: soft, hybrid (with --engine kvm), or qemu, which tests the guest.
set -u
umbra=$1 boot=$2/bios_boot.bin where=$3
bios=/usr/share/seabios/bios.bin
case $where in
    qemu) command -v qemu-system-i386 >/dev/null || { echo "SKIP: no qemu-system-i386 (package qemu-system-x86)"; exit 77; } ;;
    *) [ -r $bios ] || { echo "SKIP: no $bios (package seabios)"; exit 77; } ;;
esac
if [ "$where" = hybrid ] && ! "$umbra" info --json | grep -q '"kvm": {"usable": true'; then
    echo "SKIP: no usable /dev/kvm on this host"
    exit 77
fi
dir=$(mktemp -d) || exit 1
trap 'rm -r "$dir"' EXIT
failed=0
fail() { echo "not ok - $*"; failed=1; }

seq -f '%0511.0f' 0 2047 >"$dir/disk"
dd if="$boot" of="$dir/disk" conv=notrunc status=none
cp "$dir/disk" "$dir/want"
head -c 512 /dev/zero | tr '\0' 'W' | dd of="$dir/want" bs=512 seek=200 conv=notrunc status=none

machine() { timeout -k 5 "${GUEST_LIMIT:-100}" "$umbra" run -hda "$dir/disk" -m 16M -q --display text --serial "$dir/out" --screen "$dir/screen" "$@"; }
case $where in
    soft) machine --engine soft >"$dir/err" 2>&1 </dev/null ;;
    hybrid) machine --engine kvm >"$dir/err" 2>&1 </dev/null ;;
    qemu)
        timeout -k 5 100 qemu-system-i386 -M isapc -accel tcg -m 16 -display none -monitor none \
            -drive "file=$dir/disk,format=raw" -serial "file:$dir/out" \
            -device isa-debug-exit,iobase=0xf4,iosize=4 >"$dir/err" 2>&1 </dev/null
        ;;
esac
status=$?
[ $status -eq 99 ] || fail "exit status $status"
grep -q '^1\.\.13$' "$dir/out" || fail "no plan"
[ "$(grep -c '^ok ' "$dir/out")" -eq 13 ] || fail "not 13 times ok"
cmp "$dir/disk" "$dir/want" || fail "the disk is not as the guest wrote it"
if [ "$where" != qemu ]; then
    grep -q '^SeaBIOS' "$dir/screen" || fail "nothing of the BIOS on the screen"
fi
if [ $failed -eq 0 ]; then echo "ok - bios_boot on $where"; else cat "$dir/err" "$dir/out"; fi
exit $failed
