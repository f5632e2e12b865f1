/*
 * PCI configuration mechanism 1 of a machine whose only PCI device is its host bridge: kernels find
 * a bus that works and nothing on it. The bridge (bus 0, device 0, function 0) is of no make that a
 * kernel or BIOS has code for, and has no registers beyond its header. Every other function reads
 * as all ones. The reset control register that chip sets have at port 0xCF9 works, for kernels use
 * it to reboot. PCI Local Bus Specification 2.2, 3.2.2.3 and chapter 6.
 */
#ifndef UMBRA_VMM_DEV_PCIHOST_H
#define UMBRA_VMM_DEV_PCIHOST_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

struct pcihost {
    uint32_t address;
    uint8_t reset_control;
    struct line reset;
    bool absent; /* a PC without PCI: only the reset control register is there */
};

/* Claim ports 0xCF8..0xCFF. 0, or bus_claim's error. */
int pcihost_init(struct pcihost *p, struct bus *bus, struct line reset);

#endif
