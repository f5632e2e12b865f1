#!/bin/bash
# guests_qemu.sh GUESTDIR [NAME...]: the guests with page tables on a machine that is not ours. They test
# the monitor's MMU; this tests the guests. Ends with 77, and says so, where there is no QEMU.
set -u
dir=$1
shift
command -v qemu-system-i386 >/dev/null || { echo "SKIP: no qemu-system-i386 (package qemu-system-x86)"; exit 77; }
[ $# -gt 0 ] || set -- mmu_access mmu_rights mmu_ad mmu_pse mmu_large mmu_global mmu_flush mmu_self mmu_split mmu_df \
    mmu_pae mmu_roots mmu_wild mmu_fuzz tlb_bugs tinykernel dev_vga dev_apic dev_board dev_ring3
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
failed=0
run() { # run NAME CPU
    timeout -k 2 60 qemu-system-i386 -accel tcg -cpu "$2" -m 16 -display none -monitor none -no-reboot -nodefaults \
        -vga std -kernel "$dir/$1.elf" -append "exit=qemu" -serial file:"$out" \
        -device isa-debug-exit,iobase=0xf4,iosize=4 </dev/null
    local status=$?
    # 99 is the clean end; a plan must be there, and no line that is not ok.
    if [ $status -eq 99 ] && grep -q '^1\.\.' "$out" && ! grep -q '^not ok' "$out"; then
        echo "ok - $1 on $2: $(grep -c '^ok' "$out") checks"
    else
        echo "not ok - $1 on $2: exit status $status"
        grep -v '^ok' "$out" | head -n 20
        failed=1
    fi
}
for guest; do
    for cpu in max pentium3; do run "$guest" $cpu; done
done
exit $failed
