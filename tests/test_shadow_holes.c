/* The shapes of holes that shadow MMUs have had, by name. */
#include "tests/shadow_kit.h"

enum {
    RAM = 8 << 20,
    PD = 1, /* by gfn */
    TABLE = 2,
    PAGE = 0x40,
    LA = 0x00800000,
    LA2 = 0x00c00000,
    BIG = 0x01000000, /* a large page at 4 MiB */
    BIG_GFN = 1024,
    P = 1,
    W = 2,
    U = 4,
    A = 0x20,
    D = 0x40,
    PS = 0x80,
    ALL = P | W | U | A,
};

static void setup(void)
{
    static struct errmsg err;
    const struct vm_opts o = {
        .ram = RAM, .shadow_quota = SHADOW_MIN_PAGES, .engine = VM_ENGINE_SOFT};
    cr_assert_eq(vm_create(&o, &vm, &err), 0, "%s", err.text);
    vm->cpu.cr0 |= CR0_PG | CR0_WP;
    vm->cpu.cr4 |= CR4_PSE;
    for (uint32_t i = 0; i < 16; i++)
        put(TABLE, i, (PAGE + i) << PAGE_SHIFT | ALL);
}

static void teardown(void)
{
    sound();
    vm_destroy(vm);
}

TestSuite(shadow_holes, .init = setup, .fini = teardown);

/* 0: the access is done, else the error code of the guest's fault. */
static uint32_t try(la_t la, uint32_t how)
{
    for (int i = 0; i < 3; i++) {
        const spte_t e = cpu_finds(la, (how & PF_U) != 0);
        if (spte_present(e) && (!(how & PF_W) || spte_writable(e)))
            return 0;
        const enum fault_outcome o = fault_handle(vm, la, how);
        if (o == FAULT_GUEST)
            return vm->guest_error;
        cr_assert_eq(o, FAULT_RETRY);
    }
    cr_assert_fail("%08x faults without end", la);
    return 0;
}

static frame_t frame_of_gfn(gfn_t gfn)
{
    return pte_frame(mm_pte(vm->mm, gfn));
}

/* One guest table below two directory entries with different rights: what is allowed through one
 * must not be found through the other, whichever came first. */
Test(shadow_holes, role_confusion_on_a_shared_table_page)
{
    put(PD, LA >> 22, TABLE << PAGE_SHIFT | ALL);
    put(PD, LA2 >> 22, TABLE << PAGE_SHIFT | (ALL & ~W));
    load_cr3(PD);
    cr_expect_eq(try(LA, PF_W | PF_U), 0);
    cr_expect_eq(try(LA2, PF_U), 0);
    cr_expect_eq(try(LA2, PF_W | PF_U), PF_P | PF_W | PF_U, "read-only above");
    cr_expect_eq(try(LA2, PF_W), PF_P | PF_W, "WP holds for the kernel");
    cr_expect(spte_writable(cpu_finds(LA, true)) && !spte_writable(cpu_finds(LA2, true)));
    cr_expect_eq(try(LA2 + PAGE_SIZE, 0), 0);
    cr_expect_eq(try(LA + PAGE_SIZE, PF_W), 0);
    cr_expect(!spte_writable(cpu_finds(LA2 + PAGE_SIZE, false)));

    put(PD, LA2 >> 22, TABLE << PAGE_SHIFT | (ALL & ~U));
    load_cr3(PD);
    cr_expect_eq(try(LA2 + PAGE_SIZE, PF_W), 0);
    cr_expect_eq(try(LA2, PF_U), PF_P | PF_U, "the kernel's above");
    cr_expect(!spte_present(cpu_finds(LA2, true)));
    cr_expect_eq(try(LA + 2 * PAGE_SIZE, PF_U), 0);
    cr_expect(!spte_present(cpu_finds(LA2 + 2 * PAGE_SIZE, true)));
}

