/* Behaviours 1 to 7: dispatch and anonymous memory. */
#include <errno.h>

#include "tests/mm_kit.h"

Test(mm_fault, b01_present_entry_only_gains_accessed_and_dirty)
{
    struct kit k;
    kit_open(&k);
    kit_fault(&k, k.mm, 16, MM_ACCESS_WRITE);
    pte_t *e = &table_leaf(k.mm, 16)[16];
    *e = pte_without(*e, PTE_A | PTE_D);
    struct mm_fault f = mm_fault(k.mm, 16, MM_ACCESS_READ);
    cr_expect_eq(f.result, MM_SPURIOUS);
    cr_expect(pte_young(*e) && !pte_dirty(*e));
    cr_expect_not(f.writable, "not dirty, so not yet to be mapped writable");
    f = mm_fault(k.mm, 16, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_SPURIOUS);
    cr_expect(pte_dirty(*e));
    cr_expect(f.writable);
    kit_close(&k);
}

Test(mm_fault, b02_outside_every_region)
{
    struct kit k;
    kit_open(&k);
    const gfn_t out[] = {0, 15, 1040, 1999, 2001, MM_GFNS - 1, MM_GFNS, UINT32_MAX};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        struct mm_fault f = mm_fault(k.mm, out[i], MM_ACCESS_READ);
        cr_expect_eq(f.result, MM_BADADDR, "gfn 0x%x", out[i]);
        cr_expect_eq(f.frame, FRAME_NONE);
        cr_expect(pte_none(mm_pte(k.mm, out[i])));
    }
    kit_close(&k);
}

Test(mm_fault, b02_against_protection)
{
    struct kit k;
    kit_open(&k);
    cr_assert_eq(mm_map_anon(k.mm, 3000, 1, 0, MM_ANON_PRIVATE), 0);
    cr_assert_eq(mm_map_anon(k.mm, 3001, 1, MM_WRITE, MM_ANON_PRIVATE), 0);
    cr_expect_eq(mm_fault(k.mm, 2000, MM_ACCESS_WRITE).result, MM_PROT);
    cr_expect_eq(mm_fault(k.mm, 2000, MM_ACCESS_READ).result, MM_MINOR);
    cr_expect_eq(mm_fault(k.mm, 2000, MM_ACCESS_WRITE).result, MM_PROT, "present, still forbidden");
    cr_expect_eq(mm_fault(k.mm, 3000, MM_ACCESS_READ).result, MM_PROT);
    cr_expect_eq(mm_fault(k.mm, 3001, MM_ACCESS_READ).result, MM_MINOR, "i386: W implies R");
    kit_close(&k);
}

Test(mm_fault, b03_results_are_counted_apart)
{
    struct kit k;
    kit_open(&k);
    mm_fault(k.mm, 16, MM_ACCESS_READ);
    mm_fault(k.mm, 16, MM_ACCESS_WRITE);
    mm_fault(k.mm, 16, MM_ACCESS_WRITE);
    mm_fault(k.mm, 1, MM_ACCESS_READ);
    mm_fault(k.mm, 2000, MM_ACCESS_WRITE);
    struct mm_stats s;
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.faults[MM_MINOR], 2);
    cr_expect_eq(s.faults[MM_SPURIOUS], 1);
    cr_expect_eq(s.faults[MM_BADADDR], 1);
    cr_expect_eq(s.faults[MM_PROT], 1);
    cr_expect_eq(s.faults[MM_MAJOR] + s.faults[MM_OOM] + s.faults[MM_IOERR], 0);
    cr_expect_eq(s.regions, 2);
    kit_close(&k);
}

Test(mm_fault, b04_first_read_maps_zero_frame)
{
    struct kit k;
    kit_open(&k);
    struct mm_fault f = kit_fault(&k, k.mm, 20, MM_ACCESS_READ);
    cr_expect_eq(f.result, MM_MINOR);
    cr_expect_eq(f.path, MM_PATH_ZERO);
    cr_expect_eq(f.frame, POOL_ZERO_FRAME);
    cr_expect_not(f.writable);
    struct mm_page_info i;
    mm_page_info(k.mm, 20, &i);
    cr_expect(i.in_region && i.kind == MM_ANON_PRIVATE && i.prot == RW);
    cr_expect_eq(i.refs, 0);
    cr_expect_eq(i.maps, 0);
    struct mm_stats s;
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.resident, 0);
    cr_expect_eq(kit_frames_held(&k), 0);
    kit_close(&k);
}

