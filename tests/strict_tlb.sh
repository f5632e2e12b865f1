#!/bin/bash
# --strict-tlb: each planted bug of guest/tlb_bugs.c is found, where it is; and correct guests get no
# report. Prints TAP. With a third word "short", tinykernel is left out, which is slow under sanitizers.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 short=${3:-}

strict() { # GUEST ARGS...: both outputs to $dir/out
    local g=$1
    shift
    timeout 300 "$umbra" run "$guests/$g.elf" -m 32M --clock insn -q "$@" >"$dir/out" 2>&1 </dev/null
}
# The first report as "LA OLD NEW", A and D left aside where nothing else has changed but in "clean".
report() { sed -n -E 's/^strict-tlb: EIP [0-9a-f]+: [a-z]+ [a-z]+ of ([0-9a-f]{8}) .*was ([0-9a-f]+), is ([0-9a-f]+);.*/\1 \2 \3/p' "$dir/out"; }
without_ad() { # LA OLD NEW
    printf '%s %x %x\n' "$1" $((0x$2 & ~0x60)) $((0x$3 & ~0x60))
}

bugs=$("$umbra" run "$guests/tlb_bugs.elf" -m 32M --engine soft -q -append bug=list </dev/null | grep -v -e needless -e no_flush_needed)
[ "$(wc -w <<<"$bugs")" -ge 15 ]
result $? "the guest names its bugs"
for b in $bugs; do
    strict tlb_bugs --strict-tlb -append "bug=$b"
    told=$(report)
    want=$(sed -n -E "s/^# bug $b: la ([0-9a-f]+) old ([0-9a-f]+) new ([0-9a-f]+)/\1 \2 \3/p" "$dir/out")
    if [ "$b" != clean ]; then
        # shellcheck disable=SC2086 # words
        [ "$(wc -l <<<"$told")" -eq 1 ] && [ -n "$told" ] && told=$(without_ad $told) want=$(without_ad $want)
    fi
    [ -n "$told" ] && [ "$told" = "$want" ] && grep -q '^strict-tlb: 1 use' "$dir/out"
    result $? "$b is found: $told"
done

strict tlb_bugs --strict-tlb
[ -z "$(report)" ] && ! grep -q '^not ok' "$dir/out"
result $? "the same work done right gets no report"
strict tlb_bugs --strict-tlb -append bug=needless_invlpg --stats
grep -Eq 'INVLPGs of what was not cached +[1-9]' "$dir/out" && grep -Eq 'INVLPGs of what had not changed +[1-9]' "$dir/out"
result $? "needless INVLPGs are counted"
grep -Eq 'CR3 loads for nothing +[1-9]' "$dir/out" && grep -Eq 'uses that leave A clear +[1-9]' "$dir/out"
result $? "needless loads of CR3 are counted, and uses that leave A clear"

for g in tinykernel mmu_access mmu_ad mmu_df mmu_flush mmu_large mmu_pae mmu_pse mmu_rights mmu_self mmu_split mmu_wild; do
    [ -f "$guests/$g.elf" ] || continue
    [ "$short$g" != shorttinykernel ] || { echo "# tinykernel: left out"; continue; }
    strict "$g" --strict-tlb -append step=20
    grep -q '^strict-tlb: 0 uses' "$dir/out" && ! grep -q '^not ok' "$dir/out"
    result $? "no report on $g"
done
# It shows that a global page outlives CR3, by using the old entry, once.
strict mmu_global --strict-tlb
grep -q '^strict-tlb: 1 use' "$dir/out"
result $? "mmu_global goes by an old global entry on purpose"
# What the monitor has dropped meanwhile, a processor would still have.
"$umbra" mkswap "$dir/area" 64M -q
if [ -z "$short" ]; then
    strict tinykernel --strict-tlb --pool 3M --swap "$dir/area" --shadow-pages 420
    grep -q '^strict-tlb: 0 uses' "$dir/out" && ! grep -q '^not ok' "$dir/out"
    result $? "no report on tinykernel in a tenth of its memory"
fi
strict tlb_bugs --strict-tlb -append bug=unmap --pool 300k --zpool 32M
[ -n "$(report)" ] && grep -q '^strict-tlb: 1 use' "$dir/out"
result $? "a bug is found also where pages come and go"

strict tlb_bugs --strict-tlb=0 -append bug=unmap
[ -z "$(report)" ] && grep -q '^strict-tlb: and 1 more' "$dir/out"
result $? "no more reports than asked for, the rest is counted"
strict tlb_bugs --strict-tlb --json -append bug=split_big
grep -q '"kind": "frame".*"entry": "pde"' "$dir/out" && grep -q '"stale": 1,' "$dir/out"
result $? "as JSON"
"$umbra" run "$guests/tlb_bugs.elf" --strict-tlb --engine kvm >"$dir/out" 2>&1 </dev/null
[ $? -eq 1 ] && grep -q -- '--strict-tlb needs the soft CPU: not with --engine kvm' "$dir/out"
result $? "not with kvm"
for v in x -1 10001 ''; do
    strict tlb_bugs --strict-tlb="$v"
    [ $? -eq 1 ]
    result $? "--strict-tlb=$v is refused"
done
done_testing
