#include "vmm/dev/bus.h"

#include <errno.h>
#include <string.h>

_Static_assert(BUS_RANGES_MAX < 256, "owner[] holds an index + 1 in a byte");

void bus_init(struct bus *bus)
{
    memset(bus, 0, sizeof *bus);
}

int bus_claim(struct bus *bus, const struct bus_range *r)
{
    if (r->first > r->last || (r->sizes & ~7u) != 0)
        return -EINVAL;
    if (bus->ranges == BUS_RANGES_MAX)
        return -ENOSPC;
    for (unsigned p = r->first; p <= r->last; p++)
        if (bus->owner[p])
            return -EEXIST;
    bus->range[bus->ranges] = *r;
    if (!r->sizes)
        bus->range[bus->ranges].sizes = 1;
    bus->ranges++;
    memset(bus->owner + r->first, (int)bus->ranges, (size_t)(r->last - r->first) + 1);
    return 0;
}

/* The range that takes an access of this size whole, or NULL. */
static const struct bus_range *taker(const struct bus *bus, uint16_t port, unsigned size)
{
    unsigned owner = bus->owner[port];
    if (!owner)
        return NULL;
    const struct bus_range *r = &bus->range[owner - 1];
    return (r->sizes & size) && port + size - 1 <= r->last ? r : NULL;
}

uint32_t bus_in(struct bus *bus, uint16_t port, unsigned size)
{
    const struct bus_range *r = taker(bus, port, size);
    if (r && r->in) {
        uint32_t val = r->in(r->ctx, port, size);
        return size == 4 ? val : val & ((1u << (8 * size)) - 1);
    }
    if (size == 1)
        return 0xff;
    if (r)
        return size == 2 ? 0xffff : UINT32_MAX;
    /* A PC's bus controller makes two accesses of half the width, the lower port first. */
    unsigned half = size / 2;
    uint32_t low = bus_in(bus, port, half);
    return low | bus_in(bus, (uint16_t)(port + half), half) << (8 * half);
}

void bus_out(struct bus *bus, uint16_t port, uint32_t val, unsigned size)
{
    const struct bus_range *r = taker(bus, port, size);
    if (r) {
        if (r->out)
            r->out(r->ctx, port, size == 4 ? val : val & ((1u << (8 * size)) - 1), size);
        return;
    }
    if (size == 1)
        return;
    unsigned half = size / 2;
    bus_out(bus, port, val, half);
    bus_out(bus, (uint16_t)(port + half), val >> (8 * half), half);
}

uint32_t bus_in_many(struct bus *bus, uint16_t port, unsigned size, uint32_t count, void *data)
{
    const struct bus_range *r = taker(bus, port, size);
    return r && r->in_many ? r->in_many(r->ctx, port, size, count, data) : 0;
}

uint32_t bus_out_many(struct bus *bus, uint16_t port, unsigned size, uint32_t count,
                      const void *data)
{
    const struct bus_range *r = taker(bus, port, size);
    return r && r->out_many ? r->out_many(r->ctx, port, size, count, data) : 0;
}

const char *bus_port_name(const struct bus *bus, uint16_t port)
{
    unsigned owner = bus->owner[port];
    return owner ? bus->range[owner - 1].name : NULL;
}
