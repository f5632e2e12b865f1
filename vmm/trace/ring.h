/*
 * The page trace's file, and how it is written: a header and a ring of records of fixed size in a
 * file that is mapped. Its blocks are reserved before the first record, so writing one is a store
 * to memory: no system call, no lock, nothing from the heap. The kernel keeps what was stored when
 * the process is killed. docs/tracing.md describes the format for other readers.
 *
 * One thread writes: the vCPU's. A reader in another process may look at any time.
 *
 * Invariants:
 *  1. Record number n (from 0 on) lies in slot n % capacity.
 *  2. count is raised after the record is complete, so all of the last `capacity` records below
 *     count are complete, but for the oldest while record number `count` is being written over it.
 */
#ifndef UMBRA_VMM_TRACE_RING_H
#define UMBRA_VMM_TRACE_RING_H

#include <stdatomic.h>
#include <string.h>

#include "mm/types.h"
#include "vmm/cpu/regs.h"
#include "vmm/errmsg.h"

#define TRACE_MAGIC        "UMBRATRC" /* eight bytes, no NUL */
#define TRACE_VERSION      1u
#define TRACE_HEAD_BYTES   4096u
#define TRACE_SIZE_DEFAULT (64ull << 20)
#define TRACE_SIZE_MIN     (64ull << 10)
#define TRACE_SIZE_MAX     (16ull << 30)

/* What a record tells. Numbers are part of the file format: new ones come at the end. */
enum trace_kind {
    TRACE_NONE,        /* never written */
    TRACE_FAULT,       /* a fault of the guest that the memory manager answered */
    TRACE_GUEST_FAULT, /* a #PF that is the guest's own; error: its error code */
    TRACE_MMIO,        /* an access where no RAM is */
    TRACE_MONITOR,     /* the monitor touched a page for the guest, and that changed its state */
    TRACE_SWAP_OUT,    /* info: slot. From here to TRACE_PROTECTED as enum mm_event has them */
    TRACE_EVICTED,
    TRACE_WRITTEN,      /* info: slot */
    TRACE_DROPPED,      /* info: slot */
    TRACE_WRITE_FAILED, /* info: slot */
    TRACE_PUT_BACK,
    TRACE_READ_AHEAD,    /* info: slot */
    TRACE_WRITE_PROTECT, /* info: pages */
    TRACE_MERGED,        /* info: frame */
    TRACE_MAPPED,        /* info: pages */
    TRACE_UNMAPPED,      /* info: pages */
    TRACE_PROTECTED,     /* info: pages */
    TRACE_SHADOW_DROP,   /* la, gfn: a shadow PTE went */
    TRACE_SHADOW_WP,     /* la, gfn: a shadow PTE lost a right */
    TRACE_SHADOW_TABLE,  /* la: a shadow table was taken out of its place; error: its level */
    TRACE_FORK,          /* info: the new space, a copy of this one */
    TRACE_SWITCH,        /* info: the space that the vCPU goes to */
    TRACE_EXIT,          /* info: the space that has ended */
    TRACE_SAMPLE,        /* la: pages resident, gfn: frames in use, info: pages swapped out */
    TRACE_KINDS
};

#define TRACE_NO_SPACE 0xffu /* which page it is of is not known */

struct trace_rec {
    uint64_t tsc; /* host's; of a fault: its begin */
    la_t la;
    gfn_t gfn;
    uint32_t eip;   /* faults */
    uint32_t cost;  /* faults: cycles in memory manager and shadow, UINT32_MAX: or more */
    uint32_t info;  /* faults: enum mm_path bits; others: see enum trace_kind */
    uint8_t kind;   /* enum trace_kind */
    uint8_t result; /* faults: enum mm_result */
    uint8_t error;  /* faults: enum pf_error bits P, W, U and I */
    uint8_t space;
};
_Static_assert(sizeof(struct trace_rec) == 32, "part of the file format");

/* A moment on both clocks. */
struct trace_moment {
    uint64_t tsc, ns; /* ns: CLOCK_MONOTONIC */
};

struct trace_head {
    char magic[8];
    uint32_t version, head_bytes, rec_bytes;
    uint32_t closed;        /* 0: the machine runs, or was killed */
    uint64_t capacity;      /* records */
    _Atomic uint64_t count; /* records written so far */
    struct trace_moment start;
    struct trace_moment later[2]; /* the last moment is later[laters & 1] */
    _Atomic uint32_t laters;
    int32_t exit_status;   /* of the machine; where closed */
    uint64_t started_unix; /* seconds since 1970 */
    uint64_t ram, pool;    /* bytes */
    char engine[64];       /* texts end in NUL, and are cut to fit */
    char image[512];
    char append[1024];
    char end[512]; /* how the machine ended; where closed */
};
_Static_assert(sizeof(struct trace_head) <= TRACE_HEAD_BYTES, "the header is one page");

struct trace_ring {
    struct trace_rec *next, *first, *last; /* last: behind the ring */
    uint64_t count;                        /* as head->count */
    uint64_t refresh_at;                   /* when count is this, trace_ring_refresh() is due */
    struct trace_head *head;
    int fd;
    size_t bytes;
};

/*
 * Make (or overwrite) a trace of `size` bytes, TRACE_SIZE_MIN .. TRACE_SIZE_MAX, and reserve its
 * blocks. A file that holds something else than a trace is refused, and so is a trace that another
 * machine is writing. 0, -EINVAL (size), -EEXIST (holds something else), -EBUSY, or an errno of the
 * file: -ENOSPC when the disk is too full.
 */
int trace_ring_open(const char *path, uint64_t size, struct trace_ring **out, struct errmsg *err);
/* What is known when the machine starts; texts may be NULL. */
void trace_ring_describe(struct trace_ring *r, const char *engine, const char *image,
                         const char *append, uint64_t ram, uint64_t pool);
/* The machine has ended: say so in the file and let go of it. NULL is allowed. */
void trace_ring_close(struct trace_ring *r, const char *end, int exit_status);

/* Note the present moment on both clocks, so that cycles can be told in nanoseconds even when the
 * process is killed. */
void trace_ring_refresh(struct trace_ring *r);

/* The record is stored as four words: on the way of each fault, bytes would cost. The next but one
 * cache line is fetched meanwhile, as nobody has touched it since the ring went round. */
static inline __attribute__((always_inline)) void trace_ring_put(struct trace_ring *r,
                                                                 struct trace_rec rec)
{
    struct trace_rec *at = r->next;
    const uint64_t word[4] = {rec.tsc, rec.la | (uint64_t)rec.gfn << 32,
                              rec.eip | (uint64_t)rec.cost << 32,
                              rec.info | (uint64_t)rec.kind << 32 | (uint64_t)rec.result << 40 |
                                  (uint64_t)rec.error << 48 | (uint64_t)rec.space << 56};
    __builtin_prefetch((const uint8_t *)at + 128, 1);
    memcpy(at, word, sizeof word);
    r->next = at + 1 == r->last ? r->first : at + 1;
    atomic_store_explicit(&r->head->count, ++r->count, memory_order_release); /* invariant 2 */
}

#endif
