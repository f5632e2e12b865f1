/* Behaviours 27 to 32: lists, watermarks, refaults, limits, the honest end. */
#include <pthread.h>
#include <time.h>

#include "mm/swap.h"
#include "tests/mm_swap_kit.h"

static struct {
    bool young[4096];
    unsigned asked, invalidated;
    struct swap_kit *s;
    bool dirty_late; /* is the frame marked dirty only after the mapping went? */
} mapper;

static void on_invalidate(void *ctx, gfn_t gfn, uint32_t n)
{
    (void)ctx;
    (void)gfn;
    (void)n;
    mapper.invalidated++;
}

static void on_protect(void *ctx, gfn_t gfn, uint32_t n)
{
    (void)ctx;
    (void)gfn;
    (void)n;
}

static bool on_young(void *ctx, gfn_t gfn)
{
    (void)ctx;
    mapper.asked++;
    bool was = mapper.young[gfn];
    mapper.young[gfn] = false;
    return was;
}

static const struct mm_notifier shadow = {NULL, on_invalidate, on_protect, on_young};

Test(mm_reclaim, b27_second_chance_by_the_mappers_accessed_bits)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    mm_set_notifier(s.k.mm, &shadow);
    for (gfn_t g = 0; g < 8; g++)
        kit_store(&s.k, s.k.mm, g, g);
    for (gfn_t g = 0; g < 8; g++) { /* the entries' own bits are old; the shadow's tell */
        pte_t *e = &table_leaf(s.k.mm, 0)[g];
        *e = pte_without(*e, PTE_A);
        mapper.young[g] = g >= 4;
    }
    pool_reclaim(s.k.pool, 4);
    for (gfn_t g = 0; g < 8; g++)
        cr_expect_eq(pte_is_swap(mm_pte(s.k.mm, g)), g < 4, "gfn %u", g);
    cr_expect_geq(mapper.asked, 4);
    kit_audit(&s.k);
    mm_set_notifier(s.k.mm, NULL);
    swap_close(&s);
}

Test(mm_reclaim, b27_used_through_any_of_its_mappings)
{
    struct swap_kit s;
    struct mm *c;
    swap_open(&s, ON_ZPOOL, 64, 256);
    kit_store(&s.k, s.k.mm, 5, 5);
    cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
    frame_t f = pte_frame(mm_pte(c, 5));
    unmap_test_young(s.k.pool, f);
    cr_expect_not(unmap_test_young(s.k.pool, f));
    kit_load(&s.k, c, 5);
    cr_expect(unmap_test_young(s.k.pool, f), "seen in the child's entry");
    cr_expect_not(unmap_test_young(s.k.pool, f), "and forgotten");
    mm_destroy(c);
    swap_close(&s);
}

Test(mm_reclaim, b27_active_pages_outlive_inactive_ones)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 512);
    for (gfn_t g = 0; g < 32; g++)
        kit_store(&s.k, s.k.mm, g, g);
    pool_reclaim(s.k.pool, 1); /* everything was used: becomes active, then ages */
    for (gfn_t g = 0; g < 8; g++)
        kit_fault(&s.k, s.k.mm, g, MM_ACCESS_READ);
    for (int i = 0; i < 20; i++) { /* a stream of pages used once */
        kit_store(&s.k, s.k.mm, 100 + (gfn_t)i, 1);
        pool_reclaim(s.k.pool, 1);
        for (gfn_t g = 0; g < 8; g++)
            kit_fault(&s.k, s.k.mm, g, MM_ACCESS_READ);
    }
    unsigned kept = 0, cold = 0;
    for (gfn_t g = 0; g < 8; g++)
        kept += pte_present(mm_pte(s.k.mm, g));
    for (gfn_t g = 8; g < 32; g++)
        cold += pte_present(mm_pte(s.k.mm, g));
    cr_expect_eq(kept, 8, "%u of the pages in use were kept", kept);
    cr_expect_lt(cold, 24);
    swap_close(&s);
}

