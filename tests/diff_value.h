/*
 * Random values for differential tests: mostly those at which instructions change their mind.
 */
#ifndef UMBRA_TESTS_DIFF_VALUE_H
#define UMBRA_TESTS_DIFF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

struct rnd {
    uint64_t x;
};

static inline uint64_t rnd_next(struct rnd *r)
{
    uint64_t z = r->x += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline uint32_t rnd_below(struct rnd *r, uint32_t n)
{
    return (uint32_t)((rnd_next(r) >> 32) * n >> 32);
}
static inline bool rnd_one_in(struct rnd *r, uint32_t n)
{
    return rnd_below(r, n) == 0;
}
static inline void rnd_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

uint32_t rnd_int(struct rnd *r);
/* An 80-bit number, odd encodings included. */
void rnd_f80(struct rnd *r, uint8_t out[10]);
/* 16 bytes of some kind of number. */
void rnd_16(struct rnd *r, uint8_t out[16]);
/* x87 control and status word; an exception is pending only if it may. */
uint16_t rnd_fcw(struct rnd *r);
uint16_t rnd_fsw(struct rnd *r, uint16_t fcw, bool may_pend);
/* A whole state in FXSAVE's layout. */
void rnd_fxsave(struct rnd *r, uint8_t fx[512]);

#endif
