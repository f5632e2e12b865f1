/* Swapped pages: forked; written while another space names the slot, and while none does. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M zpool=8M");

static bool reads_back(uint32_t la)
{
    const uint32_t ins = sp_swap_info()->ret[4];
    return sp_holds(la, 1) && sp_swap_info()->ret[4] == ins + 1;
}

static void one_owner(uint32_t la)
{
    uint32_t slots;

    sp_fill(la, 1);
    slots = sp_swap_info()->ret[1];
    tap_ok(sp_reclaim(la, 1) == 1 && sp_is(la, UMBRA_BACKING_SWAP, 0), "a page goes out");
    tap_ok(sp_swap_info()->ret[1] == slots + 1, "into one slot");
    tap_ok(reads_back(la), "read: it comes back with its content, from one read");
    tap_ok(!(sp_pte(la) & PTE_D), "clean");
    tap_ok(sp_reclaim(la, 1) == 1, "out again");
    store32(la + 4, 0x5151);
    tap_ok(sp_bits(la, PTE_P | PTE_W | PTE_A | PTE_D), "written: writable and dirty in one fault");
    tap_ok(load32(la + 4) == 0x5151 && sp_is(la, UMBRA_BACKING_FRAME, 1), "with what was written");
    tap_ok(sp_swap_info()->ret[1] == slots, "and its slot is free, as nobody else names it");
}

static void forked(uint32_t la)
{
    uint32_t child;

    sp_fill(la, 1);
    sp_reclaim(la, 1);
    child = sp_spawn();
    if (child == 0) {
        sp_shared->word[0] = sp_pte(la);
        sp_shared->word[1] = sp_holds(la, 1);
        store32(la + 4, 0x7272);
        sp_shared->word[2] = sp_frame(la);
        sp_go(0);
    }
    tap_ok((sp_pte(la) & PTE_P) == 0 && sp_pte(la) != 0, "forked while it is out: it stays out");
    sp_go(child);
    tap_ok(sp_shared->word[0] == sp_pte(la) || (sp_pte(la) & PTE_P), "both name the same slot");
    tap_ok(sp_shared->word[1] == 1, "the child reads its content");
    tap_ok(sp_holds(la, 1), "the child's write is the child's own: the parent has the content");
    tap_ok(sp_frame(la) != sp_shared->word[2], "in another frame");
    sp_exit(child);
    store32(la + 4, 1);
    tap_ok(sp_is(la, UMBRA_BACKING_FRAME, 1), "the parent writes, alone");
}

static void shared_write(uint32_t la)
{
    uint32_t child;

    sp_fill(la, 1);
    child = sp_spawn();
    if (child == 0) {
        sp_shared->word[0] = sp_pte(la);
        sp_go(0);
        sp_shared->word[1] = sp_holds(la, 1);
        sp_shared->word[2] = sp_frame(la);
        store32(la, 2);
        sp_shared->word[3] = sp_frame(la);
        sp_go(0);
    }
    tap_ok(sp_reclaim(la, 1) == 1, "a page that two map goes out");
    sp_go(child);
    tap_ok((sp_shared->word[0] & PTE_P) == 0 && sp_shared->word[0] == sp_pte(la),
           "of both, to one slot");
    store32(la + 4, 0x9393);
    tap_ok(load32(la + 4) == 0x9393 && (sp_pte(la) & (PTE_W | PTE_D)) == (PTE_W | PTE_D),
           "written by one while the other names the slot: read and copied in one fault");
    sp_go(child);
    tap_ok(sp_shared->word[1] == 1, "the other's content is untouched");
    tap_ok(sp_shared->word[2] != sp_frame(la), "in a frame of its own");
    sp_exit(child);
}

/* One call sends out so many pages and no more, however many there are: the monitor comes back. */
static void at_once(uint32_t la)
{
    const uint32_t pages = UMBRA_RECLAIM_MAX + 20;

    sp_map(la, pages, SP_RW, 0);
    for (uint32_t i = 0; i < pages; i++)
        store32(la + i * PAGE_SIZE, i + 1);
    if (sp_info()->ret[6] > 0) {
        tap_ok(true, "so many at once # SKIP the pool is too small");
        return;
    }
    tap_ok(sp_reclaim(la, pages) == UMBRA_RECLAIM_MAX, "so many pages go out at once");
    tap_ok(sp_reclaim(la, pages) == pages, "and the rest with the next call");
    tap_ok(load32(la) == 1 && load32(la + (pages - 1) * PAGE_SIZE) == pages, "all are there");
    sp_unmap(la, pages);
}

int main(void)
{
    sp_init();
    if (!sp_has_swap()) {
        tap_ok(true, "all of it # SKIP the machine has no swap");
        return tap_done();
    }
    sp_map(SP_TEST, 16, SP_RW, 0);
    one_owner(SP_TEST);
    forked(SP_TEST + 4 * PAGE_SIZE);
    shared_write(SP_TEST + 8 * PAGE_SIZE);
    at_once(SP_TEST + 0x1000000);
    return tap_done();
}
