#!/bin/bash
# grub_boot.sh UMBRA GUESTDIR: Debian's GRUB from a disk of ours, through SeaBIOS, and what it loads from a file system.
set -u
umbra=$1 guests=$2
[ -r /usr/share/seabios/bios.bin ] || { echo "SKIP: no /usr/share/seabios/bios.bin (package seabios)"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -r "$dir"' EXIT
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
[ $status -ne 77 ] || { echo "SKIP: $(cat "$dir/err")"; exit 77; }
[ $status -eq 0 ] || { cat "$dir/err"; exit 1; }
timeout -k 5 100 "$umbra" run -hda "$dir/disk" -snapshot -m 32M --engine soft -q >"$dir/out" 2>&1 </dev/null
status=$?
failed=0
for want in 'GRUB has read its configuration' 'Hello from an i386 guest' 'command line: "from a disk"'; do
    grep -aq "$want" "$dir/out" || { echo "not ok - $want"; failed=1; }
done
[ $status -eq 0 ] || { echo "not ok - exit status $status"; failed=1; }
if [ $failed -eq 0 ]; then echo "ok - GRUB starts from a disk and loads a guest"; else cat "$dir/out"; fi
exit $failed
