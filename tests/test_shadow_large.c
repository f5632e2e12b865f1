/* 2 MiB entries of the shadow: when they are made, what they say, and each thing that ends one. */
#include <string.h>

#include "mm/mm_int.h"
#include "mm/reclaim.h"
#include "tests/shadow_kit.h"
#include "vmm/engine.h"

enum {
    RAM = 16 << 20,
    PD = 1, /* by gfn */
    TABLE = 2,
    BIG = 0x01000000, /* a large page at BIG_GFN */
    BIG_GFN = 1024,
    N = SHADOW_LARGE_PAGES,
    P = 1,
    W = 2,
    U = 4,
    A = 0x20,
    D = 0x40,
    PS = 0x80,
    ALL = P | W | U | A,
};

/* An engine that walks the tables: it counts what it is told. */
struct walker {
    struct engine e;
    unsigned restricted, flushes;
    spte_t last;
};

static struct store *store;
static struct walker walker;

static void on_restricted(struct engine *e, uint32_t off, la_t la, spte_t old, spte_t now)
{
    struct walker *w = (struct walker *)(void *)e;
    (void)off, (void)la, (void)old;
    w->restricted++;
    w->last = now;
}
static void on_flush(struct engine *e)
{
    ((struct walker *)(void *)e)->flushes++;
}
static void on_sync(struct engine *e)
{
    (void)e;
}
static const struct engine_ops walker_ops = {
    .name = "walker", .restricted = on_restricted, .flush = on_flush, .sync = on_sync};

static void open_vm(bool large)
{
    static struct errmsg err;
    cr_assert_eq(vm_swap_open(&(struct vm_swap_opts){.zpool = 4 << 20}, &store, &err), 0);
    const struct vm_opts o = {.ram = RAM,
                              .shadow_quota = 64,
                              .engine = VM_ENGINE_SOFT,
                              .large_pages = large,
                              .store = store};
    cr_assert_eq(vm_create(&o, &vm, &err), 0, "%s", err.text);
    walker = (struct walker){.e = {.ops = &walker_ops, .walks = true}};
    shadow_attach(vm->shadow, &walker.e);
    vm->cpu.cr0 |= CR0_PG | CR0_WP;
    vm->cpu.cr4 |= CR4_PSE;
    put(PD, BIG >> 22, BIG_GFN << PAGE_SHIFT | ALL | D | PS);
    load_cr3(PD);
}

static void setup(void)
{
    open_vm(true);
}

static void teardown(void)
{
    sound();
    shadow_detach(vm->shadow, &walker.e);
    vm_destroy(vm);
    store_close(store);
}

TestSuite(shadow_large, .init = setup, .fini = teardown);

static bool large(la_t la, bool user)
{
    const spte_t e = cpu_finds(la, user);
    const bool is = spte_present(e) && spte_large(e);
    cr_expect_eq(shadow_is_large(vm->shadow, la, user), is);
    return is;
}

/* 0: the access is done, else the error code of the guest's fault; *faults are counted. */
static uint32_t try_count(la_t la, uint32_t how, unsigned *faults)
{
    for (int i = 0; i < 3; i++) {
        const spte_t e = cpu_finds(la, (how & PF_U) != 0);
        if (spte_present(e) && (!(how & PF_W) || spte_writable(e))) {
            const spte_t said = shadow_lookup(vm->shadow, la, (how & PF_U) != 0, NULL);
            const frame_t f = spte_frame(e) + (spte_large(e) ? la >> PAGE_SHIFT & (N - 1) : 0);
            cr_expect_eq(spte_frame(said), f, "shadow_lookup says what the CPU finds");
            cr_expect_eq(spte_writable(said), spte_writable(e));
            return 0;
        }
        ++*faults;
        const enum fault_outcome o = fault_handle(vm, la, how);
        if (o == FAULT_GUEST)
            return vm->guest_error;
        cr_assert_eq(o, FAULT_RETRY);
    }
    cr_assert_fail("%08x faults without end", la);
    return 0;
}

static uint32_t try(la_t la, uint32_t how)
{
    unsigned faults = 0;
    return try_count(la, how, &faults);
}

/* Access each page of the 2 MiB at la; how many faults that takes. */
static unsigned sweep(la_t la, uint32_t how)
{
    unsigned faults = 0;
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(try_count(la + i * PAGE_SIZE, how, &faults), 0);
    return faults;
}

static struct shadow_stats stats(void)
{
    struct shadow_stats s;
    shadow_get_stats(vm->shadow, &s);
    return s;
}

