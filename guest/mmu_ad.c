/*
 * mmu_ad: accessed and dirty bits, exact: set by the first access and the first write, never
 * otherwise, and again after the guest has cleared them and flushed.
 */
#include "guest/rt/paging.h"

#define LA    PG_TEST(0)
#define PAGES 16u
#define ALL   (PTE_P | PTE_W | PTE_U)
#define AD    (PTE_A | PTE_D)

static uint32_t pd, frames;

static uint32_t page(uint32_t n)
{
    return LA + n * PAGE_SIZE;
}

/* All test pages mapped anew with bits, nothing accessed. */
static void fresh(uint32_t bits)
{
    for (uint32_t i = 0; i < PAGES; i++)
        pg_map(pd, page(i), frames + i * PAGE_SIZE, bits);
    *pg_pde(pd, LA) &= ~AD;
    flush_tlb();
    trap_forget();
}

static uint32_t ad(uint32_t n)
{
    return *pg_pte(pd, page(n)) & AD;
}

/* Pages first .. first+n-1 have these bits, and all others none. */
static bool only(uint32_t first, uint32_t n, uint32_t bits)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        const uint32_t due = i >= first && i < first + n ? bits : 0;
        if (ad(i) == due)
            continue;
        tap_note("page %u has %x, not %x", i, ad(i), due);
        return false;
    }
    return true;
}

static void clear(uint32_t n, uint32_t bits)
{
    *pg_pte(pd, page(n)) &= ~bits;
    invlpg(page(n));
}

static void first_access(void)
{
    uint32_t v;

    fresh(ALL);
    tap_ok(only(0, 0, 0), "tables made, nothing accessed: no bit set");
    load32(page(3));
    tap_ok(only(3, 1, PTE_A), "a read sets A there and nowhere else");
    tap_ok((*pg_pde(pd, LA) & AD) == PTE_A, "and A in the PDE, which has no D");
    store32(page(3), 1);
    tap_ok(only(3, 1, AD), "a write after the read sets D");
    fresh(ALL);
    store32(page(5), 1);
    tap_ok(only(5, 1, AD), "a write first sets A and D at once");
    load32(page(4));
    load32(page(6));
    tap_ok(ad(4) == PTE_A && ad(6) == PTE_A && ad(7) == 0, "neighbours get theirs when read");
    fresh(ALL);
    store32(page(2), TRY_FETCH_CODE);
    clear(2, AD);
    tap_ok(try_fetch(page(2)) && only(2, 1, PTE_A), "an instruction fetch sets A");
    fresh(ALL);
    tap_ok(user_read(page(1), &v) && only(1, 1, PTE_A), "a read by ring 3 sets A");
    tap_ok(user_write(page(1), 1) && only(1, 1, AD), "a write by ring 3 sets D");
}

static void cleared_and_flushed(void)
{
    uint32_t v;

    fresh(ALL);
    store32(page(0), 1);
    clear(0, PTE_A);
    tap_ok(ad(0) == PTE_D, "A cleared: it stays so until the next access");
    load32(page(0));
    tap_ok(ad(0) == AD, "and comes back with it");
    clear(0, PTE_D);
    load32(page(0));
    tap_ok(ad(0) == PTE_A, "D cleared: a read does not bring it back");
    store32(page(0), 2);
    tap_ok(ad(0) == AD, "a write does");
    clear(0, AD);
    tap_ok(user_write(page(0), 3) && ad(0) == AD, "nor does it matter which ring writes");
    clear(0, AD);
    tap_ok(user_read(page(0), &v) && ad(0) == PTE_A, "user reads: A");
    store32(page(0), 4);
    tap_ok(ad(0) == AD, "supervisor writes: D");
    for (unsigned i = 0; i < 50; i++) {
        clear(0, AD);
        if (i & 1)
            store32(page(0), i);
        else
            load32(page(0));
        if (ad(0) != (i & 1 ? AD : PTE_A)) {
            tap_ok(false, "round %u: %x", i, ad(0));
            return;
        }
    }
    tap_ok(true, "fifty rounds of clearing, INVLPG and access");
    store32(page(0), 1);
    *pg_pte(pd, page(0)) &= ~AD;
    *pg_pde(pd, LA) &= ~PTE_A;
    flush_tlb();
    load32(page(0));
    tap_ok(ad(0) == PTE_A && (*pg_pde(pd, LA) & PTE_A), "the same by a load of CR3, PDE too");
}

static void preset(void)
{
    fresh(ALL | PTE_A);
    load32(page(0));
    tap_ok(ad(0) == PTE_A, "A preset, read: no D");
    store32(page(0), 1);
    tap_ok(ad(0) == AD, "A preset, write: D");
    fresh(ALL | PTE_D);
    load32(page(0));
    tap_ok(ad(0) == AD, "D preset, read: A joins it");
    fresh(ALL | AD);
    store32(page(0), 1);
    tap_ok(only(0, PAGES, AD), "both preset: nothing to do");
}

