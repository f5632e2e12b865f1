#!/bin/bash
# The umbra command's words: help, version, suggestions, exit codes, completion, manual pages. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1

# check WHAT STATUS OUT ERR ARGS...: run umbra ARGS; OUT and ERR are patterns for both outputs ('' = empty).
check() {
    local what=$1 status=$2 out_like=$3 err_like=$4 out err rc
    shift 4
    out=$("$umbra" "$@" 2>"$tmp" </dev/null)
    rc=$?
    err=$(cat "$tmp")
    # shellcheck disable=SC2053 # patterns are meant
    [ $rc -eq "$status" ] && [[ $out == $out_like ]] && [[ $err == $err_like ]]
    result $? "$what" || printf '# umbra %s: status %d\n# out: %s\n# err: %s\n' "$*" $rc "$out" "$err"
}

tmp=$dir/stderr tap_show=()

check "no command shows the commands and is an error" 1 '*Usage:*help*' ''
check "help shows the commands" 0 '*Usage:*help*' '' help
check "--help likewise" 0 '*Usage:*' '' --help
check "-h likewise" 0 '*Usage:*' '' -h
check "help of a command" 0 'Usage: umbra help*' '' help help
check "COMMAND --help likewise" 0 'Usage: umbra help*' '' help --help
check "help of exit codes" 0 '*frame pool*' '' help exit-codes
check "version" 0 'umbra [0-9]*.[0-9]*' '' --version
check "mistyped command is suggested" 1 '' "*did you mean 'help'?*" hepl
check "unknown command" 1 '' "*there is no command 'frobnicate'*" frobnicate
check "empty command" 1 '' "*there is no command ''*" ''
check "help of an unknown command" 1 '' '*no command*' help frobnicate
check "two images" 1 '' "*one image at a time: 'a' and 'b'*" run -kernel a b
check "a range that is backwards" 1 '' "umbra run: --pt: '5-4' ends before it starts*" run --pt 5-4 x
check "an empty range" 1 '' "umbra run: --pt: '5+0' is an empty range*" run --pt 5+0 x
check "pt: a range that is backwards" 1 '' "umbra pt: '5-4' ends before it starts*" pt 5-4
check "an empty panic text" 1 '' '*--panic-text: give one line*' run a --panic-text=
check "too many words" 1 '' '*one command*' help a b
long=$(printf 'x%.0s' {1..5000})
check "a very long command is cut in the message" 1 '' '*no command*' "$long"

! "$umbra" help >/dev/full 2>"$tmp"
result $? "output that cannot be written is an error"
# Help fits a terminal of 100 columns, and completion offers each option that help names, and what a help cannot say.
wide=$(for cmd in '' exit-codes $("$umbra" help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'); do
    # shellcheck disable=SC2086 # no command: no word
    "$umbra" help $cmd | awk -v cmd="$cmd" 'length > 100 { print cmd ": " $0 }'
done)
[ -z "$wide" ]
result $? "help fits 100 columns" || printf '# %s\n' "$wide"
# shellcheck source=tools/completion/umbra.bash
. "$(dirname "$0")/../tools/completion/umbra.bash"
compopt() { :; }
# offers WHAT WORDS...: completing the last of WORDS ("umbra" not among them) offers WHAT.
offers() {
    local want=$1 word lacking=''
    shift
    COMP_WORDS=("$umbra" "$@") COMP_CWORD=$#
    _umbra
    for word in $want; do [[ " ${COMPREPLY[*]} " == *" $word "* ]] || lacking+=" $word"; done
    [ -z "$lacking" ]
    result $? "completion of: umbra $*" || echo "# lacks:$lacking; offers: ${COMPREPLY[*]}"
}
offers 'run ctl pt explain test mkswap top trace report info help' ''
for cmd in run pt explain test mkswap top report info; do
    offers "$("$umbra" help "$cmd" | grep -oE '^  --?[a-z][a-z0-9-]*' | tr -d '\n')" "$cmd" -
done
offers 'status registers pause resume step memory inject quit' ctl ''
offers '--socket --json --physical --timeout' ctl status -
offers 'save compare' pt ''
offers 'both kernel user' pt --view ''
offers 'report dump export' trace ''
offers '--json --top --output' trace report -
offers 'auto native soft' run x.elf --ring0 ''
# Each command has a manual page, which names each option that its help names; and umbra(1) names it.
man=$(dirname "$0")/../docs/man
plain() { sed 's/\\f[A-Z]//g; s/\\-/-/g' "$1"; }
for cmd in $("$umbra" help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'); do
    lacking=''
    [ "$cmd" = help ] && page=$man/umbra.1 || page=$man/umbra-$cmd.1
    plain "$man/umbra.1" | grep -q "^\.B $cmd\$" || lacking+=" $cmd in umbra.1"
    [ -f "$page" ] || lacking+=" $page"
    for option in $("$umbra" help "$cmd" | grep -oE '^  +(-[a-z], )?--?[a-z][a-z0-9-]*' | grep -oE -- '--?[a-z][a-z0-9-]*'); do
        [ ! -f "$page" ] || plain "$page" | grep -qE -- "(^|[ ,])$option([],[ ]|\$)" || lacking+=" $option"
    done
    [ -z "$lacking" ]
    result $? "manual of $cmd is complete${lacking:+: it lacks$lacking}"
done
done_testing
