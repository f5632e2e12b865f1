#!/bin/bash
# --pt of a guest with page tables: each verdict, held against tests/pt_rows.txt (addresses of frames
# and guest pages, and times, are masked). On each engine that is there. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 golden=$(dirname "$0")/pt_rows.txt

pt() { timeout 100 "$umbra" run "$guests/pt_states.elf" -m 32M -q -o "$dir/table" "$@" </dev/null; }
mask() {
    sed -E -e '/^(guest:|manager|W writable)/d' -e 's/ [0-9a-f]{9} / GPA       /' -e 's/ [0-9a-f]{5}        / FRAME        /' \
        -e 's/since trap [0-9]+ \([0-9.]+ s\)/since trap N (T s)/' "$dir/table"
}

engines=("--engine soft")
if has_kvm; then
    engines+=("--engine kvm --ring0 native" "--engine kvm --ring0 soft")
else
    echo "# SKIP the kvm engine: no usable /dev/kvm on this host"
fi
for e in "${engines[@]}"; do
    # shellcheck disable=SC2086 # words
    pt $e --pt 0x40000000-0x4040ffff
    mask | diff "$golden" -
    result $? "the rows with $e"
done
soft=(--engine soft --clock insn)
pt "${soft[@]}" --pt 0x40000000-0x4040ffff --json
grep -q '"linear": 1077936128, .*"since_trap": [1-9][0-9]*, "since_ns": [1-9][0-9]*, .*"verdict": "out-of-step"' "$dir/table"
result $? "as JSON, since when a table is out of step"
pt "${soft[@]}" --share=4 -append traps=2500 --pt 0x40014000-0x40016fff
grep -q '^40014000.* 2/2 *copy-on-write: shared, a write copies$' "$dir/table"
result $? "copy-on-write: two pages with one content"
pt "${soft[@]}" --pool 700k --zpool 32M -append fill=2000 --pt 0x1100000-0x1200000
grep -Eq '^01100000.* swap +- +- +s[0-9]+.*swapped out: to the compressed pool$' "$dir/table"
result $? "swapped out"

# cow and swapped are above, stale is in tests/test_pt.c.
pt "${soft[@]}" --pt 0x40000000-0x4040ffff --json
for v in untouched zero in-step not-faulted clean watched no-ram unmapped out-of-step; do
    grep -q "\"verdict\": \"$v\"" "$dir/table"
    result $? "verdict $v is among them"
done
done_testing
