/* Regions: mapping, splitting, unmapping, and what it does to the pages. */
#include <errno.h>

#include "tests/mm_kit.h"

Test(mm_region, refuses_ranges_that_are_none)
{
    struct kit k;
    kit_open(&k);
    const struct {
        gfn_t gfn;
        uint32_t n;
    } bad[] = {{0, 0},       {MM_GFNS, 1},    {MM_GFNS - 1, 2},
               {1, MM_GFNS}, {1, UINT32_MAX}, {UINT32_MAX, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(mm_map_anon(k.mm, bad[i].gfn, bad[i].n, RW, MM_ANON_PRIVATE), -EINVAL);
        cr_expect_eq(mm_unmap(k.mm, bad[i].gfn, bad[i].n), -EINVAL);
    }
    cr_expect_eq(mm_map_anon(k.mm, 5000, 1, 8, MM_ANON_PRIVATE), -EINVAL);
    cr_expect_eq(mm_map_anon(k.mm, 5000, 1, RW, MM_FILE_PRIVATE), -EINVAL);
    kit_close(&k);
}

Test(mm_region, refuses_overlap_and_takes_neighbours)
{
    struct kit k;
    kit_open(&k);
    cr_expect_eq(mm_map_anon(k.mm, 1039, 2, RW, MM_ANON_PRIVATE), -EEXIST);
    cr_expect_eq(mm_map_anon(k.mm, 0, 17, RW, MM_ANON_PRIVATE), -EEXIST);
    cr_expect_eq(mm_map_anon(k.mm, 0, MM_GFNS, RW, MM_ANON_PRIVATE), -EEXIST);
    cr_expect_eq(mm_map_anon(k.mm, 1040, 1, RW, MM_ANON_PRIVATE), 0);
    cr_expect_eq(mm_map_anon(k.mm, 15, 1, RW, MM_ANON_PRIVATE), 0);
    struct mm_stats s;
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.regions, 2, "alike neighbours become one");
    cr_expect_eq(mm_fault(k.mm, 15, MM_ACCESS_READ).result, MM_MINOR);
    cr_expect_eq(mm_fault(k.mm, 1040, MM_ACCESS_READ).result, MM_MINOR);
    kit_close(&k);
}

Test(mm_region, whole_space_is_one_region)
{
    struct kit k;
    kit_open_pages(&k, 64);
    cr_expect_eq(mm_map_anon(k.mm, 0, MM_GFNS, RW, MM_ANON_PRIVATE), 0);
    kit_store(&k, k.mm, 0, 1);
    kit_store(&k, k.mm, MM_GFNS - 1, 2);
    cr_expect_eq(kit_load(&k, k.mm, 0), 1);
    cr_expect_eq(kit_load(&k, k.mm, MM_GFNS - 1), 2);
    cr_expect_eq(mm_unmap(k.mm, 0, MM_GFNS), 0);
    kit_close(&k);
}

Test(mm_region, unmap_in_the_middle_splits_and_frees)
{
    struct kit k;
    kit_open(&k);
    for (gfn_t g = 1020; g < 1030; g++) /* across a leaf table's end */
        kit_store(&k, k.mm, g, g);
    cr_expect_eq(mm_unmap(k.mm, 1022, 4), 0);
    kit_audit(&k);
    cr_expect_eq(kit_frames_held(&k), 6);
    for (gfn_t g = 1020; g < 1030; g++)
        if (g >= 1022 && g < 1026)
            cr_expect_eq(mm_fault(k.mm, g, MM_ACCESS_READ).result, MM_BADADDR);
        else
            cr_expect_eq(kit_load(&k, k.mm, g), g);
    struct mm_stats s;
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.regions, 3);
    cr_expect_eq(s.resident, 6);
    kit_close(&k);
}

Test(mm_region, unmap_of_nothing_is_no_error)
{
    struct kit k;
    kit_open(&k);
    cr_expect_eq(mm_unmap(k.mm, 100000, 100), 0);
    kit_close(&k);
}

static bool covered[4096];

static void note_invalidate(void *ctx, gfn_t gfn, uint32_t n)
{
    (void)ctx;
    for (gfn_t g = gfn; g < gfn + n && g < 4096; g++)
        covered[g] = true;
}

static bool no_young(void *ctx, gfn_t gfn)
{
    (void)ctx;
    (void)gfn;
    return false;
}

