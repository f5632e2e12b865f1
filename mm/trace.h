/*
 * Being told of what becomes of pages outside of faults: pages that go out, are merged, lose their
 * right to write. A fault says itself what it did (struct mm_fault). mm/ knows nothing of what is
 * behind the callback; without one each place costs one load and one predicted branch.
 */
#ifndef UMBRA_MM_TRACE_H
#define UMBRA_MM_TRACE_H

#include "mm/types.h"

struct pool;
struct mm;

/* What the number `detail` is stands beside each. */
enum mm_event {
    MM_EV_SWAP_OUT,      /* the entry names a swap slot now; detail: slot */
    MM_EV_EVICTED,       /* the entry is empty, its page stays with its object */
    MM_EV_WRITTEN,       /* a slot's content is in the store; detail: slot. mm and gfn are one of
                            those that it belongs to, tag MM_TAG_NONE if that is not known */
    MM_EV_DROPPED,       /* a clean page's frame went without a write; as MM_EV_WRITTEN */
    MM_EV_WRITE_FAILED,  /* as MM_EV_WRITTEN */
    MM_EV_PUT_BACK,      /* the entry maps its page again: going out was given up */
    MM_EV_READ_AHEAD,    /* a slot's content was read beside another; detail: slot, no page */
    MM_EV_WRITE_PROTECT, /* pages may not be written through their entries; detail: pages */
    MM_EV_MERGED,        /* the entry maps another page's frame now; detail: frame */
    MM_EV_MAPPED,        /* a region was made; detail: pages */
    MM_EV_UNMAPPED,      /* regions and pages went; detail: pages */
    MM_EV_PROTECTED,     /* rights of a range were changed; detail: pages */
    MM_EVENTS
};

#define MM_TAG_NONE 0xffu

struct mm_tracer {
    void *ctx;
    /* tag: of the page's mm, as mm_set_tag gave it. Made with the mm's locks held, from whatever
     * thread changes the page: must not block and must not call back into mm/. */
    void (*event)(void *ctx, enum mm_event what, uint32_t tag, gfn_t gfn, uint32_t detail);
};

/* The tracer must stay until it is taken away with NULL; no other thread is in mm/ meanwhile. */
void pool_set_tracer(struct pool *p, const struct mm_tracer *t);
/* The number by which tracers know the mm; 0 at first, a fork's child has its parent's. */
void mm_set_tag(struct mm *mm, uint32_t tag);
uint32_t mm_tag(const struct mm *mm);

#endif
