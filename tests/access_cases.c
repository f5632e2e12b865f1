/* The sets of access_cases.h and what the model says of them. Needs no C library, as refmmu.c. */

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
