#!/bin/bash
# umbra pt, explain, dumps and injected faults at a machine that runs: a guest with five pages of its own, each in
# another state, that then loops. Prints TAP.
#   control_pages.sh UMBRA GUESTS soft|hybrid
# shellcheck disable=SC2181 # the exit status is one check among several
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2 mode=${3:-soft}
# shellcheck source=tests/control_kit.sh
. "$(dirname "$0")/control_kit.sh"
export UMBRA_CONTROL=$sock
tap_lines=30
u() { timeout 60 "$umbra" "$@" >"$dir/out" 2>&1; }

# A flat image at 0x1000. set ADDRESS VALUE: mov dword [ADDRESS], VALUE.
le() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
# shellcheck disable=SC2059 # the format is the bytes
set_() { printf "\\xc7\\x05$(le "$1")$(le "$2")"; }
# shellcheck disable=SC2059
make_guest() {
    set_ 0x10000 0x11007     # directory: 0..4M
    set_ 0x10004 0x12007     #            4M..8M
    set_ 0x11004 0x1007      # this code
    set_ 0x12000 0x40007     # 400000: written
    set_ 0x12004 0x41005     # 401000: read-only, read
    set_ 0x12008 0x42003     # 402000: supervisor's, read
    set_ 0x12010 0x9000007   # 404000: where no RAM is (403000: not mapped)
    set_ 0x12014 0x45007     # 405000: never used
    printf "\\xb8$(le 0x10000)\\x0f\\x22\\xd8"                     # mov eax, 10000h; mov cr3, eax
    printf "\\x0f\\x20\\xc0\\x0d$(le 0x80010000)\\x0f\\x22\\xc0"   # cr0 |= PG | WP
    printf "\\xa3$(le 0x400000)\\xa1$(le 0x401000)\\xa1$(le 0x402000)" # write, read, read
    printf '\xeb\xfe'                                              # jmp to itself
}
make_guest >"$dir/flat"
begin() { # OPTIONS...
    start_machine "$dir/flat" --flat=0x1000 -m 16M "$@" || return 1
    # Until it has come to its loop.
    local i
    for ((i = 0; i < 400; i++)); do
        u ctl registers --json && says '"cr0":2147549' && u explain 0x402000 && says 'Last fault: [0-9]' && return 0
        sleep 0.05
    done
    return 1
}
rows() { sed -n 's/^\(00[4-9]\)/\1/p' "$dir/out" | sed -E 's/ [0-9a-f]{5}( |-[0-9a-f]{5}) +([0-9]+\/[0-9]+)/ FRAME \2/; s/  +/ /g'; }

begin
result $? "the guest has come to its loop"
cat >"$dir/want" <<'END'
00400000-00400fff 1 000040000 PWUAD PWAD PW - FRAME 1/1 in step: the CPU may do what the guest may
00401000-00401fff 1 000041000 P-UA- P-A- P- - zero - zero page: read-only until the first write
00402000-00402fff 1 000042000 PW-A- P-A- P- - zero - zero page: read-only until the first write
00403000-00403fff 1 - none - - - - the guest maps nothing here
00404000-00404fff 1 009000000 PWU-- none - - - - no RAM here: a device answers, or nobody
00405000-00405fff 1 000045000 PWU-- none - - - - never touched: nothing backs it yet
00406000-007fffff 1018 - none - - - - the guest maps nothing here
END
u pt 0x400000+4M && rows >"$dir/have" && diff "$dir/want" "$dir/have" >"$dir/out"
result $? "the table of its pages"
u pt && says '^linear' && says '^00406000-ffffffff +1047546 +- ' && says '^guest: guest-physical'
result $? "all of 4 GiB"
u pt 0x402000 && [ "$(rows | wc -l)" -eq 1 ]
result $? "one page"
u pt 0x400000+24k --diff && [ "$(rows | wc -l)" -eq 2 ] && ! says 'in step|never touched|no RAM'
result $? "what differs"
u pt 0x400000+24k --view user && says '^00402000.*for supervisor accesses only' &&
    says '^00400000.*backed, not yet faulted' && u pt 0x400000+24k --view kernel && says '^00400000.*in step'
