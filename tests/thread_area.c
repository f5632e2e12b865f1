/*
 * What threads do to each other in the swap back end: writers, readers, write-back, freeing and
 * reuse of slots at once, on both engines; every page is checked, and at the end nothing is left. A
 * plain program, so that it runs under the thread sanitizer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mm/area.h"
#include "mm/store.h"
#include "tests/rng.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { WORKERS = 4, HELD = 48, ROUNDS = 4000, IOS = 8 };

struct town {
    struct store *st;
    _Atomic bool stop;
    _Atomic unsigned caught; /* reads that met a write of their slot, and were told */
    _Atomic slot_t seen[64]; /* slots that somebody had lately, for the one who peeks */
};

static uint64_t next(uint64_t *s)
{
    return rng_next(s) * 0x2545f4914f6cdd1dull;
}

static void content(void *page, uint64_t seed)
{
    uint64_t s = seed | 1, *w = page;
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        w[i] = i % 8 < seed % 9 ? next(&s) : seed;
}

struct flight {
    struct store_io io;
    _Atomic bool back;
    _Atomic int err;
};

static void landed(struct store_io *io, int err)
{
    struct flight *f = io->ctx;
    atomic_store(&f->err, err);
    atomic_store(&f->back, true);
}

static int wait_for(struct town *t, struct flight *f, int e)
{
    if (e != STORE_QUEUED)
        return e;
    while (!atomic_load(&f->back))
        store_wait(t->st);
    return atomic_load(&f->err);
}

static void write_page(struct town *t, slot_t s, const void *page, bool async)
{
    int e;
    do {
        struct flight f = {.io = {.done = landed, .ctx = &f}};
        e = async ? wait_for(t, &f, store_write_async(t->st, s, page, &f.io))
                  : store_write(t->st, s, page);
    } while (e == -EAGAIN);
    CHECK(e == 0);
}

static void check_page(struct town *t, slot_t s, void *page, uint64_t seed, bool async)
{
    static _Thread_local uint8_t want[PAGE_SIZE];
    int e;
    do {
        struct flight f = {.io = {.done = landed, .ctx = &f}};
        e = async ? wait_for(t, &f, store_read_async(t->st, s, page, &f.io, NULL))
                  : store_read(t->st, s, page, NULL);
    } while (e == -EAGAIN);
    CHECK(e == 0);
    content(want, seed);
    CHECK(memcmp(want, page, PAGE_SIZE) == 0);
}

static void *worker(void *arg)
{
    struct town *t = arg;
    uint8_t *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    uint64_t rnd = (uintptr_t)page | 1, seed[HELD] = {0};
    slot_t slot[HELD] = {0};
    struct slot_cluster c = {0};
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned k = (unsigned)(next(&rnd) >> 33) % HELD;
        bool async = next(&rnd) >> 63;
        if (slot[k] == 0) {
            if (store_alloc(t->st, &c, &slot[k]))
                continue;
            seed[k] = next(&rnd) % 9 == 0 ? 9 : next(&rnd); /* some of one value */
            content(page, seed[k]);
            write_page(t, slot[k], page, async);
            atomic_store(&t->seen[i % 64], slot[k]);
        } else if (next(&rnd) >> 62 ==
                   0) { /* another content, perhaps while the old one is written back */
            seed[k] = next(&rnd);
            content(page, seed[k]);
            write_page(t, slot[k], page, async);
        } else if (next(&rnd) >> 63) {
            check_page(t, slot[k], page, seed[k], async);
        } else {
            store_put(t->st, slot[k]);
            slot[k] = 0;
        }
    }
    for (unsigned k = 0; k < HELD; k++)
        if (slot[k]) {
            check_page(t, slot[k], page, seed[k], false);
            store_put(t->st, slot[k]);
        }
    free(page);
    return NULL;
}

/* Read-ahead: names slots that others may be freeing right now, and reads what it got hold of. */
static void *peeker(void *arg)
{
    struct town *t = arg;
    uint8_t *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    for (unsigned i = 0; !atomic_load(&t->stop); i++) {
        slot_t s = atomic_load(&t->seen[i % 64]);
        if (s == 0 || store_dup(t->st, s))
            continue;
        int e = store_read(t->st, s, page, NULL);
        /* The last is possible here only: rule 4 of store.h is broken on purpose. */
        CHECK(e == 0 || e == -ENODATA || e == -EBUSY || e == -EUCLEAN);
        t->caught += e == -EUCLEAN;
        store_put(t->st, s);
    }
    free(page);
    return NULL;
}

static void *background(void *arg)
{
    struct town *t = arg;
    while (!atomic_load(&t->stop)) {
        int e = store_writeback(t->st, 8);
        CHECK(e >= 0 || e == -ENODATA);
        store_poll(t->st);
        struct store_stats n;
        store_get_stats(t->st, &n);
        usleep(500);
    }
    return NULL;
}

static void town_day(const char *path, enum aio_engine engine, uint64_t zpool)
{
    static struct town t;
    struct mm_err err = {""};
    char msg[200] = "";
    const struct store_opts o = {.path = path, .zpool_bytes = zpool, .engine = engine};
    pthread_t w[WORKERS], peek, back;
    memset(&t, 0, sizeof t);
    CHECK(store_open(&o, &t.st, &err) == 0);
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&w[i], NULL, worker, &t) == 0);
    CHECK(pthread_create(&peek, NULL, peeker, &t) == 0);
    CHECK(pthread_create(&back, NULL, background, &t) == 0);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(w[i], NULL);
    atomic_store(&t.stop, true);
    pthread_join(peek, NULL);
    pthread_join(back, NULL);
    if (store_audit(t.st, msg, sizeof msg)) {
        fprintf(stderr, "%s\n", msg);
        abort();
    }
    struct store_stats n;
    store_get_stats(t.st, &n);
    CHECK(n.slots.used == 0 && n.zpool_entries == 0 && n.torn == t.caught && n.slots.bad == 0);
    store_close(t.st);
}

int main(void)
{
    const char *dir = getenv("TMPDIR");
    char path[200];
    struct mm_err err;
    snprintf(path, sizeof path, "%s/umbra-town-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    CHECK(area_format(path, 300 * PAGE_SIZE, &err) == 0);
    static const enum aio_engine engines[] = {AIO_AUTO, AIO_THREAD};
    for (unsigned i = 0; i < 2; i++) {
        town_day(path, engines[i], 0);
        town_day(path, engines[i], 128 << 10);
    }
    unlink(path);
    return 0;
}
