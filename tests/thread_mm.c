/*
 * Many threads at once: faults, forks, unmaps and exits on mms of one small pool, with the
 * background reclaim and the sharing scanner at work. Each thread knows what its pages hold and
 * reads them back. Meant for ThreadSanitizer and the debug build's lock checks as much as for its
 * own assertions.
 */
#define TESTS_WITHOUT_CRITERION 1
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "mm/runs.h"
#include "mm/share.h"
#include "tests/mm_swap_kit.h"

enum { THREADS = 4, MINE = 64 };

struct worker {
    struct swap_kit *s;
    struct mm *mm; /* shared with another worker, each with pages of its own */
    gfn_t first;
    unsigned id;
    uint64_t rng;
    uint32_t want[MINE];
    unsigned ops, ooms;
    pthread_barrier_t *all_full;
    _Atomic bool *stop; /* NULL: after ops */
    char wrong[128];    /* what was found; assertions belong to the main thread */
};

static uint32_t next(struct worker *w)
{
    w->rng = w->rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->rng >> 33);
}

static bool access_page(struct worker *w, struct mm *mm, gfn_t gfn, bool write, uint32_t *v)
{
    struct mm_fault f = mm_pin(mm, gfn, write ? MM_ACCESS_WRITE : MM_ACCESS_READ);
    if (f.result == MM_OOM) {
        w->ooms++;
        return false;
    }
    if (f.result > MM_SPURIOUS) {
        snprintf(w->wrong, sizeof w->wrong, "gfn %u: result %d", gfn, f.result);
        return false;
    }
    uint32_t *at = (uint32_t *)kit_bytes(&w->s->k, f.frame);
    if (write) {
        at[0] = *v;
        at[1023] = ~*v;
    } else {
        *v = at[0];
        if (at[0] != 0 && at[1023] != ~at[0])
            snprintf(w->wrong, sizeof w->wrong, "gfn %u: half of it is 0x%x, 0x%x", gfn, at[0],
                     at[1023]);
    }
    mm_unpin(w->s->k.pool, f.frame);
    return true;
}

static void check_page(struct worker *w, struct mm *mm, unsigned i)
{
    uint32_t v = 0;
    if (access_page(w, mm, w->first + i, false, &v) && v != w->want[i] && !w->wrong[0])
        snprintf(w->wrong, sizeof w->wrong, "page %u of thread %u: 0x%x, not 0x%x", i, w->id, v,
                 w->want[i]);
}

static void write_page(struct worker *w, unsigned i)
{
    uint32_t v = (next(w) & 7) + 1; /* few values: the scanner finds pages alike */
    if (access_page(w, w->mm, w->first + i, true, &v))
        w->want[i] = v;
}

static void fork_and_look(struct worker *w)
{
    struct mm *c;
    if (mm_fork(w->mm, "child", &c) < 0)
        return;
    for (int k = 0; k < 4; k++)
        check_page(w, c, next(w) % MINE);
    uint32_t v = 0x1000 + w->id;
    access_page(w, c, w->first + next(w) % MINE, true, &v); /* must not be seen by the parent */
    mm_destroy(c);
}

static void remap(struct worker *w)
{
    unsigned i = next(w) % MINE, n = 1 + next(w) % 4;
    n = i + n > MINE ? MINE - i : n;
    if (mm_unmap(w->mm, w->first + i, n) < 0)
        return;
    if (mm_map_anon(w->mm, w->first + i, n, RW, MM_ANON_PRIVATE) < 0)
        snprintf(w->wrong, sizeof w->wrong, "cannot map again");
    memset(w->want + i, 0, n * sizeof *w->want);
}

/* In order and from where another may be: what lies ahead is read with it (26). */
static void stroll(struct worker *w)
{
    unsigned from = next(w) % MINE;
    for (unsigned i = from; i < MINE && i < from + 24; i++)
        check_page(w, w->mm, i);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned k = 0; k < w->ops && !w->wrong[0]; k++) {
        switch (next(w) % 32) {
        case 0: fork_and_look(w); break;
        case 1: remap(w); break;
        case 2:
            mm_protect(w->mm, w->first, MINE, MM_READ);
            mm_protect(w->mm, w->first, MINE, RW);
            break;
        case 3: pool_reclaim(w->s->k.pool, 4); break;
        case 4: mm_pageout(w->mm, w->first, MINE / 2); break;
        case 5: stroll(w); break;
        default:
            if (next(w) & 1)
                write_page(w, next(w) % MINE);
            else
                check_page(w, w->mm, next(w) % MINE);
        }
    }
    return NULL;
}

