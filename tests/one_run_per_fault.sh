#!/bin/bash
# A minor fault on the kvm engine costs one KVM_RUN and no other system call: count them.
#
#   one_run_per_fault.sh UMBRA TOUCH_GUEST
#
# The guest makes some thousand minor faults. Between its first and its last KVM_RUN the vCPU's thread
# may make no other system call, but for a few when the pool grows and for the console's wake-ups; and
# there may be no more KVM_RUNs than traps.
set -u
umbra=$1 guest=$2
command -v strace >/dev/null || { echo "SKIPPED: no strace on this machine"; exit 77; }
"$umbra" info --json | grep -q '"kvm": {"usable": true' || { echo "SKIPPED: no usable /dev/kvm on this host"; exit 77; }
# The leak checker stops threads as strace does, and both at once do not go.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
# No -f: strace follows the first thread only, which is the vCPU's.
strace -o "$dir/calls" -e trace=all timeout 100 "$umbra" run "$guest" -m 16M --engine kvm --ring0 native \
    -append pages=2000 --stats=json -o "$dir/stats" >"$dir/out" 2>"$dir/err" </dev/null
status=$?
if grep -q 'Operation not permitted\|ptrace' "$dir/err" && [ ! -s "$dir/stats" ]; then
    echo "SKIPPED: strace may not trace here"
    exit 77
fi
# strace traced "timeout"; the monitor is its child, so trace umbra itself when that is what we got.
if ! grep -q KVM_RUN "$dir/calls"; then
    strace -o "$dir/calls" "$umbra" run "$guest" -m 16M --engine kvm --ring0 native --timeout 100 \
        -append pages=2000 --stats=json -o "$dir/stats" >"$dir/out" 2>"$dir/err" </dev/null
    status=$?
fi
[ $status -eq 0 ] || { echo "the guest ended with $status"; cat "$dir/out" "$dir/err"; exit 1; }
json() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$dir/stats"; }
trap_count() { grep -o "\"name\": \"$1\", \"count\": [0-9]*" "$dir/stats" | head -n 1 | grep -o '[0-9]*$'; }
# Every kind of trap counts, and IN and OUT where they leave from guest code.
traps=$(sed 's/"guest":.*//' "$dir/stats" | grep -o '"count": [0-9]*' | awk '{ n += $2 } END { print n + 0 }')
traps=$((traps + $(json 'port I\/O exits of guest code')))
faults=$(trap_count 'page fault') grows=$(json 'pool growth steps')
drains=$(json 'KVM_RUN calls to drain the queue')
awk -v faults="$faults" -v traps="$traps" -v drains="${drains:-0}" -v grows="${grows:-0}" '
    /KVM_RUN/ { if (!first) first = NR; last = NR; runs++ }
    { line[NR] = $0 }
    END {
        # The scratch vCPU of the probe comes first: start at the run that follows the last VM creation.
        for (i = 1; i <= NR; i++) if (line[i] ~ /KVM_CREATE_VM\>/) start = i
        for (i = start; i <= NR; i++) if (line[i] ~ /KVM_RUN/) { if (!a) a = i; b = i; n++ }
        for (i = a; i <= b; i++) if (line[i] !~ /KVM_RUN/) { other++; split(line[i], w, "("); kind[w[1]]++ }
        printf "%d page faults of %d traps, %d drains: %d KVM_RUN, %d other calls, %d pool steps\n", faults, traps, drains, n, other, grows
        for (k in kind) printf "  %s: %d\n", k, kind[k]
        if (faults < 3000) { print "too few faults to say anything"; exit 1 }
        if (n > traps + drains + 50) { print "more KVM_RUNs than traps"; exit 1 }
        # A write wakes the console, at most every 2 ms and once for a byte that went out, which is an exit
        # of its own: a slow machine has more of these, but none for a fault.
        if (kind["write"] > traps - faults) { print "more writes than port I/O"; exit 1 }
        other -= kind["write"]
        if (other > 8 * grows + 30) { print "other system calls on the fault path"; exit 1 }
    }' "$dir/calls"
