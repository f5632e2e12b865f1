#!/bin/bash
# Odd command lines, files that are no image or lie about what they are, and code that is at odds with the
# processor: each ends at once, with its exit code and a message that says why. Prints TAP.
#   bad_input.sh UMBRA GUESTS [native|hybrid]     on the kvm engine; else on soft
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
case ${3:-soft} in
    native) engine=(--engine kvm --ring0 native) ;;
    hybrid) engine=(--engine kvm --ring0 soft) ;;
    *) engine=(--engine soft) ;;
esac
[ "${engine[1]}" != kvm ] || need_kvm
tap_lines=12

# check WHAT STATUS REGEX ARGS...: umbra run ARGS
check() {
    local what=$1 want=$2 regex=$3 rc
    shift 3
    timeout -k 5 50 "$umbra" run "$@" "${engine[@]}" --timeout 40 >"$dir/out" 2>&1 </dev/null
    rc=$?
    [ $rc -eq "$want" ] && grep -aqE -- "$regex" "$dir/out"
    result $? "$what" || echo "# status $rc, not $want; or no line matches: $regex"
}

hello=$guests/hello.elf
printf x >"$dir/one"
: >"$dir/empty"
mkfifo "$dir/fifo"

# Command lines.
check 'a byte too few of memory' 1 '^umbra run: guest memory of 1048575 bytes: give' "$hello" -m 1048575
check 'a page of memory' 1 '^umbra run: guest memory of 4096 bytes: give' "$hello" -m 4096
check 'no whole pages of memory' 1 'guest memory of 16777217 bytes' "$hello" -m 16777217
check 'memory without an end' 1 'more than 64 bits' "$hello" -m 99999999999999999999G
check 'a pool of nothing' 1 "^umbra run: --pool: '0'" "$hello" --pool 0
check 'a pool beyond 4 GiB' 1 'up to 4 GiB' "$hello" --pool 99999G
check 'all the memory there can be, over a pool of 2 MiB' 0 'Hello' "$hello" -m 3584M --pool 2M
check 'two images' 1 'one image at a time' "$hello" "$hello"
check 'an image without a name' 2 'cannot be opened' ''
long=$(printf 'x%.0s' {1..100000})
check 'a command line of 100000 bytes' 2 'command line is longer than 4095 bytes$' "$hello" -append "$long"
modules=()
for _ in {1..65}; do modules+=("$dir/one"); done
check '65 modules' 1 'more than 64 modules' "$hello" -initrd "${modules[@]}"
check '64 modules' 0 'module 63: ' "$hello" -initrd "${modules[@]:1}"
check 'a module without a name' 2 'module 0 names no file' "$hello" -initrd ''

# What is no file to read.
for what in fifo empty . one; do
    check "'$what' as image" 2 "^umbra run: .*: (not a regular file|is empty|is a directory|not an image)" "$dir/$what"
done
check '/dev/zero as image' 2 'not a regular file' /dev/zero
for what in fifo empty .; do
    check "'$what' as flat image" 2 ': (not a regular file|is empty|is a directory)' --flat "$dir/$what"
    check "'$what' as module" 2 ': (not a regular file|is empty|is a directory)' "$hello" -initrd "$dir/$what"
done
check '/dev/zero as module' 2 'not a regular file' "$hello" -initrd /dev/zero
for what in one . fifo; do
    timeout -k 5 50 "$umbra" run "$hello" --engine kvm --kvm-device "$dir/$what" >"$dir/out" 2>&1 </dev/null
    rc=$?
    [ $rc -eq 3 ] && grep -q 'use --engine soft$' "$dir/out"
    result $? "'$what' as KVM device" || echo "# status $rc"
done

# Files that are larger than anything that could hold them, without a block on disk.
truncate -s 3000M "$dir/sparse"
check 'an image of 3 GB of zeros' 2 'not an image that is known' "$dir/sparse"
check '3 GB, flat, over a pool of 2 MiB' 2 'pool is used up' --flat "$dir/sparse" -m 3584M --pool 2M
check 'a module of 3 GB' 2 'module of 0xbb800000 bytes does not fit' "$hello" -initrd "$dir/sparse"
check 'a module of 3 GB that RAM holds, but not the pool' 2 'pool is used up' "$hello" -m 3584M --pool 2M -initrd "$dir/sparse"

