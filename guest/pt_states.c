/*
 * pt_states: leaves pages in each state that the monitor's page table report tells apart, and ends.
 *
 *   traps=N  before that, N page faults on fresh memory (0): time for the monitor to share pages
 *   fill=N   after that, N pages written (0): memory that pushes others out
 */
#include "guest/rt/paging.h"

#define ALL   (PTE_P | PTE_W | PTE_U)
#define KERN  (PTE_P | PTE_W)
#define AT(n) (PG_TEST(0) + (n)*PAGE_SIZE)
#define BY(n) (PG_TEST(1) + (n)*PAGE_SIZE)

static uint32_t pd;

/* RAM that nobody has touched: above all that pg_alloc gives, which zeroes. */
static uint32_t fresh = 0x1000000;

static uint32_t untouched(void)
{
    fresh += PAGE_SIZE;
    return fresh;
}

static uint32_t written(uint32_t v)
{
    const uint32_t page = pg_alloc();
    for (uint32_t i = 0; i < PAGE_SIZE; i += 4)
        store32(page + i, v + i);
    return page;
}

static void settled(void)
{
    uint32_t v, page;

    pg_map(pd, AT(0), page = written(1), KERN);
    store32(AT(0), 1);
    pg_map(pd, AT(2), written(2), KERN);
    (void)load32(AT(2));
    pg_map(pd, AT(4), untouched(), KERN);
    (void)load32(AT(4));
    pg_map(pd, AT(6), untouched(), KERN);
    pg_map(pd, AT(8), page, KERN);
    pg_map(pd, AT(10), 0x3f000000, KERN);
    pg_map(pd, AT(12), written(3), ALL);
    (void)user_read(AT(12), &v);
    pg_map(pd, AT(14), written(4), PTE_P | PTE_U);
    (void)user_read(AT(14), &v);
    (void)load32(AT(14));
    pg_map(pd, AT(16), *pg_pde(pd, AT(0)) & ~(PAGE_SIZE - 1), KERN);
    store32(AT(16) + 4 * 100, 0);
    pg_map(pd, AT(20), written(5), KERN);
    store32(AT(20), 5);
    pg_map(pd, AT(22), written(5), KERN);
    store32(AT(22), 5);
    flush_tlb();
}

static void out_of_step(void)
{
    for (uint32_t n = 0; n < 8; n += 2) {
        pg_map(pd, BY(n), written(10 + n), KERN);
        store32(BY(n), n);
    }
    flush_tlb();
    *pg_pte(pd, BY(0)) = written(20) | KERN | PTE_A | PTE_D;
    *pg_pte(pd, BY(2)) = 0;
    *pg_pte(pd, BY(4)) &= ~PTE_W;
}

int main(void)
{
    pd = pg_identity();
    (void)pg_pte(pd, AT(0));
    (void)pg_pte(pd, BY(0));
    pg_start(pd, true, 0);
    settled();
    for (uint32_t n = rt_option("traps", 0), la = 0x1100000; n > 0; n--, la += PAGE_SIZE)
        (void)load32(la);
    for (uint32_t n = rt_option("fill", 0), la = 0x1100000; n > 0; n--, la += PAGE_SIZE)
        store32(la, la);
    out_of_step();
    return 0;
}
