/* An mm from birth to exit: creation, regions, unmapping, what is known of it (mm.h). */
#include "mm/mm.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/mm_int.h"
#include "mm/object.h"
#include "mm/runs.h"
#include "mm/swap_int.h"
#include "mm/trace_int.h"

int mm_create(struct pool *pool, const char *name, struct mm **out)
{
    struct mm *mm = NULL;
    if (fail_now(pool->fail, FAIL_HEAP) || posix_memalign((void **)&mm, 64, sizeof(*mm)))
        return -ENOMEM;
    memset(mm, 0, sizeof(*mm));
    mm->pool = pool;
    mm->regions_max = MM_REGIONS_MAX;
    atomic_store(&mm->refs, 1);
    snprintf(mm->name, sizeof(mm->name), "%s", name);
    lock_take(&pool->mms_lock, LOCK_MMS);
    mm->next = pool->mms;
    if (mm->next)
        mm->next->prev = mm;
    pool->mms = mm;
    lock_drop(&pool->mms_lock, LOCK_MMS);
    *out = mm;
    return 0;
}

void mm_get(struct mm *mm)
{
    atomic_fetch_add_explicit(&mm->refs, 1, memory_order_relaxed);
}

void mm_put(struct mm *mm)
{
    if (atomic_fetch_sub_explicit(&mm->refs, 1, memory_order_acq_rel) == 1)
        free(mm);
}

struct pool *mm_pool(const struct mm *mm)
{
    return mm->pool;
}

const char *mm_name(const struct mm *mm)
{
    return mm->name;
}

void mm_set_notifier(struct mm *mm, const struct mm_notifier *n)
{
    mm_lock_ptl(mm);
    mm->has_notifier = n != NULL;
    mm->notifier = n ? *n : (struct mm_notifier){0};
    mm_unlock_ptl(mm);
}

void mm_set_regions_max(struct mm *mm, uint32_t n)
{
    lock_take(&mm->map_lock, LOCK_MAP);
    mm->regions_max = n < MM_REGIONS_MAX ? n : MM_REGIONS_MAX;
    lock_drop(&mm->map_lock, LOCK_MAP);
}

/* Replace the regions of e's range; under map_lock. */
static int mm_edit(struct mm *mm, const struct region_edit *e)
{
    struct region *list;
    uint32_t n, old_n;
    int err = regions_build(mm, e, &list, &n);
    if (err)
        return err;
    mm_lock_ptl(mm);
    struct region *old = regions_swap(mm, list, n, &old_n);
    mm_unlock_ptl(mm);
    regions_free(old, old_n);
    return 0;
}

/* Add region r; under no lock. */
static int mm_map(struct mm *mm, const struct region *r)
{
    struct region_edit e = {.start = r->start, .end = r->end, .put = r};
    lock_take(&mm->map_lock, LOCK_MAP);
    int err = regions_overlap(mm, r->start, r->end) ? -EEXIST : mm_edit(mm, &e);
    if (!err)
        mm_trace(mm->pool, MM_EV_MAPPED, mm, r->start, r->end - r->start);
    lock_drop(&mm->map_lock, LOCK_MAP);
    return err;
}

int mm_map_anon(struct mm *mm, gfn_t gfn, uint32_t n, unsigned prot, enum mm_region_kind kind)
{
    if (!range_ok(gfn, n) || (prot & ~(unsigned)(MM_READ | MM_WRITE | MM_EXEC)) ||
        (kind != MM_ANON_PRIVATE && kind != MM_ANON_SHARED))
        return -EINVAL;
    struct region r = {.start = gfn, .end = gfn + n, .prot = (uint8_t)prot, .kind = (uint8_t)kind};
    if (kind == MM_ANON_PRIVATE)
        return mm_map(mm, &r);
    int err = mm_object_open_anon(mm->pool, n, &r.obj);
    if (err)
        return err;
    err = mm_map(mm, &r);
    mm_object_close(r.obj);
    return err;
}

int mm_map_object(struct mm *mm, gfn_t gfn, uint32_t n, unsigned prot, enum mm_region_kind kind,
                  struct mm_object *obj, uint32_t pgoff)
{
    bool file = obj->fd >= 0;
    if (!range_ok(gfn, n) || (prot & ~(unsigned)(MM_READ | MM_WRITE | MM_EXEC)) ||
        kind == MM_ANON_PRIVATE || file != (kind != MM_ANON_SHARED) || pgoff >= obj->n ||
        n > obj->n - pgoff)
        return -EINVAL;
    if (kind == MM_FILE_SHARED && (prot & MM_WRITE) && !obj->writable)
        return -EACCES;
    struct region r = {.start = gfn,
                       .end = gfn + n,
                       .prot = (uint8_t)prot,
                       .kind = (uint8_t)kind,
                       .pgoff = pgoff,
                       .obj = obj};
    return mm_map(mm, &r);
}

/* Drop the pages of start..end-1, all in one leaf table. Under ptl. */
static void zap_leaf(struct mm *mm, gfn_t start, gfn_t end)
{
    const pte_t *leaf = table_leaf(mm, start);
    if (!leaf)
        return;
    bool told = false;
    for (gfn_t g = start; g < end; g++) {
        pte_t pte = leaf[g & (TABLE_ENTRIES - 1)];
        if (pte_none(pte))
            continue;
        if (pte_is_swap(pte)) {
            table_set(mm, g, PTE_NONE);
            count_add(&mm->swapped, -1);
            swap_forget(mm->pool, pte);
            continue;
        }
        if (!told) { /* the mappers let go of everything before the first frame can be free */
            mm_invalidate(mm, start, end - start);
            told = true;
        }
        if (pte_dirty(pte) && pte_frame(pte) != POOL_ZERO_FRAME)
            frame_written(frame_of(mm->pool, pte_frame(pte)));
        table_unmap_page(mm, g, PTE_NONE);
        if (pte_frame(pte) != POOL_ZERO_FRAME)
            swap_drop(mm->pool, pte_frame(pte), FRAME_REF | FRAME_MAP);
    }
    table_trim(mm, start);
}

