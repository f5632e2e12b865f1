#!/bin/bash
# memtest.sh UMBRA TALK start|pass: memtest86+ on the soft engine, over the serial console, with frame pool and
# compressed pool together a quarter of its memory. start: its first tests find nothing, and it heeds a key;
# pass: one pass of all its tests without an error, which is 2.75e10 instructions.
set -u
how=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need memtest
"$umbra" mkswap "$work/swap" 64M -q || exit 1
limit=600
{
    echo 'expect Memtest86+ v6'
    echo 'expect walking ones'
    if [ "$how" = pass ]; then
        limit=7200
        echo 'expect Pass:  1'
        echo stop
    else
        # ESC asks for a reset.
        printf '%s\n' 'expect #3 ' 'send \e' end
    fi
} >"$work/script"
timeout $((limit + 20)) "$talk" -l $limit "$work/script" -- "$umbra" run "$(images_path memtest)/memtest.bin" -m 16M \
    --engine soft --pool 3M --zpool 1M --swap "$work/swap" --audit=50000 --stats --no-reboot \
    -append 'console=ttyS0,115200 keyboard=legacy nosmp' >"$work/out" 2>"$work/err"
result $? "it runs, and ends as asked ($how)"
has "$work/err" 'Linux \(bzImage, protocol 2\.'
has "$work/err" 'pages read back +[1-9][0-9]*'
# The count stands at 0 when the screen is drawn, and is drawn again when it moves.
has "$work/out" 'Errors: 0'
hasnt "$work/out" 'Errors: *[1-9]|Failing|FAIL'
[ $failed -eq 0 ] || { tail -c 3000 "$work/out"; cat "$work/err"; }
done_testing
