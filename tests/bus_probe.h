/* A device that remembers what it was asked: for the tests of both buses. */
#ifndef UMBRA_TESTS_BUS_PROBE_H
#define UMBRA_TESTS_BUS_PROBE_H

#include <stdint.h>

struct probe {
    uint8_t reg[16];
    unsigned reads, writes, last_size;
    uint32_t first; /* port or address of reg[0], for a bus that does not tell offsets */
    uint32_t last_off, last_val;
};

static inline uint32_t probe_get(struct probe *p, uint32_t off, unsigned size)
{
    uint32_t val = 0;
    p->reads++;
    p->last_size = size;
    p->last_off = off;
    for (unsigned i = 0; i < size; i++)
        val |= (uint32_t)p->reg[off + i] << 8 * i;
    return val;
}

static inline void probe_put(struct probe *p, uint32_t off, uint32_t val, unsigned size)
{
    p->writes++;
    p->last_size = size;
    p->last_off = off;
    p->last_val = val;
    for (unsigned i = 0; i < size; i++)
        p->reg[off + i] = (uint8_t)(val >> 8 * i);
}

#endif
