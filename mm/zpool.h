/*
 * The compressed pool: pages as LZ4 blocks in memory, before (or instead of) a swap area.
 *
 * Its memory is one reservation of its size, cut into chunks of 32 KiB; a chunk holds objects of
 * one size class that divides it without a rest. Entries are named by a handle, so objects can be
 * moved together when classes starve. No heap is used per page; all that it keeps, its own tables
 * included, stays under its size.
 *
 * Threads: every function from any thread. Whoever calls load or free must know that the handle is
 * live.
 */
#ifndef UMBRA_MM_ZPOOL_H
#define UMBRA_MM_ZPOOL_H

#include "mm/types.h"

struct zpool;

/* Names an entry while it lives; never 0. */
typedef uint32_t zhandle_t;

#define ZPOOL_MIN_BYTES ((uint64_t)64 << 10)
#define ZPOOL_MAX_BYTES ((uint64_t)64 << 30)

struct zpool_stats {
    uint64_t bytes_max;  /* the cap */
    uint64_t bytes_held; /* memory in use now, tables included; <= bytes_max */
    uint64_t bytes_data; /* compressed data in it */
    uint64_t entries;
    uint64_t stores, loads, frees;
    uint64_t rejects; /* pages that would not shrink */
    uint64_t full;    /* stores refused for want of room */
    uint64_t moves;   /* objects moved to empty a chunk */
};

/* bytes: the cap, ZPOOL_MIN_BYTES..ZPOOL_MAX_BYTES. 0, -EINVAL, -ENOMEM. */
int zpool_create(uint64_t bytes, struct zpool **out);
void zpool_destroy(struct zpool *z);

/* Is the page one 64-bit word over and over? Then *value is that word. */
bool zpool_same_filled(const void *page, uint64_t *value);
void zpool_fill(void *page, uint64_t value);

/* Compress a page. owner comes back from zpool_oldest. 0 (*out names it until zpool_free), -E2BIG:
 * it would not shrink enough, -ENOSPC: the cap is reached. */
int zpool_store(struct zpool *z, const void *page, uint32_t owner, zhandle_t *out);
/* 0, or -EUCLEAN: what is kept does not decompress to a page. */
int zpool_load(struct zpool *z, zhandle_t h, void *page);
void zpool_free(struct zpool *z, zhandle_t h);

/* The entry that was stored longest ago; it becomes the youngest, so that a call for each entry
 * meets each once. False: the pool is empty. The entry may be gone by the time its owner is asked:
 * check there. */
bool zpool_oldest(struct zpool *z, zhandle_t *h, uint32_t *owner);

void zpool_get_stats(struct zpool *z, struct zpool_stats *out);
/* 0 or -EUCLEAN, msg names the first thing that does not add up. */
int zpool_audit(struct zpool *z, char *msg, size_t len);

#endif