Test(shadow_large, is_made_when_the_last_page_is_there)
{
    cr_expect_eq(sweep(BIG, PF_W | PF_U), N);
    cr_assert(large(BIG, true));
    const spte_t e = cpu_finds(BIG + 5 * PAGE_SIZE, true);
    cr_expect_eq(spte_frame(e) % N, 0);
    cr_expect_eq(spte_frame(e), pte_frame(mm_pte(vm->mm, BIG_GFN)));
    cr_expect(spte_writable(e));
    cr_expect_eq(stats().large, 1);
    cr_expect_eq(walker.last.raw, e.raw, "who walks the tables is told");
    cr_expect_gt(walker.flushes, 0);
    cr_expect(!large(BIG + N * PAGE_SIZE, true), "the other half has not been used");
    cr_expect_eq(sweep(BIG, PF_W | PF_U), 0);
}

Test(shadow_large, the_other_view_gets_it_by_one_fault)
{
    sweep(BIG, PF_W | PF_U);
    cr_expect_eq(sweep(BIG, 0), 1);
    cr_expect(large(BIG, false));
}

Test(shadow_large, comes_back_by_one_fault_when_all_tables_have_gone)
{
    sweep(BIG, PF_W | PF_U);
    shadow_zap_all(vm->shadow);
    cr_expect(!large(BIG, true));
    cr_expect_eq(sweep(BIG, PF_W | PF_U), 1);
    cr_expect(large(BIG, true));
}

/* Exact D: the guest's entry is one for all of the page, and is set by the first write only. */
Test(shadow_large, lets_write_only_when_the_guests_entry_is_dirty)
{
    sweep(BIG, PF_W | PF_U); /* the memory is there */
    put(PD, BIG >> 22, BIG_GFN << PAGE_SHIFT | (ALL & ~A) | PS);
    load_cr3(PD);
    cr_expect_eq(try(BIG + 3 * PAGE_SIZE, PF_U), 0);
    cr_assert(large(BIG, true));
    cr_expect(!spte_writable(cpu_finds(BIG, true)));
    cr_expect_eq(get(PD, BIG >> 22) & (A | D), A);
    cr_expect_eq(try(BIG + 4 * PAGE_SIZE, PF_U | PF_W), 0);
    cr_expect_eq(get(PD, BIG >> 22) & (A | D), A | D);
    cr_expect(large(BIG, true) && spte_writable(cpu_finds(BIG, true)));
    put(PD, BIG >> 22, BIG_GFN << PAGE_SHIFT | ALL | PS); /* D cleared */
    load_cr3(PD);
    cr_expect(!spte_present(cpu_finds(BIG, true)) || !spte_writable(cpu_finds(BIG, true)));
}

Test(shadow_large, rights_of_the_guest_hold)
{
    sweep(BIG, PF_W | PF_U);
    put(PD, BIG >> 22, BIG_GFN << PAGE_SHIFT | P | U | A | D | PS);
    load_cr3(PD);
    cr_expect_eq(sweep(BIG, PF_U), 1);
    cr_expect(large(BIG, true));
    cr_expect_eq(try(BIG + PAGE_SIZE, PF_W | PF_U), PF_P | PF_W | PF_U);
    cr_expect_eq(try(BIG + PAGE_SIZE, PF_W), PF_P | PF_W, "WP");
    vm->cpu.cr0 &= ~CR0_WP;
    load_cr3(PD);
    cr_expect_eq(try(BIG + PAGE_SIZE, PF_W), 0, "no WP");
    cr_expect_eq(try(BIG + PAGE_SIZE, PF_W | PF_U), PF_P | PF_W | PF_U);
    put(PD, BIG >> 22, BIG_GFN << PAGE_SHIFT | P | W | A | D | PS);
    load_cr3(PD);
    cr_expect_eq(try(BIG, PF_U), PF_P | PF_U, "the supervisor's");
    cr_expect(!spte_present(cpu_finds(BIG, true)), "I6");
}

Test(shadow_large, without_paging)
{
    vm->cpu.cr0 &= ~CR0_PG;
    load_cr3(PD);
    const la_t la = BIG_GFN << PAGE_SHIFT;
    cr_expect_eq(sweep(la, PF_W), N);
    cr_expect(large(la, false));
    shadow_zap_all(vm->shadow);
    cr_expect_eq(sweep(la, PF_W), 1);
}