result $? "one view"
u pt 0x400000 --cr3 0x12000 && says 'maps nothing|no RAM|never touched'
result $? "other tables than the processor's"
u pt 0x400000+24k --json && says '"guest_flags":"PWUAD"' && says '"verdict":"zero"' && says '"shadow_flags":"PW"'
result $? "rows for programs"

u explain 0x400123 && says '^  table entry 0 at guest-physical 00012000 is 00040067: writable, user, accessed, dirty' &&
    says '^  write from ring 0: no trap' && says '^  read  from ring 3: a trap: all is there'
result $? "explain: a page in use"
u explain 0x401000 && says 'The table entry is read-only' && says '^  write from ring 0: #PF, error 0003' &&
    says '^  write from ring 3: #PF, error 0007'
result $? "explain: a read-only page"
u explain 0x402000 && says 'ring 3 may do nothing: the table entry is for supervisors' &&
    says '^  write from ring 0: a minor fault: it gets a zeroed frame of its own instead of the zero frame' &&
    says '^  read  from ring 3: #PF, error 0005'
result $? "explain: a supervisor's page, the zero frame"
u explain 0x403000 && says 'the table maps no page' && says '^  read  from ring 0: #PF, error 0000'
result $? "explain: nothing there"
u explain 0x404000 && says 'is no RAM' && says '^  read  from ring 0: a trap: the soft CPU asks the bus'
result $? "explain: no RAM"
u explain 0x405000 && says 'has nothing yet' && says '^  read  from ring 3: a minor fault: it gets the zero frame' &&
    says '^  write from ring 3: a minor fault: it gets a zeroed frame of its own'
result $? "explain: never touched"
u explain 0x401000 --json && says '"what": ?"guest-fault"' && says '"error": ?7'
result $? "explain, for programs"

# Dumps.
u pt save "$dir/a.ptd" && says '3 page tables|[0-9]+ page tables'
result $? "save"
u pt 0x400000+4M && rows >"$dir/have" && u pt --dump "$dir/a.ptd" 0x400000+4M && rows | diff - "$dir/have" >"$dir/diff"
result $? "a dump shows what the machine did"
u explain --dump "$dir/a.ptd" 0x401000 && says 'The table entry is read-only' && says '^  write from ring 3: #PF, error 0007' &&
    says '^Last fault: not recorded'
result $? "a dump is explained as far as it goes"
u pt save "$dir/b.ptd" && u pt compare "$dir/a.ptd" "$dir/b.ptd" && says '^the same'
result $? "two dumps of a guest that does nothing are the same"
head -c 5000 "$dir/a.ptd" >"$dir/half"
for f in half run none; do
    u pt --dump "$dir/$f"
    [ $? -eq 2 ] && says 'cut off|no page table dump|No such file' && u explain 0 --dump "$dir/$f"
    [ $? -eq 2 ] && u pt compare "$dir/a.ptd" "$dir/$f"
    [ $? -eq 2 ]
    result $? "$f is no dump"
done
u pt save "$dir/no/where"
[ $? -eq 3 ] && says 'No such file'
result $? "a dump that cannot be written"

# Bad command lines.
line() { # WHAT STATUS WORDS ARGS...
    local what=$1 status=$2 words=$3
    shift 3
    u "$@"
    [ $? -eq "$status" ] && says "$words"
    result $? "$what"
}
line "pt: two ranges" 1 'one range' pt 0 1
line "pt: beyond 4 GiB" 1 '4 GiB' pt 0+5G
line "pt: no range" 1 'no range' pt here
line "pt: no view" 1 'none of' pt --view mine
line "pt save: no file" 1 'which file' pt save
line "pt compare: one file" 2 'two dumps' pt compare "$dir/a.ptd"
line "pt compare: no such kind" 2 'no kind' pt compare "$dir/a.ptd" "$dir/a.ptd" --allow all
line "pt --dump goes without --follow" 1 'goes without' pt --dump "$dir/a.ptd" --follow
line "explain: no address" 1 'which address' explain
line "explain: two addresses" 1 'one address' explain 1 2
line "explain: beyond 4 GiB" 1 'not in' explain 0x100000000
line "inject: what?" 1 'inject what' ctl inject
line "inject: no such thing" 2 'one of: swap-out' ctl inject fire
line "inject: swap-out without swap" 2 'has no swap' ctl inject swap-out 0x400000
line "inject: where no RAM is" 2 'no RAM' ctl inject write-protect 0x90000000 --physical
line "inject: no such failure" 2 'one of: none' ctl inject fail everything

