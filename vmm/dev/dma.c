/* After Intel's 8237A data sheet (231466-005). */
#include "vmm/dev/dma.h"

#include <string.h>

enum { STATUS = 8, REQUEST, MASK_ONE, MODE, CLEAR_POINTER, MASTER_CLEAR, CLEAR_MASK, MASK_ALL };
enum { COMMAND_DISABLED = 4 };
enum { MODE_AUTO = 0x10, MODE_DOWN = 0x20, MODE_CASCADE = 0xc0 };
enum { TYPE_VERIFY = 0, TYPE_TO_MEMORY = 4, TYPE_FROM_MEMORY = 8, TYPE = 0xc };

static void master_clear(struct dma_chip *c)
{
    c->mask = 0xf;
    c->command = 0;
    c->done = 0;
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
    case STATUS: c->command = val; break;
    case REQUEST: break; /* by software: only for memory to memory */
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
    uint8_t done = c->done;
    switch (reg) {
    case STATUS: c->done = 0; return done; /* nobody waits: a request is served at once or never */
    case MASTER_CLEAR: return 0;           /* the temporary register */
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

/* --- transfers ------------------------------------------------------------------------------- */

/* Which of the channels' page registers is where (IBM PC AT Technical Reference, "DMA"). */
static const uint8_t page_of[4] = {7, 3, 1, 2};

static bool open_to(const struct dma *d, unsigned channel)
{
    const struct dma_chip *c = &d->chip[0], *second = &d->chip[1];
    const bool cascade = !(second->mask & 1) && !(second->command & COMMAND_DISABLED) &&
                         (second->mode[0] & MODE_CASCADE) == MODE_CASCADE;
    return cascade && !(c->mask >> channel & 1) && !(c->command & COMMAND_DISABLED) &&
           (c->mode[channel] & MODE_CASCADE) != MODE_CASCADE;
}

/* The count has gone below zero. */
static void terminal_count(struct dma_chip *c, unsigned channel)
{
    c->done |= (uint8_t)(1u << channel);
    if (c->mode[channel] & MODE_AUTO) {
        c->reg[2 * channel] = c->base[2 * channel];
        c->reg[2 * channel + 1] = c->base[2 * channel + 1];
    } else {
        c->mask |= (uint8_t)(1u << channel);
    }
}

/* The longest part of len bytes that lies in one piece, upwards from the channel's address; with an
 * address that counts down, one byte. */
static uint32_t piece(const struct dma_chip *c, unsigned channel, uint32_t len)
{
    const uint32_t to_wrap = 0x10000u - c->reg[2 * channel];
    if (c->mode[channel] & MODE_DOWN)
        return 1;
    return len < to_wrap ? len : to_wrap;
}

/* Move up to len bytes; one of to and from is NULL. */
static uint32_t transfer(struct dma *d, unsigned channel, const uint8_t *from, uint8_t *to,
                         uint32_t len, bool *end)
{
    struct dma_chip *c = &d->chip[0];
    uint16_t *address = &c->reg[2 * channel], *count = &c->reg[2 * channel + 1];
    const unsigned type = c->mode[channel] & TYPE;
    const uint32_t high = (uint32_t)d->page[page_of[channel]] << 16;
    uint32_t done = 0;

    *end = false;
    if (!open_to(d, channel))
        return 0;
    if (len > *count + 1u)
        len = *count + 1u;
    while (done < len) {
        const uint32_t n = piece(c, channel, len - done), at = high | *address;
        if (from && type == TYPE_TO_MEMORY)
            d->memory.write(d->memory.ctx, at, from + done, n);
        else if (to && type == TYPE_FROM_MEMORY)
            d->memory.read(d->memory.ctx, at, to + done, n);
        else if (to)
            memset(to + done, 0xff, n);
        *address = (uint16_t)(c->mode[channel] & MODE_DOWN ? *address - n : *address + n);
        done += n;
    }
    *count = (uint16_t)(*count - len);
    *end = len > 0 && *count == 0xffff;
    if (*end)
        terminal_count(c, channel);
    return len;
}

uint32_t dma_to_memory(struct dma *d, unsigned channel, const uint8_t *buf, uint32_t len, bool *end)
{
    return transfer(d, channel & 3, buf, NULL, len, end);
}

uint32_t dma_from_memory(struct dma *d, unsigned channel, uint8_t *buf, uint32_t len, bool *end)
{
    return transfer(d, channel & 3, NULL, buf, len, end);
}

/* --- life ------------------------------------------------------------------------------------ */

void dma_reset(struct dma *d)
{
    master_clear(&d->chip[0]);
    master_clear(&d->chip[1]);
    d->chip[1].mode[0] = MODE_CASCADE;
    d->chip[1].mask = 0xe;
}

static void memory_nowhere_read(void *ctx, uint32_t gpa, void *buf, uint32_t len)
{
    (void)ctx;
    (void)gpa;
    memset(buf, 0xff, len);
}

static void memory_nowhere_write(void *ctx, uint32_t gpa, const void *buf, uint32_t len)
{
    (void)ctx;
    (void)gpa;
    (void)buf;
    (void)len;
}

int dma_init(struct dma *d, struct bus *bus, struct dma_memory memory)
{
    struct bus_range r = {
        .name = "dma", .first = 0x00, .last = 0x0f, .in = dma_in, .out = dma_out, .ctx = d};

    memset(d, 0, sizeof *d);
    d->memory = memory;
    if (!memory.read)
        d->memory = (struct dma_memory){memory_nowhere_read, memory_nowhere_write, NULL};
    dma_reset(d);
    int err = bus_claim(bus, &r);
    r.first = 0xc0;
    r.last = 0xdf;
    if (!err)
        err = bus_claim(bus, &r);
    r = (struct bus_range){
        .name = "dma page", .first = 0x80, .last = 0x8f, .in = page_in, .out = page_out, .ctx = d};
    return err ? err : bus_claim(bus, &r);
}
