/*
 * Two 8237A DMA controllers and their page registers, as far as programs can see them: registers
 * that keep what they are given. No device on this board asks for a transfer, so none is made.
 */
#ifndef UMBRA_VMM_DEV_DMA_H
#define UMBRA_VMM_DEV_DMA_H

#include <stdbool.h>

#include "vmm/dev/bus.h"

struct dma_chip {
    uint16_t reg[8]; /* current address and count of four channels */
    uint16_t base[8];
    uint8_t mode[4], mask;
    bool high; /* the next byte of a register is its high one */
};

struct dma {
    struct dma_chip chip[2];
    uint8_t page[16];
};

/* Claim ports 00-0F, 80-8F and C0-DF. 0, or bus_claim's error. */
int dma_init(struct dma *d, struct bus *bus);

#endif
