/*
 * mmu_flush: when a change of the tables must be seen. Before a flush nothing is asserted but what
 * the manual promises (an entry that was absent is never remembered); after INVLPG or a load of CR3
 * the tables count as they stand, also those edited while another directory was loaded or paging
 * was off.
 */
#include "guest/rt/paging.h"

#define LA    PG_TEST(0)
#define FAR   PG_TEST(1)
#define ALL   (PTE_P | PTE_W | PTE_U)
#define PAGES 8u

static uint32_t pd, frames;

static uint32_t frame(uint32_t n)
{
    return frames + n * PAGE_SIZE;
}

static void reset(void)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        store32(frame(i), 100 + i);
        pg_map(pd, LA + i * PAGE_SIZE, frame(i), ALL);
        pg_map(pd, FAR + i * PAGE_SIZE, frame(i), ALL);
    }
    flush_tlb();
    trap_forget();
}

static bool absent(uint32_t la)
{
    uint32_t v;
    return !try_read(la, &v) && trap_was_pf(0, la);
}

static void absent_is_not_remembered(void)
{
    uint32_t v;

    reset();
    pg_remap(pd, LA, 0, 0);
    tap_ok(absent(LA), "absent");
    pg_map(pd, LA, frame(0), ALL);
    tap_ok(try_read(LA, &v) && v == 100, "made present, no flush: there");
    *pg_pde(pd, LA) &= ~PTE_P;
    invlpg(LA);
    tap_ok(absent(LA), "its directory entry absent");
    *pg_pde(pd, LA) |= PTE_P;
    tap_ok(try_read(LA, &v) && v == 100, "present again, no flush: there");
    pg_remap(pd, LA, 0, 0);
    for (unsigned i = 0; i < 30; i++) {
        if (!absent(LA))
            break;
        pg_map(pd, LA, frame(i % PAGES), ALL);
        if (load32(LA) != 100 + i % PAGES)
            break;
        pg_remap(pd, LA, 0, 0);
    }
    tap_ok(absent(LA), "thirty times over");
}

static void more_rights(void)
{
    unsigned tries = 0;

    reset();
    pg_remap(pd, LA, frame(0), PTE_P | PTE_U);
    (void)load32(LA);
    tap_ok(!try_write(LA, 1) && trap_was_pf(PF_P | PF_W, LA), "read-only");
    pg_map(pd, LA, frame(0), ALL);
    while (tries < 3 && !try_write(LA, 1))
        tries++;
    tap_ok(tries <= 1, "made writable, no flush: at most one fault more");
    pg_remap(pd, LA, frame(0), PTE_P | PTE_W);
    (void)load32(LA);
    pg_map(pd, LA, frame(0), ALL);
    for (tries = 0; tries < 3 && !user_write(LA, 1);)
        tries++;
    tap_ok(tries <= 1, "made user's, no flush: at most one fault");
}

static void invlpg_brings_back(void)
{
    uint32_t v;

    reset();
    (void)load32(LA);
    pg_remap(pd, LA, frame(1), ALL);
    tap_ok(load32(LA) == 101, "another frame, INVLPG: seen");
    pg_remap(pd, LA, frame(1), PTE_P | PTE_U);
    tap_ok(!try_write(LA, 5) && trap_was_pf(PF_P | PF_W, LA) && load32(frame(1)) == 101,
           "write taken away, INVLPG: refused");
    pg_remap(pd, LA, frame(1), PTE_P | PTE_W);
    tap_ok(!user_read(LA, &v) && trap_was_pf(PF_P | PF_U, LA), "user taken away, INVLPG: refused");
    pg_remap(pd, LA, 0, 0);
    tap_ok(absent(LA), "page taken away, INVLPG: gone");
    invlpg(LA);
    invlpg(0xfffff000);
    tap_ok(absent(LA), "INVLPG of what is not mapped does nothing");
    reset();
    pg_map(pd, LA, frame(2), ALL);
    pg_map(pd, LA + PAGE_SIZE, frame(3), ALL);
    invlpg(LA + 0xabc);
    invlpg(LA + PAGE_SIZE + 1);
    tap_ok(load32(LA) == 102 && load32(LA + PAGE_SIZE) == 103,
           "INVLPG of any byte of a page means the page");
    /* Two pages swapped, as a kernel that moves pages does. */
    for (unsigned i = 0; i < 40; i++) {
        uint32_t *a = pg_pte(pd, LA + 4 * PAGE_SIZE), *b = pg_pte(pd, FAR + 5 * PAGE_SIZE), t = *a;
        *a = *b;
        *b = t;
        invlpg(LA + 4 * PAGE_SIZE);
        invlpg(FAR + 5 * PAGE_SIZE);
        v = load32(LA + 4 * PAGE_SIZE) * 1000 + load32(FAR + 5 * PAGE_SIZE);
        if (v != (i & 1 ? 104105u : 105104u)) {
            tap_ok(false, "round %u of swapping: %u", i, v);
            return;
        }
    }
    tap_ok(true, "two pages swapped, forty times");
}

static void invlpg_is_privileged(void)
{
    static const uint8_t code[] = {0x0f, 0x01, 0x39}; /* invlpg (%ecx) */
    struct ring3 r = {.ecx = LA, .eip = LA + 16, .eflags = EFLAGS_ONE};

    reset();
    memcpy((void *)(frame(0) + 16), code, sizeof code);
    tap_ok(ring3_run(&r) == V_GP && trap_last()->at.error == 0 && r.eip == LA + 16,
           "INVLPG in ring 3: #GP(0)");
}