/* One page that is directory, table, and the start of a large page at once. */
Test(shadow_holes, role_confusion_between_levels_of_one_page)
{
    put(PD, LA >> 22, PD << PAGE_SHIFT | ALL | D);            /* itself as a table */
    put(PD, BIG >> 22, BIG_GFN << PAGE_SHIFT | ALL | D | PS); /* as a PTE: page 1024 */
    load_cr3(PD);
    cr_expect_eq(try(BIG, PF_W | PF_U), 0);
    cr_expect_eq(try(LA + (BIG >> 22) * PAGE_SIZE, PF_U), 0);
    cr_expect_eq(try(LA + (LA >> 22) * PAGE_SIZE, PF_U), 0, "the directory, read as data");
    cr_expect_eq(spte_frame(cpu_finds(BIG, true)), frame_of_gfn(BIG_GFN));
    cr_expect_eq(spte_frame(cpu_finds(LA + (BIG >> 22) * PAGE_SIZE, true)), frame_of_gfn(BIG_GFN));
    cr_expect_eq(spte_frame(cpu_finds(LA + (LA >> 22) * PAGE_SIZE, true)), frame_of_gfn(PD));
    cr_expect(!spte_writable(cpu_finds(LA + (LA >> 22) * PAGE_SIZE, true)), "I4");
}

/* More roots and tables than the quota holds: what a fault maps hangs in the root that the CPU gets
 * next, though the way there took roots and tables back. */
Test(shadow_holes, a_root_reclaimed_between_check_and_use)
{
    enum { ROOTS = 48, FIRST = 0x100 };
    struct shadow_stats s;

    for (uint32_t i = 0; i < ROOTS; i++) {
        put(FIRST + i, LA >> 22, TABLE << PAGE_SHIFT | ALL);
        put(FIRST + i, BIG >> 22, BIG_GFN << PAGE_SHIFT | ALL | PS);
    }
    for (uint32_t n = 0; n < 2000; n++) {
        load_cr3(FIRST + (n * 29 + n / 7) % ROOTS);
        for (uint32_t k = 0; k < 3; k++) {
            const bool user = (n + k) & 1;
            const uint32_t how = (user ? PF_U : 0u) | (n % 3 == 0 ? PF_W : 0u);
            const la_t la = k == 1 ? BIG + (n % 8 << 19) : LA + (n + k) % 16 * PAGE_SIZE;
            const mpa_t other = shadow_root(vm->shadow, !user);
            cr_assert_eq(try(la, how), 0);
            const gfn_t gfn = k == 1 ? BIG_GFN + (n % 8 << 7) : PAGE + (n + k) % 16;
            cr_assert_eq(spte_frame(cpu_finds(la, user)), frame_of_gfn(gfn), "round %u", n);
            cr_assert_eq(shadow_root(vm->shadow, !user), other, "a current root has gone");
        }
        if (n % 50 == 0)
            sound();
    }
    shadow_get_stats(vm->shadow, &s);
    cr_expect_gt(s.reclaims, 1000);
    cr_expect_leq(s.pages, SHADOW_MIN_PAGES);
}

/* Roots of address spaces that nobody is in any more leave the tables of the one in use their room,
 * however few pages there are: what it uses over and over stays. */
Test(shadow_holes, old_roots_leave_room_for_tables)
{
    enum { ROOTS = 48, FIRST = 0x100, USED = 8 };
    struct shadow_stats before, after;

    for (uint32_t i = 0; i < ROOTS; i++) {
        put(FIRST + i, LA >> 22, TABLE << PAGE_SHIFT | ALL);
        load_cr3(FIRST + i);
        cr_assert_eq(try(LA, PF_U), 0);
        cr_assert_eq(try(LA, 0), 0);
    }
    for (uint32_t i = 0; i < USED; i++)
        put(FIRST, (LA >> 22) + i, TABLE << PAGE_SHIFT | ALL);
    load_cr3(FIRST);
    for (uint32_t round = 0; round < 3; round++) {
        shadow_get_stats(vm->shadow, &before);
        for (uint32_t i = 0; i < USED; i++) {
            cr_assert_eq(try(LA + (i << 22), PF_U), 0);
            cr_assert_eq(try(LA + (i << 22), 0), 0);
        }
        shadow_get_stats(vm->shadow, &after);
    }
    cr_expect_eq(after.reclaims, before.reclaims);
    cr_expect_eq(after.installs, before.installs);
}

/* A large page that the guest may write, and dirty already, lets write only those of its 4 KiB
 * pages whose frame is this machine's alone: not the zero frame, nothing shared by a fork, no table
 * in step. */
