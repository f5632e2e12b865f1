/* Behaviours 8 to 12: copy-on-write, fork, and protection changes. */
#include <errno.h>
#include <pthread.h>

#include "tests/mm_kit.h"

static struct mm *fork_of(struct kit *k, struct mm *mm)
{
    struct mm *child;
    cr_assert_eq(mm_fork(mm, "child", &child), 0);
    kit_audit(k);
    return child;
}

static frame_t frame_at(struct mm *mm, gfn_t gfn)
{
    return pte_frame(mm_pte(mm, gfn));
}

Test(mm_cow, b08_last_owner_reuses_in_place)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm *c = fork_of(&k, k.mm);
    frame_t shared = frame_at(k.mm, 20);
    mm_destroy(c);
    struct mm_fault f = kit_fault(&k, k.mm, 20, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_MINOR);
    cr_expect_eq(f.path, MM_PATH_REUSE);
    cr_expect_eq(f.frame, shared);
    cr_expect_eq(kit_load(&k, k.mm, 20), 7);
    kit_close(&k);
}

Test(mm_cow, b08_frame_that_someone_else_holds_is_copied)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    mm_destroy(fork_of(&k, k.mm));
    frame_t old = frame_at(k.mm, 20);
    frame_ref(frame_of(k.pool, old)); /* as a reader in passing would */
    struct mm_fault f = mm_fault(k.mm, 20, MM_ACCESS_WRITE);
    cr_expect_eq(f.path, MM_PATH_COPY);
    cr_expect_neq(f.frame, old);
    frame_put(k.pool, old);
    cr_expect_eq(kit_load(&k, k.mm, 20), 7);
    kit_close(&k);
}

Test(mm_cow, b09_not_sole_owner_copies_and_the_last_reuses)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm *c = fork_of(&k, k.mm);
    frame_t old = frame_at(k.mm, 20);
    struct mm_fault f = kit_fault(&k, c, 20, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_MINOR);
    cr_expect_eq(f.path, MM_PATH_COPY);
    cr_expect_neq(f.frame, old);
    cr_expect_eq(memcmp(kit_bytes(&k, f.frame), kit_bytes(&k, old), PAGE_SIZE), 0);
    kit_store(&k, c, 20, 8);
    cr_expect_eq(kit_load(&k, k.mm, 20), 7);
    f = kit_fault(&k, k.mm, 20, MM_ACCESS_WRITE);
    cr_expect_eq(f.path, MM_PATH_REUSE);
    cr_expect_eq(f.frame, old);
    struct mm_counters n;
    mm_get_counters(k.pool, &n);
    cr_expect_eq(n.copies, 1);
    cr_expect_eq(n.reuses, 1);
    mm_destroy(c);
    kit_close(&k);
}

static void other_writes(struct kit *k, struct mm *mm, gfn_t gfn)
{
    kit_store(k, mm, gfn, 0x55);
}

Test(mm_cow, b09_race_another_thread_copied_first)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm *c = fork_of(&k, k.mm);
    kit_race(&k, MM_SYNC_COPIED, other_writes);
    struct mm_fault f = mm_fault(k.mm, 20, MM_ACCESS_WRITE);
    cr_expect_eq(k.raced, 1);
    cr_expect_eq(f.result, MM_SPURIOUS);
    cr_expect(f.path & MM_PATH_RACE);
    cr_expect_eq(kit_load(&k, k.mm, 20), 0x55);
    cr_expect_eq(kit_load(&k, c, 20), 7);
    mm_destroy(c);
    kit_close(&k);
}

static void other_unmaps(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)k;
    cr_assert_eq(mm_unmap(mm, gfn, 1), 0);
}

Test(mm_cow, b09_race_unmapped_while_copying)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm *c = fork_of(&k, k.mm);
    kit_race(&k, MM_SYNC_COPIED, other_unmaps);
    cr_expect_eq(mm_fault(k.mm, 20, MM_ACCESS_WRITE).result, MM_BADADDR);
    cr_expect_eq(kit_load(&k, c, 20), 7);
    mm_destroy(c);
    kit_close(&k);
}