static void dirty_seen(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    (void)k;
    cr_assert_eq(mapper.invalidated, 1, "the mapping is gone before anything is written");
    struct store_stats st;
    store_get_stats(mapper.s->st, &st);
    cr_assert_eq(st.writes_zpool + st.writes_same + st.writes_disk, 0);
    cr_assert(pte_is_swap(mm_pte(k->mm, 5)));
    cr_assert(frame_test(frame_of(k->pool, 1), FRAME_DIRTY), "dirty has moved to the frame");
}

Test(mm_reclaim, b28_unmap_flush_then_write)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    mapper.s = &s;
    mm_set_notifier(s.k.mm, &shadow);
    cr_assert_eq(kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_WRITE).frame, 1);
    kit_race(&s.k, MM_SYNC_UNMAPPED, dirty_seen);
    swap_out(&s, s.k.mm, 5);
    cr_expect_eq(s.k.raced, 1);
    mm_set_notifier(s.k.mm, NULL);
    swap_close(&s);
}

static void *store_thread(void *arg)
{
    kit_store(arg, ((struct kit *)arg)->mm, 5, 0x1234);
    return NULL;
}

static void used_again(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    pthread_t t;
    cr_assert_eq(pthread_create(&t, NULL, store_thread, k), 0);
    pthread_join(t, NULL);
}

Test(mm_reclaim, b27_race_fault_against_reclaim_before_unmapping)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    kit_store(&s.k, s.k.mm, 5, 5);
    mm_destroy(({
        struct mm *c;
        cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
        c;
    }));
    s.k.race_at = MM_SYNC_ISOLATED;
    s.k.race = used_again; /* copy-on-write of a page that reclaim holds: it copies */
    pool_reclaim(s.k.pool, 1);
    s.k.race = NULL;
    cr_expect_eq(s.k.raced, 1);
    kit_audit(&s.k);
    cr_expect_eq(kit_load(&s.k, s.k.mm, 5), 0x1234);
    swap_close(&s);
}

static void *used_by_thread(void *arg)
{
    struct kit *k = arg;
    struct mm_fault f = mm_fault(k->mm, 5, MM_ACCESS_WRITE);
    cr_assert_leq(f.result, MM_SPURIOUS);
    kit_bytes(k, f.frame)[0] = 0x77;
    return NULL;
}

static pthread_t user;

static void used_while_unmapped(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    cr_assert_eq(pthread_create(&user, NULL, used_by_thread, k), 0);
    nanosleep(&(struct timespec){0, 20000000}, NULL); /* let it reach the frame's lock */
}

Test(mm_reclaim, b28_race_fault_against_reclaim_after_unmapping)
{
    for (enum swap_mode mode = ON_ZPOOL; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        swap_open(&s, mode, 64, 256);
        kit_store(&s.k, s.k.mm, 5, 0x01010101);
        kit_race(&s.k, MM_SYNC_UNMAPPED, used_while_unmapped);
        pool_reclaim(s.k.pool, 1);
        pthread_join(user, NULL);
        cr_expect_eq(s.k.raced, 1);
        kit_audit(&s.k);
        cr_expect_eq(kit_load(&s.k, s.k.mm, 5), 0x01010177);
        swap_close(&s);
    }
}

