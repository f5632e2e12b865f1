#!/bin/bash
# linux_complaints.sh UMBRA TALK KERNEL: what Debian's kernel finds wrong with the machine (its warnings and
# worse), here and on a PC of QEMU's without ACPI. Whatever it says here it must say there too.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
command -v qemu-system-i386 >/dev/null || skip_all "no qemu-system-i386 (package qemu-system-x86)"
need "$kernel"
need_initramfs
words='console=ttyS0 cryptomgr.notests complaints off loglevel=3'

timeout 200 "$umbra" run "$(images_path "$kernel")/vmlinux" -m 64M --engine soft --timeout 180 \
    -initrd "$work/initramfs.gz" -append "$words" </dev/null >"$work/here.raw" 2>"$work/err"
result $? "boots and powers off here"
printf 'expect System halted\nstop\n' >"$work/script"
# The processor: what ours has and no more.
timeout 200 "$talk" -l 180 "$work/script" -- qemu-system-i386 -accel tcg -machine pc,acpi=off \
    -cpu pentium3,model=13,stepping=8,-mce,-mca,-mtrr,-vme,-pse36,+sse2,+nx -m 64 -display none -monitor none \
    -nodefaults -serial stdio -kernel "$(images_path "$kernel")/vmlinuz" -initrd "$work/initramfs.gz" -append "$words" \
    >"$work/there.raw" 2>>"$work/err"
result $? "boots and powers off on QEMU"

# Numbers are measurements and addresses.
for where in here there; do
    plain "$work/$where.raw" | sed -n 's/^complaint: //p' | sed 's/0x[0-9a-f]*/N/g; s/[0-9][0-9]*/N/g' |
        LC_ALL=C sort -u >"$work/$where"
done
LC_ALL=C comm -23 "$work/here" "$work/there" >"$work/more"
[ ! -s "$work/more" ]
result $? "nothing that QEMU does not show as well ($(wc -l <"$work/here") complaints here, $(wc -l <"$work/there") there)"
if [ $failed -ne 0 ]; then
    echo "# only here:"
    cat "$work/more"
    cat "$work/err"
    tail -n 20 "$work/here.raw" "$work/there.raw"
fi
done_testing
