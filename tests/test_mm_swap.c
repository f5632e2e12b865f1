/* Behaviours 13 to 18 and 21 to 26: pages out and back. Each test that can runs on every kind of
 * store. */
#include "mm/share.h"
#include "mm/store_priv.h"
#include "mm/unmap.h"
#include "tests/mm_swap_kit.h"

static void put_text(struct swap_kit *s, struct mm *mm, gfn_t g, uint32_t seed)
{
    fill_text(kit_bytes(&s->k, kit_fault(&s->k, mm, g, MM_ACCESS_WRITE).frame), seed);
}

static void expect_text(struct swap_kit *s, struct mm *mm, gfn_t g, uint32_t seed)
{
    uint8_t want[PAGE_SIZE];
    fill_text(want, seed);
    struct mm_fault f = kit_fault(&s->k, mm, g, MM_ACCESS_READ);
    cr_expect_eq(memcmp(kit_bytes(&s->k, f.frame), want, PAGE_SIZE), 0, "gfn 0x%x", g);
}

#define ON_EACH(mode) for (enum swap_mode mode = ON_ZPOOL; mode < SWAP_MODES; mode++)

Test(mm_swap, b13_from_the_area_is_major_from_memory_minor)
{
    ON_EACH(mode)
    {
        struct swap_kit s;
        swap_open(&s, mode, 64, 256);
        put_text(&s, s.k.mm, 5, 1);
        swap_out(&s, s.k.mm, 5);
        kit_audit(&s.k);
        struct mm_stats st;
        mm_get_stats(s.k.mm, &st);
        cr_expect_eq(st.resident, 0);
        cr_expect_eq(st.swapped, 1);
        cr_expect_eq(kit_frames_held(&s.k), 0);
        struct mm_fault f = kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_READ);
        cr_expect_eq(f.result, mode == ON_ZPOOL ? MM_MINOR : MM_MAJOR);
        cr_expect_eq(f.path, mode == ON_ZPOOL ? MM_PATH_ZPOOL : MM_PATH_READ);
        expect_text(&s, s.k.mm, 5, 1);
        mm_get_stats(s.k.mm, &st);
        cr_expect_eq(st.resident, 1);
        cr_expect_eq(st.swapped, 0);
        swap_close(&s);
    }
}

Test(mm_swap, b13_cache_hit_is_minor)
{
    ON_EACH(mode)
    {
        struct swap_kit s;
        struct mm *c;
        swap_open(&s, mode, 64, 256);
        put_text(&s, s.k.mm, 5, 1);
        cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
        swap_out(&s, s.k.mm, 5);
        cr_expect(pte_same(mm_pte(c, 5), mm_pte(s.k.mm, 5)), "both name one slot");
        frame_t first = kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_READ).frame;
        struct mm_fault f = kit_fault(&s.k, c, 5, MM_ACCESS_READ);
        cr_expect_eq(f.result, MM_MINOR);
        cr_expect_eq(f.path, MM_PATH_CACHE);
        cr_expect_eq(f.frame, first);
        mm_destroy(c);
        swap_close(&s);
    }
}

static void entry_unmapped(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)k;
    (void)gfn;
    cr_assert_eq(mm_unmap(mm, 5, 1), 0);
}

Test(mm_swap, b14_race_entry_went_before_the_lookup)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    swap_out(&s, s.k.mm, 5);
    kit_race(&s.k, MM_SYNC_SWAP_LOOKUP, entry_unmapped);
    cr_expect_eq(mm_fault(s.k.mm, 5, MM_ACCESS_READ).result, MM_BADADDR);
    cr_expect_eq(s.k.raced, 1);
    cr_expect_eq(swap_used(&s), 0);
    swap_close(&s);
}

static struct swap_kit *racing;

/* The slot is freed and given to another page before the lookup. */
static void slot_reused(struct kit *k, struct mm *mm, gfn_t gfn)
{
    pte_t old = mm_pte(mm, gfn);
    cr_assert_eq(mm_unmap(mm, 5, 1), 0);
    cr_assert_eq(mm_map_anon(mm, 5, 1, RW, MM_ANON_PRIVATE), 0);
    put_text(racing, mm, 6, 66);
    racing->k.pool->swap->cluster = (struct slot_cluster){.next = pte_swap_slot(old), .left = 1};
    swap_out(racing, mm, 6);
    cr_assert_eq(mm_pte(mm, 6).raw, old.raw, "the same slot");
    kit_load(k, mm, 6); /* and back into the cache, under the same entry */
}

