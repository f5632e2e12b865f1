/*
 * Fork (behaviour 10): the child gets the parent's regions and private pages; what was writable is
 * write-protected on both sides, so that the first to write copies and the last one reuses.
 *
 * It goes leaf table by leaf table, each under both ptls; what that takes (a table, reverse-map
 * nodes) is taken before, without a lock.
 */
#include <errno.h>

#include "mm/mm_int.h"
#include "mm/object.h"
#include "mm/swap_int.h"
#include "mm/trace_int.h"

struct leaf_copy {
    struct mm *parent, *child;
    gfn_t first; /* of the leaf table */
    const struct region *region;
    uint32_t node[TABLE_ENTRIES];
    uint32_t nodes; /* taken and not yet used */
};

static void nodes_give_back(struct leaf_copy *c)
{
    while (c->nodes > 0)
        slab_give(&c->parent->pool->nodes, c->node[--c->nodes]);
}

/* Is anything in the table writable? Then its mappings must lose that first. */
static void protect_leaf(struct leaf_copy *c, const pte_t *leaf)
{
    for (uint32_t i = 0; i < TABLE_ENTRIES; i++)
        if (pte_present(leaf[i]) && pte_writable(leaf[i])) {
            mm_write_protect(c->parent, c->first, TABLE_ENTRIES);
            mm_trace(c->parent->pool, MM_EV_WRITE_PROTECT, c->parent, c->first, TABLE_ENTRIES);
            return;
        }
}

/* Whoever has the page pinned may write to it at this moment: the child gets either bytes, as it
 * would if the fork had come a moment earlier or later. That is a race, and meant. */
__attribute__((no_sanitize("thread"))) static void copy_in_use(void *to, const void *from)
{
    volatile uint64_t *t = to;
    const volatile uint64_t *s = from;
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        t[i] = s[i];
}

/* A frame that someone reads or writes by its address: the child must not see what is written
 * later. */
static int copy_pinned(struct leaf_copy *c, gfn_t gfn, pte_t pte)
{
    struct pool *p = c->parent->pool;
    bool zeroed;
    frame_t copy = pool_take(p, &zeroed); /* no reclaim: locks are held */
    if (copy == FRAME_NONE)
        return -ENOMEM;
    copy_in_use(pool_ptr(p, copy), pool_ptr(p, pte_frame(pte)));
    table_map_page(c->child, gfn, copy, pte_make(copy, PTE_U | PTE_D), 0);
    lru_add(p, copy);
    return 0;
}

/* One frame more shared. The reverse map's lock bit and the counts are one word: two operations do
 * it. */
static void share_frame(struct leaf_copy *c, struct frame *fr, gfn_t gfn)
{
    uint32_t i = c->node[c->nodes - 1];
    struct rmap_node *n = slab_ptr(&c->parent->pool->nodes, i);
    n->mm = c->child;
    n->gfn = gfn;
    rmap_lock(fr);
    if (fr->rmap_mm) {
        n->more = fr->rmap_more;
        fr->rmap_more = i;
        c->nodes--;
    } else {
        fr->rmap_mm = c->child;
        fr->rmap_gfn = gfn;
    }
    atomic_fetch_add_explicit(&fr->counts, FRAME_REF + FRAME_MAP - FRAME_RMAP,
                              memory_order_release);
}

static int copy_entry(struct leaf_copy *c, pte_t *from, pte_t *to, gfn_t gfn, uint32_t *resident)
{
    struct pool *p = c->parent->pool;
    pte_t pte = *from;
    if (pte_is_swap(pte)) {
        swap_name(p, pte);
        count_add(&c->child->swapped, 1);
        *to = pte;
        return 0;
    }
    while (gfn >= c->region->end)
        c->region++;
    struct frame *fr = frame_of(p, pte_frame(pte));
    if (!region_private(c->region) || frame_test(fr, FRAME_OBJECT))
        return 0; /* the child's own fault finds it in the object */
    if (pte_frame(pte) == POOL_ZERO_FRAME) {
        *to = pte_without(pte, PTE_A);
        return 0;
    }
    if (__builtin_expect(atomic_load_explicit(&fr->pins, memory_order_acquire) > 0, 0))
        return copy_pinned(c, gfn, pte);
    *from = pte_without(pte, PTE_W);
    *to = pte_without(pte, PTE_W | PTE_A);
    share_frame(c, fr, gfn);
    ++*resident;
    return 0;
}

