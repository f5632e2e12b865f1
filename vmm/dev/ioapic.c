#include "vmm/dev/ioapic.h"

enum { OFF_INDEX = 0x00, OFF_DATA = 0x10 };
enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_TABLE = 0x10 };

#define VERSION       (0x11u | (IOAPIC_PINS - 1u) << 16)
#define ENTRY_LOGICAL 0x800u
#define ENTRY_IRR     0x4000u
#define ENTRY_LEVEL   0x8000u
#define ENTRY_MASKED  0x10000u
#define ENTRY_LOW     0x1afffu /* writable: not delivery status, not remote IRR */

static unsigned mode_of(uint64_t e)
{
    return e >> 8 & 7;
}

/* Hand one request to the local APIC. */
static bool deliver(const struct ioapic *a, uint64_t e)
{
    if (!lapic_is(a->lapic, (uint8_t)(e >> 56), (e & ENTRY_LOGICAL) != 0))
        return false;
    switch (mode_of(e)) {
    case APIC_FIXED:
    case APIC_LOWEST: return lapic_accept(a->lapic, (uint8_t)e, (e & ENTRY_LEVEL) != 0);
    case APIC_NMI: a->lapic->events.nmi(a->lapic->events.ctx); return false;
    default: return false; /* ExtINT: ioapic_extint_open(); no SMI and no INIT */
    }
}

/* A level that is there and has not been answered yet asks. */
static void ask_level(struct ioapic *a, unsigned pin)
{
    uint64_t *e = &a->entry[pin];
    if ((*e & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_IRR)) == ENTRY_LEVEL && (a->lines >> pin & 1) &&
        deliver(a, *e))
        *e |= ENTRY_IRR;
}

void ioapic_set(struct ioapic *a, unsigned pin, bool level)
{
    if (pin >= IOAPIC_PINS)
        return;
    const uint32_t bit = 1u << pin;
    const bool rises = level && !(a->lines & bit);
    const uint64_t e = a->entry[pin];

    a->lines = level ? a->lines | bit : a->lines & ~bit;
    if (e & ENTRY_LEVEL)
        ask_level(a, pin);
    else if (rises && !(e & ENTRY_MASKED)) /* an edge that comes while masked is lost */
        deliver(a, e);
}

void ioapic_eoi(struct ioapic *a, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *e = &a->entry[pin];
        if (!(*e & ENTRY_LEVEL) || (uint8_t)*e != vector)
            continue;
        *e &= ~(uint64_t)ENTRY_IRR;
        ask_level(a, pin);
    }
}

bool ioapic_unmasked(const struct ioapic *a)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        if (!(a->entry[pin] & ENTRY_MASKED))
            return true;
    return false;
}

bool ioapic_extint_open(const struct ioapic *a, unsigned pin)
{
    const uint64_t e = a->entry[pin];
    return !(e & ENTRY_MASKED) && mode_of(e) == APIC_EXTINT &&
           lapic_is(a->lapic, (uint8_t)(e >> 56), (e & ENTRY_LOGICAL) != 0);
}

static uint32_t reg_read(const struct ioapic *a)
{
    const unsigned i = a->index - REG_TABLE;
    if (a->index >= REG_TABLE && i < 2 * IOAPIC_PINS)
        return (uint32_t)(a->entry[i / 2] >> 32 * (i % 2));
    switch (a->index) {
    case REG_ID:
    case REG_ARBITRATION: return (uint32_t)a->id << 24;
    case REG_VERSION: return VERSION;
    default: return 0;
    }
}

static void entry_write(struct ioapic *a, unsigned pin, bool high, uint32_t val)
{
    uint64_t *e = &a->entry[pin];
    if (high) {
        *e = (*e & UINT32_MAX) | (uint64_t)(val & 0xff000000) << 32;
    } else {
        *e = (*e & ~(uint64_t)ENTRY_LOW) | (val & ENTRY_LOW);
        if (!(*e & ENTRY_LEVEL))
            *e &= ~(uint64_t)ENTRY_IRR;
    }
    ask_level(a, pin);
}

static void reg_write(struct ioapic *a, uint32_t val)
{
    const unsigned i = a->index - REG_TABLE;
    if (a->index == REG_ID)
        a->id = val >> 24 & 0xf;
    else if (a->index >= REG_TABLE && i < 2 * IOAPIC_PINS)
        entry_write(a, i / 2, i % 2, val);
}

/* Registers are accessed as dwords; of the index only its byte counts. */
uint32_t ioapic_read(void *ioapic, uint32_t off, unsigned size)
{
    const struct ioapic *a = ioapic;
    const unsigned at = off & 15;
    uint32_t val;
    if (at + size > 4)
        return 0;
    switch (off & 0xff0) {
    case OFF_INDEX: val = a->index; break;
    case OFF_DATA: val = reg_read(a); break;
    default: val = 0;
    }
    return val >> 8 * at;
}

void ioapic_write(void *ioapic, uint32_t off, uint32_t val, unsigned size)
{
    struct ioapic *a = ioapic;
    if (off == OFF_INDEX)
        a->index = (uint8_t)val;
    else if (off == OFF_DATA && size == 4) {
        reg_write(a, val);
        a->lapic->events.changed(a->lapic->events.ctx);
    }
}

void ioapic_init(struct ioapic *a, struct lapic *lapic)
{
    *a = (struct ioapic){.lapic = lapic, .id = IOAPIC_ID};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        a->entry[pin] = ENTRY_MASKED;
}
