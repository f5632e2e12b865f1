#!/bin/bash
# linux_shell.sh UMBRA TALK KERNEL ENGINE: Debian's kernel for i386 in real time, a shell by the serial console
# that is typed at, and a clean end. ENGINE: soft; hybrid (ring 0 on the soft engine, user code on kvm), which a KVM in
# software, with a million instructions a second, does as well; native (all on kvm), where the probe finds that it can.
set -u
kernel=${3:?} engine=${4:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
options=(--engine soft)
if [ "$engine" = hybrid ]; then
    need_kvm
    options=(--engine kvm --ring0 soft)
fi
if [ "$engine" = native ]; then
    need_kvm
    if ! "$umbra" info --json | grep -q '"ring0_exact": true'; then
        echo "SKIPPED: guest ring 0 does not run on this host's KVM (umbra info says why)"
        exit 77
    fi
    options=(--engine kvm --ring0 native)
fi
need "$kernel"
need_initramfs

cat >"$work/script" <<'EOS'
expect umbra# 
send echo typed $((6*7)) | cat\n
expect typed 42
expect umbra# 
send uname -m; sed -n 1p /proc/meminfo; ps | grep -c init\n
expect i686
expect MemTotal:
expect umbra# 
send sh -c 'echo asleep $((7*6)); exec sleep 1000'\n
expect asleep 42
send \x03
expect umbra# 
send echo status $?\n
expect status 130
send for i in 1 2 3 4 5; do (exit $i) & done; wait; echo all five\n
expect all five
expect umbra# 
send dmesg -r | grep '^<[0-3]>' | wc -l; poweroff -f\n
expect System halted
EOS
timeout 400 "$talk" -l 180 "$work/script" -- "$umbra" run "$(images_path "$kernel")/vmlinuz" -m 64M "${options[@]}" \
    --timeout 380 --audit=20000 -initrd "$work/initramfs.gz" -append 'console=ttyS0 cryptomgr.notests quiet' \
    >"$work/out" 2>"$work/err"
result $? "all was answered, and it powered off"
has "$work/err" ': Linux \(bzImage, protocol 2\.'
[ $failed -eq 0 ] || tail -n 60 "$work/out" "$work/err"
done_testing
