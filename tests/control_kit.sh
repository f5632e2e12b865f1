# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # what this takes from tap.sh and gives to those who source it
# Machines in the background, asked by their control sockets. Source it after tap.sh, with $umbra set and $mode: soft,
# or hybrid (ring 0 on the soft CPU beside kvm; skipped where there is none).
sock=$dir/sock machine=''
engine=(--engine soft)
if [ "${mode:-soft}" = hybrid ]; then
    need_kvm
    engine=(--engine kvm --ring0 soft)
fi
stop_machine() { [ -z "$machine" ] || kill "$machine" 2>/dev/null; }
trap 'stop_machine; rm -rf "$dir"' EXIT
tap_show=("$dir/out" "$dir/err" "$dir/run")

# start_machine IMAGE OPTIONS...: run it, and wait until its socket answers.
start_machine() {
    local i
    "$umbra" run "$@" "${engine[@]}" --control "$sock" --timeout 200 >"$dir/run" 2>&1 </dev/null &
    machine=$!
    for ((i = 0; i < 400; i++)); do
        ctl status && return 0
        sleep 0.05
    done
    return 1
}
# ended STATUS: wait for the machine's own end.
ended() {
    local rc
    wait "$machine"
    rc=$?
    machine=''
    [ $rc -eq "$1" ]
}
ctl() { timeout 60 "$umbra" ctl --socket "$sock" "$@" >"$dir/out" 2>&1; }
says() { grep -aqE -- "$1" "$dir/out"; }
