/*
 * mmu_self: page tables that map themselves and each other: the recursive window, tables as data
 * and data as tables, one page at two levels, and every way to edit an entry: another address, a 4
 * MiB page, ring 3, strings that fault half-way, odd sizes, the stack, an instruction that pulls
 * its own page away.
 */
#include "guest/rt/paging.h"

#define LA     PG_TEST(0)
#define WIN    PG_TEST(1) /* where table pages are mapped as data */
#define FAR    PG_TEST(2)
#define SELF   0xffc00000u
#define ALL    (PTE_P | PTE_W | PTE_U)
#define AD     (PTE_A | PTE_D)
#define PAGES  8u
#define WINDOW ((volatile uint32_t *)SELF)

static uint32_t pd, frames;

static uint32_t frame(uint32_t n)
{
    return frames + n * PAGE_SIZE;
}

static uint32_t table_of(uint32_t la)
{
    return *pg_pde(pd, la) & PTE_ADDR;
}

static void reset(void)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        store32(frame(i), 100 + i);
        pg_map(pd, LA + i * PAGE_SIZE, frame(i), ALL);
        pg_map(pd, WIN + i * PAGE_SIZE, 0, 0);
        pg_map(pd, FAR + i * PAGE_SIZE, 0, 0);
    }
    flush_tlb();
    trap_forget();
}

static bool absent(uint32_t la)
{
    uint32_t v;
    return !try_read(la, &v) && trap_was_pf(0, la);
}

static void recursive_window(void)
{
    uint32_t v;

    reset();
    pd = read_cr3();
    ((uint32_t *)pd)[1023] = pd | PTE_P | PTE_W;
    tap_ok(((WINDOW[LA >> 12] ^ *pg_pte(pd, LA)) & ~AD) == 0, "the window shows the PTE");
    tap_ok(((WINDOW[SELF >> 12] ^ *(uint32_t *)pd) & PTE_ADDR) == 0,
           "and, higher up, the directory");
    tap_ok(WINDOW[0xfffff] == ((uint32_t *)pd)[1023], "its last word is the directory's last");
    tap_ok((((uint32_t *)pd)[1023] & AD) == PTE_A, "the directory's entry is accessed, not dirty");
    WINDOW[LA >> 12] = frame(3) | ALL;
    tap_ok(*pg_pte(pd, LA) == (frame(3) | ALL), "a PTE written through the window");
    invlpg(LA);
    tap_ok(load32(LA) == 103 && (WINDOW[LA >> 12] & AD) == PTE_A,
           "counts, and its A is seen there");
    store32(LA, 203);
    tap_ok((WINDOW[LA >> 12] & AD) == AD, "D too");
    tap_ok((*pg_pde(pd, LA) & AD) == AD,
           "the PDE, used as the window's PTE for a write, is dirty itself");
    WINDOW[0xffc00 + (FAR >> 22)] = 0;
    invlpg(FAR);
    invlpg(SELF + (FAR >> 10));
    tap_ok(*pg_pde(pd, FAR) == 0 && !try_read(SELF + (FAR >> 10), &v) &&
               trap_was_pf(0, SELF + (FAR >> 10)),
           "a PDE taken away through the window takes its part of the window along");
    (void)pg_pte(pd, FAR);
    tap_ok(WINDOW[FAR >> 12] == 0, "a new table is there at once");
    tap_ok(!user_read(SELF, &v) && trap_was_pf(PF_P | PF_U, SELF), "ring 3 may not look");
    WINDOW[0xfffff] = pd | PTE_P;
    invlpg(0xfffff000);
    tap_ok(!try_write(0xfffff000, 0) && trap_was_pf(PF_P | PF_W, 0xfffff000),
           "the window made read-only through itself");
    ((uint32_t *)pd)[1023] = 0;
    flush_tlb();
    tap_ok(absent(0xfffffffc), "and taken away");
}

/* The page table of LA mapped as an ordinary page, also ring 3's. */
static void table_as_data(void)
{
    uint32_t at = WIN + ((LA >> 12) & 1023) * 4, v;
    bool good = true;

    reset();
    pg_remap(pd, WIN, table_of(LA), ALL);
    tap_ok(user_write(at, frame(4) | ALL), "ring 3 writes a page table that is mapped for it");
    invlpg(LA);
    tap_ok(load32(LA) == 104 && user_read(at, &v) && v == (frame(4) | ALL | PTE_A),
           "the entry counts, A is seen in the data");
    for (unsigned i = 0; i < 50 && good; i++) {
        store32(at, i % 5 ? frame(i % PAGES) | ALL : 0);
        invlpg(LA);
        good = i % 5 ? load32(LA) == 100 + i % PAGES : absent(LA);
    }
    tap_ok(good, "fifty edits through that page");
    pg_remap(pd, WIN + PAGE_SIZE, table_of(WIN), ALL);
    at = WIN + PAGE_SIZE + ((WIN >> 12) & 1023) * 4;
    store32(at, table_of(LA) | PTE_P);
    invlpg(WIN);
    tap_ok(!try_write(WIN, 0) && trap_was_pf(PF_P | PF_W, WIN) && try_read(WIN, &v),
           "the table of the window's own pages, edited in the window");
    store32(at + 4, 0);
    invlpg(WIN + PAGE_SIZE);
    tap_ok(absent(WIN + PAGE_SIZE), "a page that takes away its own mapping");
}

