/* After Intel's 8237A data sheet (231466-005), "Software commands" and "Register description". */
#include "vmm/dev/dma.h"

#include <string.h>

enum { STATUS = 8, REQUEST, MASK_ONE, MODE, CLEAR_POINTER, MASTER_CLEAR, CLEAR_MASK, MASK_ALL };

static void master_clear(struct dma_chip *c)
{
    c->mask = 0xf;
    c->high = false;
}

static void register_write(struct dma_chip *c, unsigned i, uint8_t val)
{
    c->base[i] = (uint16_t)(c->high ? (c->base[i] & 0xff) | val << 8 : (c->base[i] & 0xff00) | val);
    c->reg[i] = c->base[i];
    c->high = !c->high;
}

static uint8_t register_read(struct dma_chip *c, unsigned i)
{
    const unsigned shift = c->high ? 8 : 0;
    c->high = !c->high;
    return (uint8_t)(c->reg[i] >> shift);
}

static void chip_write(struct dma_chip *c, unsigned reg, uint8_t val)
{
    const uint8_t bit = (uint8_t)(1u << (val & 3));
    switch (reg) {
    case STATUS: /* the command: there is nothing to command */
    case REQUEST: /* and nobody to ask */ break;
    case MASK_ONE: c->mask = (uint8_t)((val & 4) ? c->mask | bit : c->mask & ~bit); break;
    case MODE: c->mode[val & 3] = val & 0xfc; break;
    case CLEAR_POINTER: c->high = false; break;
    case MASTER_CLEAR: master_clear(c); break;
    case CLEAR_MASK: c->mask = 0; break;
    case MASK_ALL: c->mask = val & 0xf; break;
    default: register_write(c, reg, val);
    }
}

static uint8_t chip_read(struct dma_chip *c, unsigned reg)
{
    switch (reg) {
    case STATUS: return 0;                           /* no count has run out, nobody asks */
    case MASTER_CLEAR: return 0;                     /* the temporary register */
    case MASK_ALL: return (uint8_t)(0xf0 | c->mask); /* as later chip sets have it */
    default: return reg < STATUS ? register_read(c, reg) : 0xff;
    }
}

/* The first controller's registers lie at every port, the second's at every other one. */
static struct dma_chip *chip_of(struct dma *d, uint16_t port, unsigned *reg)
{
    const bool second = port >= 0xc0;
    *reg = second ? (port - 0xc0u) / 2 : port;
    return &d->chip[second];
}

static void dma_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    unsigned reg;
    struct dma_chip *c = chip_of(ctx, port, &reg);
    (void)size;
    chip_write(c, reg, (uint8_t)val);
}

static uint32_t dma_in(void *ctx, uint16_t port, unsigned size)
{
    unsigned reg;
    struct dma_chip *c = chip_of(ctx, port, &reg);
    (void)size;
    return chip_read(c, reg);
}

static void page_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct dma *d = ctx;
    (void)size;
    d->page[port & 15] = (uint8_t)val;
}

static uint32_t page_in(void *ctx, uint16_t port, unsigned size)
{
    const struct dma *d = ctx;
    (void)size;
    return d->page[port & 15];
}

int dma_init(struct dma *d, struct bus *bus)
{
    struct bus_range r = {
        .name = "dma", .first = 0x00, .last = 0x0f, .in = dma_in, .out = dma_out, .ctx = d};

    memset(d, 0, sizeof *d);
    master_clear(&d->chip[0]);
    master_clear(&d->chip[1]);
    int err = bus_claim(bus, &r);
    r.first = 0xc0;
    r.last = 0xdf;
    if (!err)
        err = bus_claim(bus, &r);
    r = (struct bus_range){
        .name = "dma page", .first = 0x80, .last = 0x8f, .in = page_in, .out = page_out, .ctx = d};
    return err ? err : bus_claim(bus, &r);
}
