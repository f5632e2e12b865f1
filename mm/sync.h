/*
 * Sync points: named places between two steps of mm/ at which no spinning lock is held, where a
 * test can run the other side of a race (in another thread where the comment names a lock that is
 * held). Without a hook each costs one predicted branch.
 */
#ifndef UMBRA_MM_SYNC_H
#define UMBRA_MM_SYNC_H

#include "mm/pool_int.h"

enum mm_sync {
    MM_SYNC_ANON_TAKEN,   /* first write: the frame is taken, the entry not yet looked at again */
    MM_SYNC_TABLE_TAKEN,  /* a page table is taken, the root not yet looked at again */
    MM_SYNC_COPIED,       /* copy-on-write: copied, the entry not yet looked at again */
    MM_SYNC_FORK_PAGE,    /* fork: between two leaf tables of the parent; map_lock */
    MM_SYNC_SWAP_LOOKUP,  /* swap-in: the entry read, the cache not yet looked at */
    MM_SYNC_SWAP_WAITED,  /* swap-in: frame locked, not yet looked at again; frame lock */
    MM_SYNC_OBJECT_TAKEN, /* object page in hand, entry not yet looked at again */
    MM_SYNC_UNMAPPED,     /* reclaim: unmapped, not yet written; LOCK_SCAN, frame lock */
    MM_SYNC_ISOLATED,     /* reclaim: off its list, not yet unmapped; the same */
    MM_SYNC_AHEAD,        /* read-ahead: slot chosen, not yet in the cache */
    MM_SYNC_SHARE_HASHED, /* sharing: two pages alike, not yet merged; the same */
    MM_SYNCS
};

struct mm_sync_hook {
    void (*at)(void *ctx, enum mm_sync where, struct mm *mm, gfn_t gfn);
    void *ctx;
};

static inline void mm_sync(const struct pool *p, enum mm_sync where, struct mm *mm, gfn_t gfn)
{
    if (__builtin_expect(p->hook != NULL, 0))
        p->hook->at(p->hook->ctx, where, mm, gfn);
}

#endif
