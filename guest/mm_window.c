/* What the window shows of one page, step by step. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M zpool=4M");

#define SWAP_LOW 2u /* area 0: bits 7..1 are 1, P is 0 */

int main(void)
{
    const uint32_t la = SP_TEST, next = la + PAGE_SIZE;
    uint32_t child, frame, slot;

    sp_init();
    tap_ok(sp_pte(la) == 0, "no region: 0");
    sp_map(la, 4, SP_RW, 0);
    tap_ok(sp_pte(la) == 0, "mapped, not touched: 0");
    (void)load32(la);
    tap_ok(sp_bits(la, PTE_P | PTE_A), "read: P and A");
    store32(la, 1);
    tap_ok(sp_bits(la, PTE_P | PTE_W | PTE_A | PTE_D), "written: P, W, A and D");
    tap_ok(sp_pte(la) >> 12 == sp_frame(la) && sp_frame(la) != UMBRA_NO_FRAME,
           "its frame is the frame of the query");
    tap_ok(sp_pte(next) == 0, "the next page's entry is 0");
    frame = sp_frame(la);
    child = sp_spawn();
    if (child == 0) {
        sp_shared->word[0] = sp_pte(la);
        store32(la, 2);
        sp_shared->word[1] = sp_pte(la);
        sp_go(0);
    }
    tap_ok((sp_pte(la) & (PTE_P | PTE_W)) == PTE_P, "forked: W has gone");
    sp_go(child);
    tap_ok(sp_shared->word[0] >> 12 == frame && !(sp_shared->word[0] & PTE_W),
           "the child's window shows the child's entry: the same frame, no W");
    tap_ok(sp_shared->word[1] >> 12 != frame && (sp_shared->word[1] & PTE_W),
           "and its copy when it has written");
    tap_ok(sp_pte(la) >> 12 == frame, "the parent's is as it was");
    sp_exit(child);
    sp_protect(la, 1, SP_RO);
    tap_ok((sp_pte(la) & (PTE_P | PTE_W)) == PTE_P, "read-only: no W");
    sp_protect(la, 1, 0);
    tap_ok((sp_pte(la) & (PTE_P | PTE_W | UMBRA_PTE_PROTNONE)) == UMBRA_PTE_PROTNONE,
           "no rights: not present, marked");
    sp_protect(la, 1, SP_RW);
    store32(la, 3);
    tap_ok(sp_bits(la, PTE_P | PTE_W | PTE_A | PTE_D), "allowed and written: as before");
    if (sp_has_swap()) {
        sp_fill(la, 1);
        tap_ok(sp_reclaim(la, 1) == 1, "reclaimed");
        tap_ok((sp_pte(la) & 0xff) == SWAP_LOW, "a swap entry: P is 0, area 0");
        slot = sp_pte(la) >> 8;
        tap_ok(slot > 0 && slot <= sp_swap_info()->ret[0], "its slot lies in the area");
        tap_ok(sp_pte(la) == rt_pte_query(la)->ret[Q_GUEST] && sp_is(la, UMBRA_BACKING_SWAP, 0),
               "looking does not bring it in");
        tap_ok(sp_holds(la, 1), "reading does, and its content is there");
        tap_ok((sp_pte(la) & (PTE_P | PTE_A)) == (PTE_P | PTE_A), "P and A again");
        store32(la, 4);
        tap_ok(sp_bits(la, PTE_P | PTE_W | PTE_A | PTE_D), "written: W and D");
    } else {
        tap_ok(true, "swap entries # SKIP the machine has no swap");
    }
    sp_unmap(la, 1);
    tap_ok(sp_pte(la) == 0, "unmapped: 0");
    return tap_done();
}
