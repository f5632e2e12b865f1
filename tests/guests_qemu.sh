#!/bin/bash
# guests_qemu.sh GUESTDIR [NAME...]: the guests with page tables on a machine that is not ours. They test
# the monitor's MMU; this tests the guests. Ends with 77, and says so, where there is no QEMU.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
guests=$1 out=$dir/out
shift
command -v qemu-system-i386 >/dev/null || skip_all "no qemu-system-i386 (package qemu-system-x86)"
[ $# -gt 0 ] || set -- mmu_access mmu_rights mmu_ad mmu_pse mmu_large mmu_global mmu_flush mmu_self mmu_split mmu_df \
    mmu_pae mmu_roots mmu_wild mmu_fuzz tlb_bugs tinykernel dev_vga dev_apic dev_board dev_ring3
run() { # run NAME CPU
    timeout -k 2 60 qemu-system-i386 -accel tcg -cpu "$2" -m 16 -display none -monitor none -no-reboot -nodefaults \
        -vga std -kernel "$guests/$1.elf" -append "exit=qemu" -serial file:"$out" \
        -device isa-debug-exit,iobase=0xf4,iosize=4 </dev/null
    local status=$?
    # 99 is the clean end; a plan must be there, and no line that is not ok.
    [ $status -eq 99 ] && grep -q '^1\.\.' "$out" && ! grep -q '^not ok' "$out"
    result $? "$1 on $2: exit status $status, $(grep -c '^ok' "$out") checks"
}
for guest; do
    for cpu in max pentium3; do run "$guest" $cpu; done
done
done_testing
