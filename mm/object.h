/*
 * An object: what stands behind a region that is not private anonymous memory, page by page.
 * Several regions of several mms may name one object.
 */
#ifndef UMBRA_MM_OBJECT_H
#define UMBRA_MM_OBJECT_H

#include <stdatomic.h>

#include "mm/mm_int.h"

struct mm_object {
    _Atomic uint32_t refs;
};

static inline void object_get(struct mm_object *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
}

void object_put(struct pool *p, struct mm_object *o);

#endif
