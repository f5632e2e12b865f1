#!/bin/bash
# Every guest of ours that ends by itself, on the soft CPU, on kvm (ring 0 native) and on kvm with
# ring 0 on the soft CPU: the same console, the same exit status, the same final page tables. Prints TAP;
# skips, and says so, without a usable /dev/kvm.
#
# What is compared of each page: the guest's own PTE, exactly (its frame numbers are the guest's); the
# backing PTE's bits, whether nothing, the zero frame or a frame of its own backs it, references and
# mappings, exactly; the shadow PTE's presence, right to write and size, and the verdict, with one exception.
# Not compared is which host frame it is: engines may touch pages in another order.
#
# The exception: beside kvm, a frame of which the soft CPU holds decoded code is kept read-only, so that
# a write traps and the code is dropped first. Such a page is "clean" (read-only until dirty) where
# another engine has it "in step". That is allowed for pages of the guest's image only, as these alone
# hold code, and is counted.
#
# Nor compared is whether the CPU has an entry for a page of ROM (C0000 to FFFFF): a write there is a trap
# for ever, and engines keep the entry over it or not.
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
need_kvm
tap_show=()
# More instructions than a KVM in software runs in reasonable time.
limit=${SAME_TABLES_LIMIT:-2500000}

run() { # ENGINE-NAME IMAGE ARGS...
    local name=$1 how=()
    shift
    case $name in
        soft) how=(--engine soft) ;;
        kvm) how=(--engine kvm --ring0 native) ;;
        hybrid) how=(--engine kvm --ring0 soft) ;;
    esac
    timeout 120 "$umbra" run "$@" "${how[@]}" -q --pt --json -o "$dir/$name.json" >"$dir/$name.out" 2>"$dir/$name.err" </dev/null
    echo "exit status $?" >>"$dir/$name.out"
}

# One line for each page that anything is known of: address, then what is compared.
pages() {
    awk '
        function field(name,   m) {
            if (!match($0, "\"" name "\": (\"[^\"]*\"|[^,}]*)")) return "?"
            m = substr($0, RSTART, RLENGTH); sub(/^"[^"]*": /, "", m); return m
        }
        /"linear":/ {
            la = field("linear") + 0; n = field("pages") + 0; b = field("backing_pte") + 0; f = field("frame")
            # The low bits from the last two digits: all of them do not fit a number of awk.
            s = field("shadow_pte"); s = substr(s, length(s) > 1 ? length(s) - 1 : 1) % 4
            kind = f == "null" ? (b == 0 ? "nothing" : "swap") : f == 0 ? "zero-frame" : "frame"
            bits = kind == "swap" ? b : b % 4096
            shadow = s % 2 ? (s >= 2 ? "PW" : "P-") : "none"
            if (field("shadow_flags") ~ /L/) shadow = shadow "L"
            verdict = field("verdict"); gsub(/"/, "", verdict)
            if (verdict == "untouched") next
            for (i = 0; i < n; i++) {
                g = field("guest_pte")
                if (g ~ /^[0-9]+$/ && g % 2 && field("guest_consecutive") != "false") g += i * 4096
                at = la / 4096 + i
                rom = at >= 192 && at < 256 # one row may go beyond it
                printf "%05x000 guest %s backing %s %d refs %s maps %s shadow %s %s\n", at, g, kind, bits, field("refs"), field("maps"), rom ? "rom" : shadow, rom ? "rom" : verdict
            }
        }' "$1"
}

# The exception above: in both lists, what is "clean" only for that reason reads as "in-step".
code_pages=0
forgive() { # SOFT OTHER: prints OTHER with it applied
    awk 'NR == FNR { soft[$1] = $0; next }
        {
            as = $0; sub(/shadow P- clean$/, "shadow PW in-step", as)
            if (as != $0 && soft[$1] == as) { print as; n++ } else print
        }
        END { print n + 0 > "/dev/stderr" }' "$1" "$2" 2>"$dir/n"
}

compare() { # WHAT ENGINE
    local what=$1 other=$2 n
    pages "$dir/soft.json" >"$dir/soft.pages"
    pages "$dir/$other.json" >"$dir/$other.raw"
    forgive "$dir/soft.pages" "$dir/$other.raw" >"$dir/$other.pages"
    n=$(cat "$dir/n")
    code_pages=$((code_pages + n))
    # The image and what code may lie in: a few pages, not all of memory. With ring 0 native there is none,
    # but for dev_board: while the x87 holds FERR#, the soft CPU runs all code.
    [ -s "$dir/soft.pages" ] && [ "$n" -le 16 ] && { [ "$other" = hybrid ] || [ "$what" = dev_board ] || [ "$n" -eq 0 ]; } &&
        diff "$dir/soft.out" "$dir/$other.out" >"$dir/diff" && diff "$dir/soft.pages" "$dir/$other.pages" >>"$dir/diff"
    result $? "$what: soft (<) and $other (>) agree ($(wc -l <"$dir/soft.pages") pages, $n kept read-only for their code)" && return
    head -n 30 "$dir/diff" | sed 's/^/# /'
    tail -n 5 "$dir/$other.err" | sed 's/^/# /'
}

same() { # WHAT IMAGE ARGS...
    local what=$1 insns
    shift
    run soft "$@"
    "$umbra" run "$@" --engine soft -q --stats=json -o "$dir/stats" >/dev/null 2>&1 </dev/null
    insns=$(sed -n 's/.*"soft CPU instructions": *\([0-9]*\).*/\1/p' "$dir/stats")
    if [ "${insns:-0}" -gt "$limit" ]; then
        skip "$what" "$insns instructions are too many for a KVM in software (SAME_TABLES_LIMIT)"
        return
    fi
    run hybrid "$@"
    compare "$what" hybrid
    if [ "$what" = mmu_split ] && "$umbra" info | grep -q 'stores its first part'; then
        skip "$what" "this host's KVM stores half of a store that faults (docs/kvm.md)"
        return
    fi
    run kvm "$@"
    compare "$what" kvm
}

g=$guests
same "hello" "$g/hello.elf" -m 16M -append "one two"
same "hello, exit port" "$g/hello.elf" -m 16M -append exit=7
same "hello, a module" "$g/hello.elf" -m 16M -initrd "$0 an argument"
same "touch" "$g/touch.elf" -m 3M
# Memory mapped by entries of 2 MiB: on each engine the same pages of it.
same "touch, 2 MiB entries" "$g/touch.elf" -m 6M --large-pages on
same "bad_hypercall" "$g/bad_hypercall.elf" -m 8M -append noise=50
for k in int sort mem call string x87 sse; do
    same "cpubench $k" "$g/cpubench.elf" -m 8M -append "kernel=$k n=1"
done
# Guests that came later take part by themselves, if they end well. (Sanitizers and a busy host make them slow.)
patience=60
for image in "$g"/*.elf; do
    name=$(basename "$image" .elf)
    case $name in
        hello | touch | bad_hypercall | cpubench) continue ;;
        mmu_stay | dev_keys) continue ;; # never end, or not without keys
        clock) continue ;;    # prints what it saw of time, which no two runs have alike without --clock insn
        oom | wild_* | cli_loop) continue ;; # do not end by themselves
    esac
    timeout "$patience" "$umbra" run "$image" -m 16M --engine soft -q >"$dir/first" 2>&1 </dev/null
    status=$?
    case $status in
        0) same "$name" "$image" -m 16M ;;
        124) skip "$name" "with -m 16M alone it had not ended after $patience s" ;;
        *) skip "$name" "with -m 16M alone it ends with exit status $status" ;;
    esac
done
done_testing
