#!/bin/bash
# --clock insn: a run repeats bit for bit, whatever memory it has, and nothing of the host's time is in
# it. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2

# The guest's output, how it ended, all page tables, and every count; times are taken out.
run() { # NAME ARGS...
    local name=$1
    shift
    timeout 300 "$umbra" run "$@" --engine soft -q --stats --pt 0-0xffffffff --json -o "$dir/tables" >"$dir/$name" 2>&1 </dev/null
    echo "exit status $?" >>"$dir/$name"
    sed -E 's/"(mean|p50|p99|max)_ns": [0-9]+//g' "$dir/tables" >"$dir/$name.tables"
    grep -o '"soft CPU instructions": [0-9]*' "$dir/tables" >"$dir/$name.insns"
}
same() { # WHAT FILE FILE: equal, and not empty
    [ -s "$dir/$2" ] && cmp -s "$dir/$2" "$dir/$3"
    result $? "$1"
}

for g in clock tinykernel; do
    [ -f "$guests/$g.elf" ] || continue
    run a "$guests/$g.elf" -m 32M --clock insn
    run b "$guests/$g.elf" -m 32M --clock insn
    grep -q 'exit status 0' "$dir/a"
    result $? "$g ends well"
    same "$g, twice: the same output" a b
    same "$g, twice: the same page tables and counts" a.tables b.tables
    run c "$guests/$g.elf" -m 32M --clock insn --pool 3M --zpool 32M
    same "$g in a tenth of its memory: the same output" a c
    same "$g in a tenth of its memory: as many instructions" a.insns c.insns
    "$umbra" mkswap "$dir/area" 64M -q
    run d "$guests/$g.elf" -m 32M --clock insn --pool 2500k --zpool 64k --swap "$dir/area" --shadow-pages 420
    same "$g with a swap file: the same output" a d
    same "$g with a swap file: as many instructions" a.insns d.insns
done

# Where every instruction is stepped and where blocks are run.
run a "$guests/clock.elf" -m 16M --clock insn -append ticks=3
run b "$guests/clock.elf" -m 16M --clock insn -append ticks=3 --trace-insn "$dir/trace.b"
run c "$guests/clock.elf" -m 16M --clock insn -append ticks=3 --trace-insn "$dir/trace.c"
same "stepped or in blocks: the same output" a b
same "stepped or in blocks: as many instructions" a.insns b.insns
same "every instruction and all registers, twice" trace.b trace.c
rm -f "$dir"/trace.*

run b "$guests/clock.elf" -m 16M --clock insn=9 -append ticks=3
! cmp -s "$dir/a" "$dir/b"
result $? "another rate: another run"
run c "$guests/clock.elf" -m 16M --clock=insn=4 -append ticks=3
same "the rate that is there without one" a c

grep -q '^calendar: 2026-01-01 00:00:00' "$dir/a"
result $? "the calendar starts at a fixed date"
run b "$guests/clock.elf" -m 16M --clock insn=40 -rtc base=1999-12-31T23:59:59 -append ticks=1010
grep -q '^calendar: 1999-12-31 23:59:59' "$dir/b" && grep -q '^calendar: 2000-01-01 00:00:00' "$dir/b"
result $? "-rtc base, and a second later"
run b "$guests/clock.elf" -m 16M -rtc base=1999-12-31T23:59:59 -append ticks=3
grep -q '^calendar: 1999-12-31 23:59:59' "$dir/b"
result $? "-rtc base by host time"

# refused WHAT PATTERN ARGS...: exit code 1 and a message
refused() {
    local what=$1 like=$2
    shift 2
    "$umbra" run "$guests/clock.elf" "$@" >"$dir/out" 2>&1 </dev/null
    [ $? -eq 1 ] && grep -q -- "$like" "$dir/out"
    result $? "$what"
}
refused "no counted time with kvm" "needs the soft CPU: not with --engine kvm" --clock insn --engine kvm
for v in insn= insn=0 insn=1001 insn=x insns insn=4x none ''; do refused "--clock $v" '--clock' --clock "$v"; done
for v in now base= base=2026 base=2026-13-01 base=2026-02-30 base=1969-01-01 base=2100-01-01 base=2026-01-01T24:00:00 \
    base=2026-01-01T00:00:00Z base=2026-1-1; do refused "-rtc $v" '-rtc' -rtc "$v"; done
timeout 60 "$umbra" run "$guests/clock.elf" -m 16M --clock insn -append ticks=2 2>&1 </dev/null | grep -q 'engine soft: --clock insn needs the soft CPU'
result $? "auto picks the soft CPU, and says why"

done_testing
