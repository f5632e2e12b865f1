/* See strict_tlb.h. */
#include "vmm/strict_tlb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/soft_engine.h"
#include "vmm/vm.h"

enum { PAGES = 1 << 20, REGIONS = 1 << 11 };
enum entry_flags {
    E_GLOBAL = 1,
    E_LARGE = 2,
    E_W = 4,
    E_U = 8,
    E_NX = 16,
    E_DIRTY = 32,
    E_OLD = 64
};

struct entry {
    uint64_t pde, pte; /* as the tables had them; pte is 0 for a large page */
    uint64_t epoch;    /* of the last comparison */
    gfn_t gfn;
    uint32_t gen;   /* valid if it is strict_tlb.gen[global] */
    uint32_t flags; /* enum entry_flags; E_OLD: A was found cleared, and counted */
};

/* A directory entry that a walk went through: paging-structure caches (SDM vol. 3, 4.10.3). */
struct dir_entry {
    uint64_t pde;
    uint64_t gen;
};

struct strict_tlb {
    struct vm *vm;
    struct entry *entry; /* by linear page */
    struct dir_entry dir[REGIONS];
    uint32_t gen[2];  /* of entries that are not global, that are */
    uint64_t dir_gen; /* of dir */
    uint64_t epoch;   /* T3 */
    bool written;     /* tables, since the last load of CR3 */
    bool pending;     /* the instruction number pending_at may still write a table */
    uint64_t pending_at;
    uint16_t large[PAGES >> 10]; /* by 4 MiB: entries of large pages that may be valid */
    uint64_t table[PAGES / 64];  /* by gfn: a walk has read from it */
    struct strict_report *report;
    unsigned n, max;
    struct strict_stats stats;
};

int strict_tlb_create(struct vm *vm, unsigned reports, struct strict_tlb **out)
{
    struct strict_tlb *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->vm = vm;
    t->gen[0] = t->gen[1] = 1;
    t->dir_gen = t->epoch = 1;
    t->max = reports;
    t->report = calloc(reports ? reports : 1, sizeof *t->report);
    t->entry = mmap(NULL, PAGES * sizeof *t->entry, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->entry == MAP_FAILED)
        t->entry = NULL;
    if (!t->report || !t->entry) {
        strict_tlb_destroy(t);
        return -ENOMEM;
    }
    *out = t;
    return 0;
}

void strict_tlb_destroy(struct strict_tlb *t)
{
    if (!t)
        return;
    if (t->entry)
        munmap(t->entry, PAGES * sizeof *t->entry);
    free(t->report);
    free(t);
}

/* --- entries --------------------------------------------------------------------------------- */

static const struct gmode *mode_of(const struct strict_tlb *t)
{
    return shadow_mode(t->vm->shadow);
}

static bool valid(const struct strict_tlb *t, const struct entry *e)
{
    return e->gen && e->gen == t->gen[(e->flags & E_GLOBAL) != 0];
}

static void drop(struct entry *e)
{
    e->gen = 0;
}

/* The region of a directory entry. */
static unsigned region_of(const struct strict_tlb *t, la_t la)
{
    return la >> (mode_of(t)->fmt == GPAGING_PAE ? 21 : 22);
}

/* SDM vol. 3, 4.6.1, with CR0.WP as it is now. */
static bool permits(const struct strict_tlb *t, const struct entry *e, enum soft_access acc,
                    bool user)
{
    if (user && !(e->flags & E_U))
        return false;
    if (acc == SOFT_X)
        return !(e->flags & E_NX);
    if (acc == SOFT_R)
        return true;
    if (!(e->flags & E_W) && (user || mode_of(t)->wp))
        return false;
    return (e->flags & E_DIRTY) != 0; /* else the processor walks to set D */
}

static void note_table(struct strict_tlb *t, gpa_t at)
{
    const gfn_t gfn = gfn_of(at);
    if (at && gfn < PAGES)
        t->table[gfn / 64] |= 1ull << gfn % 64;
}

static bool is_table(const struct strict_tlb *t, gfn_t gfn)
{
    return gfn < PAGES && (t->table[gfn / 64] >> gfn % 64 & 1);
}

