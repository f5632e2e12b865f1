/*
 * mmu_large: 4 MiB pages that are used whole, so that a monitor may map them by large entries of
 * its own, and then what must be seen through them page by page: rights, accessed and dirty, tables
 * and code in their middle, the same memory by other entries.
 */
#include "guest/rt/paging.h"

#define LA    PG_TEST(0)
#define OTHER PG_TEST(1)
#define SMALL PG_TEST(2)
#define ALL   (PTE_P | PTE_W | PTE_U)
#define BIG   (4u << 20)
#define PAGES (BIG / PAGE_SIZE)

static uint32_t pd, base; /* base: 4 MiB of RAM, aligned */

static void set_pde(uint32_t la, uint32_t v)
{
    *pg_pde(pd, la) = v;
    invlpg(la);
    trap_forget();
}

static uint32_t word(uint32_t page)
{
    return page * 2654435761u ^ 0x1234;
}

/* Every page written and read back, by the kernel and by ring 3. */
static void fill(void)
{
    bool good = true;
    uint32_t v;

    set_pde(LA, base | ALL | PTE_PS);
    for (uint32_t p = 0; p < PAGES; p++)
        store32(LA + p * PAGE_SIZE, word(p));
    for (uint32_t p = 0; p < PAGES; p++)
        good = good && load32(LA + p * PAGE_SIZE) == word(p);
    tap_ok(good, "4 MiB written and read through one entry");
    for (uint32_t p = 0; p < PAGES; p += 3)
        good = good && user_read(LA + p * PAGE_SIZE, &v) && v == word(p) &&
               user_write(LA + p * PAGE_SIZE + 4, p);
    for (uint32_t p = 0; p < PAGES; p += 3)
        good = good && load32(LA + p * PAGE_SIZE + 4) == p;
    tap_ok(good, "and by ring 3");
}

static void accessed_and_dirty(void)
{
    volatile uint32_t *pde = pg_pde(pd, LA);
    uint32_t v;

    set_pde(LA, base | ALL | PTE_PS);
    tap_ok(!(*pde & (PTE_A | PTE_D)), "a new entry is neither accessed nor dirty");
    load32(LA + 700 * PAGE_SIZE);
    tap_ok((*pde & (PTE_A | PTE_D)) == PTE_A, "a read makes it accessed");
    for (uint32_t p = 0; p < PAGES; p++)
        load32(LA + p * PAGE_SIZE);
    tap_ok(!(*pde & PTE_D), "a thousand reads do not make it dirty");
    store32(LA + 801 * PAGE_SIZE + 8, 1);
    tap_ok((*pde & PTE_D) != 0, "one write does");
    *pde &= ~PTE_D;
    invlpg(LA + 3 * PAGE_SIZE);
    store32(LA + 2 * PAGE_SIZE + 8, 1);
    tap_ok((*pde & PTE_D) != 0, "cleared and flushed, another page's write does again");
    set_pde(LA, base | PTE_P | PTE_U | PTE_PS);
    tap_ok(!user_write(LA + 5 * PAGE_SIZE, 1) &&
               trap_was_pf(PF_P | PF_U | PF_W, LA + 5 * PAGE_SIZE) && !(*pde & PTE_D),
           "a write that is refused does not");
    tap_ok(user_read(LA + 5 * PAGE_SIZE, &v) && v == word(5), "what was there is there");
    set_pde(LA, base | ALL | PTE_PS);
}

/* A page in the middle becomes a table, and is edited through the large page. */
static void table_inside(void)
{
    const uint32_t at = 300, page = pg_alloc();
    volatile uint32_t *pte = (volatile uint32_t *)(LA + at * PAGE_SIZE);
    bool good = true;
    uint32_t v;

    store32(page, 0xabcd);
    memset((void *)(LA + at * PAGE_SIZE), 0, PAGE_SIZE);
    pte[6] = page | ALL;
    set_pde(SMALL, (base + at * PAGE_SIZE) | ALL);
    tap_ok(load32(SMALL + 6 * PAGE_SIZE) == 0xabcd && (pte[6] & PTE_A),
           "a table in the middle of a large page translates");
    for (uint32_t i = 0; i < 100; i++) {
        const uint32_t p = i * 7 % PAGES == at ? 0 : i * 7 % PAGES;
        pte[7] = (base + p * PAGE_SIZE) | ALL;
        invlpg(SMALL + 7 * PAGE_SIZE);
        good = good && load32(SMALL + 7 * PAGE_SIZE) == word(p);
        store32(LA + (at + 1) * PAGE_SIZE, word(at + 1)); /* a neighbour of the table */
    }
    tap_ok(good, "edited through the large page a hundred times, each edit is seen");
    pte[6] = 0;
    invlpg(SMALL + 6 * PAGE_SIZE);
    tap_ok(!try_read(SMALL + 6 * PAGE_SIZE, &v) && trap_was_pf(0, SMALL + 6 * PAGE_SIZE),
           "taken out, it faults");
    set_pde(SMALL, 0);
    store32(LA + at * PAGE_SIZE, word(at));
    tap_ok(load32(base + at * PAGE_SIZE) == word(at), "then it is memory like any other");
}

