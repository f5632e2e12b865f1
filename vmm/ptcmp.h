/*
 * Two page table dumps compared, entry by entry, as the guest sees its tables: what may differ
 * between two engines or two moments (accessed and dirty bits, which depend on timing) told apart
 * from what may not.
 */
#ifndef UMBRA_VMM_PTCMP_H
#define UMBRA_VMM_PTCMP_H

#include "vmm/ptdump.h"

/* Kinds of differences, of a page or of the whole. */
enum ptcmp_kind {
    PTCMP_AD = 1 << 0,       /* accessed or dirty, of the page's or of the table's entry */
    PTCMP_ONLY_A = 1 << 1,   /* mapped in the first only */
    PTCMP_ONLY_B = 1 << 2,   /* ... in the second only */
    PTCMP_PAGE = 1 << 3,     /* another guest-physical page */
    PTCMP_RIGHTS = 1 << 4,   /* writable, user, no-execute of the whole chain */
    PTCMP_BITS = 1 << 5,     /* other bits: global, cacheability, those free for the guest */
    PTCMP_SHAPE = 1 << 6,    /* large page against small ones, a table against none */
    PTCMP_TABLE = 1 << 7,    /* the table lies at another guest-physical page */
    PTCMP_ABSENT = 1 << 8,   /* not mapped by both, with other bits in the entry */
    PTCMP_RESERVED = 1 << 9, /* reserved bits are set in one only */
    PTCMP_MODE = 1 << 10,    /* CR0.PG, WP, CR4.PSE, PAE, PGE, EFER.NXE */
    PTCMP_CR3 = 1 << 11,
    PTCMP_KINDS = 12
};
#define PTCMP_MAY ((unsigned)PTCMP_AD) /* what may differ unasked */

/* One word for a kind, as --allow takes it. NULL: there is no such kind. */
const char *ptcmp_word(unsigned kind);

/* A run of pages that differ in the same ways. */
struct ptcmp_run {
    la_t la;
    uint32_t pages;
    unsigned kinds;          /* enum ptcmp_kind bits */
    struct tables_walk a, b; /* of the first page */
};

struct ptcmp {
    uint64_t pages;              /* mapped in either */
    uint64_t count[PTCMP_KINDS]; /* pages by kind; MODE and CR3: 0 or 1 */
    unsigned kinds;              /* all that was found */
};

/* Call run (may be NULL) for each run of first..last (bytes, both inside). */
void ptcmp_dumps(const struct ptdump *a, const struct ptdump *b, la_t first, la_t last,
                 void (*run)(void *ctx, const struct ptcmp_run *r), void *ctx, struct ptcmp *out);

#endif
