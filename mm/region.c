/*
 * Regions: a sorted array, looked up by the last hit and then by halving. A change builds a new
 * array beside the old one and swaps it in, so that a change that finds no memory leaves no trace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mm/mm_int.h"
#include "mm/object.h"

const struct region *region_find(struct mm *mm, gfn_t gfn)
{
    if (mm->hit < mm->n_regions) {
        const struct region *r = &mm->regions[mm->hit];
        if (gfn >= r->start && gfn < r->end)
            return r;
    }
    uint32_t lo = 0, hi = mm->n_regions;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct region *r = &mm->regions[mid];
        if (gfn < r->start) {
            hi = mid;
        } else if (gfn >= r->end) {
            lo = mid + 1;
        } else {
            mm->hit = mid;
            return r;
        }
    }
    return NULL;
}

bool regions_overlap(const struct mm *mm, gfn_t start, gfn_t end)
{
    for (uint32_t i = 0; i < mm->n_regions; i++)
        if (mm->regions[i].start < end && start < mm->regions[i].end)
            return true;
    return false;
}

struct builder {
    struct region *list;
    uint32_t n;
};

/* Could b be the continuation of a? */
static bool region_joins(const struct region *a, const struct region *b)
{
    return a->end == b->start && a->prot == b->prot && a->kind == b->kind && a->obj == b->obj &&
           (!a->obj || a->pgoff + (a->end - a->start) == b->pgoff);
}

static void build_push(struct builder *b, struct region r)
{
    if (b->n > 0 && region_joins(&b->list[b->n - 1], &r)) {
        b->list[b->n - 1].end = r.end;
        return;
    }
    b->list[b->n++] = r;
}

/* The part start..end-1 of r. */
static struct region region_cut(const struct region *r, gfn_t start, gfn_t end)
{
    struct region part = *r;
    part.start = start;
    part.end = end;
    if (r->obj)
        part.pgoff += start - r->start;
    return part;
}

static void build_edited(struct builder *b, const struct region *r, const struct region_edit *e)
{
    if (r->start < e->start)
        build_push(b, region_cut(r, r->start, e->start < r->end ? e->start : r->end));
    gfn_t from = r->start > e->start ? r->start : e->start;
    gfn_t to = r->end < e->end ? r->end : e->end;
    if (e->protect && from < to) {
        struct region part = region_cut(r, from, to);
        part.prot = e->prot;
        build_push(b, part);
    }
    if (r->end > e->end)
        build_push(b, region_cut(r, e->end > r->start ? e->end : r->start, r->end));
}

int regions_build(struct mm *mm, const struct region_edit *e, struct region **list, uint32_t *n)
{
    size_t most = (size_t)mm->n_regions + 3;
    if (fail_now(mm->pool->fail, FAIL_HEAP))
        return -ENOMEM;
    struct builder b = {calloc(most, sizeof(struct region)), 0};
    if (!b.list)
        return -ENOMEM;
    bool put = e->put == NULL;
    for (uint32_t i = 0; i < mm->n_regions; i++) {
        if (!put && mm->regions[i].start >= e->end) {
            build_push(&b, *e->put);
            put = true;
        }
        build_edited(&b, &mm->regions[i], e);
    }
    if (!put)
        build_push(&b, *e->put);
    if (b.n > mm->regions_max && b.n > mm->n_regions) {
        free(b.list);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < b.n; i++)
        if (b.list[i].obj)
            object_get(b.list[i].obj);
    *list = b.list;
    *n = b.n;
    return 0;
}

struct region *regions_swap(struct mm *mm, struct region *list, uint32_t n, uint32_t *old_n)
{
    struct region *old = mm->regions;
    *old_n = mm->n_regions;
    mm->regions = list;
    mm->n_regions = n;
    mm->hit = 0;
    return old;
}

void regions_free(struct region *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i].obj)
            object_put(list[i].obj);
    free(list);
}
