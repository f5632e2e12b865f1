/*
 * The swap store: what stands behind the swap entries of one area number. It gives out slots, keeps
 * a page for each slot (as a value, in the compressed pool, or on disk) and hands it back, checked.
 * This is the one header of the swap back end that the rest of mm/ needs; area, slotmap, zpool and
 * aio lie below.
 *
 * A slot's states (docs/swap.md): free -> empty (given out, no content yet) -> same | zpool | disk;
 * writing while its content is on its way to disk; bad when its medium failed. A page that went to
 * the compressed pool has its place on disk reserved by its slot and moves there, oldest first,
 * when the pool is full.
 *
 * Rules for the caller:
 *  1. A slot is named by counts: alloc gives one, dup adds one, put takes one. Content goes with
 * the last. I/O on its way holds the slot by itself: it is safe to put a slot under I/O.
 *  2. To read a slot that you do not hold a count of (read-ahead), dup it first: -ENOENT says it is
 * free.
 *  3. A page that is being written must not change until the write is done.
 *  4. One write at a time per slot; no read of a slot that is being written (-EBUSY).
 *  5. Callbacks come only from store_poll, store_wait and store_drain, in the calling thread, with
 * no lock of ours held; they may call anything here but those three and store_close.
 *
 * Locks: all of ours are leaves. No function but poll, wait and drain calls back. Threads: any.
 */
#ifndef UMBRA_MM_STORE_H
#define UMBRA_MM_STORE_H

#include "mm/aio.h"
#include "mm/err.h"
#include "mm/slotmap.h"
#include "mm/types.h"

struct store;
struct failpoint;

struct store_opts {
    const char *path;       /* file or device made by area_format; NULL: compressed pool alone */
    uint64_t zpool_bytes;   /* cap of the compressed pool; 0: none. Without path it must not be 0 */
    uint32_t slots;         /* without path: how many; 0: eight per page of zpool_bytes */
    enum aio_engine engine; /* for path */
    bool buffered;          /* for path: no O_DIRECT */
    struct failpoint *fail; /* NULL, or asked at each slot, pool entry and transfer (failpoint.h) */
};

enum store_where {
    STORE_FREE,    /* nobody names it (or it is out of range) */
    STORE_BAD,     /* out of use for ever */
    STORE_EMPTY,   /* given out, holds nothing (yet, or a write failed) */
    STORE_SAME,    /* one value, no data */
    STORE_ZPOOL,   /* compressed in memory */
    STORE_WRITING, /* on its way to disk */
    STORE_DISK,
};

struct store_stats {
    struct slotmap_stats slots;
    uint64_t writes_same, writes_zpool, writes_disk; /* pages that went each way */
    uint64_t reads_same, reads_zpool, reads_disk;
    uint64_t bypassed;     /* did not compress, went past the pool */
    uint64_t written_back; /* moved from the pool to disk */
    uint64_t write_errors; /* slots marked bad (behaviour 23), write-back included */
    uint64_t read_errors;
    uint64_t torn; /* contents that did not match their checksum (behaviour 24) */
    uint64_t full; /* writes refused for want of room: pool, disk or quota */
    uint64_t zpool_held, zpool_max, zpool_data, zpool_entries; /* bytes, bytes, bytes, pages */
};

/* An I/O in flight: the caller's memory, from the call that returned STORE_QUEUED to done. */
struct store_io {
    void (*done)(struct store_io *io,
                 int err); /* set by the caller; err: as of the synchronous call */
    void *ctx;             /* the caller's */
    slot_t slot;           /* filled in by the call */
    void *page;
    /* Private. */
    struct store *store;
    uint64_t sum;
    struct aio_req req;
};

enum { STORE_DONE = 0, STORE_QUEUED = 1 };

/* 0, -EINVAL (neither path nor pool, size limits), -ENOMEM, or as area_open; err says why. */
int store_open(const struct store_opts *opts, struct store **out, struct mm_err *err);
/* Drains. Contents are gone afterwards, whoever still names them. */
void store_close(struct store *st);

