/*
 * The swap cache, and the glue between frames and the swap store (store.h).
 *
 * Rules:
 *  1. A frame in the cache under an entry holds one ref for the cache, and the cache holds one
 * count of the slot. So a cached slot is never free, and store_count - 1 entries name it elsewhere.
 *  2. A frame enters and leaves the cache with its frame lock held, and with LOCK_CACHE. One
 * exception: a frame that only the cache holds (refs 1, so nobody can have locked it) may leave
 * with LOCK_CACHE alone.
 *  3. A frame in the cache without FRAME_DIRTY is equal to its slot's content. A private frame
 * outside the cache has no copy anywhere: to evict it is to write it.
 *  4. No writable mapping of a frame in the cache exists.
 */
#ifndef UMBRA_MM_SWAP_INT_H
#define UMBRA_MM_SWAP_INT_H

#include "mm/mm_int.h"
#include "mm/store.h"
#include "mm/swap.h"

enum {
    SWAP_AREA = 0,      /* the one area number in use */
    SWAP_IOS = 64,      /* pages on their way out at a time */
    SWAP_RESTORE = 8,   /* entries that a failed write-out can put back */
    SWAP_AHEAD_MAX = 8, /* pages read beside the wanted one */
};

/* An entry that was replaced by a swap entry, as it was. Holds a ref of mm. */
struct swap_undo {
    struct mm *mm;
    gfn_t gfn;
    pte_t was;
};

struct swap_undos {
    uint32_t n; /* those beyond SWAP_RESTORE are not kept */
    struct swap_undo at[SWAP_RESTORE];
};

/* A page on its way out. Holds a ref of the frame. */
struct swap_io {
    struct store_io io;
    struct swap *sw;
    struct swap_io *next;
    frame_t frame;
    struct swap_undos undos;
};

struct swap {
    struct pool *pool;
    struct store *store;
    _Atomic bool off;      /* no area attached (any more): nothing may go out */
    _Atomic bool detached; /* the store is no longer ours to touch */
    struct swap *retired;  /* detached before this one; freed with the pool */
    uint32_t slots;
    size_t bytes;
    struct mm_lock lock; /* LOCK_CACHE */
    frame_t *cache;      /* per slot; 0: none */
    uint32_t *evicted;   /* per slot: pool->evictions when its page went, 0: not known */
    uint32_t cached;     /* frames in the cache */
    struct slot_cluster cluster;
    struct swap_io *free_ios;
    _Atomic uint32_t in_flight;
    _Atomic uint32_t users; /* threads between reading an entry and letting go of the store */
    struct swap_io ios[SWAP_IOS];
};

static inline struct swap *pool_swap(const struct pool *p)
{
    return atomic_load_explicit(&p->swap, memory_order_acquire);
}

static inline bool swap_usable(const struct pool *p)
{
    const struct swap *sw = pool_swap(p);
    return sw && !atomic_load_explicit(&sw->off, memory_order_acquire);
}

/* --- the cache (swap.c) ----------------------------------------------------------------------- */

/* The frame under an entry, with a ref for the caller; FRAME_NONE. */
frame_t swap_lookup(struct swap *sw, pte_t entry);
/* Is there one? It may be gone at once. */
bool swap_cached(struct swap *sw, pte_t entry);
/* The entry that a frame is cached under, or PTE_NONE. Stands still while the frame is locked. */
pte_t swap_entry_of(struct swap *sw, frame_t f);
/* Put a locked frame under an entry whose slot somebody names. 0, -EEXIST: another is there,
 * -ENOENT: the slot is free. */
int swap_add(struct swap *sw, frame_t f, pte_t entry);
/* Give a locked frame a new slot and put it under it, dirty. 0 or -ENOSPC. The slot's one count is
 * the cache's. */
int swap_add_new(struct swap *sw, frame_t f, pte_t *entry);
/*
 * Take a locked frame out if no entry names its slot any more (and, with `others` given, no more
 * refs stand than the cache's and so many others). Not while it is being written out. The cache's
 * ref is dropped, the slot is freed.
 */
bool swap_take_out(struct pool *p, frame_t f, uint32_t others);
/* Take a locked frame out whatever its slot is named by: the slot keeps its content, for the
 * entries. Only if nobody but the cache and the caller holds the frame, and it is clean. Notes the
 * time. */
bool swap_evict(struct pool *p, frame_t f);
/* Take a locked frame out whose content did not arrive. */
void swap_unread(struct pool *p, frame_t f);
/* As frame_drop; and if only the cache holds the frame then, and no entry names its slot, it goes.
 * Every ref of a frame that may be cached is dropped by this. */
void swap_drop(struct pool *p, frame_t f, uint64_t what);

/* An entry that names a slot goes (ptl may be held). */
void swap_forget(struct pool *p, pte_t entry);
/* One more entry names the slot. */
void swap_name(struct pool *p, pte_t entry);

/* Was the slot's page evicted so recently that more memory would have kept it? Counts the refault.
 */
bool swap_refault_soon(struct swap *sw, pte_t entry);

/* --- writing out (swap_io.c), no lock from LOCK_PTL on held
 * --------------------------------------- */

enum swap_out { SWAP_OUT_FREED, SWAP_OUT_QUEUED, SWAP_OUT_FAILED };
/* Write out a locked, cached, dirty, unmapped frame of which the caller holds a ref; unlocks.
 * FREED: it is gone, ref and all. QUEUED: the ref is the write's now. FAILED: put back in the
 * entries as far as known (undos), the caller still has its ref. Releases undos. */
enum swap_out swap_write(struct swap *sw, frame_t f, struct swap_undos *undos);
/* Reap what has been written. With wait: until at least one was, if any is in flight. */
void swap_poll(struct swap *sw, bool wait);
/* frame_lock for a frame that may be read ahead: whoever started that may be waiting for us, so we
 * poll. */
void swap_lock_frame(struct swap *sw, frame_t f);
/* Until nothing is in flight. */
void swap_drain(struct pool *p);
void undos_release(struct swap_undos *u);

/* --- reading back (swapin.c, ahead.c) -----------------------------------------------------------
 */

struct swap_in {
    frame_t frame; /* locked, cached under the entry, its content there; one ref for the caller */
    uint32_t path; /* enum mm_path bits */
    bool major;
};
/* Bring the page of an entry into the cache; mm (may be NULL) pays for it; at: where its
 * frame would best lie. 0, -EAGAIN: the entry is
 * not what it was, -ENOMEM, -EIO. */
int swap_in(struct pool *p, struct mm *mm, const struct place *at, pte_t entry,
            struct swap_in *out);

struct ahead_io {
    struct store_io io;
    struct ahead *of;
    frame_t frame;
};

/* The pages that one fault reads beside its own. */
struct ahead {
    struct swap *sw;
    unsigned n;
    pte_t entry[SWAP_AHEAD_MAX];
    struct ahead_io io[SWAP_AHEAD_MAX];
    _Atomic unsigned pending;
};

/* Under ptl: choose the pages around gfn of region r, if the page of `entry` is on disk. */
void ahead_plan(struct ahead *a, struct mm *mm, gfn_t gfn, const struct region *r, pte_t entry);
/* No lock held: start the reads; wait for them. True: pages were read. */
bool ahead_start(struct ahead *a);
void ahead_wait(struct ahead *a);

/* The attached area, which stays usable until swap_leave; NULL: none. */
struct swap *swap_use(struct pool *p);
void swap_leave(struct swap *sw);
/* Out of the pool's sight; freed with the pool. */
void swap_retire(struct pool *p, struct swap *sw);
void swap_fini(struct pool *p);

#endif