# What a test of faults asks for.
u ctl inject fork && u explain 0x400000 && says '2 references, mapped by 2' && says '^  write from ring 0: a minor fault: it is copied'
result $? "fork: pages are shared"
u pt 0x400000 && says 'copy-on-write'
result $? "... and the table says so"
u ctl inject unfork && u explain 0x400000 && says '^  write from ring 0: a minor fault: its frame becomes writable'
result $? "unfork: the last owner"
u ctl inject drop-shadow 0x400000+8k && says '^2 pages' && u explain 0x400000 && says 'the CPU has nothing'
result $? "drop-shadow of pages"
u ctl inject drop-shadow && u pt 0x400000+12k && ! says '^00400000.*PW  '
result $? "drop-shadow of all"
u ctl quit && ended 0
result $? "the guest ran on through all of it"

# The same with swap, under audit.
begin --zpool 1M --audit
u ctl pause && u ctl inject swap-out 0x400000 && says '^1 pages' && u pt 0x400000 && says 'swapped out: as one value|swapped out: to the compressed pool'
result $? "swap-out: the page is out"
u explain 0x400000 && says 'is out, in slot' && says '^  read  from ring 0: a minor fault'
result $? "... and explained"
u ctl memory 0x400000+4 && u pt 0x400000 && says 'swapped out'
result $? "... and not brought back by being looked at"
u ctl inject swap-out 0x400000 --physical && u ctl resume && u ctl quit && ended 0
result $? "the machine goes on and ends well"

# A read of the area that fails ends the machine, with the reason.
"$umbra" mkswap "$dir/area" 8M -q
start_machine "$guests/thrash.elf" -m 4M --pool 256k --swap "$dir/area" -append "pages=512 step=4 mix=random rounds=1000" -q
u ctl inject fail read 5 --sticky && ended 3 && grep -q 'cannot be read back' "$dir/run"
result $? "fail read: the machine ends and says why"
start_machine "$guests/thrash.elf" -m 4M --pool 256k --swap "$dir/area" -append "pages=512 step=4 mix=random rounds=1000" -q
u ctl inject fail write && for ((i = 0; i < 200; i++)); do
    u ctl stats && says 'swap writes that failed +1' && break
    sleep 0.05
done
says 'swap writes that failed +1' && u ctl quit && ended 0
result $? "fail write: the machine runs on"
start_machine "$guests/thrash.elf" -m 4M --pool 256k --zpool 512k -append "pages=300 step=4 mix=text rounds=1000" -q
u ctl inject fail frame --sticky && ended 6
result $? "fail frame: out of memory"

# --follow: a row changes, and it ends with the machine.
begin
"$umbra" pt 0x400000+24k --follow=20 >"$dir/follow" 2>&1 &
follower=$!
for ((i = 0; i < 200; i++)); do grep -q '^guest:' "$dir/follow" && break; sleep 0.05; done
u ctl inject fork
for ((i = 0; i < 200; i++)); do grep -q '^+ 00400000.*copy-on-write' "$dir/follow" && break; sleep 0.05; done
u ctl quit && wait $follower && ended 0 && grep -q '^- 00400000' "$dir/follow" && grep -q '^+ 00400000.*copy-on-write' "$dir/follow"
result $? "follow: what changes, until the machine ends"
"$umbra" run "$dir/flat" --flat=0x1000 -m 16M "${engine[@]}" -q --timeout 1 --explain 0x401000 >"$dir/out" 2>&1 </dev/null
[ $? -eq 7 ] && says '^  write from ring 3: #PF, error 0007'
result $? "run --explain, at the end"

done_testing
