/*
 * bench_mm: what copy-on-write, fork and swap cost in mm/, each beside what the host kernel takes
 * for the same, in one run; ratios and aims printed. Rounds alternate between the two, medians are
 * compared.
 *
 *   bench_mm [--json] [--rounds N] [--file PATH]
 *
 * --file: where the swap area of the test goes (default: bench_mm.swap in the working directory),
 * so that the disk under test is the one that is meant.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mm/area.h"
#include "mm/mm.h"
#include "mm/reclaim.h"
#include "mm/swap.h"
#include "tools/bench/bench.h"

enum { PAGES = 65536, SWAP_PAGES = 8192, MAX_ROUNDS = 31 };

struct options {
    bool json;
    int rounds;
    const char *file;
};

struct sample {
    double v[MAX_ROUNDS];
    int n;
};

static void add(struct sample *s, double v)
{
    if (s->n < MAX_ROUNDS)
        s->v[s->n++] = v;
}

static double mid(struct sample *s)
{
    return bench_median(s->v, (size_t)s->n);
}

/* Every result of a bench must be what it is meant to measure. */
static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_mm: %s failed\n", what);
    exit(1);
}

/* A permutation of 0..n-1 that meets no neighbours: an odd step through a power of two. */
static uint32_t scattered(uint32_t i, uint32_t n)
{
    return (i * 2654435761u) & (n - 1);
}

/* --- fork and copy-on-write ---------------------------------------------------------------------
 */

struct cow {
    struct sample fork, copy, reuse;
};

static void ours_cow(struct pool *p, struct cow *c)
{
    struct mm *a, *b;
    must(mm_create(p, "parent", &a) == 0 &&
             mm_map_anon(a, 0, PAGES, MM_READ | MM_WRITE, MM_ANON_PRIVATE) == 0,
         "mm_create");
    for (gfn_t g = 0; g < PAGES; g++) {
        struct mm_fault f = mm_fault(a, g, MM_ACCESS_WRITE);
        must(f.result == MM_MINOR, "fault");
        pool_ptr(p, f.frame)[g % PAGE_SIZE] = 1;
    }
    uint64_t t = bench_now();
    must(mm_fork(a, "child", &b) == 0, "mm_fork");
    add(&c->fork, (double)(bench_now() - t));
    bool ok = true;
    t = bench_now();
    for (gfn_t g = 0; g < PAGES; g++)
        ok &= mm_fault(b, g, MM_ACCESS_WRITE).path == MM_PATH_COPY;
    add(&c->copy, (double)(bench_now() - t) / PAGES);
    must(ok, "copy");
    t = bench_now();
    for (gfn_t g = 0; g < PAGES; g++)
        ok &= mm_fault(a, g, MM_ACCESS_WRITE).path == MM_PATH_REUSE;
    add(&c->reuse, (double)(bench_now() - t) / PAGES);
    must(ok, "reuse");
    mm_destroy(b);
    mm_destroy(a);
}

static double touch_all(volatile uint8_t *m)
{
    uint64_t t = bench_now();
    for (size_t i = 0; i < PAGES; i++)
        m[i * PAGE_SIZE] = (uint8_t)(m[i * PAGE_SIZE] + 1);
    return (double)(bench_now() - t) / PAGES;
}

static void hosts_cow(struct cow *c)
{
    size_t len = (size_t)PAGES * PAGE_SIZE;
    uint8_t *m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    double *copy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(m != MAP_FAILED && copy != MAP_FAILED, "mmap");
    madvise(m, len, MADV_NOHUGEPAGE);
    touch_all(m);
    int wait_fd[2], done_fd[2];
    char byte = 0;
    must(pipe(wait_fd) == 0 && pipe(done_fd) == 0, "pipe");
    uint64_t t = bench_now();
    pid_t pid = fork();
    if (pid == 0) {
        *copy = touch_all(m);
        must(write(done_fd[1], &byte, 1) == 1, "write");
        must(read(wait_fd[0], &byte, 1) == 1, "read"); /* live on, so that exit is not measured */
        _exit(0);
    }
    add(&c->fork, (double)(bench_now() - t));
    must(pid > 0 && read(done_fd[0], &byte, 1) == 1, "fork");
    add(&c->copy, *copy);
    add(&c->reuse, touch_all(m));
    must(write(wait_fd[1], &byte, 1) == 1, "write");
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 2; i++) {
        close(wait_fd[i]);
        close(done_fd[i]);
    }
    munmap(m, len);
    munmap(copy, 4096);
}

