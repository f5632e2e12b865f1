#!/bin/bash
# display.sh UMBRA GUESTS: who gets the terminal, the screen, COM1 and the keyboard. A terminal is made by
# script(1) of bsdutils; without it, what needs one is left out, by name.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
has() { grep -aq -- "$2" "$dir/$1"; }
vga=("$umbra" run "$guests/dev_vga.elf" -m 16M --engine soft -q --timeout 60)

"${vga[@]}" --screen "$dir/screen" --serial "$dir/serial" </dev/null >"$dir/out" 2>&1
result $? "a run without a display"
has screen "^╔═ The VGA's text screen ═╗$" && has screen '^in its last line$'
result $? "--screen has the screen at the end"
[ "$(wc -l <"$dir/screen")" -eq 25 ]
result $? "all 25 lines of it"
has serial '^1\.\.' && ! has out '^1\.\.'
result $? "--serial has what COM1 said, standard output has not"

"${vga[@]}" --display text </dev/null >"$dir/out" 2>"$dir/err"
has out '^1\.\.' && has out '^in its last line$' && ! grep -q $'\033' "$dir/out"
result $? "no terminal: COM1, then the screen, plain"

# mov word [0xb8000], 0x0741; cli; hlt
printf '\x66\xc7\x05\x00\x80\x0b\x00\x41\x07\xfa\xf4' >"$dir/flat"
"$umbra" run --flat "$dir/flat" -m 4M --engine soft </dev/null >/dev/null 2>"$dir/err"
has err 'written to its VGA screen and not to COM1: --display text'
result $? "who sees nothing is told where it is"
printf '\xfa\xf4' >"$dir/flat"
"$umbra" run --flat "$dir/flat" -m 4M --engine soft </dev/null >/dev/null 2>"$dir/err"
! has err 'VGA screen'
result $? "a blank screen is not worth a word"

"${vga[@]}" --display window </dev/null >/dev/null 2>"$dir/err"
[ $? -eq 1 ] && has err window
result $? "a display that there is not"
"${vga[@]}" --screen /nonexistent/screen </dev/null >/dev/null 2>"$dir/err"
[ $? -eq 3 ] && has err /nonexistent/screen
result $? "a screen file that cannot be made"
"${vga[@]}" --serial /nonexistent/serial </dev/null >/dev/null 2>"$dir/err"
[ $? -eq 3 ] && has err /nonexistent/serial
result $? "nor a serial file"

# The keyboard: keys that were typed come as scan codes, whether a terminal or a pipe has them.
keys=("$umbra" run "$guests/dev_keys.elf" -m 16M --engine soft -q --timeout 60 --display text)
printf 'aB\r' | "${keys[@]}" >"$dir/out" 2>&1
result $? "the keyboard's guest is done by Enter"
has out '^codes: 1e 9e 2a 30 b0 aa 1c$'
result $? "a, shifted b, Enter from standard input"

if command -v script >/dev/null; then
    script -qec "stty rows 24 cols 80; ${vga[*]} --display text --serial $dir/serial; stty -a" /dev/null \
        </dev/null >"$dir/out" 2>&1
    result $? "a run on a terminal"
    has out $'\033\\[?1049h' && has out $'\033\\[?1049l'
    result $? "takes the terminal's other screen, and gives it back"
    has out '^in its last line' && has out ' icanon'
    result $? "prints the screen at the end; the terminal is as it was"
    (sleep 1; printf 'x\001x') | script -qec "${keys[*]}" /dev/null >"$dir/out" 2>&1
    has out 'codes:' || has out 'ended by Ctrl-A x'
    result $? "Ctrl-A x ends it there as well"
else
    echo "# no script(1): the runs on a terminal were left out"
fi
done_testing
