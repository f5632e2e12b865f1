/* pool_balance: background reclaim in the caller's thread (behaviour 29 without a thread). */
#include "mm/zpool.h"
#include "tests/mm_swap_kit.h"

enum { FRAMES = 64, MIN = 2, LOW = 8, HIGH = 24 };

static void write_pages(struct swap_kit *s, gfn_t from, uint32_t n)
{
    for (gfn_t g = from; g < from + n; g++) {
        struct mm_fault f = kit_fault(&s->k, s->k.mm, g, MM_ACCESS_WRITE);
        fill_text(kit_bytes(&s->k, f.frame), g);
    }
}

static void open_with_marks(struct swap_kit *s, enum swap_mode mode, uint32_t slots)
{
    swap_open(s, mode, FRAMES, slots);
    cr_assert_eq(pool_set_watermarks(s->k.pool, MIN, LOW, HIGH), 0);
}

Test(mm_balance, above_low_nothing_is_done)
{
    struct swap_kit s;
    open_with_marks(&s, ON_ZPOOL, 512);
    write_pages(&s, 0, FRAMES - 1 - LOW);
    cr_assert(pool_balance(s.k.pool));
    cr_expect_eq(counters(&s).scanned, 0);
    cr_expect_eq(pool_available(s.k.pool), LOW);
    swap_close(&s);
}

Test(mm_balance, below_low_it_frees_until_high)
{
    struct swap_kit s;
    for (enum swap_mode mode = ON_ZPOOL; mode < SWAP_MODES; mode++) {
        open_with_marks(&s, mode, 512);
        write_pages(&s, 0, FRAMES - LOW);
        cr_assert_lt(pool_available(s.k.pool), LOW);
        cr_assert(pool_balance(s.k.pool));
        kit_audit(&s.k);
        swap_drain(s.k.pool); /* what is on its way counts, and comes */
        cr_expect_geq(pool_available(s.k.pool), HIGH, "mode %d: %u", mode,
                      pool_available(s.k.pool));
        cr_expect_leq(pool_available(s.k.pool), HIGH + 32, "mode %d: far more than wanted", mode);
        for (gfn_t g = 0; g < FRAMES - LOW; g++) {
            uint8_t want[PAGE_SIZE];
            fill_text(want, g);
            struct mm_fault f = kit_fault(&s.k, s.k.mm, g, MM_ACCESS_READ);
            cr_assert_arr_eq(kit_bytes(&s.k, f.frame), want, PAGE_SIZE, "page %u", g);
            pool_balance(s.k.pool);
        }
        swap_close(&s);
    }
}

Test(mm_balance, it_says_when_nothing_can_go)
{
    struct swap_kit s;
    open_with_marks(&s, ON_ZPOOL, 4); /* three slots */
    write_pages(&s, 0, FRAMES - LOW);
    cr_assert(pool_balance(s.k.pool)); /* three go, and that is low enough */
    write_pages(&s, FRAMES - LOW, 3);
    cr_assert_not(pool_balance(s.k.pool));
    kit_audit(&s.k);
    cr_expect_eq(swap_used(&s), 3);
    cr_assert_eq(mm_unmap(s.k.mm, 0, 40), 0); /* room again */
    cr_expect(pool_balance(s.k.pool));
    swap_close(&s);
}

Test(mm_balance, without_swap_it_says_so_and_harms_nobody)
{
    struct kit k;
    kit_open(&k);
    cr_assert_eq(pool_set_watermarks(k.pool, MIN, LOW, HIGH), 0);
    for (gfn_t g = 16; g < 16 + FRAMES - LOW; g++)
        kit_store(&k, k.mm, g, g);
    cr_expect_not(pool_balance(k.pool));
    kit_audit(&k);
    for (gfn_t g = 16; g < 16 + FRAMES - LOW; g++)
        cr_assert_eq(kit_load(&k, k.mm, g), g);
    kit_close(&k);
}

Test(mm_balance, writes_that_fail_leave_the_pages_where_they_are)
{
    struct swap_kit s;
    open_with_marks(&s, ON_DISK, 512);
    write_pages(&s, 0, FRAMES - LOW);
    atomic_store(&s.fail_writes, -1);
    for (int i = 0; i < 8; i++) {
        pool_balance(s.k.pool);
        swap_drain(s.k.pool);
    }
    kit_audit(&s.k);
    cr_expect_gt(counters(&s).write_errors, 0);
    atomic_store(&s.fail_writes, 0);
    for (gfn_t g = 0; g < FRAMES - LOW; g++) {
        uint8_t want[PAGE_SIZE];
        fill_text(want, g);
        struct mm_fault f = kit_fault(&s.k, s.k.mm, g, MM_ACCESS_READ);
        cr_assert_arr_eq(kit_bytes(&s.k, f.frame), want, PAGE_SIZE, "page %u", g);
    }
    swap_close(&s);
}

Test(mm_balance, a_compressed_pool_before_an_area_is_written_back)
{
    struct swap_kit s;
    struct mm_err err;
    open_with_marks(&s, ON_DISK, 512);
    pool_swapoff(s.k.pool, &err);
    store_close(s.st);

    char path[] = "/tmp/umbra-swap-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(area_format(path, 2 << 20, &err), 0, "%s", err.text);
    const struct store_opts o = {.path = path, .zpool_bytes = ZPOOL_MIN_BYTES};
    cr_assert_eq(store_open(&o, &s.st, &err), 0, "%s", err.text);
    unlink(path);
    cr_assert_eq(pool_swapon(s.k.pool, s.st), 0);
    for (gfn_t g = 0; g < 400; g++) {
        struct mm_fault f = kit_fault(&s.k, s.k.mm, g, MM_ACCESS_WRITE);
        uint8_t *page = kit_bytes(&s.k, f.frame);
        fill_noise(page, g); /* a third of it: shrinks, but not to nothing */
        memset(page + PAGE_SIZE / 3, 0, PAGE_SIZE - PAGE_SIZE / 3);
        cr_assert(pool_balance(s.k.pool));
        cr_assert_not(pool_available(s.k.pool) < LOW &&
                      !atomic_load(&pool_swap(s.k.pool)->in_flight));
    }
    struct store_stats st;
    store_get_stats(s.st, &st);
    cr_expect_gt(st.written_back, 0);
    kit_audit(&s.k);
    swap_close(&s);
}
