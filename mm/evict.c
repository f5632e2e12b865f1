/* What becomes of one frame under reclaim (behaviours 21, 22, 27, 28, 31). */
#include <errno.h>

#include "mm/object.h"
#include "mm/reclaim_int.h"
#include "mm/swap_int.h"
#include "mm/trace_int.h"
#include "mm/unmap.h"

/* Back to a list, unlocked. */
static enum evicted evict_keep(struct pool *p, frame_t f)
{
    frame_unlock(frame_of(p, f));
    lru_add(p, f);
    swap_drop(p, f, FRAME_REF);
    return EVICT_KEPT;
}

static enum evicted evict_freed(struct pool *p, frame_t f)
{
    frame_unlock(frame_of(p, f));
    frame_put(p, f);
    pool_count(p, CNT_freed);
    return EVICT_FREED;
}

/* An unmapped, dirty frame in the swap cache goes out. */
static enum evicted evict_write(struct pool *p, frame_t f, struct swap_undos *undos)
{
    switch (swap_write(pool_swap(p), f, undos)) {
    case SWAP_OUT_FREED: return EVICT_FREED;
    case SWAP_OUT_QUEUED: return EVICT_QUEUED;
    case SWAP_OUT_FAILED: break;
    }
    lru_add(p, f);
    swap_drop(p, f, FRAME_REF);
    return EVICT_KEPT;
}

/* Someone came to hold the frame in place while it was being unmapped. */
static enum evicted evict_pinned(struct pool *p, frame_t f, pte_t entry, struct swap_undos *undos)
{
    for (uint32_t i = 0; i < undos->n && i < SWAP_RESTORE; i++)
        unmap_restore(undos->at[i].mm, undos->at[i].gfn, entry, undos->at[i].was, f);
    undos_release(undos);
    frame_set(frame_of(p, f), FRAME_DIRTY);
    swap_take_out(p, f, 0);
    return evict_keep(p, f);
}

static enum evicted evict_anon(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    struct swap_undos undos = {0};
    if (!swap_usable(p))
        return evict_keep(p, f);
    struct swap *sw = pool_swap(p);
    pte_t entry = swap_entry_of(sw, f);
    if (pte_none(entry)) {
        if (frame_maps(fr) == 0) /* its last owner is just leaving */
            return evict_keep(p, f);
        if (swap_add_new(sw, f, &entry) < 0) { /* area full: nothing has been touched (22) */
            pool_count(p, CNT_no_slot);
            return evict_keep(p, f);
        }
    }
    bool gone = unmap_all(p, f, entry, &undos);
    mm_sync(p, MM_SYNC_UNMAPPED, NULL, 0);
    if (atomic_load_explicit(&fr->pins, memory_order_acquire) > 0)
        return evict_pinned(p, f, entry, &undos);
    if (!gone) {
        undos_release(&undos);
        return evict_keep(p, f);
    }
    if (swap_evict(p, f)) { /* clean, or wanted by nobody (21) */
        mm_trace(p, MM_EV_DROPPED, undos.n ? undos.at[0].mm : NULL, undos.n ? undos.at[0].gfn : 0,
                 pte_swap_slot(entry));
        undos_release(&undos);
        pool_count(p, CNT_dropped);
        return evict_freed(p, f);
    }
    if (!frame_test(fr, FRAME_DIRTY)) {
        undos_release(&undos);
        return evict_keep(p, f);
    }
    return evict_write(p, f, &undos);
}

static enum evicted evict_object(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    struct swap_undos none = {
        0}; /* entries of shared regions are empty; the object names the slot */
    if (!unmap_all(p, f, PTE_NONE, NULL))
        return evict_keep(p, f);
    mm_sync(p, MM_SYNC_UNMAPPED, NULL, 0);
    if (atomic_load_explicit(&fr->pins, memory_order_acquire) > 0)
        return evict_keep(p, f);
    switch (object_evict(p, f)) {
    case OBJECT_KEPT: return evict_keep(p, f);
    case OBJECT_FREED: return evict_freed(p, f);
    case OBJECT_TO_SWAP: break;
    }
    return evict_write(p, f, &none);
}

/* It did not compress when it was tried, has not been written since, and there is no disk. (A frame
 * in the cache that nobody wants any more can go all the same.) */
static bool cannot_shrink(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    struct swap *sw = pool_swap(p);
    if (!frame_test(fr, FRAME_RIGID) || !sw || store_has_disk(sw->store))
        return false;
    const pte_t entry = swap_entry_of(sw, f);
    if (frame_maps(fr) == 0 &&
        (pte_none(entry) || store_count(sw->store, pte_swap_slot(entry)) == 1))
        return false;
    return !unmap_test_dirty(p, f);
}

enum evicted evict_frame(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    pool_count(p, CNT_scanned);
    if (!frame_trylock(fr)) {
        pool_count(p, CNT_busy);
        lru_add(p, f);
        swap_drop(p, f, FRAME_REF);
        return EVICT_KEPT;
    }
    if (atomic_load_explicit(&fr->pins, memory_order_acquire) > 0 ||
        frame_test(fr, FRAME_WRITEBACK | FRAME_STUCK)) {
        pool_count(p, CNT_busy);
        return evict_keep(p, f);
    }
    if (frame_maps(fr) > 0 && unmap_test_young(p, f)) { /* second chance (27) */
        pool_count(p, CNT_young);
        frame_set(fr, FRAME_ACTIVE);
        return evict_keep(p, f);
    }
    if (cannot_shrink(p, f)) {
        pool_count(p, CNT_no_slot);
        return evict_keep(p, f);
    }
    mm_sync(p, MM_SYNC_ISOLATED, NULL, 0);
    return frame_test(fr, FRAME_OBJECT) ? evict_object(p, f) : evict_anon(p, f);
}