/* Drop the pages of a range that lies in no region any more. ptl is let go between leaf tables. */
static void mm_zap(struct mm *mm, gfn_t start, gfn_t end)
{
    while (start < end) {
        gfn_t stop = (start | (TABLE_ENTRIES - 1)) + 1;
        mm_lock_ptl(mm);
        zap_leaf(mm, start, stop < end ? stop : end);
        mm_unlock_ptl(mm);
        start = stop;
    }
}

int mm_unmap(struct mm *mm, gfn_t gfn, uint32_t n)
{
    if (!range_ok(gfn, n))
        return -EINVAL;
    struct region_edit e = {.start = gfn, .end = gfn + n};
    lock_take(&mm->map_lock, LOCK_MAP);
    int err = mm_edit(mm, &e);
    if (!err) {
        mm_zap(mm, gfn, gfn + n);
        mm_trace(mm->pool, MM_EV_UNMAPPED, mm, gfn, n);
    }
    lock_drop(&mm->map_lock, LOCK_MAP);
    return err;
}

void mm_destroy(struct mm *mm)
{
    if (!mm)
        return;
    struct pool *pool = mm->pool;
    lock_take(&mm->map_lock, LOCK_MAP);
    mm_lock_ptl(mm);
    mm_invalidate(mm, 0, MM_GFNS);
    uint32_t n;
    struct region *list = regions_swap(mm, NULL, 0, &n);
    mm_unlock_ptl(mm);
    mm_zap(mm, 0, MM_GFNS);
    mm_trace(pool, MM_EV_UNMAPPED, mm, 0, MM_GFNS);
    regions_free(list, n);
    for (uint32_t i = 0; i < TABLE_ENTRIES; i++) /* tables that were taken but never filled */
        table_trim(mm, i << TABLE_SHIFT);
    lock_drop(&mm->map_lock, LOCK_MAP);
    swap_drain(pool); /* what was on its way out for this mm ends here, slots and all */
    assert(mm->resident == 0 && mm->swapped == 0);
    runs_disown(mm);

    lock_take(&pool->mms_lock, LOCK_MMS);
    if (mm->prev)
        mm->prev->next = mm->next;
    else
        pool->mms = mm->next;
    if (mm->next)
        mm->next->prev = mm->prev;
    mm->gone = true;
    lock_drop(&pool->mms_lock, LOCK_MMS);
    mm_put(mm);
}

struct mm *mms_next(struct pool *p, struct mm *prev)
{
    lock_take(&p->mms_lock, LOCK_MMS);
    struct mm *mm = prev && !prev->gone ? prev->next : p->mms; /* gone: all over again */
    if (mm)
        mm_get(mm);
    lock_drop(&p->mms_lock, LOCK_MMS);
    if (prev)
        mm_put(prev);
    return mm;
}

pte_t mm_pte(const struct mm *cmm, gfn_t gfn)
{
    struct mm *mm = (struct mm *)cmm; /* only its lock is written */
    if (gfn >= MM_GFNS)
        return PTE_NONE;
    mm_lock_ptl(mm);
    pte_t pte = table_get(mm, gfn);
    mm_unlock_ptl(mm);
    return pte;
}

void mm_page_info(const struct mm *cmm, gfn_t gfn, struct mm_page_info *out)
{
    struct mm *mm = (struct mm *)cmm; /* only its lock is written */
    *out = (struct mm_page_info){.frame = FRAME_NONE};
    if (gfn >= MM_GFNS)
        return;
    mm_lock_ptl(mm);
    const struct region *r = region_find(mm, gfn);
    if (r) {
        out->in_region = true;
        out->kind = (enum mm_region_kind)r->kind;
        out->prot = r->prot;
    }
    out->pte = table_get(mm, gfn);
    if (pte_present(out->pte)) {
        out->frame = pte_frame(out->pte);
        out->refs = frame_refs(frame_of(mm->pool, out->frame));
        out->maps = frame_maps(frame_of(mm->pool, out->frame));
    }
    mm_unlock_ptl(mm);
}

void mm_set_tag(struct mm *mm, uint32_t tag)
{
    mm->tag = tag;
}

uint32_t mm_tag(const struct mm *mm)
{
    return mm->tag;
}

void mm_get_stats(const struct mm *cmm, struct mm_stats *out)
{
    struct mm *mm = (struct mm *)cmm; /* only its lock is written */
    mm_lock_ptl(mm);
    out->resident = mm->resident;
    out->swapped = mm->swapped;
    out->limit = mm->limit;
    out->regions = mm->n_regions;
    for (int i = 0; i < MM_RESULTS; i++)
        out->faults[i] = mm->faults[i];
    mm_unlock_ptl(mm);
}

size_t mm_holders(const struct pool *cpool, struct mm_holder *out, size_t max)
{
    struct pool *pool = (struct pool *)cpool; /* only its lock is written */
    size_t n = 0;
    lock_take(&pool->mms_lock, LOCK_MMS);
    for (const struct mm *mm = pool->mms; mm; mm = mm->next, n++)
        if (n < max)
            out[n] = (struct mm_holder){mm->name, mm->resident, mm->swapped};
    lock_drop(&pool->mms_lock, LOCK_MMS);
    return n;
}
