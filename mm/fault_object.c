/* Faults in regions backed by an object: files, private or shared, and shared anonymous memory. */
#include <errno.h>
#include <string.h>

#include "mm/fault_int.h"
#include "mm/object.h"
#include "mm/reclaim.h"
#include "mm/swap_int.h"

/* A private region's first write: a copy of the object's page (1, 9). */
static enum step object_copy(struct fault *f, frame_t page)
{
    struct mm *mm = f->mm;
    bool zeroed;
    frame_t copy = mm_take_frame(mm->pool, mm, &PLACE_ANY, &zeroed, &f->out.path);
    if (copy != FRAME_NONE)
        memcpy(pool_ptr(mm->pool, copy), pool_ptr(mm->pool, page), PAGE_SIZE);
    swap_drop(mm->pool, page, FRAME_REF);
    mm_sync(mm->pool, MM_SYNC_OBJECT_TAKEN, mm, f->gfn);
    mm_lock_ptl(mm);
    if (!fault_unchanged(f)) {
        if (copy != FRAME_NONE)
            frame_put(mm->pool, copy);
        return fault_lost(f);
    }
    if (copy == FRAME_NONE)
        return fault_fails(f, MM_OOM);
    fault_install(f, copy);
    f->out.path |= MM_PATH_COPY;
    pool_count(mm->pool, CNT_copies);
    return fault_served(f, table_get(mm, f->gfn));
}

/* The page itself is mapped. */
static enum step object_map(struct fault *f, frame_t page)
{
    struct mm *mm = f->mm;
    mm_sync(mm->pool, MM_SYNC_OBJECT_TAKEN, mm, f->gfn);
    mm_lock_ptl(mm);
    if (!fault_unchanged(f)) {
        enum step s = fault_lost(f);
        swap_drop(mm->pool, page, FRAME_REF);
        return s;
    }
    pte_t pte = pte_make(page, PTE_U | PTE_A | (f->write ? PTE_W | PTE_D : 0u));
    f->node = table_map_page(mm, f->gfn, page, pte, f->node);
    return fault_served(f, pte);
}

static enum step object_fault(struct fault *f, struct mm_object *obj, uint32_t i)
{
    struct object_page page = {.frame = FRAME_NONE};
    int err = fault_reserve_node(f) ? object_page(obj, i, f->mm, &page) : -ENOMEM;
    f->out.path |= page.path;
    f->major |= page.major;
    if (err) {
        mm_lock_ptl(f->mm);
        if (!fault_unchanged(f))
            return fault_lost(f);
        return fault_fails(f, err == -ENOMEM ? MM_OOM : MM_IOERR);
    }
    if (obj->fd >= 0)
        f->out.path |= MM_PATH_FILE;
    return f->write && region_private(&f->region) ? object_copy(f, page.frame)
                                                  : object_map(f, page.frame);
}

enum step fault_object(struct fault *f)
{
    struct mm_object *obj = f->region.obj;
    object_get(obj); /* the region may go while ptl is dropped */
    mm_unlock_ptl(f->mm);
    enum step s = object_fault(f, obj, f->region.pgoff + (f->gfn - f->region.start));
    object_put(obj);
    return s;
}