/* A slot with a count of 1 and no content, near those c was given before (NULL: the store's own
 * cluster). 0 or -ENOSPC (behaviours 20, 22). */
int store_alloc(struct store *st, struct slot_cluster *c, slot_t *out);
int store_dup(struct store *st, slot_t s);  /* 0 or -ENOENT */
void store_put(struct store *st, slot_t s); /* the slot must have a count */
unsigned store_count(const struct store *st, slot_t s);
bool store_half_full(const struct store *st);
/* Where a slot's content is right now. Read-ahead wants STORE_ZPOOL or STORE_DISK (or STORE_SAME).
 */
enum store_where store_where(struct store *st, slot_t s);
bool store_has_disk(const struct store *st);
/* swapoff: give out no more slots; then walk those in use. next_used: first slot >= from with a
 * count, or 0. */
void store_freeze(struct store *st, bool frozen);
slot_t store_next_used(const struct store *st, slot_t from);

/*
 * Keep a page (4096 bytes, 4096-aligned) under a slot; what the slot held before is gone either
 * way. -ENOSPC  no room: pool full and no area, or the disk is full (behaviour 22) -E2BIG   it does
 * not compress and there is no area: this page cannot go -EIO ... the write failed: the slot is
 * marked bad and will not be used again once it is put (23) -ENOENT  the slot is free     -EBUSY it
 * is being written After an error the slot is empty and the caller still has its count.
 */
int store_write(struct store *st, slot_t s, const void *page);
/* The same without waiting for the disk. STORE_DONE: kept, no callback. STORE_QUEUED: io->done will
 * be called with 0 or an error as above. Negative: as above, or -EAGAIN: too much in flight (poll
 * or wait, then again); no callback. */
int store_write_async(struct store *st, slot_t s, const void *page, struct store_io *io);

/*
 * Bring a page back. *from (may be NULL) says where it was: STORE_SAME, STORE_ZPOOL or STORE_DISK.
 *   -EUCLEAN  content does not match its checksum: torn, stale or flipped (24). The page must not
 * be used. -EIO ...  the read failed (17) -ENODATA  the slot is empty   -ENOENT  it is free -EBUSY
 * it is being written After an error the bytes at page are undefined.
 */
int store_read(struct store *st, slot_t s, void *page, enum store_where *from);
/* STORE_DONE: the page is here, no callback. STORE_QUEUED: io->done comes. Negative: as above,
 * -EAGAIN. */
int store_read_async(struct store *st, slot_t s, void *page, struct store_io *io,
                     enum store_where *from);

void store_kick(struct store *st);     /* hand queued I/O to the kernel now */
unsigned store_poll(struct store *st); /* callbacks made; never blocks */
unsigned store_wait(struct store *st); /* blocks until one was made or nothing is in flight */
void store_drain(struct store *st);    /* blocks until nothing is in flight */

/* Move up to n pages from the compressed pool to disk, oldest first. How many went, or -errno when
 * none could: -ENODATA there is no area, or nothing to move. For a background thread; also done by
 * a write that finds the pool full. */
int store_writeback(struct store *st, unsigned n);
/* The compressed pool is nearly full and there is a disk: a background thread should write back. */
bool store_wants_writeback(struct store *st);

void store_get_stats(struct store *st, struct store_stats *out);
/* For reports: "area /x (slots 100, O_DIRECT, io_uring) behind 64 MiB compressed". NUL-terminated.
 */
void store_describe(const struct store *st, char *buf, size_t len);
/* Failure injection into every disk transfer, write-back included. While nothing is in flight. */
void store_set_io_hook(struct store *st, aio_hook *hook, void *ctx);
/* Slots, pool and states agree? 0 or -EUCLEAN with the first that does not. While nobody else is
 * using the store. */
int store_audit(struct store *st, char *msg, size_t len);

#endif
