/*
 * Ports for messages, as Bochs and QEMU have them: 0x402 is firmware's, 0xe9 anybody's. Both read
 * E9 where somebody listens.
 */
#ifndef UMBRA_VMM_DEV_DEBUGCON_H
#define UMBRA_VMM_DEV_DEBUGCON_H

#include "vmm/dev/bus.h"

#define DEBUGCON_PORT  0x402
#define DEBUGCON_PORT2 0xe9

struct debugcon {
    void (*put)(void *ctx, uint8_t byte);
    void *ctx;
};

/* Claim the ports. put == NULL: nobody listens, and nothing is claimed. 0, or bus_claim's error. */
int debugcon_init(struct debugcon *d, struct bus *bus, void (*put)(void *ctx, uint8_t byte),
                  void *ctx);

#endif
