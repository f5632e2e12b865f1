/* Violations: #PF with exact CR2 and error code; the instruction restarts when the reason has gone.
 */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M");

static volatile unsigned mended;

/* Map or allow what the fault lacks, and run the instruction again. */
static bool mend(struct trap_frame *f)
{
    const uint32_t page = read_cr2() & PTE_ADDR;

    (void)f;
    mended++;
    return sp_protect(page, 1, SP_RW) == UMBRA_OK || sp_map(page, 1, SP_RW, 0) == UMBRA_OK;
}

static void no_region(uint32_t la)
{
    uint32_t v;

    trap_forget();
    tap_ok(!try_read(la + 0x123, &v) && trap_was_pf(0, la + 0x123), "a read where no region is");
    tap_ok(!try_write(la + 0xffc, 1) && trap_was_pf(PF_W, la + 0xffc), "a write there");
    tap_ok(!try_fetch(la) && trap_was_pf(0, la), "a jump there");
    tap_ok(!try_read(0xffbffffc, &v) && trap_was_pf(0, 0xffbffffc), "a read below the window");
}

static void read_only(uint32_t la)
{
    uint32_t v = 1;

    sp_map(la, 2, SP_RO, 0);
    tap_ok(!try_write(la, 1) && trap_was_pf(PF_W, la), "a write to a read-only page never touched");
    tap_ok(try_read(la, &v) && v == 0, "which reads as zeros");
    tap_ok(!try_write(la + 4, 1) && trap_was_pf(PF_P | PF_W, la + 4), "a write once it is there");
    sp_protect(la, 2, SP_RW);
    tap_ok(try_write(la + 4, 0x77) && load32(la + 4) == 0x77, "allowed, it works");
    sp_protect(la, 2, SP_RO);
    tap_ok(!try_write(la + 4, 1) && trap_was_pf(PF_P | PF_W, la + 4), "forbidden, it does not");
    tap_ok(load32(la + 4) == 0x77, "and nothing was written");
}

static void no_rights(uint32_t la)
{
    uint32_t v;

    sp_map(la, 1, SP_RW, 0);
    store32(la, 0x1234);
    sp_protect(la, 1, 0);
    tap_ok(!try_read(la, &v) && trap_was_pf(0, la), "a read of a page without rights");
    tap_ok(!try_write(la, 1) && trap_was_pf(PF_W, la), "a write of it");
    tap_ok((sp_pte(la) & (PTE_P | UMBRA_PTE_PROTNONE)) == UMBRA_PTE_PROTNONE,
           "its entry is not present, and marked");
    sp_protect(la, 1, SP_RO);
    tap_ok(try_read(la, &v) && v == 0x1234, "its content is there when it may be read again");
}

static void edges(uint32_t la)
{
    uint32_t v;

    sp_map(la, 3, SP_RW, 0);
    store32(la, 1);
    store32(la + 2 * PAGE_SIZE, 3);
    tap_ok(sp_unmap(la + PAGE_SIZE, 1) == UMBRA_OK, "the middle page of a region goes");
    tap_ok(!try_write(la + PAGE_SIZE - 2, 0xffffffff) && trap_was_pf(PF_W, la + PAGE_SIZE),
           "a store over the edge: CR2 is the edge");
    tap_ok(!try_read(la + 2 * PAGE_SIZE - 1, &v) && trap_was_pf(0, la + 2 * PAGE_SIZE - 1),
           "a load over the other edge");
    tap_ok(load32(la) == 1 && load32(la + 2 * PAGE_SIZE) == 3, "its neighbours are as they were");
}

static void restart(uint32_t la)
{
    uint32_t v = 0;

    trap_handle(V_PF, mend);
    mended = 0;
    store32(la, 0xabcd);
    tap_ok(load32(la) == 0xabcd && mended == 1, "a handler maps the page, and the store restarts");
    sp_protect(la, 1, SP_RO);
    __asm__ volatile("lock addl $1, %0" : "+m"(*(volatile uint32_t *)la));
    tap_ok(load32(la) == 0xabce && mended == 2, "allows a read-modify-write: done once");
    sp_protect(la, 1, 0);
    __asm__ volatile("pushl %1\n\tpopl %0" : "=r"(v) : "m"(*(volatile uint32_t *)la));
    tap_ok(v == 0xabce && mended == 3, "allows a push from memory");
    memset((void *)(la + PAGE_SIZE), 0x5a, 3 * PAGE_SIZE);
    tap_ok(load32(la + 4 * PAGE_SIZE - 4) == 0x5a5a5a5a && mended == 6,
           "a string instruction goes on over three pages");
    trap_handle(V_PF, NULL);
}

static void window(void)
{
    const uint32_t la = UMBRA_WINDOW + (SP_TEST >> 12) * 4;
    uint32_t v;

    tap_ok(!try_write(la, 1) && trap_was_pf(PF_P | PF_W, la), "a write to the window");
    tap_ok(!try_write(0xfffffffc, 1) && trap_was_pf(PF_P | PF_W, 0xfffffffc),
           "a write to its last word");
    tap_ok(try_read(la, &v) && v == sp_pte(SP_TEST), "it can be read");
    tap_ok(try_read(0xfffffffc, &v) && v == 0, "to its end");
    tap_ok(!try_fetch(UMBRA_WINDOW) && trap_was_pf(PF_P, UMBRA_WINDOW), "but not executed");
}

int main(void)
{
    sp_init();
    no_region(SP_TEST);
    read_only(SP_TEST + 0x10000);
    no_rights(SP_TEST + 0x20000);
    edges(SP_TEST + 0x30000);
    restart(SP_TEST + 0x40000);
    window();
    return tap_done();
}
