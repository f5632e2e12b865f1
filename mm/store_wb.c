/*
 * Write-back: pages of the compressed pool that go on to disk, oldest first.
 *
 * A page's slot is pinned and marked `wb` while a copy travels, so the slot can be put (it is not
 * given out again before the copy has landed) and read (from the pool) meanwhile; who wants to
 * write the slot waits. A batch has an I/O queue and pages of its own: it makes nobody else's
 * callbacks and uses no heap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/pagesum.h"
#include "mm/store_priv.h"

int store_wb_init(struct store *st, const struct store_opts *o, struct mm_err *err)
{
    int e = aio_create(area_fd(st->area), STORE_WB_BATCH, o->engine, &st->wb_aio);
    if (e)
        return mm_err_set(err, e, "swap area %s: cannot start write-back: %s", o->path,
                          strerror(-e));
    st->wb_buf = aligned_alloc(PAGE_SIZE, (size_t)STORE_WB_BATCH * PAGE_SIZE);
    if (!st->wb_buf)
        return mm_err_set(err, -ENOMEM, "swap area %s: no memory for write-back", o->path);
    return 0;
}

void store_wb_fini(struct store *st)
{
    aio_destroy(st->wb_aio);
    free(st->wb_buf);
}

void store_await_wb(struct store *st, slot_t s)
{
    while (st->loc[s].wb) {
        /* Whoever holds wb_lock is the batch that has it. */
        pthread_mutex_unlock(store_stripe(st, s));
        pthread_mutex_lock(&st->wb_lock);
        pthread_mutex_unlock(&st->wb_lock);
        pthread_mutex_lock(store_stripe(st, s));
    }
}

static void wb_landed(struct aio_req *req, int err)
{
    struct wb_page *w = (struct wb_page *)((char *)req - offsetof(struct wb_page, req));
    w->err = err;
}

/* Take page w's copy out of the pool, if it still is there and its place on disk is sound. */
static bool wb_take(struct store *st, struct wb_page *w, void *buf)
{
    if (slotmap_pin(st->map, w->slot))
        return false;
    bool ok = false;
    pthread_mutex_lock(store_stripe(st, w->slot));
    struct loc *l = &st->loc[w->slot];
    if (l->where == STORE_ZPOOL && l->zh == w->zh && !l->wb && !slotmap_bad(st->map, w->slot)) {
        /* Spoilt content stays where it is, for its reader to be told. */
        ok = zpool_load(st->zp, l->zh, buf) == 0 && page_sum(buf) == l->sum;
        l->wb = ok;
    }
    pthread_mutex_unlock(store_stripe(st, w->slot));
    if (!ok)
        store_unpin(st, w->slot);
    return ok;
}

/* The copy has landed, or not: the slot's content moves to disk, or stays. */
static bool wb_settle(struct store *st, struct wb_page *w)
{
    pthread_mutex_lock(store_stripe(st, w->slot));
    struct loc *l = &st->loc[w->slot];
    l->wb = false;
    if (w->err == 0) {
        store_drop(st, w->slot);
        l->where = STORE_DISK;
    }
    pthread_mutex_unlock(store_stripe(st, w->slot));
    if (w->err)
        store_write_failed(st, w->slot, w->err);
    else
        st->n.written_back++;
    store_unpin(st, w->slot);
    return w->err == 0;
}

/* Fill the batch with up to n of the oldest pages that can go, and start them. */
static unsigned wb_start(struct store *st, unsigned n)
{
    unsigned k = 0;
    /* Some of the oldest may be stuck (bad place on disk): look a little further, not for ever. */
    for (unsigned tries = 0; k < n && tries < 4 * STORE_WB_BATCH; tries++) {
        struct wb_page *w = &st->wb[k];
        uint8_t *buf = st->wb_buf + (size_t)k * PAGE_SIZE;
        if (!zpool_oldest(st->zp, &w->zh, &w->slot))
            break;
        if (!wb_take(st, w, buf))
            continue;
        w->store = st;
        w->req = (struct aio_req){.op = AIO_WRITE,
                                  .buf = buf,
                                  .len = PAGE_SIZE,
                                  .off = (uint64_t)w->slot << PAGE_SHIFT,
                                  .done = wb_landed};
        w->err = aio_submit(st->wb_aio, &w->req);
        k++;
    }
    return k;
}

/* One batch: how many pages went; *err is the last error. */
static unsigned wb_batch(struct store *st, unsigned n, int *err)
{
    unsigned went = 0;
    pthread_mutex_lock(&st->wb_lock);
    unsigned k = wb_start(st, n < STORE_WB_BATCH ? n : STORE_WB_BATCH);
    aio_drain(st->wb_aio);
    for (unsigned i = 0; i < k; i++) {
        if (wb_settle(st, &st->wb[i]))
            went++;
        else
            *err = st->wb[i].err;
    }
    pthread_mutex_unlock(&st->wb_lock);
    return went;
}

int store_writeback(struct store *st, unsigned n)
{
    int err = -ENODATA;
    unsigned went = 0;
    if (!st->area || !st->zp)
        return err;
    while (went < n) {
        unsigned step = wb_batch(st, n - went, &err);
        if (step == 0)
            break;
        went += step;
    }
    return went ? (int)(went < INT32_MAX ? went : INT32_MAX) : n ? err : 0;
}

bool store_wants_writeback(struct store *st)
{
    if (!st->area || !st->zp)
        return false;
    struct zpool_stats z;
    zpool_get_stats(st->zp, &z);
    return z.bytes_held > z.bytes_max - z.bytes_max / 8;
}
