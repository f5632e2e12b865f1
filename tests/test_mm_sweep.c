/*
 * The sweep: one life of a small world (faults, fork, shared memory, eviction, return, protection,
 * exit), lived again and again with the n-th call that can fail failing, until none does. Whatever
 * the failure, the books are sound, the bytes that were accepted are there, and nothing is left
 * behind at the end.
 */
#include "mm/share.h"
#include "tests/mm_swap_kit.h"

enum { PAGES = 24 };

struct life {
    struct swap_kit s;
    uint32_t want[PAGES]; /* what the parent wrote; 0: nothing yet */
    struct mm *child;
    uint32_t child_want[PAGES];
};

/* A store that may fail; the model follows only if it was accepted. */
static void store(struct life *l, struct mm *mm, uint32_t *want, gfn_t g, uint32_t v)
{
    struct mm_fault f = mm_fault(mm, g, MM_ACCESS_WRITE);
    if (f.result > MM_SPURIOUS) {
        /* MM_PROT: write permission could not be given back */
        cr_assert(f.result == MM_OOM || f.result == MM_IOERR || f.result == MM_PROT, "result %d",
                  f.result);
        return;
    }
    fill_text(kit_bytes(&l->s.k, f.frame), v);
    want[g] = v;
}

static void check(struct life *l, struct mm *mm, const uint32_t *want)
{
    uint8_t page[PAGE_SIZE];
    for (gfn_t g = 0; g < PAGES; g++) {
        struct mm_fault f = mm_fault(mm, g, MM_ACCESS_READ);
        cr_assert_leq(f.result, MM_SPURIOUS, "gfn %u: result %d", g, f.result);
        if (want[g])
            fill_text(page, want[g]);
        else
            memset(page, 0, sizeof page);
        cr_assert_eq(memcmp(page, kit_bytes(&l->s.k, f.frame), PAGE_SIZE), 0, "gfn %u", g);
    }
}

static void live(struct life *l)
{
    struct swap_kit *s = &l->s;
    struct mm *mm = s->k.mm;
    mm_map_anon(mm, 2000, 8, RW, MM_ANON_SHARED);
    for (gfn_t g = 0; g < PAGES; g++)
        store(l, mm, l->want, g, g + 1);
    pool_reclaim(s->k.pool, 8);
    pool_reclaim(s->k.pool, 8);
    kit_audit(&s->k);
    if (mm_fork(mm, "child", &l->child) < 0)
        l->child = NULL;
    else
        memcpy(l->child_want, l->want, sizeof l->want);
    kit_audit(&s->k);
    for (gfn_t g = 2000; g < 2008; g++)
        mm_fault(mm, g, MM_ACCESS_WRITE);
    for (gfn_t g = 0; g < PAGES; g += 3)
        store(l, mm, l->want, g, g + 100);
    for (gfn_t g = 1; g < PAGES && l->child; g += 3)
        store(l, l->child, l->child_want, g, g + 200);
    kit_audit(&s->k);
    pool_share_scan(s->k.pool, 100);
    pool_share_scan(s->k.pool, 100);
    pool_reclaim(s->k.pool, 30);
    mm_protect(mm, 4, 4, MM_READ);
    for (gfn_t g = 0; g < PAGES; g++)
        mm_fault(mm, g, MM_ACCESS_READ);
    mm_protect(mm, 4, 4, RW);
    kit_audit(&s->k);
    mm_unmap(mm, 2002, 3);
    for (gfn_t g = 2; g < PAGES; g += 3)
        store(l, mm, l->want, g, g + 300);
    kit_audit(&s->k);
}

/* One life with failure n; false: none was met. */
static bool live_with(enum swap_mode mode, uint32_t kinds, int64_t n, bool sticky)
{
    struct life l;
    memset(&l, 0, sizeof l);
    swap_open(&l.s, mode, 40, 256);
    fail_arm(&l.s.k.fail, kinds, n, sticky);
    live(&l);
    bool fired = atomic_load(&l.s.k.fail.fired) > 0;
    fail_arm(&l.s.k.fail, 0, 0, false);
    swap_drain(l.s.k.pool);
    kit_audit(&l.s.k);
    /* a fault of the medium may have cost a slot, never a page */
    mm_protect(l.s.k.mm, 4, 4, RW);
    check(&l, l.s.k.mm, l.want);
    if (l.child) {
        check(&l, l.child, l.child_want);
        mm_destroy(l.child);
    }
    swap_close(&l.s);
    return fired;
}

static void sweep(enum swap_mode mode, uint32_t kinds, bool sticky, int64_t least)
{
    int64_t n = 1;
    while (live_with(mode, kinds, n, sticky))
        n++;
    cr_expect_geq(n, least, "only %lld calls could fail", (long long)n);
}

Test(mm_sweep, b07_b22_each_allocation_once)
{
    sweep(ON_ZPOOL, FAIL_HEAP | FAIL_MAP | FAIL_NODE | FAIL_FRAME | FAIL_SLOT, false, 100);
}

Test(mm_sweep, b07_b22_all_allocations_from_one_on)
{
    sweep(ON_ZPOOL, FAIL_HEAP | FAIL_MAP | FAIL_NODE | FAIL_FRAME | FAIL_SLOT, true, 100);
}

Test(mm_sweep, b17_b23_each_io_once_io_uring)
{
    sweep(ON_DISK, FAIL_READ | FAIL_SUBMIT, false, 30);
}

Test(mm_sweep, b17_b23_each_io_once_thread)
{
    sweep(ON_DISK_THREAD, FAIL_READ | FAIL_SUBMIT, false, 30);
}

/* The same below: errors that the medium gives when a transfer completes. */
static void sweep_medium(enum swap_mode mode, bool reads)
{
    for (int n = 1; n <= 40; n++) {
        struct life l;
        memset(&l, 0, sizeof l);
        swap_open(&l.s, mode, 40, 256);
        (reads ? &l.s.fail_reads : &l.s.fail_writes)[0] = n;
        live(&l);
        l.s.fail_reads = 0;
        l.s.fail_writes = 0;
        swap_drain(l.s.k.pool);
        kit_audit(&l.s.k);
        check(&l, l.s.k.mm, l.want);
        check(&l, l.child, l.child_want);
        mm_destroy(l.child);
        swap_close(&l.s);
    }
}

Test(mm_sweep, b23_the_first_n_writes_fail_when_they_complete)
{
    sweep_medium(ON_DISK, false);
    sweep_medium(ON_DISK_THREAD, false);
}

Test(mm_sweep, b17_the_first_n_reads_fail_when_they_complete)
{
    sweep_medium(ON_DISK, true);
    sweep_medium(ON_DISK_THREAD, true);
}
