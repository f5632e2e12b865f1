/* See filekind.h. */
#include "vmm/filekind.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { MAGIC_MAX = 8 };

#define CONVERT "qemu-img convert -O raw makes a raw one, which -hda takes"

#define NO_I386 "the machine is an i386: take a kernel for i386 (686)"

/* In this order: a CD-ROM that also starts as a disk has both marks, and so has a kernel for
 * another machine that is EFI's as well. */
static const struct known {
    off_t at;
    uint8_t len;
    char magic[MAGIC_MAX];
    struct filekind kind;
} known[] = {
    {0, 2, "\x1f\x8b", {"a gzip file", "unpack it with gunzip", false}},
    {0, 6, "\xfd\x37zXZ", {"an xz file", "unpack it with unxz", false}},
    {0, 4, "\x28\xb5\x2f\xfd", {"a zstd file", "unpack it with unzstd", false}},
    {0, 3, "BZh", {"a bzip2 file", "unpack it with bunzip2", false}},
    {0, 4, "PK\x03\x04", {"a zip file", "unpack it with unzip", false}},
    {0, 8, "!<arch>\n", {"an ar archive", "unpack it (dpkg -x, if it is a package)", false}},
    {0, 4, "QFI\xfb", {"a qcow2 image", CONVERT, true}},
    {0, 4, "KDMV", {"a VMDK image", CONVERT, true}},
    {0, 8, "vhdxfile", {"a VHDX image", CONVERT, true}},
    {0, 8, "conectix", {"a VHD image", CONVERT, true}},
    {64, 4, "\x7f\x10\xda\xbe", {"a VDI image", CONVERT, true}},
    {0x24, 4, "\x18\x28\x6f\x01", {"a zImage for ARM", NO_I386, false}},
    {0x38, 4, "ARM\x64", {"an Image for ARM64", NO_I386, false}},
    {0x30, 5, "RISCV", {"an Image for RISC-V", NO_I386, false}},
    {0,
     4,
     "\x27\x05\x19\x56",
     {"a uImage for U-Boot", "take the kernel for i386 that it was made of", false}},
    {0x8001, 5, "CD001", {"an image of a CD-ROM", "start it with -cdrom", false}},
    {0,
     2,
     "MZ",
     {"a program for EFI, Windows or DOS",
      "the machine has none of them: take a kernel that is a bzImage, Multiboot or an ELF", false}},
    {510,
     2,
     "\x55\xaa",
     {"an image with a boot sector", "start it with -hda, a floppy's with -fda", false}},
};

const struct filekind *filekind_of(int fd)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char buf[MAGIC_MAX];
        if (pread(fd, buf, known[i].len, known[i].at) == known[i].len &&
            memcmp(buf, known[i].magic, known[i].len) == 0)
            return &known[i].kind;
    }
    return NULL;
}
