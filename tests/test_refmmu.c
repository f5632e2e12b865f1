/* The reference MMU against the manual's rules, row by row (Intel SDM vol. 3, chapter 4). */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/refmmu.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100, PAT = 0x1000 };
#define PG_OFF 0u
#define NO_WP  0x80000001u
#define WP     0x80010001u
#define PSE    0x10u
#define PAE    0x20u
#define PGE    0x80u
#define NXE    0x80000000u /* not of CR4: stands for EFER.NXE */
#define NX     ((uint64_t)1 << 63)

enum { RAM = 0x40000, PDIR = 0x1000, PTAB = 0x2000, PDPT = 0x3020, FRAME = 0x5000 };
static const uint32_t la = 0x00c03123; /* entry 3 of each table; with PAE 0, 6 and 3 */

static uint8_t ram[RAM];
static unsigned stores;

static uint64_t load(void *ctx, uint64_t gpa, unsigned size)
{
    uint64_t v = 0;
    (void)ctx;
    cr_assert_eq(gpa % size, 0);
    if (gpa + size > RAM)
        return UINT64_MAX >> (64 - 8 * size);
    memcpy(&v, ram + gpa, size);
    return v;
}

static void store(void *ctx, uint64_t gpa, uint64_t v, unsigned size)
{
    (void)ctx;
    stores++;
    if (gpa + size <= RAM)
        memcpy(ram + gpa, &v, size);
}

static struct refmmu mmu(uint32_t cr0, uint32_t cr4)
{
    return (struct refmmu){.mem = {NULL, load, store},
                           .cr0 = cr0,
                           .cr3 = cr4 & PAE ? PDPT : PDIR,
                           .cr4 = cr4,
                           .maxphyaddr = 36};
}

/* Tables for la: pde in the directory, pte in the table. */
static void tables(const struct refmmu *m, uint64_t pde, uint64_t pte)
{
    const unsigned size = m->cr4 & PAE ? 8 : 4;
    memset(ram, 0, sizeof ram);
    store(NULL, PDIR + (size == 8 ? 6 : 3) * size, pde, size);
    store(NULL, PTAB + 3 * size, pte, size);
    stores = 0;
}

static uint64_t pde_now(const struct refmmu *m)
{
    return m->cr4 & PAE ? load(NULL, PDIR + 48, 8) : load(NULL, PDIR + 12, 4);
}
static uint64_t pte_now(const struct refmmu *m)
{
    return m->cr4 & PAE ? load(NULL, PTAB + 24, 8) : load(NULL, PTAB + 12, 4);
}

enum { OK = -1 };
struct row {
    const char *rule;
    uint32_t cr0, cr4;
    uint64_t pde, pte; /* bits; addresses are put in below */
    enum refmmu_kind kind;
    bool user;
    int error;                 /* OK: none */
    uint64_t set_pde, set_pte; /* bits that the access sets */
};

static void check(const struct row *r)
{
    struct refmmu m = mmu(r->cr0, r->cr4 & ~NXE);
    const bool large = (r->pde & PS) && (r->cr4 & (PSE | PAE));
    const uint64_t pde = r->pde | (large ? 0 : PTAB), pte = r->pte | FRAME;
    struct refmmu_walk w;

    m.nxe = (r->cr4 & NXE) != 0;
    tables(&m, pde, pte);
    m.pdpte[0] = PDIR | P;
    refmmu_access(&m, la, r->kind, r->user, &w);
    cr_expect_eq(w.fault, r->error != OK, "%s: fault %d, error %x", r->rule, w.fault, w.error);
    if (w.fault && r->error != OK)
        cr_expect_eq(w.error, (uint32_t)r->error, "%s: error code %x, not %x", r->rule, w.error,
                     r->error);
    cr_expect_eq(pde_now(&m), pde | r->set_pde, "%s: PDE %llx", r->rule,
                 (unsigned long long)pde_now(&m));
    cr_expect_eq(pte_now(&m), pte | r->set_pte, "%s: PTE %llx", r->rule,
                 (unsigned long long)pte_now(&m));
    if (!w.fault && !large)
        cr_expect_eq(w.gpa, FRAME + 0x123, "%s", r->rule);
    if (w.fault)
        cr_expect_eq(stores, 0, "%s: a fault wrote to memory", r->rule);
}
#define CHECK_ALL(rows)                                                                            \
    for (size_t i_ = 0; i_ < sizeof(rows) / sizeof *(rows); i_++)                                  \
    check(&(rows)[i_])

