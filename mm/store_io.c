/*
 * Pages into slots and back.
 *
 * A write tries, in order: one value; the compressed pool (moving old pages on to disk to make
 * room); the disk. Content is summed before it leaves and checked when it comes back.
 */
#include <assert.h>
#include <errno.h>

#include "mm/pagesum.h"
#include "mm/store_priv.h"

bool store_err_is_bad_medium(int err)
{
    return err != -ENOSPC && err != -EDQUOT && err != -ENOMEM && err != -EAGAIN;
}

void store_write_failed(struct store *st, slot_t s, int err)
{
    if (store_err_is_bad_medium(err)) {
        slotmap_mark_bad(st->map, s);
        st->n.write_errors++;
    } else if (err != -EAGAIN) {
        st->n.full++;
    }
}

/* Compress into the pool; where it is full, let its oldest pages go to disk and try again. */
static int to_pool(struct store *st, slot_t s, const void *page, zhandle_t *zh)
{
    int e = fail_now(st->fail, FAIL_SLOT) ? -ENOSPC : zpool_store(st->zp, page, s, zh);
    if (e == -ENOSPC && st->area && store_writeback(st, STORE_WB_BATCH) > 0)
        e = zpool_store(st->zp, page, s, zh);
    if (e == -E2BIG)
        st->n.bypassed++;
    return e;
}

/* Lock the slot's stripe for a new content, the old one gone. 0 (locked) or -EBUSY (not locked). */
static int lock_for_write(struct store *st, slot_t s)
{
    pthread_mutex_lock(store_stripe(st, s));
    store_await_wb(st, s);
    if (st->loc[s].where == STORE_WRITING) {
        pthread_mutex_unlock(store_stripe(st, s));
        return -EBUSY;
    }
    store_drop(st, s);
    return 0;
}

static int set_content(struct store *st, slot_t s, enum store_where where, uint64_t sum,
                       zhandle_t zh)
{
    int e = lock_for_write(st, s);
    if (e)
        return e;
    st->loc[s] = (struct loc){.sum = sum, .zh = zh, .where = (uint8_t)where};
    pthread_mutex_unlock(store_stripe(st, s));
    return 0;
}

/* The part of a write before the disk. STORE_DONE, or STORE_QUEUED: the slot is STORE_WRITING and
 * its page must go to disk, or an error (the slot is empty, -EBUSY aside). The slot is pinned. */
static int write_begin(struct store *st, slot_t s, const void *page)
{
    uint64_t sum;
    int e;
    if (zpool_same_filled(page, &sum)) {
        e = set_content(st, s, STORE_SAME, sum, 0);
        st->n.writes_same += e == 0;
        return e;
    }
    sum = page_sum(page);
    zhandle_t zh = 0;
    int pe = st->zp ? to_pool(st, s, page, &zh) : -E2BIG;
    if (pe == 0) {
        e = set_content(st, s, STORE_ZPOOL, sum, zh);
        if (e)
            zpool_free(st->zp, zh);
        st->n.writes_zpool += e == 0;
        return e;
    }
    if (st->area) {
        e = set_content(st, s, STORE_WRITING, sum, 0);
        return e ? e : STORE_QUEUED;
    }
    e = set_content(st, s, STORE_EMPTY, 0, 0);
    st->n.full += e == 0;
    return e ? e : pe;
}

/* The disk has answered. Takes the pin back. */
static void write_end(struct store *st, slot_t s, int err)
{
    pthread_mutex_lock(store_stripe(st, s));
    assert(st->loc[s].where == STORE_WRITING);
    st->loc[s].where = err ? STORE_EMPTY : STORE_DISK;
    pthread_mutex_unlock(store_stripe(st, s));
    if (err)
        store_write_failed(st, s, err);
    else
        st->n.writes_disk++;
    store_unpin(st, s);
}

