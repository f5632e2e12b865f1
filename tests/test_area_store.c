/*
 * The swap store: a page under a slot, wherever it lies. Behaviours 16 to 25 as far as they are the
 * store's.
 */
#include "area_kit.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "mm/pagesum.h"

static KIT_PAGE uint8_t in[PAGE_SIZE], out[PAGE_SIZE];

static void spoil(const char *path, slot_t s, unsigned byte, uint8_t xor)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t b;
    cr_assert_eq(pread(fd, &b, 1, (off_t)s * PAGE_SIZE + byte), 1);
    b ^= xor;
    cr_assert_eq(pwrite(fd, &b, 1, (off_t)s * PAGE_SIZE + byte), 1);
    close(fd);
}

Test(store, b19_options_that_mean_nothing_are_refused)
{
    struct store *st;
    struct mm_err err;
    struct store_opts o = {0};
    cr_assert_eq(store_open(&o, &st, &err), -EINVAL);
    cr_assert(strstr(err.text, "neither an area nor a compressed pool"), "%s", err.text);
    o.zpool_bytes = 1;
    cr_assert_eq(store_open(&o, &st, &err), -EINVAL);
    cr_assert(strstr(err.text, "compressed pool: size is 1 bytes"), "%s", err.text);
    o.zpool_bytes = UINT64_MAX;
    cr_assert_eq(store_open(&o, &st, &err), -EINVAL);
    o.zpool_bytes = 1 << 20;
    o.slots = 1;
    cr_assert_eq(store_open(&o, &st, &err), -EINVAL);
    o.slots = SLOTS_MAX + 1;
    cr_assert_eq(store_open(&o, &st, &err), -EINVAL);
    o.slots = 0;
    o.path = "/nowhere/at/all";
    cr_assert_eq(store_open(&o, &st, &err), -ENOENT);
}

Test(store, b21_one_value_costs_no_io_and_no_data)
{
    char *p = kit_area(16);
    struct store *st = kit_store(p, 1 << 20, AIO_AUTO);
    for (unsigned k = 0; k < 3; k++) {
        memset(in, (int[]){0, 0xff, 0x5a}[k], PAGE_SIZE);
        slot_t s = kit_alloc(st);
        cr_assert_eq(store_write(st, s, in), STORE_DONE);
        expect(st, s, in, STORE_SAME);
        store_put(st, s);
    }
    struct store_stats n = stats_of(st);
    cr_assert_eq(n.writes_same, 3);
    cr_assert_eq(n.reads_same, 3);
    cr_assert_eq(n.writes_disk + n.writes_zpool + n.zpool_entries, 0);
    kit_empty(st);
    store_close(st);
    kit_remove(p);
}

Test(store, b21_incompressible_goes_past_the_pool)
{
    char *p = kit_area(16);
    struct store *st = kit_store(p, 1 << 20, AIO_AUTO);
    slot_t s = kit_alloc(st), t = kit_alloc(st);
    kit_noise(in, 1);
    cr_assert_eq(store_write(st, s, in), 0);
    expect(st, s, in, STORE_DISK);
    kit_text(in, 2);
    cr_assert_eq(store_write(st, t, in), 0);
    expect(st, t, in, STORE_ZPOOL);
    struct store_stats n = stats_of(st);
    cr_assert_eq(n.bypassed, 1);
    cr_assert_eq(n.writes_disk, 1);
    cr_assert_eq(n.writes_zpool, 1);
    store_put(st, s);
    store_put(st, t);
    kit_empty(st);
    store_close(st);
    kit_remove(p);
}

Test(store, b21_without_an_area_the_pool_serves_alone)
{
    struct store *st = kit_store(NULL, 1 << 20, AIO_AUTO);
    cr_assert_not(store_has_disk(st));
    slot_t s = kit_alloc(st), t = kit_alloc(st);
    kit_text(in, 1);
    cr_assert_eq(store_write(st, s, in), 0);
    expect(st, s, in, STORE_ZPOOL);
    kit_noise(in, 1);
    cr_assert_eq(store_write(st, t, in), -E2BIG);
    cr_assert_eq(store_where(st, t), STORE_EMPTY);
    cr_assert_eq(store_read(st, t, out, NULL), -ENODATA);
    cr_assert_eq(store_writeback(st, 1), -ENODATA);
    cr_assert_not(store_wants_writeback(st));
    cr_assert_eq(store_poll(st) + store_wait(st), 0);
    store_put(st, s);
    store_put(st, t);
    kit_empty(st);
    store_close(st);
}

