/* Shadow tables against what kernels do to tables that nothing caches any more: reuse without a
 * flush, and changes made before a view of the address space is used. Found by booting Linux. */
#include <criterion/criterion.h>

#include "vmm/engine.h"
#include "vmm/shadow/shadow.h"

enum {
    RAM_PAGES = 64,
    PGD = 1, /* page directories and tables, by gfn */
    OTHER_PGD = 2,
    TABLE = 3,
    OLD = 16, /* pages */
    NEW = 17,
    NEXT = 18,
    LA = 0x00400000,
    LA2 = 0x00800000,
};

static struct pool *pool;
static struct gmem g;
static struct shadow *sh;
static struct cpu cpu;

static void put(uint32_t gfn, uint32_t index, uint32_t entry)
{
    cr_assert_eq(gmem_write(&g, (gpa_t)gfn * PAGE_SIZE + index * 4, &entry, 4), 0);
}

/* What the fault path does before a guest's store to a page that may be a table. */
static void guest_store(uint32_t gfn, uint32_t index, uint32_t entry)
{
    shadow_table_written(sh, gfn);
    put(gfn, index, entry);
}

static uint32_t entry_to(uint32_t gfn)
{
    return gfn << PAGE_SHIFT | GPTE_P | GPTE_W | GPTE_U | GPTE_A;
}

static void load_cr3(uint32_t gfn)
{
    cpu.cr3 = gfn << PAGE_SHIFT;
    shadow_load_mode(sh, &cpu);
}

static void setup(void)
{
    struct mm *mm;

    cr_assert_eq(pool_create(&(struct pool_opts){.bytes = 256 * PAGE_SIZE}, &pool), 0);
    cr_assert_eq(mm_create(pool, "ram", &mm), 0);
    cr_assert_eq(mm_map_anon(mm, 0, RAM_PAGES, MM_READ | MM_WRITE, MM_ANON_PRIVATE), 0);
    g = (struct gmem){.mm = mm, .bytes = (uint64_t)RAM_PAGES * PAGE_SIZE};
    cr_assert_eq(shadow_create(&g, SHADOW_MIN_PAGES * 2, &sh), 0);
    cpu_set_flat(&cpu, 0);
    cpu.cr0 |= CR0_PG | CR0_WP;
    put(PGD, LA >> 22, entry_to(TABLE));
    put(TABLE, 0, entry_to(OLD));
    put(TABLE, 1, entry_to(NEXT));
    load_cr3(PGD);
}

static void teardown(void)
{
    shadow_destroy(sh);
    mm_destroy(g.mm);
    pool_destroy(pool);
}

TestSuite(shadow_reuse, .init = setup, .fini = teardown);

/* A read of la in one view, as the fault path maps it. */
static void touch(la_t la, bool user)
{
    struct walk w;
    walk_guest(&g, shadow_mode(sh), la, (struct walk_access){.user = user}, true, &w);
    cr_assert_eq(w.status, WALK_OK);
    const struct mm_fault m = mm_fault(g.mm, gfn_of(w.gpa), MM_ACCESS_READ);
    cr_assert_leq(m.result, MM_SPURIOUS);
    cr_assert_eq(shadow_map(sh, la, user, &w, m.frame, false), 0);
}

/* The gfn that a view translates la to, -1: it would ask. */
static int seen(la_t la, bool user)
{
    gfn_t gfn;
    return spte_present(shadow_lookup(sh, la, user, &gfn)) ? (int)gfn : -1;
}

static void audit(void)
{
    char msg[200] = "";
    cr_expect_eq(shadow_audit(sh, msg, sizeof msg), 0, "%s", msg);
}

Test(shadow_reuse, a_table_reused_under_another_entry_shows_nothing_old)
{
    touch(LA, true);
    cr_assert_eq(seen(LA, true), OLD);
    /* The table leaves LA, is filled anew, and serves LA2, where nothing was: no flush is due for
     * LA2. */
    guest_store(PGD, LA >> 22, 0);
    guest_store(TABLE, 0, entry_to(NEW));
    guest_store(PGD, LA2 >> 22, entry_to(TABLE));
    touch(LA2 + PAGE_SIZE, true);
    cr_expect_eq(seen(LA2 + PAGE_SIZE, true), NEXT);
    cr_expect_neq(seen(LA2, true), OLD, "SDM vol. 3, 4.10.2: only what was used can be cached");
    touch(LA2, true);
    cr_expect_eq(seen(LA2, true), NEW);
    audit();
}

Test(shadow_reuse, invlpg_reaches_a_view_that_is_not_in_use_yet)
{
    touch(LA, true);
    load_cr3(OTHER_PGD);
    load_cr3(PGD);
    /* The kernel, in its view, gives the page a copy before the process runs again. */
    touch(LA, false);
    guest_store(TABLE, 0, entry_to(NEW));
    shadow_invlpg(sh, LA);
    cr_expect_eq(seen(LA, false), -1);
    touch(LA + PAGE_SIZE, true); /* the process runs, elsewhere */
    cr_expect_eq(seen(LA, true), -1, "4.10.4.1: whatever the privilege");
    touch(LA, true);
    cr_expect_eq(seen(LA, true), NEW);
    audit();
}

/* One more round of a guest that edits a table and loads CR3. */
static void edit_and_flush(unsigned round)
{
    guest_store(TABLE, 100, entry_to(round % 8));
    load_cr3(PGD);
}

