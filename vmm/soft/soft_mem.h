/*
 * Guest memory for the soft CPU's handlers: the hit path, inlined. Misses, page crossings, device
 * memory, breakpoints and frames with decoded code go to soft_mem.c.
 */
#ifndef UMBRA_VMM_SOFT_SOFT_MEM_H
#define UMBRA_VMM_SOFT_SOFT_MEM_H

#include <string.h>

#include "vmm/soft/soft_state.h"

/* Host address of la for len bytes within its page, or NULL for the slow way. */
SOFT_INLINE uint8_t *soft_hit_r(const struct tlb *t, la_t la, unsigned len)
{
    const struct tlb_fast *f = &t->fast[la >> PAGE_SHIFT & (TLB_N - 1)];
    return soft_likely(f->r == ((la + len - 1) & ~PAGE_MASK)) ? (uint8_t *)(f->add + la) : NULL;
}

SOFT_INLINE uint8_t *soft_hit_w(const struct tlb *t, la_t la, unsigned len)
{
    const struct tlb_fast *f = &t->fast[la >> PAGE_SHIFT & (TLB_N - 1)];
    return soft_likely(f->w == ((la + len - 1) & ~PAGE_MASK)) ? (uint8_t *)(f->add + la) : NULL;
}

/* A writable data segment that spans 4 GiB from wherever its base is. */
SOFT_INLINE bool soft_seg_whole(const struct seg *g)
{
    enum { MASK = SA_P | SA_S | SA_CODE | SA_EC | SA_RW, WHOLE = SA_P | SA_S | SA_RW };
    return g->limit == UINT32_MAX && (g->attr & MASK) == WHOLE;
}

/* ... from 0. */
SOFT_INLINE bool soft_seg_flat(const struct seg *g)
{
    return g->base == 0 && soft_seg_whole(g);
}

SOFT_INLINE la_t soft_seg_la(struct soft *s, unsigned seg, uint32_t off, unsigned len,
                             enum soft_access acc)
{
    /* Even 4 GiB have an end: an operand does not wrap around it. */
    const struct seg *g = &CPU(s)->seg[seg];
    if (soft_likely(soft_seg_whole(g) && !s->ac_armed && off <= 0u - len))
        return g->base + off;
    return soft_seg_check(s, seg, off, len, acc);
}

SOFT_INLINE bool soft_user(struct soft *s)
{
    return CPU(s)->cpl == 3;
}

/* Elements of a REP, upwards from seg:off. */
struct soft_run {
    unsigned seg;
    uint32_t off, mask; /* mask: of the address size */
    unsigned size;
    bool write;
};
/* How many of them lie in one page, within the segment and before the offset wraps, so that no
 * check is due for any of them. At most n. *p: the first one's host address. 0: do it the slow way.
 */
uint32_t soft_run_at(struct soft *s, const struct soft_run *r, uint32_t n, uint8_t **p);

#define SOFT_RM_ACCESS(n)                                                                          \
    static inline uint##n##_t soft_get##n(struct soft *s, unsigned seg, uint32_t off)              \
    {                                                                                              \
        return (uint##n##_t)soft_read##n(s, seg, off);                                             \
    }
SOFT_RM_ACCESS(8)
SOFT_RM_ACCESS(16)
SOFT_RM_ACCESS(32)

#endif
