/* The backing PTE's accessors: each kind is told apart, and each field comes back as it was put in.
 */
#include <criterion/criterion.h>

#include "mm/pte.h"

Test(pte, none_is_neither_present_nor_swap)
{
    cr_assert(pte_none(PTE_NONE));
    cr_assert(!pte_present(PTE_NONE));
    cr_assert(!pte_is_swap(PTE_NONE));
}

Test(pte, present_entry_keeps_frame_and_bits)
{
    const frame_t frames[] = {0, 1, 0x12345, 0xfffff};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        pte_t p = pte_make(frames[i], PTE_W | PTE_D);
        cr_assert(pte_present(p) && !pte_is_swap(p) && !pte_none(p));
        cr_assert_eq(pte_frame(p), frames[i]);
        cr_assert(pte_writable(p) && pte_dirty(p) && !pte_young(p));
        cr_assert(!pte_writable(pte_without(p, PTE_W)));
        cr_assert(pte_young(pte_with(p, PTE_A)));
    }
}

Test(pte, swap_entry_keeps_area_and_slot)
{
    for (unsigned area = 0; area < 4; area++) {
        const slot_t slots[] = {0, 1, 0x123456, 0xffffff};
        for (size_t i = 0; i < 4; i++) {
            pte_t p = pte_make_swap(area, slots[i]);
            cr_assert(pte_is_swap(p) && !pte_present(p));
            cr_assert_eq(pte_swap_slot(p), slots[i]);
            cr_assert_eq(pte_swap_area(p), area);
        }
    }
}
