#!/bin/bash
# grub_boot.sh UMBRA GUESTDIR: Debian's GRUB from a disk of ours, through SeaBIOS, and what it loads from a file system. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2
[ -r /usr/share/seabios/bios.bin ] || skip_all "no /usr/share/seabios/bios.bin (package seabios)"
mkdir -p "$dir/root/boot/grub"
cp "$guests/hello.elf" "$dir/root/boot/"
cat >"$dir/root/boot/grub/grub.cfg" <<'CFG'
serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB has read its configuration"
multiboot /boot/hello.elf from a disk
boot
CFG
"$(dirname "$0")/../tools/make-disk" "$dir/disk" 8M "$dir/root" >"$dir/err" 2>&1
status=$?
[ $status -ne 77 ] || skip_all "$(cat "$dir/err")"
[ $status -eq 0 ] || { cat "$dir/err"; exit 1; }
timeout -k 5 100 "$umbra" run -hda "$dir/disk" -snapshot -m 32M --engine soft -q >"$dir/out" 2>&1 </dev/null
status=$?
[ $status -eq 0 ]
result $? "exit status $status"
for want in 'GRUB has read its configuration' 'Hello from an i386 guest' 'command line: "from a disk"'; do
    grep -aq "$want" "$dir/out"
    result $? "$want"
done
done_testing
