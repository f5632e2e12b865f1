#!/bin/bash
# shutdown.sh UMBRA: a processor that shuts down: without a BIOS the machine ends, with one it is reset, and what
# happened is told. A program that switches 64-bit mode on, and one that just has no IDT.
set -u
umbra=$1
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"

# lidt of six zeros at the program's end (0x100040); mov ecx, c0000080; xor edx, edx; mov eax, EFER; wrmsr; ud2
program() { # EFER: two bytes as printf has them, lowest first
    printf '\x0f\x01\x1d\x40\x00\x10\x00\xb9\x80\x00\x00\xc0\x31\xd2\xb8%b\x00\x00\x0f\x30\x0f\x0b' "$1"
    head -c 100 /dev/zero
}
program '\x00\x01' >"$dir/long"
program '\x00\x00' >"$dir/plain"
text='switching 64-bit mode on, which an i386 does not have'
expect 4 "triple fault: vector 13 .*; it was $text: take an image for i386" "64-bit mode, without a BIOS" \
    run "$dir/long" --flat --engine soft -m 4M
expect 4 'triple fault: vector 13 ' "no IDT, without a BIOS" run "$dir/plain" --flat --engine soft -m 4M
! grep -q "$text" "$dir/err"
result $? "and nothing of 64 bits is said there"

if [ -r /usr/share/seabios/bios.bin ]; then
    # A boot sector: the same in real mode, with an IDT of no length: lidt cs:[0x7c40].
    { printf '\x2e\x0f\x01\x1e\x40\x7c\x66\xb9\x80\x00\x00\xc0\x66\x31\xd2\x66\xb8\x00\x01\x00\x00\x0f\x30'
        head -c 487 /dev/zero
        printf '\x55\xaa'
        head -c 65024 /dev/zero; } >"$dir/disk"
    expect 7 "umbra: [1-9][0-9]* times the processor shut down and was reset, at last: triple .*$text" \
        "64-bit mode, from a disk" run -hda "$dir/disk" -snapshot --engine soft -m 4M --timeout 4
    expect 4 "the guest's processor shut down: .*$text" "and it ends where that is asked for" \
        run -hda "$dir/disk" -snapshot --engine soft -m 4M --timeout 20 --no-reboot
else
    skip "64-bit mode, from a disk" "no /usr/share/seabios/bios.bin (package seabios)"
fi
done_testing