Test(mm_swap, b14_race_slot_was_reused)
{
    struct swap_kit s;
    racing = &s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    swap_out(&s, s.k.mm, 5);
    kit_race(&s.k, MM_SYNC_SWAP_LOOKUP, slot_reused);
    struct mm_fault f = mm_fault(s.k.mm, 5, MM_ACCESS_READ);
    cr_expect_eq(s.k.raced, 1);
    cr_expect(f.path & MM_PATH_RACE);
    cr_expect_eq(f.frame, POOL_ZERO_FRAME, "the new page, not the other's bytes");
    expect_text(&s, s.k.mm, 6, 66);
    swap_close(&s);
}

static void faulted_by_another(struct kit *k, struct mm *mm, gfn_t gfn)
{
    kit_store(k, mm, gfn, 0x77);
}

Test(mm_swap, b14_race_two_faults_on_one_entry)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    swap_out(&s, s.k.mm, 5);
    kit_race(&s.k, MM_SYNC_SWAP_LOOKUP, faulted_by_another);
    struct mm_fault f = mm_fault(s.k.mm, 5, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_SPURIOUS);
    cr_expect_eq(kit_load(&s.k, s.k.mm, 5), 0x77);
    swap_close(&s);
}

static struct mm *other_mm;

/* The frame that we waited for leaves the cache: its last other user writes to it. */
static void other_takes_it_out(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    kit_store(k, other_mm, 5, 0x88);
}

Test(mm_swap, b14_race_two_mms_on_one_entry)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    cr_assert_eq(mm_fork(s.k.mm, "c", &other_mm), 0);
    swap_out(&s, s.k.mm, 5);
    kit_race(&s.k, MM_SYNC_SWAP_LOOKUP, other_takes_it_out);
    struct mm_fault f = mm_fault(s.k.mm, 5, MM_ACCESS_WRITE);
    cr_expect_eq(f.result, MM_MINOR);
    cr_expect_eq(s.k.raced, 1);
    cr_expect_eq(kit_load(&s.k, other_mm, 5), 0x88);
    expect_text(&s, s.k.mm, 5, 1);
    mm_destroy(other_mm);
    swap_close(&s);
}

Test(mm_swap, b15_write_to_an_exclusive_page_is_one_fault)
{
    ON_EACH(mode)
    {
        struct swap_kit s;
        swap_open(&s, mode, 64, 256);
        put_text(&s, s.k.mm, 5, 1);
        swap_out(&s, s.k.mm, 5);
        struct mm_fault f = kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_WRITE);
        cr_expect(f.path & MM_PATH_REUSE);
        cr_expect_not(f.path & MM_PATH_COPY);
        pte_t p = mm_pte(s.k.mm, 5);
        cr_expect(pte_writable(p) && pte_dirty(p));
        cr_expect_eq(swap_used(&s), 0, "nobody names the slot any more (16)");
        expect_text(&s, s.k.mm, 5, 1);
        swap_close(&s);
    }
}

Test(mm_swap, b15_write_to_a_shared_page_copies_in_the_same_fault)
{
    ON_EACH(mode)
    {
        struct swap_kit s;
        struct mm *c;
        swap_open(&s, mode, 64, 256);
        put_text(&s, s.k.mm, 5, 1);
        cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
        swap_out(&s, s.k.mm, 5);
        struct mm_fault f = kit_fault(&s.k, c, 5, MM_ACCESS_WRITE);
        cr_expect(f.path & MM_PATH_COPY);
        memset(kit_bytes(&s.k, f.frame), 9, PAGE_SIZE);
        expect_text(&s, s.k.mm, 5, 1);
        mm_destroy(c);
        swap_close(&s);
    }
}