static void directory_entries(void)
{
    const uint32_t table = pg_alloc();
    uint32_t *t = (uint32_t *)table, old;

    reset();
    (void)load32(LA);
    (void)load32(LA + PAGE_SIZE);
    t[0] = frame(6) | ALL;
    t[1] = frame(7) | ALL;
    old = *pg_pde(pd, LA);
    *pg_pde(pd, LA) = table | ALL;
    invlpg(LA);
    tap_ok(load32(LA) == 106, "another table, INVLPG: its page");
    flush_tlb();
    tap_ok(load32(LA + PAGE_SIZE) == 107, "CR3: the rest of it");
    *pg_pde(pd, LA) = old & ~PTE_W;
    flush_tlb();
    tap_ok(load32(LA) == 100 && !try_write(LA, 1) && trap_was_pf(PF_P | PF_W, LA),
           "the old table back, read-only by its PDE");
    *pg_pde(pd, LA) = old;
    flush_tlb();
    tap_ok(try_write(LA, 100), "writable again");
    *pg_pde(pd, FAR) = *pg_pde(pd, LA);
    flush_tlb();
    store32(LA + 8, 0xabcd);
    tap_ok(load32(FAR + 8) == 0xabcd, "one table under two entries");
    pg_map(pd, LA, frame(5), ALL);
    flush_tlb();
    tap_ok(load32(FAR) == 105 && load32(LA) == 105, "edited once, seen by both");
    *pg_pde(pd, FAR) = 0;
    flush_tlb();
}

static void two_directories(void)
{
    const uint32_t other = pg_alloc(), table = pg_alloc();
    uint32_t *t = (uint32_t *)table;
    bool good = true;

    reset();
    memcpy((void *)other, (void *)pd, PAGE_SIZE);
    *pg_pde(other, LA) = table | ALL;
    for (unsigned i = 0; i < 60; i++) {
        /* The other space's table is edited while it is not in use; no flush but the switch. */
        t[0] = frame(i % PAGES) | ALL;
        t[1] = i % 3 ? frame((i + 1) % PAGES) | ALL : 0;
        write_cr3(other);
        good = good && load32(LA) == 100 + i % PAGES;
        good = good &&
               (i % 3 ? load32(LA + PAGE_SIZE) == 100 + (i + 1) % PAGES : absent(LA + PAGE_SIZE));
        write_cr3(pd);
        good = good && load32(LA) == 100;
    }
    tap_ok(good, "a table edited while another directory is loaded: sixty switches, all right");
    pg_map(pd, FAR, frame(3), ALL); /* both directories name this table */
    write_cr3(other);
    tap_ok(load32(FAR) == 103, "a table that both share, edited from one: seen in the other");
    *pg_pde(pd, FAR) &= ~PTE_P;
    tap_ok(load32(FAR) == 103, "one directory's entry taken away: not this one's");
    write_cr3(pd);
    tap_ok(absent(FAR), "but that one's");
    *pg_pde(pd, FAR) |= PTE_P;
}

static void page_becomes_table_becomes_page(void)
{
    const uint32_t page = pg_alloc();
    uint32_t *t = (uint32_t *)page;
    bool good = true;

    reset();
    for (unsigned i = 0; i < 20 && good; i++) {
        /* data */
        pg_remap(pd, LA, page, ALL);
        store32(LA, i);
        good = load32(page) == i;
        pg_remap(pd, LA, 0, 0);
        /* table */
        memset(t, 0, PAGE_SIZE);
        t[i] = frame(i % PAGES) | ALL;
        *pg_pde(pd, PG_TEST(4)) = page | ALL;
        flush_tlb();
        good = good && load32(PG_TEST(4) + i * PAGE_SIZE) == 100 + i % PAGES;
        *pg_pde(pd, PG_TEST(4)) = 0;
        flush_tlb();
        good = good && absent(PG_TEST(4) + i * PAGE_SIZE);
        /* directory */
        memcpy(t, (void *)pd, PAGE_SIZE);
        write_cr3(page);
        good = good && load32(FAR + (i % PAGES) * PAGE_SIZE) == 100 + i % PAGES;
        write_cr3(pd);
    }
    tap_ok(good, "a page as data, as table, as directory, in turn");
}

static void paging_off_and_on(void)
{
    reset();
    (void)load32(LA);
    write_cr0(read_cr0() & ~CR0_PG);
    pg_map(pd, LA, frame(4), ALL);
    store32(frame(4) + 4, 0x99);
    write_cr0(read_cr0() | CR0_PG);
    tap_ok(load32(LA) == 104 && load32(LA + 4) == 0x99, "tables edited while paging was off");
    for (unsigned i = 0; i < 10; i++) {
        write_cr0(read_cr0() & ~CR0_PG);
        pg_map(pd, LA, frame(i % PAGES), ALL);
        write_cr0(read_cr0() | CR0_PG);
        if (load32(LA) != 100 + i % PAGES) {
            tap_ok(false, "round %u of paging off and on", i);
            return;
        }
    }
    tap_ok(true, "paging off and on, ten times");
}

int main(void)
{
    pd = pg_identity();
    frames = pg_alloc_n(PAGES, PAGE_SIZE);
    (void)pg_pte(pd, LA);
    (void)pg_pte(pd, FAR);
    pg_start(pd, true, 0);
    absent_is_not_remembered();
    more_rights();
    invlpg_brings_back();
    invlpg_is_privileged();
    directory_entries();
    two_directories();
    page_becomes_table_becomes_page();
    paging_off_and_on();
    return tap_done();
}