static bool wait_for_available(struct pool *p, uint32_t n)
{
    for (int ms = 0; ms < 5000; ms++) {
        if (pool_available(p) >= n)
            return true;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return false;
}

Test(mm_reclaim, b29_background_thread_works_from_low_to_high)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 128, 512);
    cr_expect_eq(pool_set_watermarks(s.k.pool, 9, 8, 20), -EINVAL);
    cr_expect_eq(pool_set_watermarks(s.k.pool, 2, 8, 128), -EINVAL);
    cr_assert_eq(pool_set_watermarks(s.k.pool, 4, 10, 30), 0);
    cr_assert_eq(pool_reclaim_start(s.k.pool), 0);
    cr_expect_eq(pool_reclaim_start(s.k.pool), -EBUSY);
    gfn_t g = 0;
    while (pool_available(s.k.pool) > 12) /* above low: it sleeps */
        kit_store(&s.k, s.k.mm, g++, 1);
    cr_expect_eq(counters(&s).background, 0);
    while (counters(&s).background == 0 && pool_available(s.k.pool) > 6) {
        mm_fault(s.k.mm, g++, MM_ACCESS_WRITE);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    cr_expect(wait_for_available(s.k.pool, 30), "%u available", pool_available(s.k.pool));
    cr_expect_eq(counters(&s).direct, 0, "no faulting thread had to");
    pool_reclaim_stop(s.k.pool);
    swap_close(&s);
}

Test(mm_reclaim, b29_below_min_the_faulting_thread_reclaims)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 512);
    cr_assert_eq(pool_set_watermarks(s.k.pool, 8, 8, 8), 0);
    for (gfn_t g = 0; g < 200; g++) {
        struct mm_fault f = kit_fault(&s.k, s.k.mm, g, MM_ACCESS_WRITE);
        memcpy(kit_bytes(&s.k, f.frame), &g, 4);
        cr_assert_geq(pool_available(s.k.pool), 7);
    }
    cr_expect_gt(counters(&s).direct, 0);
    for (gfn_t g = 0; g < 200; g++)
        cr_assert_eq(kit_load(&s.k, s.k.mm, g), g);
    swap_close(&s);
}

Test(mm_reclaim, b30_refault_soon_after_eviction_goes_to_the_active_list)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 512);
    for (gfn_t g = 0; g < 20; g++)
        kit_store(&s.k, s.k.mm, g, g);
    swap_out(&s, s.k.mm, 3);
    kit_load(&s.k, s.k.mm, 3);
    frame_t f = pte_frame(mm_pte(s.k.mm, 3));
    cr_expect(frame_test(frame_of(s.k.pool, f), FRAME_ACTIVE));
    cr_expect_eq(counters(&s).refaults_soon, 1);
    swap_out(&s, s.k.mm, 4);
    for (gfn_t g = 100; g < 150; g++) { /* many leave in between */
        kit_store(&s.k, s.k.mm, g, g);
        swap_out(&s, s.k.mm, g);
    }
    kit_load(&s.k, s.k.mm, 4);
    f = pte_frame(mm_pte(s.k.mm, 4));
    cr_expect_not(frame_test(frame_of(s.k.pool, f), FRAME_ACTIVE), "too long ago");
    cr_expect_eq(counters(&s).refaults_soon, 1);
    cr_expect_eq(counters(&s).refaults, 2);
    swap_close(&s);
}

Test(mm_reclaim, b31_pinned_and_locked_frames_are_skipped)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 512);
    kit_store(&s.k, s.k.mm, 1, 1);
    kit_store(&s.k, s.k.mm, 2, 2);
    kit_load(&s.k, s.k.mm, 3); /* the zero frame: on no list */
    struct mm_fault pin = mm_pin(s.k.mm, 1, MM_ACCESS_WRITE);
    struct frame *locked = frame_of(s.k.pool, pte_frame(mm_pte(s.k.mm, 2)));
    cr_assert(frame_trylock(locked));
    cr_expect_eq(pool_reclaim(s.k.pool, 10), 0);
    cr_expect_geq(counters(&s).busy, 2);
    frame_unlock(locked);
    kit_audit(&s.k);
    cr_expect(pte_present(mm_pte(s.k.mm, 1)) && pte_present(mm_pte(s.k.mm, 2)));
    mm_unpin(s.k.pool, pin.frame);
    cr_expect_eq(pool_reclaim(s.k.pool, 10), 2);
    cr_expect_eq(pte_frame(mm_pte(s.k.mm, 3)), POOL_ZERO_FRAME);
    swap_close(&s);
}

