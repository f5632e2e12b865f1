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
#include "mm/object.h"
#include "mm/runs.h"
#include "mm/swap_int.h"

struct audit {
    struct pool *p;
    char *msg;
    size_t len;
    uint32_t *maps; /* per frame: PTEs that map it */
    uint32_t *refs; /* per frame: holders that the audit has met */
    uint8_t *seen;  /* per frame: on the free list, on a reclaim list */
    uint64_t tables, nodes;
    struct swap *sw; /* NULL: no area */
    uint16_t *names; /* per slot: entries and cache that name it */
};

enum { SEEN_FREE = 1, SEEN_LRU = 2, SEEN_OBJECT = 4, SEEN_CACHE = 8 };

__attribute__((format(printf, 2, 3))) static int audit_says(struct audit *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->msg, a->len, fmt, ap);
    va_end(ap);
    return -EUCLEAN;
}

/* Frames below fresh, and those of runs. */
static bool handed_out(const struct pool *p, frame_t f)
{
    return f < p->fresh || (f >= p->run_low && f < p->frames_max);
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
    if (!handed_out(a->p, f))
        return audit_says(a, "%s: gfn 0x%x maps frame %u, which was never handed out", mm->name,
                          gfn, f);
    if (f == POOL_ZERO_FRAME) {
        if (pte_writable(pte) || pte_dirty(pte))
            return audit_says(a, "%s: gfn 0x%x maps the zero frame writable or dirty", mm->name,
                              gfn);
        return 0;
    }
    const struct frame *fr = frame_of(a->p, f);
    a->maps[f]++;
    a->refs[f]++;
    if (pte_writable(pte) && frame_test(fr, FRAME_SWAPCACHE | FRAME_MERGED))
        return audit_says(a, "%s: gfn 0x%x maps frame %u writable, which is %s", mm->name, gfn, f,
                          frame_test(fr, FRAME_MERGED) ? "merged" : "in the swap cache");
    if (pte_writable(pte) && !frame_test(fr, FRAME_OBJECT) && frame_maps(fr) != 1)
        return audit_says(a, "%s: gfn 0x%x maps frame %u writable, which %u entries share",
                          mm->name, gfn, f, frame_maps(fr));
    unsigned times = rmap_names(a->p, f, mm, gfn);
    if (times != 1)
        return audit_says(a, "%s: gfn 0x%x maps frame %u, whose reverse map names it %u times",
                          mm->name, gfn, f, times);
    return 0;
}

/* A swap entry, of an mm or an object. */
static int audit_entry(struct audit *a, const char *who, uint32_t page, pte_t e)
{
    slot_t s = pte_swap_slot(e);
    if (!a->sw || pte_swap_area(e) != SWAP_AREA || s == 0 || s >= a->sw->slots)
        return audit_says(a, "%s: page 0x%x has swap entry 0x%x, which names no slot", who, page,
                          e.raw);
    if (store_count(a->sw->store, s) == 0)
        return audit_says(a, "%s: page 0x%x names slot %u, which is free", who, page, s);
    if (a->names[s] < UINT16_MAX)
        a->names[s]++;
    return 0;
}

static int audit_leaf(struct audit *a, struct mm *mm, uint32_t i, uint64_t *resident,
                      uint64_t *swapped)
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
            if (pte_frame(leaf[k]) == POOL_ZERO_FRAME && r->kind != MM_ANON_PRIVATE)
                return audit_says(a, "%s: gfn 0x%x maps the zero frame in a region with an object",
                                  mm->name, gfn);
        } else {
            int err = audit_entry(a, mm->name, gfn, leaf[k]);
            if (err)
                return err;
            ++*swapped;
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
    uint64_t resident = 0, swapped = 0;
    int err = audit_regions(a, mm);
    for (uint32_t i = 0; i < TABLE_ENTRIES && !err; i++)
        if (mm->root[i])
            err = audit_leaf(a, mm, i, &resident, &swapped);
        else if (mm->used[i])
            err = audit_says(a, "%s: counts %u entries at gfn 0x%x without a table", mm->name,
                             mm->used[i], i << TABLE_SHIFT);
    if (!err && resident != mm->resident)
        err = audit_says(a, "%s: maps %llu frames, counted resident %llu", mm->name,
                         (unsigned long long)resident, (unsigned long long)mm->resident);
    if (!err && swapped != mm->swapped)
        err = audit_says(a, "%s: has %llu swap entries, counted %llu", mm->name,
                         (unsigned long long)swapped, (unsigned long long)mm->swapped);
    return err;
}

static int audit_object(struct audit *a, struct mm_object *o)
{
    struct pool *p = a->p;
    uint64_t swapped = 0;
    int err = 0;
    for (uint32_t i = 0; object_next(o, &i) && !err; i++) {
        pte_t e = o->pages[i];
        if (pte_present(e)) {
            const struct frame *fr = frame_of(p, pte_frame(e));
            a->refs[pte_frame(e)]++;
            a->seen[pte_frame(e)] |= SEEN_OBJECT;
            if (!frame_test(fr, FRAME_OBJECT) || fr->obj != o || fr->index != i)
                err = audit_says(a, "object page %u is frame %u, which does not know it", i,
                                 pte_frame(e));
        } else if (o->fd < 0) {
            err = audit_entry(a, "shared memory", i, e);
            swapped++;
        }
    }
    if (!err && swapped != o->swapped)
        err = audit_says(a, "shared memory has %llu swap entries, counted %llu",
                         (unsigned long long)swapped, (unsigned long long)o->swapped);
    return err;
}

