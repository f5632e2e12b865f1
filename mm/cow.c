/*
 * Copy-on-write: a write to a present page whose entry is not writable (behaviours 6, 8, 9, 11, 12,
 * 18).
 *
 * The rule that all of this keeps (11): a private frame has a writable mapping only while exactly
 * one entry maps it, it is not in the swap cache, and nobody writes it out.
 */
#include <string.h>

#include "mm/fault_int.h"
#include "mm/swap_int.h"

/* Behaviour 8: does the frame belong to this entry alone? Takes it out of the swap cache if that is
 * all that is in the way. ptl held. */
static bool cow_sole_owner(struct fault *f, frame_t frame)
{
    struct frame *fr = frame_of(f->mm->pool, frame);
    if (frame_test(fr, FRAME_MERGED | FRAME_OBJECT | FRAME_WRITEBACK))
        return false;
    uint64_t c = atomic_load_explicit(&fr->counts, memory_order_acquire);
    if (frame_maps_of(c) != 1)
        return false;
    if (!frame_test(fr, FRAME_SWAPCACHE))
        return frame_refs_of(c) == 1;
    if (frame_refs_of(c) != 2 || !frame_trylock(fr)) /* locked by someone else: do not wait, copy */
        return false;
    bool sole = swap_take_out(f->mm->pool, frame, 1);
    frame_unlock(fr);
    return sole;
}

static enum step cow_make_writable(struct fault *f)
{
    pte_t pte = pte_with(f->pte, PTE_W | PTE_A | PTE_D);
    table_set(f->mm, f->gfn, pte);
    f->out.path |= MM_PATH_REUSE;
    pool_count(f->mm->pool, CNT_reuses);
    return fault_served(f, pte);
}

/* Behaviour 9. ptl held. */
static enum step cow_copy(struct fault *f, frame_t old)
{
    struct mm *mm = f->mm;
    struct pool *p = mm->pool;
    bool zeroed;
    /* A copy of one page is no reason to set 2 MiB aside. */
    const struct place at = {mm, f->gfn, false};
    frame_ref(frame_of(p, old));
    mm_unlock_ptl(mm);
    /* in place of another: no matter of the mm's limit */
    frame_t copy = mm_take_frame(p, NULL, &at, &zeroed, &f->out.path);
    if (copy != FRAME_NONE)
        memcpy(pool_ptr(p, copy), pool_ptr(p, old), PAGE_SIZE);
    mm_sync(p, MM_SYNC_COPIED, mm, f->gfn);
    mm_lock_ptl(mm);
    if (!fault_unchanged(f)) {
        enum step s = fault_lost(f);
        if (copy != FRAME_NONE)
            frame_put(p, copy);
        swap_drop(p, old, FRAME_REF);
        return s;
    }
    if (copy == FRAME_NONE) {
        enum step s = fault_fails(f, MM_OOM);
        swap_drop(p, old, FRAME_REF);
        return s;
    }
    mm_invalidate(mm, f->gfn, 1); /* the read-only mapping of the old frame */
    table_unmap_page(mm, f->gfn, PTE_NONE);
    fault_install(f, copy);
    f->out.path |= MM_PATH_COPY;
    pool_count(p, CNT_copies);
    pte_t pte = table_get(mm, f->gfn);
    swap_drop(p, old, 2 * FRAME_REF + FRAME_MAP);
    return fault_served(f, pte);
}

enum step fault_write_protected(struct fault *f)
{
    frame_t frame = pte_frame(f->pte);
    if (frame == POOL_ZERO_FRAME)
        return fault_fresh(f);
    if (!region_private(&f->region)) /* one memory for all who map it */
        return cow_make_writable(f);
    return cow_sole_owner(f, frame) ? cow_make_writable(f) : cow_copy(f, frame);
}
