/* See refmmu.h. "4.x" is a section of the Intel SDM, vol. 3. */
#include "tests/refmmu.h"

/* Bits of control registers, entries and error codes, by the manual's figures 2-7, 4-4, 4-7, 4-12.
 */
#define CR0_WP_BIT  (1u << 16)
#define CR0_PG_BIT  (1u << 31)
#define CR4_PSE_BIT (1u << 4)
#define CR4_PAE_BIT (1u << 5)

#define E_P  ((uint64_t)1 << 0)
#define E_W  ((uint64_t)1 << 1)
#define E_U  ((uint64_t)1 << 2)
#define E_A  ((uint64_t)1 << 5)
#define E_D  ((uint64_t)1 << 6)
#define E_PS ((uint64_t)1 << 7)
#define E_XD ((uint64_t)1 << 63)

enum { ERR_P = 1, ERR_W = 2, ERR_U = 4, ERR_RSVD = 8, ERR_I = 16 };

/* Bits from low to high, both included; none if high < low. */
static uint64_t bits(unsigned high, unsigned low)
{
    uint64_t m = 0;

    for (unsigned b = low; b <= high; b++)
        m |= (uint64_t)1 << b;
    return m;
}

static bool pae(const struct refmmu *m)
{
    return (m->cr4 & CR4_PAE_BIT) != 0;
}

/* 4.3: a PDE maps 4 MiB if CR4.PSE and PS. 4.4.2: with PAE, PS alone makes it map 2 MiB. */
static bool maps_large(const struct refmmu *m, uint64_t pde)
{
    return (pde & E_PS) && (pae(m) || (m->cr4 & CR4_PSE_BIT));
}

/* Tables 4-8 to 4-11: bits above the physical address, and bit 63 unless it means execute-disable.
 */
static uint64_t reserved_high(const struct refmmu *m)
{
    return bits(62, m->maxphyaddr) | (m->nxe ? 0 : E_XD);
}

/* Table 4-4: bits 20:13 hold address bits 39:32 as far as there are any, the rest up to 21 is
 * reserved. Without PSE-36 there are none. */
static unsigned pse_address_bits(const struct refmmu *m)
{
    if (!m->pse36)
        return 0;
    return (m->maxphyaddr < 40 ? m->maxphyaddr : 40) - 32;
}

static uint64_t reserved_bits(const struct refmmu *m, bool large)
{
    if (!pae(m))
        return large ? bits(21, 13 + pse_address_bits(m)) : 0;
    return reserved_high(m) | (large ? bits(20, 13) : 0);
}

/* Address of the page or table that an entry names. */
static uint64_t target(const struct refmmu *m, uint64_t entry, bool large)
{
    if (pae(m))
        return entry & bits(m->maxphyaddr - 1, large ? 21 : 12);
    if (!large)
        return entry & bits(31, 12);
    return (entry & bits(31, 22)) | (entry >> 13 & (((uint64_t)1 << pse_address_bits(m)) - 1))
                                        << 32;
}

/* 4.7: the flags that say what the access was. I/D only where an instruction fetch can be told
 * apart: PAE with NXE (there is no SMEP here). */
static uint32_t access_flags(const struct refmmu *m, enum refmmu_kind kind, bool user)
{
    return (kind == REF_WRITE ? ERR_W : 0) | (user ? ERR_U : 0) |
           (kind == REF_FETCH && pae(m) && m->nxe ? ERR_I : 0);
}

/* 4.6: rights are those that every entry of the walk gives; execute-disable in any of them forbids.
 */
static bool allowed(const struct refmmu *m, uint64_t every, uint64_t any, enum refmmu_kind kind,
                    bool user)
{
    if (user && !(every & E_U))
        return false;
    if (kind == REF_WRITE && !(every & E_W) && (user || (m->cr0 & CR0_WP_BIT)))
        return false;
    return !(kind == REF_FETCH && (any & E_XD) && pae(m) && m->nxe);
}

static void fault(const struct refmmu *m, enum refmmu_kind kind, bool user, uint32_t why,
                  struct refmmu_walk *out)
{
    out->fault = true;
    out->error = why | access_flags(m, kind, user);
}

/* Read the entry at gpa as the walk's next step. false: the walk ends with a fault (4.7: P says
 * whether every entry was present; RSVD comes of an entry that is). */
