/*
 * mm_fault alone, on the shared zero frame and on fresh frames that must be zeroed, against the
 * host kernel's anonymous read and write faults over as many pages. Rounds of the two alternate, so
 * that a busy moment of the host hits both; medians of the rounds are compared.
 */
#include "tools/bench/fault_mm.h"

#include <errno.h>
#include <sys/mman.h>

#include "mm/mm.h"

enum { PAGES = 32768, ROUNDS = 9 };

/* ns per page for a first touch of fresh anonymous memory. */
static double host_touch(bool write)
{
    size_t len = (size_t)PAGES * PAGE_SIZE;
    volatile uint8_t *m =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return -1;
    madvise((void *)m, len, MADV_NOHUGEPAGE);
    uint64_t t = bench_now();
    for (size_t i = 0; i < PAGES; i++) {
        if (write)
            m[i * PAGE_SIZE] = 1;
        else
            (void)m[i * PAGE_SIZE];
    }
    t = bench_now() - t;
    munmap((void *)m, len);
    return (double)t / PAGES;
}

/* ns per mm_fault over a region that was never touched; recycled frames after the first round. */
static double mm_touch(struct mm *mm, enum mm_access access)
{
    if (mm_map_anon(mm, 0, PAGES, MM_READ | MM_WRITE, MM_ANON_PRIVATE) < 0)
        return -1;
    bool ok = true;
    uint64_t t = bench_now();
    for (gfn_t g = 0; g < PAGES; g++)
        ok &= mm_fault(mm, g, access).result == MM_MINOR;
    t = bench_now() - t;
    mm_unmap(mm, 0, PAGES);
    return ok ? (double)t / PAGES : -1;
}

static int bench_rounds(struct mm *mm, struct bench_table *t)
{
    double v[4][ROUNDS];
    mm_touch(mm, MM_ACCESS_WRITE); /* grow the pool: every later frame is recycled and dirty */
    for (int r = 0; r < ROUNDS; r++) {
        v[0][r] = mm_touch(mm, MM_ACCESS_READ);
        v[1][r] = host_touch(false);
        v[2][r] = mm_touch(mm, MM_ACCESS_WRITE);
        v[3][r] = host_touch(true);
        for (int i = 0; i < 4; i++)
            if (v[i][r] < 0)
                return -ENOMEM;
    }
    bench_row(t, "mm_fault, zero frame", bench_median(v[0], ROUNDS), "anonymous read fault",
              bench_median(v[1], ROUNDS), 0.15);
    bench_row(t, "mm_fault, fresh frame, zeroed", bench_median(v[2], ROUNDS),
              "anonymous write fault", bench_median(v[3], ROUNDS), 0.4);
    return 0;
}

int bench_fault_mm(struct bench_table *t)
{
    struct pool_opts o = {.bytes = (uint64_t)(PAGES + 64) * PAGE_SIZE};
    struct pool *pool;
    struct mm *mm;
    int err = pool_create(&o, &pool);
    if (err)
        return err;
    err = mm_create(pool, "bench", &mm);
    if (!err) {
        err = bench_rounds(mm, t);
        mm_destroy(mm);
    }
    pool_destroy(pool);
    return err;
}
