/* Random numbers that a seed repeats (xorshift64), for tests that make up what they do. */
#ifndef UMBRA_TESTS_RNG_H
#define UMBRA_TESTS_RNG_H

#include <stdbool.h>
#include <stdint.h>

/* The next number; *s is the state, never 0. */
static inline uint64_t rng_next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static inline uint32_t rng_u32(uint64_t *s)
{
    return (uint32_t)(rng_next(s) >> 16);
}

static inline uint32_t rng_below(uint64_t *s, uint32_t n)
{
    return rng_u32(s) % n;
}

#endif
