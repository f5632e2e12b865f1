/*
 * The frame pool: every page a guest ever touches lives here, in one memfd that the host maps
 * once and that a CPU engine may map as one memory slot (frame f at byte f << 12).
 *
 * The pool grows by need, a step at a time, up to its size. Handing out and taking back a frame
 * makes no system call and touches no heap, except when a step is grown (one fallocate-like call
 * per step). Frame 0 is the shared zero frame: read-only for ever, never counted, never free.
 *
 * Threads: pool_* may be called from any thread.
 */
#ifndef UMBRA_MM_POOL_H
#define UMBRA_MM_POOL_H

#include "mm/types.h"

struct pool;
struct failpoint; /* failpoint.h; tests only */

/* What a pool begins with, so that the address of a frame costs no call. Read it by the functions.
 */
struct pool_view {
    uint8_t *base;
    uint64_t bytes;
};

#define POOL_ZERO_FRAME 0u
#define POOL_MAX_BYTES  ((uint64_t)1 << 32) /* frame numbers must fit a PTE */

struct pool_opts {
    uint64_t bytes; /* most the pool may ever hold; multiple of PAGE_SIZE, > 0, <= 4 GiB */
    uint64_t step;  /* bytes to grow by at a time; 0: a sensible default */
    bool runs; /* keep pages that lie together in an mm together in the pool, by aligned 2 MiB */
    struct failpoint *fail; /* makes calls fail, for tests; NULL: never. Must outlive the pool */
};

struct pool_stats {
    uint64_t frames_max;   /* the limit, in frames, zero frame included */
    uint64_t frames_grown; /* frames that exist so far */
    uint64_t frames_free;  /* of those, free */
    uint64_t allocs, frees, grows;
    uint64_t runs_broken; /* reservations of runs that ended because frames were short */
};

/* 0, or -EINVAL (size), -ENOMEM, or the errno of memfd_create/ftruncate/mmap. *out is the caller's
 * until pool_destroy. */
int pool_create(const struct pool_opts *opts, struct pool **out);
/* Every frame must be back by now; in debug builds that is asserted. */
void pool_destroy(struct pool *p);

int pool_fd(const struct pool *p); /* the memfd; stays the pool's */

/* opts.bytes */
static inline uint64_t pool_bytes(const struct pool *p)
{
    return ((const struct pool_view *)p)->bytes;
}

/* Host address of frame 0; all frames contiguous. */
static inline uint8_t *pool_base(const struct pool *p)
{
    return ((const struct pool_view *)p)->base;
}

void pool_get_stats(const struct pool *p, struct pool_stats *out);

/* Host address of a frame. f must be < pool_bytes >> 12. */
static inline uint8_t *pool_ptr(const struct pool *p, frame_t f)
{
    return pool_base(p) + ((size_t)f << PAGE_SHIFT);
}

#endif
