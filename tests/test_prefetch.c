/* Neighbours that are mapped with a page: only what the guest could not tell. */
#include "mm/reclaim.h"
#include "tests/shadow_kit.h"

enum {
    RAM = 4 << 20,
    PD = 1, /* by gfn */
    TABLE = 2,
    FIRST = 0x40, /* what the pages from LA on are */
    LA = 0x00400000,
    P_W_U_A = 0x27,
    D = 0x40,
};

static struct store *store;

static void entry(uint32_t index, uint32_t bits)
{
    put(TABLE, index, (FIRST + index) << PAGE_SHIFT | bits);
}

/* Eight pages that were written, and are mapped nowhere. */
static void setup(void)
{
    static struct errmsg err;
    cr_assert_eq(vm_swap_open(&(struct vm_swap_opts){.zpool = 1 << 20}, &store, &err), 0);
    const struct vm_opts o = {
        .ram = RAM, .shadow_quota = 64, .engine = VM_ENGINE_SOFT, .store = store};
    cr_assert_eq(vm_create(&o, &vm, &err), 0, "%s", err.text);
    put(PD, LA >> 22, TABLE << PAGE_SHIFT | P_W_U_A);
    for (uint32_t i = 0; i < SHADOW_NEAR; i++) {
        put(FIRST + i, 0, i + 1);
        entry(i, P_W_U_A | D);
    }
    vm->cpu.cr0 |= CR0_PG | CR0_WP;
    load_cr3(PD);
}

static void teardown(void)
{
    sound();
    vm_destroy(vm);
    store_close(store);
}

TestSuite(prefetch, .init = setup, .fini = teardown);

static void touch(uint32_t page, bool user)
{
    cr_assert_eq(fault_handle(vm, LA + page * PAGE_SIZE, user ? PF_U : 0), FAULT_RETRY);
}

static spte_t at(uint32_t page, bool user)
{
    return shadow_lookup(vm->shadow, LA + page * PAGE_SIZE, user, NULL);
}

Test(prefetch, maps_what_was_used_before_with_the_rights_it_has)
{
    entry(2, (P_W_U_A | D) & ~2u);
    entry(3, P_W_U_A);
    touch(5, true);
    for (uint32_t i = 0; i < SHADOW_NEAR; i++)
        cr_expect(spte_present(at(i, true)), "page %u", i);
    cr_expect(spte_writable(at(0, true)));
    cr_expect(!spte_writable(at(2, true)), "read-only");
    cr_expect(!spte_writable(at(3, true)), "clean");
    cr_expect(!spte_present(at(0, false)), "the other view has not asked");
    cr_expect_eq(get(TABLE, 3), (FIRST + 3) << PAGE_SHIFT | P_W_U_A, "nothing is set");
}

Test(prefetch, leaves_alone_what_a_use_would_change_or_forbid)
{
    entry(0, P_W_U_A & ~0x20u); /* not accessed */
    entry(1, P_W_U_A & ~4u);    /* the kernel's */
    entry(2, 0);
    put(TABLE, 3, 0x300u << 20 | P_W_U_A); /* no RAM */
    touch(5, true);
    for (uint32_t i = 0; i < 4; i++)
        cr_expect(!shadow_entry_used(at(i, true)), "page %u", i);
    cr_expect_eq(get(TABLE, 0) & 0x20, 0);
    cr_expect(spte_present(at(4, true)));
}

Test(prefetch, brings_nothing_back_and_makes_nothing_young)
{
    cr_assert_eq(mm_pageout(vm->mm, FIRST + 1, 1), 0);
    touch(5, true);
    cr_expect(!spte_present(at(1, true)));
    cr_expect(pte_is_swap(mm_pte(vm->mm, FIRST + 1)));
}

Test(prefetch, does_not_let_write_a_table)
{
    put(TABLE, 4, TABLE << PAGE_SHIFT | P_W_U_A | D);
    touch(5, false);
    cr_expect(spte_present(at(4, false)));
    cr_expect(!spte_writable(at(4, false)), "I4");
}
