/* Runs of frames: pages that lie together in an mm lie together in the pool, where that costs
 * nobody anything. */
#include <errno.h>

#include "mm/reclaim.h"
#include "mm/runs.h"
#include "tests/mm_kit.h"

enum { RUN = RUN_FRAMES };

static struct kit k;

/* A pool of `frames` with runs, an mm with anonymous pages 0 .. pages - 1. */
static void open_runs(uint32_t frames, uint32_t pages)
{
    memset(&k, 0, sizeof k);
    const struct pool_opts o = {
        .bytes = (uint64_t)frames * PAGE_SIZE, .runs = true, .fail = &k.fail};
    cr_assert_eq(pool_create(&o, &k.pool), 0);
    cr_assert_eq(mm_create(k.pool, "a", &k.mm), 0);
    cr_assert_eq(mm_map_anon(k.mm, 0, pages, RW, MM_ANON_PRIVATE), 0);
}

static frame_t frame_at(const struct mm *mm, gfn_t gfn)
{
    const pte_t pte = mm_pte(mm, gfn);
    return pte_present(pte) ? pte_frame(pte) : FRAME_NONE;
}

/* Pages first .. first + RUN - 1 are one aligned run of frames. */
static bool is_run(const struct mm *mm, gfn_t first)
{
    const frame_t f = frame_at(mm, first);
    for (uint32_t i = 0; i < RUN; i++)
        if (f % RUN != 0 || frame_at(mm, first + i) != f + i)
            return false;
    return true;
}

static void fill(struct mm *mm, gfn_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        cr_assert_leq(mm_fault(mm, first + i, MM_ACCESS_WRITE).result, MM_SPURIOUS);
    kit_audit(&k);
}

static uint64_t broken(void)
{
    struct pool_stats s;
    pool_get_stats(k.pool, &s);
    return s.runs_broken;
}

Test(mm_runs, pages_touched_in_any_order_make_a_run)
{
    open_runs(4 * RUN, 2 * RUN);
    for (uint32_t i = 0; i < RUN; i++) /* 167: coprime to 512 */
        cr_assert_eq(mm_fault(k.mm, RUN + i * 167 % RUN, MM_ACCESS_WRITE).result, MM_MINOR);
    cr_expect(is_run(k.mm, RUN));
    kit_close(&k);
}

Test(mm_runs, nothing_is_there_that_was_not_asked_for)
{
    struct mm_stats s;
    open_runs(4 * RUN, 2 * RUN);
    const uint32_t before = pool_available(k.pool);
    cr_assert_eq(kit_fault(&k, k.mm, 7, MM_ACCESS_READ).frame, POOL_ZERO_FRAME);
    cr_expect_eq(pool_available(k.pool), before, "a read takes no frame");
    kit_fault(&k, k.mm, 7, MM_ACCESS_WRITE);
    kit_fault(&k, k.mm, RUN + 9, MM_ACCESS_WRITE);
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.resident, 2);
    cr_expect_eq(pool_available(k.pool), before - 2, "what is reserved is still to be had");
    cr_expect_eq(frame_at(k.mm, 7) % RUN, 7);
    cr_expect_eq(frame_at(k.mm, RUN + 9) % RUN, 9);
    kit_close(&k);
}

Test(mm_runs, frames_are_zero_the_second_time_too)
{
    open_runs(2 * RUN, RUN);
    kit_store(&k, k.mm, 3, 0xdeadbeef);
    const frame_t f = frame_at(k.mm, 3);
    cr_assert_eq(mm_unmap(k.mm, 3, 1), 0);
    cr_assert_eq(mm_map_anon(k.mm, 3, 1, RW, MM_ANON_PRIVATE), 0);
    cr_expect_eq(kit_load(&k, k.mm, 3), 0);
    kit_fault(&k, k.mm, 3, MM_ACCESS_WRITE);
    cr_expect_eq(frame_at(k.mm, 3), f, "its own place again, though no region holds the 2 MiB now");
    cr_expect_eq(kit_load(&k, k.mm, 3), 0);
    kit_close(&k);
}