Test(mm_swap, b16_slot_goes_with_its_last_name)
{
    struct swap_kit s;
    struct mm *c;
    swap_open(&s, ON_ZPOOL, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
    swap_out(&s, s.k.mm, 5);
    cr_expect_eq(swap_used(&s), 1);
    cr_assert_eq(mm_unmap(s.k.mm, 5, 1), 0);
    cr_expect_eq(swap_used(&s), 1);
    expect_text(&s, c, 5, 1); /* read: the page is clean and keeps its slot */
    cr_expect_eq(swap_used(&s), 1);
    mm_destroy(c);
    cr_expect_eq(swap_used(&s), 0);
    swap_close(&s);
}

Test(mm_swap, b16_dirtied_page_leaves_the_cache)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    swap_out(&s, s.k.mm, 5);
    expect_text(&s, s.k.mm, 5, 1);
    cr_expect_eq(swap_used(&s), 1);
    struct mm_fault f = kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_WRITE);
    cr_expect_eq(f.path, MM_PATH_REUSE);
    cr_expect_eq(swap_used(&s), 0);
    swap_close(&s);
}

Test(mm_swap, b16_area_more_than_half_full_lets_go)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 9);
    for (gfn_t g = 0; g < 6; g++)
        put_text(&s, s.k.mm, g, g);
    for (gfn_t g = 0; g < 6; g++)
        swap_out(&s, s.k.mm, g);
    cr_expect_eq(swap_used(&s), 6);
    expect_text(&s, s.k.mm, 0, 0);
    cr_expect_eq(swap_used(&s), 5, "slots are short: a read gives it up");
    swap_out(&s, s.k.mm, 0); /* and it must be written again, not dropped */
    expect_text(&s, s.k.mm, 0, 0);
    swap_close(&s);
}

Test(mm_swap, b17_read_error_keeps_the_entry)
{
    for (enum swap_mode mode = ON_DISK; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        swap_open(&s, mode, 64, 256);
        for (gfn_t g = 5; g < 8; g++)
            put_text(&s, s.k.mm, g, g);
        for (gfn_t g = 5; g < 8; g++)
            swap_out(&s, s.k.mm, g);
        pte_t before = mm_pte(s.k.mm, 6);
        s.fail_reads = -1;
        struct mm_fault f = mm_fault(s.k.mm, 6, MM_ACCESS_WRITE);
        cr_expect_eq(f.result, MM_IOERR);
        cr_expect_eq(f.frame, FRAME_NONE);
        cr_expect(pte_same(before, mm_pte(s.k.mm, 6)));
        kit_audit(&s.k);
        s.fail_reads = 0;
        for (gfn_t g = 5; g < 8; g++)
            expect_text(&s, s.k.mm, g, g);
        cr_expect_geq(counters(&s).read_errors, 1);
        swap_close(&s);
    }
}

