/*
 * The frame table: what the pool knows of each frame, one cache line per frame.
 *
 * counts holds, in one word so that one atomic operation moves all of it:
 *   refs  bits 0..31   how many hold the frame: each mapping, the swap cache, an object, a pin, and
 *                      whoever works on it for a while. At zero it goes back to the pool.
 *   maps  bits 32..62  how many backing PTEs map it (each also counts as a ref)
 *   lock  bit 63       the lock of the frame's reverse map
 *
 * The zero frame has no life of its own: refs and maps stay zero, no list, no reverse map.
 */
#ifndef UMBRA_MM_FRAME_H
#define UMBRA_MM_FRAME_H

#include <stdatomic.h>

#include "mm/pte.h"
#include "mm/types.h"

struct mm;
struct mm_object;

enum frame_flags {
    FRAME_LOCKED = 1u << 0, /* someone reads into it, or takes it away; sleep on it: frame_lock() */
    FRAME_WAITED = 1u << 1, /* ... and someone sleeps */
    FRAME_WRITEBACK = 1u << 2, /* being written out: must not change, must not go */
    FRAME_DIRTY = 1u << 3,     /* differs from its copy in the area or file */
    FRAME_UPTODATE = 1u << 4,  /* cached frames only: the content is there */
    FRAME_LRU = 1u << 5,       /* on a reclaim list */
    FRAME_ACTIVE = 1u << 6,    /* ... on the active one (or to go there) */
    FRAME_SWAPCACHE = 1u << 7, /* in the swap cache, under frame->swap */
    FRAME_OBJECT = 1u << 8,    /* belongs to frame->obj at frame->index */
    FRAME_MERGED = 1u << 9,    /* shared for identical content: never written in place */
    FRAME_AHEAD = 1u << 10,    /* read ahead of use; its first hit is counted */
    FRAME_STUCK = 1u << 11,    /* could not be written out: stays until its slot is let go */
    FRAME_READING = 1u << 12,  /* its content is on its way, and arrives when somebody polls */
    FRAME_RIGID = 1u << 13, /* did not compress; no entry was dirty then, and a dirty one ends it */
};

struct frame {
    _Atomic uint64_t counts;
    _Atomic uint32_t flags;
    _Atomic uint32_t pins;
    struct mm *rmap_mm; /* reverse map, first entry; NULL: none. Under the lock bit */
    gfn_t rmap_gfn;
    uint32_t rmap_more;         /* chain of further entries in the pool's node slab */
    frame_t lru_prev, lru_next; /* under the LRU lock; lru_next links free frames under theirs */
    pte_t swap;                 /* the swap entry it is cached under */
    uint32_t index;             /* page of obj */
    struct mm_object *obj;
    uint32_t hash; /* content hash when the sharing scanner last came by */
    uint32_t unused;
};

_Static_assert(sizeof(struct frame) == 64, "one cache line per frame");

#define FRAME_REF  ((uint64_t)1)
#define FRAME_MAP  ((uint64_t)1 << 32)
#define FRAME_RMAP ((uint64_t)1 << 63)

static inline uint32_t frame_refs_of(uint64_t counts)
{
    return (uint32_t)counts;
}
static inline uint32_t frame_maps_of(uint64_t counts)
{
    return (uint32_t)(counts >> 32) & 0x7fffffffu;
}

static inline uint32_t frame_refs(const struct frame *f)
{
    return frame_refs_of(atomic_load_explicit(&f->counts, memory_order_acquire));
}

static inline uint32_t frame_maps(const struct frame *f)
{
    return frame_maps_of(atomic_load_explicit(&f->counts, memory_order_acquire));
}

static inline uint32_t frame_test(const struct frame *f, uint32_t flags)
{
    return atomic_load_explicit(&f->flags, memory_order_acquire) & flags;
}

/* Returns which of the flags were set before. */
static inline uint32_t frame_set(struct frame *f, uint32_t flags)
{
    return atomic_fetch_or_explicit(&f->flags, flags, memory_order_acq_rel) & flags;
}

static inline uint32_t frame_clear(struct frame *f, uint32_t flags)
{
    return atomic_fetch_and_explicit(&f->flags, ~flags, memory_order_acq_rel) & flags;
}

/* An entry was dirty: the content is not what it was. */
static inline void frame_written(struct frame *f)
{
    frame_set(f, FRAME_DIRTY);
    frame_clear(f, FRAME_RIGID);
}

/* One more holder; the caller has one already, or a lock under which one cannot go. */
static inline void frame_ref(struct frame *f)
{
    atomic_fetch_add_explicit(&f->counts, FRAME_REF, memory_order_relaxed);
}

/* The lock of a frame's identity and content: whether it is in the swap cache or an object, whether
 * its bytes have arrived. Sleeps; no lock from LOCK_PTL on may be held. The caller holds a ref. */
void frame_lock(struct frame *f);
void frame_unlock(struct frame *f);

static inline bool frame_trylock(struct frame *f)
{
    return !frame_set(f, FRAME_LOCKED);
}

#endif
