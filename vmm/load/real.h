/*
 * Images that are entered in real mode: Linux by its 16-bit boot protocol
 * (Documentation/arch/x86/boot.rst), and all that is made to be loaded as such a kernel. Their
 * setup code calls the BIOS, so the BIOS has to be there first: the parts are planned here, kept on
 * the host, and copied to their places by a ROM that the BIOS starts (vm_bios.h, real_rom.S).
 */
#ifndef UMBRA_VMM_LOAD_REAL_H
#define UMBRA_VMM_LOAD_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/errmsg.h"
#include "vmm/load/image.h"

/* What goes where in guest memory; len 0: nothing. */
struct real_part {
    uint8_t *bytes;
    uint32_t len, addr; /* addr: guest-physical */
};

struct real_image {
    char kind[64];            /* "Linux (zImage, before protocol 2.00), in real mode" */
    struct real_part setup;   /* entered at its 512th byte, by segments that start with it */
    struct real_part kernel;  /* the protected-mode part */
    struct real_part initrd;  /* the only module */
    struct real_part cmdline; /* with its terminator; the stack ends below */
};

/* Is this file one that can be entered in no other way than in real mode, or whose protocol is
 * older than what 32-bit entries rely on? false as well if it cannot be read. */
bool real_wanted(const char *path);

/*
 * Read and check the image and its module for a machine with this much RAM, and decide what goes
 * where. 0 and *out, which real_free frees; or a negative errno as image_load's, with err filled.
 */
int real_load(const struct image_opts *o, uint64_t ram, struct real_image *out, struct errmsg *err);
void real_free(struct real_image *r);

/* The ROM that copies the parts and enters the setup code: its image, of a size that is a multiple
 * of 512 bytes, checksums and all. */
#define REAL_ROM_SIZE 512u
void real_rom(uint8_t out[REAL_ROM_SIZE]);

#endif
