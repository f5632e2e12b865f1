#!/bin/bash
# linux_panic.sh UMBRA TALK KERNEL: Debian's kernel finds nothing to mount as its root, and panics: exit code 5, where
# --panic-text asks for it, and what it said before is on the console.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need "$kernel"
timeout 400 "$umbra" run -kernel "$(images_path "$kernel")/vmlinux" -m 64M --engine soft --timeout 380 --panic-text \
    -append 'console=ttyS0 cryptomgr.notests root=/dev/nothing' </dev/null >"$work/out" 2>"$work/err"
[ $? -eq 5 ]
result $? "exit code 5"
has "$work/out" 'Kernel panic - not syncing: VFS: Unable to mount root fs'
has "$work/err" '^umbra: .*Kernel panic - not syncing'
[ $failed -eq 0 ] || tail -n 40 "$work/out" "$work/err"
done_testing
