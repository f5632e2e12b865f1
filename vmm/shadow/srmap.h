/*
 * The reverse map: for each key (a guest page, a table page) the shadow entries that lead to it, as
 * a list. An entry is in one list at most, so the links lie beside the entries: nothing here can
 * fail, make a system call, or take longer where a guest maps one page in a million places.
 */
#ifndef UMBRA_VMM_SHADOW_SRMAP_H
#define UMBRA_VMM_SHADOW_SRMAP_H

#include "mm/types.h"

#define SRMAP_END UINT32_MAX

/* Of an entry that is in a list. All are entry + 1; 0 ends. */
struct srmap_link {
    uint32_t prev, next;
};

struct srmap {
    uint32_t *head; /* by key; entry + 1, 0: none */
    struct srmap_link *link;
    uint32_t keys, entries;
    uint64_t count;
};

struct srmap_iter {
    uint32_t next; /* entry + 1 */
};

/* Entries are 0 .. entries - 1. 0, -ENOMEM. */
int srmap_create(struct srmap *r, uint32_t keys, uint32_t entries);
void srmap_destroy(struct srmap *r);

/* entry must be in no list. */
void srmap_add(struct srmap *r, uint32_t key, uint32_t entry);
/* entry must be there. */
void srmap_remove(struct srmap *r, uint32_t key, uint32_t entry);
/* Looks through the list, for the audit. */
bool srmap_contains(const struct srmap *r, uint32_t key, uint32_t entry);
static inline uint32_t srmap_first(const struct srmap *r, uint32_t key)
{
    return r->head[key] ? r->head[key] - 1 : SRMAP_END;
}
static inline uint64_t srmap_count(const struct srmap *r)
{
    return r->count;
}

/* Iterate; the map must not change meanwhile. */
uint32_t srmap_iter_first(const struct srmap *r, uint32_t key, struct srmap_iter *it);
uint32_t srmap_iter_next(const struct srmap *r, struct srmap_iter *it);

#endif
