#!/bin/bash
# Swap areas that are foreign, damaged or in use, sizes that make no sense, pages that cannot be read
# back, disks that fill up under a running guest, processes that are killed: each is refused or
# reported by name with its exit code, and no guest sees bytes that are not its own. Prints TAP.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
pid=''
clean_up() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
    umount "$dir/full" 2>/dev/null
    rm -rf "$dir"
}
trap clean_up EXIT
area=$dir/area guest=$guests/thrash.elf
mkfifo "$dir/in" && exec 3<>"$dir/in"

run=(run "$guest" --engine soft -m 4M --pool 512k -append 'pages=400 step=16' --timeout 60)
make() { "$umbra" mkswap "$area" "${1:-8M}" -q --force || exit 1; }
poke() { printf "%b" "$2" | dd of="$area" bs=1 seek="$1" conv=notrunc status=none; }

# --- areas that are refused ---
expect 2 'missing: cannot open it: .*umbra mkswap' 'an area that is not there' "${run[@]}" --swap "$dir/missing"
expect 2 'neither a regular file nor a block device' 'a directory' "${run[@]}" --swap "$dir"
expect 2 'neither a regular file nor a block device' 'a character device' "${run[@]}" --swap /dev/null
dd if=/dev/urandom of="$area" bs=64k count=16 status=none
expect 2 'area: foreign: no magic' 'a foreign file' "${run[@]}" --swap "$area"
expect 2 'holds something else.*--force' 'mkswap leaves a foreign file alone' mkswap "$area" 1M
expect 0 '2047 slots' '... unless it is forced' mkswap "$area" 8M --force
expect 0 '1023 slots' '... and makes an area of ours anew' mkswap "$area" 4M
truncate -s 1M "$area"
expect 2 'truncated: size is 1024 slots, the file holds 256' 'a truncated area' "${run[@]}" --swap "$area"
truncate -s 100 "$area"
expect 2 'truncated: 100 bytes' 'an area shorter than its header' "${run[@]}" --swap "$area"
make; poke 16 '\x02'
expect 2 'version is 2, needed is 1' 'another version' "${run[@]}" --swap "$area"
make; poke 33 '\xff\x00\xff'
expect 2 'header is damaged: its checksum' 'a header with flipped bits' "${run[@]}" --swap "$area"

# --- sizes ---
expect 1 'SIZE is zero' 'mkswap of nothing' mkswap "$dir/new" 0
expect 1 'need 8192' 'mkswap of less than a slot' mkswap "$dir/new" 4k
expect 1 'at most 68719476736' 'mkswap of more than can be named' mkswap "$dir/new" 65G
expect 1 'more than 64 bits' 'mkswap of a size that overflows' mkswap "$dir/new" 99999999T
expect 1 'is no size' 'mkswap of a word' mkswap "$dir/new" large
expect 1 'zero' 'mkswap of a file without a size' mkswap "$dir/new"
[ ! -e "$dir/new" ]
result $? 'refused sizes leave no file behind'
expect 1 "'0' is no size; leave the option out" 'a compressed pool of nothing' "${run[@]}" --zpool 0
expect 1 'compressed pool: size is 4096' 'a compressed pool too small' "${run[@]}" --zpool 4k
expect 1 'compressed pool: size is' 'a compressed pool too large' "${run[@]}" --zpool 1T
expect 1 'more than 64 bits' 'a compressed pool that overflows' "${run[@]}" --zpool 18446744073709551616
expect 1 "'0' is no size; leave the option out" 'a frame pool of nothing' "${run[@]}" --pool 0
expect 1 'with swap it needs 262144 at least' 'a frame pool too small for swap' "${run[@]}" --zpool 1M --pool 128k
expect 1 'share=0: .*not in 1' 'sharing of nothing' "${run[@]}" --share=0
expect 1 'audit=0: .*not in 1' 'an audit after no trap' "${run[@]}" --audit=0
make
expect 1 'one file at a time' 'two swap files' "${run[@]}" --swap "$area" --swap "$area"

# --- a guest that stands still in the middle, most of its pages out ---
start() { # ARGS...: a machine that waits for a byte; pid is its process
    : >"$dir/out"
    "$umbra" run "$guest" --engine soft -m 4M --pool 512k --timeout 60 "$@" <&3 >"$dir/out" 2>"$dir/err" &
    pid=$!
    for _ in $(seq 300); do
        grep -q 'waiting for a byte' "$dir/out" && return
        kill -0 $pid 2>/dev/null || return
        sleep 0.1
    done
}
finish() { # let it go on; its exit status is rc
    printf 'x' >&3
    wait "$pid"
    rc=$?
    pid=''
}
random=(-append 'pages=400 step=16 mix=random pause=1')

make
start "${random[@]}" --swap "$area"
expect 2 'in use by another process.*by its header' 'an area in use' "${run[@]}" --swap "$area"
expect 2 'in use by another process' 'mkswap of an area in use, forced' mkswap "$area" 1M --force
finish
[ $rc -eq 0 ] && grep -q '^1\.\.4' "$dir/out" && ! grep -q '^not ok' "$dir/out"
result $? "its user goes on unharmed (exit code $rc)"

start "${random[@]}" --swap "$area"
kill -9 "$pid"
wait "$pid" 2>/dev/null
pid=''
expect 0 '^1\.\.4' 'after kill -9 in the middle the area opens again' "${run[@]}" --swap "$area"

