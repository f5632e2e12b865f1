/* The two-level table of backing PTEs. */
#include <errno.h>

#include "mm/mm_int.h"

void table_trim(struct mm *mm, gfn_t gfn)
{
    uint32_t i = gfn >> TABLE_SHIFT;
    if (mm->root[i] && mm->used[i] == 0) {
        slab_give(&mm->pool->tables, mm->root[i]);
        mm->root[i] = 0;
    }
}

int table_ensure(struct mm *mm, gfn_t gfn)
{
    if (mm->root[gfn >> TABLE_SHIFT])
        return 0;
    mm_unlock_ptl(mm);
    uint32_t t = slab_take(&mm->pool->tables);
    mm_sync(mm->pool, MM_SYNC_TABLE_TAKEN, mm, gfn);
    mm_lock_ptl(mm);
    if (mm->root[gfn >> TABLE_SHIFT]) { /* another thread was faster */
        if (t)
            slab_give(&mm->pool->tables, t);
    } else if (!t) {
        return -ENOMEM;
    } else {
        mm->root[gfn >> TABLE_SHIFT] = t;
    }
    return -EAGAIN;
}

void table_unmap_page(struct mm *mm, gfn_t gfn, pte_t to)
{
    frame_t f = pte_frame(table_get(mm, gfn));
    table_set(mm, gfn, to);
    if (f == POOL_ZERO_FRAME)
        return;
    rmap_del(mm->pool, f, mm, gfn);
    count_add(&mm->resident, -1);
}

uint32_t table_map_page(struct mm *mm, gfn_t gfn, frame_t frame, pte_t pte, uint32_t node)
{
    atomic_fetch_add_explicit(&frame_of(mm->pool, frame)->counts, FRAME_MAP, memory_order_relaxed);
    node = rmap_add(mm->pool, frame, mm, gfn, node);
    table_set(mm, gfn, pte);
    count_add(&mm->resident, 1);
    return node;
}
