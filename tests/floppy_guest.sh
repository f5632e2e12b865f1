#!/bin/bash
# floppy_guest.sh UMBRA GUESTDIR WHERE: guest/fdc_test on a diskette made for it, and what it has left in its file.
# WHERE: soft, hybrid (user mode on kvm, kernel mode on soft) or qemu, which tests the guest.
set -u
umbra=$1 guest=$2/fdc_test.elf where=$3
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
numbers() { seq -f '%0511.0f' "$1" "$2"; } # sectors that are their own numbers

numbers 0 2879 >"$dir/fresh"
{
    numbers 0 99
    numbers 1100 1103
    numbers 104 2843
    if [ "$where" = qemu ]; then numbers 2844 2861; else head -c $((18 * 512)) /dev/zero | tr '\0' F; fi
    numbers 2862 2879
} >"$dir/want"

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

cp "$dir/fresh" "$dir/disk"
run -drive "file=$dir/disk,format=raw,if=floppy,snapshot=on"
cmp "$dir/disk" "$dir/fresh" || fail "a diskette with an overlay was written"
run -drive "file=$dir/disk,format=raw,if=floppy"
cmp "$dir/disk" "$dir/want" || fail "the diskette's file is not as the guest wrote it"

# Through SeaBIOS: a diskette's boot sector says which size INT 13h tells, and what its last sector is.
boot() { # boot NAME SECTORS CYLINDERS HEADS SECTORS-OF-A-TRACK
    numbers 0 $(($2 - 1)) >"$dir/$1"
    dd if="$boot" of="$dir/$1" conv=notrunc status=none
    case $where in
        soft) timeout -k 5 60 "$umbra" run -fda "$dir/$1" -m 4M --engine soft -q --display text --serial "$dir/out" >"$dir/err" 2>&1 </dev/null ;;
        hybrid) timeout -k 5 60 "$umbra" run -fda "$dir/$1" -m 4M --engine kvm -q --display text --serial "$dir/out" >"$dir/err" 2>&1 </dev/null ;;
        qemu) timeout -k 5 60 qemu-system-i386 -M isapc -accel tcg -m 4 -display none -monitor none -nodefaults \
            -drive "file=$dir/$1,format=raw,if=floppy" -serial "file:$dir/out" \
            -device isa-debug-exit,iobase=0xf4,iosize=4 >"$dir/err" 2>&1 </dev/null ;;
    esac
    [ $? -eq 33 ] || fail "$1: exit status"
    printf '%d cylinders, %d heads, %d sectors\n%08d\n%08d\nwritten\n' "$3" "$4" "$5" "$(($5 * $4 + 1))" "$(($2 - 1))" >"$dir/says"
    cmp "$dir/out" "$dir/says" || { fail "$1: what the boot sector says"; cat "$dir/out" "$dir/err"; }
    [ "$(dd if="$dir/$1" bs=512 skip=$(($2 - 1)) count=1 status=none | head -c 9)" = BOOTBOOTB ] || fail "$1: its last sector is not written"
}
boot=$2/bios_floppy.bin
if [ -r /usr/share/seabios/bios.bin ]; then
    boot 1440k 2880 80 2 18
    [ "$where" != soft ] || { boot 720k 1440 80 2 9; boot 1200k 2400 80 2 15; boot 360k 720 40 2 9; boot 2880k 5760 80 2 36; }
else
    echo "SKIP of the part with a BIOS: no /usr/share/seabios/bios.bin (package seabios)"
fi

# GRUB as it lies on a floppy: its boot sector finds out by itself how many sectors a track has.
grub=/usr/lib/grub/i386-pc
if [ "$where" = soft ] && [ -r /usr/share/seabios/bios.bin ] && [ -r $grub/boot.img ] && command -v grub-mkimage >/dev/null; then
    cp "$2/hello.elf" "$dir/hello.elf" && strip "$dir/hello.elf" && tar -C "$dir" -cf "$dir/md.tar" hello.elf
    printf 'serial\nterminal_output serial\nls (fd0)\nmultiboot (memdisk)/hello.elf exit=5\nboot\n' >"$dir/grub.cfg"
    if grub-mkimage -O i386-pc -o "$dir/core.img" -c "$dir/grub.cfg" -m "$dir/md.tar" -p '(memdisk)/' \
        biosdisk memdisk tar serial terminal ls multiboot boot >"$dir/err" 2>&1; then
        cat $grub/boot.img "$dir/core.img" >"$dir/grub"
        truncate -s 1440k "$dir/grub"
        timeout -k 5 100 "$umbra" run -fda "$dir/grub" -m 32M -q >"$dir/out" 2>"$dir/err" </dev/null
        status=$?
        if [ $status -ne 11 ] || ! grep -aq 'Total size' "$dir/out" || ! grep -aq 'Hello from an i386 guest' "$dir/out"; then
            fail "GRUB from a floppy: exit status $status"
            cat "$dir/out" "$dir/err"
        fi
    else
        fail "grub-mkimage: $(cat "$dir/err")"
    fi
elif [ "$where" = soft ]; then
    echo "SKIP of GRUB: no $grub/boot.img or grub-mkimage (packages grub-pc-bin, grub-common)"
fi
[ $failed -eq 0 ] && echo "ok - diskettes on $where"
exit $failed