#define R  REF_READ
#define WR REF_WRITE
#define X  REF_FETCH

/* 4.6.1: accesses that are allowed; 4.7: the error code of those that are not. */
Test(refmmu, two_level_rights)
{
    static const struct row rows[] = {
        {"absent PDE", WP, 0, 0, P | W | U, R, false, 0, 0, 0},
        {"absent PDE, user write", WP, 0, W | U, P | W | U, WR, true, 6, 0, 0},
        {"absent PTE", WP, 0, P | W | U, 0, WR, false, 2, 0, 0},
        {"absent PTE, user read", WP, 0, P | W | U, W | U, R, true, 4, 0, 0},
        {"supervisor reads user page", WP, 0, P | U, P | U, R, false, OK, A, A},
        {"supervisor fetches user page", WP, 0, P | U, P | U, X, false, OK, A, A},
        {"supervisor writes read-only, WP clear", NO_WP, 0, P, P, WR, false, OK, A, A | D},
        {"supervisor writes read-only user page, WP clear", NO_WP, 0, P | U, P | U, WR, false, OK,
         A, A | D},
        {"WP: PTE read-only", WP, 0, P | W, P, WR, false, 3, 0, 0},
        {"WP: PDE read-only", WP, 0, P, P | W, WR, false, 3, 0, 0},
        {"WP: user page read-only", WP, 0, P | W | U, P | U, WR, false, 3, 0, 0},
        {"WP: both writable", WP, 0, P | W, P | W, WR, false, OK, A, A | D},
        {"user, PTE supervisor", NO_WP, 0, P | W | U, P | W, R, true, 5, 0, 0},
        {"user, PDE supervisor", NO_WP, 0, P | W, P | W | U, R, true, 5, 0, 0},
        {"user write, PTE supervisor", NO_WP, 0, P | W | U, P | W, WR, true, 7, 0, 0},
        {"user write, PTE read-only, WP clear", NO_WP, 0, P | W | U, P | U, WR, true, 7, 0, 0},
        {"user write, PDE read-only", WP, 0, P | U, P | W | U, WR, true, 7, 0, 0},
        {"user write", WP, 0, P | W | U, P | W | U, WR, true, OK, A, A | D},
        {"user fetch", WP, 0, P | U, P | U, X, true, OK, A, A},
        {"user fetch of supervisor page: no I flag", WP, 0, P | U, P, X, true, 5, 0, 0},
        {"D stays on a read", WP, 0, P | W, P | W | D, R, false, OK, A, A},
        {"D alone is set", WP, 0, P | W | A, P | W | A, WR, false, OK, 0, D},
        {"bits ignored in a PDE: D, G", WP, PGE, P | W | D | G, P | W, R, false, OK, A, A},
        {"PAT bit of a PTE is no reserved bit", WP, 0, P | W, P | W | PS | G, R, false, OK, A, A},
        {"PS without CR4.PSE: a table", WP, 0, P | W | PS, P | W, WR, false, OK, A, A | D},
    };
    CHECK_ALL(rows);
}

/* Table 4-4: page-directory entry that maps 4 MiB. */
Test(refmmu, four_mib_pages)
{
    static const struct row rows[] = {
        {"read", WP, PSE, P | PS, 0, R, false, OK, A, 0},
        {"write sets D in the PDE", WP, PSE, P | W | PS, 0, WR, false, OK, A | D, 0},
        {"PAT bit", WP, PSE, P | W | PS | PAT, 0, WR, false, OK, A | D, 0},
        {"user", WP, PSE, P | PS, P | U, R, true, 5, 0, 0},
        {"WP", WP, PSE, P | PS, 0, WR, false, 3, 0, 0},
        {"bit 13", WP, PSE, P | W | PS | 0x2000, 0, R, false, 9, 0, 0},
        {"bit 21", WP, PSE, P | W | PS | 0x200000, 0, WR, false, 0xb, 0, 0},
        {"reserved before rights", WP, PSE, P | PS | 0x2000, 0, WR, true, 0xf, 0, 0},
        {"absent before reserved", WP, PSE, PS | 0x2000, 0, R, false, 0, 0, 0},
    };
    CHECK_ALL(rows);
}

