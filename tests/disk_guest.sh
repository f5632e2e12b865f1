#!/bin/bash
# disk_guest.sh UMBRA GUESTDIR WHERE: guest/ide_test on disks made for it, and what it has left in their files. Prints TAP.
# WHERE: soft, hybrid or qemu (guest_kit.sh).
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guest=$2/ide_test.elf where=$3
# shellcheck source=tests/guest_kit.sh
. "$(dirname "$0")/guest_kit.sh"

numbers() { # numbers SIZE FIRST LAST: sectors of SIZE bytes that are their own numbers
    seq -f "%0$(($1 - 1)).0f" "$2" "$3"
}
numbers 512 0 2047 >"$dir/fresh"
numbers 2048 0 39 >"$dir/cd"
cp "$dir/fresh" "$dir/disk"
{ numbers 512 0 99 && numbers 512 1100 1139 && numbers 512 140 2047; } >"$dir/want"

run_tap "a disk with an overlay" "$guest" -drive "file=$dir/disk,format=raw,snapshot=on" -cdrom "$dir/cd"
cmp "$dir/disk" "$dir/fresh"
result $? "its file is as it was"
run_tap "a disk without" "$guest" -drive "file=$dir/disk,format=raw" -drive "file=$dir/cd,format=raw,media=cdrom,index=2"
cmp "$dir/disk" "$dir/want"
result $? "its file is as the guest wrote it"
done_testing
