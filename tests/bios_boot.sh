#!/bin/bash
# bios_boot.sh UMBRA GUESTDIR WHERE: guest/bios/boot.S from a disk's first sector, through SeaBIOS: BIOS calls,
# real mode, resets. WHERE: soft, hybrid (with --engine kvm), or qemu, which tests the guest. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 boot=$2/bios_boot.bin where=$3
# shellcheck source=tests/guest_kit.sh
. "$(dirname "$0")/guest_kit.sh"
need_bios
tap_show+=("$dir/err")

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
[ $status -eq 99 ] && grep -q '^1\.\.13$' "$dir/out" && [ "$(grep -c '^ok ' "$dir/out")" -eq 13 ]
result $? "13 checks, exit status $status"
cmp "$dir/disk" "$dir/want"
result $? "the disk is as the guest wrote it"
if [ "$where" != qemu ]; then
    grep -q '^SeaBIOS' "$dir/screen"
    result $? "the BIOS is on the screen"
fi
done_testing
