/*
 * fw_cfg's other way to read (QEMU's docs/specs/fw_cfg, "Guest-side DMA Interface"): the guest
 * writes the address of a request to a register of 64 bits, and what it asks for is in its memory
 * when the write is done. Nothing can be written to items.
 */
#ifndef UMBRA_VMM_DEV_FWCFG_DMA_H
#define UMBRA_VMM_DEV_FWCFG_DMA_H

#include "vmm/dev/fwcfg.h"

struct fwcfg_dma {
    struct fwcfg *f;
    /* Guest-physical memory, wherever there is some; 0 or a negative errno. */
    int (*read)(void *ctx, uint64_t at, void *buf, size_t len);
    int (*write)(void *ctx, uint64_t at, const void *buf, size_t len);
    void *ctx;
    uint32_t high; /* upper half of the next request's address */
};

/* Claim ports 0x514 to 0x51b. f outlives d. 0 or bus_claim's error. */
int fwcfg_dma_init(struct fwcfg_dma *d, struct fwcfg *f, struct bus *bus,
                   int (*read)(void *ctx, uint64_t at, void *buf, size_t len),
                   int (*write)(void *ctx, uint64_t at, const void *buf, size_t len), void *ctx);

#endif
