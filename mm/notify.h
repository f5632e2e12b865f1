/*
 * How an mm tells whoever maps its frames (shadow tables, software TLBs) that a mapping must
 * change, as Linux's MMU notifiers do. mm/ knows nothing of what is behind these callbacks.
 *
 * A callback returns only when no CPU can use the old mapping any more (or, where the mapper's
 * CPU is stopped in the monitor, when none can before the change has been applied).
 * Callbacks are made with the mm's locks held: they must not call back into mm/.
 */
#ifndef UMBRA_MM_NOTIFY_H
#define UMBRA_MM_NOTIFY_H

#include "mm/types.h"

struct mm_notifier {
    void *ctx;
    /* Mappings of gfn .. gfn+n-1 must go. */
    void (*invalidate)(void *ctx, gfn_t gfn, uint32_t n);
    /* Mappings of gfn .. gfn+n-1 must become read-only. */
    void (*write_protect)(void *ctx, gfn_t gfn, uint32_t n);
    /* Was gfn used through any mapping since the last call? Forgets it (a later use is seen again).
     */
    bool (*test_clear_young)(void *ctx, gfn_t gfn);
};

#endif
