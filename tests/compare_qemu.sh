#!/bin/bash
# Umbra's guest page tables against a real QEMU's, read through libvirt: the same image on both, saved,
# compared; and differences that were planted, each of its kind. Prints TAP. Exit status 77 (skipped),
# with the reason, where libvirt or QEMU is missing.
#
# libvirt's QEMU driver runs embedded in each command (qemu:///embed), in a folder of its own, as an
# unprivileged user: nothing of the host's libvirt is touched.
# shellcheck disable=SC2317 # called by name
set -u
umbra=$(readlink -f "$1") guests=$(readlink -f "$2")
skip() { echo "SKIPPED: $*"; exit 77; }
"$umbra" run --libvirt test:///default test 2>&1 </dev/null | grep -q 'built without libvirt' && skip 'umbra was built without libvirt'
command -v qemu-system-i386 >/dev/null || skip 'no qemu-system-i386'
command -v virsh >/dev/null || skip 'no virsh (libvirt-clients)'
dir=$(mktemp -d /tmp/umbra-lv.XXXXXX) || exit 1
uri="qemu:///embed?root=$dir/root" vm=''
as_user=(env "HOME=$dir/home")
[ "$(id -u)" -ne 0 ] || as_user+=(setpriv --reuid 65534 --regid 65534 --clear-groups)
cleanup() {
    [ -z "$vm" ] || kill "$vm" 2>/dev/null
    pkill -f "guest=umbra-test-$$," 2>/dev/null
    wait 2>/dev/null
    rm -rf "$dir"
}
trap cleanup EXIT
mkdir -p "$dir/root/etc" "$dir/home"
echo 'security_driver = "none"' >"$dir/root/etc/qemu.conf"
cp "$guests/mmu_stay.elf" "$dir/image.elf"
chmod 755 "$dir"
chmod 644 "$dir/image.elf"
[ "$(id -u)" -ne 0 ] || chown -R 65534:65534 "$dir/root" "$dir/home"

count=0 bad=0
result() { # WHAT, status of the command before
    count=$((count + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $count - $1"
    else
        bad=$((bad + 1))
        echo "not ok $count - $1"
        tail -n 30 "$dir/out" | sed 's/^/# /'
    fi
}
ready() { # FILE: wait for the guest
    for _ in {1..600}; do grep -qs '^ready' "$1" && return 0; sleep 0.1; done
    return 1
}

ours() { # NAME APPEND ENGINE-OPTIONS...: the tables of our machine, saved as NAME
    local name=$1 append=$2
    shift 2
    rm -f "$dir/serial"
    "$umbra" run "$dir/image.elf" -m 16M -append "$append" "$@" -q --control "$dir/sock" --timeout 120 \
        >"$dir/serial" 2>"$dir/out" </dev/null &
    vm=$!
    ready "$dir/serial" && "$umbra" pt save "$dir/$name" --socket "$dir/sock" >"$dir/out" 2>&1
    local rc=$?
    "$umbra" ctl --socket "$dir/sock" quit >/dev/null 2>&1
    wait $vm
    vm=''
    return $rc
}

cat >"$dir/domain.xml" <<END
<domain type='qemu'>
  <name>umbra-test-$$</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='i686' machine='pc'>hvm</type><kernel>$dir/image.elf</kernel><cmdline>plant=0</cmdline></os>
  <devices>
    <emulator>$(command -v qemu-system-i386)</emulator>
    <serial type='file'><source path='$dir/home/serial'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
END
lv() { timeout -k 5 60 "${as_user[@]}" "$@" >"$dir/out" 2>&1 </dev/null; }
lv virsh -q -c "$uri" create "$dir/domain.xml" || skip "libvirt cannot run a domain here: $(tail -n 1 "$dir/out")"
ready "$dir/home/serial"
result 'the guest runs on QEMU, under libvirt' $?
lv "$umbra" pt save --libvirt "$uri" "umbra-test-$$" "$dir/home/qemu"
result 'its page tables are saved' $?
lv "$umbra" pt save --libvirt "$uri" stranger "$dir/home/none"
[ $? -eq 2 ] && grep -q stranger "$dir/out"
result 'a domain that is not there: exit code 2, named' $?
lv virsh -q -c "$uri" destroy "umbra-test-$$"

compare() { "$umbra" pt compare "$dir/$1" "$dir/home/qemu" "${@:2}" >"$dir/out" 2>&1; }
ours soft plant=0 --engine soft && compare soft && grep -qE '^(the same|no unexplained differences)' "$dir/out"
result 'soft: no unexplained difference to QEMU' $?
if "$umbra" info --json | grep -q '"kvm": {"usable": true'; then
    ours kvm plant=0 --engine kvm --ring0 soft && compare kvm && grep -qE '^(the same|no unexplained)' "$dir/out"
    result 'kvm: no unexplained difference to QEMU' $?
else
    echo "# SKIPPED: on kvm: no usable /dev/kvm"
fi
plant() { # N KIND WHAT
    ours planted "plant=$1" --engine soft && { compare planted; [ $? -eq 1 ]; } && grep -q "$2" "$dir/out"
    result "planted: $3" $?
}
plant 1 'rights' 'a right'
plant 2 'page' 'another page'
plant 3 'only-a' 'a mapping more'
ours planted plant=4 --engine soft && compare planted && grep -q 'accessed or dirty (may differ)' "$dir/out"
result 'planted: accessed alone may differ, and is told' $?
echo "1..$count"
[ $bad -eq 0 ]