static bool step(const struct refmmu *m, uint64_t gpa, bool leaf_level, enum refmmu_kind kind,
                 bool user, struct refmmu_walk *out, uint64_t *entry)
{
    *entry = m->mem.load(m->mem.ctx, gpa, pae(m) ? 8 : 4);
    out->step[out->steps++] = (struct refmmu_step){.gpa = gpa, .old = *entry, .now = *entry};
    if (!(*entry & E_P)) {
        fault(m, kind, user, 0, out);
        return false;
    }
    if (*entry & reserved_bits(m, !leaf_level && maps_large(m, *entry))) {
        fault(m, kind, user, ERR_P | ERR_RSVD, out);
        return false;
    }
    return true;
}

/* 4.8: accessed in every entry used, dirty in the one that maps the page, if the access writes. */
static void mark(const struct refmmu *m, enum refmmu_kind kind, struct refmmu_walk *out)
{
    for (unsigned i = 0; i < out->steps; i++) {
        struct refmmu_step *s = &out->step[i];
        /* Read again: one entry may be used at both levels. */
        s->now = m->mem.load(m->mem.ctx, s->gpa, pae(m) ? 8 : 4) | E_A;
        if (i + 1 == out->steps && kind == REF_WRITE)
            s->now |= E_D;
        if (s->now != s->old)
            m->mem.store(m->mem.ctx, s->gpa, s->now, pae(m) ? 8 : 4);
    }
    if (out->steps == 2 && out->step[0].gpa == out->step[1].gpa)
        out->step[0].now = out->step[1].now;
}

/* Where the walk begins. 4.3: CR3 names the page directory. 4.4.2: a PDPTE does. false: that is not
 * present. */
static bool directory(const struct refmmu *m, uint32_t la, uint64_t *pd)
{
    if (!pae(m)) {
        *pd = m->cr3 & bits(31, 12);
        return true;
    }
    *pd = m->pdpte[la >> 30] & bits(m->maxphyaddr - 1, 12);
    return (m->pdpte[la >> 30] & E_P) != 0;
}

static void walk(const struct refmmu *m, uint32_t la, enum refmmu_kind kind, bool user,
                 struct refmmu_walk *out)
{
    const unsigned width = pae(m) ? 8 : 4;   /* bytes of an entry */
    const unsigned shift = pae(m) ? 21 : 22; /* what a PDE maps */
    const uint32_t index = pae(m) ? 511 : 1023;
    uint64_t pd, pde, pte;

    if (!directory(m, la, &pd)) {
        fault(m, kind, user, 0, out);
        return;
    }
    if (!step(m, pd + (la >> shift & index) * width, false, kind, user, out, &pde))
        return;

    const bool large = maps_large(m, pde);
    if (large)
        pte = pde;
    else if (!step(m, target(m, pde, false) + (la >> 12 & index) * width, true, kind, user, out,
                   &pte))
        return;

    if (!allowed(m, pde & pte, pde | pte, kind, user)) {
        fault(m, kind, user, ERR_P, out);
        return;
    }
    out->size = (uint64_t)1 << (large ? shift : 12);
    out->gpa = target(m, pte, large) + (la & (out->size - 1));
    mark(m, kind, out);
}

void refmmu_access(const struct refmmu *m, uint32_t la, enum refmmu_kind kind, bool user,
                   struct refmmu_walk *out)
{
    *out = (struct refmmu_walk){0};
    if (m->cr0 & CR0_PG_BIT) {
        walk(m, la, kind, user, out);
        return;
    }
    out->gpa = la;
    out->size = (uint64_t)1 << 32;
}

/* Table 4-8: reserved are 2:1, 8:5 and all above the physical address, in an entry that is present.
 */
bool refmmu_load_pdptes(struct refmmu *m)
{
    const uint64_t reserved = bits(2, 1) | bits(8, 5) | bits(63, m->maxphyaddr);
    uint64_t e[4];

    for (unsigned i = 0; i < 4; i++) {
        e[i] = m->mem.load(m->mem.ctx, (m->cr3 & bits(31, 5)) + 8 * i, 8);
        if ((e[i] & E_P) && (e[i] & reserved))
            return false;
    }
    for (unsigned i = 0; i < 4; i++)
        m->pdpte[i] = e[i];
    return true;
}
