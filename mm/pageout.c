/*
 * Sending a range of an address space out on request, whoever used it last: for guests that want to
 * see a page come back.
 */
#include <errno.h>

#include "mm/reclaim_int.h"
#include "mm/swap_int.h"
#include "mm/unmap.h"

/* A ref of the frame that gfn maps; FRAME_NONE: nothing there that could go. */
static frame_t frame_at(struct mm *mm, gfn_t gfn)
{
    frame_t f = FRAME_NONE;
    mm_lock_ptl(mm);
    const pte_t pte = table_get(mm, gfn);
    if (pte_present(pte) && pte_frame(pte) != POOL_ZERO_FRAME) {
        f = pte_frame(pte);
        frame_ref(frame_of(mm->pool, f));
    }
    mm_unlock_ptl(mm);
    return f;
}

static void page_out(struct mm *mm, gfn_t gfn)
{
    struct pool *p = mm->pool;
    const frame_t f = frame_at(mm, gfn);
    if (f == FRAME_NONE)
        return;
    unmap_test_young(p, f); /* no second chance */
    const bool isolated = lru_isolate_one(p, f);
    swap_drop(p, f, FRAME_REF);
    if (isolated)
        evict_frame(p, f);
}

int mm_pageout(struct mm *mm, gfn_t gfn, uint32_t n)
{
    struct pool *p = mm->pool;
    if (!range_ok(gfn, n))
        return -EINVAL;
    lock_take(&p->scan_lock, LOCK_SCAN);
    for (gfn_t g = gfn; g < gfn + n; g++) {
        if (!mm->root[g >> TABLE_SHIFT]) {
            g |= TABLE_ENTRIES - 1;
            continue;
        }
        page_out(mm, g);
    }
    lock_drop(&p->scan_lock, LOCK_SCAN);
    swap_drain(p);
    return 0;
}
