/*
 * The inside of an mm: regions, page table, counts. For mm/ and its tests only.
 */
#ifndef UMBRA_MM_MM_INT_H
#define UMBRA_MM_MM_INT_H

#include "mm/mm.h"
#include "mm/pool_int.h"
#include "mm/sync.h"

#define TABLE_SHIFT    10
#define TABLE_ENTRIES  (1u << TABLE_SHIFT)
#define MM_REGIONS_MAX 65536u /* unless mm_set_regions_max says less */

/* gfns start .. end-1. */
struct region {
    gfn_t start, end;
    uint8_t prot;          /* enum mm_prot */
    uint8_t kind;          /* enum mm_region_kind */
    uint32_t pgoff;        /* object's page at start */
    struct mm_object *obj; /* holds a reference; NULL: private anonymous */
};

struct mm {
    struct pool *pool;
    struct mm *prev, *next; /* pool->mms, under its lock */
    _Atomic uint32_t refs;  /* the creator's, and those who met it through a reverse map */
    bool gone;              /* off pool->mms; under its lock */
    char name[48];
    struct mm_lock map_lock;
    struct mm_notifier notifier;
    bool has_notifier;
    uint32_t tag; /* trace.h */

    struct mm_lock ptl __attribute__((aligned(64)));
    uint32_t n_regions;
    uint32_t regions_max;      /* a change that would make more is refused */
    struct region *regions;    /* sorted, without overlap; replaced as a whole */
    uint32_t hit;              /* where the last lookup ended */
    _Atomic uint64_t resident; /* written under ptl, read by anyone */
    _Atomic uint64_t swapped;
    _Atomic uint64_t limit;      /* most resident frames; 0: none */
    gfn_t clock_hand;            /* where reclaim of the mm's own pages goes on; under ptl */
    gfn_t ahead_prev;            /* read-ahead: the last page read, */
    uint32_t ahead_window;       /* ... pages read beside it, */
    _Atomic uint32_t ahead_hits; /* ... and how many of those read before were wanted */
    _Atomic uint64_t faults[MM_RESULTS];
    uint16_t run[MM_GFNS / 512]; /* by aligned 2 MiB: the run reserved for it, 0: none; free_lock */
    uint16_t used[TABLE_ENTRIES]; /* entries that are not none, per leaf table */
    uint32_t root[TABLE_ENTRIES]; /* leaf tables: index in pool->tables, 0: none */
};

static inline void mm_lock_ptl(struct mm *mm)
{
    lock_take(&mm->ptl, LOCK_PTL);
}
static inline void mm_unlock_ptl(struct mm *mm)
{
    lock_drop(&mm->ptl, LOCK_PTL);
}

/* A count with one writer at a time (under a lock) and any readers: no locked instruction. */
static inline void count_add(_Atomic uint64_t *c, int64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + (uint64_t)n,
                          memory_order_relaxed);
}

static inline bool range_ok(gfn_t gfn, uint32_t n)
{
    return n > 0 && gfn < MM_GFNS && n <= MM_GFNS - gfn;
}

void mm_get(struct mm *mm);
void mm_put(struct mm *mm);

/* --- page table (table.c), all under ptl ------------------------------------------------------ */

static inline pte_t *table_leaf(const struct mm *mm, gfn_t gfn)
{
    uint32_t t = mm->root[gfn >> TABLE_SHIFT];
    return t ? (pte_t *)slab_ptr(&mm->pool->tables, t) : NULL;
}

static inline pte_t table_get(const struct mm *mm, gfn_t gfn)
{
    const pte_t *leaf = table_leaf(mm, gfn);
    return leaf ? leaf[gfn & (TABLE_ENTRIES - 1)] : PTE_NONE;
}

/* The leaf table must be there. */
static inline void table_set(struct mm *mm, gfn_t gfn, pte_t to)
{
    pte_t *e = &table_leaf(mm, gfn)[gfn & (TABLE_ENTRIES - 1)];
    mm->used[gfn >> TABLE_SHIFT] =
        (uint16_t)(mm->used[gfn >> TABLE_SHIFT] + !pte_none(to) - !pte_none(*e));
    *e = to;
}

/* Give the leaf table back if nothing is in it. */
void table_trim(struct mm *mm, gfn_t gfn);
/* Makes sure that gfn has a leaf table; drops ptl meanwhile when it has none. 0, -ENOMEM, or
 * -EAGAIN: there is one, but ptl was dropped. */
int table_ensure(struct mm *mm, gfn_t gfn);
/* Take present page gfn out of the books (counts, reverse map); the entry becomes `to`. The caller
 * has told the mappers, and drops the frame's FRAME_REF | FRAME_MAP afterwards. */
void table_unmap_page(struct mm *mm, gfn_t gfn, pte_t to);

/* Map `frame`, of which the caller's ref becomes the entry's: counts, reverse map (node as
 * rmap_add), resident. Returns what is left of node. */
uint32_t table_map_page(struct mm *mm, gfn_t gfn, frame_t frame, pte_t pte, uint32_t node);

/* --- regions (region.c) ----------------------------------------------------------------------- */

/* Under ptl. NULL: gfn lies in none. */
const struct region *region_find(struct mm *mm, gfn_t gfn);

/* What to do to the part of a region that lies in the range. */
struct region_edit {
    gfn_t start, end;
    const struct region *put; /* instead of what was there; NULL: nothing */
    bool protect;             /* keep what was there, with this prot */
    uint8_t prot;
};
/* Under map_lock. Builds a new region list with the edit applied; nothing has changed yet. 0,
 * -ENOMEM (no memory, or more than regions_max). */
int regions_build(struct mm *mm, const struct region_edit *e, struct region **list, uint32_t *n);
/* Under ptl: the list becomes the mm's; the old one is returned, to be given to regions_free after.
 */
struct region *regions_swap(struct mm *mm, struct region *list, uint32_t n, uint32_t *old_n);
void regions_free(struct region *list, uint32_t n);
bool regions_overlap(const struct mm *mm, gfn_t start, gfn_t end);

/* --- notifier, under ptl ---------------------------------------------------------------------- */

static inline void mm_invalidate(struct mm *mm, gfn_t gfn, uint32_t n)
{
    if (mm->has_notifier)
        mm->notifier.invalidate(mm->notifier.ctx, gfn, n);
}

static inline void mm_write_protect(struct mm *mm, gfn_t gfn, uint32_t n)
{
    if (mm->has_notifier)
        mm->notifier.write_protect(mm->notifier.ctx, gfn, n);
}

/* Is a page in a region of this kind the mm's own (as against an object's)? */
static inline bool region_private(const struct region *r)
{
    return r->kind == MM_ANON_PRIVATE || r->kind == MM_FILE_PRIVATE;
}

static inline bool mm_test_clear_young(struct mm *mm, gfn_t gfn)
{
    return mm->has_notifier && mm->notifier.test_clear_young(mm->notifier.ctx, gfn);
}

/* --- frames for pages ------------------------------------------------------------------------- */

/* A frame for a page that will be one more of mm's (NULL: of nobody's, so that no limit is asked):
 * one ref, on no list, reclaiming if need be; FRAME_NONE: none to be had. at: where it would best
 * lie. No lock may be held. */
frame_t mm_take_frame(struct pool *p, struct mm *mm, const struct place *at, bool *zeroed,
                      uint32_t *path);

/* Walks the pool's mms, each with a ref held: the one after prev, whose ref is dropped. */
struct mm *mms_next(struct pool *p, struct mm *prev);

#endif