/* What the tables say of this access now. false: they cannot be read. */
static bool walk_now(struct strict_tlb *t, la_t la, enum soft_access acc, bool user, struct walk *w)
{
    const struct walk_access a = {.write = acc == SOFT_W, .user = user, .fetch = acc == SOFT_X};
    walk_guest(t->vm->as, mode_of(t), la, a, false, w);
    note_table(t, w->pde_at);
    note_table(t, w->pte_at);
    return w->status == WALK_OK || w->status == WALK_FAULT;
}

/* T1 */
static void fill(struct strict_tlb *t, struct entry *e, la_t la, enum soft_access acc, bool user)
{
    struct walk w;
    if (!walk_now(t, la, acc, user, &w) || w.status != WALK_OK)
        return; /* the shadow went by an entry that was reported, or that nobody had used */
    const gpte_t leaf = w.large ? w.pde : w.pte;
    const bool global = (leaf.raw & GPTE_G) && (t->vm->cpu.cr4 & CR4_PGE);
    *e = (struct entry){.pde = w.pde.raw,
                        .pte = w.large ? 0 : w.pte.raw,
                        .epoch = t->pending ? 0 : t->epoch,
                        .gfn = gfn_of(w.gpa),
                        .gen = t->gen[global],
                        .flags = (global ? E_GLOBAL : 0) | (w.large ? E_LARGE : 0) |
                                 (w.writable ? E_W : 0) | (w.user ? E_U : 0) | (w.nx ? E_NX : 0) |
                                 (w.dirty ? E_DIRTY : 0)};
    if (w.large)
        t->large[la >> 22] = 1;
    else
        t->dir[region_of(t, la)] = (struct dir_entry){w.pde.raw, t->dir_gen};
}

/* --- reports --------------------------------------------------------------------------------- */

static bool same_report(const struct strict_report *a, const struct strict_report *b)
{
    return a->kind == b->kind && a->access == b->access && a->user == b->user && a->eip == b->eip &&
           (a->la ^ b->la) <= PAGE_MASK && a->old == b->old && a->now == b->now;
}

static void report(struct strict_tlb *t, struct strict_report r)
{
    t->stats.stale++;
    t->stats.by_kind[r.kind]++;
    r.eip = t->vm->cpu.eip;
    r.cr3 = t->vm->cpu.cr3;
    r.insn = soft_insns(soft_engine_cpu(t->vm->soft));
    r.count = 1;
    for (unsigned i = 0; i < t->n; i++)
        if (same_report(&t->report[i], &r)) {
            t->report[i].count++;
            return;
        }
    if (t->n < t->max)
        t->report[t->n++] = r;
    else
        t->stats.untold++;
}

/* Bits of an entry that change nothing of what it translates: those that the processor ignores or
 * sets. */
static bool entry_same(uint64_t a, uint64_t b)
{
    return ((a ^ b) & ~(GPTE_A | GPTE_D | 0xe00)) == 0;
}

static void report_entry(struct strict_tlb *t, const struct entry *e, const struct walk *w,
                         enum strict_kind kind, la_t la, enum soft_access acc, bool user)
{
    const bool directory = (e->flags & E_LARGE) || !entry_same(e->pde, w->pde.raw);
    report(t, (struct strict_report){.kind = kind,
                                     .access = acc,
                                     .user = user,
                                     .directory = directory,
                                     .la = la,
                                     .old = directory ? e->pde : e->pte,
                                     .now = directory ? w->pde.raw : w->pte.raw});
}

/* --- uses ------------------------------------------------------------------------------------ */

/* Does this use of e give what the tables do not? */
static bool stale(const struct entry *e, const struct walk *w, enum soft_access acc,
                  enum strict_kind *kind)
{
    if (w->status != WALK_OK)
        *kind = (w->error & PF_P) && !(w->error & PF_RSVD) ? STRICT_RIGHTS : STRICT_UNMAPPED;
    else if (gfn_of(w->gpa) != e->gfn)
        *kind = STRICT_FRAME;
    else if (acc == SOFT_W && !w->dirty && w->large == ((e->flags & E_LARGE) != 0))
        *kind = STRICT_DIRTY;
    else
        return false;
    return true;
}

