/*
 * Read-ahead (behaviour 26): pages whose entries lie beside the wanted one in its region are read
 * in the same breath, in the direction in which the last faults went. The window doubles while
 * pages read so are wanted, and halves while they are not. Pages that are not on disk need none of
 * this.
 */
#include <errno.h>

#include "mm/swap_int.h"
#include "mm/trace_int.h"

/* The window for this fault. Under ptl. */
static uint32_t ahead_window(struct mm *mm, gfn_t gfn)
{
    uint32_t hits = atomic_exchange(&mm->ahead_hits, 0), w = mm->ahead_window;
    gfn_t prev = mm->ahead_prev;
    bool beside = gfn == prev + 1 || gfn + 1 == prev;
    if (hits > 0)
        w = w == 0 ? 1 : w * 2;
    else if (beside)
        w = w == 0 ? 1 : w;
    else
        w /= 2;
    return w > SWAP_AHEAD_MAX ? SWAP_AHEAD_MAX : w;
}

void ahead_plan(struct ahead *a, struct mm *mm, gfn_t gfn, const struct region *r, pte_t entry)
{
    struct swap *sw = pool_swap(mm->pool);
    a->sw = sw;
    a->n = 0;
    atomic_init(&a->pending, 0);
    if (swap_cached(sw, entry) || store_where(sw->store, pte_swap_slot(entry)) != STORE_DISK)
        return;
    uint32_t window = ahead_window(mm, gfn);
    bool up = gfn >= mm->ahead_prev;
    mm->ahead_window = window;
    mm->ahead_prev = gfn;
    for (uint32_t i = 1; i <= window; i++) {
        if (up ? gfn + i >= r->end : gfn < r->start + i)
            break;
        pte_t e = table_get(mm, up ? gfn + i : gfn - i);
        if (pte_is_swap(e) && pte_swap_area(e) == SWAP_AREA && !pte_same(e, entry))
            a->entry[a->n++] = e;
        /* the next fault in this direction comes after what was read now */
        mm->ahead_prev = up ? gfn + i : gfn - i;
    }
}

/* The content is there, or not. Ends the read's ref. */
static void ahead_arrived(struct swap *sw, frame_t f, int err)
{
    struct pool *p = sw->pool;
    struct frame *fr = frame_of(p, f);
    if (err) {
        swap_unread(p, f);
    } else {
        frame_set(fr, FRAME_UPTODATE | FRAME_AHEAD);
        pool_count(p, CNT_ahead_reads);
        mm_trace(p, MM_EV_READ_AHEAD, NULL, 0, pte_swap_slot(swap_entry_of(sw, f)));
        lru_add(p, f);
    }
    frame_clear(fr, FRAME_READING);
    frame_unlock(fr);
    swap_drop(p, f, FRAME_REF);
}

static void ahead_done(struct store_io *sio, int err)
{
    struct ahead_io *io = sio->ctx;
    struct ahead *a = io->of;
    ahead_arrived(a->sw, io->frame, err);
    atomic_fetch_sub(&a->pending, 1);
}

/* A frame for a page that nobody may ever want: never at the cost of one that somebody does. */
static frame_t ahead_frame(struct pool *p)
{
    bool zeroed;
    if (pool_available(p) <= atomic_load(&p->wm_low) + SWAP_AHEAD_MAX)
        return FRAME_NONE;
    return pool_take(p, &zeroed);
}

static bool ahead_one(struct ahead *a, unsigned i)
{
    struct swap *sw = a->sw;
    struct pool *p = sw->pool;
    struct ahead_io *io = &a->io[i];
    frame_t f = ahead_frame(p);
    if (f == FRAME_NONE)
        return false;
    mm_sync(p, MM_SYNC_AHEAD, NULL, 0);
    frame_set(frame_of(p, f), FRAME_LOCKED | FRAME_READING);
    if (swap_add(sw, f, a->entry[i]) < 0) { /* cached already, or free by now */
        frame_clear(frame_of(p, f), FRAME_READING);
        frame_unlock(frame_of(p, f));
        frame_put(p, f);
        return false;
    }
    *io = (struct ahead_io){.io = {.done = ahead_done, .ctx = io}, .of = a, .frame = f};
    atomic_fetch_add(&a->pending, 1);
    int r = fail_now(p->fail, FAIL_READ) ? -EIO
                                         : store_read_async(sw->store, pte_swap_slot(a->entry[i]),
                                                            pool_ptr(p, f), &io->io, NULL);
    if (r == STORE_QUEUED)
        return true;
    atomic_fetch_sub(&a->pending, 1);
    ahead_arrived(sw, f, r);
    return r == STORE_DONE;
}

bool ahead_start(struct ahead *a)
{
    bool any = false;
    for (unsigned i = 0; i < a->n; i++)
        any |= ahead_one(a, i);
    if (atomic_load(&a->pending) > 0)
        store_kick(a->sw->store);
    return any;
}

void ahead_wait(struct ahead *a)
{
    while (atomic_load(&a->pending) > 0)
        swap_poll(a->sw, true);
}
