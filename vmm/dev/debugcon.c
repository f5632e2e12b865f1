#include "vmm/dev/debugcon.h"

enum { LISTENING = 0xe9 };

static uint32_t debugcon_in(void *ctx, uint16_t port, unsigned size)
{
    (void)ctx;
    (void)port;
    (void)size;
    return LISTENING;
}

static void debugcon_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    const struct debugcon *d = ctx;
    (void)port;
    (void)size;
    d->put(d->ctx, (uint8_t)val);
}

int debugcon_init(struct debugcon *d, struct bus *bus, void (*put)(void *ctx, uint8_t byte),
                  void *ctx)
{
    *d = (struct debugcon){put, ctx};
    if (!put)
        return 0;
    struct bus_range r = {.name = "debugcon",
                          .first = DEBUGCON_PORT,
                          .last = DEBUGCON_PORT,
                          .in = debugcon_in,
                          .out = debugcon_out,
                          .ctx = d};
    const int err = bus_claim(bus, &r);
    r.first = r.last = DEBUGCON_PORT2;
    return err ? err : bus_claim(bus, &r);
}
