#!/bin/bash
# loaders.sh UMBRA TALK HOW: boot loaders and programs that need no system, from Debian's packages.
#   grub-cd     GRUB's rescue CD-ROM, by El Torito: menu, memory map, file system, halt
#   memtest-cd  memtest86+ from its CD-ROM: El Torito, GRUB, Linux's protocol
#   memdisk     GRUB's rescue floppy as memdisk's initrd: an image in real mode, which is a drive then; and with a
#               quarter of the memory
#   floppy      the same floppy in a floppy drive
#   ipxe        ipxe.lkrn in real mode, and from its CD-ROM with ISOLINUX: no network card; then the drives are tried
#   invaders    a Multiboot game on the VGA's text screen, whose ship heeds the arrows
#   installer   Debian's installer, of which 30 MB are an initrd, up to its second question; takes minutes
#   gnumach     GNU Mach: probes what is there, and has no servers to start
set -u
how=${3:?}
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
bios=/usr/share/seabios/bios.bin
case $how in
    invaders | gnumach | installer) ;;
    *) [ -r $bios ] || skip_all "no $bios (package seabios)" ;;
esac

limit=100 # seconds for a step
# converse NAME OPTIONS...: $work/script with a machine. The BIOS moves the cursor of a terminal in the middle of words.
converse() {
    local name=$1
    shift
    timeout $((4 * limit)) "$talk" -e -l $limit "$work/script" -- "$umbra" run --engine soft "$@" >"$work/raw" 2>"$work/$name.err"
    result $? "$name: each step came about"
    LC_ALL=C sed 's/\x1b\[[0-9;?]*[A-Za-z]//g' "$work/raw" >"$work/$name"
}

# The BIOS shows its screen on COM1 and types what comes there, few letters at a time.
grub_talk='expect GNU GRUB
expect highlighted
send c
expect grub>'

grub_cd() {
    need grub-rescue
    printf '%s\n' "$grub_talk" 'send lsmmap\r' 'expect 0xfffc0000' 'expect grub>' 'send ls (cd)\r' 'expect iso9660' \
        'expect grub>' 'send halt\r' end >"$work/script"
    converse grub -cdrom "$(images_path grub-rescue)/cdrom.iso" -m 64M --audit=20000
    has "$work/grub" 'base_addr = 0x100000, length = 0x3f00000, available RAM'
    has "$work/grub.err" 'the guest halted with interrupts off'
}

memtest_cd() {
    local seconds
    need memtest
    # GRUB waits some seconds for a key; a screen is only to be had at the end.
    for seconds in 15 60 200; do
        timeout 300 "$umbra" run --engine soft -cdrom "$(images_path memtest)/memtest.iso" -m 16M --display text \
            --timeout $seconds --screen "$work/screen" --serial "$work/serial" >"$work/out" 2>"$work/err" </dev/null
        ! grep -q 'Errors: ' "$work/screen" || break
    done
    has "$work/screen" '^ +Memtest86\+ v6'
    has "$work/screen" 'Errors: 0'
}

memdisk() {
    local pool name
    need syslinux grub-rescue
    printf '%s\n' "$grub_talk" 'send ls\r' 'expect (fd0)' 'expect grub>' 'send halt\r' end >"$work/script"
    "$umbra" mkswap "$work/swap" 64M -q || exit 1
    for pool in 17M 4M; do
        name=memdisk-$pool
        converse "$name" "$(images_path syslinux)/memdisk" -initrd "$(images_path grub-rescue)/floppy.img" -m 16M \
            --pool $pool --swap "$work/swap" --audit=20000 --stats
        has "$work/$name.err" 'Linux \(bzImage, protocol 2.03\), in real mode, through '
        has "$work/$name" 'MEMDISK 6'
    done
    has "$work/memdisk-4M.err" 'pages written out +[1-9]'
}

floppy() {
    need grub-rescue
    printf '%s\n' "$grub_talk" 'send ls\r' 'expect (fd0)' 'expect grub>' 'send halt\r' end >"$work/script"
    converse floppy -fda "$(images_path grub-rescue)/floppy.img" -snapshot -m 16M
}

ipxe() {
    need ipxe
    printf '%s\n' 'expect iPXE initialising devices' 'expect Open Source Network Boot Firmware' \
        'expect No more network devices' 'expect Booting from' stop >"$work/script"
    converse lkrn "$(images_path ipxe)/ipxe.lkrn" -m 32M
    has "$work/lkrn.err" 'Linux \(bzImage, protocol 2.07\), in real mode, through '
    sed -i '1s/.*/expect ISOLINUX 6/' "$work/script"
    converse iso -cdrom "$(images_path ipxe)/ipxe.iso" -m 32M
}

# ship KEYS: the column of the ship's peak, after the arrow has been struck some times.
ship() {
    {
        sleep 1
        for _ in 1 2 3 4 5; do
            # shellcheck disable=SC2059 # they are meant
            printf "$1"
            sleep 0.3
        done
        sleep 1
    } | timeout 60 "$umbra" run "$(images_path invaders)/invaders" --engine soft -m 4M --display text --timeout 4 \
        --screen "$work/screen" >/dev/null 2>"$work/err"
    awk '/^ *_$/ { print length }' "$work/screen"
}

invaders() {
    local still left right
    need invaders
    still=$(ship '') left=$(ship '\e[D') right=$(ship '\e[C')
    has "$work/screen" '-\*-'
    [ "${left:-0}" -gt 0 ] && [ "${left:-0}" -lt "${still:-0}" ] && [ "$still" -lt "${right:-0}" ]
    result $? "the ship is in column ${still:-none}, ${left:-none} on the left and ${right:-none} on the right"
}

gnumach() {
    need gnumach
    printf '%s\n' 'expect GNU Mach 1.8' 'expect vm_page: DIRECTMAP' 'expect Probing PCI hardware' \
        'expect bootstrap_create: No bootstrap code loaded with the kernel' stop >"$work/script"
    converse mach "$(images_path gnumach)/gnumach" -append console=com0 -m 64M
    has "$work/mach" 'RTC time is 20'
}

installer() {
    need installer
    limit=600
    printf '%s\n' 'expect Starting system log daemon' 'expect Select a language' 'send \r' 'expect Select your location' stop \
        >"$work/script"
    converse installer "$(images_path installer)/linux" -initrd "$(images_path installer)/initrd.gz" -m 1G \
        -append 'console=ttyS0 TERM=linux'
}

"${how//-/_}"
done_testing
