#!/bin/bash
# Guests whose memory the monitor manages find the same on every engine: their results are compared
# word by word. Prints TAP; skips, and says so, without a usable /dev/kvm.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
need_kvm
tap_show=("$dir/diff")

for image in "$guests"/mm_*.elf; do
    "$umbra" test "$image" --engine soft >"$dir/soft" 2>&1
    for ring0 in native soft; do
        "$umbra" test "$image" --engine kvm --ring0 $ring0 --timeout 120 >"$dir/kvm" 2>&1
        diff "$dir/soft" "$dir/kvm" >"$dir/diff"
        result $? "$(basename "$image" .elf): kvm with ring 0 $ring0 as soft"
    done
done
done_testing