static int audit_objects(struct audit *a)
{
    int err = 0;
    for (struct mm_object *o = objects_next(a->p, NULL); o; o = objects_next(a->p, o))
        if (!err)
            err = audit_object(a, o);
    return err;
}

/* The swap cache, and the count of each slot. */
static int audit_swap(struct audit *a)
{
    struct swap *sw = a->sw;
    uint32_t cached = 0;
    for (slot_t s = 1; sw && s < sw->slots; s++) {
        frame_t f = sw->cache[s];
        unsigned count = store_count(sw->store, s);
        if (f) {
            cached++;
            a->names[s]++;
            a->refs[f]++;
            a->seen[f] |= SEEN_CACHE;
            if (!frame_test(frame_of(a->p, f), FRAME_SWAPCACHE) ||
                pte_swap_slot(frame_of(a->p, f)->swap) != s)
                return audit_says(a, "slot %u caches frame %u, which does not know it", s, f);
        }
        if (count != a->names[s] && count < SLOT_COUNT_MAX)
            return audit_says(a, "slot %u has count %u, but %u name it", s, count, a->names[s]);
    }
    if (sw && cached != sw->cached)
        return audit_says(a, "swap cache has %u frames, counted %u", cached, sw->cached);
    return 0;
}

static int audit_mms(struct audit *a)
{
    int err = 0;
    for (struct mm *mm = mms_next(a->p, NULL); mm; mm = mms_next(a->p, mm)) {
        lock_take(&mm->map_lock, LOCK_MAP);
        mm_lock_ptl(mm);
        if (!err)
            err = audit_mm(a, mm);
        mm_unlock_ptl(mm);
        lock_drop(&mm->map_lock, LOCK_MAP);
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
            if (f == POOL_ZERO_FRAME || !handed_out(p, f) || (a->seen[f] & SEEN_LRU))
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
    bool is_free = (a->seen[f] & SEEN_FREE) != 0 || runs_has_free(a->p, f);
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
    uint32_t pins = atomic_load(&fr->pins), held = a->refs[f] + pins;
    if (frame_refs(fr) != held)
        return audit_says(a, "frame %u has %u references, but %u holders", f, frame_refs(fr), held);
    if (is_free != (held == 0))
        return audit_says(a, is_free ? "frame %u is free, but held" : "frame %u is lost", f);
    if (!frame_test(fr, FRAME_OBJECT) != !(a->seen[f] & SEEN_OBJECT) ||
        !frame_test(fr, FRAME_SWAPCACHE) != !(a->seen[f] & SEEN_CACHE))
        return audit_says(a, "frame %u: flags 0x%x, but %s object, %s swap cache", f, fr->flags,
                          a->seen[f] & SEEN_OBJECT ? "in an" : "in no",
                          a->seen[f] & SEEN_CACHE ? "in the" : "not in the");
    if (frame_test(fr, FRAME_LOCKED | FRAME_WRITEBACK))
        return audit_says(a, "frame %u is locked or being written: flags 0x%x", f, fr->flags);
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
    for (frame_t f = 1; f < a->p->frames_max; f++) {
        if (!handed_out(a->p, f)) {
            f = a->p->run_low - 1;
            continue;
        }
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

static int audit_run(struct audit *a)
{
    struct pool *p = a->p;
    size_t slots = a->sw ? a->sw->slots : 1;
    const size_t frames = p->run_low < p->frames_max ? p->frames_max : p->fresh;
    a->maps = calloc(frames, sizeof(*a->maps));
    a->refs = calloc(frames, sizeof(*a->refs));
    a->seen = calloc(frames, 1);
    a->names = calloc(slots, sizeof(*a->names));
    int err;
    if (!a->maps || !a->refs || !a->seen || !a->names)
        err = audit_says(a, "the audit itself found no memory");
    else if ((err = audit_mms(a)) == 0 && (err = audit_objects(a)) == 0 &&
             (err = audit_swap(a)) == 0 && (err = audit_free(a)) == 0 &&
             (err = runs_audit(p, a->msg, a->len)) == 0 && (err = audit_lists(a)) == 0)
        err = audit_frames(a);
    if (!err && a->sw)
        err = store_audit(a->sw->store, a->msg, a->len);
    free(a->maps);
    free(a->refs);
    free(a->seen);
    free(a->names);
    return err;
}

int mm_audit(const struct pool *cp, char *msg, size_t len)
{
    struct pool *p = (struct pool *)cp; /* its locks are written, nothing else */
    struct audit a = {.p = p, .msg = msg, .len = len};
    lock_take(&p->scan_lock, LOCK_SCAN); /* background threads at rest, nothing on its way out */
    a.sw = swap_use(p);
    if (a.sw)
        swap_drain(p);
    int err = audit_run(&a);
    if (a.sw)
        swap_leave(a.sw);
    lock_drop(&p->scan_lock, LOCK_SCAN);
    return err;
}
