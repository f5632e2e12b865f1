/*
 * mm_fault: the one entry point of every fault (behaviours 1 to 7).
 *
 * Each handler is entered with ptl held and leaves with it dropped, or asks to start over. Whatever
 * a handler did without the lock (taking a frame, reading) counts only if region and entry are
 * still as they were when the lock is back.
 */
#include <errno.h>
#include <string.h>

#include "mm/mm_int.h"

struct fault {
    struct mm *mm;
    gfn_t gfn;
    bool write;
    struct region region; /* a copy: the list may be replaced while ptl is dropped */
    pte_t pte;            /* as found */
    struct mm_fault out;
};

enum step { STEP_DONE, STEP_AGAIN };

/* Ends the fault. ptl held; dropped here. */
static enum step fault_end(struct fault *f, enum mm_result result)
{
    f->out.result = result;
    count_add(&f->mm->faults[result], 1);
    mm_unlock_ptl(f->mm);
    return STEP_DONE;
}

/* Ends it with the entry `pte` standing. */
static enum step fault_served(struct fault *f, enum mm_result result, pte_t pte)
{
    f->out.frame = pte_frame(pte);
    f->out.writable = pte_writable(pte) && pte_dirty(pte);
    return fault_end(f, result);
}

/* Behaviour 2. MM_SPURIOUS stands for "nothing against it". ptl held. */
static enum mm_result fault_allowed(struct fault *f)
{
    const struct region *r = region_find(f->mm, f->gfn);
    if (!r)
        return MM_BADADDR;
    f->region = *r;
    /* i386 without NX: whatever may be written or executed may be read */
    if (f->write ? !(r->prot & MM_WRITE) : r->prot == 0)
        return MM_PROT;
    return MM_SPURIOUS;
}

/* ptl was dropped and is back: may the fault go on as if it had been held all the time? */
static bool fault_unchanged(struct fault *f)
{
    return pte_same(table_get(f->mm, f->gfn), f->pte) && fault_allowed(f) == MM_SPURIOUS &&
           f->mm->root[f->gfn >> TABLE_SHIFT] != 0;
}

/* Maps the fault's own new frame, writable and dirty. ptl held. */
static void fault_install(struct fault *f, frame_t frame)
{
    struct mm *mm = f->mm;
    struct frame *fr = frame_of(mm->pool, frame);
    fr->rmap_mm = mm; /* nobody else knows the frame yet: no lock */
    fr->rmap_gfn = f->gfn;
    fr->rmap_more = 0;
    atomic_store_explicit(&fr->counts, FRAME_REF | FRAME_MAP, memory_order_release);
    table_set(mm, f->gfn, pte_make(frame, PTE_W | PTE_U | PTE_A | PTE_D));
    count_add(&mm->resident, 1);
    lru_add(mm->pool, frame);
}

/* Behaviours 5, 6, 7: a zeroed frame of its own, over nothing or over the zero frame. */
static enum step fault_fresh(struct fault *f)
{
    struct mm *mm = f->mm;
    bool over_zero = !pte_none(f->pte), zeroed;
    mm_unlock_ptl(mm);
    frame_t frame = mm_take_frame(mm, &zeroed, &f->out.path);
    if (frame == FRAME_NONE) {
        mm_lock_ptl(mm);
        return fault_end(f, MM_OOM);
    }
    if (!zeroed)
        memset(pool_ptr(mm->pool, frame), 0, PAGE_SIZE);
    mm_sync(mm->pool, MM_SYNC_ANON_TAKEN, mm, f->gfn);
    mm_lock_ptl(mm);
    if (!fault_unchanged(f)) {
        mm_unlock_ptl(mm);
        frame_put(mm->pool, frame);
        f->out.path |= MM_PATH_RACE;
        return STEP_AGAIN;
    }
    if (over_zero)
        mm_invalidate(mm, f->gfn, 1);
    fault_install(f, frame);
    f->out.path |= MM_PATH_FRESH | (over_zero ? MM_PATH_UNZERO : 0);
    return fault_served(f, MM_MINOR, table_get(mm, f->gfn));
}

/* Behaviour 4. */
static enum step fault_zero(struct fault *f)
{
    pte_t pte = pte_make(POOL_ZERO_FRAME, PTE_U | PTE_A);
    table_set(f->mm, f->gfn, pte);
    f->out.path |= MM_PATH_ZERO;
    return fault_served(f, MM_MINOR, pte);
}

/* A write to a present page that is not writable. */
static enum step fault_write_protected(struct fault *f)
{
    if (pte_frame(f->pte) == POOL_ZERO_FRAME)
        return fault_fresh(f);
    pte_t pte = pte_with(f->pte, PTE_W | PTE_A | PTE_D);
    table_set(f->mm, f->gfn, pte);
    f->out.path |= MM_PATH_REUSE;
    return fault_served(f, MM_MINOR, pte);
}

/* The entry allows it: the mapper had lost it, or wants accessed and dirty. */
static enum step fault_touch(struct fault *f)
{
    pte_t pte = pte_with(f->pte, PTE_A | (f->write ? PTE_D : 0u));
    if (!pte_same(pte, f->pte))
        table_set(f->mm, f->gfn, pte);
    return fault_served(f, MM_SPURIOUS, pte);
}

/* Behaviour 1. */
static enum step fault_dispatch(struct fault *f)
{
    mm_lock_ptl(f->mm);
    enum mm_result allowed = fault_allowed(f);
    if (allowed != MM_SPURIOUS)
        return fault_end(f, allowed);
    int err = table_ensure(f->mm, f->gfn);
    if (err == -ENOMEM)
        return fault_end(f, MM_OOM);
    if (err) {
        mm_unlock_ptl(f->mm);
        return STEP_AGAIN;
    }
    f->pte = table_get(f->mm, f->gfn);
    if (pte_none(f->pte))
        return f->write || f->region.kind == MM_ANON_SHARED ? fault_fresh(f) : fault_zero(f);
    if (f->write && !pte_writable(f->pte))
        return fault_write_protected(f);
    return fault_touch(f);
}

struct mm_fault mm_fault(struct mm *mm, gfn_t gfn, enum mm_access access)
{
    struct fault f = {
        .mm = mm, .gfn = gfn, .write = access == MM_ACCESS_WRITE, .out = {.frame = FRAME_NONE}};
    while (fault_dispatch(&f) == STEP_AGAIN)
        ;
    return f.out;
}

frame_t mm_take_frame(struct mm *mm, bool *zeroed, uint32_t *path)
{
    (void)path;
    return pool_take(mm->pool, zeroed);
}
