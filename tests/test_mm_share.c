/* Content sharing, and behaviour 12: what was merged is only ever copied. */
#include "mm/share.h"
#include "tests/mm_swap_kit.h"

static void put_text(struct kit *k, struct mm *mm, gfn_t g, uint32_t seed)
{
    fill_text(kit_bytes(k, kit_fault(k, mm, g, MM_ACCESS_WRITE).frame), seed);
}

static void expect_text(struct kit *k, struct mm *mm, gfn_t g, uint32_t seed)
{
    uint8_t want[PAGE_SIZE];
    fill_text(want, seed);
    struct mm_fault f = kit_fault(k, mm, g, MM_ACCESS_READ);
    cr_expect_eq(memcmp(kit_bytes(k, f.frame), want, PAGE_SIZE), 0, "gfn 0x%x", g);
}

/* Scan until nothing new is found. */
static uint32_t scan_all(struct kit *k)
{
    uint32_t merged = 0;
    for (int i = 0; i < 4; i++)
        merged += pool_share_scan(k->pool, 10000);
    kit_audit(k);
    return merged;
}

static frame_t frame_at(struct mm *mm, gfn_t g)
{
    return pte_frame(mm_pte(mm, g));
}

Test(mm_share, alike_pages_of_one_and_of_several_mms_are_merged)
{
    struct kit k;
    struct mm *b;
    kit_open(&k);
    cr_assert_eq(mm_create(k.pool, "b", &b), 0);
    cr_assert_eq(mm_map_anon(b, 0, 64, RW, MM_ANON_PRIVATE), 0);
    for (gfn_t g = 20; g < 26; g++)
        put_text(&k, k.mm, g, g % 2);
    for (gfn_t g = 0; g < 3; g++)
        put_text(&k, b, g, 1);
    put_text(&k, b, 3, 77);
    cr_expect_eq(scan_all(&k), 7, "nine pages, two contents");
    cr_expect_eq(kit_frames_held(&k), 3);
    cr_expect_eq(frame_at(k.mm, 21), frame_at(b, 0));
    cr_expect_eq(frame_at(k.mm, 20), frame_at(k.mm, 24));
    for (gfn_t g = 20; g < 26; g++)
        expect_text(&k, k.mm, g, g % 2);
    expect_text(&k, b, 3, 77);
    mm_destroy(b);
    kit_close(&k);
}

Test(mm_share, b12_write_to_a_merged_page_always_copies)
{
    struct kit k;
    kit_open(&k);
    put_text(&k, k.mm, 20, 1);
    put_text(&k, k.mm, 21, 1);
    cr_assert_eq(scan_all(&k), 1);
    frame_t merged = frame_at(k.mm, 20);
    struct mm_fault f = kit_fault(&k, k.mm, 20, MM_ACCESS_WRITE);
    cr_expect_eq(f.path, MM_PATH_COPY);
    memset(kit_bytes(&k, f.frame), 9, PAGE_SIZE);
    expect_text(&k, k.mm, 21, 1);
    f = kit_fault(&k, k.mm, 21, MM_ACCESS_WRITE); /* alone by now, and still not in place */
    cr_expect_eq(f.path, MM_PATH_COPY);
    cr_expect_neq(f.frame, merged);
    cr_expect_eq(frame_refs(frame_of(k.pool, merged)), 0);
    kit_close(&k);
}

Test(mm_share, page_must_be_alike_twice_before_it_is_considered)
{
    struct kit k;
    kit_open(&k);
    put_text(&k, k.mm, 20, 1);
    put_text(&k, k.mm, 21, 1);
    cr_expect_eq(pool_share_scan(k.pool, 10000), 0);
    put_text(&k, k.mm, 21, 2);
    cr_expect_eq(pool_share_scan(k.pool, 10000), 0);
    put_text(&k, k.mm, 21, 1);
    cr_expect_eq(pool_share_scan(k.pool, 10000), 0, "it changed between the passes");
    kit_close(&k);
}

static void changed_after_hashing(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)mm;
    (void)gfn;
    for (gfn_t g = 20; g < 22; g++) /* still writable: no fault is needed */
        kit_bytes(k, frame_at(k->mm, g))[100] = (uint8_t)g;
}

