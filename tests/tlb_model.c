/* See tlb_model.h. */
#include <stddef.h>

#include "tests/tlb_model.h"

#define A_BIT  0x20u
#define D_BIT  0x40u
#define W_BIT  2u
#define U_BIT  4u
#define XD_BIT ((uint64_t)1 << 63)

#define CR0_PG_BIT  (1u << 31)
#define CR0_WP_BIT  (1u << 16)
#define CR4_PAE_BIT (1u << 5)

/* Bits of an entry that neither processor nor manual looks at: PWT, PCD, G, and the guest's own. */
#define IGNORED ((uint64_t)0xf18)

/* --- walks that change nothing --------------------------------------------------------------- */

struct peek {
    const struct refmmu_mem *mem;
    bool forge; /* the first load gives forged */
    uint64_t forged;
};

static uint64_t peek_load(void *ctx, uint64_t gpa, unsigned size)
{
    struct peek *p = ctx;
    if (p->forge) {
        p->forge = false;
        return p->forged;
    }
    return p->mem->load(p->mem->ctx, gpa, size);
}

static void peek_store(void *ctx, uint64_t gpa, uint64_t val, unsigned size)
{
    (void)ctx, (void)gpa, (void)val, (void)size;
}

static void peek(const struct tlb_model *t, uint32_t la, enum refmmu_kind kind, bool user,
                 const uint64_t *pde, struct refmmu_walk *out)
{
    struct peek p = {.mem = &t->mmu->mem, .forge = pde != NULL, .forged = pde ? *pde : 0};
    struct refmmu m = *t->mmu;
    m.mem = (struct refmmu_mem){&p, peek_load, peek_store};
    refmmu_access(&m, la, kind, user, out);
}

void tlb_peek(const struct tlb_model *t, uint32_t la, enum refmmu_kind kind, bool user,
              struct refmmu_walk *out)
{
    peek(t, la, kind, user, NULL, out);
}

/* --- what comes to be known ------------------------------------------------------------------ */

static bool execute_disable(const struct tlb_model *t)
{
    return t->mmu->nxe && (t->mmu->cr4 & CR4_PAE_BIT);
}

static void entry_add(struct tlb_model *t, struct tlb_page *p, const struct tlb_entry *e)
{
    for (unsigned i = 0; i < p->entries; i++) {
        const struct tlb_entry *o = &p->entry[i];
        if (o->gpa == e->gpa && o->writable == e->writable && o->user == e->user &&
            o->nx == e->nx && o->dirty == e->dirty && o->large == e->large)
            return;
    }
    if (p->entries == TLB_ENTRIES)
        t->full = true;
    else
        p->entry[p->entries++] = *e;
}

static bool same_directory(uint64_t a, uint64_t b)
{
    return ((a ^ b) & ~IGNORED) == 0;
}

/* The translation that a kept directory entry and memory of now make; w: the walk by it. */
static void join(struct tlb_model *t, struct tlb_page *p, uint64_t pde, const struct refmmu_walk *w)
{
    uint64_t every = pde, any = pde;

    if (w->fault)
        return;
    const uint64_t leaf = w->step[w->steps - 1].old;
    every &= leaf;
    any |= leaf;
    if (!(every & A_BIT))
        return;
    entry_add(t, p,
              &(struct tlb_entry){.gpa = w->gpa & ~(uint64_t)(TLB_PAGE - 1),
                                  .writable = (every & W_BIT) != 0,
                                  .user = (every & U_BIT) != 0,
                                  .nx = execute_disable(t) && (any & XD_BIT),
                                  .dirty = (leaf & D_BIT) != 0,
                                  .large = w->steps == 1});
}

/* w: a walk by the directory entry of now. */
static void dir_add(struct tlb_model *t, struct tlb_page *p, const struct refmmu_walk *w)
{
    const uint64_t pde = w->step[0].old;

    for (unsigned i = 0; i < p->dirs; i++)
        if (same_directory(p->dir[i].entry, pde))
            return;
    if (p->dirs == TLB_DIRS) {
        t->full = true;
        return;
    }
    p->dir[p->dirs++] = (struct tlb_dir){
        pde, w->steps == 2 ? w->step[1].gpa & ~(uint64_t)(TLB_PAGE - 1) : ~(uint64_t)0};
}