static struct mm *race_child;

static void other_forks(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)k;
    (void)gfn;
    cr_assert_eq(mm_fork(mm, "grandchild", &race_child), 0);
}

Test(mm_cow, b10_race_fault_against_fork)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm *c = fork_of(&k, k.mm);
    kit_race(&k, MM_SYNC_COPIED, other_forks);
    kit_store(&k, k.mm, 20, 9);
    cr_expect_eq(k.raced, 1);
    cr_expect_eq(kit_load(&k, c, 20), 7);
    cr_expect_eq(kit_load(&k, race_child, 20), 7);
    cr_expect_eq(kit_load(&k, k.mm, 20), 9);
    mm_destroy(c);
    mm_destroy(race_child);
    kit_close(&k);
}

static void *writes_thread(void *arg)
{
    struct kit *k = arg;
    kit_store(k, k->mm, 1030, 0x99); /* in the next leaf table, not yet copied */
    kit_store(k, k->mm, 20, 0x98);   /* in the one that is */
    return NULL;
}

/* Fork holds map_lock meanwhile: another thread it must be. */
static void parent_writes(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    pthread_t t;
    cr_assert_eq(pthread_create(&t, NULL, writes_thread, k), 0);
    pthread_join(t, NULL);
}

Test(mm_cow, b10_race_parent_writes_while_it_is_copied)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 1);
    kit_store(&k, k.mm, 1030, 2);
    kit_race(&k, MM_SYNC_FORK_PAGE, parent_writes);
    struct mm *c = fork_of(&k, k.mm);
    cr_expect_eq(k.raced, 1);
    cr_expect_eq(kit_load(&k, c, 20), 1);
    cr_expect_eq(kit_load(&k, c, 1030), 0x99);
    cr_expect_eq(kit_load(&k, k.mm, 20), 0x98);
    mm_destroy(c);
    kit_close(&k);
}

static struct {
    gfn_t gfn;
    uint32_t n, protects, invalidates;
} told;

static void on_protect(void *ctx, gfn_t gfn, uint32_t n)
{
    (void)ctx;
    told.gfn = gfn;
    told.n = n;
    told.protects++;
}

static void on_invalidate(void *ctx, gfn_t gfn, uint32_t n)
{
    (void)ctx;
    told.gfn = gfn;
    told.n = n;
    told.invalidates++;
}

static bool not_young(void *ctx, gfn_t gfn)
{
    (void)ctx;
    (void)gfn;
    return false;
}

static const struct mm_notifier teller = {NULL, on_invalidate, on_protect, not_young};

Test(mm_cow, b10_fork_write_protects_both_sides_and_ages_the_child)
{
    struct kit k;
    kit_open(&k);
    mm_set_notifier(k.mm, &teller);
    kit_store(&k, k.mm, 20, 7);
    kit_load(&k, k.mm, 21);
    struct mm *c = fork_of(&k, k.mm);
    cr_expect(told.protects == 1 && told.gfn <= 20 && told.gfn + told.n > 20);
    pte_t a = mm_pte(k.mm, 20), b = mm_pte(c, 20);
    cr_expect_not(pte_writable(a));
    cr_expect_not(pte_writable(b));
    cr_expect_not(pte_young(b));
    cr_expect_eq(pte_frame(a), pte_frame(b));
    cr_expect_eq(frame_at(c, 21), POOL_ZERO_FRAME);
    struct mm_page_info i;
    mm_page_info(c, 20, &i);
    cr_expect_eq(i.refs, 2);
    cr_expect_eq(i.maps, 2);
    struct mm_stats s;
    mm_get_stats(c, &s);
    cr_expect_eq(s.resident, 1);
    cr_expect_eq(s.regions, 2);
    mm_destroy(c);
    kit_close(&k);
}

