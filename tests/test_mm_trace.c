/* What the memory manager tells a tracer (mm/trace.h) of pages outside of faults. */
#include "mm/share.h"
#include "mm/trace.h"
#include "tests/mm_swap_kit.h"

struct told {
    uint32_t count[MM_EVENTS];
    uint32_t tag[MM_EVENTS], detail[MM_EVENTS]; /* of the last one */
    gfn_t gfn[MM_EVENTS];
};

static void tell(void *ctx, enum mm_event what, uint32_t tag, gfn_t gfn, uint32_t detail)
{
    struct told *t = ctx;
    t->count[what]++;
    t->tag[what] = tag;
    t->gfn[what] = gfn;
    t->detail[what] = detail;
}

static void touch(struct kit *k, gfn_t g, uint32_t seed)
{
    fill_text(kit_bytes(k, kit_fault(k, k->mm, g, MM_ACCESS_WRITE).frame), seed);
}

Test(mm_trace, a_page_that_goes_out_is_told_with_its_slot)
{
    struct swap_kit s;
    struct told t = {0};
    const struct mm_tracer tracer = {&t, tell};
    swap_open(&s, ON_ZPOOL, 64, 64);
    mm_set_tag(s.k.mm, 7);
    touch(&s.k, 3, 1);
    pool_set_tracer(s.k.pool, &tracer);
    cr_assert_eq(mm_pageout(s.k.mm, 3, 1), 0);
    cr_expect_eq(t.count[MM_EV_SWAP_OUT], 1);
    cr_expect_eq(t.tag[MM_EV_SWAP_OUT], 7);
    cr_expect_eq(t.gfn[MM_EV_SWAP_OUT], 3);
    cr_expect_eq(t.detail[MM_EV_SWAP_OUT], pte_swap_slot(mm_pte(s.k.mm, 3)));
    cr_expect_eq(t.count[MM_EV_WRITTEN], 1);
    cr_expect_eq(t.gfn[MM_EV_WRITTEN], 3);
    cr_expect_eq(t.detail[MM_EV_WRITTEN], t.detail[MM_EV_SWAP_OUT]);
    /* back for reading, and out again: it is clean */
    kit_fault(&s.k, s.k.mm, 3, MM_ACCESS_READ);
    cr_assert_eq(mm_pageout(s.k.mm, 3, 1), 0);
    cr_expect_eq(t.count[MM_EV_SWAP_OUT], 2);
    cr_expect_eq(t.count[MM_EV_DROPPED], 1);
    cr_expect_eq(t.count[MM_EV_WRITTEN], 1);
    pool_set_tracer(s.k.pool, NULL);
    swap_close(&s);
}

Test(mm_trace, a_write_that_fails_is_told_and_the_page_is_put_back)
{
    struct swap_kit s;
    struct told t = {0};
    const struct mm_tracer tracer = {&t, tell};
    swap_open(&s, ON_DISK, 64, 64);
    touch(&s.k, 3, 1);
    pool_set_tracer(s.k.pool, &tracer);
    atomic_store(&s.fail_writes, -1);
    cr_assert_eq(mm_pageout(s.k.mm, 3, 1), 0);
    cr_expect_eq(t.count[MM_EV_SWAP_OUT], 1);
    cr_expect_eq(t.count[MM_EV_WRITE_FAILED], 1);
    cr_expect_eq(t.count[MM_EV_WRITTEN], 0);
    cr_expect_eq(t.count[MM_EV_PUT_BACK], 1);
    cr_expect_eq(t.gfn[MM_EV_PUT_BACK], 3);
    pool_set_tracer(s.k.pool, NULL);
    atomic_store(&s.fail_writes, 0);
    swap_close(&s);
}

Test(mm_trace, a_fork_tells_what_it_write_protects_and_a_copy_nothing)
{
    struct kit k;
    struct told t = {0};
    const struct mm_tracer tracer = {&t, tell};
    struct mm *child;
    kit_open(&k);
    mm_set_tag(k.mm, 5);
    touch(&k, 20, 1);
    pool_set_tracer(k.pool, &tracer);
    cr_assert_eq(mm_fork(k.mm, "child", &child), 0);
    cr_expect_eq(mm_tag(child), 5, "until it gets one of its own");
    cr_expect_eq(t.count[MM_EV_WRITE_PROTECT], 1);
    cr_expect_eq(t.tag[MM_EV_WRITE_PROTECT], 5);
    cr_expect_leq(t.gfn[MM_EV_WRITE_PROTECT], 20);
    cr_expect_gt(t.gfn[MM_EV_WRITE_PROTECT] + t.detail[MM_EV_WRITE_PROTECT], 20);
    touch(&k, 20, 2);
    cr_expect_eq(t.count[MM_EV_WRITE_PROTECT], 1);
    pool_set_tracer(k.pool, NULL);
    mm_destroy(child);
    kit_close(&k);
}

Test(mm_trace, merged_pages_are_told_with_the_frame_that_they_share)
{
    struct kit k;
    struct told t = {0};
    const struct mm_tracer tracer = {&t, tell};
    kit_open(&k);
    touch(&k, 20, 1);
    touch(&k, 21, 1);
    pool_set_tracer(k.pool, &tracer);
    for (int i = 0; i < 4; i++)
        pool_share_scan(k.pool, 1000);
    cr_expect_eq(t.count[MM_EV_MERGED], 1);
    cr_expect_eq(t.detail[MM_EV_MERGED], pte_frame(mm_pte(k.mm, 20)));
    cr_expect_eq(pte_frame(mm_pte(k.mm, 20)), pte_frame(mm_pte(k.mm, 21)));
    cr_expect_geq(t.count[MM_EV_WRITE_PROTECT], 1);
    pool_set_tracer(k.pool, NULL);
    kit_close(&k);
}

Test(mm_trace, regions_are_told_with_their_length)
{
    struct kit k;
    struct told t = {0};
    const struct mm_tracer tracer = {&t, tell};
    kit_open(&k);
    pool_set_tracer(k.pool, &tracer);
    cr_assert_eq(mm_map_anon(k.mm, 0x8000, 12, RW, MM_ANON_PRIVATE), 0);
    cr_expect_eq(t.count[MM_EV_MAPPED], 1);
    cr_expect_eq(t.detail[MM_EV_MAPPED], 12);
    cr_assert_eq(mm_protect(k.mm, 0x8002, 3, MM_READ), 0);
    cr_expect_eq(t.gfn[MM_EV_PROTECTED], 0x8002);
    cr_expect_eq(t.detail[MM_EV_PROTECTED], 3);
    cr_assert_eq(mm_unmap(k.mm, 0x8000, 12), 0);
    cr_expect_eq(t.count[MM_EV_UNMAPPED], 1);
    cr_expect_eq(t.detail[MM_EV_UNMAPPED], 12);
    cr_expect_lt(mm_map_anon(k.mm, 0x8000, 0, RW, MM_ANON_PRIVATE), 0);
    cr_expect_eq(t.count[MM_EV_MAPPED], 1, "what failed is not told");
    pool_set_tracer(k.pool, NULL);
    kit_close(&k);
}