Test(mm_fault, b05_first_write_maps_a_zeroed_frame_of_its_own)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 16, 0xffffffff);
    cr_expect_eq(mm_unmap(k.mm, 16, 1), 0);
    cr_expect_eq(mm_map_anon(k.mm, 16, 1, RW, MM_ANON_PRIVATE), 0);
    struct mm_fault f = kit_fault(&k, k.mm, 16, MM_ACCESS_WRITE); /* the same frame, recycled */
    cr_expect_eq(f.result, MM_MINOR);
    cr_expect_eq(f.path, MM_PATH_FRESH);
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        cr_assert_eq(kit_bytes(&k, f.frame)[i], 0);
    struct mm_fault g = kit_fault(&k, k.mm, 17, MM_ACCESS_WRITE);
    cr_expect_neq(f.frame, g.frame);
    struct mm_page_info i;
    mm_page_info(k.mm, 16, &i);
    cr_expect(pte_writable(i.pte) && pte_dirty(i.pte) && pte_young(i.pte));
    cr_expect_eq(i.refs, 1);
    cr_expect_eq(i.maps, 1);
    struct mm_stats s;
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.resident, 2);
    kit_close(&k);
}

static void other_fault(struct kit *k, struct mm *mm, gfn_t gfn)
{
    kit_store(k, mm, gfn, 0x1234);
}

Test(mm_fault, b05_race_another_thread_was_faster)
{
    struct kit k;
    kit_open(&k);
    kit_race(&k, MM_SYNC_ANON_TAKEN, other_fault);
    struct mm_fault f = mm_fault(k.mm, 30, MM_ACCESS_WRITE);
    cr_expect_eq(k.raced, 1);
    cr_expect_eq(f.result, MM_SPURIOUS);
    cr_expect(f.path & MM_PATH_RACE);
    cr_expect_eq(kit_frames_held(&k), 1, "the frame taken in vain is free again");
    cr_expect_eq(kit_load(&k, k.mm, 30), 0x1234, "the other's bytes stand");
    kit_close(&k);
}

static void other_unmap(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)k;
    cr_assert_eq(mm_unmap(mm, gfn, 1), 0);
}

Test(mm_fault, b05_race_region_went_away)
{
    struct kit k;
    kit_open(&k);
    kit_race(&k, MM_SYNC_ANON_TAKEN, other_unmap);
    struct mm_fault f = mm_fault(k.mm, 30, MM_ACCESS_WRITE);
    cr_expect_eq(k.raced, 1);
    cr_expect_eq(f.result, MM_BADADDR);
    cr_expect_eq(kit_frames_held(&k), 0);
    kit_close(&k);
}

static void other_read(struct kit *k, struct mm *mm, gfn_t gfn)
{
    kit_load(k, mm, gfn);
}

Test(mm_fault, b05_race_zero_frame_came_between)
{
    struct kit k;
    kit_open(&k);
    kit_race(&k, MM_SYNC_ANON_TAKEN, other_read);
    struct mm_fault f = mm_fault(k.mm, 30, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_MINOR);
    cr_expect_eq(f.path, MM_PATH_RACE | MM_PATH_FRESH | MM_PATH_UNZERO);
    kit_close(&k);
}

Test(mm_fault, b05_race_for_the_page_table)
{
    struct kit k;
    kit_open(&k);
    kit_race(&k, MM_SYNC_TABLE_TAKEN, other_fault);
    struct mm_fault f = mm_fault(k.mm, 30, MM_ACCESS_READ);
    cr_expect_eq(k.raced, 1);
    cr_expect_eq(f.result, MM_SPURIOUS);
    cr_expect_eq(slab_used(&k.pool->tables), 1);
    kit_close(&k);
}

