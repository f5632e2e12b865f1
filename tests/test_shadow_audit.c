/* The audit of the shadow tables can fail: each invariant of shadow.h is broken by hand, by the
 * smallest change that breaks it, and the audit must name it. */
#include <string.h>

#include "tests/shadow_kit.h"
#include "vmm/shadow/shadow_int.h"

enum {
    RAM = 8 << 20,
    PD = 1, /* by gfn */
    TABLE = 2,
    PAGE = 0x40,     /* written, and dirty for guest and host */
    CLEAN = 0x41,    /* the guest's entry is clean */
    ZERO = 0x42,     /* read only: the zero frame */
    KERNELS = 0x43,  /* supervisor */
    LA = 0x00800000, /* PAGE and the following, and the table itself as the tenth */
    SELF = LA + 10 * PAGE_SIZE,
    ALL = GPTE_P | GPTE_W | GPTE_U | GPTE_A,
};

static struct shadow *sh;

static void touch(la_t la, uint32_t how)
{
    cr_assert_eq(fault_handle(vm, la, how), FAULT_RETRY, "%08x", la);
}

static void setup(void)
{
    static struct errmsg err;
    char msg[200] = "";
    const struct vm_opts o = {
        .ram = RAM, .shadow_quota = SHADOW_MIN_PAGES, .engine = VM_ENGINE_SOFT};
    cr_assert_eq(vm_create(&o, &vm, &err), 0, "%s", err.text);
    sh = vm->shadow;
    put(PAGE, 0, 1);
    put(CLEAN, 0, 1);
    put(KERNELS, 0, 1);
    put(PD, LA >> 22, TABLE << PAGE_SHIFT | ALL);
    put(TABLE, 0, PAGE << PAGE_SHIFT | ALL);
    put(TABLE, 1, CLEAN << PAGE_SHIFT | ALL);
    put(TABLE, 2, ZERO << PAGE_SHIFT | ALL | GPTE_D);
    put(TABLE, 3, KERNELS << PAGE_SHIFT | (ALL & ~GPTE_U));
    put(TABLE, 10, TABLE << PAGE_SHIFT | ALL | GPTE_D);
    vm->cpu.cr0 |= CR0_PG | CR0_WP;
    load_cr3(PD);
    touch(LA, PF_W | PF_U);
    touch(LA + PAGE_SIZE, PF_U);
    touch(LA + 2 * PAGE_SIZE, PF_U);
    touch(LA + 3 * PAGE_SIZE, 0);
    touch(SELF, PF_U);
    cr_assert_eq(shadow_audit(sh, msg, sizeof msg), 0, "%s", msg);
}

/* The machine is broken: nothing of it is used again. */
TestSuite(shadow_audit, .init = setup);

static void names(const char *what)
{
    char msg[200] = "nothing";
    cr_expect_lt(shadow_audit(sh, msg, sizeof msg), 0, "%s is broken, and the audit is content",
                 what);
    cr_expect(strncmp(msg, what, strlen(what)) == 0, "%s is broken, the audit says: %s", what, msg);
}

static uint32_t leaf(la_t la, bool user)
{
    const uint32_t entry = shadow_find(sh, la, user);
    cr_assert(entry != NO_ENTRY && spte_present(shadow_entry_get(sh, entry)), "%08x", la);
    return entry;
}

/* Behind the back of all that keeps books. */
static void scribble(uint32_t entry, uint64_t raw)
{
    arena_table(&sh->arena, entry / ENTRIES)[entry % ENTRIES].raw = raw;
}

static void flip(uint32_t entry, uint64_t bits)
{
    scribble(entry, shadow_entry_get(sh, entry).raw ^ bits);
}

Test(shadow_audit, i1_another_frame)
{
    flip(leaf(LA, true), PAGE_SIZE);
    names("I1");
}

Test(shadow_audit, i1_the_page_has_gone_and_its_entry_has_not)
{
    const uint32_t entry = leaf(LA, true), key = shadow_entry_key(sh, entry);
    const spte_t was = shadow_entry_get(sh, entry);
    cr_assert_eq(mm_unmap(vm->mm, PAGE, 1), 0);
    cr_assert(!shadow_entry_used(shadow_entry_get(sh, entry)));
    srmap_add(&sh->rmap, key, entry);
    sh->page[entry / ENTRIES].live++;
    sh->stats.leaves++;
    scribble(entry, was.raw);
    names("I1");
}

