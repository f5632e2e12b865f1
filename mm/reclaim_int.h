/* The inside of reclaim: what becomes of one frame (evict.c), and who asks for it (reclaim.c). */
#ifndef UMBRA_MM_RECLAIM_INT_H
#define UMBRA_MM_RECLAIM_INT_H

#include "mm/mm_int.h"
#include "mm/reclaim.h"

enum evicted {
    EVICT_FREED,
    EVICT_QUEUED, /* on its way out; it will be free when it is written */
    EVICT_KEPT,
};

/* Try to evict a frame that is on no list and of which the caller holds a ref; the ref is used up.
 * What is kept goes back to a list. LOCK_SCAN is held. */
enum evicted evict_frame(struct pool *p, frame_t f);

/* Evict pages of this mm alone, oldest first in the order of its own clock, until it maps fewer
 * than its limit. False: it cannot be done. LOCK_SCAN is held. */
bool reclaim_own(struct mm *mm);

#endif