/* Keep the write in flight, fault the page back, write to it, and see what reaches the area. */
Test(mm_swap, b18_page_on_its_way_out_is_not_changed)
{
    struct swap_kit s;
    struct mm *c;
    swap_open(&s, ON_DISK_THREAD, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
    frame_t out = pte_frame(mm_pte(c, 5));
    unmap_test_young(s.k.pool, out);
    lock_take(&s.k.pool->scan_lock, LOCK_SCAN);
    cr_assert(lru_isolate_one(s.k.pool, out));
    cr_assert_eq(evict_frame(s.k.pool, out), EVICT_QUEUED);
    lock_drop(&s.k.pool->scan_lock, LOCK_SCAN);
    cr_expect(frame_test(frame_of(s.k.pool, out), FRAME_WRITEBACK));
    struct mm_fault f =
        mm_fault(s.k.mm, 5, MM_ACCESS_WRITE); /* nobody polls: it is still going out */
    cr_expect_eq(f.path, MM_PATH_CACHE | MM_PATH_COPY);
    cr_expect_neq(f.frame, out);
    memset(kit_bytes(&s.k, f.frame), 0xee, PAGE_SIZE);
    f = mm_fault(
        c, 5, MM_ACCESS_WRITE); /* the last owner must copy, too, while the write is on its way */
    cr_expect_eq(f.path, MM_PATH_CACHE | MM_PATH_COPY);
    memset(kit_bytes(&s.k, f.frame), 0xdd, PAGE_SIZE);
    swap_drain(s.k.pool);
    cr_expect_eq(swap_used(&s), 0, "nobody names the slot any more");
    mm_destroy(c);
    swap_close(&s);
}

Test(mm_swap, b21_clean_page_is_dropped_without_io)
{
    ON_EACH(mode)
    {
        struct swap_kit s;
        swap_open(&s, mode, 64, 256);
        put_text(&s, s.k.mm, 5, 1);
        swap_out(&s, s.k.mm, 5);
        uint64_t outs = counters(&s).swap_outs;
        expect_text(&s, s.k.mm, 5, 1);
        swap_out(&s, s.k.mm, 5);
        cr_expect_eq(counters(&s).swap_outs, outs);
        cr_expect_eq(counters(&s).dropped, 1);
        expect_text(&s, s.k.mm, 5, 1);
        swap_close(&s);
    }
}

Test(mm_swap, b22_area_full_puts_everything_back)
{
    ON_EACH(mode)
    {
        struct swap_kit s;
        swap_open(&s, mode, 64, 4);
        for (gfn_t g = 0; g < 40; g++)
            put_text(&s, s.k.mm, g, g);
        pool_reclaim(s.k.pool, 40);
        pool_reclaim(s.k.pool, 40);
        kit_audit(&s.k);
        unsigned out = 0;
        for (gfn_t g = 0; g < 40; g++) {
            pte_t p = mm_pte(s.k.mm, g);
            out += pte_is_swap(p);
            cr_expect(pte_is_swap(p) || (pte_writable(p) && pte_dirty(p)), "gfn %u", g);
        }
        cr_expect_eq(out, 3, "as many as there are slots");
        cr_expect_gt(counters(&s).no_slot, 0);
        for (gfn_t g = 0; g < 40; g++)
            expect_text(&s, s.k.mm, g, g);
        swap_close(&s);
    }
}

Test(mm_swap, b22_page_that_will_not_compress_stays_where_there_is_no_area)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    fill_noise(kit_bytes(&s.k, kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_WRITE).frame), 5);
    pte_t was = mm_pte(s.k.mm, 5);
    pool_reclaim(s.k.pool, 1);
    pool_reclaim(s.k.pool, 1);
    cr_expect_eq(pte_without(was, PTE_A | PTE_D).raw, mm_pte(s.k.mm, 5).raw,
                 "as it was, but that the next write will show");
    cr_expect_eq(swap_used(&s), 0);
    cr_expect_geq(counters(&s).put_back, 1);
    swap_close(&s);
}

static uint64_t tried(struct swap_kit *s)
{
    struct store_stats st;
    store_get_stats(s->st, &st);
    return st.bypassed;
}

/* Reclaim looks at all there is, some times over. */
static void look(struct swap_kit *s)
{
    for (int i = 0; i < 4; i++)
        pool_reclaim(s->k.pool, 1);
    kit_audit(&s->k);
}

Test(mm_swap, b22_page_that_will_not_compress_is_tried_once_until_it_is_written)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    fill_noise(kit_bytes(&s.k, kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_WRITE).frame), 5);
    look(&s);
    cr_expect_eq(tried(&s), 1);
    const uint64_t refused = counters(&s).no_slot;
    kit_load(&s.k, s.k.mm, 5);
    look(&s);
    cr_expect_eq(tried(&s), 1, "reading it changes nothing");
    cr_expect_gt(counters(&s).no_slot, refused, "each look is a refusal all the same");
    kit_store(&s.k, s.k.mm, 5, 1);
    look(&s);
    cr_expect_eq(tried(&s), 2, "one word of it was written");
    put_text(&s, s.k.mm, 5, 7);
    look(&s);
    cr_expect(pte_is_swap(mm_pte(s.k.mm, 5)), "what it holds now does compress");
    expect_text(&s, s.k.mm, 5, 7);
    swap_close(&s);
}

Test(mm_swap, b22_page_that_will_not_compress_is_tried_again_after_any_of_its_mappers_wrote)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    cr_assert_eq(mm_map_anon(s.k.mm, 2000, 1, RW, MM_ANON_SHARED), 0);
    fill_noise(kit_bytes(&s.k, kit_fault(&s.k, s.k.mm, 2000, MM_ACCESS_WRITE).frame), 5);
    struct mm *c;
    cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
    look(&s);
    cr_expect_eq(tried(&s), 1);
    kit_load(&s.k, s.k.mm, 2000);
    look(&s);
    cr_expect_eq(tried(&s), 1);
    /* The other one writes, and leaves: its entry with the dirty bit is gone. */
    kit_store(&s.k, c, 2000, 1);
    mm_destroy(c);
    look(&s);
    cr_expect_eq(tried(&s), 2);
    cr_expect_eq(kit_load(&s.k, s.k.mm, 2000), 1);
    swap_close(&s);
}