Test(store, b22_pool_alone_and_full_says_so_and_loses_nothing)
{
    struct store *st = kit_store(NULL, 128 << 10, AIO_AUTO);
    slot_t got[2000];
    unsigned n = 0;
    int e = 0;
    while (e == 0) {
        got[n] = kit_alloc(st);
        kit_text(in, n);
        e = store_write(st, got[n], in);
        n++;
    }
    cr_assert_eq(e, -ENOSPC);
    cr_assert_eq(stats_of(st).full, 1);
    for (unsigned i = 0; i + 1 < n; i++) {
        kit_text(in, i);
        expect(st, got[i], in, STORE_ZPOOL);
    }
    store_put(st, got[0]);
    kit_text(in, n);
    cr_assert_eq(store_write(st, got[n - 1], in), 0, "there is room again");
    kit_audit(st);
    store_close(st);
}

Test(store, b22_area_full_says_so_and_loses_nothing)
{
    FOR_EACH_ENGINE(e)
    {
        char *p = kit_area(9);
        struct store *st = kit_store(p, 0, e);
        slot_t got[8], s;
        for (unsigned i = 0; i < 8; i++) {
            got[i] = kit_alloc(st);
            kit_noise(in, i);
            cr_assert_eq(store_write(st, got[i], in), 0);
        }
        cr_assert_eq(store_alloc(st, NULL, &s), -ENOSPC);
        for (unsigned i = 0; i < 8; i++) {
            kit_noise(in, i);
            expect(st, got[i], in, STORE_DISK);
        }
        store_put(st, got[3]);
        cr_assert_eq(kit_alloc(st), got[3]);
        store_close(st);
        kit_remove(p);
    }
}

static int fail_read(void *ctx, enum aio_point at, const struct aio_req *req)
{
    return at == AIO_AT_COMPLETE && req->op == AIO_READ ? *(int *)ctx : 0;
}

Test(store, b23_a_write_error_marks_the_slot_and_is_counted)
{
    char *p = kit_area(9);
    struct store *st = kit_store(p, 0, AIO_AUTO);
    int err = -EIO;
    slot_t s = kit_alloc(st), t;
    kit_noise(in, 1);
    store_set_io_hook(st, fail_write, &err);
    cr_assert_eq(store_write(st, s, in), -EIO);
    store_set_io_hook(st, NULL, NULL);
    cr_assert_eq(store_where(st, s), STORE_EMPTY);
    cr_assert_eq(store_count(st, s), 1, "the caller still has its count");
    struct store_stats n = stats_of(st);
    cr_assert_eq(n.write_errors, 1);
    cr_assert_eq(n.slots.bad, 1);
    store_put(st, s);
    cr_assert_eq(store_where(st, s), STORE_BAD);
    for (unsigned i = 0; i < 7; i++)
        cr_assert_neq(kit_alloc(st), s, "not given again");
    cr_assert_eq(store_alloc(st, NULL, &t), -ENOSPC);
    kit_audit(st);
    store_close(st);
    kit_remove(p);
}

Test(store, b22_no_room_on_disk_is_not_a_bad_slot)
{
    char *p = kit_area(9);
    struct store *st = kit_store(p, 0, AIO_AUTO);
    int err = -ENOSPC;
    slot_t s = kit_alloc(st);
    kit_noise(in, 1);
    store_set_io_hook(st, fail_write, &err);
    cr_assert_eq(store_write(st, s, in), -ENOSPC);
    store_set_io_hook(st, NULL, NULL);
    struct store_stats n = stats_of(st);
    cr_assert_eq(n.full, 1);
    cr_assert_eq(n.slots.bad + n.write_errors, 0);
    cr_assert_eq(store_write(st, s, in), 0, "and can be tried again");
    expect(st, s, in, STORE_DISK);
    store_close(st);
    kit_remove(p);
}

