/*
 * The A20 gate and the reset line of a PC: driven by the keyboard controller and by port 0x92.
 * A20 is on while either asks for it; a firmware leaves it on.
 */
#ifndef UMBRA_VMM_DEV_A20_H
#define UMBRA_VMM_DEV_A20_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

struct a20 {
    bool by_kbd, by_port92;
    struct line gate;  /* true: address bit 20 passes */
    struct line reset; /* a pulse (true, then false) resets the processor */
};

/* Claim port 0x92. gate is not called before something changes: it starts on. 0, or bus_claim's
 * error. */
int a20_init(struct a20 *a, struct bus *bus, struct line gate, struct line reset);

/* The keyboard controller's output port moves. */
void a20_from_kbd(struct a20 *a, bool on);
void a20_reset(struct a20 *a);

#endif