Test(refmmu, four_mib_page_address)
{
    struct refmmu m = mmu(WP, PSE);
    struct refmmu_walk w;

    tables(&m, P | PS | 0x40000000, 0);
    refmmu_access(&m, la, R, false, &w);
    cr_assert(!w.fault && w.gpa == 0x40003123 && w.size == 0x400000 && w.steps == 1);
}

/* 4.3: M is MAXPHYADDR, at most 40; bits M-20:13 are address bits M-1:32, 21:M-19 reserved. */
Test(refmmu, pse36)
{
    struct refmmu m = mmu(WP, PSE);
    struct refmmu_walk w;

    m.pse36 = true; /* MAXPHYADDR 36: bits 16:13 are address, 21:17 reserved */
    tables(&m, P | PS | 0x0001e000 | 0xc0000000, 0);
    refmmu_access(&m, la, R, false, &w);
    cr_assert(!w.fault && w.gpa == 0xfc0003123);
    for (unsigned bit = 17; bit <= 21; bit++) {
        tables(&m, P | PS | 1u << bit, 0);
        refmmu_access(&m, la, R, false, &w);
        cr_assert(w.fault && w.error == 9, "bit %u", bit);
    }
    m.maxphyaddr = 52; /* bits 20:13 are address, 21 alone is reserved */
    tables(&m, P | PS | 0x1fe000, 0);
    refmmu_access(&m, la, R, false, &w);
    cr_assert(!w.fault && w.gpa == 0xff00003123);
    tables(&m, P | PS | 0x200000, 0);
    refmmu_access(&m, la, R, false, &w);
    cr_assert(w.fault && w.error == 9);
}

Test(refmmu, paging_off_is_identity)
{
    struct refmmu m = mmu(PG_OFF, PSE);
    struct refmmu_walk w;

    refmmu_access(&m, 0xfedcba98, WR, true, &w);
    cr_assert(!w.fault && w.gpa == 0xfedcba98 && w.steps == 0);
}

/* 4.4.2 and 4.6 with PAE. */
Test(refmmu, pae_rights_and_reserved_bits)
{
    const uint64_t high = (uint64_t)1 << 36;
    const struct row rows[] = {
        {"read", WP, PAE, P | W, P | W, R, false, OK, A, A},
        {"write", WP, PAE, P | W, P | W, WR, false, OK, A, A | D},
        {"user write of supervisor page", WP, PAE, P | W, P | W | U, WR, true, 7, 0, 0},
        {"absent PTE", WP, PAE, P | W, W | high, WR, false, 2, 0, 0},
        {"2 MiB needs no CR4.PSE", WP, PAE, P | W | PS, 0, WR, false, OK, A | D, 0},
        {"2 MiB: PAT bit", WP, PAE, P | W | PS | PAT, 0, R, false, OK, A, 0},
        {"2 MiB: bit 13", WP, PAE, P | W | PS | 0x2000, 0, R, false, 9, 0, 0},
        {"2 MiB: bit 20", WP, PAE, P | W | PS | 0x100000, 0, R, false, 9, 0, 0},
        {"PDE above MAXPHYADDR", WP, PAE, P | W | high, P | W, R, false, 9, 0, 0},
        {"PTE above MAXPHYADDR", WP, PAE, P | W, P | W | high, WR, false, 0xb, 0, 0},
        {"PTE bit 62", WP, PAE, P | W, P | W | NX >> 1, WR, false, 0xb, 0, 0},
        {"bit 63 without NXE", WP, PAE, P | W, P | W | NX, R, false, 9, 0, 0},
        {"bit 63 of the PDE without NXE, fetch: no I flag", WP, PAE, P | NX, P, X, false, 9, 0, 0},
        {"NX: read", WP, PAE | NXE, P | W, P | W | NX, R, false, OK, A, A},
        {"NX in the PTE: fetch", WP, PAE | NXE, P | W, P | W | NX, X, false, 0x11, 0, 0},
        {"NX in the PDE: fetch", WP, PAE | NXE, P | W | NX, P | W, X, false, 0x11, 0, 0},
        {"NX in a 2 MiB page: fetch", WP, PAE | NXE, P | PS | NX, 0, X, false, 0x11, 0, 0},
        {"NX: user fetch", WP, PAE | NXE, P | W | U, P | U | NX, X, true, 0x15, 0, 0},
        {"NXE: fetch of an absent page", WP, PAE | NXE, P | W | U, 0, X, true, 0x14, 0, 0},
        {"NXE: fetch of a supervisor page", WP, PAE | NXE, P | W | U, P, X, true, 0x15, 0, 0},
        {"NXE: fetch", WP, PAE | NXE, P | U, P | U, X, true, OK, A, A},
    };
    CHECK_ALL(rows);
}