/* A file with holes on a file system that really fills up. */
Test(store, b22_disk_full_in_mid_run)
{
    char *dir = kit_path(), *p;
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        cr_skip_test("cannot mount here");
    cr_assert_eq(mkdir(dir, 0700), 0);
    cr_assert_eq(mount("tmpfs", dir, "tmpfs", 0, "size=64k"), 0);
    cr_assert_gt(asprintf(&p, "%s/area", dir), 0);
    struct mm_err err;
    cr_assert_eq(area_format(p, 1 << 20, &err), -ENOSPC, "reserving finds it");
    cr_assert(strstr(err.text, "free some room"), "%s", err.text);
    cr_assert_eq(access(p, F_OK), -1, "and leaves nothing");
    cr_assert_eq(area_format(p, 8 * 4096, &err), 0, "%s", err.text);
    /* Punch out what mkswap reserved, as if the file had been copied with holes. */
    int fd = open(p, O_RDWR | O_CLOEXEC);
    cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 7 * 4096), 0);
    close(fd);
    char *filler;
    cr_assert_gt(asprintf(&filler, "%s/filler", dir), 0);
    fd = open(filler, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, in, PAGE_SIZE) == PAGE_SIZE)
        ;
    close(fd);
    struct store *st = kit_store(p, 0, AIO_AUTO);
    slot_t s = kit_alloc(st);
    kit_noise(in, 1);
    cr_assert_eq(store_write(st, s, in), -ENOSPC);
    cr_assert_eq(stats_of(st).slots.bad, 0);
    unlink(filler);
    cr_assert_eq(store_write(st, s, in), 0);
    expect(st, s, in, STORE_DISK);
    store_close(st);
    umount(dir);
    rmdir(dir);
    free(dir);
}

Test(store, b17_a_read_error_is_told_and_harms_nothing)
{
    FOR_EACH_ENGINE(e)
    {
        char *p = kit_area(9);
        struct store *st = kit_store(p, 0, e);
        int err = -EIO;
        slot_t s = kit_alloc(st), t = kit_alloc(st);
        kit_noise(in, 1);
        cr_assert_eq(store_write(st, t, in), 0);
        cr_assert_eq(store_write(st, s, in), 0);
        store_set_io_hook(st, fail_read, &err);
        cr_assert_eq(store_read(st, s, out, NULL), -EIO);
        store_set_io_hook(st, NULL, NULL);
        cr_assert_eq(stats_of(st).read_errors, 1);
        cr_assert_eq(store_count(st, s), 1);
        expect(st, s, in, STORE_DISK);
        expect(st, t, in, STORE_DISK);
        store_close(st);
        kit_remove(p);
    }
}

Test(store, b24_every_torn_or_flipped_slot_is_caught)
{
    char *p = kit_area(200);
    struct store *st = kit_store(p, 0, AIO_AUTO);
    slot_t s[100];
    for (unsigned i = 0; i < 100; i++) {
        s[i] = kit_alloc(st);
        kit_noise(in, i);
        cr_assert_eq(store_write(st, s[i], in), 0);
    }
    for (unsigned i = 0; i < 100; i += 2)
        spoil(p, s[i], i * 41, (uint8_t)(1u << i % 8));
    for (unsigned i = 0; i < 100; i++) {
        kit_noise(in, i);
        if (i % 2)
            expect(st, s[i], in, STORE_DISK);
        else
            cr_assert_eq(store_read(st, s[i], out, NULL), -EUCLEAN);
    }
    cr_assert_eq(stats_of(st).torn, 50);
    cr_assert_eq(stats_of(st).slots.used, 100);
    store_close(st);
    kit_remove(p);
}

Test(store, b24_the_sum_is_the_same_whatever_the_processor_can)
{
    static uint8_t page[PAGE_SIZE];
    if (!page_sum_has_avx2())
        cr_skip_test("this processor has no AVX2");
    for (unsigned i = 0; i < 64; i++) {
        for (unsigned k = 0; k < PAGE_SIZE; k++)
            page[k] = (uint8_t)((k * (i + 1)) >> (i % 7));
        cr_assert_eq(page_sum_plain(page), page_sum_avx2(page), "page %u", i);
        cr_assert_eq(page_sum(page), page_sum_plain(page));
        const uint64_t was = page_sum(page);
        page[(i * 2654435761u) % PAGE_SIZE] ^= 1;
        cr_assert_neq(page_sum(page), was, "one bit of page %u", i);
    }
}

Test(store, b24_stale_content_is_caught)
{
    char *p = kit_area(9);
    struct store *st = kit_store(p, 0, AIO_AUTO);
    slot_t s = kit_alloc(st);
    kit_noise(in, 1);
    cr_assert_eq(store_write(st, s, in), 0);
    /* A write that the disk acknowledges and forgets: the old bytes come back. */
    int fd = open(p, O_RDWR | O_CLOEXEC);
    cr_assert_eq(pread(fd, out, PAGE_SIZE, (off_t)s * PAGE_SIZE), PAGE_SIZE);
    kit_noise(in, 2);
    cr_assert_eq(store_write(st, s, in), 0);
    cr_assert_eq(pwrite(fd, out, PAGE_SIZE, (off_t)s * PAGE_SIZE), PAGE_SIZE);
    close(fd);
    cr_assert_eq(store_read(st, s, out, NULL), -EUCLEAN);
    kit_noise(in, 3);
    cr_assert_eq(store_write(st, s, in), 0, "a new write cures it");
    expect(st, s, in, STORE_DISK);
    store_close(st);
    kit_remove(p);
}