Test(mm_swap, b22_page_that_would_not_compress_goes_where_there_is_a_disk_now)
{
    struct swap_kit s, disk;
    struct mm_err err = {""};
    swap_open(&s, ON_ZPOOL, 64, 256);
    swap_open(&disk, ON_DISK, 64, 256);
    fill_noise(kit_bytes(&s.k, kit_fault(&s.k, s.k.mm, 5, MM_ACCESS_WRITE).frame), 5);
    look(&s);
    cr_assert(pte_present(mm_pte(s.k.mm, 5)));
    cr_assert_eq(pool_swapoff(s.k.pool, &err), 0, "%s", err.text);
    cr_assert_eq(pool_swapoff(disk.k.pool, &err), 0, "%s", err.text);
    store_freeze(disk.st, false);
    cr_assert_eq(pool_swapon(s.k.pool, disk.st), 0);
    swap_out(&s, s.k.mm, 5);
    cr_assert_eq(pool_swapoff(s.k.pool, &err), 0, "%s", err.text);
    swap_close(&disk);
    swap_close(&s);
}

Test(mm_swap, b23_write_error_keeps_the_page)
{
    for (enum swap_mode mode = ON_DISK; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        struct mm *c;
        swap_open(&s, mode, 64, 256);
        put_text(&s, s.k.mm, 5, 1);
        put_text(&s, s.k.mm, 6, 2);
        cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
        kit_store(&s.k, s.k.mm, 6, 99);
        s.fail_writes = 2;
        pool_reclaim(s.k.pool, 3);
        pool_reclaim(s.k.pool, 3);
        swap_drain(s.k.pool);
        s.fail_writes = 0;
        kit_audit(&s.k);
        cr_expect_eq(counters(&s).write_errors, 2);
        struct store_stats st;
        store_get_stats(s.st, &st);
        cr_expect_eq(st.write_errors, 2);
        cr_expect_eq(st.slots.bad, 2);
        cr_expect_eq(kit_load(&s.k, s.k.mm, 6), 99);
        expect_text(&s, s.k.mm, 5, 1);
        expect_text(&s, c, 5, 1);
        expect_text(&s, c, 6, 2);
        pool_reclaim(s.k.pool, 3);
        pool_reclaim(s.k.pool, 3);
        swap_drain(s.k.pool);
        expect_text(&s, c, 6, 2);
        cr_expect_eq(kit_load(&s.k, s.k.mm, 6), 99);
        mm_destroy(c);
        swap_close(&s);
    }
}

/* Found by fuzz_mm (seed 1169): while the page is on its way out, a child is forked and reads it
 * from the cache. Its name on the slot is gone then, but it maps the frame: when the write fails,
 * the parent must not get its write permission back. */
Test(mm_swap, b11_b23_write_error_after_a_fork_and_a_read_leaves_nobody_writable)
{
    for (enum swap_mode mode = ON_DISK; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        struct mm *c;
        swap_open(&s, mode, 64, 256);
        put_text(&s, s.k.mm, 5, 1);
        s.fail_writes = 1;
        frame_t out = pte_frame(mm_pte(s.k.mm, 5));
        unmap_test_young(s.k.pool, out);
        lock_take(&s.k.pool->scan_lock, LOCK_SCAN);
        cr_assert(lru_isolate_one(s.k.pool, out));
        cr_assert_eq(evict_frame(s.k.pool, out), EVICT_QUEUED);
        lock_drop(&s.k.pool->scan_lock, LOCK_SCAN);
        cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
        struct mm_fault f = mm_fault(c, 5, MM_ACCESS_READ);
        cr_assert_eq(f.path, MM_PATH_CACHE);
        swap_drain(s.k.pool); /* and now it fails */
        cr_expect_eq(counters(&s).write_errors, 1);
        cr_expect_not(pte_writable(mm_pte(s.k.mm, 5)));
        kit_audit(&s.k);
        kit_store(&s.k, s.k.mm, 5, 99);
        expect_text(&s, c, 5, 1);
        mm_destroy(c);
        swap_close(&s);
    }
}

