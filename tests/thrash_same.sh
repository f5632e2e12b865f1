#!/bin/bash
# What a guest sees does not depend on how much of its memory fits the frame pool: the console of
# thrash is the same, byte for byte, with all of its pages in frames and with a quarter of them; with a
# compressed pool alone the runs are the same fault by fault. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2

run() { timeout 100 "$umbra" run "$@" -q --stats=json -o "$dir/stats" >"$dir/out" 2>"$dir/err" </dev/null; }
stat_of() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$dir/stats"; }

# overcommit NAME APPEND POOL ARGS...: once with all that it needs, then with POOL.
overcommit() {
    local name=$1 append=$2 pool=$3 whole rc
    shift 3
    run "$guests/thrash.elf" "$@" -append "$append"
    rc=$?
    cp "$dir/out" "$dir/whole"
    whole=$(stat_of 'pages resident')
    [ $rc -eq 0 ] && [ -z "$(stat_of 'pages written out')" ]
    result $? "$name: all in frames ($whole pages)"
    for store in "--swap $dir/area" "--zpool 128k --swap $dir/area"; do
        "$umbra" mkswap "$dir/area" 32M -q || exit 1
        # shellcheck disable=SC2086 # words are meant
        run "$guests/thrash.elf" "$@" -append "$append" --pool "$pool" $store
        rc=$?
        [ $rc -eq 0 ] && cmp -s "$dir/out" "$dir/whole" && [ "$(stat_of 'pages written out')" -gt 0 ] &&
            [ $((4 * $(stat_of 'pool frames, most'))) -le $((whole + whole / 4)) ]
        result $? "$name: the same console from $(stat_of 'pool frames, most') frames, ${store%% *} ($(stat_of 'pages written out') pages out)"
    done
}

overcommit 'soft' 'step=9' 4M --engine soft -m 17M
overcommit 'soft, three rounds, all random' 'mix=random rounds=3 pages=1000 step=9' 1M --engine soft -m 8M

# Only with a compressed pool: nothing that takes its own time. The second run makes the same faults.
twice() {
    run "$guests/thrash.elf" "$@" -append 'mix=text pages=1000 step=5' --zpool 4M --pool 1M
    grep -o '"faults":.*' "$dir/stats" | grep -o '"name": "[^"]*", "count": [0-9]*' >"$dir/faults"
    grep -o '"counters":.*' "$dir/stats" | tr , '\n' | grep -v 'KVM_RUN\|instructions' >>"$dir/faults"
}
twice --engine soft -m 8M
cp "$dir/faults" "$dir/first"
twice --engine soft -m 8M
[ -s "$dir/first" ] && cmp -s "$dir/faults" "$dir/first"
result $? 'two runs over a compressed pool make the same faults'

if has_kvm; then
    overcommit 'kvm, ring 0 on soft' 'pages=1000 step=9' 1M --engine kvm --ring0 soft -m 8M
    overcommit 'kvm' 'pages=240 step=64' 256k --engine kvm --ring0 native -m 4M
else
    skip 'kvm' 'no usable /dev/kvm on this host'
fi
done_testing
