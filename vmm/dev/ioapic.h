/*
 * An I/O APIC with 24 inputs (Intel 82093AA data sheet, 290566-001), for one local APIC.
 */
#ifndef UMBRA_VMM_DEV_IOAPIC_H
#define UMBRA_VMM_DEV_IOAPIC_H

#include "vmm/dev/lapic.h"

#define IOAPIC_BASE  0xfec00000u
#define IOAPIC_BYTES 0x1000u
#define IOAPIC_PINS  24
#define IOAPIC_ID    1 /* the processor's is 0 */

struct ioapic {
    struct lapic *lapic;
    uint8_t id, index;
    uint32_t lines; /* the inputs' levels; high means asserted, whatever polarity is programmed */
    uint64_t entry[IOAPIC_PINS];
};

void ioapic_init(struct ioapic *a, struct lapic *lapic);

uint32_t ioapic_read(void *ioapic, uint32_t off, unsigned size);
void ioapic_write(void *ioapic, uint32_t off, uint32_t val, unsigned size);

void ioapic_set(struct ioapic *a, unsigned pin, bool level);
/* The local APIC has ended a level-triggered interrupt. */
void ioapic_eoi(struct ioapic *a, uint8_t vector);
/* Is any input let through? */
bool ioapic_unmasked(const struct ioapic *a);
/* Does a pin hand on what 8259s ask for (ExtINT)? */
bool ioapic_extint_open(const struct ioapic *a, unsigned pin);

#endif