Test(shadow_large, a_pae_guests_2_mib_page)
{
    sweep(BIG, PF_W | PF_U);
    vm->cpu.cr4 |= CR4_PAE;
    vm->cpu.efer = EFER_NXE;
    vm->cpu.pdpte[0] = 3 << PAGE_SHIFT | P;
    put(3, (BIG >> 21) * 2, BIG_GFN << PAGE_SHIFT | ALL | D | PS);
    put(3, (BIG >> 21) * 2 + 1, 1u << 31); /* NX */
    load_cr3(PD);
    cr_expect_eq(sweep(BIG, PF_W | PF_U), 1);
    cr_assert(large(BIG, true));
    cr_expect(spte_nx(cpu_finds(BIG, true)));
    cr_expect(!large(BIG + N * PAGE_SIZE, true));
}

/* A guest's table of 4 KiB entries over one run is the same to the CPU. */
Test(shadow_large, a_guests_table_over_a_run)
{
    const la_t la = 0x00800000;
    put(PD, la >> 22, TABLE << PAGE_SHIFT | ALL);
    for (uint32_t i = 0; i < 1024; i++)
        put(TABLE, i, (BIG_GFN + i) << PAGE_SHIFT | (ALL & ~A));
    load_cr3(PD);
    sweep(la, PF_W | PF_U);
    cr_assert(large(la, true));
    cr_expect_eq(get(TABLE, 7) & (A | D), A | D);
    cr_expect_eq(get(TABLE, N) & (A | D), 0, "nothing is set that was not used");
    /* One entry changes: INVLPG of its page is enough, and what has not been flushed may stay. */
    shadow_table_written(vm->shadow, TABLE);
    put(TABLE, 7, 0);
    cr_expect(large(la, true), "a TLB would not know either");
    shadow_invlpg(vm->shadow, la + 7 * PAGE_SIZE);
    cr_expect(!large(la, true));
    cr_expect(!spte_present(cpu_finds(la + 7 * PAGE_SIZE, true)));
    cr_expect(spte_present(cpu_finds(la + 8 * PAGE_SIZE, true)));
}

/* --- what it is not made of ------------------------------------------------------------------- */

Test(shadow_large, not_with_the_zero_frame_in_it)
{
    unsigned faults = 0;
    cr_assert_eq(try(BIG + 9 * PAGE_SIZE, PF_U), 0);
    for (uint32_t i = 0; i < N; i++)
        if (i != 9)
            cr_assert_eq(try(BIG + i * PAGE_SIZE, PF_W | PF_U), 0);
    cr_expect(!large(BIG, true));
    cr_expect_eq(spte_frame(cpu_finds(BIG + 9 * PAGE_SIZE, true)), POOL_ZERO_FRAME);
    cr_expect_eq(try_count(BIG + 9 * PAGE_SIZE, PF_W | PF_U, &faults), 0);
    cr_expect(large(BIG, true), "its own frame was kept for it");
}

Test(shadow_large, not_with_a_guest_table_in_it)
{
    sweep(BIG, PF_W | PF_U); /* the memory is there */
    put(BIG_GFN + 9, 0, 16u << PAGE_SHIFT | ALL);
    put(PD, 0, (BIG_GFN + 9) << PAGE_SHIFT | ALL);
    load_cr3(PD);
    shadow_zap_all(vm->shadow);
    cr_expect_eq(try(0, PF_U), 0); /* the table is in step now */
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(try(BIG + i * PAGE_SIZE, i == 9 ? PF_U : PF_W | PF_U), 0);
    cr_expect(!large(BIG, true));
    cr_expect(!spte_writable(cpu_finds(BIG + 9 * PAGE_SIZE, true)), "I4");
    cr_expect(spte_writable(cpu_finds(BIG + 8 * PAGE_SIZE, true)));
}

Test(shadow_large, not_of_frames_that_are_no_run)
{
    /* gfns 0 .. 511 have a hole: no region holds the 2 MiB, and no run is there */
    put(PD, 0, ALL | D | PS);
    load_cr3(PD);
    for (uint32_t i = 16; i < 150; i++)
        cr_assert_eq(try(i * PAGE_SIZE, PF_W), 0);
    cr_expect(!large(0, false));
}

Test(shadow_large, not_when_it_is_off)
{
    teardown();
    open_vm(false);
    sweep(BIG, PF_W | PF_U);
    cr_expect(!large(BIG, true));
    cr_expect_eq(stats().collapses, 0);
    shadow_set_large(vm->shadow, true);
    shadow_set_large(vm->shadow, false);
}