/* Code in the middle is changed by stores to another page of the same entry's. */
static void code_inside(void)
{
    const uint32_t at = LA + 400 * PAGE_SIZE;
    uint32_t (*const fn)(void) = (uint32_t(*)(void))at;
    bool good = true;

    for (uint32_t i = 0; i < 20; i++) {
        /* mov eax, i; ret, through the entry and through RAM's own address */
        const uint32_t to = i & 1 ? base + 400 * PAGE_SIZE : at;
        *(volatile uint8_t *)to = 0xb8;
        *(volatile uint32_t *)(to + 1) = i;
        *(volatile uint8_t *)(to + 5) = 0xc3;
        good = good && fn() == i;
    }
    tap_ok(good, "code in it, changed twenty times, does what it says");
    store32(at, word(400));
}

/* Two large entries for one memory, with rights of their own, and 4 KiB entries beside them. */
static void aliases(void)
{
    bool good = true;
    uint32_t v;

    set_pde(OTHER, base | PTE_P | PTE_U | PTE_PS);
    for (uint32_t p = 0; p < PAGES; p++)
        good = good && load32(OTHER + p * PAGE_SIZE) == word(p);
    tap_ok(good, "a second, read-only entry shows the same");
    store32(LA + 9 * PAGE_SIZE, 99);
    tap_ok(load32(OTHER + 9 * PAGE_SIZE) == 99, "also what is written now");
    tap_ok(!try_write(OTHER + 9 * PAGE_SIZE, 1) && trap_was_pf(PF_P | PF_W, OTHER + 9 * PAGE_SIZE),
           "and refuses to be written");
    for (uint32_t p = 0; p < PAGES; p++)
        pg_map(pd, SMALL + p * PAGE_SIZE, base + p * PAGE_SIZE, ALL);
    for (uint32_t p = 0; p < PAGES; p++)
        store32(SMALL + p * PAGE_SIZE, word(p));
    for (uint32_t p = 0; p < PAGES; p++)
        good = good && load32(OTHER + p * PAGE_SIZE) == word(p);
    tap_ok(good, "a table of 4 KiB entries in the same order shows it too");
    *pg_pte(pd, SMALL + 20 * PAGE_SIZE) = 0;
    invlpg(SMALL + 20 * PAGE_SIZE);
    tap_ok(!try_read(SMALL + 20 * PAGE_SIZE, &v) && load32(SMALL + 21 * PAGE_SIZE) == word(21) &&
               load32(LA + 20 * PAGE_SIZE) == word(20),
           "one entry taken out: that page alone is gone");
    set_pde(OTHER, 0);
    v = 0;
    for (uint32_t p = 0; p < PAGES; p += 5)
        v += try_read(OTHER + p * PAGE_SIZE, &(uint32_t){0});
    tap_ok(v == 0, "an entry taken out: all of it is");
    set_pde(SMALL, 0);
}

/* Write protection without and with WP, over and over. */
static void rights(void)
{
    unsigned good = 0;

    for (uint32_t i = 0; i < 40; i++) {
        const uint32_t at = LA + i * 25 * PAGE_SIZE + 16;
        set_pde(LA, base | PTE_P | PTE_PS);
        good += !try_write(at, i) && trap_was_pf(PF_P | PF_W, at);
        pg_set_wp(false);
        good += try_write(at, i) && load32(base + (at - LA)) == i;
        pg_set_wp(true);
        good += !user_read(at, &(uint32_t){0}) && trap_was_pf(PF_P | PF_U, at);
        set_pde(LA, base | ALL | PTE_PS);
        good += user_write(at, i + 1) && load32(base + (at - LA)) == i + 1;
    }
    tap_ok(good == 160, "rights that change forty times hold each time (%u of 160)", good);
}

int main(void)
{
    if (!(cpuid_edx(1) & CPUID1_PSE)) {
        rt_puts("1..0 # SKIP the processor has no 4 MiB pages\n");
        return 0;
    }
    pd = pg_identity();
    base = pg_alloc_n(PAGES, BIG);
    pg_start(pd, true, CR4_PSE);
    fill();
    accessed_and_dirty();
    table_inside();
    code_inside();
    aliases();
    rights();
    fill();
    return tap_done();
}
