#!/bin/bash
# umbra run --trace and umbra trace: what a run recorded is what its own statistics say, it survives
# kill -9, full disks are met at the start, and bad input is refused with its exit code. Prints TAP.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 json_ok=$3
pid=''
clean_up() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
    umount "$dir/full" 2>/dev/null
    rm -rf "$dir"
}
trap clean_up EXIT
trace=$dir/trace

run=(run "$guests/thrash.elf" --engine soft -m 4M --pool 512k --zpool 8M -append 'pages=400 step=16 mix=text' -q)

# --- a run and its statistics ---
expect 0 . 'a traced run' "${run[@]}" --trace "$trace" --stats=json -o "$dir/stats"
expect 0 '^faults by path' 'report' trace report "$trace"
# Each path of --stats has the same count in the report.
tr '{' '\n' <"$dir/stats" | sed -n 's/^"name": "\(\(minor\|major\|spurious\)[^"]*\)", "count": \([0-9]*\).*/\3 \1/p' |
    LC_ALL=C sort >"$dir/a"
"$umbra" trace report --json "$trace" >"$dir/report" 2>"$dir/err"
tr '{' '\n' <"$dir/report" | sed -n 's/^"name": "\(\(minor\|major\|spurious\)[^"]*\)", .*"count": \([0-9]*\).*/\3 \1/p' |
    LC_ALL=C sort >"$dir/b"
[ -s "$dir/a" ] && diff "$dir/a" "$dir/b" >"$dir/out"
result $? 'its faults by path are those of --stats'
"$json_ok" <"$dir/report" >"$dir/out"
result $? 'report --json is JSON'
"$umbra" trace dump --json "$trace" 2>"$dir/err" | "$json_ok" -l >"$dir/out"
result $? 'each line of dump --json is JSON'
records=$(sed -n 's/.*"records": \([0-9]*\).*/\1/p' "$dir/report")
[ "$("$umbra" trace dump "$trace" | wc -l)" -eq "$records" ] && [ "$records" -gt 1000 ]
result $? "dump has a line for each of $records records"
out=$(sed -n 's/.*"swap_out": \([0-9]*\), "evicted".*/\1/p' "$dir/report")
wrote=$(tr '{' '\n' <"$dir/stats" | sed -n 's/.*"pages written out": \([0-9]*\).*/\1/p')
[ "${out:-0}" -gt 0 ] && [ "${out:-0}" -ge "${wrote:-0}" ]
result $? "pages went out (${out:-none}, ${wrote:-?} of them were written)"
"$umbra" trace dump "$trace" | grep -q 'page 0:.* swapped out, slot [1-9]'
result $? 'dump names page and slot'

# --- Chrome ---
"$umbra" trace export --chrome "$trace" -o "$dir/chrome" 2>"$dir/err" && "$json_ok" <"$dir/chrome" >"$dir/out"
result $? 'export --chrome is JSON'
# Every event has what the format demands: a phase, a process, a track; a time unless it is metadata;
# slices have a duration.
grep '"ph":' "$dir/chrome" | awk '
    !/"pid":1/ || !/"tid":[0-3]/ || !/"name":/ { bad++ }
    !/"ph":"M"/ && !/"ts":[0-9.]+/ { bad++ }
    /"ph":"X"/ { x++; if (!/"dur":[0-9.]+/) bad++ }
    /"ph":"i"/ && !/"s":"t"/ { bad++ }
    END { exit bad || !x }'
result $? 'each of its events has what the format demands'
faults=$(sed -n 's/.*"faults": \([0-9]*\), "paths".*/\1/p' "$dir/report")
[ "$(grep -c '"ph":"X"' "$dir/chrome")" -eq "$faults" ]
result $? "it has each of the $faults faults"

# --- kill -9 ---
"$umbra" run "$guests/cli_loop.elf" --engine soft -m 16M --trace "$trace" --timeout 60 -q >"$dir/out" 2>"$dir/err" </dev/null &
pid=$!
for _ in $(seq 200); do
    "$umbra" trace dump "$trace" 2>/dev/null | grep -q 'fresh frame; kernel' && break
    sleep 0.1
done
expect 2 'another machine is writing it' 'a trace that is being written is left alone' "${run[@]}" --trace "$trace"
kill -9 "$pid"
wait "$pid" 2>/dev/null
pid=''
expect 0 'the machine runs, or was killed' 'a killed machine: the trace is read' trace report "$trace"
grep -q 'fresh frame' "$dir/out"
result $? '... with its faults'

# --- a small ring ---
expect 0 . 'a ring smaller than the run' "${run[@]}" --trace "$trace" --trace-size 64k
expect 0 '1920 records .*before them were overwritten' 'keeps the last records' trace report "$trace"

# --- bad input ---
expect 1 'report, dump, or export' 'no word' trace
expect 1 'which file' 'no file' trace report
expect 1 'export needs --chrome' 'export to what' trace export "$trace"
expect 1 'unknown|one of|frob' 'an unknown word' trace frob "$trace"
expect 1 '10000' 'too large a list' trace report "$trace" --top 99999
expect 2 'No such file' 'a file that is not there' trace report "$dir/missing"
expect 2 'is no page trace' 'a foreign file' trace report "$umbra"
expect 2 'not a regular file' 'a directory' trace dump "$dir"
head -c 100 "$trace" >"$dir/half"
expect 2 'half a header' 'half a header' trace report "$dir/half"
head -c 20000 "$trace" >"$dir/half"
expect 0 'records are missing' 'half a trace is read as far as it goes' trace report "$dir/half"
cp "$trace" "$dir/v9" && printf '\011' | dd of="$dir/v9" bs=1 seek=8 conv=notrunc status=none
expect 2 'of version 9, this umbra reads 1' 'another version' trace report "$dir/v9"
expect 3 'No such file' 'a trace that cannot be made' "${run[@]}" --trace "$dir/no/where"
expect 2 'holds something else' 'a foreign file is not overwritten' "${run[@]}" --trace "$dir/stats"
expect 2 'a regular file' 'a device is no trace' "${run[@]}" --trace /dev/full
expect 1 'is no size' 'a ring of nothing' "${run[@]}" --trace "$trace" --trace-size 0
expect 1 '65536 to 17179869184' 'too small a ring' "${run[@]}" --trace "$trace" --trace-size 4k
expect 1 '65536 to 17179869184' 'too large a ring' "${run[@]}" --trace "$trace" --trace-size 17G
expect 1 'more than 64 bits' 'a size that overflows' "${run[@]}" --trace "$trace" --trace-size 99999999T
expect 1 'Give --trace FILE' 'a size of no trace' "${run[@]}" --trace-size 1M
expect 3 '--output' 'an output that cannot be made' trace report "$trace" -o "$dir/no/where"
timeout 60 "$umbra" trace dump "$trace" >/dev/full 2>"$dir/err"
[ $? -eq 3 ] && grep -qE 'No space|not everything' "$dir/err"
result $? 'a full disk under dump is a failure'
mkdir "$dir/full"
if mount -t tmpfs -o size=1m none "$dir/full" 2>/dev/null; then
    expect 3 'reserving .*No space.*--trace-size' 'a full disk is met before the guest begins' \
        "${run[@]}" --trace "$dir/full/trace"
    [ ! -s "$dir/full/trace" ]
    result $? '... and keeps nothing of it'
else
    skip 'a full disk' 'cannot mount a small one here'
fi

done_testing
