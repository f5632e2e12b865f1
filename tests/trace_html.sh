#!/bin/bash
# umbra report: the page holds what the trace says and nothing that a guest or a command line could have
# smuggled in; a real browser (headless Chromium, where there is one) runs its script without an error
# and draws each fault. Prints TAP.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 json_ok=$3
trace=$dir/trace page=$dir/page.html

data() { sed -n '/id="data">/,/^<script>/p' "$page" | sed 's/.*id="data">//; s/<\/script>$//; /^<script>$/d'; }

evil=$'</script><script>document.body.dataset.evil=1</script><img src=x onerror=document.body.dataset.evil=2>\x01\xff"\\'
timeout 60 "$umbra" run "$guests/thrash.elf" --engine soft -m 4M --pool 512k --zpool 8M -q --trace "$trace" \
    -append "pages=400 step=16 mix=text $evil" >"$dir/out" 2>"$dir/err" </dev/null
result $? 'a traced run with a hostile command line'
timeout 60 "$umbra" report "$trace" -o "$page" 2>"$dir/err"
result $? 'report'
[ "$(stat -c %s "$page")" -lt 5000000 ]
result $? 'the page is smaller than 5 MB'
data | "$json_ok" >"$dir/out"
result $? 'its data is JSON'
! grep -aq 'dataset\.evil=1</script>\|<img src=x' "$page"
result $? 'the command line is escaped'
# Nothing is loaded: no address but that of the SVG name space.
! grep -aoE '(https?:)?//[a-z][^ "'"'"'<]*' "$page" | grep -v '^http://www.w3.org/2000/svg$' | grep -q .
result $? 'the page names no address in the network'
"$umbra" trace report --json "$trace" >"$dir/report" 2>"$dir/err"
faults=$(sed -n 's/.*"faults": \([0-9]*\), "paths".*/\1/p' "$dir/report")
pages=$("$umbra" trace dump --json "$trace" |
    grep -vE '"kind": "(write_protect|mapped|unmapped|protected|written|dropped|write_failed)"' |
    grep -o '"space": [0-9]*, "gpa": [0-9]*' | sort -u | wc -l)

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -n "$chromium" ]; then
    timeout -k 5 100 "$chromium" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$dir/profile" --dump-dom "file://$page" \
        >"$dir/dom" 2>"$dir/err" </dev/null
    body=$(grep -ao '<body[^>]*>' "$dir/dom")
    echo "$body" >"$dir/out"
    [[ $body == *'data-drawn="yes"'* && $body != *data-error* ]]
    result $? "the browser runs its script without an error"
    [[ $body == *"data-faults=\"$faults\""* && $body == *"data-costs=\"$faults\""* ]]
    result $? "it draws each of the $faults faults, over time and by cost"
    [[ $body == *"data-seen=\"$pages\""* && $body == *'data-cells="'[1-9]* ]]
    result $? "it draws each of the $pages pages"
    [[ $body != *data-evil* ]]
    result $? 'nothing of the command line was run'
    grep -aq 'id="what">.*&lt;/script&gt;' "$dir/dom"
    result $? 'the command line is shown as text'
else
    skip 'the page in a browser' 'there is no chromium here'
fi

# --- bad input ---
expect 1 'of which trace' 'no trace' report
expect 1 'where to' 'no output' report "$trace"
expect 1 'one word too many' 'two traces' report "$trace" "$trace" -o "$page"
expect 2 'No such file' 'a trace that is not there' report "$dir/missing" -o "$dir/new"
expect 2 'is no page trace' 'a foreign file' report "$page" -o "$dir/new"
[ ! -e "$dir/new" ]
result $? 'a refused trace leaves no page behind'
expect 3 'No such file' 'a page that cannot be written' report "$trace" -o "$dir/no/where"
expect 3 'No space|not everything' 'a full disk' report "$trace" -o /dev/full
head -c 20000 "$trace" >"$dir/half"
expect 0 'records are missing' 'half a trace makes a page' report "$dir/half" -o "$page"
data | grep -q '"missing":[1-9]'
result $? '... which says so'

done_testing
