/*
 * The reverse map: for each frame, every (mm, gfn) whose backing PTE maps it. The first entry
 * stands in the frame itself; most frames never have another. All under the frame's lock bit.
 */
#include "mm/pool_int.h"

#include <assert.h>

uint32_t rmap_add(struct pool *p, frame_t f, struct mm *mm, gfn_t gfn, uint32_t node)
{
    struct frame *fr = frame_of(p, f);
    rmap_lock(fr);
    if (!fr->rmap_mm) {
        fr->rmap_mm = mm;
        fr->rmap_gfn = gfn;
    } else {
        assert(node != 0);
        struct rmap_node *n = slab_ptr(&p->nodes, node);
        n->mm = mm;
        n->gfn = gfn;
        n->more = fr->rmap_more;
        fr->rmap_more = node;
        node = 0;
    }
    rmap_unlock(fr);
    return node;
}

/* Takes the entry out; returns the node that is free now, or 0. Under the lock bit. */
static uint32_t rmap_cut(struct pool *p, struct frame *fr, const struct mm *mm, gfn_t gfn)
{
    if (fr->rmap_mm == mm && fr->rmap_gfn == gfn) {
        uint32_t first = fr->rmap_more;
        if (first) {
            const struct rmap_node *n = slab_ptr(&p->nodes, first);
            fr->rmap_mm = n->mm;
            fr->rmap_gfn = n->gfn;
            fr->rmap_more = n->more;
        } else {
            fr->rmap_mm = NULL;
        }
        return first;
    }
    uint32_t *link = &fr->rmap_more;
    while (*link) {
        struct rmap_node *n = slab_ptr(&p->nodes, *link);
        if (n->mm == mm && n->gfn == gfn) {
            uint32_t it = *link;
            *link = n->more;
            return it;
        }
        link = &n->more;
    }
    assert(false && "a mapping without its reverse-map entry");
    return 0;
}

void rmap_del(struct pool *p, frame_t f, const struct mm *mm, gfn_t gfn)
{
    struct frame *fr = frame_of(p, f);
    rmap_lock(fr);
    uint32_t node = rmap_cut(p, fr, mm, gfn);
    rmap_unlock(fr);
    if (node)
        slab_give(&p->nodes, node);
}