static struct mm_fault late_pin;

static void *pin_thread(void *arg)
{
    struct kit *k = arg;
    late_pin = mm_pin(k->mm, 5, MM_ACCESS_WRITE);
    return NULL;
}

static void pinned_meanwhile(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    pthread_t t;
    cr_assert_eq(pthread_create(&t, NULL, pin_thread, k), 0);
    pthread_join(t, NULL);
}

Test(mm_reclaim, b31_race_pinned_while_it_was_chosen)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 512);
    kit_store(&s.k, s.k.mm, 5, 5);
    unmap_test_young(s.k.pool, pte_frame(mm_pte(s.k.mm, 5)));
    kit_race(&s.k, MM_SYNC_ISOLATED, pinned_meanwhile);
    frame_t f = pte_frame(mm_pte(s.k.mm, 5));
    lock_take(&s.k.pool->scan_lock, LOCK_SCAN);
    cr_assert(lru_isolate_one(s.k.pool, f));
    cr_expect_eq(evict_frame(s.k.pool, f), EVICT_KEPT);
    lock_drop(&s.k.pool->scan_lock, LOCK_SCAN);
    cr_assert_eq(s.k.raced, 1);
    cr_expect_eq(late_pin.frame, f);
    pte_t p = mm_pte(s.k.mm, 5);
    cr_expect(pte_present(p) && pte_frame(p) == f && pte_writable(p), "put back: 0x%x", p.raw);
    kit_audit(&s.k);
    cr_expect_eq(swap_used(&s), 0);
    mm_unpin(s.k.pool, f);
    swap_close(&s);
}

Test(mm_reclaim, b31_nothing_to_reclaim_is_out_of_memory_with_a_report)
{
    struct kit k;
    kit_open(&k);
    for (gfn_t g = 16; g < 16 + 63; g++)
        kit_store(&k, k.mm, g, g);
    cr_expect_eq(mm_fault(k.mm, 100, MM_ACCESS_WRITE).result, MM_OOM);
    char text[2048];
    size_t n = mm_report(k.pool, text, sizeof text);
    cr_expect_lt(n, sizeof text);
    const char *words[] = {"63 in all, 0 available, 63 held", "swap: none", "a  ", "63 resident"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        cr_expect(strstr(text, words[i]) != NULL, "\"%s\" is not in:\n%s", words[i], text);
    cr_expect_eq(mm_report(k.pool, NULL, 0), n);
    char brief[16];
    mm_report(k.pool, brief, sizeof brief);
    cr_expect_eq(strlen(brief), 15);
    kit_close(&k);
}

Test(mm_reclaim, b31_thrashing_makes_progress)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 8, 512); /* seven frames, 64 pages in use */
    for (int round = 0; round < 4; round++)
        for (gfn_t g = 0; g < 64; g++) {
            if (round > 0)
                cr_assert_eq(kit_load(&s.k, s.k.mm, g), g + (uint32_t)round - 1);
            kit_store(&s.k, s.k.mm, g, g + (uint32_t)round);
        }
    swap_close(&s);
}

/* Of 40 writes one succeeds, whole rounds of reclaim come to nothing, slots go bad by the dozen: as
 * long as there are slots, the faulting thread goes on until it has a frame. */
Test(mm_reclaim, b31_an_area_that_fails_most_writes_is_no_out_of_memory_while_slots_are_left)
{
    for (enum swap_mode mode = ON_DISK; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        swap_open(&s, mode, 128, 16384);
        s.pass_every = 40;
        for (gfn_t g = 0; g < 300; g++)
            kit_store(&s.k, s.k.mm, g, g);
        struct mm_counters c = counters(&s);
        cr_expect_gt(c.write_errors, 39 * 170);
        s.pass_every = 0;
        for (gfn_t g = 0; g < 300; g++)
            cr_assert_eq(kit_load(&s.k, s.k.mm, g), g);
        swap_close(&s);
    }
}

