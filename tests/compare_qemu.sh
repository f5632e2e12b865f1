#!/bin/bash
# Umbra's guest page tables against a real QEMU's, read through libvirt: the same image on both, saved,
# compared; and differences that were planted, each of its kind. Prints TAP. Exit status 77 (skipped),
# with the reason, where libvirt or QEMU is missing.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$(readlink -f "$1") guests=$(readlink -f "$2")
# shellcheck source=tests/lv_kit.sh
. "$(dirname "${BASH_SOURCE[0]}")/lv_kit.sh"
lv_begin umbra-test
rmdir "$dir"
dir=$lv_dir vm=''
cleanup() {
    [ -z "$vm" ] || kill "$vm" 2>/dev/null
    wait 2>/dev/null
    lv_end
}
trap cleanup EXIT
tap_show=("$dir/out") tap_lines=30
cp "$guests/mmu_stay.elf" "$dir/image.elf"
chmod 644 "$dir/image.elf"

ready() { # FILE: wait for the guest
    for _ in {1..600}; do grep -qs '^ready' "$1" && return 0; sleep 0.1; done
    return 1
}

ours() { # NAME APPEND ENGINE-OPTIONS...: the tables of our machine, saved as NAME
    local name=$1 append=$2
    shift 2
    rm -f "$dir/serial"
    "$umbra" run "$dir/image.elf" -m 16M -append "$append" "$@" -q --control "$dir/sock" --timeout 120 \
        >"$dir/serial" 2>"$dir/out" </dev/null &
    vm=$!
    ready "$dir/serial" && "$umbra" pt save "$dir/$name" --socket "$dir/sock" >"$dir/out" 2>&1
    local rc=$?
    "$umbra" ctl --socket "$dir/sock" quit >/dev/null 2>&1
    wait $vm
    vm=''
    return $rc
}

lv_run "$dir/image.elf" 16 plant=0
ready "$dir/home/serial"
result $? 'the guest runs on QEMU, under libvirt'
lv "$umbra" pt save --libvirt "$lv_uri" "$lv_name" "$dir/home/qemu"
result $? 'its page tables are saved'
lv "$umbra" pt save --libvirt "$lv_uri" stranger "$dir/home/none"
[ $? -eq 2 ] && grep -q stranger "$dir/out"
result $? 'a domain that is not there: exit code 2, named'

compare() { "$umbra" pt compare "$dir/$1" "$dir/home/qemu" "${@:2}" >"$dir/out" 2>&1; }
ours soft plant=0 --engine soft && compare soft && grep -qE '^(the same|no unexplained differences)' "$dir/out"
result $? 'soft: no unexplained difference to QEMU'
if has_kvm; then
    ours kvm plant=0 --engine kvm --ring0 soft && compare kvm && grep -qE '^(the same|no unexplained)' "$dir/out"
    result $? 'kvm: no unexplained difference to QEMU'
else
    echo "# SKIPPED: on kvm: no usable /dev/kvm"
fi
plant() { # N KIND WHAT
    ours planted "plant=$1" --engine soft && { compare planted; [ $? -eq 1 ]; } && grep -q "$2" "$dir/out"
    result $? "planted: $3"
}
plant 1 'rights' 'a right'
plant 2 'page' 'another page'
plant 3 'only-a' 'a mapping more'
ours planted plant=4 --engine soft && compare planted && grep -q 'accessed or dirty (may differ)' "$dir/out"
result $? 'planted: accessed alone may differ, and is told'
done_testing
