#!/bin/bash
# Run one guest and hold what came of it against what must.
#
#   run_guest.sh [-x STATUS] [-g REGEX]... [-n REGEX]... [-k] [-s SIZE] -- UMBRA run ...
#
#   -x STATUS  the exit status that must come (0)
#   -g REGEX   must match a line of output (stdout and stderr together)
#   -n REGEX   must match none
#   -s SIZE    with a swap area of that size, made for this run: adds --swap FILE
#   -k         needs a usable /dev/kvm: otherwise say so and exit 77 (skipped)
#
# With UMBRA_PROCESSOR=qemu in the environment, lines "not ok" that tests/qemu_processor.known lists are told
# and forgiven: the processor below that KVM is no silicon.
#
# Exit status 0 when all is as it must be, 77 when skipped, 1 otherwise with the whole output.
set -u
want=0 need_kvm='' swap='' must=() mustnot=()
while getopts 'x:g:n:s:k' o; do
    case $o in
        x) want=$OPTARG ;;
        g) must+=("$OPTARG") ;;
        n) mustnot+=("$OPTARG") ;;
        s) swap=$OPTARG ;;
        k) need_kvm=1 ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))

if [ $need_kvm ] && ! "$1" info --json | grep -q '"kvm": {"usable": true'; then
    echo "SKIPPED: no usable /dev/kvm on this host: $("$1" info | head -n 1)"
    exit 77
fi

out=$(mktemp) || exit 1
trap 'rm -f "$out" "$out.swap"' EXIT
if [ -n "$swap" ]; then
    "$1" mkswap "$out.swap" "$swap" -q || exit 1
    set -- "$@" --swap "$out.swap"
fi
timeout -k 5 "${GUEST_LIMIT:-100}" "$@" >"$out" 2>&1 </dev/null
status=$?
bad=''
if [ "${UMBRA_PROCESSOR:-}" = qemu ] && [ $status -eq 33 ]; then
    known=$(sed '/^#/d' "$(dirname "${BASH_SOURCE[0]}")/qemu_processor.known")
    forgiven=$(grep -a '^not ok' "$out" | sed 's/^not ok [0-9]* - //' | grep -Fxf <(printf '%s\n' "$known"))
    if [ -n "$forgiven" ] && [ "$(grep -ac '^not ok' "$out")" -eq "$(wc -l <<<"$forgiven")" ]; then
        echo "known of QEMU's processor: $forgiven"
        sed -i 's/^not ok \(.*\)/ok \1 # not so on QEMU/' "$out"
        status=0
    fi
fi
[ $status -eq "$want" ] || bad+="exit status $status, not $want"$'\n'
for r in ${must[@]+"${must[@]}"}; do grep -aEq -- "$r" "$out" || bad+="no line matches: $r"$'\n'; done
for r in ${mustnot[@]+"${mustnot[@]}"}; do grep -aEq -- "$r" "$out" && bad+="a line matches: $r"$'\n'; done
[ -z "$bad" ] && exit 0
printf '%s' "$bad"
echo "--- $*"
head -c 20000 "$out"
exit 1
