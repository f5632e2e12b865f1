/* Swap of mm/, on the compressed pool and on an area, beside the host's. */
#include <fcntl.h>
#include <unistd.h>

#include "mm/area.h"
#include "mm/mm.h"
#include "mm/reclaim.h"
#include "mm/swap.h"
#include "tools/bench/mm_bench.h"

struct swap_bench {
    struct pool *p;
    struct mm *mm;
    struct store *st;
};

static void swap_open(struct swap_bench *s, const char *path, bool compressible)
{
    struct pool_opts po = {.bytes = (uint64_t)(SWAP_PAGES + 1024) * PAGE_SIZE};
    struct store_opts so = {
        .path = path, .zpool_bytes = path ? 0 : 64u << 20, .slots = path ? 0 : 4 * SWAP_PAGES};
    struct mm_err err = {""};
    if (path && area_format(path, (uint64_t)4 * SWAP_PAGES * PAGE_SIZE, &err) < 0) {
        fprintf(stderr, "bench_mm: %s\n", err.text);
        exit(1);
    }
    if (store_open(&so, &s->st, &err) < 0) {
        fprintf(stderr, "bench_mm: %s\n", err.text);
        exit(1);
    }
    must(pool_create(&po, &s->p) == 0 && pool_swapon(s->p, s->st) == 0 &&
             mm_create(s->p, "swapper", &s->mm) == 0 &&
             mm_map_anon(s->mm, 0, SWAP_PAGES, MM_READ | MM_WRITE, MM_ANON_PRIVATE) == 0,
         "setting up swap");
    for (gfn_t g = 0; g < SWAP_PAGES; g++)
        noise(pool_ptr(s->p, mm_fault(s->mm, g, MM_ACCESS_WRITE).frame), g, compressible);
}

static void swap_close(struct swap_bench *s)
{
    mm_destroy(s->mm);
    pool_destroy(s->p);
    store_close(s->st);
}

/* Everything out; ns per page. */
static double all_out(struct swap_bench *s)
{
    struct mm_stats st;
    uint64_t t = bench_now();
    for (int tries = 0; tries < 1000; tries++) {
        pool_reclaim(s->p, SWAP_PAGES);
        mm_get_stats(s->mm, &st);
        if (st.resident == 0)
            break;
    }
    store_drain(s->st);
    t = bench_now() - t;
    must(st.resident == 0, "swapping everything out");
    return (double)t / SWAP_PAGES;
}

/* Everything in, ns per page. Writing takes the pages out of the cache, so that they must be
 * written again. */
static double all_in(struct swap_bench *s, bool scatter, enum mm_access access)
{
    bool ok = true;
    uint64_t t = bench_now();
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        ok &= mm_fault(s->mm, scatter ? scattered(i, SWAP_PAGES) : i, access).result <= MM_SPURIOUS;
    t = bench_now() - t;
    must(ok, "swap-in");
    return (double)t / SWAP_PAGES;
}

/* --- one access at a time: medians that a busy host does not move ------------------------------
 */

struct single {
    double v[MAX_ROUNDS * SWAP_PAGES];
    size_t n;
};

static struct single one_in, one_pread;

static double median_of(struct single *s)
{
    const double r = bench_median(s->v, s->n);
    s->n = 0;
    return r;
}

static void fault_one(struct swap_bench *s, uint32_t i)
{
    const uint64_t t = bench_now();
    const struct mm_fault f = mm_fault(s->mm, scattered(i, SWAP_PAGES), MM_ACCESS_WRITE);
    one_in.v[one_in.n++] = (double)(bench_now() - t);
    must(f.result <= MM_SPURIOUS, "swap-in");
}

static void pread_one(int fd, uint32_t page_number)
{
    static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
    const uint64_t t = bench_now();
    const ssize_t n = pread(fd, page, PAGE_SIZE, (off_t)(1 + page_number) * PAGE_SIZE);
    one_pread.v[one_pread.n++] = (double)(bench_now() - t);
    must(n == PAGE_SIZE, "pread");
}

/* Random pages of the area by faults and, in turns, by bare reads of the same file. */
static void in_turns(struct swap_bench *s, int fd)
{
    enum { TURN = 64 };
    for (uint32_t at = 0; at < SWAP_PAGES; at += TURN) {
        for (uint32_t i = at; i < at + TURN; i++)
            fault_one(s, i);
        for (uint32_t i = at; i < at + TURN; i++)
            pread_one(fd, scattered(SWAP_PAGES - 1 - i, SWAP_PAGES));
    }
}