/* More owners than a failed write can put back: they find the page in the cache. */
Test(mm_swap, b23_write_error_with_many_owners)
{
    enum { OWNERS = 12 };
    struct swap_kit s;
    struct mm *m[OWNERS];
    swap_open(&s, ON_DISK, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    m[0] = s.k.mm;
    for (int i = 1; i < OWNERS; i++)
        cr_assert_eq(mm_fork(s.k.mm, "c", &m[i]), 0);
    s.fail_writes = -1;
    pool_reclaim(s.k.pool, 1);
    pool_reclaim(s.k.pool, 1);
    swap_drain(s.k.pool);
    kit_audit(&s.k);
    for (int i = 1; i < OWNERS; i++) {
        kit_store(&s.k, m[i], 5, (uint32_t)i);
        kit_audit(&s.k);
    }
    expect_text(&s, s.k.mm, 5, 1);
    for (int i = 1; i < OWNERS; i++) {
        cr_expect_eq(kit_load(&s.k, m[i], 5), (uint32_t)i);
        mm_destroy(m[i]);
    }
    swap_close(&s);
}

Test(mm_swap, b24_torn_slot_is_an_io_error_for_that_page_alone)
{
    struct swap_kit s;
    swap_open(&s, ON_DISK_THREAD, 64, 256);
    for (gfn_t g = 5; g < 8; g++)
        put_text(&s, s.k.mm, g, g);
    for (gfn_t g = 5; g < 8; g++)
        swap_out(&s, s.k.mm, g);
    /* the medium gives half of another page */
    uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
    struct area *a = s.st->area;
    cr_assert_eq(area_read(a, pte_swap_slot(mm_pte(s.k.mm, 6)), page), 0);
    memset(page + 2048, 0x5a, 2048);
    cr_assert_eq(area_write(a, pte_swap_slot(mm_pte(s.k.mm, 6)), page), 0);
    cr_expect_eq(mm_fault(s.k.mm, 6, MM_ACCESS_READ).result, MM_IOERR);
    kit_audit(&s.k);
    expect_text(&s, s.k.mm, 5, 5);
    expect_text(&s, s.k.mm, 7, 7);
    cr_expect_eq(mm_fault(s.k.mm, 6, MM_ACCESS_READ).result, MM_IOERR, "and again, without end");
    swap_close(&s);
}

Test(mm_swap, b25_swapoff_brings_everything_back)
{
    ON_EACH(mode)
    {
        struct swap_kit s;
        struct mm *c;
        struct mm_err err;
        swap_open(&s, mode, 64, 256);
        cr_assert_eq(mm_map_anon(s.k.mm, 2000, 4, RW, MM_ANON_SHARED), 0);
        for (gfn_t g = 0; g < 10; g++)
            put_text(&s, s.k.mm, g, g);
        put_text(&s, s.k.mm, 2001, 2001);
        cr_assert_eq(mm_fork(s.k.mm, "c", &c), 0);
        kit_store(&s.k, c, 3, 33);
        pool_reclaim(s.k.pool, 60);
        pool_reclaim(s.k.pool, 60);
        swap_drain(s.k.pool);
        cr_assert_gt(swap_used(&s), 10);
        cr_assert_eq(mm_protect(s.k.mm, 1, 1, 0), 0);
        cr_assert_eq(pool_swapoff(s.k.pool, &err), 0, "%s", err.text);
        kit_audit(&s.k);
        cr_expect_eq(swap_used(&s), 0);
        cr_expect_eq(pool_swapoff(s.k.pool, &err), -ENOENT);
        store_close(s.st);
        for (gfn_t g = 0; g < 10; g++)
            cr_expect(pte_present(mm_pte(s.k.mm, g)) && pte_present(mm_pte(c, g)));
        cr_assert_eq(mm_protect(s.k.mm, 1, 1, RW), 0);
        for (gfn_t g = 0; g < 10; g++)
            expect_text(&s, s.k.mm, g, g);
        cr_expect_eq(kit_load(&s.k, c, 3), 33);
        expect_text(&s, c, 2001, 2001);
        struct store_opts o = {.zpool_bytes = 1 << 20, .slots = 64};
        cr_assert_eq(store_open(&o, &s.st, NULL), 0);
        cr_expect_eq(pool_swapon(s.k.pool, s.st), 0, "another can take its place");
        cr_expect_eq(pool_swapon(s.k.pool, s.st), -EBUSY);
        pool_reclaim(s.k.pool, 5);
        pool_reclaim(s.k.pool, 5);
        expect_text(&s, s.k.mm, 7, 7);
        mm_destroy(c);
        swap_close(&s);
    }
}

Test(mm_swap, b25_swapoff_refuses_where_there_is_no_room)
{
    struct swap_kit s;
    struct mm_err err = {""};
    swap_open(&s, ON_ZPOOL, 16, 256);
    for (gfn_t g = 0; g < 40; g++)
        put_text(&s, s.k.mm, g, g);
    cr_expect_eq(pool_swapoff(s.k.pool, &err), -ENOMEM);
    cr_expect(strstr(err.text, "no frame") != NULL, "%s", err.text);
    kit_audit(&s.k);
    for (gfn_t g = 0; g < 40; g++) /* still attached, nothing lost */
        expect_text(&s, s.k.mm, g, g);
    swap_close(&s);
}

Test(mm_swap, b25_swapoff_refuses_where_a_page_cannot_be_read)
{
    struct swap_kit s;
    struct mm_err err = {""};
    swap_open(&s, ON_DISK, 64, 256);
    put_text(&s, s.k.mm, 5, 1);
    swap_out(&s, s.k.mm, 5);
    s.fail_reads = -1;
    cr_expect_eq(pool_swapoff(s.k.pool, &err), -EIO);
    cr_expect(strstr(err.text, "0x5 ") != NULL, "%s", err.text);
    s.fail_reads = 0;
    expect_text(&s, s.k.mm, 5, 1);
    swap_close(&s);
}

Test(mm_swap, each_call_of_attaching_and_starting_may_fail)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    cr_assert_eq(pool_swapoff(s.k.pool, NULL), 0);
    int n = 1;
    for (;; n++) { /* whatever was refused leaves nothing behind and can be asked for again */
        fail_arm(&s.k.fail, FAIL_ANY, n, false);
        int a = pool_swapon(s.k.pool, s.st), b = pool_reclaim_start(s.k.pool);
        int c = pool_share_start(s.k.pool, 10);
        bool fired = atomic_load(&s.k.fail.fired) > 0;
        fail_arm(&s.k.fail, 0, 0, false);
        cr_expect_eq(!a + !b + !c, fired ? 2 : 3);
        cr_expect(!fired || a == -ENOMEM || b == -ENOMEM || c == -ENOMEM);
        pool_share_stop(s.k.pool);
        pool_reclaim_stop(s.k.pool);
        kit_audit(&s.k);
        if (!fired)
            break;
        if (!a)
            cr_assert_eq(pool_swapoff(s.k.pool, NULL), 0);
    }
    cr_expect_gt(n, 4);
    swap_close(&s);
}

