#!/bin/bash
# linux_session.sh UMBRA TALK KERNEL: Debian's kernel for i386 goes through guest/linux/session on the soft
# engine, once with all of its memory and once with a quarter of it in frame pool and compressed pool and the
# rest in a swap file. Time is counted in instructions, so the two consoles must be the same to the last byte,
# times included.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need "$kernel"
need_initramfs

# boot NAME OPTION...
boot() {
    local name=$1
    shift
    timeout 400 "$umbra" run "$(images_path "$kernel")/vmlinux" -m 64M --engine soft --clock insn --timeout 380 --stats \
        -initrd "$work/initramfs.gz" -append 'console=ttyS0 cryptomgr.notests session complaints off' "$@" \
        </dev/null >"$work/$name" 2>"$work/$name.err"
    result $? "$name: powered off"
}
boot 1x
"$umbra" mkswap "$work/swap" 128M -q || exit 1
boot 4x --pool 12M --zpool 4M --swap "$work/swap" --audit=20000

plain "$work/1x" >"$work/text"
has "$work/1x.err" ': Linux \(vmlinux, ELF32\), entry'
has "$work/text" '^session: processes$'
has "$work/text" '^child of sh$'
has "$work/text" '^status 7$'
has "$work/text" '^killed: status 143$'
has "$work/text" '^nothing left behind$'
has "$work/text" "^$(seq 1 5000 | sed 's/7/seven/g' | LC_ALL=C sort -r | md5sum)$"
has "$work/text" '^1048576$'
has "$work/text" '^through a fifo 3$'
has "$work/text" '^200 children wrote$'
has "$work/text" '^meminfo adds up$'
has "$work/text" '^files that changed: 0$'
has "$work/text" '^sum 333283335000$'
has "$work/text" '^1.644433941827 0.666666666667$'
has "$work/text" '^gzip gives back what it was given$'
has "$work/text" '^session: end$'
has "$work/text" 'reboot: System halted'
hasnt "$work/text" 'Oops|BUG:|Call Trace|general protection|segfault|Out of memory|Killed'
has "$work/4x.err" 'pages written out +[1-9][0-9]{3}'
has "$work/4x.err" 'pages read back +[1-9][0-9]{3}'
cmp "$work/1x" "$work/4x"
result $? "the same console with a quarter of the memory"
if [ $failed -ne 0 ]; then
    tail -n 60 "$work/text"
    diff "$work/1x" "$work/4x" | head -n 20
    cat "$work/1x.err" "$work/4x.err"
fi
done_testing
