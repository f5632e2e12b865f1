/* What the parts of bench_mm share: ours (mm_swap.c), the host's (mm_host.c), main and
 * copy-on-write (mm.c). */
#ifndef UMBRA_TOOLS_BENCH_MM_BENCH_H
#define UMBRA_TOOLS_BENCH_MM_BENCH_H

#include "mm/types.h"
#include "tools/bench/bench.h"

enum { SWAP_PAGES = 8192, MAX_ROUNDS = 31 };

struct options {
    bool json;
    bool host_swap;
    int rounds;
    const char *file;
};

struct sample {
    double v[MAX_ROUNDS];
    int n;
};

static inline void add(struct sample *s, double v)
{
    if (s->n < MAX_ROUNDS)
        s->v[s->n++] = v;
}

static inline double mid(struct sample *s)
{
    return bench_median(s->v, (size_t)s->n);
}

/* Every result of a bench must be what it is meant to measure. */
static inline void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_mm: %s failed\n", what);
    exit(1);
}

/* A permutation of 0..n-1 that meets no neighbours: an odd step through a power of two. */
static inline uint32_t scattered(uint32_t i, uint32_t n)
{
    return (i * 2654435761u) & (n - 1);
}

/* A page like no other; compressible: a quarter of it is noise, LZ4 makes it some 40 %. */
static inline void noise(uint8_t *page, uint32_t seed, bool compressible)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    memset(page, 0, PAGE_SIZE);
    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (!compressible || i % 32 == 0)
            memcpy(page + i, &x, 8);
    }
}

/* What swap costs, ns a page, medians over the rounds. 0: not measured. */
struct swap_times {
    double out;      /* all pages out, until they are written */
    double in_order; /* back in order, by writes */
    double in_random;
};

/* The host's own swap on a file that is made (and removed), or on a zram device of our own. False:
 * the host does not allow it, *why (static, or of err) says what was refused. Needs root; while it
 * runs, the host has one more swap device. */
bool host_swap_file(const char *path, int rounds, struct swap_times *out, char *why, size_t len);
bool host_swap_zram(const char *node, int rounds, struct swap_times *out, char *why, size_t len);

/* Rows of mm/'s own swap, each beside the host's. */
void bench_zpool(struct bench_table *t, const struct options *o);
void bench_area(struct bench_table *t, const struct options *o);

#endif
