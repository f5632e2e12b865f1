/*
 * Writing out: from a locked, unmapped, dirty frame in the swap cache to the store, and what
 * happens when that fails (behaviours 18, 22, 23, 28).
 *
 * While a page is on its way, FRAME_WRITEBACK is set and the write holds a ref; entries may map the
 * frame again meanwhile, read-only, and a write to it copies.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>

#include "mm/swap_int.h"
#include "mm/trace_int.h"
#include "mm/unmap.h"

void undos_release(struct swap_undos *u)
{
    uint32_t kept = u->n < SWAP_RESTORE ? u->n : SWAP_RESTORE;
    for (uint32_t i = 0; i < kept; i++)
        mm_put(u->at[i].mm);
    u->n = 0;
}

/* The page could not go, and nothing is wrong with its slot. */
static bool for_want_of_room(int err)
{
    return err == -ENOSPC || err == -E2BIG;
}

/*
 * The frame could not be written. Entries that still name its slot become what they were; if none
 * is left that does, the frame leaves the cache and is as if nothing had been tried. Else it stays
 * in the cache, dirty, where the entries find it. Of a page that did not compress, entries come
 * back without D, so that the next write shows (FRAME_RIGID). The frame is locked.
 */
static void write_undo(struct swap *sw, frame_t f, struct swap_undos *u, int err)
{
    struct pool *p = sw->pool;
    struct frame *fr = frame_of(p, f);
    pte_t entry = swap_entry_of(sw, f);
    frame_set(fr, FRAME_DIRTY | (err == -E2BIG ? FRAME_RIGID : 0u));
    uint32_t kept = u->n < SWAP_RESTORE ? u->n : SWAP_RESTORE;
    for (uint32_t i = 0; i < kept; i++) {
        const pte_t was = err == -E2BIG ? pte_without(u->at[i].was, PTE_D) : u->at[i].was;
        if (unmap_restore(u->at[i].mm, u->at[i].gfn, entry, was, f))
            pool_count(p, CNT_put_back);
    }
    undos_release(u);
    if (!swap_take_out(p, f, 0) && !for_want_of_room(err))
        frame_set(fr, FRAME_STUCK); /* its slot is bad: wait until the entries come and fetch it */
}

/* Tell of a slot, and of a page that names it, as far as known. */
static void trace_slot(struct swap *sw, enum mm_event what, slot_t s, const struct swap_undos *u)
{
    const bool known = u->n > 0;
    mm_trace(sw->pool, what, known ? u->at[0].mm : NULL, known ? u->at[0].gfn : 0, s);
}

static struct swap_io *io_take(struct swap *sw)
{
    lock_take(&sw->lock, LOCK_CACHE);
    struct swap_io *io = sw->free_ios;
    if (io)
        sw->free_ios = io->next;
    lock_drop(&sw->lock, LOCK_CACHE);
    return io;
}

static void io_give(struct swap *sw, struct swap_io *io)
{
    lock_take(&sw->lock, LOCK_CACHE);
    io->next = sw->free_ios;
    sw->free_ios = io;
    lock_drop(&sw->lock, LOCK_CACHE);
}

/* Written. If nobody wanted the frame meanwhile, it goes. The caller's ref goes in any case. */
static void write_succeeded(struct swap *sw, frame_t f)
{
    struct pool *p = sw->pool;
    pool_count(p, CNT_swap_outs);
    if (swap_evict(p, f))
        pool_count(p, CNT_freed);
    else if (frame_test(frame_of(p, f), FRAME_SWAPCACHE))
        lru_add(p, f);
}

static void write_done(struct store_io *sio, int err)
{
    struct swap_io *io = sio->ctx;
    struct swap *sw = io->sw;
    struct frame *fr = frame_of(sw->pool, io->frame);
    frame_t f = io->frame;
    frame_lock(fr); /* held by others for short and never over a wait for this write */
    frame_clear(fr, FRAME_WRITEBACK);
    trace_slot(sw, err ? MM_EV_WRITE_FAILED : MM_EV_WRITTEN, pte_swap_slot(swap_entry_of(sw, f)),
               &io->undos);
    if (err) {
        pool_count(sw->pool, CNT_write_errors);
        write_undo(sw, f, &io->undos, err);
        lru_add(sw->pool, f);
    } else {
        undos_release(&io->undos);
        write_succeeded(sw, f);
    }
    frame_unlock(fr);
    swap_drop(sw->pool, f, FRAME_REF);
    io_give(sw, io);
    atomic_fetch_sub(&sw->in_flight, 1);
}

enum swap_out swap_write(struct swap *sw, frame_t f, struct swap_undos *undos)
{
    struct pool *p = sw->pool;
    struct frame *fr = frame_of(p, f);
    slot_t slot = pte_swap_slot(swap_entry_of(sw, f));
    struct swap_io *io;
    while (!(io = io_take(sw)))
        swap_poll(sw, true);
    io->frame = f;
    io->undos = *undos;
    io->io = (struct store_io){.done = write_done, .ctx = io};
    frame_clear(fr, FRAME_DIRTY);
    frame_set(fr, FRAME_WRITEBACK);
    atomic_fetch_add(&sw->in_flight, 1);
    int r = 0;
    for (;;) {
        r = fail_now(p->fail, FAIL_SUBMIT)
                ? -EIO
                : store_write_async(sw->store, slot, pool_ptr(p, f), &io->io);
        if (r != -EAGAIN)
            break;
        store_wait(sw->store);
    }
    if (r == STORE_QUEUED) {
        frame_unlock(fr);
        return SWAP_OUT_QUEUED;
    }
    atomic_fetch_sub(&sw->in_flight, 1);
    frame_clear(fr, FRAME_WRITEBACK);
    io_give(sw, io);
    enum swap_out out = SWAP_OUT_FREED;
    trace_slot(sw, r == STORE_DONE ? MM_EV_WRITTEN : MM_EV_WRITE_FAILED, slot, undos);
    if (r == STORE_DONE) {
        undos_release(undos);
        write_succeeded(sw, f);
    } else {
        out = SWAP_OUT_FAILED;
        pool_count(p, for_want_of_room(r) ? CNT_no_slot : CNT_write_errors);
        write_undo(sw, f, undos, r);
    }
    frame_unlock(fr);
    if (out == SWAP_OUT_FREED)
        swap_drop(p, f, FRAME_REF);
    return out;
}

void swap_poll(struct swap *sw, bool wait)
{
    lock_check_none_from(LOCK_PTL);
    if (wait)
        store_wait(sw->store);
    else
        store_poll(sw->store);
}

void swap_lock_frame(struct swap *sw, frame_t f)
{
    struct frame *fr = frame_of(sw->pool, f);
    while (frame_test(fr, FRAME_READING)) {
        swap_poll(sw, true);
        sched_yield();
    }
    frame_lock(fr); /* whoever has it now is at work on it, and needs nobody */
}

void swap_drain(struct pool *p)
{
    struct swap *sw = pool_swap(p);
    if (sw && atomic_load(&sw->in_flight) > 0)
        store_drain(sw->store);
}
