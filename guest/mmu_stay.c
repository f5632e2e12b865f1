/*
 * mmu_stay: page tables of many kinds, each entry used as its row says, then a loop without end:
 * for tools that look at a guest from outside (umbra pt, compare). "plant=N" makes one entry
 * another than it should be: 1 a right, 2 a page, 3 one more mapping, 4 accessed alone.
 */
#include "guest/rt/paging.h"

#define ALL (PTE_P | PTE_W | PTE_U)

static uint32_t pd, plant;

static void touch(uint32_t la, bool write)
{
    if (write)
        store32(la, la);
    else
        (void)load32(la);
}

/* Pages with all rights there are, read, written, or left alone. */
static void rights(void)
{
    static const uint32_t bits[] = {PTE_P, PTE_P | PTE_W, PTE_P | PTE_U, ALL,
                                    PTE_P | PTE_W | PTE_G};
    for (uint32_t i = 0; i < 60; i++) {
        const uint32_t la = PG_TEST(1) + i * PAGE_SIZE, use = i / 5 % 3;
        uint32_t b = bits[i % 5];
        if (plant == 1 && i == 7)
            b ^= PTE_U;
        pg_map(pd, la, pg_alloc(), b);
        if (use)
            touch(la, use == 2 && (b & PTE_W));
    }
}

/* The same page in many places, an entry that maps nothing but has bits, a page beyond RAM. */
static void odd_ones(void)
{
    const uint32_t page = pg_alloc(), other = pg_alloc();
    for (uint32_t i = 0; i < 16; i++)
        pg_map(pd, PG_TEST(2) + i * 3 * PAGE_SIZE, plant == 2 && i == 5 ? other : page, ALL);
    touch(PG_TEST(2) + 6 * PAGE_SIZE, true);
    pg_map(pd, PG_TEST(3), 0x12345000, 0x66); /* not present */
    pg_map(pd, PG_TEST(3) + PAGE_SIZE, 0x3f000000, PTE_P | PTE_W);
    if (plant == 3)
        pg_map(pd, PG_TEST(3) + 9 * PAGE_SIZE, page, PTE_P);
    if (plant == 4)
        touch(PG_TEST(2), false);
}

int main(void)
{
    plant = rt_option("plant", 0);
    /* Where loaders put what they have to say must not show in the tables: they start at 2 MiB. */
    (void)pg_alloc_n(1, 2u << 20);
    pd = pg_identity();
    /* 4 MiB pages, and the directory as a table of its own. */
    *pg_pde(pd, PG_TEST(4)) = 0 | ALL | PTE_PS;
    *pg_pde(pd, PG_TEST(5)) = 0x400000 | PTE_P | PTE_PS;
    *pg_pde(pd, PG_TEST(6)) = pd | PTE_P | PTE_W;
    pg_start(pd, true, CR4_PSE | CR4_PGE);
    rights();
    odd_ones();
    touch(PG_TEST(4) + 0x100000, false);
    touch(PG_TEST(6), false);
    rt_puts("ready\n");
    for (;;)
        __asm__ volatile("pause");
}