Test(shadow_audit, i2_writable_and_the_host_says_no)
{
    flip(leaf(LA + 2 * PAGE_SIZE, true), SPTE_W);
    names("I2");
}

Test(shadow_audit, i2_writable_and_the_guests_entry_is_clean)
{
    cr_assert(pte_writable(mm_pte(vm->mm, CLEAN)), "the host would let it");
    flip(leaf(LA + PAGE_SIZE, true), SPTE_W);
    names("I2");
}

Test(shadow_audit, i3_not_in_the_reverse_map)
{
    const uint32_t entry = leaf(LA, true);
    srmap_remove(&sh->rmap, shadow_entry_key(sh, entry), entry);
    names("I3");
}

Test(shadow_audit, i3_in_the_reverse_map_and_not_there)
{
    const uint32_t entry = leaf(LA, true) + 100;
    cr_assert(!shadow_entry_used(shadow_entry_get(sh, entry)));
    srmap_add(&sh->rmap, shadow_key(0, PAGE), entry);
    names("I3");
}

Test(shadow_audit, i4_a_table_in_step_can_be_written)
{
    cr_assert(shadow_table_protected(sh, TABLE));
    flip(leaf(SELF, true), SPTE_W);
    names("I4");
}

Test(shadow_audit, i4_a_table_in_step_has_changed)
{
    uint8_t *host = pool_ptr(vm->pool, pte_frame(mm_pte(vm->mm, TABLE)));
    host[1] ^= 0x10; /* of its first entry, one bit of the address */
    names("I4");
}

Test(shadow_audit, i4_out_of_step_and_no_flush_will_know)
{
    shadow_table_written(sh, TABLE);
    cr_assert(sh->unsync);
    sh->unsync = 0;
    names("I4");
}

Test(shadow_audit, i5_a_root_whose_tables_were_taken_back)
{
    sh->page[sh->root[sh->current[1]].pdpt].role.kind = ROLE_SPLINTER;
    names("I5");
}

Test(shadow_audit, i5_a_current_root_that_is_gone)
{
    sh->root[sh->current[1]].valid = false;
    names("I5");
}

Test(shadow_audit, i5_a_current_root_of_another_mode)
{
    sh->root[sh->current[1]].mode.root += PAGE_SIZE;
    names("I5");
}

Test(shadow_audit, i5_a_table_that_was_taken_back_is_still_linked)
{
    const uint32_t link = shadow_find_at(sh, LA, true, 2);
    sh->page[arena_page_of(spte_addr(shadow_entry_get(sh, link)))].used = false;
    names("table");
}

Test(shadow_audit, i6_the_user_view_maps_a_supervisor_page)
{
    const uint32_t from = leaf(LA + 3 * PAGE_SIZE, false), to = leaf(LA, true) + 3;
    cr_assert(!shadow_entry_used(shadow_entry_get(sh, to)));
    sh->gfns[to] = sh->gfns[from];
    sh->snapshot[to] = sh->snapshot[from];
    srmap_add(&sh->rmap, shadow_key(0, KERNELS), to);
    sh->page[to / ENTRIES].live++;
    sh->stats.leaves++;
    scribble(to, shadow_entry_get(sh, from).raw & ~SPTE_W);
    names("I6");
}

Test(shadow_audit, i6_a_table_entry_leads_out_of_the_arena)
{
    scribble(shadow_find_at(sh, LA, true, 2), spte_table((mpa_t)PAGE << PAGE_SHIFT).raw);
    names("I6");
}

Test(shadow_audit, i6_a_root_without_the_monitors_half)
{
    flip(sh->root[sh->current[1]].pml4 * ENTRIES + ENTRIES - 1, SPTE_P);
    names("I6");
}

Test(shadow_audit, a_table_counts_its_entries)
{
    sh->page[leaf(LA, true) / ENTRIES].live++;
    names("table");
}