static void data_as_table(void)
{
    const uint32_t page = pg_alloc(), la = PG_TEST(5);
    bool good = true;

    reset();
    pg_remap(pd, WIN, page, ALL);
    for (uint32_t i = 0; i < 1024; i++)
        store32(WIN + 4 * i, frame(i % PAGES) | ALL);
    tap_ok(load32(page + 4092) == (frame(7) | ALL), "a dirty page of data that looks like entries");
    *pg_pde(pd, la) = page | ALL;
    for (uint32_t i = 0; i < 1024; i++)
        good = good && load32(la + i * PAGE_SIZE) == 100 + i % PAGES;
    tap_ok(good, "named by a PDE it is a table of 1024 pages");
    good = true;
    for (uint32_t i = 0; i < 1024; i++)
        good = good && load32(WIN + 4 * i) == (frame(i % PAGES) | ALL | PTE_A);
    tap_ok(good, "each accessed");
    store32(WIN, frame(5) | ALL);
    invlpg(la);
    tap_ok(load32(la) == 105, "written on as data, it is a table still");
    store32(la + 5 * PAGE_SIZE, 0);
    tap_ok(load32(WIN + 20) == (frame(5) | ALL | AD), "and D lands in the data");
    store32(frame(5), 105);
    *pg_pde(pd, la) = 0;
    flush_tlb();
    memset((void *)page, 0xff, PAGE_SIZE);
    tap_ok(load32(WIN) == UINT32_MAX && absent(la), "a page of data again");
}

/* A directory used as a table: the pages that it maps are the tables it names. */
static void one_page_at_two_levels(void)
{
    const uint32_t space = pg_alloc(), table = pg_alloc(), la = PG_TEST(6);
    uint32_t *s = (uint32_t *)space, *t = (uint32_t *)table;

    reset();
    memcpy(s, (void *)pd, PAGE_SIZE);
    s[LA >> 22] = table | ALL;
    t[0] = frame(1) | ALL;
    *pg_pde(pd, la) = space | ALL; /* space as a table in this space */
    tap_ok(((load32(la + (LA >> 22 << 12)) ^ t[0]) & ~AD) == 0,
           "a directory as a table: its tables are pages");
    tap_ok((s[LA >> 22] & AD) == PTE_A, "its entry is accessed as a PTE");
    store32(la + (LA >> 22 << 12), frame(2) | ALL);
    tap_ok(t[0] == (frame(2) | ALL) && (s[LA >> 22] & AD) == AD, "and dirty, which a PDE is never");
    write_cr3(space);
    tap_ok(load32(LA) == 102, "loaded as a directory it maps what it should");
    store32(LA, 302);
    write_cr3(pd);
    tap_ok(load32(frame(2)) == 302 && load32(LA) == 100, "and this space has its own");
    s[LA >> 22] = frame(6) | ALL; /* as a PTE: a page; as a PDE: a table */
    memset((void *)frame(6), 0, PAGE_SIZE);
    flush_tlb();
    store32(la + (LA >> 22 << 12), frame(7) | ALL);
    write_cr3(space);
    tap_ok(load32(LA) == 107, "an entry changed: page here, table there");
    write_cr3(pd);
    *pg_pde(pd, la) = pd | ALL; /* the loaded directory as a table, user's too */
    flush_tlb();
    tap_ok((load32(la + (LA >> 22 << 12)) & PTE_ADDR) == frame(0),
           "the loaded directory as a table");
    *pg_pde(pd, la) = 0;
    flush_tlb();
}

/* One table under a PDE that lets write and one that does not, one for user and one not. */
static void one_table_under_two_rights(void)
{
    const uint32_t ro = PG_TEST(7), kernel = PG_TEST(8);
    uint32_t v;

    reset();
    *pg_pde(pd, ro) = table_of(LA) | PTE_P | PTE_U;
    *pg_pde(pd, kernel) = table_of(LA) | PTE_P | PTE_W;
    flush_tlb();
    tap_ok(user_write(LA, 1) && !user_write(ro, 2) && trap_was_pf(PF_P | PF_U | PF_W, ro),
           "writable through one PDE, read-only through the other");
    tap_ok(user_read(ro, &v) && v == 1, "the same page");
    tap_ok(try_write(kernel, 3) && !user_read(kernel, &v) && trap_was_pf(PF_P | PF_U, kernel),
           "supervisor's through a third");
    tap_ok(user_read(LA, &v) && v == 3 && !user_write(ro, 2), "once more round");
    *pg_pde(pd, ro) = *pg_pde(pd, kernel) = 0;
    flush_tlb();
}

