/*
 * mmu_roots: floods of CR3. Hundreds of address spaces, each with a page of its own at the same
 * address, loaded in changing order, edited while others are loaded, dropped and built anew from
 * the same pages; and one space loaded under every value of CR3's low bits.
 *
 * roots=N spaces (600, as RAM allows), rounds=N loads (20000).
 */
#include "guest/rt/paging.h"

#define LA    PG_TEST(0)
#define ALL   (PTE_P | PTE_W | PTE_U)
#define ROOTS 4096u

static uint32_t kernel, count;
static struct {
    uint32_t pd, table, frame, id;
} space[ROOTS];

static uint32_t next_random(void)
{
    static uint32_t x = 2463534242u;

    x ^= x << 13;
    x ^= x >> 17;
    return x ^= x << 5;
}

static void build(uint32_t n)
{
    memcpy((void *)space[n].pd, (void *)kernel, PAGE_SIZE);
    memset((void *)space[n].table, 0, PAGE_SIZE);
    *pg_pde(space[n].pd, LA) = space[n].table | ALL;
    store32(space[n].table, space[n].frame | ALL);
    space[n].id = next_random();
    store32(space[n].frame, space[n].id);
}

static bool enter(uint32_t n)
{
    write_cr3(space[n].pd);
    return load32(LA) == space[n].id;
}

static void in_order(void)
{
    bool good = true;

    for (uint32_t i = 0; i < count; i++)
        good = good && enter(i);
    for (uint32_t i = count; i-- > 0;)
        good = good && enter(i);
    tap_ok(good, "%u spaces, there and back", count);
}

static void at_random(uint32_t rounds)
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        const uint32_t n = next_random() % count, m = next_random() % count;
        if (!enter(n))
            wrong++;
        switch (next_random() % 8) {
        case 0: /* write here, look there */
            store32(LA, ++space[n].id);
            wrong += load32(space[n].frame) != space[n].id;
            break;
        case 1: /* another space's page changed behind its back */
            store32(space[m].frame, ++space[m].id);
            break;
        case 2: /* two spaces exchange their pages */
            if (m != n) {
                uint32_t t = space[m].frame;
                space[m].frame = space[n].frame;
                space[n].frame = t;
                t = space[m].id;
                space[m].id = space[n].id;
                space[n].id = t;
                store32(space[n].table, space[n].frame | ALL);
                store32(space[m].table, space[m].frame | ALL);
                invlpg(LA);
                wrong += load32(LA) != space[n].id;
            }
            break;
        case 3: /* a space dies and another is built of its pages, the table becoming the directory
                 */
            if (m != n) {
                const uint32_t t = space[m].pd;
                space[m].pd = space[m].table;
                space[m].table = t;
                build(m);
            }
            break;
        default: break;
        }
    }
    tap_ok(wrong == 0, "%u loads at random with edits, exchanges and rebirths: %u wrong", rounds,
           wrong);
}

static void low_bits(void)
{
    bool good = true;

    for (uint32_t bits = 0; bits < 4096; bits++) {
        write_cr3(space[bits % count].pd | (bits & 0x18));
        good = good && load32(LA) == space[bits % count].id;
    }
    tap_ok(good, "CR3 with PWT and PCD in all combinations");
}

static void same_again(void)
{
    bool good = true;

    for (unsigned i = 0; i < 5000 && good; i++) {
        store32(space[0].table, (i & 1 ? space[1].frame : space[0].frame) | ALL);
        write_cr3(space[0].pd);
        good = load32(LA) == (i & 1 ? space[1].id : space[0].id);
    }
    tap_ok(good, "one root loaded five thousand times, its table edited each time");
}

int main(void)
{
    const uint32_t rounds = rt_option("rounds", 20000);
    uint32_t pages;

    kernel = pg_identity();
    count = rt_option("roots", 600);
    pages = (rt_free_ram().end - pg_free_start()) / PAGE_SIZE;
    if (count > ROOTS)
        count = ROOTS;
    if (count > pages / 3)
        count = pages / 3;
    if (count < 2)
        rt_panic("too little RAM");
    for (uint32_t i = 0; i < count; i++) {
        space[i].pd = pg_alloc();
        space[i].table = pg_alloc();
        space[i].frame = pg_alloc();
        build(i);
    }
    pg_start(kernel, true, 0);
    in_order();
    at_random(rounds);
    low_bits();
    same_again();
    write_cr3(kernel);
    tap_ok(true, "home again");
    return tap_done();
}