static void bench_cow(struct bench_table *t, const struct options *o)
{
    struct pool_opts po = {.bytes = (uint64_t)(2 * PAGES + 64) * PAGE_SIZE};
    struct pool *p;
    struct cow ours = {0}, host = {0};
    must(pool_create(&po, &p) == 0, "pool_create");
    struct cow warm = {0};
    ours_cow(p, &warm); /* grows the pool */
    for (int i = 0; i < o->rounds; i++) {
        ours_cow(p, &ours);
        hosts_cow(&host);
    }
    bench_row(t, "fork, 65536 mapped pages", mid(&ours.fork), "fork(2), as many", mid(&host.fork),
              0.5);
    bench_row(t, "copy-on-write, copy", mid(&ours.copy), "copy after fork(2)", mid(&host.copy),
              0.5);
    bench_row(t, "copy-on-write, reuse", mid(&ours.reuse), "reuse after fork(2)", mid(&host.reuse),
              0);
    pool_destroy(p);
}

/* --- swap ---------------------------------------------------------------------------------------
 */

struct swap_bench {
    struct pool *p;
    struct mm *mm;
    struct store *st;
};

static void noise(uint8_t *page, uint32_t seed, bool compressible)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    memset(page, 0, PAGE_SIZE);
    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (!compressible || i % 32 == 0) /* a quarter of it is noise: LZ4 makes it some 40 % */
            memcpy(page + i, &x, 8);
    }
}

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

/* Random reads of the same file, with no more around them. */
static double bare_pread(const char *path)
{
    static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0, "open");
    uint64_t t = bench_now();
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        must(pread(fd, page, PAGE_SIZE, (off_t)(1 + scattered(i, SWAP_PAGES)) * PAGE_SIZE) ==
                 PAGE_SIZE,
             "pread");
    t = bench_now() - t;
    close(fd);
    return (double)t / SWAP_PAGES;
}

static void bench_zpool(struct bench_table *t, const struct options *o)
{
    struct swap_bench s;
    struct sample in = {0}, out = {0}, cached = {0};
    swap_open(&s, NULL, true);
    for (int i = 0; i < o->rounds; i++) {
        add(&out, all_out(&s));
        add(&in, all_in(&s, true, MM_ACCESS_WRITE));
    }
    /* a forked child has the pages in the cache when the parent has fetched them */
    for (int i = 0; i < o->rounds; i++) {
        struct mm *c;
        all_out(&s);
        must(mm_fork(s.mm, "child", &c) == 0, "mm_fork");
        all_in(&s, false, MM_ACCESS_READ);
        struct swap_bench child = {s.p, c, s.st};
        add(&cached, all_in(&child, false, MM_ACCESS_READ));
        mm_destroy(c);
        all_in(&s, false, MM_ACCESS_WRITE);
    }
    bench_row(t, "swap-in from the cache", mid(&cached), "", 0, 0);
    bench_row(t, "swap-in, compressed pool (aim 4000)", mid(&in), "", 0, 0);
    bench_row(t, "swap-out, compressed pool", mid(&out), "", 0, 0);
    swap_close(&s);
}

static void bench_area(struct bench_table *t, const struct options *o)
{
    struct swap_bench s;
    struct sample out = {0}, in = {0}, rnd = {0}, bare = {0};
    swap_open(&s, o->file, false);
    bare_pread(
        o->file); /* whatever lies below has the file as warm for the first as for the last */
    for (int i = 0; i < o->rounds; i++) {
        add(&out, all_out(&s));
        if (i & 1)
            add(&bare, bare_pread(o->file));
        add(&rnd, all_in(&s, true, MM_ACCESS_WRITE));
        if (!(i & 1))
            add(&bare, bare_pread(o->file));
        all_out(&s);
        add(&in, all_in(&s, false, MM_ACCESS_WRITE));
    }
    bench_row(t, "swap-in from the area, random", mid(&rnd), "pread of the same file", mid(&bare),
              1.3);
    bench_row(t, "swap-in from the area, in order", mid(&in), "pread of the same file", mid(&bare),
              0);
    bench_row(t, "swap-out to the area", mid(&out), "", 0, 0);
    swap_close(&s);
    unlink(o->file);
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (!strcmp(argv[i], "--json"))
            o->json = true;
        else if (!strcmp(argv[i], "--file") && value)
            o->file = argv[++i];
        else if (!strcmp(argv[i], "--rounds") && value)
            o->rounds = atoi(argv[++i]);
        else
            return false;
    }
    return o->rounds >= 1 && o->rounds <= MAX_ROUNDS;
}

int main(int argc, char **argv)
{
    struct options o = {.rounds = 5, .file = "bench_mm.swap"};
    if (!parse(argc, argv, &o)) {
        fputs("usage: bench_mm [--json] [--rounds 1..31] [--file PATH]\n", stderr);
        return 2;
    }
    struct bench_table t = {.json = o.json};
    bench_begin(&t, "mm");
    bench_cow(&t, &o);
    bench_zpool(&t, &o);
    bench_area(&t, &o);
    bench_end(&t);
    return 0;
}
