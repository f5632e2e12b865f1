/*
 * Ways to switch the machine off that kernels use without asking first, since emulators have had
 * them: a word with bit 13 (ACPI's SLP_EN) to port 604, B004 or 4004, and the letters "Shutdown" to
 * port 8900, which is also what INT 15h 5307h of SeaBIOS does. There is no ACPI behind them.
 */
#ifndef UMBRA_VMM_DEV_POWEROFF_H
#define UMBRA_VMM_DEV_POWEROFF_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

struct poweroff {
    struct line off; /* a pulse: somebody has asked for it */
    unsigned letters;
};

/* 0, or bus_claim's error. */
int poweroff_init(struct poweroff *p, struct bus *bus, struct line off);

#endif