/* A kernel that samples use clears A and lets the processor find out when it does: counted once. */
static void see_accessed(struct strict_tlb *t, struct entry *e, const struct walk *w)
{
    const uint64_t leaf = w->large ? w->pde.raw : w->pte.raw;
    const bool old = !(leaf & GPTE_A) || !(w->pde.raw & GPTE_A);
    if (old && !(e->flags & E_OLD))
        t->stats.accessed++;
    e->flags = old ? e->flags | E_OLD : e->flags & ~(uint32_t)E_OLD;
}

/* Nothing is cached of la itself; but a directory entry may be that leads elsewhere than today's.
 */
static void check_directory(struct strict_tlb *t, la_t la, enum soft_access acc, bool user)
{
    const struct gmode *m = mode_of(t);
    const struct dir_entry *d = &t->dir[region_of(t, la)];
    struct walk w;
    gpte_t pte;

    if (d->gen != t->dir_gen || !walk_now(t, la, acc, user, &w) || entry_same(d->pde, w.pde.raw))
        return;
    const bool pae = m->fmt == GPAGING_PAE;
    const gpte_t pde = {d->pde};
    const gpa_t at =
        gpte_table(pde, m->fmt) + (la >> PAGE_SHIFT & (pae ? 511 : 1023)) * (pae ? 8u : 4u);
    if (walk_read(t->vm->as, m->fmt, at, &pte) < 0 || !gpte_present(pte))
        return; /* at worst a fault that is not there the next time */
    const uint64_t both = pde.raw & pte.raw;
    const struct entry e = {.gfn = (gfn_t)(gpte_table(pte, m->fmt) >> PAGE_SHIFT),
                            .flags = ((both & GPTE_W) ? E_W : 0) | ((both & GPTE_U) ? E_U : 0) |
                                     (((pde.raw | pte.raw) & GPTE_NX) && m->nx ? E_NX : 0) |
                                     E_DIRTY};
    if (!permits(t, &e, acc, user) || (w.status == WALK_OK && gfn_of(w.gpa) == e.gfn))
        return;
    report(t, (struct strict_report){.kind = STRICT_DIRECTORY,
                                     .access = acc,
                                     .user = user,
                                     .directory = true,
                                     .la = la,
                                     .old = d->pde,
                                     .now = w.pde.raw});
    t->dir[region_of(t, la)].gen = 0;
}

/* An access is about to be made. */
static void check(struct strict_tlb *t, la_t la, enum soft_access acc, bool user)
{
    struct entry *e = &t->entry[la >> PAGE_SHIFT];
    enum strict_kind kind;
    struct walk w;

    if (t->pending && t->pending_at != soft_insns(soft_engine_cpu(t->vm->soft))) {
        t->pending = false;
        t->epoch++;
    }
    if (!valid(t, e)) {
        check_directory(t, la, acc, user);
        return;
    }
    if (!permits(t, e, acc, user)) {
        drop(e); /* T2 */
        return;
    }
    if (e->epoch == t->epoch || !walk_now(t, la, acc, user, &w))
        return;
    if (stale(e, &w, acc, &kind)) {
        report_entry(t, e, &w, kind, la, acc, user);
        drop(e); /* once is enough */
        t->dir[region_of(t, la)].gen = 0;
        return;
    }
    if (acc == SOFT_W && !w.dirty) { /* by a large page for small ones, or the reverse */
        t->stats.resized++;
        drop(e);
        return;
    }
    see_accessed(t, e, &w);
    if (!t->pending)
        e->epoch = t->epoch;
}

void strict_tlb_used(struct strict_tlb *t, la_t la, enum soft_access acc, bool user,
                     const struct soft_page *page)
{
    struct entry *e = &t->entry[la >> PAGE_SHIFT];

    if (mode_of(t)->fmt == GPAGING_OFF)
        return;
    if (!page) {
        check(t, la, acc, user);
        return;
    }
    if (!valid(t, e))
        fill(t, e, la, acc, user);
    if (acc == SOFT_W && is_table(t, gfn_of(page->gpa))) {
        t->pending = t->written = true; /* T3 */
        t->pending_at = soft_insns(soft_engine_cpu(t->vm->soft));
    }
}

