#!/bin/sh
# guest_on_qemu.sh HELLO.elf: does another loader of Multiboot images see our guest as we mean it?
# Checks what hello prints of its command line and modules, and the end by the exit port.
set -u
image=$1
command -v qemu-system-i386 >/dev/null || { echo "SKIP: no qemu-system-i386 (package qemu-system-x86)"; exit 77; }

dir=$(mktemp -d) || exit 1
trap 'rm -r "$dir"' EXIT
printf 'hello' >"$dir/m0"
printf '%5000s' x >"$dir/m1"

timeout 30 qemu-system-i386 -accel tcg -m 16 -display none -monitor none -no-reboot -nodefaults \
    -kernel "$image" -append "exit=5 word" -initrd "$dir/m0 a b,$dir/m1" \
    -serial file:"$dir/out" -device isa-debug-exit,iobase=0xf4,iosize=4 </dev/null
status=$?

failed=0
check() {
    if grep -qE "$1" "$dir/out"; then echo "ok - $1"; else echo "not ok - $1"; failed=1; fi
}
check "^Hello from an i386 guest\.$"
check "^command line: \"$image exit=5 word\"$"
check "^memory: 00000000-0009fbff RAM$"
check "^module 0: [0-9a-f]{5}000-[0-9a-f]{5}004 \"$dir/m0 a b\"$"
check "^module 1: [0-9a-f]{5}000-[0-9a-f]{5}387 \"$dir/m1\"$"
check "^hypercalls: nobody answers$"
if [ $status -eq 11 ]; then echo "ok - exit status 11"; else echo "not ok - exit status $status, not 11"; failed=1; fi
[ $failed -eq 0 ] || cat "$dir/out"
exit $failed
