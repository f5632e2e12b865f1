#!/bin/bash
# linux_starts.sh UMBRA TALK KERNEL: the first lines of Debian's kernel, for builds in which all of it takes long.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need "$kernel"
printf '%s\n' 'expect Linux version' 'expect BIOS-provided physical RAM map' 'expect Memory: ' 'stop' >"$work/script"
timeout 300 "$talk" -l 280 "$work/script" -- "$umbra" run "$(images_path "$kernel")/vmlinux" -m 64M --engine soft \
    --timeout 280 -append 'earlyprintk=ttyS0 console=ttyS0' >"$work/out" 2>"$work/err"
result $? "it starts and finds its memory"
[ $failed -eq 0 ] || tail -n 40 "$work/out" "$work/err"
done_testing
