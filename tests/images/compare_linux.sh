#!/bin/bash
# compare_linux.sh UMBRA TALK KERNEL: Debian's kernel at three points of its boot, here and on a QEMU of libvirt's:
# the page tables of what lies at fixed addresses are the same. The points are the entries of start_kernel (on the
# tables that its assembly made) and of kernel_init (all memory is mapped, other processes have not run yet), where
# a debugger stops both, and the end: its text and constants are read-only, its initial code is gone, and as it gets
# no program to start, it panics.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/lv_kit.sh
. "$(dirname "$0")/../lv_kit.sh"
command -v gdb >/dev/null || skip_all "gdb is not installed"
need "$kernel"
need_initramfs
umbra=$(readlink -f "$umbra")
lv_begin umbra-linux
vm=''
trap '[ -z "$vm" ] || kill $vm 2>/dev/null; wait; lv_end; rm -rf "$work"' EXIT
words='console=ttyS0 cryptomgr.notests nokaslr mem=32M'

# Where the points are, the kernel says itself: it has its symbols with it, and Debian's package no System.map.
cat >"$work/script" <<'EOS'
expect umbra# 
send grep -E ' (start_kernel|kernel_init)$' /proc/kallsyms; poweroff -f\n
expect System halted
EOS
timeout 200 "$talk" -l 180 "$work/script" -- "$umbra" run "$(images_path "$kernel")/vmlinux" -m 64M --engine soft -q \
    --timeout 180 -initrd "$work/initramfs.gz" -append "$words quiet" >"$work/symbols" 2>"$work/err"
result $? "the kernel tells its symbols"
at() { plain "$work/symbols" | sed -n "s/^\([0-9a-f]\{8\}\) [tT] $1\$/0x\1/p"; }
start=$(at start_kernel) init=$(at kernel_init)
[ -n "$start" ] && [ -n "$init" ]
result $? "start_kernel is at ${start:-?}, kernel_init at ${init:-?}"
[ $failed -eq 0 ] || { cat "$work/symbols" "$work/err"; exit 1; }

# debug SOCKET LOG SAVE...: go to both points, save the tables there as NAME.start and NAME.init, and let go.
debug() {
    local socket=$1 log=$2
    shift 2
    cat >"$log.gdb" <<EOS
set pagination off
set confirm off
set architecture i386
target remote $socket
hbreak *$start
continue
shell $(printf '%q ' "$@" | sed 's/ $//').start
delete
hbreak *$init
continue
shell $(printf '%q ' "$@" | sed 's/ $//').init
delete
detach
EOS
    SHELL=/bin/bash timeout -k 5 300 gdb -nx -q -batch -x "$log.gdb" >"$log" 2>&1 </dev/null
}

cp "$(images_path "$kernel")/vmlinuz" "$lv_dir/kernel"
mkdir "$work/root"
echo 'of no format that a kernel knows' >"$work/root/init"
chmod 755 "$work/root/init"
(cd "$work/root" && echo init | cpio -o -H newc -R 0:0 --quiet) >"$lv_dir/initrd"
chmod 644 "$lv_dir/kernel" "$lv_dir/initrd"
lv_initrd=$lv_dir/initrd
lv_run "$lv_dir/kernel" 64 "$words" "<cpu mode='custom' match='exact'><model fallback='allow'>pentium3</model>
  <feature policy='require' name='sse2'/><feature policy='require' name='nx'/></cpu>" --paused
lv virsh -q -c "$lv_uri" qemu-monitor-command --hmp "$lv_name" "gdbserver unix:$lv_dir/home/gdb,server=on,wait=off"
debug "$lv_dir/home/gdb" "$work/gdb.qemu" "${lv_as[@]}" "$umbra" pt save --libvirt "$lv_uri" "$lv_name" "$lv_dir/home/qemu" &
there=$!
# Here without the decompressor: with a breakpoint set it would take a minute.
timeout 400 "$umbra" run "$(images_path "$kernel")/vmlinux" -m 64M -initrd "$lv_initrd" -append "$words" --engine soft -q \
    --gdb "unix:$work/gdb" -S --control "$work/sock" </dev/null >"$work/serial" 2>"$work/err" &
vm=$!
for ((i = 0; i < 100; i++)); do [ -S "$work/gdb" ] && [ -S "$work/sock" ] && break; sleep 0.1; done
debug "$work/gdb" "$work/gdb.ours" "$umbra" pt save --socket "$work/sock" "$work/ours"
result $? "a debugger goes through the boot here"
wait $there
result $? "and on QEMU"
end='end Kernel panic - not syncing: No working init'
for ((i = 0; i < 3000; i++)); do
    grep -qa "$end" "$work/serial" && grep -qsa "$end" "$lv_dir/home/serial" && break
    sleep 0.1
done
grep -qa "$end" "$work/serial"
result $? "the kernel boots here, as far as it can without an init"
grep -qsa "$end" "$lv_dir/home/serial"
result $? "and on QEMU"
"$umbra" pt save "$work/ours.end" --socket "$work/sock" >"$work/out" 2>&1
result $? "its tables are saved here"
lv "$umbra" pt save --libvirt "$lv_uri" "$lv_name" "$lv_dir/home/qemu.end"
result $? "and on QEMU"
"$umbra" ctl --socket "$work/sock" quit >/dev/null 2>&1
wait $vm
vm=''

# Where a table lies is the allocator's choice once there is an allocator: "table".
same() { # POINT RANGE WHAT [OPTION...]
    "$umbra" pt compare "$work/ours.$1" "$lv_dir/home/qemu.$1" "$2" "${@:4}" >"$work/out" 2>&1
    local rc=$?
    result $rc "$1: no unexplained difference: $3 ($2: $(sed -n 's/ pages are mapped.*//p' "$work/out") pages)"
    [ $rc -eq 0 ] || head -n 40 "$work/out"
}
same start 0-0xffffffff "all that is mapped, and in which tables"
same init 0-0xc1ffffff "no process, and all memory" --allow table
same init 0xff400000-0xffffffff "fixed mappings" --allow table
same end 0xc1000000-0xc1ffffff "the kernel's text and data" --allow table
same end 0xc0000000-0xc009ffff "low memory" --allow table
same end 0xff400000-0xffffffff "fixed mappings" --allow table
# The rest of the direct map: each kernel has made two pages read-only that it had allocated.
same end 0xc00a0000-0xc0ffffff "the direct map, but for rights" --allow table,rights
[ "$(sed -n 's/^ *\([0-9]*\) pages: other rights.*/\1/p' "$work/out" | grep . || echo 0)" -le 8 ]
result $? "which differ for a few pages only"
# The points are what they are said to be. rights POINT RANGE: of the guest's entries, each kind once.
rights() {
    "$umbra" pt --dump "$work/ours.$1" "$2" 2>&1 | sed -nE 's/^[0-9a-f]{8}-[0-9a-f]{8} +[0-9]+ +[0-9a-f]+ P([W-]).*/\1/p' | sort -u
}
[ "$(rights start "$start+1")" = W ]
result $? "start_kernel's page is writable when it starts"
code=$(plain "$work/serial" | sed -n 's/^.*Write protecting kernel text and read-only data: \([0-9]*\)k$/\1/p')
[ "$(rights end "0xc1000000+${code:-1}k")" = - ]
result $? "text and constants (${code:-?} KiB) are read-only at the end"
[ $failed -eq 0 ] || { tail -n 20 "$work"/gdb.ours "$work"/gdb.qemu "$work/out" "$work/err" "$work/serial"; cat "$lv_dir/out"; }
done_testing
