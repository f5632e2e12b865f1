/*
 * The setup header of a Linux kernel: what its file tells a loader, and what a loader fills in
 * (Documentation/arch/x86/boot.rst, "The real-mode kernel header"). Offsets count from the start of
 * the file, and of boot_params as well. With each: the protocol that brought it, if not the first.
 */
#ifndef UMBRA_VMM_LOAD_SETUP_HEADER_H
#define UMBRA_VMM_LOAD_SETUP_HEADER_H

#include "vmm/load/load.h"

enum setup_header {
    SETUP_SECTS = 0x1f1,
    SETUP_SYSSIZE = 0x1f4,
    SETUP_VID_MODE = 0x1fa,
    SETUP_BOOT_FLAG = 0x1fe,
    SETUP_LEN = 0x201, /* counted from SETUP_MAGIC */
    SETUP_MAGIC = 0x202,
    SETUP_VERSION = 0x206,
    SETUP_LOADER = 0x210,
    SETUP_LOADFLAGS = 0x211,
    SETUP_CODE32 = 0x214,
    SETUP_RAMDISK = 0x218,
    SETUP_RAMDISK_SIZE = 0x21c,
    SETUP_HEAP_END = 0x224,     /* 2.01 */
    SETUP_CMDLINE = 0x228,      /* 2.02 */
    SETUP_INITRD_MAX = 0x22c,   /* 2.03 */
    SETUP_ALIGNMENT = 0x230,    /* 2.05 */
    SETUP_RELOCATABLE = 0x234,  /* 2.05 */
    SETUP_XLOADFLAGS = 0x236,   /* 2.12 */
    SETUP_CMDLINE_SIZE = 0x238, /* 2.06 */
    SETUP_SUBARCH = 0x23c,      /* 2.07 */
    SETUP_PAYLOAD = 0x248,      /* 2.08 */
    SETUP_PAYLOAD_LEN = 0x24c,  /* 2.08 */
    SETUP_DATA = 0x250,         /* 2.09 */
    SETUP_PREF_ADDRESS = 0x258, /* 2.10 */
    SETUP_INIT_SIZE = 0x260,    /* 2.10 */
    SETUP_END = 0x290,          /* of what a file may bring along */
};

#define SETUP_FLAG           0xaa55u     /* of SETUP_BOOT_FLAG */
#define SETUP_HDRS           0x53726448u /* of SETUP_MAGIC: "HdrS" */
#define SETUP_LOADED_HIGH    0x01u       /* of SETUP_LOADFLAGS */
#define SETUP_CAN_USE_HEAP   0x80u       /* ... */
#define SETUP_KERNEL_64      0x01u       /* of SETUP_XLOADFLAGS */
#define SETUP_NO_LOADER      0xffu       /* "undefined": no number is assigned to us */
#define SETUP_OLD_INITRD_MAX 0x37ffffffu /* where a kernel does not say */
#define SETUP_OLD_CMDLINE    255u        /* the same; without terminator */

/* Bytes of boot sector and setup code together; the protected-mode part follows them. h, here and
 * below: the file's first SETUP_END bytes. */
uint32_t setup_bytes(const uint8_t *h);
/* Where an initrd must end, and the longest command line, terminator aside. */
gpa_t setup_initrd_end(const uint8_t *h, uint32_t version);
uint32_t setup_cmdline_max(const uint8_t *h, uint32_t version);
/* Is there anything behind the setup code, and is it for an i386? 0, or -ENOEXEC with l->err. */
int setup_check_size(const struct loading *l, const uint8_t *h);
int setup_check_i386(const struct loading *l, const uint8_t *h, uint32_t version);

#endif
