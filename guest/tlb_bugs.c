/*
 * tlb_bugs: what a kernel can get wrong about its TLB, each mistake beside the same work done
 * right.
 *
 * Without bug=NAME everything is done right, each piece checked and told as TAP: a tool that looks
 * for missing flushes must say nothing. With bug=NAME that one piece is done with its flush left
 * out. What the processor then does is its own affair and not asserted; what the tool should tell
 * is printed:
 *
 *   # bug NAME: la 40000000 old 00123067 new 00000000
 *
 * where la is the address used through a translation that the tables no longer hold. bug=list names
 * them all. Pieces whose name starts with "needless" are the reverse: right, but flushing for
 * nothing.
 */
#include "guest/rt/paging.h"

#define LA   PG_TEST(0)
#define TWIN PG_TEST(1)
#define ALL  (PTE_P | PTE_W | PTE_U)
#define AD   (PTE_A | PTE_D)

static uint32_t pd, one, two, big;
static bool bug; /* leave the flush out */
static const char *piece;

static void fresh(uint32_t bits)
{
    store32(one, 1);
    store32(two, 2);
    pg_map(pd, LA, one, bits);
    pg_map(pd, LA + PAGE_SIZE, two, bits);
    flush_tlb();
    store32(LA, 1);
    (void)load32(LA + PAGE_SIZE);
    trap_forget();
}

static void flush_page(uint32_t la)
{
    if (!bug)
        invlpg(la);
}

/* Say what the tool should; or, done right, that it was. */
static void done(uint32_t la, uint32_t old, uint32_t new, bool right)
{
    if (bug)
        tap_note("bug %s: la %08x old %08x new %08x", piece, la, old, new);
    tap_ok(bug || right, "%s, %s", piece, bug ? "with its bug" : "done right");
}

/* Change LA's entry to v, flush or not, and give the entry as it was. */
static uint32_t change(uint32_t v)
{
    const uint32_t old = *pg_pte(pd, LA);

    *pg_pte(pd, LA) = v;
    flush_page(LA);
    return old;
}

static void unmap(void)
{
    uint32_t v, old;

    fresh(ALL);
    old = change(0);
    done(LA, old, 0, !try_read(LA, &v));
}

static void other_frame(void)
{
    uint32_t old;

    fresh(ALL);
    old = change(two | ALL);
    done(LA, old, two | ALL, load32(LA) == 2);
}

static void write_protect(void)
{
    uint32_t old;

    fresh(ALL);
    old = change(one | PTE_P | PTE_U | AD);
    done(LA, old, one | PTE_P | PTE_U | AD, !try_write(LA, 9) && load32(one) == 1);
}

/* Copy-on-write: protect, copy, give the child the copy; the parent's stale right spoils it. */
static void fork_cow(void)
{
    uint32_t old;

    fresh(ALL);
    old = change(one | PTE_P | PTE_U | AD);
    (void)try_write(LA, 7);
    done(LA, old, one | PTE_P | PTE_U | AD, load32(one) == 1);
}

static void take_from_user(void)
{
    uint32_t v, old;

    fresh(ALL);
    (void)user_read(LA, &v);
    old = change(one | PTE_P | PTE_W | AD);
    done(LA, old, one | PTE_P | PTE_W | AD, !user_read(LA, &v));
}

/* The dirty bit cleared, as by write-back, and the next write not seen. */
static void clean(void)
{
    uint32_t old;

    fresh(ALL);
    old = change(*pg_pte(pd, LA) & ~PTE_D);
    store32(LA, 3);
    done(LA, old, old & ~PTE_D, *pg_pte(pd, LA) & PTE_D);
}

static void wrong_page(void)
{
    uint32_t v;
    const uint32_t old = (fresh(ALL), *pg_pte(pd, LA));

    *pg_pte(pd, LA) = 0;
    invlpg(bug ? LA + PAGE_SIZE : LA);
    done(LA, old, 0, !try_read(LA, &v));
}