/* Six ranges are touched in a pool that has three runs to reserve, then pages until it is full:
 * every frame comes to be used, and reservations go where nothing else is left. */
Test(mm_runs, a_reservation_is_broken_before_anybody_goes_without)
{
    enum { RANGES = 6 };
    open_runs(4 * RUN, RANGES * RUN);
    for (uint32_t i = 0; i < RANGES; i++)
        kit_fault(&k, k.mm, i * RUN + i, MM_ACCESS_WRITE);
    cr_expect_eq(broken(), 0);
    /* runs 1 to 3 serve the first three; the others' frames came from below */
    const uint32_t left = pool_available(k.pool);
    cr_expect_eq(left, 4 * RUN - 1 - RANGES);
    uint32_t got = 0;
    for (gfn_t g = RANGES * RUN; g-- > 0 && pool_available(k.pool) > 0;)
        if (frame_at(k.mm, g) == FRAME_NONE) {
            cr_assert_eq(mm_fault(k.mm, g, MM_ACCESS_WRITE).result, MM_MINOR, "gfn %u", g);
            got++;
        }
    cr_expect_eq(got, left);
    cr_expect_gt(broken(), 0);
    kit_audit(&k);
    cr_expect_eq(mm_fault(k.mm, 1, MM_ACCESS_WRITE).result, MM_OOM, "behaviour 7, not before");
    kit_close(&k);
}

Test(mm_runs, the_pool_of_before_is_used_first)
{
    bool zeroed;
    open_runs(4 * RUN, RUN);
    frame_t f[100];
    for (unsigned i = 0; i < 100; i++)
        f[i] = pool_take(k.pool, &zeroed);
    for (unsigned i = 0; i < 100; i++)
        cr_expect_lt(f[i], RUN, "frames for no place in particular come from below");
    for (unsigned i = 0; i < 100; i++)
        frame_put(k.pool, f[i]);
    kit_close(&k);
}

Test(mm_runs, a_region_that_does_not_hold_the_range_gets_none)
{
    open_runs(4 * RUN, RUN + 100);
    kit_fault(&k, k.mm, RUN + 5, MM_ACCESS_WRITE);
    cr_expect_eq(k.mm->run[1], 0);
    kit_fault(&k, k.mm, 5, MM_ACCESS_WRITE);
    cr_expect_neq(k.mm->run[0], 0);
    kit_close(&k);
}

Test(mm_runs, an_end_gives_runs_to_the_next)
{
    struct mm *next;
    open_runs(2 * RUN, RUN);
    fill(k.mm, 0, RUN);
    cr_expect(is_run(k.mm, 0));
    mm_destroy(k.mm);
    cr_assert_eq(mm_create(k.pool, "next", &next), 0);
    k.mm = next;
    cr_assert_eq(mm_map_anon(next, RUN, RUN, RW, MM_ANON_PRIVATE), 0);
    fill(next, RUN, RUN);
    cr_expect(is_run(next, RUN), "the only run that the pool has");
    cr_expect_eq(broken(), 0);
    kit_close(&k);
}

/* An mm goes while a fork holds frames of its run. */
Test(mm_runs, a_run_outlives_its_owner_frame_by_frame)
{
    struct mm *child;
    open_runs(2 * RUN, RUN);
    fill(k.mm, 0, 10);
    cr_assert_eq(mm_fork(k.mm, "child", &child), 0);
    mm_destroy(k.mm);
    kit_audit(&k);
    k.mm = child;
    const frame_t f = frame_at(child, 4);
    kit_fault(&k, child, 4, MM_ACCESS_WRITE);
    cr_expect_eq(frame_at(child, 4), f, "behaviour 8: sole owner, nothing is copied");
    kit_close(&k);
}

