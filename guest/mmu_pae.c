/*
 * mmu_pae: three levels. PDPTEs that are registers, 2 MiB pages, execute-disable, addresses above
 * 4 GiB, reserved bits.
 */
#include "guest/rt/paging.h"

#define LA  0x40000000u /* PDPTE 1 */
#define ALL ((uint64_t)(PTE_P | PTE_W | PTE_U))
#define AD  (PTE_A | PTE_D)
#define BIG (2u << 20)
#define NX  ((uint64_t)1 << 63)

static uint32_t pdpt, low_pd, pd, table, frame, big;
static bool nx;

static volatile uint64_t *entry(uint32_t at, uint32_t n)
{
    return (volatile uint64_t *)at + n;
}

/* An entry is two words to a 32-bit CPU: clear P first, set it last. */
static void put(uint32_t at, uint32_t n, uint64_t v)
{
    store32(at + 8 * n, 0);
    store32(at + 8 * n + 4, (uint32_t)(v >> 32));
    store32(at + 8 * n, (uint32_t)v);
}

static void set_pte(uint64_t v)
{
    put(table, 0, v);
    invlpg(LA);
    trap_forget();
}

static void set_pde(uint64_t v)
{
    put(pd, 0, v);
    flush_tlb();
    trap_forget();
}

/* RAM up to 16 MiB one to one by 2 MiB pages, ring 3 included; LA by a table. */
static void build(void)
{
    pdpt = pg_alloc();
    low_pd = pg_alloc();
    pd = pg_alloc();
    table = pg_alloc();
    frame = pg_alloc();
    big = pg_alloc_n(BIG / PAGE_SIZE, BIG);
    for (uint32_t i = 0; i < 8; i++)
        put(low_pd, i, (i << 21) | ALL | PTE_PS);
    put(pd, 0, table | ALL);
    put(table, 0, frame | ALL);
    put(pdpt, 0, low_pd | PTE_P);
    put(pdpt, 1, pd | PTE_P);
}

static void small_pages(void)
{
    uint32_t v;

    set_pte(frame | ALL);
    store32(frame, 5);
    tap_ok(load32(LA) == 5 && (*entry(table, 0) & AD) == PTE_A, "a 4 KiB page, A");
    tap_ok((*entry(pd, 0) & AD) == PTE_A, "and A in the directory");
    store32(LA, 6);
    tap_ok(load32(frame) == 6 && (*entry(table, 0) & AD) == AD, "written, D");
    if (rt_monitor_present()) /* some emulators set A there, which is reserved */
        tap_ok(*entry(pdpt, 1) == (pd | PTE_P), "nothing is written to a PDPTE");
    set_pte(frame | PTE_P | PTE_W);
    tap_ok(!user_read(LA, &v) && trap_was_pf(PF_P | PF_U, LA), "a supervisor page");
    set_pte(frame | PTE_P | PTE_U);
    tap_ok(!try_write(LA, 1) && trap_was_pf(PF_P | PF_W, LA), "a read-only page, WP");
    pg_set_wp(false);
    tap_ok(try_write(LA, 7), "WP off");
    pg_set_wp(true);
    tap_ok(!user_write(LA, 1) && trap_was_pf(PF_P | PF_W | PF_U, LA), "user may not write it");
    set_pte(0);
    tap_ok(!try_write(LA, 1) && trap_was_pf(PF_W, LA), "an absent page");
    set_pte(frame | ALL);
    set_pde(0);
    tap_ok(!try_read(LA, &v) && trap_was_pf(0, LA), "an absent directory entry");
    set_pde(table | PTE_P | PTE_U);
    tap_ok(!try_write(LA, 1) && trap_was_pf(PF_P | PF_W, LA), "a read-only one");
    set_pde(table | ALL);
    tap_ok(try_write(LA, 8) && load32(frame) == 8, "writable again");
}

static void big_pages(void)
{
    bool good = true;

    set_pde(big | ALL | PTE_PS);
    for (uint32_t off = 0; off < BIG; off += PAGE_SIZE)
        store32(LA + off, off);
    for (uint32_t off = 0; off < BIG; off += PAGE_SIZE)
        good = good && load32(big + off) == off;
    tap_ok(good, "a 2 MiB page, CR4.PSE clear");
    tap_ok((*entry(pd, 0) & AD) == AD, "its A and D");
    put(pd, 0, big | ALL | PTE_PS);
    invlpg(LA + 0x7000);
    (void)load32(LA + 0x9000);
    tap_ok((*entry(pd, 0) & AD) == PTE_A, "cleared, INVLPG, read: A only");
    put(pd, 0, table | ALL);
    invlpg(LA);
    tap_ok(load32(LA) == 8, "a table in its place");
    set_pde(table | ALL);
}