static void run_threads(enum swap_mode mode, unsigned ops, uint32_t frames)
{
    struct swap_kit s;
    struct worker w[THREADS];
    pthread_t t[THREADS];
    struct mm *second;
    swap_open(&s, mode, frames, 2048);
    s.k.pool->hook = NULL;
    cr_assert_eq(mm_create(s.k.pool, "b", &second), 0);
    cr_assert_eq(mm_map_anon(second, 0, 1024, RW, MM_ANON_PRIVATE), 0);
    cr_assert_eq(pool_set_watermarks(s.k.pool, 8, 24, 40), 0);
    cr_assert_eq(pool_reclaim_start(s.k.pool), 0);
    cr_assert_eq(pool_share_start(s.k.pool, 100000), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.s = &s,
                               .mm = i & 1 ? second : s.k.mm,
                               .first = i * MINE,
                               .id = i,
                               .rng = i + 1,
                               .ops = ops};
        cr_assert_eq(pthread_create(&t[i], NULL, work, &w[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    pool_reclaim_stop(s.k.pool);
    pool_share_stop(s.k.pool);
    for (unsigned i = 0; i < THREADS; i++)
        cr_expect_str_empty(w[i].wrong, "%s", w[i].wrong);
    kit_audit(&s.k);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < MINE; k++)
            check_page(&w[i], w[i].mm, k);
    for (unsigned i = 0; i < THREADS; i++)
        cr_expect_str_empty(w[i].wrong, "%s", w[i].wrong);
    struct mm_counters c = counters(&s);
    cr_expect_gt(c.swap_ins, 0);
    printf("# %llu out, %llu in, %llu read ahead, %llu rounds in the background\n",
           (unsigned long long)c.swap_outs, (unsigned long long)c.swap_ins,
           (unsigned long long)c.ahead_reads, (unsigned long long)c.background);
    mm_destroy(second);
    swap_close(&s);
}

/* The area is taken away and another given, again and again, under the threads' feet. */
static void swapoff_under_threads(unsigned ops)
{
    static struct swap_kit s;
    struct worker w[THREADS];
    pthread_t t[THREADS];
    unsigned offs = 0;
    swap_open(&s, ON_ZPOOL, 800, 2048);
    s.k.pool->hook = NULL;
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){
            .s = &s, .mm = s.k.mm, .first = i * MINE, .id = i, .rng = i + 7, .ops = ops};
        cr_assert_eq(pthread_create(&t[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        struct mm_err err;
        struct store_opts o = {.zpool_bytes = 1 << 20, .slots = 2048};
        pool_reclaim(s.k.pool, 100);
        int r = pool_swapoff(s.k.pool, &err);
        cr_assert(r == 0 || r == -ENOMEM);
        if (r)
            continue;
        offs++;
        store_close(s.st);
        cr_assert_eq(store_open(&o, &s.st, NULL), 0);
        cr_assert_eq(pool_swapon(s.k.pool, s.st), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        cr_expect_str_empty(w[i].wrong, "%s", w[i].wrong);
    }
    cr_expect_gt(offs, 0);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < MINE; k++)
            check_page(&w[i], w[i].mm, k);
    for (unsigned i = 0; i < THREADS; i++)
        cr_expect_str_empty(w[i].wrong, "%s", w[i].wrong);
    swap_close(&s);
}

/* b29: threads that only write, a pool that is never enough: the background thread keeps frames
 * coming, who finds none reclaims himself, with writes that fail among them and an mm at its limit.
 */
static void *write_on(void *arg)
{
    struct worker *w = arg;
    for (unsigned k = 0; !atomic_load(w->stop) && !w->wrong[0]; k++)
        write_page(w, k % MINE);
    return NULL;
}

static void background_alone(void)
{
    static struct swap_kit s;
    _Atomic bool stop = false;
    struct mm_counters c;
    struct worker w[THREADS];
    pthread_t t[THREADS];
    swap_open(&s, ON_DISK, 120, 8192);
    s.k.pool->hook = NULL;
    cr_assert_eq(pool_set_watermarks(s.k.pool, 4, 24, 40), 0);
    cr_assert_eq(pool_reclaim_start(s.k.pool), 0);
    cr_assert_eq(pool_reclaim_start(s.k.pool), -EBUSY);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){
            .s = &s, .mm = s.k.mm, .first = i * MINE, .id = i, .rng = i + 3, .stop = &stop};
        cr_assert_eq(pthread_create(&t[i], NULL, write_on, &w[i]), 0);
    }
    /* until all of it has happened, however busy the host is; the area has slots for many failures
     */
    int round = 0;
    do {
        atomic_store(&s.fail_writes, round < 200 ? 5 : 0);
        mm_set_limit(s.k.mm, round++ & 1 ? 60 : 0);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        c = counters(&s);
    } while (round < 20 ||
             (round < 10000 && (c.background == 0 || c.write_errors == 0 || c.limit == 0)));
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        cr_expect_str_empty(w[i].wrong, "%s", w[i].wrong);
    }
    atomic_store(&s.fail_writes, 0);
    mm_set_limit(s.k.mm, 0);
    pool_reclaim_stop(s.k.pool);
    cr_expect_gt(c.background, 0);
    cr_expect_gt(c.write_errors, 0);
    cr_expect_gt(c.limit, 0);
    kit_audit(&s.k);
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned k = 0; k < MINE; k++)
            check_page(&w[i], w[i].mm, k);
        cr_expect_str_empty(w[i].wrong, "%s", w[i].wrong);
    }
    swap_close(&s);
}

