# shellcheck shell=bash
# What test scripts that print TAP share. Source it first: it makes $dir, a folder of the script's own that goes when
# the script ends (one that sets a trap of its own for EXIT removes it there).
count=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
# A check that fails shows the last $tap_lines lines of each of these.
tap_show=("$dir/out" "$dir/err") tap_lines=15

# result STATUS WHAT: returns 0 if STATUS is. It comes first: behind a text with $(...) in it, $? would be that
# command's.
result() {
    local file
    count=$((count + 1))
    [ "$1" -ne 0 ] || { echo "ok $count - $2"; return; }
    failed=$((failed + 1))
    echo "not ok $count - $2"
    for file in "${tap_show[@]}"; do
        [ ! -s "$file" ] || tail -n $tap_lines "$file" | cut -c 1-300 | sed "s/^/# ${file##*/}: /"
    done
    return 1
}

# skip WHAT WHY: one check that cannot be made here.
skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

# skip_all WHY: none of the script can run here.
skip_all() {
    echo "SKIPPED: $*"
    exit 77
}

# done_testing: the plan. The script's exit status is its own.
done_testing() {
    echo "1..$count"
    [ "$failed" -eq 0 ]
}

# has_kvm: is there a KVM that $umbra can use? need_kvm: skip all without.
has_kvm() { "${umbra:?}" info --json | grep -q '"kvm": {"usable": true'; }
need_kvm() { has_kvm || skip_all "no usable /dev/kvm on this host: $("$umbra" info | head -n 1)"; }

# expect STATUS REGEX WHAT ARGS...: umbra ARGS must end so and say so.
expect() {
    local status=$1 regex=$2 what=$3 rc
    shift 3
    timeout 60 "${umbra:?}" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    rc=$?
    [ $rc -eq "$status" ] && grep -aqE -- "$regex" "$dir/out" "$dir/err"
    result $? "$what (exit code $rc)"
}
