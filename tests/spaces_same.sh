#!/bin/bash
# Guests whose memory the monitor manages find the same on every engine: their results are compared
# word by word. Prints TAP; skips, and says so, without a usable /dev/kvm.
set -u
umbra=$1 guests=$2
"$umbra" info --json | grep -q '"kvm": {"usable": true' || { echo "1..0 # SKIP no usable /dev/kvm on this host"; exit 77; }
count=0 bad=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

for image in "$guests"/mm_*.elf; do
    "$umbra" test "$image" --engine soft >"$dir/soft" 2>&1
    for ring0 in native soft; do
        "$umbra" test "$image" --engine kvm --ring0 $ring0 --timeout 120 >"$dir/kvm" 2>&1
        count=$((count + 1))
        if diff "$dir/soft" "$dir/kvm" >"$dir/diff"; then
            echo "ok $count - $(basename "$image" .elf): kvm with ring 0 $ring0 as soft"
        else
            bad=$((bad + 1))
            echo "not ok $count - $(basename "$image" .elf): kvm with ring 0 $ring0 differs from soft"
            sed 's/^/# /' "$dir/diff"
        fi
    done
done
echo "1..$count"
[ $bad -eq 0 ]
