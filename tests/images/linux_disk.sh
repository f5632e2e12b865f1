#!/bin/bash
# linux_disk.sh UMBRA TALK KERNEL direct|mbr: Debian's kernel for i386 with its root on an ext4 partition of an IDE
# drive, whose init is our program (guest/linux/disk-init). The first boot writes the image: it is started from its
# master boot record, by SeaBIOS and GRUB, or directly. The second, with snapshot=on and a quarter of its memory,
# finds what the first has left, writes as well, and leaves the image as it was.
set -u
kernel=${3:?} how=${4:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need "$kernel" busybox
if [ ! -s "$(images_path "$kernel")/modules/order" ]; then
    skip_all "no modules of $kernel in $images_dir; tools/fetch-images fetches them"
fi
if [ "$how" = mbr ] && [ ! -r /usr/share/seabios/bios.bin ]; then
    skip_all "no /usr/share/seabios/bios.bin (package seabios)"
fi
PATH=$PATH:/usr/sbin:/sbin
"$top/tools/make-linux-disk" "$work/disk" 32M "$kernel" off >"$work/err" 2>&1
status=$?
[ $status -ne 77 ] || skip_all "$(cat "$work/err")"
[ $status -eq 0 ] || { cat "$work/err"; exit 1; }
"$top/tools/make-initramfs" --disk "$kernel" "$work/initrd" || exit 1
cp "$work/disk" "$work/fresh"

boot() { # boot NAME OPTION...
    timeout -k 5 300 "$umbra" run -m 64M --engine soft --timeout 280 "${@:2}" </dev/null >"$work/$1.raw" 2>"$work/$1.err"
    result $? "$1 boot: powered off"
    plain "$work/$1.raw" >"$work/$1"
}
# The file system as e2fsprogs sees it: with a journal to replay it would not be clean.
partition="$work/disk?offset=$((2048 * 512))"
sound() {
    e2fsck -fn "$partition" >"$work/fsck" 2>&1
    result $? "$1: e2fsck finds nothing"
    debugfs -R 'stats -h' "$partition" 2>/dev/null | grep -q '^Filesystem state: *clean$'
    result $? "$1: it was left clean"
}
file() { debugfs -R "cat $1" "$partition" 2>/dev/null; }
direct=("$(images_path "$kernel")/vmlinux" -initrd "$work/initrd"
    -append 'console=ttyS0 cryptomgr.notests root=/dev/sda1 off')

if [ "$how" = mbr ]; then
    boot first -hda "$work/disk"
    has "$work/first" "GRUB loads $kernel"
else
    boot first "${direct[@]}" -drive "file=$work/disk,format=raw"
fi
has "$work/first" '^disk: root is /dev/sda1 ext4 rw$'
has "$work/first" '^disk: boot 1$'
has "$work/first" '^disk: written, and read back: 1046682 bytes, 30 small files$'
has "$work/first" "^disk: its first sector: $(head -c 512 "$work/disk" | md5sum)\$"
has "$work/first" '^disk: read-only at the end$'
! cmp -s "$work/disk" "$work/fresh"
result $? "the image was written"
sound "after the first boot"
[ "$(file /boots)" = 1 ] && [ "$(file /data/numbers | md5sum)" = "$(seq 1 60000 | md5sum)" ]
result $? "the files are in the image"

cp "$work/disk" "$work/fresh"
"$umbra" mkswap "$work/swap" 128M -q || exit 1
boot second "${direct[@]}" -drive "file=$work/disk,format=raw,snapshot=on" --pool 12M --zpool 4M --swap "$work/swap" --stats
has "$work/second" '^disk: boot 2$'
has "$work/second" '^disk: all that was written before is there$'
has "$work/second" '^disk: written, and read back: 1046682 bytes, 30 small files$'
has "$work/second" '^disk: read-only at the end$'
has "$work/second.err" 'pages read back +[1-9][0-9]*'
cmp "$work/disk" "$work/fresh"
result $? "with snapshot=on the image is as it was"
hasnt "$work/first" 'Oops|BUG:|Call Trace|I/O error|EXT4-fs error|ata[0-9].*(failed|exception)|^disk: not so'
hasnt "$work/second" 'Oops|BUG:|Call Trace|I/O error|EXT4-fs error|ata[0-9].*(failed|exception)|^disk: not so'
[ $failed -eq 0 ] || { tail -n 40 "$work/first" "$work/first.err" "$work/second" "$work/second.err" "$work/fsck"; }
done_testing
