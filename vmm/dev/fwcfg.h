/*
 * What the machine tells its firmware: named files and numbered items behind two ports, in the form
 * that QEMU made (docs/specs/fw_cfg there) and SeaBIOS reads. Nothing can be written. fwcfg_dma.h
 * has the faster way to read.
 */
#ifndef UMBRA_VMM_DEV_FWCFG_H
#define UMBRA_VMM_DEV_FWCFG_H

#include <stddef.h>

#include "vmm/dev/bus.h"

#define FWCFG_ITEMS 32
#define FWCFG_NAME  56 /* bytes of a file's name, terminator included */

/* Bits of FWCFG_ID. */
#define FWCFG_ID_TRADITIONAL 1u
#define FWCFG_ID_DMA         2u

enum fwcfg_key {
    FWCFG_SIGNATURE = 0x00,
    FWCFG_ID = 0x01,
    FWCFG_RAM_SIZE = 0x03,
    FWCFG_CPUS = 0x05,
    FWCFG_KERNEL_ADDR = 0x07,
    FWCFG_KERNEL_SIZE = 0x08,
    FWCFG_INITRD_ADDR = 0x0a,
    FWCFG_INITRD_SIZE = 0x0b,
    FWCFG_CPUS_MAX = 0x0f,
    FWCFG_KERNEL_DATA = 0x11,
    FWCFG_INITRD_DATA = 0x12,
    FWCFG_CMDLINE_ADDR = 0x13,
    FWCFG_CMDLINE_SIZE = 0x14,
    FWCFG_CMDLINE_DATA = 0x15,
    FWCFG_SETUP_ADDR = 0x16,
    FWCFG_SETUP_SIZE = 0x17,
    FWCFG_SETUP_DATA = 0x18,
    FWCFG_DIRECTORY = 0x19,
    FWCFG_FIRST_FILE = 0x20,
    FWCFG_IRQ0_OVERRIDE = 0x8002,
};

struct fwcfg {
    struct fwcfg_item {
        uint16_t key;
        char name[FWCFG_NAME]; /* "": not a file */
        const uint8_t *data;
        uint8_t *own; /* the same, if it is a copy to be freed */
        size_t len;
    } item[FWCFG_ITEMS];
    unsigned items, files;
    uint16_t selected;
    size_t at;
};

/* Claim ports 0x510 and 0x511, with signature and ID. 0, bus_claim's error or -ENOMEM. */
int fwcfg_init(struct fwcfg *f, struct bus *bus);
void fwcfg_destroy(struct fwcfg *f);

/* Add an item, or a file; the data is copied. 0, -ENOSPC, -ENOMEM; -EINVAL: the name is too long.
 */
int fwcfg_add(struct fwcfg *f, uint16_t key, const void *data, size_t len);
int fwcfg_add_file(struct fwcfg *f, const char *name, const void *data, size_t len);
/* The same without a copy: data stays the caller's and must stay as long as f. */
int fwcfg_lend(struct fwcfg *f, uint16_t key, const void *data, size_t len);

/* What the ports do: begin with an item; take its next bytes, which are zeros behind its end and if
 * there is none; pass over bytes. */
void fwcfg_select(struct fwcfg *f, uint16_t key);
void fwcfg_take(struct fwcfg *f, void *buf, size_t len);
void fwcfg_skip(struct fwcfg *f, size_t len);

#endif