/* --- read-ahead ---------------------------------------------------------------------------------
 */

static void out_range(struct swap_kit *s, gfn_t from, gfn_t to)
{
    for (gfn_t g = from; g < to; g++)
        put_text(s, s->k.mm, g, g);
    for (gfn_t g = from; g < to; g++)
        swap_out(s, s->k.mm, g);
}

static unsigned majors(struct swap_kit *s, gfn_t g)
{
    struct mm_fault f = kit_fault(&s->k, s->k.mm, g, MM_ACCESS_READ);
    uint8_t want[PAGE_SIZE];
    fill_text(want, g);
    cr_assert_eq(memcmp(kit_bytes(&s->k, f.frame), want, PAGE_SIZE), 0);
    return f.result == MM_MAJOR;
}

Test(mm_swap, b26_window_grows_forwards)
{
    for (enum swap_mode mode = ON_DISK; mode < SWAP_MODES; mode++) {
        struct swap_kit s;
        unsigned major = 0;
        swap_open(&s, mode, 256, 512);
        out_range(&s, 100, 200);
        for (gfn_t g = 100; g < 200; g++)
            major += majors(&s, g);
        cr_expect_leq(major, 20, "%u of 100", major);
        cr_expect_geq(counters(&s).ahead_hits, 80);
        cr_expect_eq(counters(&s).ahead_hits, counters(&s).ahead_reads, "none in vain");
        cr_expect_eq(s.k.mm->ahead_window, SWAP_AHEAD_MAX);
        swap_close(&s);
    }
}

