/* Between store.c (slots, reports), store_io.c (pages in and out) and store_wb.c (pool to disk). */
#ifndef UMBRA_MM_STORE_PRIV_H
#define UMBRA_MM_STORE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "mm/area.h"
#include "mm/failpoint.h"
#include "mm/store.h"
#include "mm/zpool.h"

#define STORE_STRIPES  64u
#define STORE_WB_BATCH 16u /* pages moved to disk at a time */

/*
 * What a slot holds; under its stripe's lock. Invariants:
 *  1. where is STORE_ZPOOL exactly if zh is not 0, and then zh is this slot's alone.
 *  2. A slot that nobody names or pins holds nothing.
 *  3. wb: a copy is on its way to disk; the pool's entry stays valid until it has arrived.
 */
struct loc {
    uint64_t sum; /* of the page; for STORE_SAME the value itself */
    zhandle_t zh;
    uint8_t where; /* STORE_FREE (0) stands for STORE_EMPTY, so that fresh memory is right */
    bool wb;
};

struct wb_page {
    struct aio_req req;
    struct store *store;
    slot_t slot;
    zhandle_t zh;
    int err;
};

struct store_counts {
    _Atomic uint64_t writes_same, writes_zpool, writes_disk, reads_same, reads_zpool, reads_disk,
        bypassed, written_back, write_errors, read_errors, torn, full;
};

struct store {
    struct slotmap *map;
    struct zpool *zp;  /* or NULL */
    struct area *area; /* or NULL */
    struct loc *loc;   /* [slots] */
    pthread_mutex_t stripe[STORE_STRIPES];
    struct store_counts n;
    struct failpoint *fail; /* or NULL */
    aio_hook *hook;         /* the test's own, or NULL */
    void *hook_ctx;

    pthread_mutex_t wb_lock; /* one batch at a time; the fields below */
    struct aio *wb_aio;      /* its own, so that a batch makes nobody else's callbacks */
    uint8_t *wb_buf;         /* STORE_WB_BATCH pages */
    struct wb_page wb[STORE_WB_BATCH];
};

static inline pthread_mutex_t *store_stripe(struct store *st, slot_t s)
{
    return &st->stripe[s % STORE_STRIPES];
}

/* Let go of what a slot holds. Its stripe is locked. */
void store_drop(struct store *st, slot_t s);
/* Take a pin back, and the slot with it if nobody is left. */
void store_unpin(struct store *st, slot_t s);
/* Did the medium fail (true), or is there only no room (or memory) for now? */
bool store_err_is_bad_medium(int err);
/* Count a failed write of a slot and mark it, as its error demands. */
void store_write_failed(struct store *st, slot_t s, int err);
/* Wait until no write-back is under way for s; its stripe is locked on entry and return. */
void store_await_wb(struct store *st, slot_t s);

int store_wb_init(struct store *st, const struct store_opts *opts, struct mm_err *err);
void store_wb_fini(struct store *st);

#endif
