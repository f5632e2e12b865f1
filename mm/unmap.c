/* Walking a frame's reverse map from outside: the map's lock is at the end of the order and each
 * entry's ptl before it, so entries are copied out, with a ref of their mm, and looked at again
 * under the ptl. */
#include "mm/unmap.h"

#include <errno.h>

#include "mm/trace_int.h"

enum { BATCH = 32 };

struct mapping {
    struct mm *mm;
    gfn_t gfn;
};

/* Copies out up to BATCH mappings from number `skip` on. */
static uint32_t mappings_of(struct pool *p, frame_t f, uint32_t skip, struct mapping *out)
{
    struct frame *fr = frame_of(p, f);
    uint32_t n = 0, at = 0;
    rmap_lock(fr);
    if (fr->rmap_mm) {
        if (at++ >= skip)
            out[n++] = (struct mapping){fr->rmap_mm, fr->rmap_gfn};
        for (uint32_t i = fr->rmap_more; i && n < BATCH; at++) {
            const struct rmap_node *node = slab_ptr(&p->nodes, i);
            if (at >= skip)
                out[n++] = (struct mapping){node->mm, node->gfn};
            i = node->more;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        mm_get(out[i].mm);
    rmap_unlock(fr);
    return n;
}

/* Under ptl: does the entry of gfn map f? */
static bool maps_frame(const struct mm *mm, gfn_t gfn, frame_t f, pte_t *pte)
{
    *pte = table_get(mm, gfn);
    return pte_present(*pte) && pte_frame(*pte) == f;
}

/* What to do with one mapping; true counts. */
typedef bool visit(struct pool *p, const struct mapping *m, frame_t f);

/* Each mapping once: is it true of any? */
static bool visit_all(struct pool *p, frame_t f, visit *fn)
{
    struct mapping m[BATCH];
    bool any = false;
    uint32_t n;
    for (uint32_t skip = 0; (n = mappings_of(p, f, skip, m)) > 0; skip += n) {
        for (uint32_t i = 0; i < n; i++) {
            mm_lock_ptl(m[i].mm);
            any |= fn(p, &m[i], f);
            mm_unlock_ptl(m[i].mm);
            mm_put(m[i].mm);
        }
        if (n < BATCH)
            break;
    }
    return any;
}

static bool young_at(struct pool *p, const struct mapping *m, frame_t f)
{
    (void)p;
    pte_t pte;
    if (!maps_frame(m->mm, m->gfn, f, &pte))
        return false;
    if (pte_young(pte))
        table_set(m->mm, m->gfn, pte_without(pte, PTE_A));
    return mm_test_clear_young(m->mm, m->gfn) || pte_young(pte);
}

bool unmap_test_young(struct pool *p, frame_t f)
{
    return visit_all(p, f, young_at);
}

static bool dirty_at(struct pool *p, const struct mapping *m, frame_t f)
{
    (void)p;
    pte_t pte;
    return maps_frame(m->mm, m->gfn, f, &pte) && pte_dirty(pte);
}

bool unmap_test_dirty(struct pool *p, frame_t f)
{
    return visit_all(p, f, dirty_at);
}

static void unmap_at(struct pool *p, const struct mapping *m, frame_t f, pte_t to,
                     struct swap_undos *undos)
{
    pte_t pte;
    mm_lock_ptl(m->mm);
    if (!maps_frame(m->mm, m->gfn, f, &pte)) {
        mm_unlock_ptl(m->mm);
        return;
    }
    mm_invalidate(m->mm, m->gfn, 1);
    if (pte_dirty(pte))
        frame_written(frame_of(p, f));
    if (!pte_none(to)) {
        swap_name(p, to);
        count_add(&m->mm->swapped, 1);
    }
    table_unmap_page(m->mm, m->gfn, to);
    if (pte_none(to))
        table_trim(m->mm, m->gfn);
    frame_drop(p, f, FRAME_REF | FRAME_MAP);
    if (pte_none(to))
        mm_trace(p, MM_EV_EVICTED, m->mm, m->gfn, 0);
    else
        mm_trace(p, MM_EV_SWAP_OUT, m->mm, m->gfn, pte_swap_slot(to));
    mm_unlock_ptl(m->mm);
    if (undos && undos->n++ < SWAP_RESTORE) {
        mm_get(m->mm);
        undos->at[undos->n - 1] = (struct swap_undo){m->mm, m->gfn, pte};
    }
}

bool unmap_all(struct pool *p, frame_t f, pte_t to, struct swap_undos *undos)
{
    struct mapping m[BATCH];
    uint32_t n;
    /* each round empties the map by what it copied out, unless someone maps the frame at that pace
     */
    for (uint32_t round = 0; round < 1000 && (n = mappings_of(p, f, 0, m)) > 0; round++) {
        for (uint32_t i = 0; i < n; i++) {
            unmap_at(p, &m[i], f, to, undos);
            mm_put(m[i].mm);
        }
    }
    return frame_maps(frame_of(p, f)) == 0;
}

static bool write_protect_at(struct pool *p, const struct mapping *m, frame_t f)
{
    pte_t pte;
    if (!maps_frame(m->mm, m->gfn, f, &pte) || !pte_writable(pte))
        return false;
    mm_write_protect(m->mm, m->gfn, 1);
    if (pte_dirty(pte))
        frame_written(frame_of(p, f));
    table_set(m->mm, m->gfn, pte_without(pte, PTE_W | PTE_D));
    mm_trace(p, MM_EV_WRITE_PROTECT, m->mm, m->gfn, 1);
    return true;
}

void unmap_write_protect(struct pool *p, frame_t f)
{
    visit_all(p, f, write_protect_at);
}

bool unmap_restore(struct mm *mm, gfn_t gfn, pte_t entry, pte_t was, frame_t f)
{
    struct pool *p = mm->pool;
    uint32_t node = slab_take(&p->nodes);
    if (!node)
        return false;
    bool same = false;
    mm_lock_ptl(mm);
    /* region_find: a protection that went away meanwhile must not come back */
    const struct region *r = region_find(mm, gfn);
    if (r && pte_same(table_get(mm, gfn), entry)) {
        same = true;
        /* written to only if nobody came by meanwhile (a fork): the slot is named by cache and this
         * entry, and nobody who named it has fetched the page from the cache */
        if (!(r->prot & MM_WRITE) || frame_maps(frame_of(p, f)) > 0 ||
            store_count(pool_swap(p)->store, pte_swap_slot(entry)) != 2)
            was = pte_without(was, PTE_W);
        frame_ref(frame_of(p, f));
        node = table_map_page(mm, gfn, f, was, node);
        count_add(&mm->swapped, -1);
        mm_trace(p, MM_EV_PUT_BACK, mm, gfn, 0);
    }
    mm_unlock_ptl(mm);
    if (same)
        swap_forget(p, entry);
    if (node)
        slab_give(&p->nodes, node);
    return same;
}
