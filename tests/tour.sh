#!/bin/bash
# README's tour is true: what it shows of the first guests comes out, word for word and in that order ("..." stands
# for lines that it leaves out). Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
readme=$(cd "$(dirname "$0")/.." && pwd)/README.md
mkdir -p "$dir/build/release"
ln -s "$guests" "$dir/build/release/guest"
cd "$dir" || exit 1

# shown GUEST: the block of README that runs GUEST; its command in $command, its lines in $dir/want.
shown() {
    sed -n "/^    \\$ umbra run .*guest\/$1.elf/,/^\$/{s/^    //;p}" "$readme" | sed -n '/^$/q;p' >"$dir/block"
    command=$(sed -n '1s/^\$ umbra //p' "$dir/block")
    sed '1d;/^\.\.\.$/d' "$dir/block" >"$dir/want"
}

for guest in hello touch oom; do
    shown "$guest"
    words=()
    eval "words=($command)" # README's own quotes
    timeout -k 5 60 "$umbra" "${words[@]}" --engine soft >"$dir/out" 2>&1 </dev/null
    lacking=$(awk 'NR == FNR { want[++n] = $0; next } i < n && $0 == want[i + 1] { i++ }
        END { if (!n) print "(README has no such block)"; else if (i < n) print want[i + 1] }' "$dir/want" "$dir/out")
    [ -z "$lacking" ]
    result $? "umbra $command${lacking:+: README promises: $lacking}"
done
done_testing