static void faults_set_nothing(void)
{
    uint32_t v;

    fresh(PTE_P);
    tap_ok(!try_write(page(0), 1) && ad(0) == 0, "a write refused by WP sets no bit in the PTE");
    tap_ok(!user_read(page(0), &v) && ad(0) == 0, "nor does a read that ring 3 may not do");
    tap_ok(try_read(page(0), &v) && ad(0) == PTE_A, "a read that is allowed does");
    tap_ok(!try_write(page(0), 1) && ad(0) == PTE_A, "and the refused write still sets no D");
    fresh(0);
    tap_ok(!try_read(page(0), &v) && ad(0) == 0, "an absent PTE is never touched");
    fresh(PTE_P);
    pg_set_wp(false);
    store32(page(1), 1);
    pg_set_wp(true);
    tap_ok(only(1, 1, AD), "a write to a read-only page that WP off allows sets D");
}

static void many_kinds_of_write(void)
{
    uint32_t n, p;

    fresh(ALL);
    *(volatile uint16_t *)(page(1) - 1) = 0x1234;
    tap_ok(only(0, 2, AD), "a write that crosses a page dirties both");
    fresh(ALL);
    (void)*(volatile uint32_t *)(page(1) - 2);
    tap_ok(only(0, 2, PTE_A), "a read that crosses one accesses both");
    fresh(ALL);
    p = page(2);
    n = 3 * PAGE_SIZE / 4;
    __asm__ volatile("rep stosl" : "+D"(p), "+c"(n) : "a"(0) : "memory");
    tap_ok(only(2, 3, AD), "REP STOS over three pages dirties those three");
    fresh(ALL);
    __asm__ volatile("push %%esi; push %%edi; mov %0, %%esi; mov %1, %%edi; mov %2, %%ecx;"
                     "rep movsl; pop %%edi; pop %%esi"
                     :
                     : "a"(page(1)), "d"(page(3)), "b"(PAGE_SIZE / 4)
                     : "ecx", "memory");
    tap_ok(ad(1) == PTE_A && ad(3) == AD && ad(2) == 0 && ad(4) == 0,
           "REP MOVS: source accessed, destination dirty");
    fresh(ALL);
    __asm__ volatile("lock incl (%0)" : : "r"(page(6)) : "memory");
    tap_ok(only(6, 1, AD), "LOCK INC dirties");
    fresh(ALL);
    __asm__ volatile("xchg %%esp, %0; push %%eax; pop %%eax; xchg %%esp, %0"
                     :
                     : "r"(page(8))
                     : "memory");
    tap_ok(only(7, 1, AD), "PUSH dirties the page below ESP");
    fresh(ALL);
    __asm__ volatile("btsl %1, (%0)" : : "r"(page(0)), "r"(8 * PAGE_SIZE) : "memory");
    tap_ok(only(1, 1, AD), "BTS reaches the page that its bit is in");
    fresh(ALL);
    __asm__ volatile("testl $1, (%0); cmpl $0, (%1)" : : "r"(page(1)), "r"(page(2)) : "memory");
    tap_ok(only(1, 2, PTE_A), "TEST and CMP only access");
}

/* Accesses of the processor itself: descriptors, the stack of a trap. */
static void system_accesses(void)
{
    struct tss *t = trap_tss();
    const uint32_t old = t->esp0;
    uint32_t v;

    fresh(PTE_P | PTE_W);
    t->esp0 = page(4);
    (void)user_read(page(0), &v);
    t->esp0 = old;
    tap_ok(only(3, 1, AD), "a trap from ring 3 dirties the page of its stack");
    fresh(PTE_P | PTE_W);
    __asm__ volatile("sgdtl (%0)" : : "r"(page(9) + 8) : "memory");
    tap_ok(only(9, 1, AD), "SGDT writes as any store");
}

static void big_pages(void)
{
    const uint32_t la = PG_TEST(5);

    if (!(cpuid_edx(1) & CPUID1_PSE)) {
        tap_note("no 4 MiB pages here");
        return;
    }
    write_cr4(read_cr4() | CR4_PSE);
    *pg_pde(pd, la) = ALL | PTE_PS | 0x400000;
    load32(la + 0x123000);
    tap_ok((*pg_pde(pd, la) & AD) == PTE_A, "4 MiB page: a read sets A in the PDE");
    load32(la + 0x3ff000);
    tap_ok((*pg_pde(pd, la) & AD) == PTE_A, "and so does any other");
    store32(la + 0x200000, load32(la + 0x200000));
    tap_ok((*pg_pde(pd, la) & AD) == AD, "a write anywhere in it sets D");
    *pg_pde(pd, la) &= ~AD;
    invlpg(la + 0x1000);
    load32(la + 0x200000);
    tap_ok((*pg_pde(pd, la) & AD) == PTE_A, "cleared, INVLPG elsewhere in it: read where it was "
                                            "written before, A only");
    store32(la + 0x200000, load32(la + 0x200000));
    tap_ok((*pg_pde(pd, la) & AD) == AD, "and D with the next write there");
}

int main(void)
{
    pd = pg_identity();
    frames = pg_alloc_n(PAGES, PAGE_SIZE);
    (void)pg_pte(pd, LA);
    pg_start(pd, true, 0);
    first_access();
    cleared_and_flushed();
    preset();
    faults_set_nothing();
    many_kinds_of_write();
    system_accesses();
    big_pages();
    return tap_done();
}