/* The flush comes before the change, and the page is used in between. */
static void too_early(void)
{
    uint32_t v, old;

    fresh(ALL);
    if (bug)
        invlpg(LA);
    (void)load32(LA);
    old = *pg_pte(pd, LA);
    *pg_pte(pd, LA) = 0;
    flush_page(LA);
    done(LA, old, 0, !try_read(LA, &v));
}

/* One of two pages changed together is forgotten. */
static void one_of_two(void)
{
    uint32_t v, old;

    fresh(ALL);
    old = *pg_pte(pd, LA + PAGE_SIZE);
    *pg_pte(pd, LA) = 0;
    *pg_pte(pd, LA + PAGE_SIZE) = 0;
    invlpg(LA);
    flush_page(LA + PAGE_SIZE);
    done(LA + PAGE_SIZE, old, 0, !try_read(LA + PAGE_SIZE, &v));
}

static void directory_entry(void)
{
    const uint32_t table = pg_alloc();
    uint32_t old;

    fresh(ALL);
    store32(table, two | ALL);
    old = *pg_pde(pd, LA);
    *pg_pde(pd, LA) = table | ALL;
    flush_page(LA);
    done(LA, old, table | ALL, load32(LA) == 2);
    *pg_pde(pd, LA) = old;
    flush_tlb();
}

/* A table given back and used for data while its translations are in use still. */
static void table_freed(void)
{
    const uint32_t table = pg_alloc(), la = PG_TEST(2);
    uint32_t v, old;

    fresh(ALL);
    store32(table, one | ALL);
    *pg_pde(pd, la) = table | ALL;
    (void)load32(la);
    old = *pg_pde(pd, la);
    *pg_pde(pd, la) = 0;
    flush_page(la);
    memset((void *)table, 0x5a, PAGE_SIZE);
    done(la, old, 0, !try_read(la, &v));
    flush_tlb();
}

/* The change is made through another mapping of the table. */
static void by_another_way(void)
{
    uint32_t v, old;

    fresh(ALL);
    pg_remap(pd, TWIN, *pg_pde(pd, LA), ALL);
    old = load32(TWIN + (LA >> 10 & 0xffc));
    store32(TWIN + (LA >> 10 & 0xffc), 0);
    flush_page(LA);
    done(LA, old, 0, !try_read(LA, &v));
}

/* A 4 MiB page split into a table of which one page differs. */
static void split_big(void)
{
    const uint32_t table = pg_alloc(), la = PG_TEST(3);
    uint32_t old;

    fresh(ALL);
    write_cr4(read_cr4() | CR4_PSE);
    for (uint32_t i = 0; i < 1024; i++)
        store32(table + 4 * i, (big + i * PAGE_SIZE) | ALL);
    store32(table + 20, two | ALL);
    *pg_pde(pd, la) = big | ALL | PTE_PS;
    (void)load32(la + 5 * PAGE_SIZE);
    old = *pg_pde(pd, la);
    *pg_pde(pd, la) = table | ALL;
    flush_page(la + 5 * PAGE_SIZE);
    done(la + 5 * PAGE_SIZE, old, table | ALL, load32(la + 5 * PAGE_SIZE) == 2);
    *pg_pde(pd, la) = 0;
    flush_tlb();
}

/* A global page outlives a load of CR3. */
static void global_by_cr3(void)
{
    uint32_t old;

    if (!(cpuid_edx(1) & CPUID1_PGE)) {
        tap_ok(true, "%s: no global pages here", piece);
        return;
    }
    write_cr4(read_cr4() | CR4_PGE);
    fresh(ALL);
    pg_remap(pd, LA, one, ALL | PTE_G);
    (void)load32(LA);
    old = *pg_pte(pd, LA);
    *pg_pte(pd, LA) = two | ALL | PTE_G;
    flush_tlb();
    flush_page(LA);
    done(LA, old, two | ALL | PTE_G, load32(LA) == 2);
    write_cr4(read_cr4() & ~CR4_PGE);
}

/* A kernel that goes on in a space after dropping its page, having switched away and back is fine;
 * without the switch it is not. */
