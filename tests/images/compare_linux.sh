#!/bin/bash
# compare_linux.sh UMBRA TALK KERNEL: Debian's kernel at the end of its boot (it has no root and panics), here
# and on a QEMU of libvirt's: the page tables of what lies at fixed addresses are the same. Where the kernel
# allocates (vmalloc, which page a table is in), two boots differ, on one machine as well.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/lv_kit.sh
. "$(dirname "$0")/../lv_kit.sh"
need "$kernel"
umbra=$(readlink -f "$umbra")
lv_begin umbra-linux
vm=''
trap '[ -z "$vm" ] || kill $vm 2>/dev/null; wait; lv_end; rm -rf "$work"' EXIT
words='console=ttyS0 cryptomgr.notests nokaslr mem=32M'
cp "$(images_path "$kernel")/vmlinuz" "$lv_dir/kernel"
chmod 644 "$lv_dir/kernel"
lv_run "$lv_dir/kernel" 64 "$words" "<cpu mode='custom' match='exact'><model fallback='allow'>pentium3</model>
  <feature policy='require' name='sse2'/><feature policy='require' name='nx'/></cpu>"
timeout 400 "$umbra" run "$lv_dir/kernel" -m 64M -append "$words" --engine soft -q --control "$work/sock" \
    </dev/null >"$work/serial" 2>"$work/err" &
vm=$!
end='end Kernel panic - not syncing: VFS'
for ((i = 0; i < 3000; i++)); do
    grep -qa "$end" "$work/serial" && grep -qsa "$end" "$lv_dir/home/serial" && break
    sleep 0.1
done
grep -qa "$end" "$work/serial"
result $? "the kernel boots here, as far as it can without a root"
grep -qsa "$end" "$lv_dir/home/serial"
result $? "and on QEMU"
"$umbra" pt save "$work/ours" --socket "$work/sock" >"$work/out" 2>&1
result $? "its tables are saved here"
lv "$umbra" pt save --libvirt "$lv_uri" "$lv_name" "$lv_dir/home/qemu"
result $? "and on QEMU"
"$umbra" ctl --socket "$work/sock" quit >/dev/null 2>&1
wait $vm
vm=''

# Where tables lie is the allocator's choice: "table".
same() { # RANGE WHAT
    "$umbra" pt compare "$work/ours" "$lv_dir/home/qemu" "$1" --allow table >"$work/out" 2>&1
    local rc=$?
    result $rc "no unexplained difference: $2 ($1: $(sed -n 's/ pages are mapped.*//p' "$work/out") pages)"
    [ $rc -eq 0 ] || head -n 40 "$work/out"
}
same 0xc1000000-0xc1ffffff "the kernel's text and data"
same 0xc0000000-0xc009ffff "low memory"
same 0xff400000-0xff7fffff "the interrupt descriptor table"
# The rest of the direct map: each kernel has made two pages read-only that it had allocated.
"$umbra" pt compare "$work/ours" "$lv_dir/home/qemu" 0xc00a0000-0xc0ffffff --allow table,rights >"$work/out" 2>&1
result $? "the direct map, but for rights"
[ "$(sed -n 's/^ *\([0-9]*\) pages: other rights.*/\1/p' "$work/out" | grep . || echo 0)" -le 8 ]
result $? "which differ for a few pages only"
[ $failed -eq 0 ] || { tail -n 5 "$work/out" "$work/err" "$work/serial"; cat "$lv_dir/out"; }
exit $failed
