#!/bin/bash
# memtest.sh UMBRA TALK HOW...: memtest86+, over the serial console.
#   start ENGINE      its first seconds of tests find nothing, with frame pool and compressed pool together a quarter of its
#                     memory, and it heeds a key. ENGINE: soft, hybrid (kvm, ring 0 on soft) or native (all on kvm)
#   pass MIB POOL ZPOOL [TRAPS]
#                     one pass of all its tests on the soft engine, without an error, in MIB of memory: once with
#                     all of it in frames, once with POOL and ZPOOL KiB, and every TRAPS traps an audit. Time is
#                     counted in instructions, so what it says must be the same to the last byte.
#   top SIZE LOWER WANT  two of its tests in the last of SIZE of memory, from LOWER MiB on, chosen in its menu;
#                     WANT: how it calls that range
#   keys              its menu, by the keys of a PC's keyboard
#   tiny              in 4 MiB, which are too few for it, it says so
set -u
how=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need memtest
image=$(images_path memtest)/memtest.bin
append='console=ttyS0,115200 keyboard=legacy nosmp'

# converse SECONDS NAME OPTIONS...: $work/script with memtest86+; a step may take so long.
converse() {
    local limit=$1 name=$2
    shift 2
    timeout $((limit + 60)) "$talk" -l "$limit" "$work/script" -- "$umbra" run "$image" --stats --no-reboot \
        -append "$append" "$@" >"$work/$name" 2>"$work/$name.err"
    result $? "$name: each step came about"
    has "$work/$name.err" ': Linux \(bzImage, protocol 2\.'
}

# clean NAME: no error was found. The count stands at 0 when the screen is drawn, and is drawn again when it moves.
clean() {
    has "$work/$1" 'Errors: 0'
    hasnt "$work/$1" 'Errors: *[1-9]|Failing|FAIL'
}

start() {
    local options=(--engine soft --clock insn=200) memory=(-m 16M --pool 3M --zpool 1M) seconds=10 limit=300 i
    case $1 in
        hybrid) options=(--engine kvm --ring0 soft) ;;
        # There are KVMs that take minutes for the first tests.
        native) options=(--engine kvm --ring0 native) seconds=5 limit=600 memory=(-m 5M --pool 1M --zpool 256k) ;;
    esac
    [ "$1" = soft ] || need_kvm
    "$umbra" mkswap "$work/swap" 64M -q || exit 1
    # It writes down where it is once a second, so that a test may come and go in between; ESC asks for a reset.
    {
        echo 'expect Memtest86+ v6'
        for ((i = 0; i < seconds; i++)); do echo 'expect Status: Testing'; done
        printf '%s\n' 'send \e' end
    } >"$work/script"
    converse $limit "$1" "${memory[@]}" "${options[@]}" --swap "$work/swap" --audit=50000
    has "$work/$1.err" 'pages read back +[1-9][0-9]*'
    clean "$1"
}

pass() {
    local mib=$1 limit=$(($1 * 250))
    "$umbra" mkswap "$work/swap" $((4 * mib))M -q || exit 1
    printf '%s\n' 'expect Memtest86+ v6' 'expect Status: Pass ' 'expect Errors: 0' stop >"$work/script"
    # 200 ns for an instruction: waiting, of which the last test does minutes, costs fewer of them.
    local words=(-m "${mib}M" --engine soft --clock insn=200)
    converse $limit 1x "${words[@]}"
    converse $limit 4x "${words[@]}" --pool "$2k" --zpool "$3k" --swap "$work/swap" --audit="${4:-50000}"
    for name in 1x 4x; do
        has "$work/$name" 'Status: Pass '
        has "$work/$name" '#0 +\[Address test, walking ones'
        has "$work/$name" '#6 +\[Moving inversions, 32 bit'
        has "$work/$name" '#10 +\[Bit fade test'
        clean $name
        # Up to where the pass is over: how much comes before it is stopped is chance.
        LC_ALL=C awk 'BEGIN { RS = "\033" } { printf "%s\033", $0 } /Pass:  1 +Errors: 0/ { exit }' \
            "$work/$name" >"$work/$name.text"
    done
    [ -s "$work/1x.text" ] && cmp "$work/1x.text" "$work/4x.text"
    result $? "the same text with a quarter of the memory ($(wc -c <"$work/1x.text") bytes, times included)"
    # Each page many times, not only once.
    local out back
    out=$(sed -n 's/^  pages written out *//p' "$work/4x.err") back=$(sed -n 's/^  pages read back *//p' "$work/4x.err")
    [ "${out:-0}" -gt $((mib * 256 * 50)) ] && [ "${back:-0}" -gt $((mib * 256 * 50)) ]
    result $? "of $((mib * 256)) pages, ${out:-0} went out and ${back:-0} came back"
    has "$work/4x.err" 'pages read from the swap file +[1-9][0-9]*'
}

top() {
    # Its screen comes when the tests have begun; what they touch until the key is heeded must have room.
    printf '%s\n' 'expect Memtest86+ v6' 'expect Scroll Lock' 'send 1' 'expect Settings:' 'send 1' 'expect Test Selection:' 'send 1' \
        'send 3' 'expect Enter test #' 'send 1\r' 'expect Test Selection:' \
        'send 3' 'expect Enter test #' 'send 7\r' 'expect Test Selection:' 'send 0' \
        'expect Settings:' 'send 2' 'expect Address Range' 'send 1' 'expect Enter lower limit' "send ${2}m\\r" \
        "expect Current range: $3" 'send 0' 'expect Settings:' 'send 0' 'expect Status: Pass ' 'expect Errors: 0' \
        stop >"$work/script"
    converse 300 top -m "$1" --engine soft --pool 2G
    has "$work/top" "ing: $3"
    clean top
}

keys() {
    # F1, F3, F10; then Enter, and ESC, which asks for a reset: what a terminal sends for them.
    printf '%s\n' 'expect Memtest86+ v6' 'expect Scroll Lock' 'send \eOP' 'expect Settings:' 'send \eOR' 'expect CPU Sequencing' \
        'send \e[21~' 'expect Settings:' 'send \e[21~' 'expect Status: Testing' 'send \e' end >"$work/script"
    converse 200 keys -m 16M --engine soft --display text --serial /dev/stdout
    clean keys
}

tiny() {
    # It needs room for itself below 4 MiB and above, and says so on the screen alone.
    timeout 200 "$umbra" run "$image" -m 4M --engine soft --clock insn=200 --timeout 10 --screen "$work/tiny" \
        -append "$append" </dev/null >"$work/out" 2>"$work/tiny.err"
    [ $? -eq 7 ]
    result $? "it waits for a key"
    has "$work/tiny" 'Insufficient free space in range 0x400000'
    has "$work/tiny" 'pm 00000100 - 00000400'
    has "$work/tiny" 'Cannot relocate program'
}

"$how" "${@:4}"
if [ $failed -ne 0 ]; then
    for file in "$work"/*.err; do
        tail -c 3000 "${file%.err}" | tr '\033' '\n'
        cat "$file"
    done
fi
done_testing
