/*
 * An object: what stands behind a region that is not private anonymous memory, page by page.
 * Several regions of several mms may name one object.
 *
 * An object's page is none (never used, or on file only), a frame (FRAME_OBJECT; one ref for the
 * object), or a swap entry (anonymous objects; names the slot once). A file page that was evicted
 * leaves a mark from which its refault distance is told.
 */
#ifndef UMBRA_MM_OBJECT_H
#define UMBRA_MM_OBJECT_H

#include <stdatomic.h>

#include "mm/mm_int.h"

struct mm_object {
    _Atomic uint32_t refs;
    struct pool *pool;
    struct mm_object *prev, *next; /* pool->objects */
    int fd;                        /* -1: anonymous */
    uint64_t offset, bytes;        /* of the file */
    bool writable;
    uint32_t n;
    struct mm_lock lock; /* LOCK_OBJECT: pages */
    pte_t *pages;
    _Atomic uint64_t swapped; /* pages that are swap entries */
};

static inline void object_get(struct mm_object *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
}

void object_put(struct mm_object *o);

/* The first page >= *i that is not none. */
bool object_next(struct mm_object *o, uint32_t *i);
/* Walks the pool's objects, each with a ref held: the one after prev, whose ref is dropped. */
struct mm_object *objects_next(struct pool *p, struct mm_object *prev);

struct object_page {
    frame_t frame; /* its content there; one ref for the caller */
    uint32_t path;
    bool major;
};
/* Page i of o, read if need be; mm (may be NULL) pays for the frame. 0, -ENOMEM, -EIO. No lock
 * held. */
int object_page(struct mm_object *o, uint32_t i, struct mm *mm, struct object_page *out);

enum object_evicted { OBJECT_KEPT, OBJECT_FREED, OBJECT_TO_SWAP };
/* Take an unmapped, locked frame of which the caller holds a ref out of its object. TO_SWAP: it is
 * in the swap cache now, dirty. */
enum object_evicted object_evict(struct pool *p, frame_t f);

/* --- file I/O of one page (object_io.c): 0 or -errno; a short file is -EIO
 * ------------------------ */
int object_read(struct mm_object *o, uint32_t i, frame_t f);
int object_write(struct mm_object *o, uint32_t i, frame_t f);

#endif
