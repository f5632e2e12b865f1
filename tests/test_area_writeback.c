/*
 * Write-back: pages of the compressed pool that go on to disk (behaviours 18, 21, 23), alone and
 * while others read, write and free them.
 */
#include "area_kit.h"

#include <pthread.h>

static KIT_PAGE uint8_t in[PAGE_SIZE], out[PAGE_SIZE];

Test(writeback, b21_write_back_goes_oldest_first)
{
    char *p = kit_area(64);
    struct store *st = kit_store(p, 1 << 20, AIO_AUTO);
    slot_t s[30];
    for (unsigned i = 0; i < 30; i++) {
        s[i] = kit_alloc(st);
        kit_text(in, i);
        cr_assert_eq(store_write(st, s[i], in), 0);
    }
    cr_assert_eq(store_writeback(st, 0), 0);
    cr_assert_eq(store_writeback(st, 20), 20);
    for (unsigned i = 0; i < 30; i++) {
        kit_text(in, i);
        expect(st, s[i], in, i < 20 ? STORE_DISK : STORE_ZPOOL);
    }
    cr_assert_eq(store_writeback(st, 20), 10, "as many as there are");
    cr_assert_eq(store_writeback(st, 20), -ENODATA);
    cr_assert_eq(stats_of(st).written_back, 30);
    for (unsigned i = 0; i < 30; i++)
        store_put(st, s[i]);
    kit_empty(st);
    store_close(st);
    kit_remove(p);
}

Test(writeback, b21_a_full_pool_makes_room_by_itself)
{
    FOR_EACH_ENGINE(e)
    {
        enum { N = 600 };
        char *p = kit_area(N + 1);
        struct store *st = kit_store(p, 256 << 10, e);
        slot_t s[N];
        for (unsigned i = 0; i < N; i++) {
            s[i] = kit_alloc(st);
            kit_mixed(in, i, i % 5);
            cr_assert_eq(store_write(st, s[i], in), 0);
        }
        struct store_stats n = stats_of(st);
        cr_assert_gt(n.written_back, 100);
        cr_assert_eq(n.writes_zpool + n.writes_disk, N);
        cr_assert_gt(n.writes_zpool, N * 9 / 10, "new pages stay in memory: %llu did",
                     (unsigned long long)n.writes_zpool);
        cr_assert_leq(n.zpool_held, n.zpool_max);
        cr_assert(store_wants_writeback(st));
        kit_audit(st);
        for (unsigned i = 0; i < N; i++) {
            kit_mixed(in, i, i % 5);
            cr_assert_eq(store_read(st, s[i], out, NULL), 0);
            cr_assert_arr_eq(in, out, PAGE_SIZE);
            store_put(st, s[i]);
        }
        kit_empty(st);
        store_close(st);
        kit_remove(p);
    }
}

Test(writeback, b23_a_write_back_that_fails_leaves_the_page_where_it_is)
{
    char *p = kit_area(64);
    struct store *st = kit_store(p, 1 << 20, AIO_AUTO);
    int err = -EIO;
    slot_t s = kit_alloc(st);
    kit_text(in, 1);
    cr_assert_eq(store_write(st, s, in), 0);
    store_set_io_hook(st, fail_write, &err);
    cr_assert_eq(store_writeback(st, 1), -EIO);
    store_set_io_hook(st, NULL, NULL);
    expect(st, s, in, STORE_ZPOOL);
    struct store_stats n = stats_of(st);
    cr_assert_eq(n.write_errors, 1);
    cr_assert_eq(n.slots.bad, 1);
    cr_assert_eq(store_writeback(st, 1), -ENODATA, "not to a bad place again");
    expect(st, s, in, STORE_ZPOOL);
    store_put(st, s);
    cr_assert_eq(store_where(st, s), STORE_BAD);
    kit_empty(st);
    store_close(st);
    kit_remove(p);
}

/* A write-back that stands still while its copy travels, so that others can be tried meanwhile. */
struct stopped {
    struct store *st;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool travels, go;
    slot_t slot;
    _Atomic bool written;
};

static int stand_still(void *ctx, enum aio_point at, const struct aio_req *req)
{
    struct stopped *w = ctx;
    if (at != AIO_AT_COMPLETE || req->op != AIO_WRITE)
        return 0;
    pthread_mutex_lock(&w->lock);
    w->travels = true;
    pthread_cond_broadcast(&w->moved);
    while (!w->go)
        pthread_cond_wait(&w->moved, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

static void *write_back_one(void *arg)
{
    struct stopped *w = arg;
    cr_assert_eq(store_writeback(w->st, 1), 1);
    return NULL;
}

static void *write_anew(void *arg)
{
    struct stopped *w = arg;
    static KIT_PAGE uint8_t page[PAGE_SIZE];
    kit_text(page, 2);
    cr_assert_eq(store_write(w->st, w->slot, page), 0);
    w->written = true;
    return NULL;
}

static pthread_t start_write_back(struct stopped *w, struct store *st, slot_t s)
{
    pthread_t t;
    *w = (struct stopped){
        .st = st, .slot = s, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    store_set_io_hook(st, stand_still, w);
    cr_assert_eq(pthread_create(&t, NULL, write_back_one, w), 0);
    pthread_mutex_lock(&w->lock);
    while (!w->travels)
        pthread_cond_wait(&w->moved, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return t;
}

static void let_go(struct stopped *w)
{
    pthread_mutex_lock(&w->lock);
    w->go = true;
    pthread_cond_broadcast(&w->moved);
    pthread_mutex_unlock(&w->lock);
}

Test(writeback, b18_a_page_under_write_back_is_read_from_the_pool_and_written_only_after)
{
    FOR_EACH_ENGINE(e)
    {
        char *p = kit_area(4);
        struct store *st = kit_store(p, 1 << 20, e);
        static struct stopped w;
        pthread_t writer;
        slot_t s = kit_alloc(st);
        kit_text(in, 1);
        cr_assert_eq(store_write(st, s, in), 0);
        pthread_t wb = start_write_back(&w, st, s);
        expect(st, s, in, STORE_ZPOOL);
        cr_assert_eq(pthread_create(&writer, NULL, write_anew, &w), 0);
        usleep(30000);
        cr_assert_not(w.written, "the old copy would land on the new content");
        expect(st, s, in, STORE_ZPOOL);
        let_go(&w);
        pthread_join(wb, NULL);
        pthread_join(writer, NULL);
        kit_text(in, 2);
        expect(st, s, in, STORE_ZPOOL);
        store_put(st, s);
        kit_empty(st);
        store_close(st);
        kit_remove(p);
    }
}

Test(writeback, b18_a_slot_freed_under_write_back_is_not_given_again_before_it_lands)
{
    FOR_EACH_ENGINE(e)
    {
        char *p = kit_area(2);
        struct store *st = kit_store(p, 1 << 20, e);
        static struct stopped w;
        slot_t s = kit_alloc(st), t;
        kit_text(in, 1);
        cr_assert_eq(store_write(st, s, in), 0);
        pthread_t wb = start_write_back(&w, st, s);
        store_put(st, s);
        cr_assert_eq(store_where(st, s), STORE_FREE);
        cr_assert_eq(store_alloc(st, NULL, &t), -ENOSPC);
        let_go(&w);
        pthread_join(wb, NULL);
        cr_assert_eq(kit_alloc(st), s);
        cr_assert_eq(store_where(st, s), STORE_EMPTY);
        store_put(st, s);
        kit_empty(st);
        store_close(st);
        kit_remove(p);
    }
}