/* 4.4.1: PDPTEs are registers: loaded with CR3, checked then, and not looked up again. */
Test(refmmu, pdptes_are_loaded_and_kept)
{
    struct refmmu m = mmu(WP, PAE);
    struct refmmu_walk w;

    tables(&m, P | W | PTAB, P | W | FRAME);
    store(NULL, PDPT, PDIR | P, 8);
    cr_assert(refmmu_load_pdptes(&m));
    store(NULL, PDPT, 0, 8);
    refmmu_access(&m, la, R, false, &w);
    cr_assert(!w.fault && w.gpa == FRAME + 0x123);
    refmmu_access(&m, la + 0x40000000, WR, true, &w);
    cr_assert(w.fault && w.error == 6 && w.steps == 0, "PDPTE 1 is absent");
    cr_assert(refmmu_load_pdptes(&m));
    refmmu_access(&m, la, R, false, &w);
    cr_assert(w.fault && w.error == 0);
}

Test(refmmu, pdptes_with_reserved_bits_are_refused)
{
    static const uint8_t reserved[] = {1, 2, 5, 6, 7, 8, 36, 40, 51, 52, 62, 63};
    static const uint8_t ignored[] = {3, 4, 9, 10, 11};
    struct refmmu m = mmu(WP, PAE);

    memset(ram, 0, sizeof ram);
    m.nxe = true; /* bit 63 is reserved in a PDPTE all the same */
    for (size_t i = 0; i < sizeof reserved; i++) {
        store(NULL, PDPT + 16, PDIR | P | (uint64_t)1 << reserved[i], 8);
        cr_expect(!refmmu_load_pdptes(&m), "bit %u", reserved[i]);
        store(NULL, PDPT + 16, PDIR | (uint64_t)1 << reserved[i], 8);
        cr_expect(refmmu_load_pdptes(&m), "bit %u of an absent PDPTE", reserved[i]);
    }
    for (size_t i = 0; i < sizeof ignored; i++) {
        store(NULL, PDPT + 16, PDIR | P | (uint64_t)1 << ignored[i], 8);
        cr_expect(refmmu_load_pdptes(&m), "bit %u", ignored[i]);
    }
}

/* A directory that names itself in its last entry: the entry is used at both levels, and gets A for
 * the first and A and D for the second. */
Test(refmmu, one_entry_used_at_both_levels)
{
    struct refmmu m = mmu(WP, 0);
    struct refmmu_walk w;

    memset(ram, 0, sizeof ram);
    store(NULL, PDIR + 4092, PDIR | P | W, 4);
    refmmu_access(&m, 0xfffffffc, WR, false, &w);
    cr_assert(!w.fault && w.gpa == PDIR + 4092);
    cr_assert_eq(load(NULL, PDIR + 4092, 4), (PDIR | P | W | A | D));
    cr_assert(w.step[0].now == w.step[1].now);
}

/* Entries beyond RAM read as ones here: present, writable, user. The walk goes on and writes
 * nothing. */
Test(refmmu, tables_beyond_ram)
{
    struct refmmu m = mmu(WP, 0);
    struct refmmu_walk w;

    tables(&m, P | W | U | 0x7ffff000, 0);
    refmmu_access(&m, la, WR, true, &w);
    cr_assert(!w.fault && w.gpa == 0xfffff123);
}
