/*
 * The reverse map: for each gfn, the shadow entries that map it. One entry is kept in place, more
 * of them in a chain of nodes taken from a fixed reserve; nothing here can fail or make a system
 * call.
 */
#ifndef UMBRA_VMM_SHADOW_SRMAP_H
#define UMBRA_VMM_SHADOW_SRMAP_H

#include "mm/types.h"

#define SRMAP_END UINT32_MAX

struct srmap_node {
    uint32_t entry;
    uint32_t next; /* node + 1, 0 ends */
};

struct srmap {
    uint32_t *head; /* by gfn: 0 none; entry + 1; or SRMAP_CHAIN | node */
    struct srmap_node *node;
    uint32_t keys, nodes;
    uint32_t grown, free; /* free: node + 1 */
    uint64_t count;
};

struct srmap_iter {
    uint32_t next; /* node + 1 */
};

/* keys: gfns; entries: most entries ever held at once (each needs at most one node). 0, -ENOMEM. */
int srmap_create(struct srmap *r, uint32_t keys, uint32_t entries);
void srmap_destroy(struct srmap *r);

void srmap_add(struct srmap *r, gfn_t gfn, uint32_t entry);
/* entry must be there. */
void srmap_remove(struct srmap *r, gfn_t gfn, uint32_t entry);
bool srmap_contains(const struct srmap *r, gfn_t gfn, uint32_t entry);
uint32_t srmap_first(const struct srmap *r, gfn_t gfn);
static inline uint64_t srmap_count(const struct srmap *r)
{
    return r->count;
}

/* Iterate; the map must not change meanwhile. */
uint32_t srmap_iter_first(const struct srmap *r, gfn_t gfn, struct srmap_iter *it);
uint32_t srmap_iter_next(const struct srmap *r, struct srmap_iter *it);

#endif