struct waiter {
    struct store_io io;
    int err;
    unsigned calls;
};

static void waited(struct store_io *io, int err)
{
    struct waiter *w = io->ctx;
    w->err = err;
    w->calls++;
}

static void arm(struct waiter *w)
{
    *w = (struct waiter){.io = {.done = waited, .ctx = w}};
}

Test(store, b18_async_write_and_read)
{
    FOR_EACH_ENGINE(e)
    {
        enum { N = 40 };
        char *p = kit_area(100);
        struct store *st = kit_store(p, 0, e);
        static KIT_PAGE uint8_t pages[N][PAGE_SIZE];
        struct waiter w[N];
        slot_t s[N];
        for (unsigned i = 0; i < N; i++) {
            s[i] = kit_alloc(st);
            arm(&w[i]);
            kit_noise(pages[i], i);
            cr_assert_eq(store_write_async(st, s[i], pages[i], &w[i].io), STORE_QUEUED);
            cr_assert_eq(w[i].io.slot, s[i]);
            cr_assert_eq(store_where(st, s[i]), STORE_WRITING);
            cr_assert_eq(store_read(st, s[i], out, NULL), -EBUSY);
            cr_assert_eq(store_write(st, s[i], pages[i]), -EBUSY);
        }
        store_kick(st);
        store_drain(st);
        for (unsigned i = 0; i < N; i++) {
            cr_assert(w[i].calls == 1 && w[i].err == 0);
            memset(pages[i], 0, PAGE_SIZE);
            enum store_where from;
            arm(&w[i]);
            cr_assert_eq(store_read_async(st, s[i], pages[i], &w[i].io, &from), STORE_QUEUED);
            cr_assert_eq(from, STORE_DISK);
        }
        unsigned made = 0;
        while (made < N)
            made += store_wait(st);
        for (unsigned i = 0; i < N; i++) {
            kit_noise(in, i);
            cr_assert(w[i].calls == 1 && w[i].err == 0);
            cr_assert_arr_eq(in, pages[i], PAGE_SIZE);
            store_put(st, s[i]);
        }
        kit_empty(st);
        store_close(st);
        kit_remove(p);
    }
}

Test(store, b21_async_that_needs_no_disk_is_done_at_once)
{
    char *p = kit_area(100);
    struct store *st = kit_store(p, 1 << 20, AIO_AUTO);
    struct waiter w;
    enum store_where from;
    for (unsigned k = 0; k < 2; k++) {
        slot_t s = kit_alloc(st);
        memset(in, 7, sizeof in);
        if (k)
            kit_text(in, 1);
        arm(&w);
        cr_assert_eq(store_write_async(st, s, in, &w.io), STORE_DONE);
        cr_assert_eq(store_read_async(st, s, out, &w.io, &from), STORE_DONE);
        cr_assert_eq(from, k ? STORE_ZPOOL : STORE_SAME);
        cr_assert_arr_eq(in, out, PAGE_SIZE);
        store_drain(st);
        cr_assert_eq(w.calls, 0);
    }
    store_close(st);
    kit_remove(p);
}

Test(store, b23_async_errors_reach_the_callback)
{
    FOR_EACH_ENGINE(e)
    {
        char *p = kit_area(100);
        struct store *st = kit_store(p, 0, e);
        struct waiter w;
        int err = -EIO;
        slot_t s = kit_alloc(st), t = kit_alloc(st);
        kit_noise(in, 1);
        cr_assert_eq(store_write(st, t, in), 0);
        store_set_io_hook(st, fail_write, &err);
        arm(&w);
        cr_assert_eq(store_write_async(st, s, in, &w.io), STORE_QUEUED);
        store_drain(st);
        cr_assert(w.calls == 1 && w.err == -EIO);
        cr_assert_eq(store_where(st, s), STORE_EMPTY);
        cr_assert_eq(stats_of(st).slots.bad, 1);
        store_set_io_hook(st, fail_read, &err);
        arm(&w);
        cr_assert_eq(store_read_async(st, t, out, &w.io, NULL), STORE_QUEUED);
        store_drain(st);
        cr_assert(w.calls == 1 && w.err == -EIO);
        store_set_io_hook(st, NULL, NULL);
        spoil(p, t, 99, 1);
        arm(&w);
        cr_assert_eq(store_read_async(st, t, out, &w.io, NULL), STORE_QUEUED);
        store_drain(st);
        cr_assert(w.calls == 1 && w.err == -EUCLEAN);
        store_put(st, s);
        store_put(st, t);
        kit_empty(st);
        store_close(st);
        kit_remove(p);
    }
}