Test(mm_swap, b26_window_grows_backwards)
{
    struct swap_kit s;
    unsigned major = 0;
    swap_open(&s, ON_DISK, 256, 512);
    out_range(&s, 100, 200);
    for (gfn_t g = 199; g >= 100; g--)
        major += majors(&s, g);
    cr_expect_leq(major, 20, "%u of 100", major);
    swap_close(&s);
}

Test(mm_swap, b26_random_access_reads_nothing_beside)
{
    struct swap_kit s;
    unsigned major = 0;
    swap_open(&s, ON_DISK, 256, 512);
    out_range(&s, 100, 200);
    for (unsigned i = 0; i < 50; i++) /* steps of 37 pages meet no neighbour */
        major += majors(&s, 100 + (i * 37) % 100);
    cr_expect_eq(major, 50);
    cr_expect_eq(counters(&s).ahead_reads, 0);
    cr_expect_eq(s.k.mm->ahead_window, 0);
    swap_close(&s);
}

Test(mm_swap, b26_stays_within_the_region)
{
    struct swap_kit s;
    swap_open(&s, ON_DISK, 256, 512);
    out_range(&s, 100, 120);
    cr_assert_eq(mm_protect(s.k.mm, 110, 10, MM_READ), 0); /* another region from 110 on */
    for (gfn_t g = 100; g < 110; g++)
        majors(&s, g);
    for (gfn_t g = 110; g < 120; g++) {
        pte_t e = mm_pte(s.k.mm, g);
        cr_expect_eq(swap_lookup(pool_swap(s.k.pool), e), FRAME_NONE, "gfn %u was read ahead", g);
    }
    swap_close(&s);
}

Test(mm_swap, b26_failing_reads_beside_do_not_fail_the_fault)
{
    struct swap_kit s;
    swap_open(&s, ON_DISK, 256, 512);
    out_range(&s, 100, 140);
    for (gfn_t g = 100; g < 110; g++)
        majors(&s, g);
    gfn_t g = 110;
    while (swap_lookup(pool_swap(s.k.pool), mm_pte(s.k.mm, g)) != FRAME_NONE) {
        swap_drop(s.k.pool, swap_lookup(pool_swap(s.k.pool), mm_pte(s.k.mm, g)), 2 * FRAME_REF);
        majors(&s, g++);
    }
    kit_audit(&s.k);
    fail_arm(&s.k.fail, FAIL_READ, 1, false); /* the first read beside: asked before our own */
    cr_expect_eq(mm_fault(s.k.mm, g, MM_ACCESS_READ).result, MM_MAJOR);
    cr_expect_eq(s.k.fail.fired, 1);
    kit_audit(&s.k);
    for (g = 100; g < 140; g++)
        majors(&s, g);
    swap_close(&s);
}

static gfn_t wanted;

/* The slot that was chosen is freed, and holds another page by the time it is read. */
static void neighbour_reused(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    gfn_t next = 0;
    for (gfn_t g = wanted + 1; g < 140 && !next; g++)
        if (pte_is_swap(mm_pte(k->mm, g)))
            next = g;
    for (gfn_t g = next; g < next + 3; g++) {
        slot_t slot = pte_swap_slot(mm_pte(k->mm, g));
        cr_assert_eq(mm_unmap(k->mm, g, 1), 0);
        put_text(racing, k->mm, g + 300, g + 300);
        racing->k.pool->swap->cluster = (struct slot_cluster){.next = slot, .left = 1};
        swap_out(racing, k->mm, g + 300);
    }
}

Test(mm_swap, b26_race_slot_freed_and_reused_before_it_was_read)
{
    struct swap_kit s;
    racing = &s;
    swap_open(&s, ON_DISK, 256, 512);
    out_range(&s, 100, 140);
    for (gfn_t g = 100; g < 103; g++)
        majors(&s, g);
    kit_race(&s.k, MM_SYNC_AHEAD, neighbour_reused);
    gfn_t g = 103;
    for (; !s.k.raced; g++) {
        wanted = g;
        majors(&s, g);
    }
    kit_audit(&s.k);
    for (; g < 140; g++)
        if (mm_fault(s.k.mm, g, MM_ACCESS_READ).result == MM_BADADDR)
            expect_text(&s, s.k.mm, g + 300, g + 300);
        else
            majors(&s, g);
    swap_close(&s);
}
