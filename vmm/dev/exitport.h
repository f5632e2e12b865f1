/*
 * The exit port, as QEMU's isa-debug-exit has it: a guest that writes v ends the machine, and the
 * process exits with (v << 1) | 1. A guest can so never fake a clean exit of the monitor (0).
 */
#ifndef UMBRA_VMM_DEV_EXITPORT_H
#define UMBRA_VMM_DEV_EXITPORT_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

#define EXITPORT_BASE 0xf4

struct exitport {
    struct vm_stop stop;
};

/* Claim ports 0xf4..0xf7 on bus. 0, or bus_claim's error. */
int exitport_init(struct exitport *p, struct bus *bus, struct vm_stop stop);

#endif
