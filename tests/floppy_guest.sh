#!/bin/bash
# floppy_guest.sh UMBRA GUESTDIR WHERE: guest/fdc_test on a diskette made for it, and what it has left in its file. Prints TAP.
# WHERE: soft, hybrid or qemu (guest_kit.sh).
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guest=$2/fdc_test.elf where=$3
# shellcheck source=tests/guest_kit.sh
. "$(dirname "$0")/guest_kit.sh"
numbers() { seq -f '%0511.0f' "$1" "$2"; } # sectors that are their own numbers

numbers 0 2879 >"$dir/fresh"
{
    numbers 0 99
    numbers 1100 1103
    numbers 104 2843
    if [ "$where" = qemu ]; then numbers 2844 2861; else head -c $((18 * 512)) /dev/zero | tr '\0' F; fi
    numbers 2862 2879
} >"$dir/want"

cp "$dir/fresh" "$dir/disk"
run_tap "a diskette with an overlay" "$guest" -drive "file=$dir/disk,format=raw,if=floppy,snapshot=on"
cmp "$dir/disk" "$dir/fresh"
result $? "its file is as it was"
run_tap "a diskette without" "$guest" -drive "file=$dir/disk,format=raw,if=floppy"
cmp "$dir/disk" "$dir/want"
result $? "its file is as the guest wrote it"

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
    [ $? -eq 33 ]
    result $? "$1: exit status"
    printf '%d cylinders, %d heads, %d sectors\n%08d\n%08d\nwritten\n' "$3" "$4" "$5" "$(($5 * $4 + 1))" "$(($2 - 1))" >"$dir/says"
    cmp "$dir/out" "$dir/says"
    result $? "$1: what the boot sector says"
    [ "$(dd if="$dir/$1" bs=512 skip=$(($2 - 1)) count=1 status=none | head -c 9)" = BOOTBOOTB ]
    result $? "$1: its last sector is written"
}
boot=$2/bios_floppy.bin
if [ -r /usr/share/seabios/bios.bin ]; then
    boot 1440k 2880 80 2 18
    [ "$where" != soft ] || { boot 720k 1440 80 2 9; boot 1200k 2400 80 2 15; boot 360k 720 40 2 9; boot 2880k 5760 80 2 36; }
else
    skip "through a BIOS" "no /usr/share/seabios/bios.bin (package seabios)"
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
        [ $status -eq 11 ] && grep -aq 'Total size' "$dir/out" && grep -aq 'Hello from an i386 guest' "$dir/out"
        result $? "GRUB from a floppy: exit status $status"
    else
        result 1 "grub-mkimage: $(cat "$dir/err")"
    fi
elif [ "$where" = soft ]; then
    skip "GRUB from a floppy" "no $grub/boot.img or grub-mkimage (packages grub-pc-bin, grub-common), or no BIOS"
fi
done_testing