Test(mm_region, unmap_and_exit_tell_the_mapper_of_each_page)
{
    struct kit k;
    struct mm_notifier n = {NULL, note_invalidate, note_invalidate, no_young};
    kit_open(&k);
    for (gfn_t g = 1020; g < 1030; g++)
        kit_store(&k, k.mm, g, g);
    kit_load(&k, k.mm, 40); /* the zero frame's mapping must go, too */
    mm_set_notifier(k.mm, &n);
    mm_unmap(k.mm, 30, 995);
    for (gfn_t g = 1020; g < 1025; g++)
        cr_expect(covered[g]);
    cr_expect(covered[40]);
    cr_expect_not(covered[1025]);
    mm_destroy(k.mm);
    for (gfn_t g = 1025; g < 1030; g++)
        cr_expect(covered[g]);
    cr_expect_eq(mm_create(k.pool, "b", &k.mm), 0);
    kit_close(&k);
}

Test(mm_region, a_split_without_memory_changes_nothing)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    fail_arm(&k.fail, FAIL_HEAP, 1, false);
    cr_expect_eq(mm_unmap(k.mm, 18, 4), -ENOMEM);
    fail_arm(&k.fail, FAIL_HEAP, 1, false);
    cr_expect_eq(mm_map_anon(k.mm, 9000, 1, RW, MM_ANON_PRIVATE), -ENOMEM);
    fail_arm(&k.fail, FAIL_HEAP, 1, false);
    struct mm *other;
    cr_expect_eq(mm_create(k.pool, "b", &other), -ENOMEM);
    cr_expect_eq(kit_load(&k, k.mm, 20), 7);
    struct mm_stats s;
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.regions, 2);
    kit_close(&k);
}

Test(mm_region, too_many_are_refused)
{
    struct kit k;
    kit_open_pages(&k, 64);
    cr_assert_eq(mm_map_anon(k.mm, 0, MM_GFNS, RW, MM_ANON_PRIVATE), 0);
    /* grown by hand: one change at a time over so many regions would take minutes */
    struct region *many = calloc(MM_REGIONS_MAX, sizeof *many);
    for (uint32_t i = 0; i < MM_REGIONS_MAX; i++)
        many[i] = (struct region){.start = i * 4, .end = i * 4 + 3, .prot = RW};
    free(k.mm->regions);
    k.mm->regions = many;
    k.mm->n_regions = MM_REGIONS_MAX;
    cr_expect_eq(mm_unmap(k.mm, 1, 1), -ENOMEM, "would split one more off");
    cr_expect_eq(mm_unmap(k.mm, 0, 3), 0);
    cr_expect_eq(mm_fault(k.mm, 4 * 60000, MM_ACCESS_READ).result, MM_MINOR);
    cr_expect_eq(mm_fault(k.mm, 4 * 60000 + 3, MM_ACCESS_READ).result, MM_BADADDR);
    kit_close(&k);
}

Test(mm_region, a_limit_of_ones_own_refuses_what_would_exceed_it_and_nothing_else)
{
    struct kit k;
    struct mm *c;
    struct mm_stats s;
    kit_open_pages(&k, 64);
    mm_set_regions_max(k.mm, 4);
    for (gfn_t g = 0; g < 40; g += 10)
        cr_assert_eq(mm_map_anon(k.mm, g, 5, RW, MM_ANON_PRIVATE), 0);
    cr_expect_eq(mm_map_anon(k.mm, 100, 5, RW, MM_ANON_PRIVATE), -ENOMEM);
    cr_expect_eq(mm_unmap(k.mm, 2, 1), -ENOMEM, "would split one more off");
    cr_expect_eq(mm_protect(k.mm, 10, 2, MM_READ), -ENOMEM);
    kit_store(&k, k.mm, 2, 7);
    cr_assert_eq(mm_fork(k.mm, "c", &c), 0);
    cr_expect_eq(mm_unmap(c, 2, 1), -ENOMEM, "inherited");
    cr_expect_eq(mm_map_anon(k.mm, 5, 5, RW, MM_ANON_PRIVATE), 0, "joins two");
    cr_expect_eq(mm_unmap(k.mm, 30, 5), 0);
    cr_expect_eq(mm_unmap(k.mm, 2, 1), 0);
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.regions, 3);
    mm_destroy(c);
    kit_close(&k);
}

Test(mm_region, mms_of_one_pool_are_apart)
{
    struct kit k;
    kit_open(&k);
    struct mm *b;
    cr_assert_eq(
        mm_create(k.pool, "a name that is longer than what a report has room for, by far", &b), 0);
    cr_assert_eq(mm_map_anon(b, 16, 16, RW, MM_ANON_PRIVATE), 0);
    kit_store(&k, k.mm, 16, 1);
    kit_store(&k, b, 16, 2);
    cr_expect_eq(kit_load(&k, k.mm, 16), 1);
    cr_expect_eq(kit_load(&k, b, 16), 2);
    cr_expect_eq(mm_holders(k.pool, NULL, 0), 2);
    cr_expect_eq(mm_pool(b), k.pool);
    cr_expect_eq(strlen(mm_name(b)), 47);
    mm_destroy(b);
    cr_expect_eq(kit_load(&k, k.mm, 16), 1);
    kit_close(&k);
}
