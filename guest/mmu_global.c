/*
 * mmu_global: global pages. Their translations may outlive a load of CR3 and must not outlive
 * INVLPG or a change of CR4.PGE; all others must not outlive CR3 (Intel SDM vol.
 * 3, 4.10.2.4, 4.10.4.1).
 */
#include "guest/rt/paging.h"

#define LA  PG_TEST(0)
#define ALL (PTE_P | PTE_W | PTE_U)

static uint32_t pd, one, two;

static void toggle_pge(void)
{
    write_cr4(read_cr4() & ~CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
}

/* Map one, read it, turn the entry to two without a flush. */
static void turn(uint32_t bits)
{
    pg_remap(pd, LA, one, bits);
    toggle_pge();
    (void)load32(LA);
    pg_map(pd, LA, two, bits);
}

static void one_page(void)
{
    uint32_t v;

    turn(ALL | PTE_G);
    flush_tlb();
    v = load32(LA);
    tap_note("a global page after a load of CR3: %s", v == 1 ? "the old one" : "the new one");
    tap_ok(v == 1 || v == 2, "CR3: old or new, nothing else");
    invlpg(LA);
    tap_ok(load32(LA) == 2, "INVLPG: the new one");
    turn(ALL | PTE_G);
    write_cr4(read_cr4() & ~CR4_PGE);
    tap_ok(load32(LA) == 2, "PGE turned off: the new one");
    write_cr4(read_cr4() | CR4_PGE);
    turn(ALL | PTE_G);
    write_cr4(read_cr4() & ~CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
    tap_ok(load32(LA) == 2, "PGE turned off and on: the new one");
    turn(ALL);
    flush_tlb();
    tap_ok(load32(LA) == 2, "a page that is not global, CR3: the new one");
}

static void pge_off_means_no_globals(void)
{
    write_cr4(read_cr4() & ~CR4_PGE);
    pg_remap(pd, LA, one, ALL | PTE_G);
    (void)load32(LA);
    pg_map(pd, LA, two, ALL | PTE_G);
    flush_tlb();
    tap_ok(load32(LA) == 2, "PGE off: G is ignored, CR3 brings the new one");
    pg_map(pd, LA, one, ALL | PTE_G);
    write_cr4(read_cr4() | CR4_PGE);
    tap_ok(load32(LA) == 1, "turning PGE on flushes too");
}

static void g_in_a_pde(void)
{
    *pg_pde(pd, LA) |= PTE_G;
    turn(ALL);
    flush_tlb();
    tap_ok(load32(LA) == 2, "G in the PDE of a table makes nothing global");
    *pg_pde(pd, LA) &= ~PTE_G;
}

static void two_spaces(void)
{
    const uint32_t other = pg_alloc();
    uint32_t *t;

    memcpy((void *)other, (void *)pd, PAGE_SIZE);
    *pg_pde(other, LA) = 0;
    t = pg_pte(other, LA);
    *t = two | ALL;
    pg_remap(pd, LA, one, ALL);
    toggle_pge();
    for (unsigned i = 0; i < 20; i++) {
        write_cr3(other);
        if (load32(LA) != 2)
            break;
        write_cr3(pd);
        if (load32(LA) != 1)
            break;
    }
    tap_ok(read_cr3() == pd && load32(LA) == 1, "two spaces, each its own page that is not global");
    *t = one | ALL | PTE_G;
    pg_remap(pd, LA, one, ALL | PTE_G);
    write_cr3(other);
    store32(LA + 4, 0x77);
    write_cr3(pd);
    tap_ok(load32(LA + 4) == 0x77, "the same global page in both");
    *t = 0;
    *pg_pte(pd, LA) = 0;
    toggle_pge();
    tap_ok(!try_read(LA, &(uint32_t){0}) && trap_was_pf(0, LA), "taken away from one");
    write_cr3(other);
    tap_ok(!try_read(LA, &(uint32_t){0}) && trap_was_pf(0, LA), "and the other");
    write_cr3(pd);
}

static void big_global(void)
{
    const uint32_t la = PG_TEST(3), base = pg_alloc_n(1024, 4u << 20);

    write_cr4(read_cr4() | CR4_PSE);
    store32(base + 0x5000, 0x44);
    *pg_pde(pd, la) = base | ALL | PTE_PS | PTE_G;
    tap_ok(load32(la + 0x5000) == 0x44, "a global 4 MiB page");
    *pg_pde(pd, la) = 0;
    invlpg(la + 0x9000);
    tap_ok(!try_read(la + 0x5000, &(uint32_t){0}) && trap_was_pf(0, la + 0x5000),
           "gone after INVLPG of any of its addresses");
    *pg_pde(pd, la) = base | PTE_P | PTE_PS | PTE_G;
    (void)load32(la);
    *pg_pde(pd, la) = base | PTE_P | PTE_W | PTE_PS | PTE_G;
    toggle_pge();
    tap_ok(try_write(la + 0x5000, 0x45), "made writable, PGE toggled: writable");
    /* The identity map made global: the kernel's usual case. */
    for (uint32_t a = 0; a < (8u << 20); a += PAGE_SIZE)
        *pg_pte(pd, a) |= PTE_G;
    toggle_pge();
    for (unsigned i = 0; i < 10; i++)
        flush_tlb();
    tap_ok(load32(base + 0x5000) == 0x45, "a kernel that is global itself");
}

int main(void)
{
    if (!(cpuid_edx(1) & CPUID1_PGE)) {
        rt_puts("1..0 # SKIP the processor has no global pages\n");
        return 0;
    }
    pd = pg_identity();
    one = pg_alloc();
    two = pg_alloc();
    store32(one, 1);
    store32(two, 2);
    (void)pg_pte(pd, LA);
    pg_start(pd, true, CR4_PGE);
    one_page();
    pge_off_means_no_globals();
    g_in_a_pde();
    two_spaces();
    big_global();
    return tap_done();
}
