#!/bin/bash
# --trace-insn and --break: what they write, and what they say when they cannot. Prints TAP.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2

run() { "$umbra" run "$@" >"$dir/out" 2>"$dir/err" </dev/null; }

# A flat image, loaded at 0x1000 and entered at its first byte with EAX = 0 and no stack to speak of.
{
    printf '\xb8\x05\x00\x00\x00'      # 1000 mov eax, 5
    printf '\xb9\x03\x00\x00\x00'      # 1005 mov ecx, 3
    printf '\xbf\xfe\x3f\x00\x00'      # 100a mov edi, 3ffeh: across a page, both not there yet
    printf '\xf3\xaa'                  # 100f rep stosb
    printf '\x66\x0f\x6e\xc0'          # 1011 movd xmm0, eax
    printf '\xd9\xe8'                  # 1015 fld1
    printf '\x48'                      # 1017 dec eax
    printf '\x75\xfd'                  # 1018 jnz 1017
    printf '\xf4'                      # 101a hlt
} >"$dir/flat"
cat >"$dir/want" <<'END'
00001000  b805000000     mov eax, 0x05                       ; eax=00000005
00001005  b903000000     mov ecx, 0x03                       ; ecx=00000003
0000100a  bffe3f0000     mov edi, 0x3ffe                     ; edi=00003ffe
0000100f  f3aa           rep stosb                           ; ecx=00000000 edi=00004001
00001011  660f6ec0       movd xmm0, eax                      ; xmm0=00000000000000000000000000000005
00001015  d9e8           fld1                                ; fsw=3800 ftw=80 st0=3fff8000000000000000
00001017  48             dec eax                             ; eax=00000004 efl=00000002
00001018  75fd           jnz 0x00001017
00001017  48             dec eax                             ; eax=00000003 efl=00000006
00001018  75fd           jnz 0x00001017
00001017  48             dec eax                             ; eax=00000002 efl=00000002
00001018  75fd           jnz 0x00001017
00001017  48             dec eax                             ; eax=00000001
00001018  75fd           jnz 0x00001017
00001017  48             dec eax                             ; eax=00000000 efl=00000046
00001018  75fd           jnz 0x00001017
0000101a  f4             hlt
END
# CR4.OSFXSR is off at the start: movd raises #UD, and there is no IDT.
run "$dir/flat" --flat=0x1000 --trace-insn "$dir/got"
[ $? -eq 4 ] && head -n 4 "$dir/want" | diff - <(head -n 4 "$dir/got") && grep -q '^00001011 .*; not completed$' "$dir/got"
result $? "an instruction that ends the machine is told as not completed"

# mov eax, 200h; mov cr4, eax before it
{ printf '\xb8\x00\x02\x00\x00\x0f\x22\xe0\x31\xc0'; cat "$dir/flat"; } >"$dir/flat2"
run "$dir/flat2" --flat=0xff6 --trace-insn "$dir/got"
[ $? -eq 0 ] && diff "$dir/want" <(tail -n +4 "$dir/got") >"$dir/diff"
rc=$?
result $rc "each instruction once, with its bytes and what it changed"
[ $rc -eq 0 ] || sed 's/^/# /' "$dir/diff"
grep -q '^00000ffb  0f22e0  *mov cr4, eax  *; cr4=00000200$' "$dir/got"
result $? "control registers are told"
grep -q 'engine soft: .*need the soft CPU' "$dir/err"
result $? "--engine auto takes soft and says why"

# The whole of a guest: as many lines as instructions.
run "$guests/hello.elf" -m 16M --engine soft --trace-insn "$dir/got" --stats=json -o "$dir/stats"
rc=$?
n=$(sed -n 's/.*"soft CPU instructions": *\([0-9]*\).*/\1/p' "$dir/stats")
[ $rc -eq 0 ] && [ "$n" -gt 1000 ] && [ "$n" -eq "$(wc -l <"$dir/got")" ]
result $? "as many lines as instructions (${n:-none})"
grep -q 'Hello from' "$dir/out" && tail -n 1 "$dir/got" | grep -q '  f4  *hlt$'
result $? "the guest runs as ever, the last line is its HLT"

# Breakpoints.
run "$dir/flat2" --flat=0xff6 -q --break 0x1018,1 --break 4101
[ $? -eq 0 ] && [ "$(grep -c '^break at 00001018$' "$dir/err")" -eq 5 ] &&
    [ "$(grep -c '^break at 00001005$' "$dir/err")" -eq 1 ] && [ "$(grep -c '^EAX=' "$dir/err")" -eq 11 ] &&
    grep -q '^00001017  48  *dec eax$' "$dir/err" && ! grep -q '^00001000 ' "$dir/err"
result $? "a breakpoint dumps registers each time, and before N more instructions"
run "$dir/flat2" --flat=0xff6 -q --break 0x101a --trace-insn "$dir/got"
[ $? -eq 0 ] && [ ! -s "$dir/err" ] && grep -q '^break at 0000101a' "$dir/got"
result $? "with --trace-insn they tell it in its file"
many=()
for i in {1..17}; do many+=(--break "$i"); done
run "$dir/flat2" --flat "${many[@]}"
[ $? -eq 1 ] && grep -q 'more than 16' "$dir/err"
result $? "seventeen breakpoints are one too many"
for wrong in '' x 0x100000000 '1,' '1,x' '1,2,3' '1000000000000000000000000000000000000000,1' -1; do
    run "$dir/flat2" --flat "--break=$wrong"
    [ $? -eq 1 ] && [ -s "$dir/err" ] && [ ! -s "$dir/out" ]
    result $? "--break '$wrong' is refused"
done

# What cannot be.
run "$guests/hello.elf" --engine kvm --trace-insn "$dir/got"
[ $? -eq 1 ] && grep -q 'not with --engine kvm' "$dir/err"
result $? "--engine kvm is refused"
run "$guests/hello.elf" --engine kvm --break 0
[ $? -eq 1 ] && grep -q 'not with --engine kvm' "$dir/err"
result $? "... for breakpoints too"
run "$guests/hello.elf" --trace-insn "$dir/not/there"
[ $? -eq 3 ] && grep -q -- '--trace-insn .*/not/there: No such file' "$dir/err" && [ ! -s "$dir/out" ]
result $? "a file that cannot be made: exit code 3, nothing runs"
if [ -w /dev/full ]; then
    run "$guests/hello.elf" --trace-insn /dev/full
    [ $? -eq 3 ] && grep -q 'No space left' "$dir/err" && [ "$(grep -c 'No space' "$dir/err")" -eq 1 ]
    result $? "a full disk ends the run: exit code 3"
    run "$dir/flat2" --flat=0xff6 --trace-insn /dev/full
    [ $? -eq 3 ] && grep -q 'No space left' "$dir/err"
    result $? "... also when it is noticed at the end only"
    run "$dir/flat2" --flat=0xff6 --pt -o /dev/full
    [ $? -eq 3 ] && grep -q 'No space left\|not everything' "$dir/err"
    result $? "--output to a full disk: exit code 3"
fi
done_testing
