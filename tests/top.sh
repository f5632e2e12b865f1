#!/bin/bash
# umbra top on a live machine: plain output, JSON, and the screen under tmux (skipped, and said so, where
# there is none). Prints TAP.
#   top.sh UMBRA GUESTS JSON_OK
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 json_ok=$3
# shellcheck source=tests/control_kit.sh
. "$(dirname "$0")/control_kit.sh"
tmux() { command tmux -S "$dir/tmux" "$@"; }
clean_up() {
    stop_machine
    [ ! -e "$dir/tmux" ] || tmux kill-server 2>/dev/null
    rm -rf "$dir"
}
trap clean_up EXIT

tap_lines=30
start() { start_machine "$guests/$1.elf" "${@:2}"; } # GUEST OPTIONS...

# --- bad input ---
expect 1 'one word too many' 'a word' top x
expect 1 '0.1 to 3600' 'a delay of nothing' top -d 0
expect 1 '0.1 to 3600' 'a delay that is no number' top -d nan
expect 1 '0.1 to 3600' 'a delay that overflows' top -d 1e999
expect 1 'n:' 'no looks' top -n 0
expect 3 'sock' 'no machine' top --socket "$sock"

# --- plain ---
start thrash -m 6M --pool 2M --zpool 8M -append 'pages=1000 step=16 rounds=100000 mix=text'
result $? 'a machine that swaps'
expect 3 'no terminal; give --batch' 'no terminal' top --socket "$sock"
expect 0 '^  minor: decompressed ' 'plain output has faults by path' top --socket "$sock" -n 2 -d 0.2
[ "$(grep -c '^faults by path' "$dir/out")" -eq 2 ] && grep -qE '^  00000000\+4M +[0-9]+ +[1-9]' "$dir/out"
result $? '... twice, and the regions that fault'
grep -qE 'swapped [1-9].*in [0-9]+/s of [1-9]' "$dir/out" && grep -qE '^  00[0-9a-f]{6} .*S' "$dir/out"
result $? '... and swap, also on the map'
"$umbra" top --socket "$sock" -n 2 -d 0.1 --json 2>"$dir/err" >"$dir/out"
"$json_ok" -l <"$dir/out" >>"$dir/err" && [ "$(wc -l <"$dir/out")" -eq 2 ]
result $? '--json gives an object in each line'
map=$(sed -n '1s/.*"map":"\([^"]*\)".*/\1/p' "$dir/out")
[ ${#map} -eq 1024 ]
result $? '... with a map of 1024 cells'

# --- the screen ---
screen_has() { # REGEX: within some seconds
    local i
    for ((i = 0; i < 150; i++)); do
        tmux capture-pane -p >"$dir/out" 2>"$dir/err"
        grep -qE -- "$1" "$dir/out" && return 0
        sleep 0.1
    done
    return 1
}
if command -v tmux >/dev/null; then
    export LC_ALL=C TERM=xterm
    tmux -f /dev/null new-session -d -x 80 -y 24 "'$umbra' top --socket '$sock' -d 0.3; echo left with \$?; sleep 100"
    screen_has '^0[0-9a-f]{7} .*S.*\|$' && screen_has '^q quit  h help'
    result $? 'the screen shows the map and the keys'
    grep -qE '^umbra top +running, engine soft' "$dir/out" && grep -qE '^minor: decompressed +[0-9]' "$dir/out" &&
        grep -qE '00000000\+4M +[0-9]' "$dir/out" && [ "$(wc -l <"$dir/out")" -eq 24 ]
    result $? '... faults by path and regions, on 80x24'
    tmux send-keys z && screen_has 'address space: 4 GiB, 8192 KiB to a letter' && screen_has '^e0000000 '
    result $? 'z: all of the 4 GiB'
    tmux send-keys h && screen_has 'leave; the machine goes on'
    result $? 'h: the keys'
    tmux send-keys x && screen_has '^q quit'
    result $? 'any key goes back'
    tmux resize-window -x 120 -y 40 && screen_has '^f0000000 ' && [ "$(sed -n 40p "$dir/out" | cut -c 1-6)" = 'q quit' ]
    result $? 'a larger terminal shows more'
    tmux resize-window -x 50 -y 12 && sleep 1 && screen_has '^q quit' && screen_has '^umbra top'
    result $? 'a small one what fits'
    tmux send-keys q && screen_has 'left with 0'
    result $? 'q leaves'
    "$umbra" ctl --socket "$sock" status >"$dir/out" 2>"$dir/err" && grep -q running "$dir/out"
    result $? '... and the machine goes on'
    # In the same server: one that is on its way out takes no new session.
    tmux resize-window -x 80 -y 24 && tmux respawn-pane -k "'$umbra' top --socket '$sock' -d 0.3; echo left with \$?; sleep 100"
    screen_has '^q quit'
    "$umbra" ctl --socket "$sock" quit >/dev/null 2>&1
    screen_has 'the machine has ended' && screen_has 'left with 0'
    result $? 'a machine that ends ends top'
    tmux kill-server
else
    skip 'the screen' 'there is no tmux here'
    "$umbra" ctl --socket "$sock" quit >/dev/null 2>&1
fi
wait "$machine"
machine=''

# --- a machine that pauses ---
start cli_loop -m 16M -S
expect 0 '^paused: ' 'a paused machine is looked at' top --socket "$sock" -n 1
"$umbra" ctl --socket "$sock" quit >/dev/null 2>&1

done_testing