static void switch_as_flush(void)
{
    const uint32_t other = pg_alloc();
    uint32_t v, old;

    fresh(ALL);
    memcpy((void *)other, (void *)pd, PAGE_SIZE);
    old = *pg_pte(pd, LA);
    *pg_pte(pd, LA) = 0;
    if (!bug) {
        write_cr3(other);
        write_cr3(pd);
    }
    done(LA, old, 0, !try_read(LA, &v));
}

/* --- right without a flush: a tool must not complain --- */

static void no_flush_needed(void)
{
    uint32_t v;
    unsigned faults = 0;

    fresh(ALL);
    pg_remap(pd, LA, 0, 0);
    (void)try_read(LA, &v);
    pg_map(pd, LA, one, ALL); /* absent to present */
    tap_ok(try_read(LA, &v), "absent to present");
    pg_remap(pd, LA, one, PTE_P | PTE_U);
    (void)load32(LA);
    pg_map(pd, LA, one, ALL); /* more rights; one fault more is allowed */
    while (!try_write(LA, 1) && faults < 5)
        faults++;
    tap_ok(faults <= 1, "read-only to writable");
    *pg_pte(pd, LA) &= ~PTE_A; /* as a kernel does that samples use: being late is harmless */
    (void)load32(LA);
    tap_ok(true, "A cleared and not flushed, as sampling kernels do");
    *pg_pte(pd, LA) |= 0x200; /* a bit of the guest's own */
    (void)load32(LA);
    tap_ok(true, "a bit that the processor ignores");
    *pg_pte(pd, LA) = 0;
    *pg_pte(pd, LA) = one | ALL | AD;
    tap_ok(load32(LA) == 1, "taken away and put back as it was");
    *pg_pte(pd, LA + PAGE_SIZE) = 0;
    flush_tlb();
    tap_ok(!try_read(LA + PAGE_SIZE, &v), "changed, not used until CR3 is loaded");
}

static void needless_invlpg(void)
{
    fresh(ALL);
    for (unsigned i = 0; i < 10; i++)
        invlpg(LA);
    tap_ok(load32(LA) == 1, "ten times INVLPG of an entry that has not changed");
}

static void needless_cr3(void)
{
    fresh(ALL);
    for (unsigned i = 0; i < 10; i++)
        flush_tlb();
    tap_ok(load32(LA) == 1, "ten loads of CR3 with nothing changed");
}

static const struct {
    const char *name;
    void (*run)(void);
} pieces[] = {
    {"unmap", unmap},
    {"other_frame", other_frame},
    {"write_protect", write_protect},
    {"fork_cow", fork_cow},
    {"take_from_user", take_from_user},
    {"clean", clean},
    {"wrong_page", wrong_page},
    {"too_early", too_early},
    {"one_of_two", one_of_two},
    {"directory_entry", directory_entry},
    {"table_freed", table_freed},
    {"by_another_way", by_another_way},
    {"split_big", split_big},
    {"global_by_cr3", global_by_cr3},
    {"switch_as_flush", switch_as_flush},
    {"no_flush_needed", no_flush_needed},
    {"needless_invlpg", needless_invlpg},
    {"needless_cr3", needless_cr3},
};
#define PIECES (sizeof pieces / sizeof *pieces)

int main(void)
{
    const bool list = rt_option_is("bug", "list");
    bool wanted[PIECES];

    for (unsigned i = 0; i < PIECES; i++) {
        wanted[i] = rt_option_is("bug", pieces[i].name);
        if (list)
            rt_printf("%s\n", pieces[i].name);
    }
    if (list)
        return 0;
    pd = pg_identity();
    one = pg_alloc();
    two = pg_alloc();
    big = pg_alloc_n(1024, 4u << 20);
    (void)pg_pte(pd, LA);
    (void)pg_pte(pd, TWIN);
    pg_start(pd, true, 0);
    for (unsigned i = 0; i < PIECES; i++) {
        piece = pieces[i].name;
        bug = wanted[i];
        pieces[i].run();
        bug = false;
        flush_tlb();
    }
    return tap_done();
}
