/*
 * Slabs: fixed-size items addressed by a small index, in one reserved range that is made real a
 * step at a time. Page tables and reverse-map nodes come from here, so that the fault path never
 * sees the general heap. Index 0 means "none".
 */
#ifndef UMBRA_MM_SLAB_H
#define UMBRA_MM_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "mm/failpoint.h"
#include "mm/lock.h"

struct slab {
    uint8_t *base;
    size_t item;  /* bytes; at least 4 */
    uint32_t max; /* items, index 0 included */
    uint32_t step;
    struct failpoint *fail;
    struct mm_lock grow_lock;
    struct mm_spin lock;
    uint32_t grown; /* items that may be touched */
    uint32_t next;  /* first item never handed out */
    uint32_t free;  /* chain of returned items, linked through their first word */
    uint32_t used;
};

/* Reserves address space for max items. 0 or -ENOMEM. */
int slab_init(struct slab *s, size_t item, uint32_t max, struct failpoint *fail);
void slab_fini(struct slab *s);
/* An item, or 0. A new item is all zero; a returned one is as it was but for its first word, which
 * is zero. */
uint32_t slab_take(struct slab *s);
/* Take n items at once into out[]; all or none. 0 or -ENOMEM. */
int slab_take_many(struct slab *s, uint32_t *out, uint32_t n);
void slab_give(struct slab *s, uint32_t i);
uint32_t slab_used(struct slab *s);

static inline void *slab_ptr(const struct slab *s, uint32_t i)
{
    return s->base + (size_t)i * s->item;
}

#endif