/* When every write fails, it ends: with what there is tried a few times, not with all slots. */
Test(mm_reclaim, b31_an_area_that_fails_every_write_ends_in_oom_not_in_a_hang)
{
    for (enum swap_mode mode = ON_DISK; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        gfn_t n = 0;
        swap_open(&s, mode, 128, 16384);
        s.fail_writes = -1;
        for (struct mm_fault f;; n++) {
            f = mm_fault(s.k.mm, n, MM_ACCESS_WRITE);
            if (f.result != MM_MINOR)
                break;
            fill_noise(kit_bytes(&s.k, f.frame), n);
        }
        cr_expect_eq(n, 127, "each frame was given: %u", n);
        kit_audit(&s.k);
        cr_expect_leq(swap_bad(&s), 2048, "%u slots lost", swap_bad(&s));
        s.fail_writes = 0;
        kit_store(&s.k, s.k.mm, n, n); /* a medium that is well again */
        swap_close(&s);
    }
}

/* Pages that do not compress fill the pool; the few that do go out and come back at each fault.
 * That is not to go on for ever, looking through all of the pool each time for the one that can go.
 */
Test(mm_reclaim, b31_next_to_nothing_that_can_leave_is_out_of_memory_too)
{
    enum { FRAMES = 2048, TEXTS = 24 };
    struct swap_kit s;
    struct mm_fault f;
    gfn_t n = 0;
    swap_open(&s, ON_ZPOOL, FRAMES, 8192);
    cr_assert_eq(pool_set_watermarks(s.k.pool, 16, 32, 48), 0);
    cr_assert_eq(mm_map_anon(s.k.mm, 2000, 2 * FRAMES, RW, MM_ANON_PRIVATE), 0);
    for (gfn_t g = 0; g < TEXTS; g++)
        kit_store(&s.k, s.k.mm, g, g + 1);
    do {
        for (gfn_t g = 0; g < TEXTS; g++) { /* what the instructions that write noise lie in */
            f = mm_fault(s.k.mm, g, MM_ACCESS_READ);
            if (f.result > MM_SPURIOUS)
                break;
        }
        if (f.result <= MM_SPURIOUS)
            f = mm_fault(s.k.mm, 2000 + n, MM_ACCESS_WRITE);
        if (f.result <= MM_SPURIOUS)
            fill_noise(kit_bytes(&s.k, f.frame), n++);
        cr_assert_leq(counters(&s).scanned, 200u * FRAMES, "after %u pages", n);
    } while (f.result <= MM_SPURIOUS);
    cr_expect_eq(f.result, MM_OOM);
    cr_expect_geq(n, FRAMES - 1 - TEXTS, "%u pages", n);
    cr_expect_gt(counters(&s).gave_up, 0);
    kit_audit(&s.k);
    mm_unmap(s.k.mm, 2000, 2 * FRAMES); /* and all is well again */
    for (gfn_t g = 0; g < 1024; g++)
        kit_store(&s.k, s.k.mm, g, g);
    swap_close(&s);
}

Test(mm_reclaim, b31_a_pool_too_small_to_copy_ends_in_oom_not_in_a_hang)
{
    struct swap_kit s;
    struct mm *c;
    swap_open(&s, ON_ZPOOL, 2, 512); /* one frame */
    kit_store(&s.k, s.k.mm, 5, 5);
    cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
    struct mm_fault f = mm_fault(c, 5, MM_ACCESS_WRITE);
    cr_expect(f.result == MM_OOM || f.result <= MM_SPURIOUS);
    kit_audit(&s.k);
    cr_expect_eq(kit_load(&s.k, s.k.mm, 5), 5);
    mm_destroy(c);
    swap_close(&s);
}