Test(mm_runs, copy_on_write_comes_back_to_its_place_and_sets_nothing_aside)
{
    struct mm *child;
    open_runs(4 * RUN, RUN);
    fill(k.mm, 0, RUN);
    cr_assert_eq(mm_fork(k.mm, "child", &child), 0);
    kit_fault(&k, child, 6, MM_ACCESS_WRITE);
    cr_expect_eq(child->run[0], 0, "no run for a copy of one page");
    cr_expect_lt(frame_at(child, 6), RUN);
    kit_fault(&k, k.mm, 7, MM_ACCESS_WRITE); /* copied: the child has the frame */
    cr_expect_not(is_run(k.mm, 0));
    mm_destroy(child); /* frees frame 7 of the run */
    cr_assert_eq(mm_fork(k.mm, "child", &child), 0);
    kit_fault(&k, k.mm, 7, MM_ACCESS_WRITE);
    cr_expect(is_run(k.mm, 0), "the frame at its place was free");
    mm_destroy(child);
    kit_close(&k);
}

Test(mm_runs, a_pool_without_room_for_a_run_works_as_ever)
{
    open_runs(RUN - 1, 300);
    cr_expect_null(k.pool->runs);
    fill(k.mm, 0, 300);
    kit_close(&k);
    open_runs(RUN + 70, RUN); /* one that holds the zero frame, and a part */
    fill(k.mm, 0, RUN);
    cr_expect_eq(pool_available(k.pool), 69);
    kit_close(&k);
}

Test(mm_runs, memory_that_cannot_be_had_is_looked_for_elsewhere)
{
    open_runs(4 * RUN, RUN);
    kit_fault(&k, k.mm, 0, MM_ACCESS_WRITE); /* what a first fault needs beside a frame is there */
    fail_arm(&k.fail, FAIL_MAP, 1, false);
    const struct mm_fault f = kit_fault(&k, k.mm, 100, MM_ACCESS_WRITE);
    cr_expect_lt(f.frame, RUN, "from below instead");
    fail_arm(&k.fail, FAIL_MAP, 1, true);
    for (uint32_t i = 1; i < RUN; i++)
        if (mm_fault(k.mm, i, MM_ACCESS_WRITE).result == MM_OOM)
            break;
    kit_audit(&k);
    fail_arm(&k.fail, FAIL_MAP, 0, false);
    fill(k.mm, 0, RUN);
    kit_close(&k);
}

Test(mm_runs, creation_may_fail_at_each_call)
{
    cr_expect_gt(kit_fail_creation((struct pool_opts){.bytes = 4 * RUN * PAGE_SIZE, .runs = true}),
                 6);
}

/* What the audit is there for. */
#define DAMAGE(name, says, change)                                                                 \
    Test(mm_runs, name)                                                                            \
    {                                                                                              \
        char msg[256] = "";                                                                        \
        open_runs(4 * RUN, RUN);                                                                   \
        fill(k.mm, 0, 10);                                                                         \
        struct run *r = &k.pool->runs[k.mm->run[0]];                                               \
        (void)r;                                                                                   \
        change;                                                                                    \
        cr_expect_eq(mm_audit(k.pool, msg, sizeof msg), -EUCLEAN);                                 \
        cr_expect_neq(strstr(msg, says), NULL, "%s", msg);                                         \
    }
DAMAGE(audit_finds_a_wrong_count, "counted", r->left--)
DAMAGE(audit_finds_a_frame_free_and_held, "is free, but held", r->free[0] |= 2; r->left++;
       k.pool->runs_left++)
DAMAGE(audit_finds_a_lost_frame, "is lost", r->free[0] &= r->free[0] - 1; r->left--;
       k.pool->runs_left--)
DAMAGE(audit_finds_a_run_without_owner, "which does not know it", k.mm->run[0] = 0)
DAMAGE(audit_finds_a_run_on_the_wrong_list, "should be on", r->owner = NULL)
DAMAGE(audit_finds_a_frame_without_memory, "has no memory", r->real = 0; k.pool->runs_grown = 0)
