/*
 * The audit of the shadow tables: every invariant of shadow.h, over every entry.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "vmm/shadow/shadow_int.h"

struct audit {
    struct shadow *sh;
    char *msg;
    size_t len;
    uint64_t leaves, links, large;
};

__attribute__((format(printf, 2, 3))) static int broken(struct audit *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->msg, a->len, fmt, ap);
    va_end(ap);
    return -EUCLEAN;
}

static int audit_leaf(struct audit *a, uint32_t entry)
{
    struct shadow *sh = a->sh;
    const struct shadow_page *sp = &sh->page[entry / ENTRIES];
    const spte_t s = shadow_entry_get(sh, entry);
    const gfn_t gfn = sh->gfns[entry];
    const la_t la = shadow_entry_la(sh, entry);

    if (!spte_present(s))
        return 0;
    a->leaves++;
    if (!sh->space[sp->role.space].gmem)
        return broken(a, "shadow of %08x belongs to space %u, which is gone", la, sp->role.space);
    const pte_t pte = mm_pte(sh->space[sp->role.space].gmem->mm, gfn);
    if (!pte_present(pte) || pte_frame(pte) != spte_frame(s))
        return broken(a, "I1: shadow of %08x maps frame %u, the mm's entry for gfn %x is %08x", la,
                      spte_frame(s), gfn, pte.raw);
    if (spte_writable(s) && !(pte_writable(pte) && pte_dirty(pte)))
        return broken(a, "I2: shadow of %08x is writable, the mm's entry for gfn %x is %08x", la,
                      gfn, pte.raw);
    if (spte_writable(s) && sp->role.kind == ROLE_TABLE && !gpte_dirty(sh->snapshot[entry]))
        return broken(a, "I2: shadow of %08x is writable, the guest's entry %llx is clean", la,
                      (unsigned long long)sh->snapshot[entry].raw);
    if (spte_writable(s) && shadow_table_watched(sh, sp->role.space, gfn))
        return broken(a, "I4: shadow of %08x lets write gfn %x, a guest table in step", la, gfn);
    if (sp->role.kind == ROLE_TABLE && sp->role.user && !(sh->snapshot[entry].raw & GPTE_U))
        return broken(a, "I6: the user view of %08x maps a supervisor page (%llx)", la,
                      (unsigned long long)sh->snapshot[entry].raw);
    if (!srmap_contains(&sh->rmap, shadow_entry_key(sh, entry), entry))
        return broken(a, "I3: shadow of %08x is not in the reverse map of gfn %x", la, gfn);
    return 0;
}

static int audit_link(struct audit *a, uint32_t entry)
{
    struct shadow *sh = a->sh;
    const struct shadow_page *sp = &sh->page[entry / ENTRIES];
    const spte_t s = shadow_entry_get(sh, entry);

    if (sp->role.level == 4 && entry % ENTRIES == ENTRIES - 1)
        return s.raw == sh->monitor_half.raw
                   ? 0
                   : broken(a, "I6: root %u has lost the monitor's half", entry / ENTRIES);
    if (!spte_present(s))
        return 0;
    a->links++;
    if (!spte_large(s) &&
        (spte_addr(s) < ARENA_MPA || arena_page_of(spte_addr(s)) >= sh->arena.grown))
        return broken(a, "I6: table %u entry %u points outside the arena: %llx", entry / ENTRIES,
                      entry % ENTRIES, (unsigned long long)s.raw);
    const uint32_t child = shadow_child(sh, entry, s);
    if (child >= sh->arena.grown)
        return broken(a, "I7: table %u entry %u is large, with no table behind it: %llx",
                      entry / ENTRIES, entry % ENTRIES, (unsigned long long)s.raw);
    const struct shadow_page *cp = &sh->page[child];
    if (!cp->used || cp->role.level + 1 != sp->role.level || cp->role.user != sp->role.user ||
        cp->role.space != sp->role.space)
        return broken(a, "table %u entry %u points to table %u, which is no child for it",
                      entry / ENTRIES, entry % ENTRIES, child);
    if (s.raw != shadow_link(sh, child).raw)
        return broken(a, "I7: table %u entry %u is %llx, table %u behind it is %s", entry / ENTRIES,
                      entry % ENTRIES, (unsigned long long)s.raw, child,
                      cp->collapsed ? "collapsed" : "not collapsed");
    if (!cp->multi && (sp->multi || (sp->role.level < 4 && cp->la != shadow_entry_la(sh, entry))))
        return broken(a, "table %u translates more than %08x and does not know it", child, cp->la);
    if (!srmap_contains(&sh->parents, child, entry))
        return broken(a, "table %u does not know its parent, table %u entry %u", child,
                      entry / ENTRIES, entry % ENTRIES);
    return 0;
}

/* A table that is in step has been made from what the guest has now, A and D aside. */
static int audit_step(struct audit *a, uint32_t entry)
{
    struct shadow *sh = a->sh;
    const struct shadow_page *sp = &sh->page[entry / ENTRIES];
    gpte_t now;

    if (sp->role.kind != ROLE_TABLE || sp->unsync || sp->role.gfn >= MM_GFNS ||
        !shadow_entry_used(shadow_entry_get(sh, entry)))
        return 0;
    /* A table that is swapped out cannot have changed; do not bring it in for this. */
    if (!pte_present(mm_pte(sh->space[sp->role.space].gmem->mm, sp->role.gfn)))
        return 0;
    if (shadow_guest_entry(sh, entry / ENTRIES, entry % ENTRIES, &now) < 0)
        return 0;
    if ((now.raw ^ sh->snapshot[entry].raw) & ~(GPTE_A | GPTE_D))
        return broken(a, "I4: table gfn %x is marked in step, its entry is %llx and was %llx",
                      sp->role.gfn, (unsigned long long)now.raw,
                      (unsigned long long)sh->snapshot[entry].raw);
    return 0;
}