Test(store, b18_a_slot_that_is_put_under_io_is_not_given_again_before_it_lands)
{
    FOR_EACH_ENGINE(e)
    {
        char *p = kit_area(2);
        struct store *st = kit_store(p, 0, e);
        struct waiter w;
        slot_t s = kit_alloc(st), t;
        kit_noise(in, 1);
        arm(&w);
        cr_assert_eq(store_write_async(st, s, in, &w.io), STORE_QUEUED);
        store_put(st, s);
        cr_assert_eq(store_where(st, s), STORE_FREE);
        cr_assert_eq(store_dup(st, s), -ENOENT);
        cr_assert_eq(store_alloc(st, NULL, &t), -ENOSPC);
        store_drain(st);
        cr_assert(w.calls == 1 && w.err == 0);
        cr_assert_eq(kit_alloc(st), s);
        cr_assert_eq(store_where(st, s), STORE_EMPTY);
        store_put(st, s);
        kit_empty(st);
        store_close(st);
        kit_remove(p);
    }
}

Test(store, b16_content_goes_with_the_last_count)
{
    char *p = kit_area(16);
    struct store *st = kit_store(p, 1 << 20, AIO_AUTO);
    slot_t s = kit_alloc(st);
    kit_text(in, 1);
    cr_assert_eq(store_write(st, s, in), 0);
    cr_assert_eq(store_dup(st, s), 0);
    store_put(st, s);
    expect(st, s, in, STORE_ZPOOL);
    store_put(st, s);
    cr_assert_eq(store_where(st, s), STORE_FREE);
    cr_assert_eq(store_read(st, s, out, NULL), -ENOENT);
    cr_assert_eq(store_write(st, s, in), -ENOENT);
    cr_assert_eq(store_where(st, 0), STORE_FREE);
    cr_assert_eq(store_where(st, UINT32_MAX), STORE_FREE);
    kit_empty(st);
    store_close(st);
    kit_remove(p);
}

Test(store, b11_a_slot_written_again_has_only_the_new_content)
{
    char *p = kit_area(16);
    struct store *st = kit_store(p, 1 << 20, AIO_AUTO);
    slot_t s = kit_alloc(st);
    /* Every kind of content after every other. */
    for (unsigned i = 0; i < 27; i++) {
        unsigned kind = (i * 7 + i / 3) % 3;
        if (kind == 0)
            memset(in, (int)i, PAGE_SIZE);
        else if (kind == 1)
            kit_text(in, i);
        else
            kit_noise(in, i);
        cr_assert_eq(store_write(st, s, in), 0);
        expect(st, s, in, (enum store_where[]){STORE_SAME, STORE_ZPOOL, STORE_DISK}[kind]);
        kit_audit(st);
    }
    store_put(st, s);
    kit_empty(st);
    store_close(st);
    kit_remove(p);
}

Test(store, b25_frozen_gives_no_slot_and_shows_those_in_use)
{
    struct store *st = kit_store(NULL, 1 << 20, AIO_AUTO);
    slot_t a = kit_alloc(st), b = kit_alloc(st), c;
    store_freeze(st, true);
    cr_assert_eq(store_alloc(st, NULL, &c), -ENOSPC);
    cr_assert_eq(store_next_used(st, 0), a);
    cr_assert_eq(store_next_used(st, a + 1), b);
    cr_assert_eq(store_next_used(st, b + 1), 0);
    store_freeze(st, false);
    cr_assert_eq(store_alloc(st, NULL, &c), 0);
    store_close(st);
}

Test(store, b16_half_full)
{
    struct store *st = NULL;
    const struct store_opts o = {.zpool_bytes = 1 << 20, .slots = 5};
    cr_assert_eq(store_open(&o, &st, NULL), 0);
    kit_alloc(st);
    kit_alloc(st);
    cr_assert_not(store_half_full(st));
    kit_alloc(st);
    cr_assert(store_half_full(st));
    store_close(st);
}
