/* Taking the area away (behaviour 25): every page comes back, or the area stays. */
#include <errno.h>
#include <sched.h>

#include "mm/object.h"
#include "mm/reclaim.h"
#include "mm/swap_int.h"
#include "mm/trace_int.h"

/* One entry of an mm, brought back without a fault of its own: protection does not matter. */
static int off_page(struct mm *mm, gfn_t gfn, pte_t entry)
{
    struct pool *p = mm->pool;
    struct swap *sw = pool_swap(p);
    struct swap_in in;
    uint32_t node = slab_take(&p->nodes);
    int err = node ? swap_in(p, NULL, &PLACE_ANY, entry, &in) : -ENOMEM;
    if (!err) {
        struct frame *fr = frame_of(p, in.frame);
        mm_lock_ptl(mm);
        bool same = pte_same(table_get(mm, gfn), entry);
        if (same) {
            store_put(sw->store, pte_swap_slot(entry));
            count_add(&mm->swapped, -1);
            node = table_map_page(mm, gfn, in.frame, pte_make(in.frame, PTE_U), node);
            swap_take_out(p, in.frame, 0);
            mm_trace(p, MM_EV_PUT_BACK, mm, gfn, 0);
        }
        frame_unlock(fr);
        mm_unlock_ptl(mm);
        if (!same)
            swap_drop(p, in.frame, FRAME_REF);
    }
    if (node)
        slab_give(&p->nodes, node);
    return err == -EAGAIN ? 0 : err;
}

/* The next swap entry of mm from *gfn on; false: there is none. */
static bool off_next(struct mm *mm, gfn_t *gfn, pte_t *entry)
{
    bool found = false;
    mm_lock_ptl(mm);
    for (; *gfn < MM_GFNS && !found; ++*gfn) {
        if (!mm->root[*gfn >> TABLE_SHIFT]) {
            *gfn |= TABLE_ENTRIES - 1;
            continue;
        }
        *entry = table_get(mm, *gfn);
        if (pte_is_swap(*entry)) {
            found = true;
            break;
        }
    }
    mm_unlock_ptl(mm);
    return found;
}

static int off_failed(int err, const char *who, uint32_t page, struct mm_err *why)
{
    if (err == -EIO)
        return mm_err_set(why, err, "swapoff: page 0x%x of %s cannot be read back", page, who);
    return mm_err_set(
        why, err, "swapoff: no frame left for page 0x%x of %s: free memory, or enlarge the pool",
        page, who);
}

static int off_mm(struct mm *mm, struct mm_err *why)
{
    pte_t entry;
    for (gfn_t g = 0; off_next(mm, &g, &entry);) {
        int err = off_page(mm, g, entry);
        if (err)
            return off_failed(err, mm->name, g, why);
    }
    return 0;
}

static int off_object(struct mm_object *o, struct mm_err *why)
{
    for (uint32_t i = 0; i < o->n && atomic_load(&o->swapped) > 0; i++) {
        lock_take(&o->lock, LOCK_OBJECT);
        bool out = o->fd < 0 && pte_is_swap(o->pages[i]);
        lock_drop(&o->lock, LOCK_OBJECT);
        struct object_page page;
        int err = out ? object_page(o, i, NULL, &page) : 0;
        if (err)
            return off_failed(err, "shared memory", i, why);
        if (out)
            swap_drop(o->pool, page.frame, FRAME_REF);
    }
    return 0;
}

static int off_all(struct pool *p, struct mm_err *why)
{
    int err = 0;
    for (struct mm *mm = mms_next(p, NULL); mm; mm = mms_next(p, mm))
        if (!err)
            err = off_mm(mm, why);
    for (struct mm_object *o = objects_next(p, NULL); o; o = objects_next(p, o))
        if (!err)
            err = off_object(o, why);
    return err;
}

/* No entry names a slot any more: what is left in the cache can leave it. */
static void off_cache(struct swap *sw)
{
    struct pool *p = sw->pool;
    for (slot_t s = 1; s < sw->slots; s++) {
        frame_t f = swap_lookup(sw, pte_make_swap(SWAP_AREA, s));
        if (f == FRAME_NONE)
            continue;
        swap_lock_frame(sw, f);
        swap_take_out(p, f, 0);
        frame_unlock(frame_of(p, f));
        swap_drop(p, f, FRAME_REF);
    }
}

static int off_empty(struct swap *sw, struct mm_err *why)
{
    /* a fork may copy an entry behind the walk: then once more */
    for (;;) {
        swap_drain(sw->pool);
        int err = off_all(sw->pool, why);
        if (err)
            return err;
        off_cache(sw);
        if (store_next_used(sw->store, 1) == 0)
            return 0;
        sched_yield();
    }
}

int pool_swapoff(struct pool *p, struct mm_err *why)
{
    lock_take(&p->scan_lock, LOCK_SCAN); /* no eviction is under way */
    struct swap *sw = pool_swap(p);
    bool mine = sw && !atomic_exchange(&sw->off, true);
    lock_drop(&p->scan_lock, LOCK_SCAN);
    if (!mine)
        return mm_err_set(why, -ENOENT, "swapoff: no swap area is attached");
    store_freeze(sw->store, true);
    int err = off_empty(sw, why);
    if (err) {
        store_freeze(sw->store, false);
        atomic_store(&sw->off, false);
        return err;
    }
    atomic_store(&sw->detached, true);
    while (atomic_load(&sw->users) > 0) /* they see it, and leave */
        sched_yield();
    swap_retire(p, sw);
    return 0;
}
