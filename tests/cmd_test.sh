#!/bin/bash
# umbra test: finds its guests, merges their results, and calls a guest failed that fails, crashes, does
# not end or stops short. Prints TAP.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 json_ok=$3
export TMPDIR=$dir/tmp
mkdir "$TMPDIR"

# check WHAT STATUS PATTERN ARGS...: umbra test ARGS ends with STATUS and a line matches PATTERN.
check() {
    local what=$1 status=$2 like=$3 rc
    shift 3
    "$umbra" test "$@" >"$dir/out" 2>"$dir/err" </dev/null
    rc=$?
    [ $rc -eq "$status" ] && grep -qE -- "$like" "$dir/out" "$dir/err" && [ -z "$(ls -A "$TMPDIR")" ]
    result $? "$what" || echo "# status $rc, not $status, or nothing like: $like; left in TMPDIR: $(ls -A "$TMPDIR")"
}
# A guest of ours as a test guest with needs: the mark may lie anywhere in the image.
marked() { # NAME IMAGE WORDS
    cp "$guests/$2.elf" "$dir/$1.elf"
    printf 'umbra-test: %s\0' "$3" >>"$dir/$1.elf"
}
soft=(--engine soft)

check "a guest by name" 0 '^ok 1 - mm_zero: ' mm_zero "${soft[@]}"
check "a guest by path" 0 '^ok 1 - mm_zero: ' "$guests/mm_zero.elf" "${soft[@]}"
check "one plan for all, as many as there are results" 0 "^1\.\.35\$" mm_zero mm_window "${soft[@]}"
check "in the order asked for, whichever ends first" 0 '^ok 3[0-9] - mm_zero: ' mm_window mm_zero -j 2 "${soft[@]}"
check "one at a time" 0 '^ok 1 - mm_zero' mm_zero mm_window -j 1 "${soft[@]}"
check "all there are, by --list" 0 '^mm_thrash +m=4M pool=2M zpool=16M$' --list
check "a module and swap are made for a guest" 0 'a module, shared' mm_shared "${soft[@]}"

marked fails bad_hypercall "m=1M append=noise=1"
marked wild wild_jump "m=16M"
check "a guest that runs wild has failed, with its last lines" 1 'not ok 1 - wild: exit status 4' "$dir/wild.elf" "${soft[@]}"
check "... which are shown" 1 '# \| EIP=' "$dir/wild.elf" "${soft[@]}"
marked spins cli_loop "m=16M"
check "a guest that does not end" 1 'not ok 1 - spins: did not end within its time limit' "$dir/spins.elf" --timeout 1 "${soft[@]}"
marked silent hello "m=16M"
check "a guest that prints no plan" 1 'not ok 1 - silent: it printed no plan' "$dir/silent.elf" "${soft[@]}"
marked status hello "m=16M append=exit=16"
check "a guest that ends with a status" 1 'not ok 1 - status: exit status 33' "$dir/status.elf" "${soft[@]}"
check "others are run all the same" 1 '^ok 2 - mm_zero: ' "$dir/wild.elf" mm_zero "${soft[@]}"
check "and --json says so too" 1 '"passed": false' "$dir/wild.elf" --json "${soft[@]}"
"$json_ok" <"$dir/out" >"$dir/err"
result $? "the JSON can be read"
# The object's own members, each as often as there are guests that have them.
line=$(tr -d '\n' <"$dir/out")
[[ $line == *'"failed": 1'* && $line == *'"exit_status": 4'* && $line == *'"why": "exit status 4"'* && $line == *'"last_lines": ['*EIP=* ]]
result $? "... and has status, reason and last lines"

marked needy hello "m=16M frobnicate=1"
check "a need that is unknown" 3 'frobnicate' "$dir/needy.elf"
marked huge hello "m=16M swap=99999999T"
check "a need that is too much" 3 'swap' "$dir/huge.elf"
check "an image that is no test guest" 1 'no test guest' "$guests/hello.elf"
check "an image that is not there" 1 'nothing.elf: No such file' /there/is/nothing.elf
check "a directory" 1 'no test guest' "$dir"
check "no jobs" 1 '-j|jobs' mm_zero -j 0
check "a bad time limit" 1 'timeout' mm_zero --timeout x
check "an engine that is none" 1 'engine' mm_zero --engine xen

"$umbra" test "$dir/spins.elf" "${soft[@]}" >"$dir/out" 2>&1 &
pid=$!
sleep 1
kill -TERM $pid
wait $pid
rc=$?
[ $rc -eq 143 ] && [ -z "$(ls -A "$TMPDIR")" ]
result $? "interrupted, it leaves neither guest nor file (status $rc)"
done_testing
