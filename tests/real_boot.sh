#!/bin/bash
# real_boot.sh UMBRA GUESTDIR WHERE: guest/bios/real.S as an image of each old kind, started in real mode through
# SeaBIOS. WHERE: soft, hybrid (with --engine kvm), or qemu, which tests the guest. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 image=$2/bios_real.bin where=$3
# shellcheck source=tests/guest_kit.sh
. "$(dirname "$0")/guest_kit.sh"
need_bios
tap_show+=("$dir/err")
echo 'initrd of a test' >"$dir/initrd"

# patch FILE OFFSET BYTES: printf's escapes.
# shellcheck disable=SC2059 # they are meant
patch() { printf "$3" | dd of="$1" bs=1 seek=$(($2)) conv=notrunc status=none; }

# run NAME ARGS...: the image of that name, which has to be content.
run() {
    local name=$1 status
    shift
    case $where in
        soft | hybrid)
            timeout -k 5 "${GUEST_LIMIT:-100}" "$umbra" run "$dir/$name" -m 16M --display text --serial "$dir/out" \
                --engine "${where/hybrid/kvm}" "$@" >"$dir/screen" 2>"$dir/err" </dev/null ;;
        qemu)
            timeout -k 5 100 qemu-system-i386 -M isapc -accel tcg -m 16 -display none -monitor none \
                -kernel "$dir/$name" -serial "file:$dir/out" -device isa-debug-exit,iobase=0xf4,iosize=4 "$@" \
                >"$dir/err" 2>&1 </dev/null ;;
    esac
    status=$?
    [ $status -eq 99 ] && grep -q '^1\.\.9$' "$dir/out" && [ "$(grep -c '^ok ' "$dir/out")" -eq 9 ]
    result $? "$name: exit status $status"
}

cp "$image" "$dir/high"
run high -append 'real mode' -initrd "$dir/initrd"
# Without bit 0 of loadflags: a zImage.
cp "$image" "$dir/low"
patch "$dir/low" 0x211 '\0'
run low -append 'real mode' -initrd "$dir/initrd"
cp "$dir/low" "$dir/protocol-2.01"
patch "$dir/protocol-2.01" 0x206 '\1\2'
run protocol-2.01 -append 'real mode' -initrd "$dir/initrd"
cp "$image" "$dir/high-2.00"
patch "$dir/high-2.00" 0x206 '\0\2'
run high-2.00 -append 'real mode' -initrd "$dir/initrd"
# QEMU gives such a file no command line.
if [ "$where" != qemu ]; then
    cp "$dir/low" "$dir/before-2.00"
    patch "$dir/before-2.00" 0x202 'none'
    run before-2.00 -append 'real mode'
    grep -q '^umbra: .*/before-2.00: Linux (zImage, before protocol 2.00), in real mode, through ' "$dir/err"
    result $? "it is said what the image is"
    grep -q 'R$' "$dir/screen"
    result $? "the letter on the screen"
fi
done_testing
