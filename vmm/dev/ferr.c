#include "vmm/dev/ferr.h"

bool ferr_set(struct ferr *f, bool level)
{
    if (!level)
        f->ignored = false;
    if (!level || f->ignored || f->latched)
        return false;
    line_follow(&f->irq, &f->latched, true);
    return true;
}

/* F1, which reset a 287, clears the latch as well. */
static void ferr_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct ferr *f = ctx;
    (void)port;
    (void)val;
    (void)size;
    f->ignored = f->ignored || f->latched;
    line_follow(&f->irq, &f->latched, false);
}

void ferr_reset(struct ferr *f)
{
    line_follow(&f->irq, &f->latched, false);
    f->ignored = false;
}

int ferr_init(struct ferr *f, struct bus *bus, struct line irq)
{
    *f = (struct ferr){.irq = irq};
    return bus_claim(
        bus,
        &(struct bus_range){.name = "fpu", .first = 0xf0, .last = 0xf1, .out = ferr_out, .ctx = f});
}
