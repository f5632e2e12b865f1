#!/bin/bash
# The real gdb on tinykernel, on each engine: breakpoints, watchpoints, steps, memory, registers.
# Prints TAP. Exit status 77 (skipped) without gdb.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
command -v gdb >/dev/null || skip_all "gdb is not installed"

cat >"$dir/script" <<'END'
set pagination off
set confirm off
set width 0
set tcp connect-timeout 20
break main
continue
print $cr0 >> 31
backtrace
print/x *(unsigned char *)main
stepi
stepi
print (unsigned)$eip > (unsigned)main
delete
watch ticks if ticks == 2
continue
delete
print ticks
hbreak *0x8048000
info breakpoints
delete
monitor pt 0xc0100000
monitor explain 0xc0100000
monitor nonsense
set var ticks = 1000
print ticks
print $eflags
p $xmm0.uint128
tbreak proc_fork
continue
backtrace 2
x/2i $pc
detach
END

session() { # NAME OPTIONS...
    local name=$1
    shift
    timeout -k 5 100 "$umbra" run "$guests/tinykernel.elf" -m 16M -q -S --gdb "unix:$dir/$name.sock" "$@" \
        >"$dir/$name.out" 2>&1 </dev/null &
    local vm=$!
    for _ in {1..200}; do [ -S "$dir/$name.sock" ] && break; sleep 0.05; done
    timeout 90 gdb -nx -q -batch -ex "target remote $dir/$name.sock" -x "$dir/script" \
        "$guests/tinykernel.elf" >"$dir/$name.gdb" 2>&1
    # shellcheck disable=SC2016 # $1 and so on are gdb's
    local lines=(
        'Breakpoint 1, main ()' 'a breakpoint where paging is on, by a linear address'
        '\$1 = 1' 'a register of ours: CR0.PG is set'
        '#0 +main ()' 'the stack'
        '\$2 = 0x[0-9a-f]+' 'memory by the guest'\''s own translation'
        '\$3 = 1' 'two steps'
        'watchpoint 2: ticks' 'a watchpoint'
        '\$4 = 2' '... that hit at its condition'
        'umbra|^c0100000 |in step|read-only' 'the page table row from monitor pt'
        'ring 3' 'the page explained'
        "'nonsense' is no command of umbra's" 'a monitor command that there is not'
        '\$5 = 1000' 'a variable that the debugger wrote'
        '\$6 = \[' 'flags by name'
        'proc_fork \(' 'a breakpoint later on'
        'detached' 'detach')
    for ((i = 0; i < ${#lines[@]}; i += 2)); do
        grep -qE -- "${lines[i]}" "$dir/$name.gdb"
        result $? "$name: ${lines[i + 1]}"
    done
    wait $vm
    local status=$?
    [ $status -eq 0 ] && ! grep -q '^not ok' "$dir/$name.out" && grep -q '^1\.\.' "$dir/$name.out"
    result $? "$name: the kernel runs to its end afterwards, and saw nothing"
    [ $failed -eq 0 ] || { echo "--- status $status"; cat "$dir/$name.gdb"; tail -n 5 "$dir/$name.out"; }
}

session soft --engine soft
if has_kvm; then
    session hybrid --engine kvm --ring0 soft
else
    echo "# SKIPPED: the session on kvm: no usable /dev/kvm"
fi

"$umbra" run "$guests/hello.elf" --gdb nonsense </dev/null >"$dir/out" 2>&1
[ $? -eq 1 ] && grep -q 'nonsense' "$dir/out"
result $? 'an address that is none: exit code 1, named'
"$umbra" run "$guests/hello.elf" -S </dev/null >"$dir/out" 2>&1
[ $? -eq 1 ] && grep -q -- '--gdb' "$dir/out"
result $? '-S with nobody who could resume: refused'
done_testing
