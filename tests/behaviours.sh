#!/bin/bash
# docs/mm.md says for each behaviour of the memory manager which test holds it: each of the 32 has a line there,
# and each test and guest that is named exists. Prints TAP.
# shellcheck disable=SC2016 # backticks as they stand in the text
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
root=$(cd "$(dirname "$0")/.." && pwd)
doc=$root/docs/mm.md
table=$(sed -n '/^## Which test holds what/,/^## Speed/p' "$doc")
for n in $(seq 1 32); do
    grep -qE "^\| $n \| \`b[0-9]{2}_" <<<"$table"
    result $? "behaviour $n has a line with a test"
done
tests=$(grep -hoE '^Test\([a-z_]+, *[a-z0-9_]+' "$root"/tests/test_*.c | sed 's/.*, *//')
missing=0
while read -r name; do
    case $name in
        b[0-9][0-9]_*) grep -qx "$name" <<<"$tests" ;;
        *) [ -e "$root/guest/$name.c" ] || [ -e "$root/tests/$name.c" ] || [ -e "$root/tests/$name" ] ||
            grep -qr "NAME $name " "$root/tests" --include='*.cmake' ;;
    esac || { echo "# there is no $name"; missing=$((missing + 1)); }
done < <(grep -oE '`[a-z0-9_.]+`' <<<"$table" | tr -d '`' | sort -u | grep -vx 'tests')
[ $missing -eq 0 ]
result $? "every test and guest that is named exists"
done_testing
