#!/bin/bash
# HLT with interrupts off is the guest's end, also while an interrupt waits at the controller. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1
{
    printf '\xb0\x11\xe6\x20\xb0\x20\xe6\x21\xb0\x04\xe6\x21\xb0\x01\xe6\x21' # 8259: vectors at 20h
    printf '\xb0\xfe\xe6\x21'                                                 # IRQ 0 alone
    printf '\xb0\x34\xe6\x43\xb0\x00\xe6\x40\xb0\x10\xe6\x40'                 # 8254: channel 0, mode 2
    printf '\xb0\x0a\xe6\x20'                                                 # reads give the IRR
    printf '\xe4\x20\xa8\x01\x74\xfa'                                         # until IRQ 0 waits
    printf '\xf4'                                                             # hlt
} >"$dir/flat"
engines=('--engine soft')
if has_kvm; then
    engines+=('--engine kvm --ring0 soft' '--engine kvm --ring0 native')
else
    echo "# SKIPPED: on kvm: no usable /dev/kvm"
fi
for e in "${engines[@]}"; do
    # shellcheck disable=SC2086 # options
    timeout 60 "$umbra" run "$dir/flat" --flat -m 2M -q $e </dev/null >"$dir/out" 2>&1
    status=$?
    [ $status -eq 0 ]
    result $? "$e: exit status $status"
done
done_testing
