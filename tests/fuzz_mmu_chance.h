/*
 * Chance for the world of fuzz_mmu: numbers that follow from a seed alone.
 */
#ifndef UMBRA_TESTS_FUZZ_MMU_CHANCE_H
#define UMBRA_TESTS_FUZZ_MMU_CHANCE_H

#include "tests/fuzz_mmu_world.h"

static inline uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* 0 to below - 1. */
static inline uint32_t rnd(struct world *w, uint32_t below)
{
    w->rng = mix(w->rng);
    return (uint32_t)((w->rng >> 32) * below >> 32);
}

static inline bool often(struct world *w, unsigned percent)
{
    return rnd(w, 100) < percent;
}

#endif
