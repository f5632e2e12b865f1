#!/bin/bash
# Where /dev/kvm is missing, not permitted or no KVM, everything works on the soft CPU, and it is said
# why; asking for kvm is refused with exit code 3. Prints TAP.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
chmod 755 "$dir"
touch "$dir/locked" && chmod 000 "$dir/locked"

as=() # how to become someone with fewer rights
run() { "${as[@]}" "$umbra" run "$@" >"$dir/out" 2>"$dir/err" </dev/null; }
says() { grep -aqE -- "$1" "$dir/out" "$dir/err"; }

# falls_back DEVICE WHY WORDS: each guest of the core ends as ever on the soft CPU.
falls_back() {
    local dev=(--engine auto --kvm-device "$1" -m 16M) why="engine soft: $2" words=$3
    run "$guests/hello.elf" "${dev[@]}" -append 'one two' --audit
    [ $? -eq 0 ] && says 'Hello from' && says 'one two' && says "$why"
    result $? "$words: hello runs, and why not kvm is said"
    run "$guests/hello.elf" "${dev[@]}" -append exit=7
    [ $? -eq 15 ] && says "$why"
    result $? "$words: the exit port's status"
    run "$guests/touch.elf" "${dev[@]}" --pt --stats
    [ $? -eq 0 ] && says '^1\.\.' && ! says '^not ok' && says 'zero page' && says 'in step'
    result $? "$words: touch, with its table and statistics"
    run "$guests/oom.elf" "${dev[@]}" -m 64M --pool 8M
    [ $? -eq 6 ] && says 'who holds what'
    result $? "$words: oom ends with its report"
    run "$guests/bad_hypercall.elf" "${dev[@]}" --audit
    [ $? -eq 0 ] && says '^1\.\.' && ! says '^not ok'
    result $? "$words: bad_hypercall"
    run "$guests/wild_jump.elf" "${dev[@]}"
    [ $? -eq 4 ] && says 'EIP='
    result $? "$words: wild_jump ends with a dump"
    run "$guests/hello.elf" "${dev[@]}" --ring0 native
    [ $? -eq 0 ] && says 'Hello from' && says "$why"
    result $? "$words: --ring0 native changes nothing"
    run "$guests/hello.elf" --engine kvm --kvm-device "$1"
    [ $? -eq 3 ] && says "$2" && ! says 'Hello'
    result $? "$words: --engine kvm is refused, exit code 3"
}

falls_back /nonexistent/kvm '.*/nonexistent/kvm: no KVM' 'no device'
falls_back /dev/null '.*/dev/null: is not KVM' 'not KVM'

if [ "$(id -u)" -ne 0 ]; then
    falls_back "$dir/locked" '.*/locked: .*[Pp]ermission' 'no permission'
elif ! command -v setpriv >/dev/null; then
    skip "no permission" "no setpriv to give up root's rights with"
else
    as=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
    # The way to the build may be closed to others: run copies.
    cp "$umbra" "$dir/umbra" && mkdir "$dir/guest" && cp "$guests"/*.elf "$dir/guest/" && chmod -R a+rX "$dir/umbra" "$dir/guest"
    umbra=$dir/umbra guests=$dir/guest
    falls_back "$dir/locked" '.*/locked: .*[Pp]ermission' 'no permission'
fi
done_testing