# ... and wherever it strikes: opening, writing out, reading back, closing.
survived=0
for delay in 0.00 0.01 0.03 0.06 0.1 0.2; do
    "$umbra" "${run[@]}" --swap "$area" >"$dir/out" 2>"$dir/err" </dev/null &
    pid=$!
    sleep $delay
    kill -9 $pid 2>/dev/null # it may have ended
    wait $pid 2>/dev/null
    pid=''
    timeout 60 "$umbra" "${run[@]:0:${#run[@]}-4}" -append 'pages=200 step=64' --swap "$area" >"$dir/out" 2>"$dir/err" </dev/null
    rc=$?
    if [ $rc -eq 0 ] && grep -q '^1\.\.4' "$dir/out"; then
        survived=$((survived + 1))
    elif [ $rc -eq 2 ] && grep -q 'header is damaged' "$dir/err"; then
        survived=$((survived + 1)) # refused with a reason: the header was torn
        make
    fi
done
[ $survived -eq 6 ]
result $? "killed at any moment: the area opens, or is refused with a reason ($survived of 6)"

start "${random[@]}" --swap "$area"
dd if=/dev/urandom of="$area" bs=4096 seek=1 count=2047 conv=notrunc status=none
finish
[ $rc -eq 3 ] && grep -qE 'page [0-9a-f]+ cannot be read back: slot [0-9]+ of area 0, .*/area \(disk\).* 1 contents' "$dir/err" &&
    ! grep -q '^not ok' "$dir/out"
result $? "slots that hold other bytes are told by page, area and slot (exit code $rc)"

make
start "${random[@]}" --swap "$area"
truncate -s 4096 "$area"
finish
[ $rc -eq 3 ] && grep -qE 'page [0-9a-f]+ cannot be read back: slot [0-9]+ .* 1 reads failed' "$dir/err" &&
    ! grep -q '^not ok' "$dir/out"
result $? "reads that fail likewise (exit code $rc)"

# --- no room ---
make 64k
expect 6 'frame pool is used up' 'an area too small ends the machine' "${run[@]}" --swap "$area"
grep -q 'who holds what' "$dir/err" && grep -qE 'swap: 15 of 15 slots used' "$dir/err"
result $? '... and the report says that it is full'
expect 6 'who holds what' 'what does not compress cannot go to a compressed pool alone' run "$guest" --engine soft -m 4M \
    --pool 512k --zpool 4M -append 'pages=400 mix=random'

# Writes that fail for another reason than room: their slots go bad, their pages stay.
make 700k
(
    trap '' XFSZ
    ulimit -f 600 # KiB: slots from 150 on
    exec timeout 60 "$umbra" run "$guest" --engine soft -m 4M --pool 512k -append 'pages=220 step=16 mix=random' --swap "$area" \
        --stats >"$dir/out" 2>"$dir/err" </dev/null
)
rc=$?
[ $rc -eq 0 ] && grep -q '^1\.\.4' "$dir/out" && ! grep -q '^not ok' "$dir/out" && grep -qE 'swap slots that went bad +[1-9]' "$dir/err"
result $? "writes that fail: the slots go bad, the pages stay, the guest goes on (exit code $rc)"

# ... and most of an area fails: as long as there are slots that take a page, the guest goes on.
make 4M
(
    trap '' XFSZ
    ulimit -f 640 # KiB: 864 of 1023 slots fail
    exec timeout 60 "$umbra" run "$guest" --engine soft -m 4M --pool 512k -append 'pages=220 step=16 mix=random' --swap "$area" \
        --stats >"$dir/out" 2>"$dir/err" </dev/null
)
rc=$?
[ $rc -eq 0 ] && grep -q '^1\.\.4' "$dir/out" && ! grep -q '^not ok' "$dir/out" && grep -qE 'swap slots that went bad +[1-9][0-9][0-9]' "$dir/err"
result $? "most writes fail: no out-of-memory while slots are left (exit code $rc)"

# A disk that is full while the guest runs: a small tmpfs whose area has lost its blocks.
mkdir "$dir/full"
if mount -t tmpfs -o size=3M tmpfs "$dir/full" 2>/dev/null; then
    area=$dir/full/area
    make 2M
    fallocate -p -o 4096 -l $((2 * 1024 * 1024 - 4096)) "$area"
    dd if=/dev/zero of="$dir/full/fill" bs=4096 count=700 status=none 2>/dev/null
    expect 6 'frame pool is used up' 'a disk that fills up ends the machine with its report' run "$guest" --engine soft -m 4M \
        --pool 512k -append 'pages=200 step=16 mix=random' --swap "$area" --stats
    grep -qE 'swap writes refused for want of room +[1-9]' "$dir/err" && ! grep -q '^not ok' "$dir/out" &&
        grep -qE 'swap slots that went bad +0' "$dir/err"
    result $? '... which counts what was refused; no slot went bad'
    expect 0 '^1\.\.4' '... but pages that compress need no disk' run "$guest" --engine soft -m 4M --pool 512k \
        -append 'pages=400 step=16 mix=text' --swap "$area" --zpool 1M
    rm "$dir/full/fill"
    expect 0 '^1\.\.4' '... and with room again all is well' run "$guest" --engine soft -m 4M --pool 512k \
        -append 'pages=200 step=16 mix=random' --swap "$area"
else
    skip 'a disk that fills up' 'mounting a small tmpfs is not permitted here'
fi
done_testing