Test(mm_cow, b10_generations_each_keep_their_own)
{
    struct kit k;
    kit_open(&k);
    struct mm *m[8] = {k.mm};
    for (int i = 0; i < 7; i++) {
        kit_store(&k, m[i], 20, (uint32_t)i);
        m[i + 1] = fork_of(&k, m[i]);
    }
    kit_store(&k, m[7], 20, 7);
    for (uint32_t i = 0; i < 8; i++)
        cr_expect_eq(kit_load(&k, m[i], 20), i);
    const int order[] = {3, 7, 1, 5, 2, 6, 4};
    for (int i = 0; i < 7; i++) {
        mm_destroy(m[order[i]]);
        kit_audit(&k);
    }
    cr_expect_eq(kit_load(&k, k.mm, 20), 0);
    kit_close(&k);
}

Test(mm_cow, b11_a_new_copy_replaces_the_mapping)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm *c = fork_of(&k, k.mm);
    mm_set_notifier(c, &teller);
    kit_store(&k, c, 20, 8);
    cr_expect(told.invalidates == 1 && told.gfn == 20, "the old frame's read-only mapping must go");
    mm_destroy(c);
    kit_close(&k);
}

Test(mm_cow, pinned_page_is_copied_at_fork)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm_fault f = mm_pin(k.mm, 20, MM_ACCESS_WRITE);
    struct mm *c = fork_of(&k, k.mm);
    memcpy(kit_bytes(&k, f.frame), &(uint32_t){9}, 4); /* through the pin, with no fault */
    cr_expect_eq(kit_load(&k, c, 20), 7);
    cr_expect_eq(kit_load(&k, k.mm, 20), 9);
    mm_unpin(k.pool, f.frame);
    mm_destroy(c);
    kit_close(&k);
}

Test(mm_cow, fork_without_memory_leaves_the_parent_whole)
{
    int n = 1;
    for (;; n++) {
        struct kit k;
        struct mm *c = NULL;
        kit_open(&k);
        for (gfn_t g = 1000; g < 1040; g++)
            kit_store(&k, k.mm, g, g);
        fail_arm(&k.fail, FAIL_ANY, n, false);
        int err = mm_fork(k.mm, "c", &c);
        bool fired = atomic_load(&k.fail.fired) > 0;
        fail_arm(&k.fail, 0, 0, false);
        cr_expect_eq(err, fired ? -ENOMEM : 0);
        kit_audit(&k);
        for (gfn_t g = 1000; g < 1040; g++)
            cr_assert_eq(kit_load(&k, k.mm, g), g);
        if (!err)
            mm_destroy(c);
        kit_close(&k);
        if (!fired)
            break;
    }
    cr_expect_gt(n, 5);
}

/* The reverse map is host memory outside the pool: with it, a pool costs little more than twice its
 * size. */
Test(mm_cow, forks_without_end_stop_at_a_reverse_map_as_large_as_the_pool)
{
    enum { MOST = 4000 };
    static struct mm *c[MOST];
    struct kit k;
    unsigned n = 0;
    int err = 0;
    kit_open(&k);
    for (gfn_t g = 16; g < 64; g++)
        kit_store(&k, k.mm, g, g);
    while (n < MOST && (err = mm_fork(k.mm, "c", &c[n])) == 0)
        n++;
    cr_expect_eq(err, -ENOMEM, "%u forks", n);
    cr_expect_leq((uint64_t)n * 48, 64 * 256 + 65536);
    cr_expect_geq((n + 1) * 48, 64 * 256 + 65536 - 48);
    kit_audit(&k);
    while (n > 0)
        mm_destroy(c[--n]);
    for (gfn_t g = 16; g < 64; g++)
        cr_assert_eq(kit_load(&k, k.mm, g), g);
    kit_close(&k);
}