void strict_tlb_written(struct strict_tlb *t, gfn_t gfn)
{
    if (!is_table(t, gfn))
        return;
    t->epoch++;
    t->written = true;
}

/* --- flushes --------------------------------------------------------------------------------- */

/* Is anything cached of la's large page? Drops it. */
static bool drop_large(struct strict_tlb *t, la_t la)
{
    bool any = false;
    if (!t->large[la >> 22])
        return false;
    const uint32_t n = gpte_large_size(mode_of(t)->fmt) >> PAGE_SHIFT;
    struct entry *e = &t->entry[(la >> PAGE_SHIFT) & ~(n - 1)];
    for (uint32_t i = 0; i < n; i++)
        if ((e[i].flags & E_LARGE) && valid(t, &e[i])) {
            any = true;
            drop(&e[i]);
        }
    return any;
}

/* Has what is cached of la changed in any way? */
static bool changed(struct strict_tlb *t, la_t la, const struct entry *e)
{
    const uint64_t kept = ~(uint64_t)0xe00;
    struct walk w;
    if (!walk_now(t, la, SOFT_R, false, &w))
        return true;
    const uint64_t pte = w.large ? 0 : w.pte.raw;
    /* A and D: the processor sets them by itself, but only the guest clears them. */
    const uint64_t set = (e->pde ^ w.pde.raw) & w.pde.raw, set_pte = (e->pte ^ pte) & pte;
    return ((e->pde ^ w.pde.raw) & kept & ~(set & (GPTE_A | GPTE_D))) ||
           ((e->pte ^ pte) & kept & ~(set_pte & (GPTE_A | GPTE_D)));
}

void strict_tlb_invlpg(struct strict_tlb *t, la_t la)
{
    struct entry *e = &t->entry[la >> PAGE_SHIFT];

    t->stats.invlpg++;
    const struct dir_entry *d = &t->dir[region_of(t, la)];
    const bool cached = valid(t, e), dir = d->gen == t->dir_gen;
    const bool other = cached && changed(t, la, e);
    if (mode_of(t)->fmt != GPAGING_OFF) {
        if (!drop_large(t, la) && !cached && !dir)
            t->stats.invlpg_unused++;
        else if (cached && !other)
            t->stats.invlpg_same++;
    }
    drop(e);
    t->dir_gen++;
}

/* All of one sort. */
static void flush(struct strict_tlb *t, bool global)
{
    if (++t->gen[global] == 0) { /* an entry of 2^32 flushes ago must not come back */
        for (uint32_t i = 0; i < PAGES; i++)
            if (t->entry[i].gen && ((t->entry[i].flags & E_GLOBAL) != 0) == global)
                drop(&t->entry[i]);
        t->gen[global] = 1;
    }
}

void strict_tlb_cr_written(struct strict_tlb *t, int reg, uint32_t old)
{
    const struct cpu *c = &t->vm->cpu;
    const bool all = reg == 4   ? ((old ^ c->cr4) & (CR4_PAE | CR4_PGE | CR4_PSE)) != 0
                     : reg == 0 ? ((old ^ c->cr0) & CR0_PG) != 0
                                : reg < 0;

    t->epoch++; /* walks go another way now */
    if (!all && reg != 3)
        return;
    if (reg == 3) {
        t->stats.loads++;
        t->stats.loads_same += old == c->cr3 && !t->written;
    }
    flush(t, false);
    if (all)
        flush(t, true);
    if (all)
        memset(t->large, 0, sizeof t->large);
    memset(t->table, 0, sizeof t->table);
    t->dir_gen++;
    t->written = false;
}

/* --- what came of it ------------------------------------------------------------------------- */

void strict_tlb_get_stats(const struct strict_tlb *t, struct strict_stats *out)
{
    *out = t->stats;
}

const struct strict_report *strict_tlb_reports(const struct strict_tlb *t, unsigned *n)
{
    *n = t->n;
    return t->report;
}