static void odd_edits(void)
{
    uint32_t *pte = pg_pte(pd, LA), *next = pte + 1, sp;
    const uint32_t a = frame(1) | ALL, b = frame(2) | ALL;

    reset();
    /* An unaligned store over the halves of two entries. */
    *(volatile uint32_t *)((uint8_t *)pte + 2) = (a >> 16) | b << 16;
    *(volatile uint16_t *)((uint8_t *)next + 2) = (uint16_t)(b >> 16);
    *(volatile uint16_t *)pte = (uint16_t)a;
    flush_tlb();
    tap_ok(load32(LA) == 101 && load32(LA + PAGE_SIZE) == 102, "unaligned stores over two entries");
    *(volatile uint8_t *)pte = 0;
    invlpg(LA);
    tap_ok(absent(LA), "a byte that clears P");
    *(volatile uint8_t *)pte = (uint8_t)(PTE_P | PTE_U);
    invlpg(LA);
    tap_ok(load32(LA) == 101 && !try_write(LA, 0), "a byte that sets it");
    __asm__ volatile("lock btsl $1, (%0)" : : "r"(pte) : "memory");
    invlpg(LA);
    tap_ok(try_write(LA, 101), "LOCK BTS of W");
    sp = b;
    __asm__ volatile("xchg %0, (%1)" : "+r"(sp) : "r"(pte) : "memory");
    invlpg(LA);
    tap_ok((sp & ~AD) == a && load32(LA) == 102, "XCHG");
    __asm__ volatile("xchg %%esp, %0; push %1; xchg %%esp, %0"
                     : "=&r"(sp)
                     : "r"(frame(3) | ALL), "0"(pte + 1)
                     : "memory");
    invlpg(LA);
    tap_ok(sp == (uint32_t)pte && load32(LA) == 103, "PUSH onto the entry");
    if (cpuid_edx(1) & CPUID1_CX8) {
        uint32_t lo = pte[0], hi = pte[1];
        bool same;
        __asm__ volatile("lock cmpxchg8b (%3)\n\tsetz %0"
                         : "=q"(same), "+a"(lo), "+d"(hi)
                         : "r"(pte), "b"(frame(4) | ALL), "c"(frame(5) | ALL)
                         : "memory");
        flush_tlb();
        tap_ok(same && load32(LA) == 104 && load32(LA + PAGE_SIZE) == 105,
               "CMPXCHG8B exchanges two entries at once");
    }
    __asm__ volatile("addl %1, (%0)" : : "r"(pte), "r"(PAGE_SIZE) : "memory");
    invlpg(LA);
    tap_ok(load32(LA) == 105, "ADD moves the page on");
    *next = 0;
    invlpg(LA + PAGE_SIZE);
    __asm__ volatile("movl %1, %%esi; movl %0, %%edi; movsl"
                     :
                     : "r"(next), "r"(pte)
                     : "esi", "edi", "memory");
    tap_ok((load32(LA + PAGE_SIZE)) == 105, "MOVS of one entry to the next");
}