struct told {
    gfn_t gfn;
    uint32_t n, calls;
};

static void note(void *ctx, gfn_t gfn, uint32_t n)
{
    struct told *t = ctx;
    t->gfn = gfn;
    t->n = n;
    t->calls++;
}

static bool never_young(void *ctx, gfn_t gfn)
{
    (void)ctx;
    (void)gfn;
    return false;
}

Test(mm_fault, b06_write_over_the_zero_frame_zeroes)
{
    struct kit k;
    struct told told = {0};
    struct mm_notifier n = {&told, note, note, never_young};
    kit_open(&k);
    mm_set_notifier(k.mm, &n);
    kit_fault(&k, k.mm, 20, MM_ACCESS_READ);
    cr_expect_eq(told.calls, 0);
    struct mm_fault f = kit_fault(&k, k.mm, 20, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_MINOR);
    cr_expect_eq(f.path, MM_PATH_FRESH | MM_PATH_UNZERO);
    cr_expect_neq(f.frame, POOL_ZERO_FRAME);
    cr_expect(told.calls == 1 && told.gfn == 20 && told.n == 1, "the zero mapping must go");
    mm_set_notifier(k.mm, NULL);
    kit_close(&k);
}

Test(mm_fault, b07_no_frame_leaves_the_entry_untouched)
{
    struct kit k;
    kit_open(&k);
    kit_load(&k, k.mm, 200);
    for (gfn_t g = 16; g < 16 + 63; g++)
        kit_store(&k, k.mm, g, g);
    struct mm_fault f = mm_fault(k.mm, 100, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_OOM);
    cr_expect_eq(f.frame, FRAME_NONE);
    cr_expect(pte_none(mm_pte(k.mm, 100)));
    pte_t before = mm_pte(k.mm, 200);
    cr_expect_eq(mm_fault(k.mm, 200, MM_ACCESS_WRITE).result, MM_OOM);
    cr_expect(pte_same(before, mm_pte(k.mm, 200)));
    cr_expect_eq(mm_fault(k.mm, 100, MM_ACCESS_READ).result, MM_MINOR, "the zero frame is left");
    kit_audit(&k);
    struct mm_holder h[2];
    cr_expect_eq(mm_holders(k.pool, h, 2), 1);
    cr_expect_str_eq(h[0].name, "a");
    cr_expect_eq(h[0].resident, 63);
    mm_unmap(k.mm, 16, 1);
    cr_expect_eq(mm_fault(k.mm, 100, MM_ACCESS_WRITE).result, MM_MINOR);
    kit_close(&k);
}

/* The n-th call fails (and, sticky, all after it) until none does. */
static int fail_each(enum mm_access access, bool sticky)
{
    for (int n = 1;; n++) {
        struct kit k;
        kit_open(&k);
        fail_arm(&k.fail, FAIL_ANY, n, sticky);
        struct mm_fault f = mm_fault(k.mm, 16, access);
        bool fired = atomic_load(&k.fail.fired) > 0;
        fail_arm(&k.fail, 0, 0, false);
        if (!fired)
            cr_expect_eq(f.result, MM_MINOR);
        else if (sticky)
            cr_expect_eq(f.result, MM_OOM);
        else /* a second try may have helped */
            cr_expect(f.result == MM_OOM || f.result == MM_MINOR);
        cr_expect(f.result != MM_OOM || pte_none(mm_pte(k.mm, 16)));
        kit_audit(&k);
        kit_fault(&k, k.mm, 16, MM_ACCESS_WRITE);
        kit_close(&k);
        if (!fired)
            return n;
    }
}

Test(mm_fault, b07_each_allocation_of_a_fault_may_fail)
{
    cr_expect_gt(fail_each(MM_ACCESS_READ, false), 2);
    cr_expect_gt(fail_each(MM_ACCESS_READ, true), 2);
    cr_expect_gt(fail_each(MM_ACCESS_WRITE, false), 4);
    cr_expect_gt(fail_each(MM_ACCESS_WRITE, true), 4);
}