# A sound image with one lie in its ELF header: offset, bytes, and the field that is named.
while read -r offset bytes field; do
    cp "$hello" "$dir/lie.elf"
    printf '%b' "$bytes" | dd of="$dir/lie.elf" bs=1 seek="$offset" conv=notrunc status=none
    check "a lie in $field" 2 "$field" "$dir/lie.elf"
done <<'LIES'
4 \x02 EI_CLASS
18 \x3e\x00 e_machine
24 \xff\xff\xff\xff e_entry
28 \xff\xff\xff\xff program.header
44 \xff\xff e_phnum
LIES
head -c 52 "$hello" >"$dir/cut"
check 'an ELF header and nothing after it' 2 'truncated' "$dir/cut"
# The word that makes it a Multiboot image is gone: a guest that finds itself started otherwise gives up.
LC_ALL=C sed 's/\x02\xb0\xad\x1b/\x03\xb0\xad\x1b/' "$hello" >"$dir/plain.elf"
# A sed that knows no \x has changed nothing.
if cmp -s "$hello" "$dir/plain.elf"; then
    skip "a guest's own panic is exit code 5" 'this sed knows no \x'
else
    check "a guest's own panic is exit code 5" 5 '^panic: not booted by Multiboot' "$dir/plain.elf"
fi

# Code. Each is entered at its first byte in flat 32-bit segments, without an IDT: an exception is the end.
code() { # WHAT STATUS REGEX BYTES ARGS...
    local what=$1 want=$2 regex=$3
    printf '%b' "$4" >"$dir/code"
    shift 4
    check "$what" "$want" "$regex" "$dir/code" "$@"
}
sixes='\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66'
halted='halted with interrupts off'
code 'an instruction of 15 bytes' 0 "$halted" "$sixes\x90\xf4" --flat
code 'one of 16 bytes' 4 'triple fault' "$sixes\x66\x90\xf4" --flat
code 'prefixes without an instruction, up to the end of RAM' 4 'EIP=' '\x66\x66\x66' --flat=0xffffd -m 1M
code 'an instruction that the end of RAM cuts' 4 'EIP=000fffff' '\xb8' --flat=0xfffff -m 1M
code 'a jump to the last byte of 4 GiB' 4 'EIP=ffffffff' '\xb8\xff\xff\xff\xff\xff\xe0' --flat
code 'an undefined instruction' 4 'triple fault' '\x0f\x0b' --flat
for line in 'umbra: .*triple fault: vector 13 \(error 0x43\) while a double fault' 'EAX=00000000 EBX=' 'EIP=00100000 EFL=' 'CS =0008 ' \
    'IDT=     00000000 00000000' 'CR0=00000011 CR2='; do
    grep -qE "^$line" "$dir/out"
    result $? "it says what the last trap was, and the registers: $line"
done
# mov byte [next], hlt; next: jmp next
code 'code that changes the next instruction' 0 "$halted" '\xc6\x05\x07\x00\x10\x00\xf4\xeb\xfe' --flat
# mov dword [next], nop hlt nop nop; next: mov al, 17; jmp $: "next" has its second byte in another page.
code 'the same where that lies across pages' 0 "$halted" '\xc7\x05\xff\x0f\x10\x00\x90\xf4\x90\x90\xb0\x11\xeb\xfe' --flat=0x100ff5
# mov eax, 0x200104; jmp 0x20008a: in the zero frame, where each "add [eax], al" adds 4 to the 62nd instruction. It is
# HLT (0xf4) when its turn comes, in the frame that the first of them has put in the zero frame's place.
code 'code in the zero frame that writes itself an end' 0 "$halted" '\xb8\x04\x01\x20\x00\xe9\x80\x00\x10\x00' --flat
# mov eax, 0x300000; jmp 0x200000: zeros are instructions up to the end of RAM.
code 'zeros as code, up to the end of RAM' 4 'EIP=00400000' '\xb8\x00\x00\x30\x00\xe9\xf6\xff\x0f\x00' --flat -m 4M

done_testing
