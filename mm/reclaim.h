/*
 * Reclaim: getting frames back from those who use them least (behaviours 27 to 31), and the honest
 * report when there are none to be had.
 */
#ifndef UMBRA_MM_RECLAIM_H
#define UMBRA_MM_RECLAIM_H

#include "mm/pool.h"
#include "mm/types.h"

struct mm;

/*
 * Watermarks in available frames (free, or still to be grown). Below low the background thread
 * wakes and works until high; at min and below, a faulting thread reclaims itself first. All 0:
 * defaults from the pool's size, when reclaim is started. 0 or -EINVAL: not min <= low <= high <
 * frames of the pool.
 */
int pool_set_watermarks(struct pool *p, uint32_t min, uint32_t low, uint32_t high);
/* Start the background thread. 0, -EBUSY: it runs; -ENOMEM, -EAGAIN. */
int pool_reclaim_start(struct pool *p);
/* Stop it, if it runs, and wait for it. */
void pool_reclaim_stop(struct pool *p);

/* Try to free n frames now, in this thread, looking at 4096 + 2n frames at most. How many frames
 * were freed meanwhile, 0: there was nothing to reclaim among them. No lock of mm/ may be held. */
uint32_t pool_reclaim(struct pool *p, uint32_t n);

/*
 * One step of what the background thread does, for whoever runs without it and calls this between
 * the faults of its one thread: reap what has been written out; below low, reclaim until high would
 * be reached by what is on its way; then make room in the compressed pool. False: still below low,
 * and nothing could be reclaimed. Cheap when there is nothing to do. No lock of mm/ may be held.
 */
bool pool_balance(struct pool *p);

/*
 * Send the pages of a range out now, however lately they were used, and wait until they are. What
 * cannot go (pinned, no slot, no store) stays. 0, -EINVAL: not a range. No lock of mm/ may be held.
 */
int mm_pageout(struct mm *mm, gfn_t gfn, uint32_t n);

/*
 * Who holds what, in words, for people who have just run out of memory: frames by use, the swap
 * area, each mm. NUL-terminated; returns the length that the whole would have.
 */
size_t mm_report(const struct pool *p, char *buf, size_t len);

#endif
