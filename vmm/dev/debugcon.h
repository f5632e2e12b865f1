/*
 * The port that firmware writes its messages to, as Bochs and QEMU have it: 0x402 reads E9 where
 * somebody listens.
 */
#ifndef UMBRA_VMM_DEV_DEBUGCON_H
#define UMBRA_VMM_DEV_DEBUGCON_H

#include "vmm/dev/bus.h"

#define DEBUGCON_PORT 0x402

struct debugcon {
    void (*put)(void *ctx, uint8_t byte);
    void *ctx;
};

/* Claim the port. put == NULL: nobody listens, and nothing is claimed. 0, or bus_claim's error. */
int debugcon_init(struct debugcon *d, struct bus *bus, void (*put)(void *ctx, uint8_t byte),
                  void *ctx);

#endif
