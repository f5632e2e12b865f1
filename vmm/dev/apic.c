#include "vmm/dev/apic.h"

#include <string.h>

enum { IMCR_SELECT = 0x70, IMCR_APIC = 1 };
enum { PIN_PIC = 0, PIN_TIMER = 2 };
#define BASE_ENABLE (1u << 11)

/* --- to the processor ------------------------------------------------------------------------ */

static bool pic_passes(const struct apic *a)
{
    if (!a->present || !(a->imcr & IMCR_APIC))
        return true;
    return lapic_extint_open(&a->lapic) || ioapic_extint_open(&a->ioapic, PIN_PIC);
}

static void settle(struct apic *a)
{
    line_follow(&a->intr, &a->intr_level,
                (a->present && lapic_pending(&a->lapic)) || (pic_pending(a->pic) && pic_passes(a)));
}

int apic_ack(struct apic *a)
{
    int v = a->present ? lapic_ack(&a->lapic) : -1;
    if (v < 0 && pic_pending(a->pic) && pic_passes(a))
        v = pic_ack(a->pic);
    settle(a);
    return v;
}

bool apic_may_interrupt(const struct apic *a)
{
    if (pic_unmasked(a->pic) && pic_passes(a))
        return true;
    return a->present && lapic_open(&a->lapic) &&
           (lapic_timer_runs(&a->lapic) || ioapic_unmasked(&a->ioapic));
}

/* --- from devices ---------------------------------------------------------------------------- */

void apic_irq(void *apic, unsigned n, bool level)
{
    struct apic *a = apic;
    pic_set(a->pic, n, level);
    if (a->present)
        ioapic_set(&a->ioapic, n == 0 ? PIN_TIMER : n, level);
}

void apic_pic_intr(void *apic, unsigned n, bool level)
{
    struct apic *a = apic;
    (void)n;
    if (a->present) {
        lapic_set_lint0(&a->lapic, level);
        ioapic_set(&a->ioapic, PIN_PIC, level);
    }
    settle(a);
}

static void on_changed(void *ctx)
{
    settle(ctx);
}

static void on_nmi(void *ctx)
{
    const struct apic *a = ctx;
    line_set(&a->nmi, true);
    line_set(&a->nmi, false);
}

static void on_eoi(void *ctx, uint8_t vector)
{
    struct apic *a = ctx;
    ioapic_eoi(&a->ioapic, vector);
}

/* --- IMCR ------------------------------------------------------------------------------------ */

static void imcr_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct apic *a = ctx;
    (void)size;
    if (!(port & 1))
        a->imcr_index = (uint8_t)val;
    else if (a->imcr_index == IMCR_SELECT) {
        a->imcr = val & IMCR_APIC;
        settle(a);
    }
}

static uint32_t imcr_in(void *ctx, uint16_t port, unsigned size)
{
    const struct apic *a = ctx;
    (void)size;
    if (!(port & 1))
        return a->imcr_index;
    return a->imcr_index == IMCR_SELECT ? a->imcr : 0xff;
}

/* --- time and life --------------------------------------------------------------------------- */

void apic_set_base(struct apic *a, uint64_t base)
{
    if (!a->present)
        return;
    (void)mmio_move(a->mmio, a->mmio_index, base & ~(uint64_t)(LAPIC_BYTES - 1));
    lapic_switch(&a->lapic, (base & BASE_ENABLE) != 0);
}

void apic_update(struct apic *a)
{
    if (a->present)
        lapic_update(&a->lapic);
}

uint64_t apic_deadline(const struct apic *a)
{
    return a->present ? lapic_deadline(&a->lapic) : CLOCK_NEVER;
}

int apic_init(struct apic *a, struct bus *bus, struct mmio *mmio, struct clock clock,
              struct pic *pic, struct line intr, struct line nmi, bool present)
{
    memset(a, 0, sizeof *a);
    a->present = present;
    a->pic = pic;
    a->mmio = mmio;
    a->intr = intr;
    a->nmi = nmi;
    a->imcr = IMCR_APIC; /* "virtual wire": a BIOS that has this register at all leaves it so */
    if (!present)
        return 0;
    lapic_init(&a->lapic, clock, (struct lapic_events){on_changed, on_nmi, on_eoi, a});
    ioapic_init(&a->ioapic, &a->lapic);
    int err = bus_claim(
        bus,
        &(struct bus_range){
            .name = "imcr", .first = 0x22, .last = 0x23, .in = imcr_in, .out = imcr_out, .ctx = a});
    if (err)
        return err;
    err = mmio_claim(mmio, &(struct mmio_range){.name = "I/O APIC",
                                                .first = IOAPIC_BASE,
                                                .last = IOAPIC_BASE + IOAPIC_BYTES - 1,
                                                .sizes = 7,
                                                .read = ioapic_read,
                                                .write = ioapic_write,
                                                .ctx = &a->ioapic});
    if (err < 0)
        return err;
    a->mmio_index = mmio_claim(mmio, &(struct mmio_range){.name = "local APIC",
                                                          .first = LAPIC_BASE,
                                                          .last = LAPIC_BASE + LAPIC_BYTES - 1,
                                                          .sizes = 7,
                                                          .read = lapic_read,
                                                          .write = lapic_write,
                                                          .ctx = &a->lapic});
    return a->mmio_index < 0 ? a->mmio_index : 0;
}

void apic_reset(struct apic *a)
{
    a->imcr = IMCR_APIC;
    a->imcr_index = 0;
    if (a->present) {
        (void)mmio_move(a->mmio, a->mmio_index, LAPIC_BASE);
        lapic_init(&a->lapic, a->lapic.clock, a->lapic.events);
        ioapic_init(&a->ioapic, &a->lapic);
    }
    settle(a);
}
