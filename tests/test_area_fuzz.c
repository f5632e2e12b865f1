/*
 * Random events on a swap store (writes of every kind, now and later, reads, write-back, failing
 * and torn transfers, slots put under I/O) against a model that knows which page each slot must
 * hold. UMBRA_FUZZ_EVENTS sets how many events, UMBRA_FUZZ_SEED the seed.
 */
#include "area_kit.h"

enum { SLOTS = 200, IOS = 24 };

enum what { NOTHING, PAGE, SPOILT };

struct model {
    unsigned count;
    enum what what;
    uint64_t seed;
    bool busy; /* being written */
};

struct flight {
    struct store_io io;
    struct fuzz *f;
    bool used, write;
    uint64_t seed; /* what is written, or expected */
    enum what expect;
    uint8_t *page;
};

struct fuzz {
    struct store *st;
    char *path;
    uint64_t rnd;
    struct model m[SLOTS];
    struct flight fl[IOS];
    struct slot_cluster cluster;
    int fail; /* the next transfers' fate: errno or byte count */
    unsigned fail_in;
};

static KIT_PAGE uint8_t pages[IOS][PAGE_SIZE], in[PAGE_SIZE], out[PAGE_SIZE];

static unsigned pick(struct fuzz *f, unsigned n)
{
    return (unsigned)(kit_rand(&f->rnd) >> 33) % n;
}

static void content(void *p, uint64_t seed)
{
    if (seed % 11 == 0)
        memset(p, (int)(seed & 0xff), PAGE_SIZE);
    else
        kit_mixed(p, seed, (unsigned)(seed % 9));
}

static int hook(void *ctx, enum aio_point at, const struct aio_req *req)
{
    struct fuzz *f = ctx;
    (void)req;
    if (f->fail_in == 0 || --f->fail_in)
        return 0;
    bool only_later = f->fail > 0 || f->fail == -EINTR; /* no submission ends that way */
    return at == AIO_AT_SUBMIT && only_later ? 0 : f->fail;
}

static void wrote(struct fuzz *f, slot_t s, uint64_t seed, int e)
{
    cr_assert(e == 0 || e == -EIO || e == -ENOSPC || e == -ENXIO, "%d", e);
    f->m[s].what = e ? NOTHING : PAGE;
    f->m[s].seed = seed;
    f->m[s].busy = false;
}

static void did_read(struct fuzz *f, enum what expect, uint64_t seed, int e, const void *page)
{
    (void)f;
    if (expect == NOTHING) {
        cr_assert_eq(e, -ENODATA, "%d", e);
        return;
    }
    if (e == -EIO || e == -ENXIO || e == -ENOSPC)
        return; /* as injected */
    if (expect == SPOILT) {
        cr_assert_eq(e, -EUCLEAN, "%d", e);
        return;
    }
    cr_assert_eq(e, 0, "%d", e);
    content(in, seed);
    cr_assert_arr_eq(in, page, PAGE_SIZE);
}

static void landed(struct store_io *io, int err)
{
    struct flight *fl = io->ctx;
    if (!fl->write)
        did_read(fl->f, fl->expect, fl->seed, err, fl->page);
    else
        wrote(fl->f, io->slot, fl->seed, err);
    fl->used = false;
}

static struct flight *take_off(struct fuzz *f)
{
    for (unsigned i = 0; i < IOS; i++)
        if (!f->fl[i].used) {
            f->fl[i] = (struct flight){
                .io = {.done = landed, .ctx = &f->fl[i]}, .f = f, .used = true, .page = pages[i]};
            return &f->fl[i];
        }
    return NULL;
}

static void do_alloc(struct fuzz *f)
{
    slot_t s = 0;
    if (store_alloc(f->st, pick(f, 2) ? &f->cluster : NULL, &s))
        return;
    cr_assert(s && s < SLOTS && f->m[s].count == 0 && !f->m[s].busy, "slot %u", s);
    cr_assert_eq(store_where(f->st, s), STORE_EMPTY);
    f->m[s] = (struct model){.count = 1};
}

static void do_write(struct fuzz *f, slot_t s, bool async)
{
    struct model *m = &f->m[s];
    uint64_t seed = kit_rand(&f->rnd);
    struct flight *fl = async ? take_off(f) : NULL;
    if (async && !fl)
        return;
    void *p = fl ? fl->page : in;
    content(p, seed);
    int e = fl ? store_write_async(f->st, s, p, &fl->io) : store_write(f->st, s, p);
    if (fl) {
        fl->write = true;
        fl->seed = seed;
        fl->used = e == STORE_QUEUED;
    }
    if (m->count == 0)
        cr_assert_eq(e, -ENOENT);
    else if (m->busy)
        cr_assert_eq(e, -EBUSY);
    else if (e == STORE_QUEUED)
        m->busy = true;
    else
        wrote(f, s, seed, e);
}

