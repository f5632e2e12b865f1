/* The frame pool: sizes, growth, exhaustion, hand-out and return. */
#include <errno.h>

#include "tests/mm_kit.h"

static struct pool *open_pool(uint64_t frames, uint64_t step)
{
    struct pool_opts o = {.bytes = frames * PAGE_SIZE, .step = step * PAGE_SIZE};
    struct pool *p;
    cr_assert_eq(pool_create(&o, &p), 0);
    return p;
}

static bool all_zero(const uint8_t *b)
{
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        if (b[i])
            return false;
    return true;
}

Test(pool, refuses_sizes_that_are_no_pool)
{
    struct pool *p;
    const struct pool_opts bad[] = {
        {.bytes = 0},
        {.bytes = 4097},
        {.bytes = POOL_MAX_BYTES + PAGE_SIZE},
        {.bytes = UINT64_MAX & ~(uint64_t)PAGE_MASK},
        {.bytes = PAGE_SIZE, .step = 100},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(pool_create(&bad[i], &p), -EINVAL, "case %zu", i);
}

Test(pool, largest_size_is_cheap_to_reserve)
{
    struct pool *p = open_pool(POOL_MAX_BYTES / PAGE_SIZE, 0);
    struct pool_stats s;
    pool_get_stats(p, &s);
    cr_expect_eq(s.frames_grown, 1);
    cr_expect_eq(s.frames_max, 1u << 20);
    pool_destroy(p);
}

Test(pool, zero_frame_is_zero_and_never_handed_out)
{
    struct pool *p = open_pool(8, 8);
    bool zeroed;
    cr_expect(all_zero(pool_ptr(p, POOL_ZERO_FRAME)));
    frame_t f[8];
    for (int i = 0; i < 7; i++) {
        f[i] = pool_take(p, &zeroed);
        cr_expect_neq(f[i], POOL_ZERO_FRAME);
        cr_expect_neq(f[i], FRAME_NONE);
    }
    cr_expect_eq(pool_take(p, &zeroed), FRAME_NONE);
    for (int i = 0; i < 7; i++)
        frame_put(p, f[i]);
    pool_destroy(p);
}

Test(pool, grows_by_its_step_and_stops_at_its_size)
{
    struct pool *p = open_pool(20, 8);
    struct pool_stats s;
    bool zeroed;
    uint64_t grown[20];
    frame_t f[19];
    for (int i = 0; i < 19; i++) {
        f[i] = pool_take(p, &zeroed);
        cr_assert_neq(f[i], FRAME_NONE);
        pool_get_stats(p, &s);
        grown[i] = s.frames_grown;
    }
    cr_expect_eq(grown[0], 8);
    cr_expect_eq(grown[6], 8);
    cr_expect_eq(grown[7], 16);
    cr_expect_eq(grown[15], 20);
    cr_expect_eq(s.grows, 3);
    cr_expect_eq(s.frames_free, 0);
    cr_expect_eq(pool_available(p), 0);
    for (int i = 0; i < 19; i++)
        frame_put(p, f[i]);
    pool_destroy(p);
}

Test(pool, says_truly_which_frames_are_still_zero)
{
    struct pool *p = open_pool(4, 4);
    bool zeroed;
    frame_t f = pool_take(p, &zeroed);
    cr_expect(zeroed);
    cr_expect(all_zero(pool_ptr(p, f)));
    pool_ptr(p, f)[7] = 1;
    frame_put(p, f);
    cr_expect_eq(pool_take(p, &zeroed), f, "a returned frame comes first");
    cr_expect_not(zeroed);
    frame_put(p, f);
    pool_destroy(p);
}

Test(pool, frame_stays_while_anyone_holds_it)
{
    struct pool *p = open_pool(4, 4);
    bool zeroed;
    frame_t f = pool_take(p, &zeroed);
    frame_ref(frame_of(p, f));
    frame_put(p, f);
    cr_expect_eq(frame_refs(frame_of(p, f)), 1);
    cr_expect_eq(pool_available(p), 2);
    frame_put(p, f);
    cr_expect_eq(pool_available(p), 3);
    pool_destroy(p);
}

Test(pool, each_call_of_creation_may_fail)
{
    const int n = kit_fail_creation((struct pool_opts){.bytes = 16 * PAGE_SIZE});
    cr_expect_gt(n, 5, "only %d calls were tried", n);
}

Test(pool, growth_that_fails_leaves_the_pool_usable)
{
    struct failpoint fail = {0};
    struct pool_opts o = {.bytes = 16 * PAGE_SIZE, .step = 4 * PAGE_SIZE, .fail = &fail};
    struct pool *p;
    bool zeroed;
    cr_assert_eq(pool_create(&o, &p), 0);
    fail_arm(&fail, FAIL_MAP, 1, false);
    cr_expect_eq(pool_take(p, &zeroed), FRAME_NONE);
    frame_t f = pool_take(p, &zeroed);
    cr_expect_neq(f, FRAME_NONE);
    frame_put(p, f);
    pool_destroy(p);
}