/* Threads that fault on the same pages of one mm: one frame each, whoever comes first. */
static void *touch_all(void *arg)
{
    struct worker *w = arg;
    for (gfn_t g = 0; g < 1024; g++) {
        struct mm_fault f = mm_fault(w->mm, g, next(w) & 1 ? MM_ACCESS_WRITE : MM_ACCESS_READ);
        if (f.result > MM_SPURIOUS)
            snprintf(w->wrong, sizeof w->wrong, "result %d", f.result);
    }
    return NULL;
}

static void same_pages(void)
{
    static struct kit k;
    pthread_t t[THREADS];
    struct worker w[THREADS];
    struct mm_stats st;
    kit_open_pages(&k, 1100);
    k.pool->hook = NULL;
    cr_assert_eq(mm_map_anon(k.mm, 0, 1024, RW, MM_ANON_PRIVATE), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.mm = k.mm, .rng = i};
        cr_assert_eq(pthread_create(&t[i], NULL, touch_all, &w[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        cr_expect_str_empty(w[i].wrong);
    }
    mm_get_stats(k.mm, &st);
    cr_expect_eq(kit_frames_held(&k), st.resident);
    kit_close(&k);
}

/* Threads that take frames at places of two mms, and for none, and give them back: more than the
 * pool's runs hold, so that reservations are made, used and broken by all of them. */
enum { HELD = 480, RANGES = 6 };

static frame_t take_somewhere(struct worker *w)
{
    const struct place at = {next(w) % 8 ? w->mm : NULL, next(w) % (RANGES * RUN_FRAMES),
                             next(w) % 4 != 0};
    bool zeroed;
    const frame_t f = pool_take_at(w->mm->pool, &at, &zeroed);
    if (f == FRAME_NONE)
        return f;
    uint32_t *word = (uint32_t *)(void *)pool_ptr(w->mm->pool, f);
    if (zeroed && *word)
        snprintf(w->wrong, sizeof w->wrong, "frame %u is said to be zero", f);
    *word = w->id + 1; /* two who hold it would be a race */
    return f;
}

static void *take_and_give(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->mm->pool;
    frame_t held[HELD];
    unsigned n = 0;
    /* First all hold much at once, however the threads are scheduled; then each gives and takes. */
    for (frame_t f; n < HELD && (f = take_somewhere(w)) != FRAME_NONE;)
        held[n++] = f;
    pthread_barrier_wait(w->all_full);
    for (unsigned i = 0; i < w->ops; i++) {
        const frame_t f = n < HELD && next(w) % 5 < 3 ? take_somewhere(w) : FRAME_NONE;
        if (f != FRAME_NONE) {
            held[n++] = f;
        } else if (n > 0) {
            const unsigned k = next(w) % n;
            if (*(uint32_t *)(void *)pool_ptr(p, held[k]) != w->id + 1)
                snprintf(w->wrong, sizeof w->wrong, "frame %u is another's too", held[k]);
            frame_put(p, held[k]);
            held[k] = held[--n];
        }
    }
    while (n > 0)
        frame_put(p, held[--n]);
    return NULL;
}

static void runs_of_frames(unsigned ops)
{
    static struct kit k;
    const struct pool_opts o = {.bytes = (uint64_t)4 * RUN_FRAMES * PAGE_SIZE, .runs = true};
    pthread_t t[THREADS];
    struct worker w[THREADS];
    struct pool_stats st;
    struct mm *other;
    pthread_barrier_t all_full;
    cr_assert_eq(pthread_barrier_init(&all_full, NULL, THREADS), 0);
    cr_assert_eq(pool_create(&o, &k.pool), 0);
    cr_assert_eq(mm_create(k.pool, "a", &k.mm), 0);
    cr_assert_eq(mm_create(k.pool, "b", &other), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){
            .mm = i % 2 ? other : k.mm, .id = i, .rng = i, .ops = ops * 10, .all_full = &all_full};
        cr_assert_eq(pthread_create(&t[i], NULL, take_and_give, &w[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        cr_expect_str_empty(w[i].wrong, "%s", w[i].wrong);
    }
    pthread_barrier_destroy(&all_full);
    pool_get_stats(k.pool, &st);
    cr_expect_gt(st.runs_broken, 0);
    kit_audit(&k);
    mm_destroy(other);
    kit_close(&k);
}

int main(int argc, char **argv)
{
    unsigned ops = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 2000;
    same_pages();
    puts("b05: faults on the same pages: ok");
    runs_of_frames(ops);
    puts("runs of frames: taken, given back and broken: ok");
    run_threads(ON_ZPOOL, ops, 160);
    puts("b32: faults, forks, exits on the compressed pool: ok");
    run_threads(ON_DISK, ops, 160);
    puts("b32: ... on io_uring: ok");
    run_threads(ON_DISK_THREAD, ops, 160);
    puts("b32: ... on the I/O thread: ok");
    background_alone();
    puts("b29: background reclaim, writes that fail, an mm at its limit: ok");
    swapoff_under_threads(ops);
    puts("b25: swapoff under faults, forks and exits: ok");
    return 0;
}