Test(shadow_reuse, a_table_that_is_written_again_and_again_is_forgotten)
{
    struct shadow_stats s;
    touch(LA, true);
    for (unsigned i = 0; i < 100; i++)
        edit_and_flush(i);
    shadow_get_stats(sh, &s);
    cr_expect_eq(s.floods, 1);
    cr_expect_lt(s.unsyncs, 20, "%llu: a table that is not watched does not trap",
                 (unsigned long long)s.unsyncs);
    cr_expect(!shadow_table_protected(sh, TABLE));
    audit();
    touch(LA, true);
    cr_expect_eq(seen(LA, true), OLD);
    cr_expect(shadow_table_protected(sh, TABLE), "used again, watched again");
    guest_store(TABLE, 0, entry_to(NEW));
    load_cr3(PGD);
    cr_expect_eq(seen(LA, true), -1);
    audit();
}

Test(shadow_reuse, a_table_that_is_written_and_used_stays)
{
    struct shadow_stats s;
    touch(LA, true);
    for (unsigned i = 0; i < 100; i++) {
        edit_and_flush(i);
        guest_store(TABLE, 1, entry_to(i % 2 ? NEXT : NEW));
        shadow_invlpg(sh, LA + PAGE_SIZE);
        touch(LA + PAGE_SIZE, true);
        cr_assert_eq(seen(LA, true), OLD);
    }
    shadow_get_stats(sh, &s);
    cr_expect_eq(s.floods, 0);
    audit();
}

/* An engine that counts what it is told. */
static unsigned flushes;
static void on_restricted(struct engine *e, uint32_t off, la_t la, spte_t old, spte_t now)
{
    (void)e, (void)off, (void)la, (void)old, (void)now;
}
static void on_flush(struct engine *e)
{
    (void)e;
    flushes++;
}

/* The way of fuzz_mmu --seed 49: a fork, and the guest's store by the second address went to a
 * frame that was the child's. */
Test(shadow_reuse, a_directory_in_two_pdptes_spreads_what_is_below_it)
{
    static const struct engine_ops ops = {
        .restricted = on_restricted, .flush = on_flush, .sync = on_flush};
    struct engine e = {.ops = &ops};
    const la_t twin = LA | 1u << 30;

    put(PGD, 4, entry_to(TABLE)); /* as PAE: entry 2 */
    put(PGD, 5, 0);
    put(TABLE, 0, entry_to(OLD) | GPTE_D);
    put(TABLE, 1, 0);
    cpu.cr4 |= CR4_PAE;
    cpu.pdpte[0] = cpu.pdpte[1] = PGD << PAGE_SHIFT | 1;
    shadow_load_mode(sh, &cpu);
    touch(LA, false);
    touch(twin, false); /* the directory's first entry is there already */
    cr_assert_eq(seen(twin, false), OLD);
    audit();
    shadow_attach(sh, &e);
    flushes = 0;
    shadow_zap(sh, OLD, 1);
    cr_expect_gt(flushes, 0, "an engine cannot find the second address by the first");
    shadow_detach(sh, &e);
}

/* The way of fuzz_mmu --seed 21: what INVLPG cannot find, because the root is new, must not come
 * with a directory that is kept. */
Test(shadow_reuse, invlpg_reaches_a_table_below_a_directory_that_is_not_hung_in_yet)
{
    touch(LA, true);
    cpu.cr0 &= ~(uint32_t)CR0_WP; /* other roots; the user view's tables serve both */
    shadow_load_mode(sh, &cpu);
    guest_store(TABLE, 0, entry_to(NEW));
    shadow_invlpg(sh, LA);
    touch(LA + PAGE_SIZE, true);
    cr_expect_neq(seen(LA, true), OLD, "4.10.4.1");
    touch(LA, true);
    cr_expect_eq(seen(LA, true), NEW);
    audit();
}

/* INVLPG flushes what was cached of directories as well, so each compares those out of step. One
 * that stays as it was is watched again, and costs the next ones nothing. */
Test(shadow_reuse, a_directory_that_many_invlpgs_find_unchanged_is_in_step_again)
{
    struct shadow_stats a, b;
    touch(LA, false);
    guest_store(PGD, 9, 0);
    cr_expect(!shadow_table_protected(sh, PGD));
    shadow_get_stats(sh, &a);
    for (unsigned i = 0; i < 100; i++)
        shadow_invlpg(sh, LA + PAGE_SIZE);
    shadow_get_stats(sh, &b);
    cr_expect_lt(b.syncs - a.syncs, 10);
    cr_expect(shadow_table_protected(sh, PGD));
    cr_expect_eq(seen(LA, false), OLD);
    audit();
    guest_store(PGD, LA >> 22, 0);
    cr_expect_eq(seen(LA, false), OLD, "not flushed yet");
    shadow_invlpg(sh, LA2);
    cr_expect_eq(seen(LA, false), -1);
    audit();
}

static unsigned told;

static void on_told(struct engine *e, uint32_t off, la_t la, spte_t old, spte_t now)
{
    (void)e, (void)off, (void)la, (void)old, (void)now;
    told++;
}

/* An engine that runs ring 3 alone walks no other tables. */
Test(shadow_reuse, an_engine_for_user_mode_hears_of_what_serves_it)
{
    static const struct engine_ops ops = {
        .restricted = on_told, .flush = on_flush, .sync = on_flush};
    struct engine e = {.ops = &ops, .user_only = true};

    shadow_attach(sh, &e);
    touch(LA, false);
    told = 0;
    shadow_zap(sh, OLD, 1);
    cr_expect_eq(told, 0, "supervisor rights");
    touch(LA, false);
    touch(LA, true);
    shadow_zap(sh, OLD, 1);
    cr_expect_eq(told, 1, "user rights");
    cpu.cr0 &= ~(uint32_t)CR0_PG;
    shadow_load_mode(sh, &cpu);
    touch(OLD << PAGE_SHIFT, false);
    told = 0;
    shadow_zap(sh, OLD, 1);
    cr_expect_eq(told, 1, "with paging off there is one view");
    audit();
    shadow_detach(sh, &e);
}
