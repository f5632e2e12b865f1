/* Swap-in: from a swap entry to a mapped page (behaviours 13 to 18, 24). */
#include <errno.h>

#include "mm/fault_int.h"
#include "mm/reclaim.h"
#include "mm/swap_int.h"

/* Waits for a cached frame's content and looks whether it is still what the entry means (14). */
static int in_cached(struct swap *sw, struct mm *mm, pte_t entry, struct swap_in *out)
{
    struct frame *fr = frame_of(sw->pool, out->frame);
    swap_lock_frame(sw, out->frame);
    mm_sync(sw->pool, MM_SYNC_SWAP_WAITED, mm, 0);
    if (!pte_same(swap_entry_of(sw, out->frame), entry) || !frame_test(fr, FRAME_UPTODATE)) {
        frame_unlock(fr);
        swap_drop(sw->pool, out->frame, FRAME_REF);
        return -EAGAIN;
    }
    out->path |= MM_PATH_CACHE;
    pool_count(sw->pool, CNT_cache_hits);
    if (frame_clear(fr, FRAME_AHEAD)) {
        pool_count(sw->pool, CNT_ahead_hits);
        if (mm)
            atomic_fetch_add(&mm->ahead_hits, 1);
    }
    return 0;
}

static int in_read(struct swap *sw, pte_t entry, frame_t f, enum store_where *from)
{
    if (fail_now(sw->pool->fail, FAIL_READ))
        return -EIO;
    for (;;) {
        int err = store_read(sw->store, pte_swap_slot(entry), pool_ptr(sw->pool, f), from);
        if (err != -EBUSY)
            return err;
        store_wait(sw->store); /* on its way to disk */
    }
}

int swap_in(struct pool *p, struct mm *mm, const struct place *at, pte_t entry, struct swap_in *out)
{
    struct swap *sw = pool_swap(p);
    *out = (struct swap_in){.frame = swap_lookup(sw, entry)};
    if (out->frame != FRAME_NONE)
        return in_cached(sw, mm, entry, out);
    bool zeroed;
    enum store_where from = STORE_DISK;
    frame_t f = mm_take_frame(p, mm, at, &zeroed, &out->path);
    if (f == FRAME_NONE)
        return -ENOMEM;
    struct frame *fr = frame_of(p, f);
    frame_set(fr, FRAME_LOCKED); /* nobody else knows it yet */
    if (swap_add(sw, f, entry) < 0) {
        frame_unlock(fr);
        frame_put(p, f);
        return -EAGAIN; /* someone else reads it, or the entry is gone */
    }
    if (in_read(sw, entry, f, &from) < 0) {
        pool_count(p, CNT_read_errors);
        swap_unread(p, f);
        frame_unlock(fr);
        frame_put(p, f);
        return -EIO;
    }
    frame_set(fr, FRAME_UPTODATE | (swap_refault_soon(sw, entry) ? FRAME_ACTIVE : 0u));
    lru_add(p, f);
    pool_count(p, CNT_swap_ins);
    out->frame = f;
    out->major = from == STORE_DISK;
    out->path |= from == STORE_DISK   ? MM_PATH_READ
                 : from == STORE_SAME ? MM_PATH_SAME
                                      : MM_PATH_ZPOOL;
    return 0;
}

/* The page of f->pte is in hand: let the entry map it. ptl and frame lock held; drops both. */
static enum step swapped_install(struct fault *f, frame_t frame)
{
    struct mm *mm = f->mm;
    struct pool *p = mm->pool;
    struct swap *sw = pool_swap(p);
    struct frame *fr = frame_of(p, frame);
    pte_t pte = pte_make(frame, PTE_U | PTE_A);
    store_put(sw->store, pte_swap_slot(f->pte)); /* the cache's count stays */
    count_add(&mm->swapped, -1);
    /* 15, 16: where the page is this entry's alone, a write may take it out of the cache at once;
     * when slots are short, or its slot went bad, it need not be written to */
    bool out = frame_maps(fr) == 0 &&
               (f->write || store_half_full(sw->store) || frame_test(fr, FRAME_STUCK)) &&
               swap_take_out(p, frame, 1);
    if (out && f->write) {
        frame_clear(fr, FRAME_MERGED); /* whoever shared it has gone */
        pte = pte_with(pte, PTE_W | PTE_D);
        f->out.path |= MM_PATH_REUSE;
        pool_count(p, CNT_reuses);
    }
    f->node = table_map_page(mm, f->gfn, frame, pte, f->node);
    frame_unlock(fr);
    f->pte = pte;
    return f->write && !pte_writable(pte) ? fault_write_protected(f) : fault_served(f, pte);
}

static enum step swapped_failed(struct fault *f, int err)
{
    if (err == -EAGAIN) {
        f->out.path |= MM_PATH_RACE;
        return STEP_AGAIN;
    }
    mm_lock_ptl(f->mm);
    if (!fault_unchanged(f))
        return fault_lost(f);
    return fault_fails(f, err == -ENOMEM ? MM_OOM : MM_IOERR);
}

static enum step swapped_bring(struct fault *f)
{
    struct swap_in in;
    const struct place at = fault_place(f);
    int err = fault_reserve_node(f) ? swap_in(f->mm->pool, f->mm, &at, f->pte, &in) : -ENOMEM;
    if (err)
        return swapped_failed(f, err);
    f->out.path |= in.path;
    f->major |= in.major;
    mm_lock_ptl(f->mm);
    if (!fault_unchanged(f)) {
        enum step s = fault_lost(f);
        frame_unlock(frame_of(f->mm->pool, in.frame));
        swap_drop(f->mm->pool, in.frame, FRAME_REF);
        return s;
    }
    return swapped_install(f, in.frame);
}

enum step fault_swapped(struct fault *f)
{
    struct swap *sw = swap_use(f->mm->pool);
    struct ahead a;
    if (!sw)
        return fault_fails(f, MM_IOERR);
    ahead_plan(&a, f->mm, f->gfn, &f->region, f->pte);
    mm_unlock_ptl(f->mm);
    mm_sync(f->mm->pool, MM_SYNC_SWAP_LOOKUP, f->mm, f->gfn);
    bool ahead = a.n > 0 && ahead_start(&a);
    enum step s = swapped_bring(f);
    if (ahead) {
        ahead_wait(&a);
        f->out.path |= MM_PATH_READAHEAD;
    }
    swap_leave(sw);
    return s;
}
