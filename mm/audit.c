/*
 * The audit: walks everything that a pool and its mms keep and reports the first thing that does
 * not add up. It counts for itself what each frame should have, from the PTEs, and then holds the
 * frame table, the reverse maps, the lists and the free frames against that.
 *
 * It takes each mm's locks while it looks at that mm, but sums over all of them: whoever calls it
 * sees to it that no fault, fork, unmap or exit runs meanwhile.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/mm_int.h"

struct audit {
    struct pool *p;
    char *msg;
    size_t len;
    uint32_t *maps; /* per frame: PTEs that map it */
    uint32_t *refs; /* per frame: holders that the audit has met */
    uint8_t *seen;  /* per frame: on the free list, on a reclaim list */
    uint64_t tables, nodes;
};

enum { SEEN_FREE = 1, SEEN_LRU = 2 };

__attribute__((format(printf, 2, 3))) static int audit_says(struct audit *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->msg, a->len, fmt, ap);
    va_end(ap);
    return -EUCLEAN;
}

/* How often frame f's reverse map names (mm, gfn). */
static unsigned rmap_names(const struct pool *p, frame_t f, const struct mm *mm, gfn_t gfn)
{
    const struct frame *fr = frame_of(p, f);
    unsigned times = fr->rmap_mm == mm && fr->rmap_gfn == gfn;
    for (uint32_t i = fr->rmap_mm ? fr->rmap_more : 0; i;) {
        const struct rmap_node *n = slab_ptr(&p->nodes, i);
        times += n->mm == mm && n->gfn == gfn;
        i = n->more;
    }
    return times;
}

static int audit_present(struct audit *a, const struct mm *mm, gfn_t gfn, pte_t pte)
{
    frame_t f = pte_frame(pte);
    if (f >= a->p->fresh)
        return audit_says(a, "%s: gfn 0x%x maps frame %u, which was never handed out", mm->name,
                          gfn, f);
    if (f == POOL_ZERO_FRAME) {
        if (pte_writable(pte) || pte_dirty(pte))
            return audit_says(a, "%s: gfn 0x%x maps the zero frame writable or dirty", mm->name,
                              gfn);
        return 0;
    }
    a->maps[f]++;
    a->refs[f]++;
    unsigned times = rmap_names(a->p, f, mm, gfn);
    if (times != 1)
        return audit_says(a, "%s: gfn 0x%x maps frame %u, whose reverse map names it %u times",
                          mm->name, gfn, f, times);
    return 0;
}

static int audit_leaf(struct audit *a, struct mm *mm, uint32_t i, uint64_t *resident)
{
    const pte_t *leaf = slab_ptr(&a->p->tables, mm->root[i]);
    uint32_t used = 0;
    a->tables++;
    for (uint32_t k = 0; k < TABLE_ENTRIES; k++) {
        gfn_t gfn = (i << TABLE_SHIFT) | k;
        if (pte_none(leaf[k]))
            continue;
        used++;
        const struct region *r = region_find(mm, gfn);
        if (!r)
            return audit_says(a, "%s: gfn 0x%x has an entry but no region", mm->name, gfn);
        if (pte_present(leaf[k])) {
            int err = audit_present(a, mm, gfn, leaf[k]);
            if (err)
                return err;
            if (pte_writable(leaf[k]) && !(r->prot & MM_WRITE))
                return audit_says(a, "%s: gfn 0x%x is writable in a region that is not", mm->name,
                                  gfn);
            *resident += pte_frame(leaf[k]) != POOL_ZERO_FRAME;
        }
    }
    if (used != mm->used[i])
        return audit_says(a, "%s: table of gfn 0x%x has %u entries, counted %u", mm->name,
                          i << TABLE_SHIFT, used, mm->used[i]);
    return 0;
}

static int audit_regions(struct audit *a, const struct mm *mm)
{
    for (uint32_t i = 0; i < mm->n_regions; i++) {
        const struct region *r = &mm->regions[i];
        if (r->start >= r->end || r->end > MM_GFNS)
            return audit_says(a, "%s: region %u (0x%x..0x%x) is empty or out of range", mm->name, i,
                              r->start, r->end);
        if (i > 0 && mm->regions[i - 1].end > r->start)
            return audit_says(a, "%s: regions %u and %u overlap at gfn 0x%x", mm->name, i - 1, i,
                              r->start);
    }
    return 0;
}

static int audit_mm(struct audit *a, struct mm *mm)
{
    uint64_t resident = 0;
    int err = audit_regions(a, mm);
    for (uint32_t i = 0; i < TABLE_ENTRIES && !err; i++)
        if (mm->root[i])
            err = audit_leaf(a, mm, i, &resident);
        else if (mm->used[i])
            err = audit_says(a, "%s: counts %u entries at gfn 0x%x without a table", mm->name,
                             mm->used[i], i << TABLE_SHIFT);
    if (!err && resident != mm->resident)
        err = audit_says(a, "%s: maps %llu frames, counted resident %llu", mm->name,
                         (unsigned long long)resident, (unsigned long long)mm->resident);
    return err;
}

static int audit_mms(struct audit *a)
{
    int err = 0;
    lock_take(&a->p->mms_lock, LOCK_MMS);
    struct mm *mm = a->p->mms;
    if (mm)
        mm_get(mm);
    lock_drop(&a->p->mms_lock, LOCK_MMS);
    while (mm) {
        lock_take(&mm->map_lock, LOCK_MAP);
        mm_lock_ptl(mm);
        if (!err)
            err = audit_mm(a, mm);
        mm_unlock_ptl(mm);
        lock_drop(&mm->map_lock, LOCK_MAP);
        lock_take(&a->p->mms_lock, LOCK_MMS);
        struct mm *next = mm->next;
        if (next)
            mm_get(next);
        lock_drop(&a->p->mms_lock, LOCK_MMS);
        mm_put(mm);
        mm = next;
    }
    return err;
}

