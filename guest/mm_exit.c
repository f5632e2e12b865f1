/* What unmapping and exit give back: every frame and every slot. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M zpool=8M");

enum { PAGES = 256 };

static uint32_t frames_in_use(void)
{
    const struct umbra_hc *p = rt_pool_info();
    return p->ret[1] - p->ret[2];
}

static void dirty(uint32_t la)
{
    for (uint32_t i = 0; i < PAGES; i++)
        sp_fill(la + i * PAGE_SIZE, 3);
}

int main(void)
{
    const bool swap = (sp_init(), sp_has_swap());
    uint32_t before, child, slots;

    /* What the guest itself touches on its way is touched before counting. */
    tap_note("%u pages at %08x", PAGES, SP_TEST);
    sp_map(SP_TEST, 1, SP_RW, 0);
    sp_unmap(SP_TEST, 1);
    before = frames_in_use();
    slots = sp_swap_info()->ret[1];
    sp_map(SP_TEST, PAGES, SP_RW, 0);
    dirty(SP_TEST);
    tap_ok(frames_in_use() == before + PAGES, "written pages take frames");
    sp_unmap(SP_TEST, PAGES);
    if (!tap_ok(frames_in_use() == before, "unmapping gives them back"))
        tap_note("%u frames in use, %u before", frames_in_use(), before);
    sp_map(SP_TEST, PAGES, SP_RW, 0);
    tap_ok(load32(SP_TEST) == 0, "and what is mapped there anew is zeros");
    sp_unmap(SP_TEST, PAGES);

    sp_map(SP_TEST, PAGES, SP_RW, UMBRA_MAP_SHARED);
    dirty(SP_TEST);
    sp_unmap(SP_TEST, PAGES);
    tap_ok(frames_in_use() == before, "shared pages go with their last mapping");

    /* The child runs before the count, so that what forking costs the parent has been paid. */
    for (int round = 0; round < 2; round++) {
        before = frames_in_use();
        child = sp_spawn();
        if (child == 0) {
            sp_map(SP_TEST, PAGES, SP_RW, 0);
            dirty(SP_TEST);
            if (swap)
                sp_reclaim(SP_TEST, PAGES / 2);
            sp_go(0);
        }
        sp_go(child);
        if (round == 1)
            tap_ok(frames_in_use() > before + PAGES / 4, "a child's pages take frames");
        sp_exit(child);
    }
    tap_ok(frames_in_use() <= before, "its exit gives every frame back");
    tap_ok(sp_swap_info()->ret[1] == slots, "and every slot");

    if (swap) {
        sp_map(SP_TEST, PAGES, SP_RW, 0);
        dirty(SP_TEST);
        tap_ok(sp_reclaim(SP_TEST, PAGES) == PAGES, "all pages of a region go out");
        tap_ok(sp_swap_info()->ret[1] >= slots + PAGES, "into slots");
        sp_unmap(SP_TEST, PAGES);
        tap_ok(sp_swap_info()->ret[1] == slots, "unmapping gives the slots back");
    } else {
        tap_ok(true, "slots # SKIP the machine has no swap");
    }
    tap_ok(sp_call(UMBRA_HC_SPACE_SWITCH, child, 0, 0, 0) == UMBRA_ENOENT,
           "a space that went cannot be gone to");
    tap_ok(sp_exit(child) == UMBRA_ENOENT, "nor exited again");
    return tap_done();
}
