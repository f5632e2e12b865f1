/*
 * What the machine tells its firmware: named files and numbered items behind two ports, in the form
 * that QEMU made (docs/specs/fw_cfg there) and SeaBIOS reads. Nothing can be written, and there is
 * no DMA.
 */
#ifndef UMBRA_VMM_DEV_FWCFG_H
#define UMBRA_VMM_DEV_FWCFG_H

#include <stddef.h>

#include "vmm/dev/bus.h"

#define FWCFG_ITEMS 24
#define FWCFG_NAME  56 /* bytes of a file's name, terminator included */

enum fwcfg_key {
    FWCFG_SIGNATURE = 0x00,
    FWCFG_ID = 0x01,
    FWCFG_RAM_SIZE = 0x03,
    FWCFG_CPUS = 0x05,
    FWCFG_CPUS_MAX = 0x0f,
    FWCFG_DIRECTORY = 0x19,
    FWCFG_FIRST_FILE = 0x20,
    FWCFG_IRQ0_OVERRIDE = 0x8002,
};

struct fwcfg {
    struct fwcfg_item {
        uint16_t key;
        char name[FWCFG_NAME]; /* "": not a file */
        uint8_t *data;
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

#endif
