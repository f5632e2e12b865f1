#!/bin/bash
# bad_images.sh UMBRA GUESTS: on the command line, images of each protocol with one lie each in their headers: the whole
# message, and exit code 2; or a machine that runs, where the lie does no harm. The sound images are made here, of a
# header and two instructions (cli; hlt). Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$(readlink -f "$1") guests=$(readlink -f "$2")
cd "$dir" || exit 1
tap_lines=6

# le16 N, le32 N: little-endian, as printf %b takes it.
le16() { printf '\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)); }
le32() { le16 $(($1 & 65535)) && le16 $(($1 >> 16 & 65535)); }
# put FILE OFFSET BYTES
put() { printf '%b' "$3" | dd of="$1" bs=1 seek=$(($2)) conv=notrunc status=none; }

run() { timeout -k 5 50 "$umbra" run image --engine soft -m 64M --timeout 40 "$@" >out 2>err </dev/null; }
# refused WHAT MESSAGE ARGS...: the file "image"
refused() {
    local what=$1 message=$2 rc
    shift 2
    run "$@"
    rc=$?
    [ $rc -eq 2 ] && [ ! -s out ] && [ "$(<err)" = "umbra run: $message" ]
    result $? "refused: $what" || echo "# status $rc; should be: umbra run: $message"
}
# runs WHAT ARGS...
runs() {
    local what=$1 rc
    shift
    run "$@"
    rc=$?
    [ $rc -eq 0 ] && grep -q 'halted with interrupts off' err
    result $? "runs: $what" || echo "# status $rc"
}
# lies BASE: lines "FIELD|OFFSET|BYTES|MESSAGE" or, without a message, harmless ones; ARGS may follow behind another |.
lies() {
    local base=$1 field offset bytes message args
    while IFS='|' read -r field offset bytes message args; do
        cp "$base" image
        put image "$offset" "$bytes"
        # shellcheck disable=SC2086 # words
        if [ "$message" ]; then refused "$field" "$message" $args; else runs "$field" $args; fi
    done
}

# ---------------------------------------------------------------- Linux: bzImage
# Protocol 2.15, relocatable, 2 sectors of setup code, 1600 bytes of kernel.
: >bz
put bz 0x1f1 '\x02'
put bz 0x1f4 "$(le32 100)"
put bz 0x1fe '\x55\xaa\xeb\x6aHdrS\x0f\x02'
put bz 0x211 '\x01'
put bz 0x214 "$(le32 0x100000)"
put bz 0x22c "$(le32 0x7fffffff)$(le32 0x1000)\x01"
put bz 0x238 "$(le32 2047)"
put bz 0x258 "$(le32 0x1000000)"
put bz 0x260 "$(le32 0x900000)"
put bz 0x26c '\xfa\xf4' # where the setup code is entered by its jump
put bz 0x600 '\xfa\xf4'
truncate -s 3136 bz
head -c 10000 /dev/zero >initrd
max='\xff\xff\xff\xff'
cp bz image
runs 'a sound bzImage'
ram='does not lie in RAM (0-0x9fc00 and 0x100000-0x4000000); give more RAM with -m or link it elsewhere'
room='beside what is loaded; give more RAM with -m'
lies bz <<LIES
setup_sects 0, which stands for 4|0x1f1|\x00|image: syssize says 0x640 bytes of kernel, the file has 0x240; is it truncated?
setup_sects past the file|0x1f1|\x06|image: setup_sects 6 leaves no kernel in 0xc40 bytes; is it truncated?
setup_sects at most|0x1f1|\xff|image: setup_sects 255 leaves no kernel in 0xc40 bytes; is it truncated?
syssize 0|0x1f4|$(le32 0)|
syssize past the file|0x1f4|$(le32 101)|image: syssize says 0x650 bytes of kernel, the file has 0x640; is it truncated?
syssize at most|0x1f4|$max|image: syssize says 0xffffffff0 bytes of kernel, the file has 0x640; is it truncated?
a header of no length|0x201|\x00|image: setup header ends at 0x202, must be 0x22c to 0x290
a header beyond all|0x201|\xff|image: setup header ends at 0x301, must be 0x22c to 0x290
version at most|0x206|\xff\xff|
loadflags at most|0x211|\xff|
code32_start below the kernel|0x214|$(le32 0xfffff)|image: code32_start 0xfffff lies outside of the kernel (0x100000, 0x640 bytes)
code32_start past the kernel|0x214|$(le32 0x100640)|image: code32_start 0x100640 lies outside of the kernel (0x100000, 0x640 bytes)
code32_start at most|0x214|$max|image: code32_start 0xffffffff lies outside of the kernel (0x100000, 0x640 bytes)
ramdisk_image and _size at most|0x218|$max$max|
cmd_line_ptr at most|0x228|$max|
initrd_addr_max 0 without an initrd|0x22c|$(le32 0)|
initrd_addr_max 0|0x22c|$(le32 0)|initrd: module of 0x2710 bytes does not fit below 0x1 $room|-initrd initrd
initrd_addr_max inside the kernel|0x22c|$(le32 0x100fff)|initrd: module of 0x2710 bytes does not fit below 0x101000 $room|-initrd initrd
initrd_addr_max at most|0x22c|$max||-initrd initrd
kernel_alignment 0|0x230|$(le32 0)|image: kernel_alignment 0 is not a power of two
kernel_alignment 3|0x230|$(le32 3)|image: kernel_alignment 0x3 is not a power of two
kernel_alignment at most|0x230|$max|image: kernel_alignment 0xffffffff is not a power of two
kernel_alignment 2 GiB|0x230|$(le32 0x80000000)|image: pref_address 0x1000000 is no multiple of kernel_alignment 0x80000000
a kernel that cannot be moved, with a wrong alignment|0x230|$(le32 3)\x00|
xloadflags: a 64-bit kernel|0x236|\x01\x00|image: xloadflags 0x1: a 64-bit kernel, but the machine is an i386; take a kernel for i386 (686)
xloadflags at most|0x236|\xff\xff|image: xloadflags 0xffff: a 64-bit kernel, but the machine is an i386; take a kernel for i386 (686)
cmdline_size 0 without a command line|0x238|$(le32 0)|
cmdline_size 0|0x238|$(le32 0)|image: the command line has 5 bytes, this kernel takes 0; shorten -append|-append quiet
cmdline_size 4|0x238|$(le32 4)|image: the command line has 5 bytes, this kernel takes 4; shorten -append|-append quiet
cmdline_size 5|0x238|$(le32 5)||-append quiet
cmdline_size at most|0x238|$max||-append quiet
payload_offset at most|0x248|$max|image: payload_offset 0xffffffff with payload_length 0 goes beyond the file's end; is it truncated?
payload_length at most|0x24c|$max|image: payload_offset 0 with payload_length 0xffffffff goes beyond the file's end; is it truncated?
setup_data at most|0x250|$max$max|
pref_address 0|0x258|$(le32 0)|image: kernel at 0, 0x900000 bytes, $ram
pref_address with an odd bit|0x258|$(le32 0x1000001)|image: pref_address 0x1000001 is no multiple of kernel_alignment 0x1000
pref_address where RAM ends|0x258|$(le32 0x4000000)|image: kernel at 0x4000000, 0x900000 bytes, $ram
pref_address beyond 4 GiB|0x258|$max\x00$max|image: pref_address 0xffffff00ffffffff is no multiple of kernel_alignment 0x1000
init_size 0|0x260|$(le32 0)|
init_size one too many|0x260|$(le32 0x3000001)|image: kernel at 0x1000000, 0x3000001 bytes, $ram
init_size at most|0x260|$max|image: kernel at 0x1000000, 0xffffffff bytes, $ram
no boot flag|0x1fe|\x00\x00|image: not an image that is known here (Linux, Multiboot 1 and 2, PVH, ELF32); a raw binary needs --flat
LIES

# What is no protocol with a 32-bit entry is entered in real mode, through a BIOS.
if [ -r /usr/share/seabios/bios.bin ]; then
    lies bz <<LIES
version 0, in real mode|0x206|\x00\x00|
version 2.01, in real mode|0x206|\x01\x02|
loadflags 0, a zImage|0x211|\x00|
code32_start 0|0x214|$(le32 0)|
LIES
else
    skip 'in real mode' 'no /usr/share/seabios/bios.bin (package seabios)'
fi
cp bz image
put image 0x206 '\x03\x02'
put image 0x1f1 '\x06'
refused 'version 2.03, setup_sects past the file' 'image: setup_sects 6 leaves no kernel in 0xc40 bytes; is it truncated?'
put image 0x1f1 '\xf0'
truncate -s 200000 image
refused 'version 2.03, more setup code than has room' 'image: setup_sects 240: setup code of 0x1e200 bytes has no room at 0x10000'
put image 0x1f1 '\x02\x00\x00\x00\x00'
put image 0x211 '\x00'
truncate -s 600000 image
refused 'version 2.03, a zImage that is too large' 'image: 0x921c0 bytes of kernel do not fit into low memory (0x10000-0x8ffff); build a bzImage'
cp bz image
put image 0x206 '\x03\x02'
refused 'version 2.03, two initrds' 'image: it takes one -initrd without arguments; join the files into one' -initrd initrd -initrd initrd
put image 0x22c "$(le32 0x100fff)"
refused 'version 2.03, initrd_addr_max inside the kernel' \
    "initrd: module of 0x2710 bytes does not fit below 0x101000 $room" -initrd initrd

# An initrd for which there is no room: in RAM, and below what the kernel can reach.
cp bz image
truncate -s 40M big
refused 'an initrd as large as what RAM is left' \
    "big: module of 0x2800000 bytes does not fit below 0x4000000 $room" -initrd big
refused 'an initrd larger than RAM' "big: module of 0x2800000 bytes does not fit below 0x2000000 $room" \
    -m 32M -initrd big
runs 'the same with more RAM' -m 128M -initrd big
refused 'two initrds' 'image: a Linux kernel takes one -initrd, 2 are given; join them into one file' -initrd initrd -initrd initrd
refused 'an initrd with arguments' 'image: a Linux initrd takes no arguments ("initrd quiet"); give them with -append' -initrd 'initrd quiet'
refused 'no initrd of that name' 'initrd.gz: cannot be opened: No such file or directory' -initrd initrd.gz
refused 'too little RAM' \
    'image: kernel at 0x1000000, 0x900000 bytes, does not lie in RAM (0-0x9fc00 and 0x100000-0x1000000); give more RAM with -m or link it elsewhere' -m 16M

# Cut off at each boundary: before the header, in it, in the setup code, before and in the kernel.
unknown='image: not an image that is known here (Linux, Multiboot 1 and 2, PVH, ELF32); a raw binary needs --flat'
while read -r size message; do
    head -c "$size" bz >image
    refused "$size bytes of it" "image: $message"
done <<CUTS
0 is empty; nothing to load
1 ${unknown#image: }
497 ${unknown#image: }
511 ${unknown#image: }
1536 setup_sects 2 leaves no kernel in 0x600 bytes; is it truncated?
1537 syssize says 0x640 bytes of kernel, the file has 0x1; is it truncated?
3120 syssize says 0x640 bytes of kernel, the file has 0x630; is it truncated?
CUTS
for size in 514 518 519 545 600 656 1024 1535; do
    head -c $size bz >image
    run
    [ $? -eq 2 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q '^umbra run: image: .' err
    result $? "refused: $size bytes of it"
done
head -c 3121 bz >image
runs 'without the last 15 bytes, which syssize rounds up'

# ---------------------------------------------------------------- for other machines
i386='the machine is an i386: take a kernel for i386 (686)'
: >image
put image 0x24 "$(le32 0x016f2818)"
truncate -s 4096 image
refused 'a zImage for ARM' "image: not a kernel but a zImage for ARM; $i386"
: >image
put image 0x38 'ARM\x64'
truncate -s 4096 image
refused 'an Image for ARM64' "image: not a kernel but an Image for ARM64; $i386"
: >image
put image 0x30 'RISCV\x00\x00\x00RSC\x05'
truncate -s 4096 image
refused 'an Image for RISC-V' "image: not a kernel but an Image for RISC-V; $i386"
: >image
put image 0 'MZ'
put image 0x3c "$(le32 0x80)"
put image 0x80 'PE\x00\x00\x64\xaa'
truncate -s 4096 image
refused 'a PE executable' 'image: not a kernel but a program for EFI, Windows or DOS; the machine has none of them: take a kernel that is a bzImage, Multiboot or an ELF'
: >image
put image 0 "\x27\x05\x19\x56"
truncate -s 4096 image
refused 'a uImage' 'image: not a kernel but a uImage for U-Boot; take the kernel for i386 that it was made of'

# ---------------------------------------------------------------- ELF
# elf FILE: text at 1 MiB, entered at its first byte; data at 2 MiB.
elf() {
    : >"$1"
    put "$1" 0 '\x7fELF\x01\x01\x01'
    put "$1" 16 "\x02\x00\x03\x00$(le32 1)$(le32 0x100000)$(le32 52)$(le32 0)$(le32 0)\x34\x00\x20\x00\x02\x00"
    put "$1" 52 "$(le32 1)$(le32 256)$(le32 0x100000)$(le32 0x100000)$(le32 512)$(le32 512)$(le32 5)$(le32 256)"
    put "$1" 84 "$(le32 1)$(le32 768)$(le32 0x200000)$(le32 0x200000)$(le32 64)$(le32 0x5000)$(le32 6)$(le32 256)"
    put "$1" 256 '\xfa\xf4'
    truncate -s 832 "$1"
}
elf elf
cp elf image
runs 'a sound ELF'
lies elf <<LIES
EI_CLASS 2|4|\x02|image: EI_CLASS is 2: a 64-bit ELF, but the machine is an i386; build it with -m32
EI_CLASS at most|4|\xff|image: EI_CLASS is 255, must be 1 (32-bit)
EI_DATA 2|5|\x02|image: EI_DATA is 2, must be 1 (little-endian)
EI_VERSION 0|6|\x00|image: EI_VERSION is 0, must be 1
e_type 1|16|\x01\x00|image: e_type is 1, must be 2 (executable); it is not linked yet
e_type 3|16|\x03\x00|image: e_type is 3, must be 2 (executable); link it with -static -no-pie
e_type at most|16|\xff\xff|image: e_type is 65535, must be 2 (executable)
e_machine x86-64|18|\x3e\x00|image: e_machine is 62, must be 3 (Intel 80386); take an image for i386
e_machine ARM|18|\x28\x00|image: e_machine is 40, must be 3 (Intel 80386); take an image for i386
e_version 2|20|\x02|image: e_version is 2, must be 1
e_entry 0|24|$(le32 0)|image: e_entry 0 lies in no executable segment that the file has content for
e_entry in data|24|$(le32 0x200000)|image: e_entry 0x200000 lies in no executable segment that the file has content for
e_entry past the text|24|$(le32 0x100200)|image: e_entry 0x100200 lies in no executable segment that the file has content for
e_entry at most|24|$max|image: e_entry 0xffffffff lies in no executable segment that the file has content for
e_ehsize 0|40|\x00\x00|image: e_ehsize is 0, must be 52
e_phentsize 0|42|\x00\x00|image: e_phentsize is 0, must be 32
e_phnum 0|44|\x00\x00|image: e_phnum is 0, must be 1 to 64 program headers
e_phnum at most|44|\xff\xff|image: e_phnum is 65535, must be 1 to 64 program headers
p_offset at most|56|$max|image: segment 0: p_offset 0xffffffff with p_filesz 0x200 goes beyond the file's end (0x340 bytes); is it truncated?
p_paddr at most|64|$max|image: segment 0 (r-x) at 0xffffffff, 0x200 bytes, $ram
p_paddr over the VGA's memory|64|$(le32 0xb8000)|image: segment 0 (r-x) at 0xb8000, 0x200 bytes, $ram
overlapping segments|64|$(le32 0x204fff)|image: segment 1 (rw-) at 0x200000, 0x5000 bytes, overlaps segment 0 (r-x) at 0x204fff, 0x200
p_filesz at most|68|$max|image: segment 0: p_filesz 0xffffffff is more than p_memsz 0x200
p_memsz 0, so that there is no text|72|$(le32 0)|image: e_entry 0x100000 lies in no executable segment that the file has content for
p_memsz 511|72|$(le32 511)|image: segment 0: p_filesz 0x200 is more than p_memsz 0x1ff
p_memsz at most|72|$max|image: segment 0: p_vaddr 0x100000 with p_memsz 0xffffffff wraps
p_flags: no segment is executable|76|$(le32 6)|
p_flags: only the data is executable|76|$(le32 6)$(le32 256)$(le32 1)$(le32 768)$(le32 0x200000)$(le32 0x200000)$(le32 64)$(le32 0x5000)$(le32 7)|image: e_entry 0x100000 lies in no executable segment that the file has content for
p_align 3|80|$(le32 3)|image: segment 0: p_align 0x3 is not a power of two
p_align 0|80|$(le32 0)|
LIES
cp elf image
refused 'a plain ELF with a command line' \
    'image: a plain ELF has no way to get a command line or modules; leave out -append and -initrd or give the image a Multiboot header' -append quiet

# ---------------------------------------------------------------- Multiboot 1, with address fields: a raw file
# Header at 16, loaded at 1 MiB, 4 KiB with bss.
: >mb1
put mb1 16 "$(le32 0x1badb002)$(le32 0x10000)$(le32 $((-(0x1badb002 + 0x10000))))"
put mb1 28 "$(le32 0x100010)$(le32 0x100000)$(le32 0x100200)$(le32 0x101000)$(le32 0x100100)"
put mb1 0x100 '\xfa\xf4'
truncate -s 512 mb1
cp mb1 image
runs 'a sound Multiboot 1 image'
lies mb1 <<LIES
header_addr 0|28|$(le32 0)|image: load_addr 0x100000 and header_addr 0 do not agree with the header's place in the file (0x10)
header_addr at most|28|$max|image: load_addr 0x100000 and header_addr 0xffffffff do not agree with the header's place in the file (0x10)
load_addr 0|32|$(le32 0)|image: load_addr 0 and header_addr 0x100010 do not agree with the header's place in the file (0x10)
load_addr at most|32|$max|image: load_addr 0xffffffff and header_addr 0x100010 do not agree with the header's place in the file (0x10)
load_end_addr 0, which stands for the file's end|36|$(le32 0)|
load_end_addr at load_addr|36|$(le32 0x100000)|image: load_end_addr 0x100000 is not above load_addr 0x100000
load_end_addr past the file|36|$(le32 0x100201)|image: load_end_addr 0x100201 asks for 0x201 bytes, the file has 0x200; is it truncated?
load_end_addr at most|36|$max|image: load_end_addr 0xffffffff asks for 0xffefffff bytes, the file has 0x200; is it truncated?
bss_end_addr 0, which stands for no bss|40|$(le32 0)|
bss_end_addr below the load end|40|$(le32 0x1001ff)|image: bss_end_addr 0x1001ff lies below the load end 0x100200
bss_end_addr at most|40|$max|image: image at 0x100000, 0xffefffff bytes, $ram
entry_addr 0|44|$(le32 0)|image: entry_addr 0 lies outside of what is loaded (0x100000-0x100200)
entry_addr in bss|44|$(le32 0x100200)|image: entry_addr 0x100200 lies outside of what is loaded (0x100000-0x100200)
entry_addr at most|44|$max|image: entry_addr 0xffffffff lies outside of what is loaded (0x100000-0x100200)
flags that no loader knows|20|$(le32 0x10010)$(le32 $((-(0x1badb002 + 0x10010))))|image: Multiboot flags 0x10010 demand what no loader knows (0x10)
a checksum that is none|24|$(le32 0)|$unknown
LIES
head -c 40 mb1 >image
refused 'cut off in the address fields' 'image: Multiboot header at 0x10: its address fields are cut off'

# ---------------------------------------------------------------- Multiboot 2, with address tags
# mb2 FILE: header at 0 of 16 + 24 + 16 + 8 bytes, loaded at 1 MiB.
: >mb2
put mb2 0 "$(le32 0xe85250d6)$(le32 0)$(le32 64)$(le32 $((-(0xe85250d6 + 64))))"
put mb2 16 "$(le32 2)$(le32 24)$(le32 0x100000)$(le32 0x100000)$(le32 0x100200)$(le32 0x101000)"
put mb2 40 "$(le32 3)$(le32 12)$(le32 0x100100)$(le32 0)$(le32 0)$(le32 8)"
put mb2 0x100 '\xfa\xf4'
truncate -s 512 mb2
cp mb2 image
runs 'a sound Multiboot 2 image'
sum() { le32 $((-(0xe85250d6 + $1 + $2))); } # ARCHITECTURE LENGTH
lies mb2 <<LIES
architecture 4|4|$(le32 4)$(le32 64)$(sum 4 64)|image: Multiboot 2 architecture is 4, must be 0 (i386)
header_length 0|8|$(le32 0)$(sum 0 0)|image: Multiboot 2 header_length 0 at 0 does not fit the first 32 KiB of the file
header_length past the file|8|$(le32 0x201)$(sum 0 0x201)|image: Multiboot 2 header_length 0x201 at 0 does not fit the first 32 KiB of the file
header_length at most|8|$max$(sum 0 0xffffffff)|image: Multiboot 2 header_length 0xffffffff at 0 does not fit the first 32 KiB of the file
header_length without the end tag|8|$(le32 56)$(sum 0 56)|image: Multiboot 2 header tags have no end tag
a tag of size 0|20|$(le32 0)|image: Multiboot 2 header tag at 0x10 has size 0
a tag of size 8 that needs more|20|$(le32 8)|image: Multiboot 2 header tag of type 2 has size 8, needs 24
a tag of the largest size|20|$max|image: Multiboot 2 header tag at 0x10 has size 0xffffffff
a tag that nobody knows|16|\x63\x00\x00\x00|image: Multiboot 2 header demands what this machine does not have (tag of type 99); mark the tag optional
header_addr 0|24|$(le32 0)|image: load_addr 0x100000 and header_addr 0 do not agree with the header's place in the file (0)
load_addr 0|28|$(le32 0)|image: load_addr 0 and header_addr 0x100000 do not agree with the header's place in the file (0)
load_end_addr at most|32|$max|image: load_end_addr 0xffffffff asks for 0xffefffff bytes, the file has 0x200; is it truncated?
bss_end_addr at most|36|$max|image: image at 0x100000, 0xffefffff bytes, $ram
entry_addr 0|48|$(le32 0)|image: entry_addr 0 lies outside of what is loaded (0x100000-0x100200)
entry_addr at most|48|$max|image: entry_addr 0xffffffff lies outside of what is loaded (0x100000-0x100200)
LIES

# ---------------------------------------------------------------- PVH: an ELF with a note
elf pvh
put pvh 44 '\x03'
put pvh 116 "$(le32 4)$(le32 0x300)$(le32 0)$(le32 0)$(le32 20)$(le32 20)$(le32 4)$(le32 4)"
put pvh 0x300 "$(le32 4)$(le32 4)$(le32 18)Xen\x00$(le32 0x100000)"
cp pvh image
runs 'a sound PVH image'
lies pvh <<LIES
an entry of 0|0x310|$(le32 0)|image: PVH entry 0 lies in no executable segment that the file has content for
an entry in data|0x310|$(le32 0x200000)|image: PVH entry 0x200000 lies in no executable segment that the file has content for
an entry at most|0x310|$max|image: PVH entry 0xffffffff lies in no executable segment that the file has content for
an entry of 3 bytes|0x304|$(le32 3)|image: PVH entry note holds 3 bytes, must be 4 or 8
overlapping segments|64|$(le32 0x204fff)|image: segment 1 (rw-) at 0x200000, 0x5000 bytes, overlaps segment 0 (r-x) at 0x204fff, 0x200
a note that says it is longer than its segment: no note|0x304|$max|
another owner: no note|0x30c|xen|
LIES

# ---------------------------------------------------------------- several modules
# Each -initrd adds those of its words; what stands behind a file's name is the module's string.
printf '1234567' >one
head -c 5000 /dev/zero >two
cp one 'one=x'
timeout -k 5 50 "$umbra" run "$guests/hello.elf" --engine soft -m 64M -initrd 'one alpha  beta' -append 'a b' -initrd two 'one=x' \
    -initrd 'two root=/dev/hda quiet' >out 2>err </dev/null
result $? 'a guest with four modules'
sed -n 's/^module \([0-9]\): 00[0-9a-f]*000-00[0-9a-f]*\(...\) /\1 \2 /p' out >got
printf '%s\n' '0 006 "one alpha  beta"' '1 387 "two"' '2 006 "one=x"' '3 387 "two root=/dev/hda quiet"' | cmp - got
result $? 'it sees each whole, at the start of a page, with its string'
[ "$(sed -n 's/^module .: \([0-9a-f]*\)-.*/\1/p' out | sort -u | wc -l)" -eq 4 ]
result $? 'and all in places of their own'

done_testing
