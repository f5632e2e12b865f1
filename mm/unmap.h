/* The way from a frame to the entries that map it (behaviours 27, 28). No lock from LOCK_PTL on
 * held. */
#ifndef UMBRA_MM_UNMAP_H
#define UMBRA_MM_UNMAP_H

#include "mm/swap_int.h"

/* Was the frame used through any entry or any mapping since the last call? Forgets it. */
bool unmap_test_young(struct pool *p, frame_t f);
/* Was the frame written through any entry since that entry's D was last gathered? */
bool unmap_test_dirty(struct pool *p, frame_t f);
/*
 * Take every entry off the frame, which the caller has locked and holds a ref of: mappers are told,
 * dirty is gathered in FRAME_DIRTY, entries become `to` (a swap entry gets a name more for each),
 * and undos (may be NULL) what they were. False: someone maps it still (it was mapped anew
 * meanwhile).
 */
bool unmap_all(struct pool *p, frame_t f, pte_t to, struct swap_undos *undos);
/* Take away every write permission for the frame. */
void unmap_write_protect(struct pool *p, frame_t f);
/* If the entry of gfn is still `entry`, let it be `was`, which maps f, again. */
bool unmap_restore(struct mm *mm, gfn_t gfn, pte_t entry, pte_t was, frame_t f);

#endif