Test(mm_cow, copy_without_memory_leaves_the_entry)
{
    struct kit k;
    kit_open_pages(&k, 4);
    cr_assert_eq(mm_map_anon(k.mm, 0, 8, RW, MM_ANON_PRIVATE), 0);
    for (gfn_t g = 0; g < 3; g++)
        kit_store(&k, k.mm, g, g);
    struct mm *c = fork_of(&k, k.mm);
    pte_t before = mm_pte(c, 1);
    cr_expect_eq(mm_fault(c, 1, MM_ACCESS_WRITE).result, MM_OOM);
    cr_expect(pte_same(before, mm_pte(c, 1)));
    kit_audit(&k);
    cr_expect_eq(kit_load(&k, c, 1), 1);
    mm_destroy(c);
    kit_close(&k);
}

Test(mm_protect, takes_write_away_and_gives_it_back)
{
    struct kit k;
    kit_open(&k);
    for (gfn_t g = 20; g < 24; g++)
        kit_store(&k, k.mm, g, g);
    mm_set_notifier(k.mm, &teller);
    cr_expect_eq(mm_protect(k.mm, 21, 2, MM_READ), 0);
    kit_audit(&k);
    cr_expect(told.protects == 1 && told.gfn == 21 && told.n == 2);
    cr_expect_eq(mm_fault(k.mm, 21, MM_ACCESS_WRITE).result, MM_PROT);
    cr_expect_eq(mm_fault(k.mm, 23, MM_ACCESS_WRITE).result, MM_SPURIOUS);
    cr_expect_eq(kit_load(&k, k.mm, 21), 21);
    struct mm_stats s;
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.regions, 4);
    cr_expect_eq(mm_protect(k.mm, 16, 1024, RW), 0);
    mm_get_stats(k.mm, &s);
    cr_expect_eq(s.regions, 2, "alike again, they join");
    struct mm_fault f = kit_fault(&k, k.mm, 21, MM_ACCESS_WRITE);
    cr_expect_eq(f.path, MM_PATH_REUSE);
    mm_set_notifier(k.mm, NULL);
    kit_close(&k);
}

Test(mm_protect, none_hides_pages_and_keeps_them)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    mm_set_notifier(k.mm, &teller);
    cr_expect_eq(mm_protect(k.mm, 20, 1, 0), 0);
    cr_expect(told.invalidates == 1 && told.gfn == 20);
    cr_expect_eq(mm_fault(k.mm, 20, MM_ACCESS_READ).result, MM_PROT);
    cr_expect_eq(mm_protect(k.mm, 20, 1, RW), 0);
    cr_expect_eq(kit_load(&k, k.mm, 20), 7);
    mm_set_notifier(k.mm, NULL);
    kit_close(&k);
}

Test(mm_protect, does_not_make_shared_pages_writable)
{
    struct kit k;
    kit_open(&k);
    kit_store(&k, k.mm, 20, 7);
    struct mm *c = fork_of(&k, k.mm);
    cr_expect_eq(mm_protect(c, 20, 1, MM_READ), 0);
    cr_expect_eq(mm_protect(c, 20, 1, RW), 0);
    kit_store(&k, c, 20, 8);
    cr_expect_eq(kit_load(&k, k.mm, 20), 7);
    mm_destroy(c);
    kit_close(&k);
}

Test(mm_protect, refuses_holes_and_bad_bits)
{
    struct kit k;
    kit_open(&k);
    cr_expect_eq(mm_protect(k.mm, 1039, 2, MM_READ), -EFAULT);
    cr_expect_eq(mm_protect(k.mm, 0, 20, MM_READ), -EFAULT);
    cr_expect_eq(mm_protect(k.mm, 20, 0, MM_READ), -EINVAL);
    cr_expect_eq(mm_protect(k.mm, 20, 1, 16), -EINVAL);
    cr_expect_eq(mm_protect(k.mm, 20, UINT32_MAX, MM_READ), -EINVAL);
    fail_arm(&k.fail, FAIL_HEAP, 1, false);
    cr_expect_eq(mm_protect(k.mm, 20, 1, MM_READ), -ENOMEM);
    cr_expect_eq(mm_fault(k.mm, 20, MM_ACCESS_WRITE).result, MM_MINOR);
    kit_close(&k);
}
