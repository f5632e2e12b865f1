/*
 * bench_mm: what copy-on-write, fork and swap cost in mm/, each beside what the host kernel takes
 * for the same, in one run; ratios and aims printed. Rounds alternate between the two, medians are
 * compared.
 *
 *   bench_mm [--json] [--rounds N] [--file PATH] [--no-host-swap]
 *
 * --file: where the swap area of the test goes (default: bench_mm.swap in the working directory),
 * so that the disk under test is the one that is meant. --no-host-swap: leave the host's own swap
 * out; else, as root, it gets that file and then a zram device as swap for some seconds.
 */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mm/mm.h"
#include "mm/pool.h"
#include "tools/bench/mm_bench.h"

enum { PAGES = 65536 };

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

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (!strcmp(argv[i], "--json"))
            o->json = true;
        else if (!strcmp(argv[i], "--no-host-swap"))
            o->host_swap = false;
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
    struct options o = {.rounds = 5, .host_swap = true, .file = "bench_mm.swap"};
    if (!parse(argc, argv, &o)) {
        fputs("usage: bench_mm [--json] [--rounds 1..31] [--file PATH] [--no-host-swap]\n", stderr);
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