static void no_execute(void)
{
    uint32_t v;

    if (!nx) {
        tap_note("no execute-disable here");
        return;
    }
    store32(frame, TRY_FETCH_CODE);
    set_pte(frame | ALL);
    tap_ok(try_fetch(LA) && user_fetch(LA), "code runs");
    set_pte(frame | ALL | NX);
    tap_ok(!try_fetch(LA) && trap_was_pf(PF_P | PF_I, LA), "NX: not in ring 0");
    tap_ok(!user_fetch(LA) && trap_was_pf(PF_P | PF_I | PF_U, LA), "nor in ring 3");
    tap_ok((*entry(table, 0) & AD) == 0, "no A for it");
    tap_ok(try_read(LA, &v) && try_write(LA, TRY_FETCH_CODE) && user_read(LA, &v),
           "read and written it may be");
    tap_ok(!try_fetch(LA) && trap_was_pf(PF_P | PF_I, LA), "and still not executed");
    set_pte(frame | ALL);
    set_pde(table | ALL | NX);
    tap_ok(!user_fetch(LA) && trap_was_pf(PF_P | PF_I | PF_U, LA),
           "NX in the directory counts too");
    set_pde(big | ALL | PTE_PS | NX);
    store32(LA, TRY_FETCH_CODE);
    tap_ok(!try_fetch(LA) && trap_was_pf(PF_P | PF_I, LA), "NX on a 2 MiB page");
    set_pde(big | ALL | PTE_PS);
    tap_ok(try_fetch(LA), "taken off: runs");
    set_pde(table | ALL);
    set_pte(0);
    tap_ok(!try_fetch(LA) && trap_was_pf(PF_I, LA), "an absent page fetched: I");
}

/* Some emulators leave P clear beside RSVD; our own monitor is held to the manual. */
static bool reserved(bool done, uint32_t error)
{
    const struct fault *f = trap_last();

    if (done || (!rt_monitor_present() && f->at.error == (error & ~PF_P) && f->cr2 == LA))
        return !done;
    return trap_was_pf(error, LA);
}

static void reserved_bits(void)
{
    uint32_t v;

    set_pte(frame | ALL | (uint64_t)1 << 51);
    tap_ok(reserved(try_read(LA, &v), PF_P | PF_RSVD), "a PTE with bit 51");
    set_pte((frame | ALL | (uint64_t)1 << 51) & ~(uint64_t)PTE_P);
    tap_ok(!try_read(LA, &v) && trap_was_pf(0, LA), "no matter when absent");
    if (rt_monitor_present()) {
        set_pte(frame | ALL | (uint64_t)1 << 62);
        tap_ok(reserved(try_read(LA, &v), PF_P | PF_RSVD), "a PTE with bit 62");
    }
    set_pte(frame | ALL);
    set_pde(table | ALL | (uint64_t)1 << 48);
    tap_ok(reserved(user_write(LA, 1), PF_P | PF_RSVD | PF_W | PF_U), "a PDE with bit 48");
    for (unsigned bit = 13; bit <= 20; bit++) {
        set_pde(big | ALL | PTE_PS | 1u << bit);
        tap_ok(reserved(try_read(LA, &v), PF_P | PF_RSVD), "a 2 MiB page with bit %u", bit);
    }
    set_pde(table | ALL);
    if (nx)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_NXE);
    set_pte(frame | ALL | NX);
    tap_ok(reserved(try_read(LA, &v), PF_P | PF_RSVD), "bit 63 without EFER.NXE");
    if (nx)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    set_pte(frame | ALL);
}

