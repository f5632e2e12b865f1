#!/bin/bash
# --stats tells page faults by cause and what the soft CPU asks for, and tools/bench/boot, which lives on that, says
# what it lacks. Prints TAP.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
top=$(cd "$(dirname "$0")/.." && pwd)

# total SECTION: all counts of one list.
total() {
    grep -o "\"$1\": \[[^]]*\]" "$dir/out" | grep -o '"count": [0-9]*' | awk '{ n += $2 } END { print n + 0 }'
}
# more NAME N: the first row of that name counts more than N.
more() {
    local n
    n=$(grep -o "\"name\": \"$1\", \"count\": [0-9]*" "$dir/out" | head -n 1 | grep -o '[0-9]*$')
    [ "${n:-0}" -gt "$2" ]
}

timeout 100 "$umbra" run "$guests/tinykernel.elf" -m 32M --engine soft -q --stats=json -o "$dir/out" \
    >"$dir/console" 2>"$dir/err" </dev/null
result $? 'a kernel with page tables of its own runs'
# Those met in the middle of a delivery are no traps of their own.
more 'page fault' 1000 && more 'page fault' $(($(total causes) / 2)) && ! more 'page fault' "$(total causes)"
result $? 'each page fault has a cause'
more "page fault: the guest's own" 100 && more 'page fault: guest table written' 100 &&
    more 'page fault: memory manager' 10 && more 'page fault: no shadow table' 10
result $? 'several of them'
more 'CR3 load' 100 && more 'INVLPG' 10 && more 'OUT' 10 && more 'interrupt acknowledged' 0 && more 'TLB refill' 100
result $? 'CR3 loads, INVLPGs, port writes, interrupts and TLB refills are told'

UMBRA_CACHE=$dir/none "$top/tools/bench/boot" >"$dir/out" 2>&1
[ $? -eq 1 ] && grep -q 'no image linux-686 in .*tools/fetch-images' "$dir/out"
result $? 'tools/bench/boot without images says how to fetch them'
"$top/tools/bench/boot" --rounds 0 >"$dir/out" 2>&1
[ $? -eq 2 ] && grep -q -- '--rounds wants a number' "$dir/out"
result $? '... and refuses what it does not know'
done_testing
