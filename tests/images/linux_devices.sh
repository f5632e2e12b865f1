#!/bin/bash
# linux_devices.sh UMBRA TALK KERNEL: Debian's kernel for i386 with its own drivers for a PC's floppy controller and
# mouse: it reads a diskette to its end, writes a sector, and finds the mouse.
set -u
kernel=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need "$kernel" busybox
for module in floppy psmouse; do
    [ -s "$(images_path "$kernel")/$module.ko" ] ||
        skip_all "no $module.ko of $kernel in $images_dir; tools/fetch-images fetches it"
done

cat >"$work/session" <<'GUEST'
for m in floppy psmouse; do insmod /$m.ko || echo "no module $m"; done
tries=0
while ! grep -q PS/2 /proc/bus/input/devices && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
grep -i '^N:.*mouse' /proc/bus/input/devices
md5sum /dev/fd0
printf 'written by Linux' | dd of=/dev/fd0 bs=512 seek=2879 conv=sync 2>/dev/null
sync
GUEST
"$top/tools/make-initramfs" "$work/initramfs.gz" "$work/session" "$(images_path "$kernel")"/{floppy,psmouse}.ko || exit 1
seq -f '%0511.0f' 0 2879 >"$work/floppy"
sum=$(md5sum <"$work/floppy")
timeout -k 5 300 "$umbra" run "$(images_path "$kernel")/vmlinux" -m 64M --engine soft --timeout 280 -fda "$work/floppy" \
    -initrd "$work/initramfs.gz" -append 'console=ttyS0 cryptomgr.notests session complaints off' \
    </dev/null >"$work/raw" 2>"$work/err"
result $? "powered off"
plain "$work/raw" >"$work/text"
has "$work/text" 'Floppy drive\(s\): fd0 is 1\.44M'
has "$work/text" 'FDC 0 is a post-1991 82077'
has "$work/text" "^${sum%% *}  /dev/fd0"
has "$work/text" '^N: Name="PS/2 Generic Mouse"'
hasnt "$work/text" 'no module|I/O error|floppy.*(timeout|lost)'
[ "$(tail -c 512 "$work/floppy" | head -c 16)" = 'written by Linux' ]
result $? "the diskette's last sector is as Linux wrote it"
[ $failed -eq 0 ] || tail -n 40 "$work/text" "$work/err"
done_testing