Test(mm_reclaim, b32_limit_of_one_mm_is_honoured)
{
    struct swap_kit s;
    struct mm *b;
    struct mm_stats st;
    swap_open(&s, ON_ZPOOL, 128, 512);
    cr_assert_eq(mm_create(s.k.pool, "b", &b), 0);
    cr_assert_eq(mm_map_anon(b, 0, 256, RW, MM_ANON_PRIVATE), 0);
    mm_set_limit(s.k.mm, 10);
    for (gfn_t g = 0; g < 50; g++) {
        kit_store(&s.k, b, g, g + 1000);
        kit_store(&s.k, s.k.mm, g, g);
        mm_get_stats(s.k.mm, &st);
        cr_assert_leq(st.resident, 10);
    }
    mm_get_stats(b, &st);
    cr_expect_eq(st.resident, 50, "the other mm is left alone");
    cr_expect_gt(counters(&s).limit, 0);
    for (gfn_t g = 0; g < 50; g++) {
        cr_expect_eq(kit_load(&s.k, s.k.mm, g), g);
        cr_expect_eq(kit_load(&s.k, b, g), g + 1000);
    }
    mm_destroy(b);
    swap_close(&s);
}

Test(mm_reclaim, b32_limit_that_cannot_be_kept_is_out_of_memory)
{
    struct kit k;
    kit_open(&k); /* no swap */
    mm_set_limit(k.mm, 3);
    for (gfn_t g = 16; g < 19; g++)
        kit_store(&k, k.mm, g, g);
    cr_expect_eq(mm_fault(k.mm, 19, MM_ACCESS_WRITE).result, MM_OOM);
    cr_expect_eq(mm_fault(k.mm, 20, MM_ACCESS_READ).result, MM_MINOR, "the zero frame is free");
    mm_set_limit(k.mm, 0);
    kit_store(&k, k.mm, 19, 1);
    kit_close(&k);
}

Test(mm_reclaim, b32_limit_and_copy_on_write_of_the_only_page)
{
    struct swap_kit s;
    struct mm *c;
    swap_open(&s, ON_ZPOOL, 64, 512);
    kit_store(&s.k, s.k.mm, 5, 5);
    cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
    mm_set_limit(c, 1);
    kit_store(&s.k, c, 5, 6);
    kit_store(&s.k, c, 7, 7);
    cr_expect_eq(kit_load(&s.k, c, 5), 6);
    cr_expect_eq(kit_load(&s.k, s.k.mm, 5), 5);
    mm_destroy(c);
    swap_close(&s);
}

Test(mm_reclaim, shared_anonymous_memory_goes_out_and_comes_back)
{
    for (enum swap_mode mode = ON_ZPOOL; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        struct mm *c;
        swap_open(&s, mode, 64, 512);
        cr_assert_eq(mm_map_anon(s.k.mm, 2000, 32, RW, MM_ANON_SHARED), 0);
        cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
        for (gfn_t g = 2000; g < 2032; g++)
            kit_store(&s.k, g & 1 ? c : s.k.mm, g, g);
        pool_reclaim(s.k.pool, 32);
        pool_reclaim(s.k.pool, 32);
        swap_drain(s.k.pool);
        kit_audit(&s.k);
        cr_expect_eq(swap_used(&s), 32);
        for (gfn_t g = 2000; g < 2032; g++) {
            cr_expect_eq(kit_load(&s.k, s.k.mm, g), g);
            kit_store(&s.k, c, g, g + 1);
            cr_expect_eq(kit_load(&s.k, s.k.mm, g), g + 1);
        }
        cr_expect_eq(swap_used(&s), 0);
        pool_reclaim(s.k.pool, 32);
        pool_reclaim(s.k.pool, 32);
        cr_assert_eq(mm_unmap(s.k.mm, 2000, 32), 0);
        mm_destroy(c); /* with its pages out */
        swap_close(&s);
    }
}
