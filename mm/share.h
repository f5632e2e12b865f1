/*
 * Content sharing: a scanner that finds private pages with equal bytes and lets them share one
 * frame, until one is written (behaviour 12). Off unless it is asked for.
 */
#ifndef UMBRA_MM_SHARE_H
#define UMBRA_MM_SHARE_H

#include "mm/pool.h"

/* Look at up to n pages from where the last call ended, now, in this thread. How many were merged.
 */
uint32_t pool_share_scan(struct pool *p, uint32_t n);
/* Scan in the background, at most so many pages a second (1..10,000,000). 0, -EINVAL, -EBUSY,
 * -ENOMEM, -EAGAIN. */
int pool_share_start(struct pool *p, uint32_t pages_per_second);
void pool_share_stop(struct pool *p);

#endif