Test(shadow_large, turning_it_off_splits)
{
    sweep(BIG, PF_W | PF_U);
    shadow_set_large(vm->shadow, false);
    cr_expect(!large(BIG, true));
    cr_expect_eq(stats().large, 0);
    cr_expect_eq(sweep(BIG, PF_W | PF_U), 0, "nothing is lost by it");
}

/* --- what ends it ------------------------------------------------------------------------------
 */

enum { HIT = 77 }; /* the page that something happens to */

static void begin(void)
{
    sweep(BIG, PF_W | PF_U);
    cr_assert(large(BIG, true));
    walker.restricted = walker.flushes = 0;
}

static spte_t hit(void)
{
    return cpu_finds(BIG + HIT * PAGE_SIZE, true);
}

/* It has been split, and told; every page but HIT is as before. */
static void split_but_for_hit(void)
{
    const struct shadow_stats s = stats();
    cr_assert(!large(BIG, true));
    cr_expect_eq(s.splits, 1);
    cr_expect_eq(s.large, 0);
    cr_expect_geq(walker.restricted, 2, "the entry of level 2, and the page's");
    cr_expect_gt(walker.flushes, 0);
    for (uint32_t i = 0; i < N; i++)
        if (i != HIT)
            cr_assert(spte_writable(cpu_finds(BIG + i * PAGE_SIZE, true)), "page %u", i);
    sound();
}

Test(shadow_large, a_page_goes_out)
{
    begin();
    put(BIG_GFN + HIT, 0, 0x1234567);
    cr_assert_eq(mm_pageout(vm->mm, BIG_GFN + HIT, 1), 0);
    cr_expect(!spte_present(hit()));
    split_but_for_hit();
    cr_expect_eq(try(BIG + HIT * PAGE_SIZE, PF_W | PF_U), 0);
    cr_expect_eq(get(BIG_GFN + HIT, 0), 0x1234567);
}

Test(shadow_large, a_page_is_write_protected)
{
    begin();
    shadow_write_protect(vm->shadow, BIG_GFN + HIT, 1);
    cr_expect(spte_present(hit()) && !spte_writable(hit()));
    split_but_for_hit();
}

Test(shadow_large, a_page_is_zapped)
{
    begin();
    shadow_zap(vm->shadow, BIG_GFN + HIT, 1);
    cr_expect(!spte_present(hit()));
    split_but_for_hit();
}

Test(shadow_large, code_in_a_page_is_decoded)
{
    begin();
    shadow_write_protect_code(vm->shadow, BIG_GFN + HIT, true);
    cr_expect(spte_present(hit()) && !spte_writable(hit()));
    split_but_for_hit();
}

Test(shadow_large, a_frame_is_write_protected)
{
    begin();
    shadow_write_protect_frame(vm->shadow, pte_frame(mm_pte(vm->mm, BIG_GFN + HIT)), true);
    cr_expect(spte_present(hit()) && !spte_writable(hit()));
    split_but_for_hit();
}

Test(shadow_large, a_page_becomes_a_guest_table)
{
    begin();
    put(BIG_GFN + HIT, 0, 16u << PAGE_SHIFT | ALL);
    put(PD, 0, (BIG_GFN + HIT) << PAGE_SHIFT | ALL);
    load_cr3(PD);
    cr_expect_eq(try(0, PF_U), 0);
    cr_expect(shadow_table_protected(vm->shadow, BIG_GFN + HIT));
    cr_expect(spte_present(hit()) && !spte_writable(hit()), "I4");
    split_but_for_hit();
    cr_expect_eq(try(BIG + HIT * PAGE_SIZE, PF_W | PF_U), 0);
    cr_expect(!shadow_table_protected(vm->shadow, BIG_GFN + HIT), "out of step, then");
}

/* Reclaim asks whether a page was used: it forgets that for the one page, and sees the next use. */
Test(shadow_large, a_page_is_asked_for_its_age)
{
    begin();
    const struct mm_notifier n = vm->mm->notifier;
    cr_expect(n.test_clear_young(n.ctx, BIG_GFN + HIT));
    cr_expect(!n.test_clear_young(n.ctx, BIG_GFN + HIT), "forgotten");
    cr_expect(!spte_present(hit()));
    split_but_for_hit();
    cr_expect(n.test_clear_young(n.ctx, BIG_GFN + HIT + 1), "the others were used as well");
}

