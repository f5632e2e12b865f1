/* Changing the protection of a range (mm_protect). */
#include <errno.h>

#include "mm/mm_int.h"
#include "mm/object.h"
#include "mm/trace_int.h"

/* May all of the range have prot? */
static int protect_check(const struct mm *mm, gfn_t gfn, gfn_t end, unsigned prot)
{
    gfn_t covered = gfn;
    for (uint32_t i = 0; i < mm->n_regions && covered < end; i++) {
        const struct region *r = &mm->regions[i];
        if (r->end <= covered)
            continue;
        if (r->start > covered)
            break;
        if ((prot & MM_WRITE) && r->kind == MM_FILE_SHARED && !r->obj->writable)
            return -EACCES;
        covered = r->end;
    }
    return covered < end ? -EFAULT : 0;
}

/* Entries of one leaf table lose what prot does not give. What it gives anew, faults will add. */
static void protect_leaf(struct mm *mm, gfn_t start, gfn_t end, unsigned prot)
{
    const pte_t *leaf = table_leaf(mm, start);
    bool told = false;
    for (gfn_t g = start; leaf && g < end; g++) {
        pte_t pte = leaf[g & (TABLE_ENTRIES - 1)];
        if (!pte_present(pte) || (prot != 0 && !pte_writable(pte)))
            continue;
        if (!told && prot == 0)
            mm_invalidate(mm, start, end - start);
        else if (!told)
            mm_write_protect(mm, start, end - start);
        if (!told)
            mm_trace(mm->pool, MM_EV_WRITE_PROTECT, mm, start, end - start);
        told = true;
        table_set(mm, g, pte_without(pte, PTE_W));
    }
}

static int protect_edit(struct mm *mm, gfn_t gfn, gfn_t end, unsigned prot)
{
    struct region_edit e = {.start = gfn, .end = end, .protect = true, .prot = (uint8_t)prot};
    struct region *list;
    uint32_t n, old_n;
    int err = regions_build(mm, &e, &list, &n);
    if (err)
        return err;
    mm_lock_ptl(mm);
    struct region *old = regions_swap(mm, list, n, &old_n);
    mm_unlock_ptl(mm);
    regions_free(old, old_n);
    mm_trace(mm->pool, MM_EV_PROTECTED, mm, gfn, end - gfn);
    if (prot & MM_WRITE)
        return 0;
    while (gfn < end) {
        gfn_t stop = (gfn | (TABLE_ENTRIES - 1)) + 1;
        mm_lock_ptl(mm);
        protect_leaf(mm, gfn, stop < end ? stop : end, prot);
        mm_unlock_ptl(mm);
        gfn = stop;
    }
    return 0;
}

int mm_protect(struct mm *mm, gfn_t gfn, uint32_t n, unsigned prot)
{
    if (!range_ok(gfn, n) || (prot & ~(unsigned)(MM_READ | MM_WRITE | MM_EXEC)))
        return -EINVAL;
    lock_take(&mm->map_lock, LOCK_MAP);
    int err = protect_check(mm, gfn, gfn + n, prot);
    if (!err)
        err = protect_edit(mm, gfn, gfn + n, prot);
    lock_drop(&mm->map_lock, LOCK_MAP);
    return err;
}