Test(shadow_holes, a_read_only_frame_reached_through_a_writable_large_page)
{
    struct mm *child;
    enum { ZERO = 3, MINE = 4, FORKED = 5, A_TABLE = 6 };

    put(BIG_GFN + MINE, 0, 1);
    put(BIG_GFN + FORKED, 0, 1);
    put(BIG_GFN + A_TABLE, 0, PAGE << PAGE_SHIFT | ALL);
    put(PD, LA >> 22, (BIG_GFN + A_TABLE) << PAGE_SHIFT | ALL);
    put(PD, BIG >> 22, BIG_GFN << PAGE_SHIFT | ALL | D | PS);
    load_cr3(PD);
    cr_expect_eq(try(LA, PF_U), 0); /* the table is in step now */
    cr_expect_eq(try(BIG + MINE * PAGE_SIZE, PF_W | PF_U), 0);
    for (uint32_t i = ZERO; i <= A_TABLE; i++)
        cr_expect_eq(try(BIG + i * PAGE_SIZE, PF_U), 0);
    cr_expect_eq(spte_frame(cpu_finds(BIG + ZERO * PAGE_SIZE, true)), POOL_ZERO_FRAME);
    cr_expect(!spte_writable(cpu_finds(BIG + ZERO * PAGE_SIZE, true)));
    cr_expect(spte_writable(cpu_finds(BIG + MINE * PAGE_SIZE, true)));
    cr_expect(!spte_writable(cpu_finds(BIG + A_TABLE * PAGE_SIZE, true)), "I4");

    cr_assert_eq(mm_fork(vm->mm, "child", &child), 0);
    for (uint32_t i = ZERO; i <= A_TABLE; i++)
        cr_expect(!spte_writable(cpu_finds(BIG + i * PAGE_SIZE, true)), "page %u", i);
    const frame_t childs = pte_frame(mm_pte(child, BIG_GFN + FORKED));
    cr_expect_eq(try(BIG + FORKED * PAGE_SIZE, PF_W | PF_U), 0);
    cr_expect_neq(spte_frame(cpu_finds(BIG + FORKED * PAGE_SIZE, true)), childs);
    cr_expect_eq(try(BIG + A_TABLE * PAGE_SIZE, PF_W | PF_U), 0,
                 "a table may be written, and is "
                 "out of step");
    sound();
    mm_destroy(child);
}

/* A page that is kept as a PAE table and walked as a two-level one: the walk's A and D in an upper
 * half are address bits of the PAE entry, so that it is not what it was. */
Test(shadow_holes, accessed_and_dirty_of_one_format_in_a_table_of_another)
{
    enum { PAE_PD = 4, PAE_PT = 5, INDEX = 8, BEYOND = 7 };
    const la_t la = INDEX << PAGE_SHIFT, la2 = (2 * INDEX + 1u) << 22;

    put(PAE_PD, 0, PAE_PT << PAGE_SHIFT | ALL);
    put(PAE_PT, 2 * INDEX, PAGE << PAGE_SHIFT | ALL | D);
    put(PAE_PT, 2 * INDEX + 1, BEYOND); /* 28 GiB up; two-level: a table at 0 */
    put(0, 1, PAGE << PAGE_SHIFT | ALL);

    vm->cpu.cr4 |= CR4_PAE;
    vm->cpu.pdpte[0] = PAE_PD << PAGE_SHIFT | P;
    load_cr3(PD);
    cr_expect_eq(fault_handle(vm, la, 0), FAULT_EMULATE, "beyond RAM");
    cr_expect(spte_is_mmio(cpu_finds(la, false)));
    vm->cpu.cr4 &= ~CR4_PAE;
    load_cr3(PAE_PT);
    cr_expect_eq(try(la2 + PAGE_SIZE, 0), 0);
    vm->cpu.cr4 |= CR4_PAE;
    load_cr3(PD);
    cr_expect(!spte_is_mmio(cpu_finds(la, false)), "the entry has a reserved bit now");
    cr_expect_eq(fault_handle(vm, la, 0), FAULT_GUEST);
    cr_expect_eq(vm->guest_error, PF_P | PF_RSVD);
}
