/*
 * Failpoints: tests make the n-th allocation, growth or I/O call of mm/ fail, then the n+1-th, and
 * so on until a run goes by in which none does. Whatever can fail in mm/ asks fail_now() first.
 *
 * A failpoint belongs to whoever made it (a test) and is handed to pool or area as a pointer; a
 * NULL pointer, as in every real run, costs one predicted branch.
 */
#ifndef UMBRA_MM_FAILPOINT_H
#define UMBRA_MM_FAILPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fail_kind {
    FAIL_HEAP = 1u << 0,   /* malloc and the like, off the fault path */
    FAIL_FRAME = 1u << 1,  /* taking a frame from the pool */
    FAIL_NODE = 1u << 2,   /* taking a page table or a reverse-map node */
    FAIL_MAP = 1u << 3,    /* mmap, memfd_create, ftruncate, populate */
    FAIL_READ = 1u << 4,   /* a read from an area or a file */
    FAIL_WRITE = 1u << 5,  /* a write to an area or a file */
    FAIL_SUBMIT = 1u << 6, /* handing a request to io_uring */
    FAIL_SLOT = 1u << 7,   /* taking a slot of the area, or room in the compressed pool */
    FAIL_ANY = 0xff
};

struct failpoint {
    _Atomic uint32_t kinds; /* which kinds count, and fail */
    _Atomic int64_t left;   /* calls until the one that fails; it is the call that finds 1 here */
    _Atomic bool sticky;    /* once reached, every later call fails too */
    _Atomic uint64_t seen;  /* calls of these kinds so far */
    _Atomic uint64_t fired; /* failures given */
};

/* Fail the n-th call from now (n >= 1) of any of the kinds; n = 0 disarms. */
static inline void fail_arm(struct failpoint *fp, uint32_t kinds, int64_t n, bool sticky)
{
    atomic_store(&fp->left, 0);
    atomic_store(&fp->kinds, kinds);
    atomic_store(&fp->sticky, sticky);
    atomic_store(&fp->seen, 0);
    atomic_store(&fp->fired, 0);
    atomic_store(&fp->left, n);
}

/* Must the call that is about to be made fail? */
static inline bool fail_now(struct failpoint *fp, enum fail_kind kind)
{
    if (__builtin_expect(!fp, 1) || !(atomic_load(&fp->kinds) & kind))
        return false;
    atomic_fetch_add(&fp->seen, 1);
    if (atomic_load(&fp->left) <= 0)
        return false;
    int64_t was = atomic_fetch_sub(&fp->left, 1);
    if (was != 1)
        return false;
    if (atomic_load(&fp->sticky))
        atomic_store(&fp->left, 1);
    atomic_fetch_add(&fp->fired, 1);
    return true;
}

#endif