/* Both ptls held; the child's leaf table is there and empty. */
static int copy_leaf(struct leaf_copy *c)
{
    pte_t *from = table_leaf(c->parent, c->first), *to = table_leaf(c->child, c->first);
    const struct region *r = c->child->regions, *end = r + c->child->n_regions;
    struct frame *frames = c->parent->pool->frames;
    uint32_t resident = 0, used = 0;
    int err = 0;
    while (r < end && r->end <= c->first)
        r++;
    c->region = r;
    protect_leaf(c, from);
    for (uint32_t i = 0; i < TABLE_ENTRIES && !err; i++) {
        if (i + 8 < TABLE_ENTRIES && pte_present(from[i + 8]))
            __builtin_prefetch(&frames[pte_frame(from[i + 8])], 1);
        if (pte_none(from[i]))
            continue;
        pte_t before = to[i];
        err = copy_entry(c, &from[i], &to[i], c->first + i, &resident);
        used += pte_none(before) && !pte_none(to[i]) && !err;
    }
    uint32_t t = c->first >> TABLE_SHIFT;
    c->child->used[t] = (uint16_t)used;
    count_add(&c->child->resident, resident);
    return err;
}

/* The two ptls, and enough of everything for the leaf table. 0, -ENOMEM: not locked. */
static int lock_leaf(struct leaf_copy *c)
{
    struct pool *p = c->parent->pool;
    uint32_t t = c->first >> TABLE_SHIFT;
    for (;;) {
        mm_lock_ptl(c->parent);
        uint32_t need = c->parent->root[t] ? c->parent->used[t] : 0;
        if (need <= c->nodes)
            break;
        mm_unlock_ptl(c->parent);
        uint32_t more = need - c->nodes;
        if (slab_take_many(&p->nodes, c->node + c->nodes, more) < 0)
            return -ENOMEM;
        c->nodes += more;
    }
    lock_take(&c->child->ptl, LOCK_PTL2);
    return 0;
}

static int fork_leaf(struct leaf_copy *c)
{
    struct pool *p = c->parent->pool;
    uint32_t t = c->first >> TABLE_SHIFT;
    uint32_t table = slab_take(&p->tables);
    int err = table ? lock_leaf(c) : -ENOMEM;
    if (!err) {
        c->child->root[t] = table;
        table = 0;
        if (c->parent->root[t])
            err = copy_leaf(c);
        table_trim(c->child, c->first);
        lock_drop(&c->child->ptl, LOCK_PTL2);
        mm_unlock_ptl(c->parent);
    }
    if (table)
        slab_give(&p->tables, table);
    return err;
}

static int fork_regions(struct mm *parent, struct mm *child)
{
    struct region_edit none = {0};
    struct region *list;
    uint32_t n, old_n;
    int err = regions_build(parent, &none, &list, &n);
    if (err)
        return err;
    child->regions_max = parent->regions_max;
    mm_lock_ptl(child);
    regions_swap(child, list, n, &old_n);
    mm_unlock_ptl(child);
    return 0;
}

int mm_fork(struct mm *parent, const char *name, struct mm **out)
{
    struct mm *child;
    int err = mm_create(parent->pool, name, &child);
    if (err)
        return err;
    child->tag = parent->tag;
    struct leaf_copy c = {.parent = parent, .child = child};
    lock_take(&parent->map_lock, LOCK_MAP);
    err = fork_regions(parent, child);
    for (uint32_t t = 0; t < TABLE_ENTRIES && !err; t++) {
        mm_lock_ptl(parent);
        bool here = parent->root[t] != 0;
        mm_unlock_ptl(parent);
        if (!here)
            continue;
        c.first = t << TABLE_SHIFT;
        err = fork_leaf(&c);
        mm_sync(parent->pool, MM_SYNC_FORK_PAGE, parent, c.first);
    }
    nodes_give_back(&c);
    lock_drop(&parent->map_lock, LOCK_MAP);
    if (err) {
        mm_destroy(child);
        return err;
    }
    *out = child;
    return 0;
}
