#include "vmm/dev/fwcfg_dma.h"

#include <stdbool.h>

enum { HIGH = 0x514, LOW = 0x518, LAST = 0x51b };

/* A request: control, length in 32 bits each, address in 64; highest byte first. */
enum { REQUEST = 16, AT_LENGTH = 4, AT_ADDRESS = 8 };
/* In control; the item's key is in its upper half. */
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The item's next len bytes, as far as there is memory for them. */
static bool give(struct fwcfg_dma *d, uint64_t at, uint32_t len)
{
    uint8_t buf[4096];
    while (len > 0) {
        const uint32_t n = len < sizeof buf ? len : (uint32_t)sizeof buf;
        fwcfg_take(d->f, buf, n);
        if (d->write(d->ctx, at, buf, n) < 0)
            return false;
        at += n;
        len -= n;
    }
    return true;
}

static void serve(struct fwcfg_dma *d, uint64_t at)
{
    uint8_t r[REQUEST];
    bool done = true;
    if (d->read(d->ctx, at, r, sizeof r) < 0)
        return; /* then there is nowhere to say so either */
    const uint32_t control = get32(r), len = get32(r + AT_LENGTH);
    const uint64_t to = (uint64_t)get32(r + AT_ADDRESS) << 32 | get32(r + AT_ADDRESS + 4);
    if (control & SELECT)
        fwcfg_select(d->f, (uint16_t)(control >> 16));
    if (control & READ)
        done = give(d, to, len);
    else if (control & WRITE)
        done = false;
    else if (control & SKIP)
        fwcfg_skip(d->f, len);
    const uint8_t result[4] = {0, 0, 0, done ? 0 : ERROR};
    (void)d->write(d->ctx, at, result, sizeof result);
}

/* The register reads as a mark. */
static uint32_t dma_in(void *ctx, uint16_t port, unsigned size)
{
    static const uint8_t mark[8] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};
    uint32_t v = 0;
    (void)ctx;
    for (unsigned i = 0; i < size; i++)
        v |= (uint32_t)mark[port - HIGH + i] << 8 * i;
    return v;
}

static void dma_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct fwcfg_dma *d = ctx;
    const uint8_t b[4] = {(uint8_t)val, (uint8_t)(val >> 8), (uint8_t)(val >> 16),
                          (uint8_t)(val >> 24)};
    if (size != 4)
        return;
    if (port == HIGH) {
        d->high = get32(b);
    } else if (port == LOW) {
        const uint64_t at = (uint64_t)d->high << 32 | get32(b);
        d->high = 0; /* as the register is after each request */
        serve(d, at);
    }
}

int fwcfg_dma_init(struct fwcfg_dma *d, struct fwcfg *f, struct bus *bus,
                   int (*read)(void *ctx, uint64_t at, void *buf, size_t len),
                   int (*write)(void *ctx, uint64_t at, const void *buf, size_t len), void *ctx)
{
    *d = (struct fwcfg_dma){.f = f, .read = read, .write = write, .ctx = ctx};
    return bus_claim(bus, &(struct bus_range){.name = "fw_cfg DMA",
                                              .first = HIGH,
                                              .last = LAST,
                                              .sizes = 1 | 2 | 4,
                                              .in = dma_in,
                                              .out = dma_out,
                                              .ctx = d});
}