int store_write(struct store *st, slot_t s, const void *page)
{
    int e = slotmap_pin(st->map, s);
    if (e)
        return e;
    e = write_begin(st, s, page);
    if (e != STORE_QUEUED) {
        store_unpin(st, s);
        return e;
    }
    e = area_write(st->area, s, page);
    write_end(st, s, e);
    return e;
}

static void written(struct aio_req *req, int err)
{
    struct store_io *io = (struct store_io *)((char *)req - offsetof(struct store_io, req));
    write_end(io->store, io->slot, err);
    io->done(io, err);
}

int store_write_async(struct store *st, slot_t s, const void *page, struct store_io *io)
{
    int e = slotmap_pin(st->map, s);
    if (e)
        return e;
    e = write_begin(st, s, page);
    if (e != STORE_QUEUED) {
        store_unpin(st, s);
        return e;
    }
    io->store = st;
    io->slot = s;
    io->page = (void *)(uintptr_t)page;
    io->req.done = written;
    e = area_submit(st->area, AIO_WRITE, s, io->page, &io->req);
    if (e) {
        write_end(st, s, e);
        return e;
    }
    return STORE_QUEUED;
}

static int check_sum(struct store *st, const void *page, uint64_t sum)
{
    if (page_sum(page) == sum)
        return 0;
    st->n.torn++;
    return -EUCLEAN;
}

/* The disk has answered a read. */
static int read_end(struct store *st, const void *page, uint64_t sum, int err)
{
    if (err) {
        st->n.read_errors++;
        return err;
    }
    st->n.reads_disk++;
    return check_sum(st, page, sum);
}

/* The part of a read before the disk: STORE_DONE, STORE_QUEUED (the page is on disk, with *sum), or
 * an error. */
static int read_begin(struct store *st, slot_t s, void *page, uint64_t *sum,
                      enum store_where *where)
{
    int e = STORE_DONE;
    pthread_mutex_lock(store_stripe(st, s));
    const struct loc l = st->loc[s];
    if (l.where == STORE_ZPOOL)
        e = zpool_load(st->zp, l.zh, page); /* locked: write-back would free the entry */
    pthread_mutex_unlock(store_stripe(st, s));
    *where = l.where;
    *sum = l.sum;
    switch (*where) {
    case STORE_SAME:
        zpool_fill(page, l.sum);
        st->n.reads_same++;
        return STORE_DONE;
    case STORE_ZPOOL:
        st->n.reads_zpool++;
        st->n.torn += e != 0;
        return e ? e : check_sum(st, page, l.sum);
    case STORE_DISK: return STORE_QUEUED;
    case STORE_WRITING: return -EBUSY;
    default: return -ENODATA;
    }
}

int store_read(struct store *st, slot_t s, void *page, enum store_where *from)
{
    uint64_t sum;
    enum store_where where;
    int e = slotmap_pin(st->map, s);
    if (e)
        return e;
    e = read_begin(st, s, page, &sum, &where);
    if (e == STORE_QUEUED)
        e = read_end(st, page, sum, area_read(st->area, s, page));
    store_unpin(st, s);
    if (from)
        *from = where;
    return e;
}

static void was_read(struct aio_req *req, int err)
{
    struct store_io *io = (struct store_io *)((char *)req - offsetof(struct store_io, req));
    err = read_end(io->store, io->page, io->sum, err);
    store_unpin(io->store, io->slot);
    io->done(io, err);
}

int store_read_async(struct store *st, slot_t s, void *page, struct store_io *io,
                     enum store_where *from)
{
    enum store_where where;
    int e = slotmap_pin(st->map, s);
    if (e)
        return e;
    e = read_begin(st, s, page, &io->sum, &where);
    if (from)
        *from = where;
    if (e == STORE_QUEUED) {
        io->store = st;
        io->slot = s;
        io->page = page;
        io->req.done = was_read;
        e = area_submit(st->area, AIO_READ, s, page, &io->req);
        if (e == 0)
            return STORE_QUEUED;
        st->n.read_errors += e != -EAGAIN;
    }
    store_unpin(st, s);
    return e;
}