static void do_read(struct fuzz *f, slot_t s, bool async)
{
    struct model *m = &f->m[s];
    struct flight *fl = async ? take_off(f) : NULL;
    if (async && !fl)
        return;
    int e =
        fl ? store_read_async(f->st, s, fl->page, &fl->io, NULL) : store_read(f->st, s, out, NULL);
    if (fl) {
        fl->seed = m->seed;
        fl->expect = m->what;
        fl->used = e == STORE_QUEUED;
    }
    if (e == STORE_QUEUED) {
        /* A read in flight forbids writes of its slot: let it land. */
        store_drain(f->st);
        cr_assert_not(fl->used);
    } else if (m->count == 0) {
        cr_assert_eq(e, -ENOENT);
    } else if (m->busy) {
        cr_assert_eq(e, -EBUSY);
    } else {
        did_read(f, m->what, m->seed, e, fl ? fl->page : out);
    }
}

static void do_put(struct fuzz *f, slot_t s)
{
    struct model *m = &f->m[s];
    if (m->count == 0)
        return;
    store_put(f->st, s);
    if (--m->count == 0) {
        m->what = NOTHING;
        enum store_where w = store_where(f->st, s);
        cr_assert(w == STORE_FREE || w == STORE_BAD);
    }
}

static void do_spoil(struct fuzz *f, slot_t s)
{
    struct model *m = &f->m[s];
    if (m->what != PAGE || m->busy || store_where(f->st, s) != STORE_DISK)
        return;
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    off_t at = (off_t)s * PAGE_SIZE + pick(f, PAGE_SIZE);
    uint8_t b;
    cr_assert_eq(pread(fd, &b, 1, at), 1);
    b ^= (uint8_t)(1u << pick(f, 8));
    cr_assert_eq(pwrite(fd, &b, 1, at), 1);
    close(fd);
    m->what = SPOILT;
}

static void event(struct fuzz *f)
{
    slot_t s = 1 + pick(f, SLOTS - 1);
    switch (pick(f, 16)) {
    case 0:
    case 1:
    case 2: do_alloc(f); break;
    case 3:
    case 4: do_write(f, s, false); break;
    case 5:
    case 6: do_write(f, s, true); break;
    case 7:
    case 8: do_read(f, s, false); break;
    case 9: do_read(f, s, true); break;
    case 10:
    case 11: do_put(f, s); break;
    case 12:
        cr_assert_eq(store_dup(f->st, s), f->m[s].count ? 0 : -ENOENT);
        f->m[s].count += f->m[s].count != 0;
        break;
    case 13:
        if (pick(f, 2))
            store_writeback(f->st, pick(f, 12));
        else
            do_spoil(f, s);
        break;
    case 14:
        if (pick(f, 3) == 0)
            store_drain(f->st);
        else
            store_poll(f->st);
        break;
    default:
        if (pick(f, 16) == 0) {
            f->fail = (int[]){-EIO, -ENOSPC, -ENXIO, -EINTR, 512}[pick(f, 5)];
            f->fail_in = 1 + pick(f, 4);
        }
    }
}

static void finish(struct fuzz *f)
{
    f->fail_in = 0;
    store_drain(f->st);
    for (slot_t s = 1; s < SLOTS; s++) {
        cr_assert_eq(store_count(f->st, s), f->m[s].count);
        if (f->m[s].count)
            do_read(f, s, false);
        while (f->m[s].count)
            do_put(f, s);
    }
    kit_empty(f->st);
    store_close(f->st);
    kit_remove(f->path);
}

static void run(uint64_t seed, uint64_t events, enum aio_engine e)
{
    static struct fuzz f;
    f = (struct fuzz){.rnd = seed * 0x9e3779b97f4a7c15ull + 1, .path = kit_area(SLOTS)};
    f.st = kit_store(f.path, seed % 3 ? 96 << 10 : 0, e);
    store_set_io_hook(f.st, hook, &f);
    for (uint64_t i = 0; i < events; i++) {
        event(&f);
        if (i % 64 == 0) {
            char msg[200];
            cr_assert_eq(store_audit(f.st, msg, sizeof msg), 0,
                         "seed %" PRIu64 " event %" PRIu64 ": %s", seed, i, msg);
        }
    }
    finish(&f);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    return s ? strtoull(s, NULL, 0) : otherwise;
}

Test(area_fuzz, random_events_against_a_model, .timeout = 600)
{
    uint64_t first = setting("UMBRA_FUZZ_SEED", 1), events = setting("UMBRA_FUZZ_EVENTS", 60000);
    FOR_EACH_ENGINE(e)
    for (uint64_t k = 0; k < 6; k++)
        run(first + k, events / 12 + 1, e);
}
