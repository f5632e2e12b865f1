#!/bin/bash
# The control socket by its own client: umbra ctl against machines that run, stand and end. Prints TAP.
#   control.sh UMBRA GUESTS soft|hybrid
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 mode=${3:-soft}
# shellcheck source=tests/control_kit.sh
. "$(dirname "$0")/control_kit.sh"
start() { start_machine "$guests/$1.elf" -m 16M "${@:2}"; } # GUEST OPTIONS...
# field NAME: of the last answer in JSON.
field() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" "$dir/out"; }

start cli_loop
result $? "a machine answers on its socket"
[ "$(stat -c %a "$sock")" = 600 ]
result $? "the socket is its owner's alone"
ctl status && says '^state +running' && says "^engine +$([ "$mode" = soft ] && echo soft || echo kvm)"
result $? "status: it runs"
ctl registers && says '^EAX=[0-9a-f]{8}' && says '^EIP='
result $? "registers, for people"
ctl registers --json && [ "$(field cr0)" -gt 0 ] && says '"cs":\{"selector":'
result $? "registers, for programs"
ctl stats && says 'page fault' && says 'exceptions delivered'
result $? "stats"
ctl memory 0x100000+32 && says '^00100000  02 b0 ad 1b' && [ "$(wc -l <"$dir/out")" -eq 2 ]
result $? "memory by linear address"
ctl memory 0x100000+16k --physical && [ "$(wc -l <"$dir/out")" -eq 1024 ]
result $? "16 KiB of memory by guest-physical address"
before=$("$umbra" ctl --socket "$sock" stats --json | grep -o '"pages resident":[0-9]*')
ctl memory 0x800000+16k && ctl stats --json && says "${before}[,}]"
result $? "reading memory makes no page resident"
ctl step
[ $? -eq 2 ] && says 'running; pause it first'
result $? "a running machine is not stepped"
ctl wait --timeout 1 && says '^running'
result $? "wait gives up in time"

ctl pause && ctl pause && ctl status && says '^state +paused \(asked\)'
result $? "pause, twice, is one pause"
ctl registers --json
a=$(field eip)
ctl registers --json
[ "$a" = "$(field eip)" ]
result $? "a paused machine stands still"
ctl step --json && says '"stopped_by":"step"' && [ "$(field eip)" != "$a" ]
result $? "one step goes on"
ctl step 1001 && says '^paused \(step\)'
result $? "many steps"
ctl wait && says '^paused \(step\)'
result $? "wait is over at once when it stands"
ctl resume && ctl resume && ctl status && says '^state +running'
result $? "resume, twice"
timeout 60 "$umbra" ctl --socket "$sock" wait >"$dir/wait" 2>&1 &
waiter=$!
sleep 0.2
ctl pause && wait $waiter && grep -q '^paused (asked)' "$dir/wait"
result $? "somebody who waits hears of another's pause"

# Bad command lines and requests.
bad_line() { # WHAT STATUS WORDS ARGS...
    local what=$1 status=$2 words=$3
    shift 3
    ctl "$@"
    [ $? -eq "$status" ] && says "$words"
    result $? "$what"
}
bad_line "no command" 1 'which command'
bad_line "an unknown command, with a suggestion" 1 "did you mean 'status'" statsu
bad_line "step by nothing" 1 "not in 1" step 0
bad_line "step by a word" 1 "no number" step many
bad_line "memory without a range" 1 'which range' memory
bad_line "memory, too much" 1 '16 KiB' memory 0+1M
bad_line "memory where there is none" 2 'no RAM is there' memory 0x90000000 --physical
bad_line "too many words" 1 "takes no 'now'" pause now
"$umbra" ctl --socket "$dir/none" status >"$dir/out" 2>&1
[ $? -eq 3 ] && says 'No such file'
result $? "no socket at all"

# A second machine at the same socket; files that are none.
"$umbra" run "$guests/hello.elf" -q "${engine[@]}" --control "$sock" >"$dir/out" 2>&1 </dev/null
[ $? -eq 3 ] && says 'another machine listens there' && [ -S "$sock" ]
result $? "the socket of a machine that runs is refused"
"$umbra" run "$guests/hello.elf" -q "${engine[@]}" --control "$dir/out" >"$dir/err" 2>&1 </dev/null
[ $? -eq 3 ] && grep -q 'is no socket' "$dir/err"
result $? "a file that is no socket is refused"
"$umbra" run "$guests/hello.elf" -q "${engine[@]}" --control "$dir/no/where" >"$dir/out" 2>&1 </dev/null
[ $? -eq 3 ] && says 'No such file'
result $? "a directory that is not there"
"$umbra" run "$guests/hello.elf" -q "${engine[@]}" --control "$dir/$(printf 'x%.0s' {1..200})" >"$dir/out" 2>&1 </dev/null
[ $? -eq 1 ] && says '107 bytes at most'
result $? "a path that is too long for a socket"

# The end, as those see it who wait for it; while it is paused, too.
ctl resume
timeout 60 "$umbra" ctl --socket "$sock" wait >"$dir/wait" 2>&1 &
waiter=$!
sleep 0.2
ctl pause && wait $waiter
timeout 60 "$umbra" ctl --socket "$sock" step 4000000000 >"$dir/wait" 2>&1 &
waiter=$!
sleep 0.2
ctl quit && wait $waiter && grep -q '^ended: ended by the user (exit code 0)' "$dir/wait"
result $? "somebody who waits hears how it ended"
ended 0 && [ ! -e "$sock" ]
result $? "quit ends the machine, and the socket goes"

# One that was killed leaves its socket; the next one takes it over.
start cli_loop
kill -9 $machine
wait $machine 2>/dev/null
[ -S "$sock" ] && ! ctl status && says 'nobody listens'
result $? "a dead socket is said to be dead"
start cli_loop --paused && ctl status && says '^state +paused'
result $? "a dead socket is replaced; a machine may begin paused"
ctl registers --json
[ "$(field eip)" -eq $((16#$(grep -o 'entry [0-9a-f]*' "$dir/run" | cut -c7-))) ] && ctl step && ctl quit && ended 0
result $? "it had not run one instruction"

# The machine that is meant when none is named.
export XDG_RUNTIME_DIR=$dir
"$umbra" ctl status >"$dir/out" 2>&1
[ $? -eq 3 ] && says 'no machine listens'
result $? "no default machine"
sock=auto
"$umbra" run "$guests/cli_loop.elf" "${engine[@]}" --control=auto --timeout 100 >"$dir/run" 2>&1 </dev/null &
machine=$!
for ((i = 0; i < 400; i++)); do
    "$umbra" ctl status >"$dir/out" 2>&1 && break
    sleep 0.05
done
says '^state +running' && [ -S "$dir/umbra-$machine.sock" ]
result $? "the only machine at the default path is found"
UMBRA_CONTROL=$dir/umbra-$machine.sock "$umbra" ctl quit && ended 0
result $? "UMBRA_CONTROL names one"

done_testing
