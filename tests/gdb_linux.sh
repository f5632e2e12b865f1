#!/bin/bash
# The real gdb on Debian's kernel while it boots: memory and breakpoints by the kernel's own page tables.
# Prints TAP. Exit status 77 (skipped) without gdb, or without the kernel (tools/fetch-images gets it).
set -u
umbra=$1
images=$("$(dirname "${BASH_SOURCE[0]}")/../tools/fetch-images" --dir)
command -v gdb >/dev/null || { echo "SKIPPED: gdb is not installed"; exit 77; }
kernel=$images/linux-686/vmlinux initrd=$images/initramfs.gz
if [ ! -s "$kernel" ] || [ ! -s "$initrd" ]; then
    echo "SKIPPED: no kernel in $images; tools/fetch-images gets it"
    exit 77
fi
count=0 bad=0
dir=$(mktemp -d) || exit 1
trap 'kill "$vm" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT

# The banner lies in the kernel's data, at a linear address that paging makes. The handler of vector 14 is
# found in the guest's IDT; a process that starts is soon there.
cat >"$dir/script" <<'END'
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
while sleep 0.5; do echo 'ls /'; done | timeout -k 5 200 "$umbra" run "$kernel" -initrd "$initrd" -m 64M -append 'console=ttyS0 cryptomgr.notests panic=-1' \
    --engine soft -q --gdb "unix:$dir/sock" >"$dir/out" 2>&1 &
vm=$!
for _ in {1..1200}; do grep -qas 'Run /init' "$dir/out" && break; kill -0 $vm 2>/dev/null || break; sleep 0.1; done
timeout 60 gdb -nx -q -batch -ex "target remote $dir/sock" -x "$dir/script" >"$dir/gdb" 2>&1

result() { # WHAT, status of the command before
    count=$((count + 1))
    if [ "$2" -eq 0 ]; then echo "ok $count - $1"; else bad=$((bad + 1)); echo "not ok $count - $1"; fi
}
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
    grep -qaE -- "${lines[i]}" "$dir/gdb"
    result "${lines[i + 1]}" $?
done
before=$(wc -c <"$dir/out")
for _ in {1..300}; do [ "$(wc -c <"$dir/out")" -gt "$before" ] && break; kill -0 $vm 2>/dev/null || break; sleep 0.1; done
grep -qaE 'Kernel panic|BUG:|Oops' "$dir/out"
[ $? -eq 1 ]
result 'the kernel did not suffer' $?
[ $bad -eq 0 ] || { cat "$dir/gdb"; tail -n 5 "$dir/out"; }
echo "1..$count"
[ $bad -eq 0 ]