static bool all_zero(const spte_t s[8])
{
    uint64_t any = 0;
    for (unsigned i = 0; i < 8; i++)
        any |= s[i].raw;
    return any == 0;
}

static int audit_page(struct audit *a, uint32_t page)
{
    const struct shadow_page *sp = &a->sh->page[page];
    const spte_t *table = arena_table(&a->sh->arena, page);
    uint32_t live = 0;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        /* Most of a table is: tests audit after every event. */
        if (i % 8 == 0 && all_zero(table + i) && !(sp->role.level == 4 && i == ENTRIES - 8)) {
            i += 7;
            continue;
        }
        const uint32_t entry = page * ENTRIES + i;
        const bool monitor = sp->role.level == 4 && i == ENTRIES - 1;
        live += !monitor && shadow_entry_used(shadow_entry_get(a->sh, entry));
        int err = sp->role.level == 1 ? audit_leaf(a, entry) : audit_link(a, entry);
        if (!err)
            err = audit_step(a, entry);
        if (err)
            return err;
    }
    if (sp->collapsed && (sp->role.level != 1 || !shadow_uniform(a->sh, page)))
        return broken(a, "I7: table %u (%08x) is collapsed, its entries are not one run", page,
                      sp->la);
    a->large += sp->collapsed;
    return live == sp->live ? 0
                            : broken(a, "table %u of level %u has %u entries in use and counts %u",
                                     page, sp->role.level, live, sp->live);
}

static bool is_root_page(const struct shadow *sh, uint32_t page, unsigned level,
                         const struct root *r)
{
    const struct shadow_page *sp = &sh->page[page];
    return page < sh->arena.grown && sp->used && sp->role.kind == ROLE_ROOT &&
           sp->role.level == level && sp->role.user == r->user && sp->role.space == r->space;
}

static int audit_roots(struct audit *a)
{
    const struct shadow *sh = a->sh;

    for (int i = 0; i < MAX_ROOTS; i++) {
        const struct root *r = &sh->root[i];
        if (r->valid && (!is_root_page(sh, r->pml4, 4, r) || !is_root_page(sh, r->pdpt, 3, r) ||
                         spte_addr(shadow_entry_get(sh, r->pml4 * ENTRIES)) != arena_mpa(r->pdpt)))
            return broken(a, "I5: root %d is kept, its tables %u and %u are no longer its own", i,
                          r->pml4, r->pdpt);
    }
    for (int user = 0; user < 2; user++) {
        if (sh->current[user] < 0)
            continue;
        const struct root *r = &sh->root[sh->current[user]];
        if (!r->valid || r->user != user || r->space != sh->cur || !gmode_same(&r->mode, &sh->mode))
            return broken(a, "I5: root %d is current, and is not one for the mode",
                          sh->current[user]);
    }
    return 0;
}

/* I4: what is marked out of step is what a flush will go through. */
static int audit_unsync(struct audit *a)
{
    const struct shadow *sh = a->sh;
    uint32_t marked = 0, listed = 0;

    for (uint32_t page = 0; page < sh->arena.grown; page++)
        marked += sh->page[page].used && sh->page[page].unsync;
    for (uint32_t p = sh->unsync; p && listed <= marked; p = sh->page[p - 1].unsync_next, listed++)
        if (!sh->page[p - 1].used || !sh->page[p - 1].unsync)
            return broken(a, "I4: table %u is in the list of those out of step, and is not marked",
                          p - 1);
    return listed == marked
               ? 0
               : broken(a, "I4: %u tables are marked out of step, not all listed", marked);
}

int shadow_audit(struct shadow *sh, char *msg, size_t len)
{
    struct audit a = {.sh = sh, .msg = msg, .len = len};
    uint64_t pages = 0;

    if (audit_roots(&a) < 0 || audit_unsync(&a) < 0)
        return -EUCLEAN;
    for (uint32_t page = 0; page < sh->arena.grown; page++) {
        if (!sh->page[page].used)
            continue;
        pages++;
        const int err = audit_page(&a, page);
        if (err)
            return err;
    }
    if (a.leaves != sh->stats.leaves || a.leaves != srmap_count(&sh->rmap))
        return broken(&a, "I3: %llu present leaf entries, %llu counted, %llu in the reverse map",
                      (unsigned long long)a.leaves, (unsigned long long)sh->stats.leaves,
                      (unsigned long long)srmap_count(&sh->rmap));
    if (a.links != srmap_count(&sh->parents))
        return broken(&a, "%llu links between tables, %llu in the list of parents",
                      (unsigned long long)a.links, (unsigned long long)srmap_count(&sh->parents));
    if (a.large != sh->stats.large)
        return broken(&a, "I7: %llu collapsed tables, %llu counted", (unsigned long long)a.large,
                      (unsigned long long)sh->stats.large);
    if (pages != sh->stats.pages || pages != sh->arena.used)
        return broken(&a, "%llu table pages in use, %llu counted, the arena counts %u",
                      (unsigned long long)pages, (unsigned long long)sh->stats.pages,
                      sh->arena.used);
    return 0;
}
