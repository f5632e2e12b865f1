#!/bin/bash
# disk_guest.sh UMBRA GUESTDIR WHERE: guest/ide_test on disks made for it, and what it has left in their files.
# WHERE: soft, hybrid (user mode on kvm, kernel mode on soft) or qemu, which tests the guest.
set -u
umbra=$1 guest=$2/ide_test.elf where=$3
case $where in
    hybrid)
        if ! "$umbra" info --json | grep -q '"kvm": {"usable": true'; then
            echo "SKIP: no usable /dev/kvm on this host"
            exit 77
        fi
        ;;
    qemu) command -v qemu-system-i386 >/dev/null || { echo "SKIP: no qemu-system-i386 (package qemu-system-x86)"; exit 77; } ;;
esac
dir=$(mktemp -d) || exit 1
trap 'rm -r "$dir"' EXIT
failed=0
fail() { echo "not ok - $*"; failed=1; }

numbers() { # numbers SIZE FIRST LAST: sectors of SIZE bytes that are their own numbers
    seq -f "%0$(($1 - 1)).0f" "$2" "$3"
}
numbers 512 0 2047 >"$dir/fresh"
numbers 2048 0 39 >"$dir/cd"
cp "$dir/fresh" "$dir/disk"
{ numbers 512 0 99 && numbers 512 1100 1139 && numbers 512 140 2047; } >"$dir/want"

run() { # run DRIVE...
    case $where in
        soft) timeout -k 5 100 "$umbra" run "$guest" -m 16M --engine soft -q "$@" >"$dir/out" 2>&1 </dev/null ;;
        hybrid) timeout -k 5 100 "$umbra" run "$guest" -m 16M --engine kvm --ring0 soft -q "$@" >"$dir/out" 2>&1 </dev/null ;;
        qemu)
            timeout -k 5 100 qemu-system-i386 -accel tcg -m 16 -display none -monitor none -no-reboot -nodefaults \
                -kernel "$guest" -append exit=qemu -serial file:"$dir/out" \
                -device isa-debug-exit,iobase=0xf4,iosize=4 "$@" </dev/null
            [ $? -eq 99 ]
            ;;
    esac
    local status=$?
    if [ $status -ne 0 ] || grep -q '^not ok' "$dir/out" || ! grep -q '^1\.\.' "$dir/out"; then
        fail "$*: exit status $status"
        cat "$dir/out"
    fi
}

run -drive "file=$dir/disk,format=raw,snapshot=on" -cdrom "$dir/cd"
cmp "$dir/disk" "$dir/fresh" || fail "a disk with an overlay was written"
run -drive "file=$dir/disk,format=raw" -drive "file=$dir/cd,format=raw,media=cdrom,index=2"
cmp "$dir/disk" "$dir/want" || fail "the disk's file is not as the guest wrote it"
[ $failed -eq 0 ] && echo "ok - ide_test on $where: $(grep -c '^ok' "$dir/out") checks"
exit $failed