static double preads_in_order(int fd)
{
    const uint64_t t = bench_now();
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        pread_one(fd, i);
    one_pread.n -= SWAP_PAGES;
    return (double)(bench_now() - t) / SWAP_PAGES;
}

static int bare_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0, "open");
    return fd;
}

/* --- rows --------------------------------------------------------------------------------------
 */

static struct swap_times ours(struct swap_bench *s, int rounds)
{
    struct sample out = {0}, order = {0}, rnd = {0};
    for (int i = 0; i < rounds; i++) {
        add(&out, all_out(s));
        add(&rnd, all_in(s, true, MM_ACCESS_WRITE));
        add(&out, all_out(s));
        add(&order, all_in(s, false, MM_ACCESS_WRITE));
    }
    return (struct swap_times){mid(&out), mid(&order), mid(&rnd)};
}

/* Ours beside the host's (NULL: not to be had). */
static void rows(struct bench_table *t, const char *what, const struct swap_times *o,
                 const char *whose, const struct swap_times *h)
{
    static const struct swap_times none;
    char us[64], them[64];
    const struct swap_times *host = h ? h : &none;
    const struct {
        const char *name;
        double ours, hosts;
    } row[] = {
        {"out", o->out, host->out},
        {"in, in order", o->in_order, host->in_order},
        {"in, random", o->in_random, host->in_random},
        {"out and in, random", o->out + o->in_random,
         host->out > 0 ? host->out + host->in_random : 0},
    };
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        snprintf(us, sizeof us, "%s: %s", what, row[i].name);
        snprintf(them, sizeof them, "%s: %s", whose, row[i].name);
        bench_row(t, us, row[i].ours, row[i].hosts > 0 ? them : "", row[i].hosts, 0);
    }
}

/* A forked child finds the pages in the cache when the parent has fetched them. */
static double from_cache(struct swap_bench *s, int rounds)
{
    struct sample cached = {0};
    for (int i = 0; i < rounds; i++) {
        struct mm *c;
        all_out(s);
        must(mm_fork(s->mm, "child", &c) == 0, "mm_fork");
        all_in(s, false, MM_ACCESS_READ);
        struct swap_bench child = {s->p, c, s->st};
        add(&cached, all_in(&child, false, MM_ACCESS_READ));
        mm_destroy(c);
        all_in(s, false, MM_ACCESS_WRITE);
    }
    return mid(&cached);
}

void bench_zpool(struct bench_table *t, const struct options *o)
{
    struct swap_bench s;
    struct swap_times host;
    char why[256] = "left out", node[4200];
    swap_open(&s, NULL, true);
    const struct swap_times own = ours(&s, o->rounds);
    for (int i = 0; i < o->rounds; i++) {
        all_out(&s);
        for (uint32_t k = 0; k < SWAP_PAGES; k++)
            fault_one(&s, k);
    }
    bench_row(t, "one page from the compressed pool", median_of(&one_in), "aim: 4 us", 4000, 1);
    bench_row(t, "one page from the swap cache", from_cache(&s, o->rounds), "", 0, 0);
    swap_close(&s);
    snprintf(node, sizeof node, "%s.zram", o->file);
    const bool got = o->host_swap && host_swap_zram(node, o->rounds, &host, why, sizeof why);
    if (!got)
        bench_note(t, "the host's swap on zram: not compared: %s", why);
    rows(t, "compressed pool", &own, "zram (lz4)", got ? &host : NULL);
}

void bench_area(struct bench_table *t, const struct options *o)
{
    struct swap_bench s;
    struct swap_times host;
    struct sample bare = {0};
    char why[256] = "left out";
    swap_open(&s, o->file, false);
    const int fd = bare_open(o->file);
    all_out(&s); /* whatever lies below has the file as warm for the first as for the last */
    all_in(&s, false, MM_ACCESS_WRITE);
    preads_in_order(fd);
    one_pread.n = 0;
    for (int i = 0; i < o->rounds; i++) {
        all_out(&s);
        in_turns(&s, fd);
        add(&bare, preads_in_order(fd));
    }
    const struct swap_times own = ours(&s, o->rounds);
    bench_row(t, "one random page from the area", median_of(&one_in), "pread of the same file",
              median_of(&one_pread), 1.3);
    bench_row(t, "area: in, in order", own.in_order, "pread of the same file, in order", mid(&bare),
              0);
    close(fd);
    swap_close(&s);
    unlink(o->file);
    const bool got = o->host_swap && host_swap_file(o->file, o->rounds, &host, why, sizeof why);
    if (!got)
        bench_note(t, "the host's swap on the same file: not compared: %s", why);
    rows(t, "area", &own, "host's swap", got ? &host : NULL);
}