static void look(struct tlb_model *t, struct tlb_page *p)
{
    struct refmmu_walk now, w;

    peek(t, p->la, REF_READ, false, NULL, &now);
    p->directory = now.steps ? now.step[0].gpa & ~(uint64_t)(TLB_PAGE - 1) : ~(uint64_t)0;
    if (now.steps && (now.step[0].old & 1) && (now.step[0].old & A_BIT))
        dir_add(t, p, &now);
    for (unsigned i = 0; i < p->dirs; i++) {
        const uint64_t pde = p->dir[i].entry;
        if (now.steps && same_directory(pde, now.step[0].old)) {
            join(t, p, pde, &now);
        } else {
            peek(t, p->la, REF_READ, false, &pde, &w);
            join(t, p, pde, &w);
        }
    }
}

static bool concerns(const struct tlb_page *p, uint64_t page)
{
    if (p->directory == page)
        return true;
    for (unsigned i = 0; i < p->dirs; i++)
        if (p->dir[i].table == page)
            return true;
    return false;
}

void tlb_written(struct tlb_model *t, uint64_t gpa)
{
    const uint64_t page = gpa & ~(uint64_t)(TLB_PAGE - 1);

    for (unsigned i = 0; i < t->pages; i++)
        if (concerns(&t->page[i], page))
            look(t, &t->page[i]);
}

/* --- what is forgotten ----------------------------------------------------------------------- */

void tlb_init(struct tlb_model *t, struct refmmu *mmu, const uint32_t *la, unsigned pages)
{
    __builtin_memset(t, 0, sizeof *t);
    t->mmu = mmu;
    t->pages = pages;
    for (unsigned i = 0; i < pages; i++)
        t->page[i].la = la[i];
    tlb_flush(t);
}

void tlb_flush(struct tlb_model *t)
{
    t->full = false;
    for (unsigned i = 0; i < t->pages; i++) {
        t->page[i].dirs = t->page[i].entries = 0;
        look(t, &t->page[i]);
    }
}

static void forget(struct tlb_page *p, bool all, uint32_t of, uint32_t la)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < p->entries; i++)
        if (!all && !(p->entry[i].large && (p->la & ~(of - 1)) == (la & ~(of - 1))))
            p->entry[kept++] = p->entry[i];
    p->entries = kept;
}

void tlb_invlpg(struct tlb_model *t, uint32_t la)
{
    const uint32_t large = (t->mmu->cr4 & CR4_PAE_BIT) ? 2u << 20 : 4u << 20;

    for (unsigned i = 0; i < t->pages; i++) {
        struct tlb_page *p = &t->page[i];
        p->dirs = 0;
        forget(p, p->la / TLB_PAGE == la / TLB_PAGE, large, la);
        look(t, p);
    }
}

/* --- what may be used ------------------------------------------------------------------------ */

bool tlb_allows(const struct tlb_model *t, uint32_t la, uint64_t gpa, enum refmmu_kind kind,
                bool user)
{
    if (!(t->mmu->cr0 & CR0_PG_BIT))
        return gpa / TLB_PAGE == la / TLB_PAGE;
    for (unsigned i = 0; i < t->pages; i++) {
        const struct tlb_page *p = &t->page[i];
        if (p->la / TLB_PAGE != la / TLB_PAGE)
            continue;
        for (unsigned k = 0; k < p->entries; k++) {
            const struct tlb_entry *e = &p->entry[k];
            const bool write = e->writable || (!user && !(t->mmu->cr0 & CR0_WP_BIT));
            if (e->gpa == gpa && (!user || e->user) && (kind != REF_FETCH || !e->nx) &&
                (kind != REF_WRITE || (write && e->dirty)))
                return true;
        }
    }
    return false;
}
