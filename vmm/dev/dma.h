/*
 * Two 8237A DMA controllers and their page registers. The first one's channels move bytes between
 * a device and memory when the device asks; the second one is the first's way to the bus (its
 * channel 0, the cascade). No device asks for 16-bit transfers, nor memory for ones to memory.
 *
 * Addresses are guest-physical, 24 bits: 16 of the channel, which wrap, and 8 of its page register.
 */
#ifndef UMBRA_VMM_DEV_DMA_H
#define UMBRA_VMM_DEV_DMA_H

#include <stdbool.h>

#include "vmm/dev/bus.h"

/* Memory as the controllers reach it. What is not RAM reads as ones and takes nothing. */
struct dma_memory {
    void (*read)(void *ctx, uint32_t gpa, void *buf, uint32_t len);
    void (*write)(void *ctx, uint32_t gpa, const void *buf, uint32_t len);
    void *ctx;
};

struct dma_chip {
    uint16_t reg[8]; /* current address and count of four channels */
    uint16_t base[8];
    uint8_t mode[4], mask, command;
    uint8_t done; /* channels whose count has run out since the status was read */
    bool high;    /* the next byte of a register is its high one */
};

struct dma {
    struct dma_chip chip[2];
    uint8_t page[16];
    struct dma_memory memory;
};

/* Claim ports 00-0F, 80-8F and C0-DF. 0, or bus_claim's error. */
int dma_init(struct dma *d, struct bus *bus, struct dma_memory memory);

/* The reset line: everything masked but the cascade, which firmware opens. */
void dma_reset(struct dma *d);

/*
 * A device on a channel (0..3) of the first controller asks for len bytes to be moved: to memory
 * from buf, or from memory to buf. Returns how many were moved: none while the channel is masked,
 * and no more than its count. *end: the count ran out with the last of them (terminal count). A
 * channel that is programmed for the other direction, or to verify, counts and leaves memory alone;
 * buf then gets ones.
 */
uint32_t dma_to_memory(struct dma *d, unsigned channel, const uint8_t *buf, uint32_t len,
                       bool *end);
uint32_t dma_from_memory(struct dma *d, unsigned channel, uint8_t *buf, uint32_t len, bool *end);

#endif
