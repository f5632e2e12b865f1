/* See forecast.h. Each branch stands beside one of fault.c, cow.c, swapin.c. */
#include "mm/forecast.h"
#include "mm/fault_int.h"
#include "mm/swap_int.h"

/* As cow_sole_owner(). */
static bool sole_owner(struct pool *p, frame_t f)
{
    const struct frame *fr = frame_of(p, f);
    if (frame_test(fr, FRAME_MERGED | FRAME_OBJECT | FRAME_WRITEBACK) || frame_maps(fr) != 1)
        return false;
    if (!frame_test(fr, FRAME_SWAPCACHE))
        return frame_refs(fr) == 1;
    return frame_refs(fr) == 2 && store_count(pool_swap(p)->store, pte_swap_slot(fr->swap)) == 1;
}

static struct mm_forecast protected_write(struct mm *mm, const struct region *r, pte_t pte)
{
    struct mm_forecast f = {.result = MM_MINOR, .exact = true};
    if (pte_frame(pte) == POOL_ZERO_FRAME)
        f.path = MM_PATH_FRESH | MM_PATH_UNZERO;
    else if (!region_private(r) || sole_owner(mm->pool, pte_frame(pte)))
        f.path = MM_PATH_REUSE;
    else
        f.path = MM_PATH_COPY;
    return f;
}

static struct mm_forecast swapped(struct mm *mm, pte_t pte, bool write)
{
    struct mm_forecast f = {.result = MM_MINOR, .exact = true};
    struct swap *sw = pool_swap(mm->pool);
    const slot_t slot = pte_swap_slot(pte);
    bool sole = true;
    if (!sw)
        return (struct mm_forecast){.result = MM_IOERR, .exact = true};
    const frame_t cached = swap_lookup(sw, pte);
    if (cached != FRAME_NONE) {
        const struct frame *fr = frame_of(mm->pool, cached);
        f.path = MM_PATH_CACHE;
        sole = frame_maps(fr) == 0 && frame_refs(fr) == 2 && !frame_test(fr, FRAME_WRITEBACK) &&
               store_count(sw->store, slot) == 2;
        swap_drop(mm->pool, cached, FRAME_REF);
    } else {
        const enum store_where where = store_where(sw->store, slot);
        f.path = where == STORE_SAME    ? MM_PATH_SAME
                 : where == STORE_ZPOOL ? MM_PATH_ZPOOL
                                        : MM_PATH_READ;
        f.result = f.path == MM_PATH_READ ? MM_MAJOR : MM_MINOR;
        sole = store_count(sw->store, slot) == 1;
    }
    if (write)
        f.path |= sole ? MM_PATH_REUSE : MM_PATH_COPY;
    return f;
}

static struct mm_forecast of_object(const struct region *r, bool write)
{
    return (struct mm_forecast){.result = MM_MINOR,
                                .path = (r->kind == MM_ANON_SHARED ? 0u : (uint32_t)MM_PATH_FILE) |
                                        (write && region_private(r) ? (uint32_t)MM_PATH_COPY : 0u)};
}

struct mm_forecast mm_forecast(struct mm *mm, gfn_t gfn, enum mm_access access)
{
    const bool write = access == MM_ACCESS_WRITE;
    struct region r = {0};
    mm_lock_ptl(mm);
    const struct region *found = region_find(mm, gfn);
    if (found)
        r = *found;
    const pte_t pte = gfn < MM_GFNS ? table_get(mm, gfn) : PTE_NONE;
    mm_unlock_ptl(mm);
    if (!found)
        return (struct mm_forecast){.result = MM_BADADDR, .exact = true};
    if (write ? !(r.prot & MM_WRITE) : r.prot == 0)
        return (struct mm_forecast){.result = MM_PROT, .exact = true};
    if (pte_none(pte) && r.kind != MM_ANON_PRIVATE)
        return of_object(&r, write);
    if (pte_none(pte))
        return (struct mm_forecast){
            .result = MM_MINOR, .path = write ? MM_PATH_FRESH : MM_PATH_ZERO, .exact = true};
    if (!pte_present(pte))
        return swapped(mm, pte, write);
    if (write && !pte_writable(pte))
        return protected_write(mm, &r, pte);
    return (struct mm_forecast){.result = MM_SPURIOUS, .exact = true};
}
