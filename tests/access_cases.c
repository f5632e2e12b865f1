/* See access_cases.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/access_cases.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100, PAT = 0x1000 };
#define NX         ((uint64_t)1 << 63)
#define CR0_BASE   0x80000011u /* PG ET PE */
#define CR0_WP_BIT 0x10000u
#define CR4_PSE    0x10u
#define CR4_PAE    0x20u
#define CR4_PGE    0x80u
#define AVAILABLE  0xe00u /* bits that are the guest's own */

static const uint32_t set_size[ACCESS_SETS] = {3u << 14, 3u << 18, 3u << 18};

uint32_t access_count(enum access_set set)
{
    return set_size[set];
}

/* Takes bits of an index off, one by one. */
static bool take(uint32_t *bits)
{
    const bool b = *bits & 1;
    *bits >>= 1;
    return b;
}

static uint64_t take_as(uint32_t *bits, uint64_t value)
{
    return take(bits) ? value : 0;
}

/* Noise for bits that must not matter, the same for the same index. */
static uint32_t noise(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* Bits 21:13 of a 4 MiB page that are reserved: pattern k of them, each bit alone first, never
 * none. */
static uint32_t reserved_pattern(uint32_t k)
{
    if (k < 9)
        return 1u << (13 + k);
    return ((k * 37u % 511u) + 1) << 13;
}

/* Index: kind, user, WP, PSE, PDE P W U A PS, reserved bits or not, and five bits more: with a page
 * table, PTE P W U A D; with a large page, what else its PDE can have. */
static void make_two_level(uint32_t index, struct access_case *c)
{
    const uint32_t n = noise(index);
    uint32_t b = index / 3;

    c->kind = (enum refmmu_kind)(index % 3);
    c->user = take(&b);
    c->cr0 = CR0_BASE | (take(&b) ? CR0_WP_BIT : 0);
    c->cr4 = (take(&b) ? CR4_PSE : 0) | (n & CR4_PGE);
    c->pde = take_as(&b, P) | take_as(&b, W) | take_as(&b, U);
    c->pde |= take_as(&b, A) | take_as(&b, PS);
    const bool large = (c->pde & PS) && (c->cr4 & CR4_PSE);
    const bool reserved = take(&b);
    c->pde |= ACCESS_BIG | (n & (AVAILABLE | G));
    c->pte = ACCESS_PAGE | (n >> 8 & (AVAILABLE | G | PS));
    if (!large) {
        c->pde |= (n >> 16 & D) | (reserved ? reserved_pattern(n >> 24) : 0);
        c->pte |= take_as(&b, P) | take_as(&b, W) | take_as(&b, U) | take_as(&b, A);
        c->pte |= take_as(&b, D);
    } else if (reserved) {
        c->pde |= reserved_pattern(b) | (n >> 16 & (D | PAT));
        c->pte |= n >> 20 & (P | W | U | A | D);
    } else {
        c->pde = (c->pde & ~(uint64_t)G) | take_as(&b, D) | take_as(&b, G) | take_as(&b, PAT);
        c->pte |= take_as(&b, P) | take_as(&b, P | W | U) | (n >> 20 & (A | D));
    }
}

/* Index: kind, user, WP, PSE, PDE P W U A D PS G and reserved bits, PTE P W U A D PS(PAT) G. */
static void make_two_level_full(uint32_t index, struct access_case *c)
{
    const uint32_t n = noise(index);
    uint32_t b = index / 3;

    c->kind = (enum refmmu_kind)(index % 3);
    c->user = take(&b);
    c->cr0 = CR0_BASE | (take(&b) ? CR0_WP_BIT : 0);
    c->cr4 = (take(&b) ? CR4_PSE : 0) | (n & CR4_PGE);
    c->pde = ACCESS_BIG | take_as(&b, P) | take_as(&b, W) | take_as(&b, U) | (n & AVAILABLE);
    c->pde |= take_as(&b, A) | take_as(&b, D) | take_as(&b, PS) | take_as(&b, G);
    c->pde |= take_as(&b, reserved_pattern(n >> 23 & 511));
    c->pte = ACCESS_PAGE | take_as(&b, P) | take_as(&b, W) | take_as(&b, U) | (n >> 8 & AVAILABLE);
    c->pte |= take_as(&b, A) | take_as(&b, D) | take_as(&b, PS) | take_as(&b, G);
}

/* Bits of a PAE entry above MAXPHYADDR, one or some, never none. */
static uint64_t pae_high(uint32_t n)
{
    const unsigned span = 63 - ACCESS_MAXPHYADDR;
    uint64_t m = (uint64_t)1 << (n % span);

    if (n & 0x100)
        m |= (uint64_t)n * n & (((uint64_t)1 << span) - 1);
    return m << ACCESS_MAXPHYADDR;
}

/* Index: kind, user, WP, NXE, PDE P W U A PS NX, reserved bits low and high, PTE P W U A D NX and
 * reserved bits. */
static void make_pae(uint32_t index, struct access_case *c)
{
    const uint32_t n = noise(index);
    uint32_t b = index / 3;

    c->pae = true;
    c->kind = (enum refmmu_kind)(index % 3);
    c->user = take(&b);
    c->cr0 = CR0_BASE | (take(&b) ? CR0_WP_BIT : 0);
    c->cr4 = CR4_PAE | (n & (CR4_PSE | CR4_PGE));
    c->nxe = take(&b);
    c->pde = ACCESS_BIG | take_as(&b, P) | take_as(&b, W) | take_as(&b, U) | take_as(&b, A);
    c->pde |= take_as(&b, PS) | take_as(&b, NX) | (n & (AVAILABLE | D | G));
    c->pde |= take_as(&b, (n & 1 ? 1u << (13 + n % 8) : (n >> 8 & 0xfe000) | 0x100000));
    c->pde |= take_as(&b, pae_high(n >> 3));
    c->pte = ACCESS_PAGE | take_as(&b, P) | take_as(&b, W) | take_as(&b, U) | take_as(&b, A);
    c->pte |= take_as(&b, D) | take_as(&b, NX) | take_as(&b, pae_high(n >> 9));
    c->pte |= n >> 12 & (AVAILABLE | G | PS);
}

void access_make(enum access_set set, uint32_t index, struct access_case *c)
{
    *c = (struct access_case){0};
    switch (set) {
    case ACCESS_TWO_LEVEL: make_two_level(index, c); break;
    case ACCESS_TWO_LEVEL_FULL: make_two_level_full(index, c); break;
    default: make_pae(index, c); break;
    }
}

uint32_t access_pde_gpa(const struct access_case *c)
{
    return ACCESS_PD + (c->pae ? (uint32_t)ACCESS_LA >> 21 << 3 : (uint32_t)ACCESS_LA >> 22 << 2);
}

uint32_t access_pte_gpa(const struct access_case *c)
{
    const uint32_t table = (uint32_t)c->pde & 0xfffff000u;
    return table + (c->pae ? (ACCESS_LA >> 12 & 511u) << 3 : (ACCESS_LA >> 12 & 1023u) << 2);
}

/* --- the model's side ---------------------------------------------------------------------- */

/* The two entries are all the memory that a walk can read. */
struct two_entries {
    const struct access_case *c;
    uint64_t pde, pte;
};

static uint64_t load(void *ctx, uint64_t gpa, unsigned size)
{
    const struct two_entries *t = ctx;
    (void)size;
    if (gpa == access_pde_gpa(t->c))
        return t->pde;
    return gpa == access_pte_gpa(t->c) ? t->pte : 0;
}

static void store(void *ctx, uint64_t gpa, uint64_t val, unsigned size)
{
    struct two_entries *t = ctx;
    (void)size;
    if (gpa == access_pde_gpa(t->c))
        t->pde = val;
    else if (gpa == access_pte_gpa(t->c))
        t->pte = val;
}

void access_expect(const struct access_case *c, struct access_result *r)
{
    struct two_entries t = {.c = c, .pde = c->pde, .pte = c->pte};
    struct refmmu m = {.mem = {&t, load, store},
                       .cr0 = c->cr0,
                       .cr3 = ACCESS_PD,
                       .cr4 = c->cr4,
                       .nxe = c->nxe,
                       .maxphyaddr = ACCESS_MAXPHYADDR,
                       .pdpte = {ACCESS_PD | P}};
    struct refmmu_walk w;

    refmmu_access(&m, ACCESS_LA, c->kind, c->user, &w);
    *r = (struct access_result){.fault = w.fault,
                                .error = w.error,
                                .cr2 = w.fault ? ACCESS_LA : 0,
                                .pde = t.pde,
                                .pte = t.pte};
}

/* --- the driver ---------------------------------------------------------------------------- */

void access_describe(const struct access_case *c, char *text, size_t len)
{
    static const char *const kinds[] = {"read", "write", "fetch"};

    snprintf(text, len, "CR0 %08x CR4 %x%s PDE %" PRIx64 " PTE %" PRIx64 " %s %s%s", c->cr0, c->cr4,
             c->nxe ? " NXE" : "", c->pde, c->pte, c->user ? "user" : "supervisor", kinds[c->kind],
             c->again ? ", again" : "");
}

static bool same(const struct access_result *a, const struct access_result *b)
{
    if (a->fault != b->fault || a->pde != b->pde || a->pte != b->pte)
        return false;
    return !a->fault || (a->error == b->error && a->cr2 == b->cr2);
}

static void complain(struct access_tally *t, const char *engine, uint32_t index, const char *after,
                     const struct access_case *c, const struct access_result *want,
                     const struct access_result *got)
{
    char what[160];

    if (t->failed++)
        return;
    access_describe(c, what, sizeof what);
    snprintf(t->first, sizeof t->first,
             "%s, case %u%s%s: %s\n  model:  fault %d error %x CR2 %08x PDE %" PRIx64
             " PTE %" PRIx64 "\n  engine: fault %d error %x CR2 %08x PDE %" PRIx64 " PTE %" PRIx64,
             engine, index, after ? " after " : "", after ? after : "", what, want->fault,
             want->error, want->cr2, want->pde, want->pte, got->fault, got->error, got->cr2,
             got->pde, got->pte);
}

static int compare(const struct access_engine *e, uint32_t index, const char *after,
                   const struct access_case *c, struct access_result *want, struct access_tally *t)
{
    struct access_result got = {0};

    access_expect(c, want);
    if (!e->run(e->ctx, c, &got))
        return -EIO;
    t->run++;
    t->faults += want->fault;
    if (!same(want, &got))
        complain(t, e->name, index, after, c, want, &got);
    return 0;
}

static int check_case(const struct access_engine *e, enum access_set set, uint32_t index,
                      struct access_tally *t)
{
    struct access_result want;
    struct access_case c;
    int err;

    access_make(set, index, &c);
    err = compare(e, index, NULL, &c, &want, t);
    for (unsigned ev = 0; !err && ev < e->events; ev++) {
        c.again = true;
        c.pde = want.pde;
        c.pte = want.pte;
        if (!e->disturb(e->ctx, ev, &c))
            return -EIO;
        err = compare(e, index, e->event_name(ev), &c, &want, t);
    }
    return err;
}

int access_check(const struct access_engine *e, enum access_set set, uint32_t first, uint32_t step,
                 struct access_tally *t)
{
    int err = 0;

    for (uint64_t i = first; !err && i < access_count(set); i += step)
        err = check_case(e, set, (uint32_t)i, t);
    return err;
}