Test(mm_share, race_page_changed_between_hash_and_merge)
{
    struct kit k;
    kit_open(&k);
    put_text(&k, k.mm, 20, 1);
    put_text(&k, k.mm, 21, 1);
    kit_race(&k, MM_SYNC_SHARE_HASHED, changed_after_hashing);
    cr_expect_eq(scan_all(&k), 0, "equal hashes are not enough");
    cr_expect_eq(k.raced, 1);
    cr_expect_neq(frame_at(k.mm, 20), frame_at(k.mm, 21));
    kit_close(&k);
}

Test(mm_share, pinned_pages_are_left_alone)
{
    struct kit k;
    kit_open(&k);
    put_text(&k, k.mm, 20, 1);
    put_text(&k, k.mm, 21, 1);
    struct mm_fault f = mm_pin(k.mm, 21, MM_ACCESS_WRITE);
    cr_expect_eq(scan_all(&k), 0);
    kit_bytes(&k, f.frame)[0] = 1;
    mm_unpin(k.pool, f.frame);
    kit_close(&k);
}

Test(mm_share, merged_pages_swap_out_and_back)
{
    struct swap_kit s;
    swap_open(&s, ON_ZPOOL, 64, 256);
    for (gfn_t g = 0; g < 12; g++)
        put_text(&s.k, s.k.mm, g, 1);
    cr_assert_eq(scan_all(&s.k), 11);
    swap_out(&s, s.k.mm, 3);
    cr_expect_eq(swap_used(&s), 1);
    kit_audit(&s.k);
    for (gfn_t g = 0; g < 12; g++) {
        expect_text(&s.k, s.k.mm, g, 1);
        kit_store(&s.k, s.k.mm, g, g);
    }
    for (gfn_t g = 0; g < 12; g++)
        cr_expect_eq(kit_load(&s.k, s.k.mm, g), g);
    swap_close(&s);
}

/* Pages that were merged name one slot when they are out: the page beside the wanted one is the
 * same. */
Test(mm_share, b26_read_ahead_of_merged_pages_does_not_wait_for_itself, .timeout = 20)
{
    struct swap_kit s;
    swap_open(&s, ON_DISK_THREAD, 64, 256);
    for (gfn_t g = 0; g < 12; g++) {
        put_text(&s.k, s.k.mm, 2 * g, 1);
        put_text(&s.k, s.k.mm, 2 * g + 1, 2 + g);
    }
    cr_assert_eq(scan_all(&s.k), 11);
    for (int round = 0; round < 4; round++) {
        for (gfn_t g = 0; g < 24; g++)
            swap_out(&s, s.k.mm, g);
        for (gfn_t g = 0; g < 24; g++)
            expect_text(&s.k, s.k.mm, g, g & 1 ? 2 + g / 2 : 1);
    }
    swap_close(&s);
}

Test(mm_share, one_frame_is_not_mapped_without_end)
{
    struct kit k;
    kit_open_pages(&k, 1024);
    cr_assert_eq(mm_map_anon(k.mm, 0, 700, RW, MM_ANON_PRIVATE), 0);
    for (gfn_t g = 0; g < 700; g++)
        fill_text(kit_bytes(&k, mm_fault(k.mm, g, MM_ACCESS_WRITE).frame), 1);
    scan_all(&k);
    for (gfn_t g = 0; g < 700; g++)
        cr_assert_leq(frame_maps(frame_of(k.pool, frame_at(k.mm, g))), 256);
    cr_expect_leq(kit_frames_held(&k), 8);
    kit_close(&k);
}

Test(mm_share, background_scanner_starts_and_stops)
{
    struct kit k;
    kit_open(&k);
    cr_expect_eq(pool_share_start(k.pool, 0), -EINVAL);
    cr_assert_eq(pool_share_start(k.pool, 1000000), 0);
    cr_expect_eq(pool_share_start(k.pool, 1), -EBUSY);
    put_text(&k, k.mm, 20, 1);
    put_text(&k, k.mm, 21, 1);
    struct mm_counters c = {0};
    for (int i = 0; i < 5000 && c.merged == 0; i++) {
        usleep(1000);
        mm_get_counters(k.pool, &c);
    }
    cr_expect_eq(c.merged, 1);
    pool_share_stop(k.pool);
    kit_close(&k);
}
