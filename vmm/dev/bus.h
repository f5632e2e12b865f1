/*
 * The port-I/O bus: which device answers which port, and how wide accesses reach narrow devices.
 * A port that nobody claims reads as all ones and ignores writes, as an ISA bus's pull-ups do.
 */
#ifndef UMBRA_VMM_DEV_BUS_H
#define UMBRA_VMM_DEV_BUS_H

#include <stdint.h>

#define BUS_PORTS      65536u
#define BUS_RANGES_MAX 64

/* A run of ports that one device answers. The callbacks get the absolute port and a size in
 * `sizes`; an access of another size, or one that leaves the range, reaches the device as narrower
 * ones. in == NULL reads all ones, out == NULL ignores. */
struct bus_range {
    const char *name; /* kept, not copied */
    uint16_t first, last;
    uint8_t sizes; /* OR of 1, 2, 4; 0 means 1 */
    uint32_t (*in)(void *ctx, uint16_t port, unsigned size);
    void (*out)(void *ctx, uint16_t port, uint32_t val, unsigned size);
    /* May be NULL. As many of count accesses of one size to one port as can be made in one go,
     * little-endian at data; returns how many, and may do none. */
    uint32_t (*in_many)(void *ctx, uint16_t port, unsigned size, uint32_t count, void *data);
    uint32_t (*out_many)(void *ctx, uint16_t port, unsigned size, uint32_t count, const void *data);
    void *ctx;
};

struct bus {
    struct bus_range range[BUS_RANGES_MAX];
    unsigned ranges;
    uint8_t owner[BUS_PORTS]; /* index into range + 1; 0: nobody */
};

void bus_init(struct bus *bus);

/* Claim r's ports. 0; -EINVAL: empty range or unknown size; -EEXIST: a port is taken (nothing is
 * claimed then); -ENOSPC: BUS_RANGES_MAX ranges stand. r is copied. */
int bus_claim(struct bus *bus, const struct bus_range *r);

/* One access of size 1, 2 or 4 bytes by IN or OUT. Port numbers wrap at 64 Ki. */
uint32_t bus_in(struct bus *bus, uint16_t port, unsigned size);
void bus_out(struct bus *bus, uint16_t port, uint32_t val, unsigned size);

/* As many of count accesses of one size to one port as its device does in one go, little-endian
 * from or to memory: the same as one by one, but for speed. Returns how many; 0: make the next one
 * alone.
 */
uint32_t bus_in_many(struct bus *bus, uint16_t port, unsigned size, uint32_t count, void *data);
uint32_t bus_out_many(struct bus *bus, uint16_t port, unsigned size, uint32_t count,
                      const void *data);

/* Name of the range that holds port, or NULL. */
const char *bus_port_name(const struct bus *bus, uint16_t port);

#endif