static void strings_over_tables(void)
{
    const uint32_t spare = pg_alloc(), table = table_of(LA);
    uint32_t di, n;
    bool good = true;

    reset();
    for (uint32_t i = 0; i < 1024; i++)
        store32(spare + 4 * i, frame((i + 1) % PAGES) | ALL);
    __asm__ volatile("mov %0, %%esi; mov %1, %%edi; mov $1024, %%ecx; rep movsl"
                     :
                     : "r"(spare), "r"(table)
                     : "esi", "edi", "ecx", "memory");
    flush_tlb();
    for (uint32_t i = 0; i < 1024; i++)
        good = good && load32(LA + i * PAGE_SIZE) == 100 + (i + 1) % PAGES;
    tap_ok(good, "REP MOVS over a whole table, CR3: all 1024 pages new");
    /* The table at FAR, nothing behind it: STOS goes to its end and faults there. */
    pg_remap(pd, FAR, table, ALL);
    pg_remap(pd, FAR + PAGE_SIZE, 0, 0);
    di = FAR + PAGE_SIZE - 64;
    n = 100;
    trap_forget();
    __asm__ volatile("1: rep stosl\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+D"(di), "+c"(n)
                     : "a"(frame(6) | ALL)
                     : "memory");
    tap_ok(trap_was_pf(PF_W, FAR + PAGE_SIZE) && trap_last()->at.ecx == 84 &&
               trap_last()->at.edi == FAR + PAGE_SIZE,
           "REP STOS faults behind the table: sixteen entries done, eighty-four to do");
    flush_tlb();
    good = true;
    for (uint32_t i = 1008; i < 1024; i++)
        good = good && load32(LA + i * PAGE_SIZE) == 106;
    tap_ok(good && load32(LA + 1007 * PAGE_SIZE) == 100, "and those sixteen count, no more");
    /* A string that takes its own destination away: the second page is mapped by the first. */
    memset((void *)table, 0, PAGE_SIZE);
    pg_map(pd, LA, table, ALL);
    pg_map(pd, LA + PAGE_SIZE, frame(0), ALL);
    flush_tlb();
    di = LA;
    n = 2048;
    __asm__ volatile("cld; 1: rep stosl\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+D"(di), "+c"(n)
                     : "a"(0)
                     : "memory");
    flush_tlb();
    tap_ok(absent(LA) && absent(LA + PAGE_SIZE),
           "REP STOS that wipes the table it goes by: no entry "
           "is left");
}

static void through_a_big_page(void)
{
    const uint32_t la = PG_TEST(9), table = table_of(LA);
    uint32_t at;
    bool good = true;

    if (!(cpuid_edx(1) & CPUID1_PSE)) {
        tap_note("no 4 MiB pages here");
        return;
    }
    reset();
    write_cr4(read_cr4() | CR4_PSE);
    *pg_pde(pd, la) = (table & 0xffc00000u) | ALL | PTE_PS;
    at = la + (table & 0x3fffffu) + ((LA >> 12) & 1023) * 4;
    for (unsigned i = 0; i < 50 && good; i++) {
        store32(at, i % 7 ? frame(i % PAGES) | (i & 1 ? ALL : PTE_P) : 0);
        invlpg(LA);
        if (i % 7 == 0)
            good = absent(LA);
        else
            good = load32(LA) == 100 + i % PAGES && try_write(LA, 100 + i % PAGES) == (i & 1);
        good = good && load32(at) == *pg_pte(pd, LA);
    }
    tap_ok(good, "fifty edits of a table through a 4 MiB page");
    tap_ok(user_write(at, frame(2) | ALL), "and by ring 3");
    invlpg(LA);
    tap_ok(load32(LA) == 102, "which counts too");
    *pg_pde(pd, la) = 0;
    flush_tlb();
}

/* Code on a page that it replaces: the instruction after INVLPG comes from the other page. */
static void code_that_moves_itself(void)
{
    /* mov %ebx, (%eax) ; invlpg (%edx) ; mov $N, %ecx ; ret */
    static const uint8_t code[] = {0x89, 0x18, 0x0f, 0x01, 0x3a, 0xb9, 0, 0, 0, 0, 0xc3};
    uint32_t n = 0;

    reset();
    for (unsigned i = 0; i < 2; i++) {
        memcpy((void *)frame(i), code, sizeof code);
        store32(frame(i) + 6, i + 1);
    }
    pg_remap(pd, LA, frame(0), ALL);
    __asm__ volatile("call *%%edx"
                     : "=c"(n)
                     : "a"(pg_pte(pd, LA)), "b"(frame(1) | ALL), "d"(LA)
                     : "memory");
    tap_ok(n == 2, "code that replaces its own page goes on in the new one");
    pg_remap(pd, LA, frame(0), ALL);
    trap_forget();
    n = 0;
    __asm__ volatile("push %%ebp; mov %%esp, %%ebp; call *%%edx; 1: mov %%ebp, %%esp; pop %%ebp\n\t"
                     ".pushsection .fixups, \"a\"; .long %c5 + 5, 1b; .popsection"
                     : "+c"(n)
                     : "a"(pg_pte(pd, LA)), "b"(0), "d"(LA), "m"(n), "i"(LA)
                     : "memory");
    tap_ok(n == 0 && trap_was_pf(0, LA + 5), "code that takes its own page away faults behind it");
}

int main(void)
{
    pd = pg_identity();
    frames = pg_alloc_n(PAGES, PAGE_SIZE);
    (void)pg_pte(pd, LA);
    (void)pg_pte(pd, WIN);
    (void)pg_pte(pd, FAR);
    pg_start(pd, true, 0);
    recursive_window();
    table_as_data();
    data_as_table();
    one_page_at_two_levels();
    one_table_under_two_rights();
    odd_edits();
    strings_over_tables();
    through_a_big_page();
    code_that_moves_itself();
    return tap_done();
}
