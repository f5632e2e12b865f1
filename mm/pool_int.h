/*
 * The inside of a pool: frames and their table, the free list, the reclaim lists, the slabs.
 * For mm/ and its tests only.
 */
#ifndef UMBRA_MM_POOL_INT_H
#define UMBRA_MM_POOL_INT_H

#include "mm/counters.h"
#include "mm/failpoint.h"
#include "mm/frame.h"
#include "mm/lock.h"
#include "mm/pool.h"
#include "mm/slab.h"

struct mm;
struct mm_sync_hook;
struct mm_tracer;

enum lru_kind { LRU_INACTIVE, LRU_ACTIVE, LRU_LISTS };

struct lru_list {
    frame_t first, last; /* FRAME_NONE if empty; new frames come in at first */
    uint32_t count;
};

/* What the free frames of runs are to others (runs.h). */
struct run;
enum run_list { RUN_USED_UP, RUN_OWNED, RUN_LOOSE, RUN_WHOLE, RUN_LISTS };
struct run_head {
    uint32_t first, last; /* runs; 0: none */
};

/* Where a frame would best lie: as page gfn of mm, in the run that mm has for the 2 MiB around it,
 * or, with reserve, may have from now on. mm NULL: anywhere. */
struct place {
    struct mm *mm;
    gfn_t gfn;
    bool reserve;
};
#define PLACE_ANY ((struct place){NULL, 0, false})

/* A reverse-map entry beyond the one that the frame holds itself. */
struct rmap_node {
    uint32_t more;
    gfn_t gfn;
    struct mm *mm;
};

struct pool {
    struct pool_view view; /* first: pool_base() reads it */
    int fd;
    uint32_t frames_max; /* the limit in frames */
    uint64_t step;       /* frames per step; 0: doubling */
    struct failpoint *fail;
    struct frame *frames;
    size_t frames_bytes;

    struct mm_lock grow_lock;
    struct mm_spin free_lock __attribute__((aligned(64)));
    frame_t free_first;  /* chain of returned frames */
    uint32_t free_count; /* their number */
    uint32_t fresh;      /* first frame never handed out: still all zero */
    uint32_t grown;      /* frames that exist, those of runs aside */
    uint32_t grown_to;   /* ... or will, when a step that is under way is done */
    uint64_t allocs, frees, grows;
    struct run *runs; /* by frame / RUN_FRAMES; NULL: there are none */
    size_t runs_bytes;
    struct run_head run_heads[RUN_LISTS];
    uint32_t run_low;    /* frames from here on are of runs; frames_max: none are */
    uint32_t runs_left;  /* free ones of those, memory or not */
    uint32_t runs_grown; /* those that have memory */
    uint64_t runs_broken;
    _Atomic uint32_t available; /* free and not yet grown frames; written under the lock */

    struct mm_spin lru_lock __attribute__((aligned(64)));
    struct lru_list lru[LRU_LISTS];

    struct slab nodes;  /* struct rmap_node */
    struct slab tables; /* leaf page tables */

    struct mm_lock mms_lock;
    struct mm *mms;            /* every mm, newest first */
    struct mm_object *objects; /* every object, newest first; the same lock */
    uint64_t object_pages;     /* pages of all of them; the same lock */

    _Atomic uint64_t counters[MM_COUNTER_COUNT];
    struct swap *_Atomic swap; /* swap_int.h; set once, freed with the pool. NULL: none yet */
    _Atomic uint32_t hopeless; /* rounds of direct reclaim in a row of which next to nothing came */
    struct swap *retired_swaps;
    struct reclaim *_Atomic reclaim;          /* the background thread, reclaim.h */
    struct sharing *_Atomic sharing;          /* the content scanner, share.c */
    struct mm_lock scan_lock;                 /* background work */
    _Atomic uint32_t wm_min, wm_low, wm_high; /* watermarks in available frames */
    _Atomic uint32_t evictions;               /* the clock of refault distances */

    const struct mm_tracer *tracer;  /* trace.h; NULL: nobody wants to know */
    const struct mm_sync_hook *hook; /* tests: called at the steps of sync.h */
};

static inline struct frame *frame_of(const struct pool *p, frame_t f)
{
    return &p->frames[f];
}

/* A frame with one ref, or FRAME_NONE. *zeroed: its bytes are known to be zero. Never reclaims. */
frame_t pool_take(struct pool *p, bool *zeroed);
/* The same, at a place if it can be. */
frame_t pool_take_at(struct pool *p, const struct place *at, bool *zeroed);
/* Free or not yet grown frames: how far the pool is from being used up. */
static inline uint32_t pool_available(const struct pool *p)
{
    return atomic_load_explicit(&p->available, memory_order_relaxed);
}

/* Drops refs and maps at once; at zero refs the frame leaves its list and is free again. */
void frame_drop(struct pool *p, frame_t f, uint64_t what);

static inline void frame_put(struct pool *p, frame_t f)
{
    frame_drop(p, f, FRAME_REF);
}

static inline void pool_count(struct pool *p, enum mm_counter c)
{
    atomic_fetch_add_explicit(&p->counters[c], 1, memory_order_relaxed);
}

/* The reclaim lists. A frame comes in with lru_add (inactive, or active if FRAME_ACTIVE is set). */
void lru_add(struct pool *p, frame_t f);
/* Takes it off if it is on one. */
void lru_del(struct pool *p, frame_t f);
/* Takes up to n frames off the end of a list, each with a ref of the caller's. How many. */
uint32_t lru_isolate(struct pool *p, enum lru_kind kind, frame_t *out, uint32_t n);
/* The same for one frame, if it is on a list. */
bool lru_isolate_one(struct pool *p, frame_t f);
/* A ref of a frame that the caller only remembers: if it is on a list. */
bool lru_ref(struct pool *p, frame_t f);
uint32_t lru_count(struct pool *p, enum lru_kind kind);

/* Reverse map. node: one taken beforehand from p->nodes, or 0; the function says by returning it
 * that it did not need it, and 0 if it did. Adds no counts. */
uint32_t rmap_add(struct pool *p, frame_t f, struct mm *mm, gfn_t gfn, uint32_t node);
void rmap_del(struct pool *p, frame_t f, const struct mm *mm, gfn_t gfn);

static inline void rmap_lock(struct frame *f)
{
    while (atomic_fetch_or_explicit(&f->counts, FRAME_RMAP, memory_order_acquire) & FRAME_RMAP)
        __builtin_ia32_pause();
}

static inline void rmap_unlock(struct frame *f)
{
    atomic_fetch_and_explicit(&f->counts, ~FRAME_RMAP, memory_order_release);
}

#endif
