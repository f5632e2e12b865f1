/*
 * The local APIC of one processor (Intel SDM vol. 3, chapter 10): registers in one page,
 * priorities, timer, LINT pins, and interprocessor interrupts, all but its own of which go to
 * processors that are not there.
 */
#ifndef UMBRA_VMM_DEV_LAPIC_H
#define UMBRA_VMM_DEV_LAPIC_H

#include "vmm/dev/lines.h"

#define LAPIC_BASE  0xfee00000u
#define LAPIC_BYTES 0x1000u
#define LAPIC_TICK  1 /* ns: the timer's clock before its divider is 1 GHz */

enum lapic_lvt { LVT_TIMER, LVT_THERMAL, LVT_COUNTERS, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* Delivery modes, of LVTs, the ICR and redirection entries. */
enum apic_mode {
    APIC_FIXED,
    APIC_LOWEST,
    APIC_SMI,
    APIC_NMI = 4,
    APIC_INIT,
    APIC_STARTUP,
    APIC_EXTINT
};

/* What a local APIC tells its surroundings; each with ctx. */
struct lapic_events {
    void (*changed)(void *ctx); /* lapic_pending() or lapic_extint_open() may say something else */
    void (*nmi)(void *ctx);
    void (*eoi)(void *ctx, uint8_t vector); /* of a level-triggered interrupt */
    void *ctx;
};

struct lapic {
    struct clock clock;
    struct lapic_events events;
    bool on; /* IA32_APIC_BASE says so */
    uint8_t id, tpr, div;
    uint32_t ldr, dfr, svr, icr[2];
    uint32_t lvt[LVT_COUNT];
    uint32_t irr[8], isr[8], tmr[8];
    uint8_t esr, errors; /* as read; since then */
    bool lint0;          /* the pin's level */
    uint32_t timer_init;
    uint64_t timer_due;  /* device time at which the count becomes 0, or CLOCK_NEVER */
    uint64_t timer_rung; /* ... at which it last did */
};

/* It comes up as a BIOS leaves it for one processor: enabled, LINT0 passes on what the 8259s ask
 * (virtual wire mode), LINT1 is NMI. */
void lapic_init(struct lapic *l, struct clock clock, struct lapic_events events);
/* IA32_APIC_BASE's enable bit was written. While off, the page is not there and LINT0 goes straight
 * to the processor. Coming on again, it is as after a reset: disabled by software, all masked. */
void lapic_switch(struct lapic *l, bool on);

/* Register access at an offset in the page, of size 1, 2 or 4. */
uint32_t lapic_read(void *lapic, uint32_t off, unsigned size);
void lapic_write(void *lapic, uint32_t off, uint32_t val, unsigned size);

/* Is it addressed by a destination field? */
bool lapic_is(const struct lapic *l, uint8_t destination, bool logical);
/* An interrupt comes for it. false: it takes none now (disabled). */
bool lapic_accept(struct lapic *l, uint8_t vector, bool level);
/* The pin to which the 8259s' output goes. */
void lapic_set_lint0(struct lapic *l, bool level);
/* Does an 8259's request reach the processor through it? */
bool lapic_extint_open(const struct lapic *l);

/* Is there an interrupt of its own for the processor now? */
bool lapic_pending(const struct lapic *l);
/* The processor takes it: its vector, or -1 if there is none. */
int lapic_ack(struct lapic *l);
/* Could it ever let an interrupt through without the processor's doing? */
bool lapic_open(const struct lapic *l);

void lapic_update(struct lapic *l);
/* When the timer will ask for something, or CLOCK_NEVER. */
uint64_t lapic_deadline(const struct lapic *l);
bool lapic_timer_runs(const struct lapic *l);

#endif
