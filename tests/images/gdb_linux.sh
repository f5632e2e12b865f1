#!/bin/bash
# gdb_linux.sh UMBRA TALK KERNEL: the real gdb on Debian's kernel while it runs: memory and breakpoints by the
# kernel's own page tables.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
command -v gdb >/dev/null || skip_all "gdb is not installed"
need "$kernel"
need_initramfs
vm=''
trap '[ -z "$vm" ] || kill $vm 2>/dev/null; wait; rm -rf "$work"' EXIT

# The banner lies in the kernel's data, at a linear address that paging makes. The handler of vector 14 is
# found in the guest's IDT; a process that starts is soon there.
cat >"$work/script" <<'END'
set pagination off
set confirm off
set width 0
print $cr0 >> 31
find /w 0xc1000000, +0x1200000, 0x756e694c, 0x65762078
x/s $_
set $gate = (unsigned short *)($idt_base + 14 * 8)
set $handler = (unsigned)$gate[0] | (unsigned)$gate[3] << 16
hbreak *$handler
continue
print (unsigned)$eip == $handler
print $cpl
x/2i $eip
stepi
print (unsigned)$eip != $handler
monitor pt 0xc1000000+4k
delete
detach
END

# Somebody types, so that there is always a process about to start.
while sleep 0.5; do echo 'ls /'; done | timeout -k 5 200 "$umbra" run "$(images_path "$kernel")/vmlinux" -m 64M \
    -initrd "$work/initramfs.gz" -append 'console=ttyS0 cryptomgr.notests panic=-1' --engine soft -q --gdb "unix:$work/sock" >"$work/out" 2>&1 &
vm=$!
for _ in {1..1200}; do grep -qas 'Run /init' "$work/out" && break; kill -0 $vm 2>/dev/null || break; sleep 0.1; done
timeout 60 gdb -nx -q -batch -ex "target remote $work/sock" -x "$work/script" >"$work/gdb" 2>&1

# shellcheck disable=SC2016 # $1 and so on are gdb's
lines=(
    '\$1 = 1' 'paging is on'
    '"Linux version [0-9.]+-[0-9]+-686' 'the banner, found by linear addresses'
    '\$2 = 1' 'a breakpoint in the page fault handler stops there'
    '\$3 = 0' '... in ring 0'
    '\$4 = 1' 'a step out of it'
    '^c1000000-.* P[W-]-A' 'monitor pt'
    'detached' 'detach')
for ((i = 0; i < ${#lines[@]}; i += 2)); do
    grep -qaE -- "${lines[i]}" "$work/gdb"
    result $? "${lines[i + 1]}"
done
before=$(wc -c <"$work/out")
for _ in {1..300}; do [ "$(wc -c <"$work/out")" -gt "$before" ] && break; kill -0 $vm 2>/dev/null || break; sleep 0.1; done
[ "$(wc -c <"$work/out")" -gt "$before" ]
result $? 'the guest goes on'
grep -qaE 'Kernel panic|BUG:|Oops' "$work/out"
[ $? -eq 1 ]
result $? 'the kernel did not suffer'
[ $failed -eq 0 ] || { cat "$work/gdb"; tail -n 5 "$work/out"; }
done_testing
