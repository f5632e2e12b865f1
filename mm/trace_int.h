/* Telling the tracer of trace.h. For mm/ only. */
#ifndef UMBRA_MM_TRACE_INT_H
#define UMBRA_MM_TRACE_INT_H

#include "mm/mm_int.h"
#include "mm/trace.h"

/* mm NULL: not known. */
static inline void mm_trace(const struct pool *p, enum mm_event what, const struct mm *mm,
                            gfn_t gfn, uint32_t detail)
{
    if (__builtin_expect(p->tracer != NULL, 0))
        p->tracer->event(p->tracer->ctx, what, mm ? mm->tag : MM_TAG_NONE, gfn, detail);
}

#endif