Test(shadow_large, a_fork_makes_all_read_only)
{
    struct mm *child;
    begin();
    cr_assert_eq(mm_fork(vm->mm, "child", &child), 0);
    for (uint32_t i = 0; i < N; i++)
        cr_assert(!spte_writable(cpu_finds(BIG + i * PAGE_SIZE, true)));
    sound();
    cr_expect_eq(try(BIG + HIT * PAGE_SIZE, PF_W | PF_U), 0);
    cr_expect(spte_writable(hit()));
    cr_expect_neq(spte_frame(hit()), pte_frame(mm_pte(child, BIG_GFN + HIT)), "copied");
    cr_expect(!large(BIG, true));
    sound();
    mm_destroy(child);
}

Test(shadow_large, invlpg_and_the_directory)
{
    begin();
    shadow_table_written(vm->shadow, PD);
    put(PD, BIG >> 22, 0);
    cr_expect(large(BIG, true), "a TLB would not know either");
    shadow_invlpg(vm->shadow, BIG + HIT * PAGE_SIZE);
    cr_expect(!spte_present(cpu_finds(BIG, true)), "one INVLPG takes all of it");
    cr_expect_eq(try(BIG, PF_U), PF_U);
}

Test(shadow_large, the_same_memory_in_two_places)
{
    begin();
    put(PD, (BIG >> 22) + 1, BIG_GFN << PAGE_SHIFT | ALL | D | PS);
    load_cr3(PD);
    cr_expect_eq(try(BIG + (4 << 20), PF_W | PF_U), 0);
    cr_expect(large(BIG + (4 << 20), true), "one table behind two entries");
    shadow_write_protect(vm->shadow, BIG_GFN + HIT, 1);
    cr_expect(!large(BIG, true) && !large(BIG + (4 << 20), true));
    cr_expect(!spte_writable(cpu_finds(BIG + (4 << 20) + HIT * PAGE_SIZE, true)));
    sound();
}

/* A directory that lies in the large page which its first entry maps: to watch the one splits the
 * other, just when the entry is made. */
Test(shadow_large, a_directory_inside_of_what_it_maps)
{
    begin();
    put(BIG_GFN + HIT, BIG >> 22, BIG_GFN << PAGE_SHIFT | ALL | D | PS);
    load_cr3(BIG_GFN + HIT);
    cr_assert_eq(try(BIG + (HIT + 1) * PAGE_SIZE, PF_W | PF_U), 0);
    cr_expect(!large(BIG, true));
    cr_expect(!spte_writable(cpu_finds(BIG + HIT * PAGE_SIZE, true)), "I4");
    sound();
}

/* A guest that has it split again and again pays for less and less of that. */
Test(shadow_large, patience)
{
    begin();
    for (unsigned i = 0; i < 2000; i++) {
        shadow_write_protect(vm->shadow, BIG_GFN + HIT, 1);
        cr_assert_eq(try(BIG + HIT * PAGE_SIZE, PF_W | PF_U), 0);
    }
    cr_expect_gt(stats().splits, 1);
    cr_expect_lt(stats().splits, 10);
}

/* The audit sees what must not be. */
static void finds(const char *what)
{
    char msg[200] = "";
    cr_expect_lt(shadow_audit(vm->shadow, msg, sizeof msg), 0);
    cr_expect_neq(strstr(msg, what), NULL, "%s", msg);
}

static spte_t *entry_at(la_t la, unsigned last)
{
    const struct arena *a = shadow_arena(vm->shadow);
    mpa_t table = shadow_root(vm->shadow, true);
    for (unsigned level = 4;; level--) {
        spte_t *e = &arena_table(
            a, arena_page_of(table))[(uint64_t)la >> (PAGE_SHIFT + 9 * (level - 1)) & 511];
        if (level == last)
            return e;
        table = spte_addr(*e);
    }
}

Test(shadow_large, audit_finds_one_that_says_something_else)
{
    begin();
    spte_t *e = entry_at(BIG, 2);
    const spte_t was = *e;
    e->raw &= ~SPTE_W;
    finds("I7");
    *e = was;
    e->raw += (uint64_t)N << PAGE_SHIFT;
    finds("I7");
    *e = was;
}

Test(shadow_large, audit_finds_one_that_nothing_stands_behind)
{
    cr_assert_eq(try(BIG, PF_W | PF_U), 0);
    spte_t *e = entry_at(BIG, 2);
    const spte_t was = *e;
    e->raw = cpu_finds(BIG, true).raw | SPTE_PS;
    finds("I7");
    *e = was;
}