static int audit_free(struct audit *a)
{
    struct pool *p = a->p;
    uint32_t n = 0;
    for (frame_t f = p->free_first; f != FRAME_NONE; f = frame_of(p, f)->lru_next) {
        if (f == POOL_ZERO_FRAME || f >= p->fresh)
            return audit_says(a, "free list holds frame %u, which was never handed out", f);
        if (a->seen[f] & SEEN_FREE)
            return audit_says(a, "free list meets frame %u twice", f);
        a->seen[f] |= SEEN_FREE;
        n++;
    }
    if (n != p->free_count)
        return audit_says(a, "free list has %u frames, counted %u", n, p->free_count);
    return 0;
}

static int audit_lists(struct audit *a)
{
    struct pool *p = a->p;
    for (int k = 0; k < LRU_LISTS; k++) {
        uint32_t n = 0;
        frame_t prev = FRAME_NONE;
        const char *name = k == LRU_ACTIVE ? "active" : "inactive";
        for (frame_t f = p->lru[k].first; f != FRAME_NONE; f = frame_of(p, f)->lru_next) {
            struct frame *fr = frame_of(p, f);
            if (f == POOL_ZERO_FRAME || f >= p->fresh || (a->seen[f] & SEEN_LRU))
                return audit_says(a, "%s list holds frame %u twice or wrongly", name, f);
            if (!frame_test(fr, FRAME_LRU) ||
                (frame_test(fr, FRAME_ACTIVE) != 0) != (k == LRU_ACTIVE) || fr->lru_prev != prev)
                return audit_says(a, "frame %u on the %s list has flags 0x%x, back link %u", f,
                                  name, fr->flags, fr->lru_prev);
            a->seen[f] |= SEEN_LRU;
            prev = f;
            n++;
        }
        if (n != p->lru[k].count || prev != p->lru[k].last)
            return audit_says(a, "%s list has %u frames, counted %u", name, n, p->lru[k].count);
    }
    return 0;
}

static int audit_frame(struct audit *a, frame_t f)
{
    const struct frame *fr = frame_of(a->p, f);
    bool is_free = (a->seen[f] & SEEN_FREE) != 0;
    uint32_t named = 0;
    if (fr->rmap_mm) {
        named++;
        for (uint32_t i = fr->rmap_more; i && named <= a->maps[f]; named++, a->nodes++)
            i = ((const struct rmap_node *)slab_ptr(&a->p->nodes, i))->more;
    }
    if (frame_maps(fr) != a->maps[f])
        return audit_says(a, "frame %u has map count %u, but %u entries map it", f, frame_maps(fr),
                          a->maps[f]);
    if (named != a->maps[f])
        return audit_says(a, "frame %u: reverse map names %u pages, but %u entries map it", f,
                          named, a->maps[f]);
    if (frame_refs(fr) != a->refs[f])
        return audit_says(a, "frame %u has %u references, but %u holders", f, frame_refs(fr),
                          a->refs[f]);
    if (is_free != (a->refs[f] == 0))
        return audit_says(a, is_free ? "frame %u is free, but held" : "frame %u is lost", f);
    if (a->maps[f] && !(a->seen[f] & SEEN_LRU))
        return audit_says(a, "frame %u is mapped, but not on a reclaim list", f);
    if (!frame_test(fr, FRAME_LRU) != !(a->seen[f] & SEEN_LRU))
        return audit_says(a, "frame %u: flags 0x%x, but %s a reclaim list", f, fr->flags,
                          a->seen[f] & SEEN_LRU ? "on" : "not on");
    return 0;
}

static int audit_frames(struct audit *a)
{
    static const uint8_t zero[PAGE_SIZE];
    const struct frame *z = frame_of(a->p, POOL_ZERO_FRAME);
    if (z->counts || z->flags || z->rmap_mm)
        return audit_says(a, "the zero frame is counted: 0x%llx, flags 0x%x",
                          (unsigned long long)z->counts, z->flags);
    if (memcmp(pool_base(a->p), zero, PAGE_SIZE))
        return audit_says(a, "the zero frame is not zero");
    for (frame_t f = 1; f < a->p->fresh; f++) {
        int err = audit_frame(a, f);
        if (err)
            return err;
    }
    if (a->nodes != slab_used(&a->p->nodes))
        return audit_says(a, "reverse maps use %llu nodes, taken %u", (unsigned long long)a->nodes,
                          slab_used(&a->p->nodes));
    if (a->tables != slab_used(&a->p->tables))
        return audit_says(a, "mms use %llu page tables, taken %u", (unsigned long long)a->tables,
                          slab_used(&a->p->tables));
    return 0;
}

int mm_audit(const struct pool *cp, char *msg, size_t len)
{
    struct pool *p = (struct pool *)cp; /* its locks are written, nothing else */
    struct audit a = {.p = p, .msg = msg, .len = len};
    a.maps = calloc(p->fresh, sizeof(*a.maps));
    a.refs = calloc(p->fresh, sizeof(*a.refs));
    a.seen = calloc(p->fresh, 1);
    int err;
    if (!a.maps || !a.refs || !a.seen)
        err = audit_says(&a, "the audit itself found no memory");
    else if ((err = audit_mms(&a)) == 0 && (err = audit_free(&a)) == 0 &&
             (err = audit_lists(&a)) == 0)
        err = audit_frames(&a);
    free(a.maps);
    free(a.refs);
    free(a.seen);
    return err;
}
