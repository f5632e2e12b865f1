/*
 * PCI configuration mechanism 1 of a machine without PCI devices: the address register is there,
 * and every function reads as all ones, so that a kernel's scan ends with "nothing here". The reset
 * control register that chip sets have at port 0xCF9 works, for kernels use it to reboot.
 */
#ifndef UMBRA_VMM_DEV_PCINONE_H
#define UMBRA_VMM_DEV_PCINONE_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

struct pcinone {
    uint32_t address;
    uint8_t reset_control;
    struct line reset;
};

/* Claim ports 0xCF8..0xCFF. 0, or bus_claim's error. */
int pcinone_init(struct pcinone *p, struct bus *bus, struct line reset);

#endif