/* The processor keeps the four PDPTEs from the load of CR3 on; an emulator may look again. */
static void pdptes(void)
{
    static uint32_t cr3;
    uint32_t v;

    set_pte(frame | ALL);
    put(pdpt, 2, pd | PTE_P);
    tap_ok(!try_read(LA + 0x40000000, &v) || !rt_monitor_present(),
           "a PDPTE written counts only when CR3 is loaded");
    flush_tlb();
    tap_ok(load32(LA + 0x40000000) == load32(frame), "loaded: one directory at two places");
    put(pdpt, 2, 0);
    flush_tlb();
    tap_ok(!try_read(LA + 0x40000000, &v) && trap_was_pf(0, LA + 0x40000000), "absent: error 0");
    tap_ok(!user_write(LA + 0x40000000, 1) && trap_was_pf(PF_W | PF_U, LA + 0x40000000),
           "W and U as ever");
    put(pdpt, 2, pd | PTE_P | PTE_W);
    cr3 = read_cr3();
    trap_forget();
    __asm__ volatile("1: mov %0, %%cr3\n2:\n\t" TRAP_FIX("1b", "2b") : : "r"(cr3) : "memory");
    if (rt_monitor_present())
        tap_ok(trap_last()->taken && trap_last()->at.vector == V_GP && trap_last()->at.error == 0,
               "a PDPTE with W: the load of CR3 is refused, #GP(0)");
    put(pdpt, 2, 0);
    flush_tlb();
    /* A PDPT is 32 bytes anywhere: the second of a page. */
    memcpy((void *)(pdpt + 0x20), (void *)pdpt, 32);
    write_cr3(pdpt + 0x20);
    tap_ok(load32(LA) == load32(frame), "a PDPT that is not at a page's start");
    write_cr3(pdpt);
}

static void two_directories(void)
{
    const uint32_t other = pg_alloc(), other_pd = pg_alloc(), other_table = pg_alloc(),
                   other_frame = pg_alloc();
    bool good = true;

    put(other_table, 0, other_frame | ALL);
    put(other_pd, 0, other_table | ALL);
    put(other, 0, low_pd | PTE_P);
    put(other, 1, other_pd | PTE_P);
    store32(frame, 1);
    store32(other_frame, 2);
    for (unsigned i = 0; i < 40; i++) {
        write_cr3(i & 1 ? pdpt : other);
        good = good && load32(LA) == (i & 1 ? 1 : 2);
        put(i & 1 ? other_table : table, 0,
            (i & 2 ? other_frame : frame) | ALL); /* of the one not loaded */
        store32(frame, 1);
        store32(other_frame, 2);
        write_cr3(i & 1 ? other : pdpt);
        good = good && load32(LA) == (i & 2 ? 2 : 1);
        put(table, 0, frame | ALL);
        put(other_table, 0, other_frame | ALL);
    }
    tap_ok(good, "two roots, edited while the other is loaded");
    write_cr3(pdpt);
}

/* The last directory as a table of itself: a window as with two levels. */
static void recursive(void)
{
    volatile uint64_t *win = (volatile uint64_t *)(LA + 0x3fe00000u);

    put(pd, 511, pd | PTE_P | PTE_W);
    flush_tlb();
    tap_ok((win[0] & ~(uint64_t)AD) == (frame | ALL), "a directory's last entry names itself: its "
                                                      "tables are a window");
    ((volatile uint32_t *)win)[0] = 0;
    invlpg(LA);
    tap_ok(!try_read(LA, &(uint32_t){0}) && trap_was_pf(0, LA), "an entry taken away there");
    ((volatile uint32_t *)win)[0] = (uint32_t)(frame | ALL);
    tap_ok(try_read(LA, &(uint32_t){0}), "and put back");
    put(pd, 511, 0);
    flush_tlb();
}

/* The same tables read as two-level ones: another format of the same page. */
static void both_formats(uint32_t two_level)
{
    for (unsigned i = 0; i < 6; i++) {
        write_cr0(read_cr0() & ~CR0_PG);
        write_cr4(i & 1 ? CR4_PAE : 0);
        write_cr3(i & 1 ? pdpt : two_level);
        write_cr0(read_cr0() | CR0_PG);
        /* As a two-level table, entry 0 of the PAE table is there, entry 1 its upper half. */
        if (load32(LA) != 1 || (!(i & 1) && try_read(LA + PAGE_SIZE, &(uint32_t){0}))) {
            tap_ok(false, "round %u", i);
            return;
        }
    }
    tap_ok(true, "one table page used in both formats, turn by turn");
}

int main(void)
{
    uint32_t two_level;

    if (!(cpuid_edx(1) & CPUID1_PAE)) {
        rt_puts("1..0 # SKIP the processor has no PAE\n");
        return 0;
    }
    nx = (cpuid_edx(0x80000001) & CPUID81_NX) != 0;
    two_level = pg_identity();
    build();
    *pg_pde(two_level, LA) = table | PTE_P | PTE_W | PTE_U;
    pg_start(pdpt, true, CR4_PAE);
    if (nx)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    small_pages();
    big_pages();
    no_execute();
    reserved_bits();
    pdptes();
    two_directories();
    recursive();
    both_formats(two_level);
    return tap_done();
}
