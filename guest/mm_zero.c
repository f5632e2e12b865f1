/* First touches of anonymous memory: the zero page, then a write; a write at once. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M");

enum { PAGES = 64 };

static bool all(uint32_t from, uint32_t pages, uint32_t backing, uint32_t maps)
{
    for (uint32_t i = 0; i < pages; i++)
        if (!sp_is(from + i * PAGE_SIZE, backing, maps))
            return false;
    return true;
}

int main(void)
{
    const uint32_t a = SP_TEST, b = a + PAGES * PAGE_SIZE;
    uint32_t resident, sum = 0;
    bool own = true;

    sp_init();
    tap_ok(sp_map(a, 2 * PAGES, SP_RW, 0) == UMBRA_OK, "128 anonymous pages are mapped");
    tap_ok(all(a, 2 * PAGES, UMBRA_BACKING_NONE, 0), "nothing backs them");
    resident = sp_info()->ret[5];
    for (uint32_t i = 0; i < PAGES; i++)
        sum |= load32(a + i * PAGE_SIZE) | load32(a + i * PAGE_SIZE + 4092);
    tap_ok(sum == 0, "a page first read is zeros");
    tap_ok(all(a, PAGES, UMBRA_BACKING_ZERO, 0), "backed by the zero frame, which is not counted");
    tap_ok(sp_frame(a) == sp_frame(a + PAGE_SIZE), "the same frame for all");
    tap_ok(sp_bits(a, PTE_P | PTE_A), "present, accessed, neither writable nor dirty");
    tap_ok(sp_info()->ret[5] == resident, "reading takes no frame");

    for (uint32_t i = 0; i < PAGES; i++)
        store32(a + i * PAGE_SIZE + 8, i + 1);
    tap_ok(all(a, PAGES, UMBRA_BACKING_FRAME, 1),
           "written over the zero frame: a frame of its own");
    for (uint32_t i = 0; i < PAGES; i++)
        own = own && load32(a + i * PAGE_SIZE + 8) == i + 1 && load32(a + i * PAGE_SIZE) == 0;
    tap_ok(own, "with the word written, and zeros beside it");
    tap_ok(sp_info()->ret[5] == resident + PAGES, "one frame for each");

    for (uint32_t i = 0; i < PAGES; i++)
        store32(b + i * PAGE_SIZE, 7);
    tap_ok(all(b, PAGES, UMBRA_BACKING_FRAME, 1), "written at once: a frame of its own");
    tap_ok(sp_bits(b, PTE_P | PTE_W | PTE_A | PTE_D), "present, writable, accessed, dirty");
    tap_ok(load32(b + 4) == 0, "zeros beside what was written");
    tap_ok(sp_info()->ret[5] == resident + 2 * PAGES, "one frame for each");
    return tap_done();
}
