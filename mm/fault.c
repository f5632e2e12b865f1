/*
 * mm_fault: the one entry point of every fault, its dispatch (behaviours 1 to 3) and anonymous
 * memory (4 to 7). The other ways stand in cow.c, fault_object.c and swapin.c.
 */
#include <errno.h>
#include <string.h>

#include "mm/fault_int.h"
#include "mm/reclaim.h"
#include "mm/runs.h"
#include "mm/swap_int.h"

enum {
    TRIES_MAX = 1000,
    /* what a fault must have done to be more than spurious */
    PATH_SERVED = MM_PATH_ZERO | MM_PATH_FRESH | MM_PATH_COPY | MM_PATH_REUSE | MM_PATH_FILE |
                  MM_PATH_CACHE | MM_PATH_ZPOOL | MM_PATH_SAME | MM_PATH_READ,
};

static enum step fault_end(struct fault *f, enum mm_result result)
{
    f->out.result = result;
    count_add(&f->mm->faults[result], 1);
    mm_unlock_ptl(f->mm);
    return STEP_DONE;
}

enum step fault_fails(struct fault *f, enum mm_result result)
{
    return fault_end(f, result);
}

enum step fault_served(struct fault *f, pte_t pte)
{
    f->out.frame = pte_frame(pte);
    f->out.writable = pte_writable(pte) && pte_dirty(pte);
    return fault_end(f, f->major ? MM_MAJOR : f->out.path & PATH_SERVED ? MM_MINOR : MM_SPURIOUS);
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

bool fault_unchanged(struct fault *f)
{
    struct mm_object *obj = f->region.obj;
    uint32_t page = f->region.pgoff + (f->gfn - f->region.start);
    uint8_t kind = f->region.kind;
    if (!pte_same(table_get(f->mm, f->gfn), f->pte) || f->mm->root[f->gfn >> TABLE_SHIFT] == 0 ||
        fault_allowed(f) != MM_SPURIOUS)
        return false;
    /* another region may lie here now: it is as good only if it is backed by the same */
    return f->region.obj == obj && f->region.kind == kind &&
           (!obj || f->region.pgoff + (f->gfn - f->region.start) == page);
}

enum step fault_lost(struct fault *f)
{
    f->out.path |= MM_PATH_RACE;
    mm_unlock_ptl(f->mm);
    return STEP_AGAIN;
}

bool fault_reserve_node(struct fault *f)
{
    if (!f->node)
        f->node = slab_take(&f->mm->pool->nodes);
    return f->node != 0;
}

void fault_install(struct fault *f, frame_t frame)
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

struct place fault_place(const struct fault *f)
{
    const gfn_t first = f->gfn & ~(RUN_FRAMES - 1);
    return (struct place){.mm = f->mm,
                          .gfn = f->gfn,
                          .reserve = f->region.kind == MM_ANON_PRIVATE &&
                                     f->region.start <= first &&
                                     f->region.end >= first + RUN_FRAMES};
}

enum step fault_fresh(struct fault *f)
{
    struct mm *mm = f->mm;
    bool over_zero = !pte_none(f->pte), zeroed;
    const struct place at = fault_place(f);
    mm_unlock_ptl(mm);
    frame_t frame = mm_take_frame(mm->pool, mm, &at, &zeroed, &f->out.path);
    if (frame == FRAME_NONE) {
        mm_lock_ptl(mm);
        return fault_fails(f, MM_OOM);
    }
    if (!zeroed)
        memset(pool_ptr(mm->pool, frame), 0, PAGE_SIZE);
    mm_sync(mm->pool, MM_SYNC_ANON_TAKEN, mm, f->gfn);
    mm_lock_ptl(mm);
    if (!fault_unchanged(f)) {
        frame_put(mm->pool, frame);
        return fault_lost(f);
    }
    if (over_zero)
        mm_invalidate(mm, f->gfn, 1);
    fault_install(f, frame);
    f->out.path |= MM_PATH_FRESH | (over_zero ? MM_PATH_UNZERO : 0);
    return fault_served(f, table_get(mm, f->gfn));
}

/* Behaviour 4. */
static enum step fault_zero(struct fault *f)
{
    pte_t pte = pte_make(POOL_ZERO_FRAME, PTE_U | PTE_A);
    table_set(f->mm, f->gfn, pte);
    f->out.path |= MM_PATH_ZERO;
    return fault_served(f, pte);
}

/* The entry allows it: the mapper had lost it, or wants accessed and dirty. */
static enum step fault_touch(struct fault *f)
{
    pte_t pte = pte_with(f->pte, PTE_A | (f->write ? PTE_D : 0u));
    if (!pte_same(pte, f->pte))
        table_set(f->mm, f->gfn, pte);
    return fault_served(f, pte);
}

/* Behaviour 1. */
static enum step fault_dispatch(struct fault *f)
{
    mm_lock_ptl(f->mm);
    enum mm_result allowed = fault_allowed(f);
    if (allowed != MM_SPURIOUS)
        return fault_fails(f, allowed);
    int err = table_ensure(f->mm, f->gfn);
    if (err == -ENOMEM)
        return fault_fails(f, MM_OOM);
    if (err) {
        mm_unlock_ptl(f->mm);
        return STEP_AGAIN;
    }
    f->pte = table_get(f->mm, f->gfn);
    if (pte_none(f->pte)) {
        if (f->region.kind != MM_ANON_PRIVATE)
            return fault_object(f);
        return f->write ? fault_fresh(f) : fault_zero(f);
    }
    if (!pte_present(f->pte))
        return fault_swapped(f);
    if (f->write && !pte_writable(f->pte))
        return fault_write_protected(f);
    return fault_touch(f);
}

struct mm_fault mm_fault(struct mm *mm, gfn_t gfn, enum mm_access access)
{
    struct fault f = {
        .mm = mm, .gfn = gfn, .write = access == MM_ACCESS_WRITE, .out = {.frame = FRAME_NONE}};
    for (int i = 0; fault_dispatch(&f) == STEP_AGAIN; i++)
        if (i >= TRIES_MAX) { /* reclaim takes away as fast as we bring in: the pool is too small */
            mm_lock_ptl(mm);
            fault_fails(&f, MM_OOM);
            break;
        }
    if (f.node)
        slab_give(&mm->pool->nodes, f.node);
    return f.out;
}

struct mm_fault mm_pin(struct mm *mm, gfn_t gfn, enum mm_access access)
{
    for (;;) {
        struct mm_fault f = mm_fault(mm, gfn, access);
        if (f.result > MM_SPURIOUS)
            return f;
        mm_lock_ptl(mm);
        pte_t pte = table_get(mm, gfn);
        bool held = pte_present(pte) && pte_frame(pte) == f.frame &&
                    (access == MM_ACCESS_READ || (pte_writable(pte) && pte_dirty(pte)));
        if (held && f.frame != POOL_ZERO_FRAME) {
            struct frame *fr = frame_of(mm->pool, f.frame);
            frame_ref(fr);
            atomic_fetch_add_explicit(&fr->pins, 1, memory_order_relaxed);
        }
        mm_unlock_ptl(mm);
        if (held)
            return f;
    }
}

void mm_unpin(struct pool *pool, frame_t frame)
{
    if (frame == POOL_ZERO_FRAME)
        return;
    atomic_fetch_sub_explicit(&frame_of(pool, frame)->pins, 1, memory_order_release);
    swap_drop(pool, frame, FRAME_REF);
}
