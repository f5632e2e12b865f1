/*
 * How a PC's interrupts reach its processor: each request line goes to the 8259s and to the I/O
 * APIC; the 8259s' output goes to LINT0 of the local APIC, to input 0 of the I/O APIC, and, where
 * there are no APICs or the IMCR (MultiProcessor Specification 1.4, 3.6.2.1) says so, straight to
 * the processor.
 */
#ifndef UMBRA_VMM_DEV_APIC_H
#define UMBRA_VMM_DEV_APIC_H

#include "vmm/dev/bus.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/mmio.h"
#include "vmm/dev/pic.h"

struct apic {
    bool present;
    struct pic *pic;
    struct lapic lapic;
    struct ioapic ioapic;
    struct line intr, nmi;
    bool intr_level;
    uint8_t imcr_index, imcr;
    int mmio_index; /* of the local APIC's range */
    struct mmio *mmio;
};

/* Claim ports 22 and 23 and both APICs' pages, if there are to be APICs. intr: the processor's pin.
 * nmi: a rising edge is one. pic stays the caller's; its output must go to apic_pic_intr(). 0 or
 * the buses' error. */
int apic_init(struct apic *a, struct bus *bus, struct mmio *mmio, struct clock clock,
              struct pic *pic, struct line intr, struct line nmi, bool present);

/* As after apic_init(), with every request line low; pic has been reset before. */
void apic_reset(struct apic *a);

/* Request line n (0..15) of the PC; fits struct line, as the next does. */
void apic_irq(void *apic, unsigned n, bool level);
void apic_pic_intr(void *apic, unsigned n, bool level);

/* IA32_APIC_BASE was written. */
void apic_set_base(struct apic *a, uint64_t base);

/* The processor acknowledges: the vector, or -1 if nothing is pending. */
int apic_ack(struct apic *a);
/* Is there any way for a device's interrupt to the processor? */
bool apic_may_interrupt(const struct apic *a);

void apic_update(struct apic *a);
uint64_t apic_deadline(const struct apic *a);

#endif
