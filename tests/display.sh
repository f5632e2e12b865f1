#!/bin/bash
# display.sh UMBRA GUESTS: who gets the terminal, the screen, COM1 and the keyboard. A terminal is made by
# script(1) of bsdutils; without it, what needs one is left out, by name.
set -u
umbra=$1 guests=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0
ok() { # ok STATUS TEXT
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        failed=1
        echo "not ok $n - $2"
    fi
}
has() { grep -aq -- "$2" "$dir/$1"; }
vga=("$umbra" run "$guests/dev_vga.elf" -m 16M --engine soft -q --timeout 60)

"${vga[@]}" --screen "$dir/screen" --serial "$dir/serial" </dev/null >"$dir/out" 2>&1
ok $? "a run without a display"
has screen "^╔═ The VGA's text screen ═╗$" && has screen '^in its last line$'
ok $? "--screen has the screen at the end"
[ "$(wc -l <"$dir/screen")" -eq 25 ]
ok $? "all 25 lines of it"
has serial '^1\.\.' && ! has out '^1\.\.'
ok $? "--serial has what COM1 said, standard output has not"

"${vga[@]}" --display text </dev/null >"$dir/out" 2>"$dir/err"
has out '^1\.\.' && has out '^in its last line$' && ! grep -q $'\033' "$dir/out"
ok $? "no terminal: COM1, then the screen, plain"

"${vga[@]}" --display window </dev/null >/dev/null 2>"$dir/err"
[ $? -eq 1 ] && has err window
ok $? "a display that there is not"
"${vga[@]}" --screen /nonexistent/screen </dev/null >/dev/null 2>"$dir/err"
[ $? -eq 3 ] && has err /nonexistent/screen
ok $? "a screen file that cannot be made"
"${vga[@]}" --serial /nonexistent/serial </dev/null >/dev/null 2>"$dir/err"
[ $? -eq 3 ] && has err /nonexistent/serial
ok $? "nor a serial file"

# The keyboard: keys that were typed come as scan codes, whether a terminal or a pipe has them.
keys=("$umbra" run "$guests/dev_keys.elf" -m 16M --engine soft -q --timeout 60 --display text)
printf 'aB\r' | "${keys[@]}" >"$dir/out" 2>&1
ok $? "the keyboard's guest is done by Enter"
has out '^codes: 1e 9e 2a 30 b0 aa 1c$'
ok $? "a, shifted b, Enter from standard input"

if command -v script >/dev/null; then
    script -qec "stty rows 24 cols 80; ${vga[*]} --display text --serial $dir/serial; stty -a" /dev/null \
        </dev/null >"$dir/out" 2>&1
    ok $? "a run on a terminal"
    has out $'\033\\[?1049h' && has out $'\033\\[?1049l'
    ok $? "takes the terminal's other screen, and gives it back"
    has out '^in its last line' && has out ' icanon'
    ok $? "prints the screen at the end; the terminal is as it was"
    (sleep 1; printf 'x\001x') | script -qec "${keys[*]}" /dev/null >"$dir/out" 2>&1
    has out 'codes:' || has out 'ended by Ctrl-A x'
    ok $? "Ctrl-A x ends it there as well"
else
    echo "# no script(1): the runs on a terminal were left out"
fi
echo "1..$n"
exit $failed
