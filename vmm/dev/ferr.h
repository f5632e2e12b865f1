/*
 * How an AT reports a numeric exception when CR0.NE is clear: the processor's FERR# sets a latch
 * that is IRQ 13; a write to port F0 clears the latch and holds IGNNE# until FERR# goes away, so
 * that the handler itself can use the FPU.
 */
#ifndef UMBRA_VMM_DEV_FERR_H
#define UMBRA_VMM_DEV_FERR_H

#include <stdbool.h>

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

#define FERR_IRQ 13u

struct ferr {
    struct line irq;
    bool latched, ignored;
};

/* Claim ports F0 and F1. 0, or bus_claim's error. */
int ferr_init(struct ferr *f, struct bus *bus, struct line irq);
void ferr_reset(struct ferr *f);

/* The processor's pin. true: this has set the latch, and so the interrupt line. */
bool ferr_set(struct ferr *f, bool level);

#endif
