/*
 * See shadow.h for the invariants: entries, table pages, mapping. Each table page has a
 * struct shadow_page beside it (by its index in the arena); an entry is named by page * 512 +
 * index.
 */
#include <errno.h>
#include <stdatomic.h>

#include "vmm/engine.h"
#include "vmm/shadow/shadow_int.h"

/* Table pages taken back at once when the quota is used up: each batch costs one flush. */
#define RECLAIM_BATCH 8

/* --- entries --------------------------------------------------------------------------------- */

spte_t shadow_entry_get(const struct shadow *sh, uint32_t entry)
{
    const _Atomic uint64_t *p = (const _Atomic uint64_t *)(const void *)shadow_entry_at(sh, entry);
    return (spte_t){atomic_load_explicit(p, memory_order_relaxed)};
}

la_t shadow_entry_la(const struct shadow *sh, uint32_t entry)
{
    const struct shadow_page *sp = &sh->page[entry / ENTRIES];
    const unsigned shift = PAGE_SHIFT + 9u * (sp->role.level - 1u);
    return shift >= 32 ? 0 : sp->la + ((la_t)(entry % ENTRIES) << shift);
}

/* Need the engine be told of a change in the page? */
static bool concerns(const struct shadow *sh, const struct engine *e, uint32_t page)
{
    return e && (!e->user_only || shadow_page_serves_user(sh, page));
}

void shadow_entry_reform(struct shadow *sh, uint32_t entry, spte_t val)
{
    _Atomic uint64_t *p = (_Atomic uint64_t *)(void *)shadow_entry_at(sh, entry);
    const spte_t old = {atomic_load_explicit(p, memory_order_relaxed)};
    atomic_store_explicit(p, val.raw, memory_order_release);
    for (int i = 0; i < MAX_ENGINES; i++) {
        struct engine *e = sh->engine[i];
        if (!concerns(sh, e, entry / ENTRIES) || !e->walks)
            continue;
        e->ops->restricted(e, entry * (uint32_t)sizeof(spte_t), shadow_entry_la(sh, entry), old,
                           val);
        e->ops->flush(e);
    }
}

/* The one place that changes what an entry translates: stores it, and tells the engines if it
 * restricts. I7: a large entry that says the same makes way first. */
void shadow_entry_set(struct shadow *sh, uint32_t entry, spte_t val)
{
    const struct shadow_page *sp = &sh->page[entry / ENTRIES];
    if (sp->collapsed)
        shadow_split(sh, entry / ENTRIES);
    _Atomic uint64_t *p = (_Atomic uint64_t *)(void *)shadow_entry_at(sh, entry);
    const spte_t old = {atomic_load_explicit(p, memory_order_relaxed)};
    const bool everywhere = sp->multi || sp->role.level > 1;

    atomic_store_explicit(p, val.raw, memory_order_release);
    if (spte_relaxes(old, val) && !(spte_is_mmio(old) && old.raw != val.raw))
        return;
    sh->stats.restricts++;
    if (sh->watch && shadow_entry_used(old))
        sh->watch->restricted(sh->watch->ctx, sp->role.space, shadow_entry_la(sh, entry),
                              sp->role.level, sh->gfns[entry], old, val);
    for (int i = 0; i < MAX_ENGINES; i++) {
        struct engine *e = sh->engine[i];
        if (!concerns(sh, e, entry / ENTRIES))
            continue;
        e->ops->restricted(e, entry * (uint32_t)sizeof(spte_t), shadow_entry_la(sh, entry), old,
                           val);
        if (everywhere)
            e->ops->flush(e);
    }
}

void shadow_flush_engines(struct shadow *sh)
{
    sh->stats.flushes++;
    for (int i = 0; i < MAX_ENGINES; i++)
        if (sh->engine[i]) {
            sh->engine[i]->ops->flush(sh->engine[i]);
            sh->engine[i]->ops->sync(sh->engine[i]);
        }
}

static bool is_monitor_half(const struct shadow *sh, uint32_t entry)
{
    return sh->page[entry / ENTRIES].role.level == 4 && entry % ENTRIES == ENTRIES - 1;
}

void shadow_entry_clear(struct shadow *sh, uint32_t entry)
{
    struct shadow_page *sp = &sh->page[entry / ENTRIES];
    const spte_t old = shadow_entry_get(sh, entry);

    if (!shadow_entry_used(old) || is_monitor_half(sh, entry))
        return;
    if (sp->role.level > 1) {
        srmap_remove(&sh->parents, shadow_child(sh, entry, old), entry);
    } else if (spte_present(old)) {
        srmap_remove(&sh->rmap, shadow_entry_key(sh, entry), entry); /* I3 */
        sh->stats.leaves--;
    }
    shadow_entry_set(sh, entry, SPTE_NONE);
    sp->live--;
}

/* I4: with its first entry, a table is watched. That may split (I7) what the entry leads to, so it
 * comes before anybody asks what the entry is to say. */
static void entry_begin(struct shadow *sh, uint32_t entry)
{
    struct shadow_page *sp = &sh->page[entry / ENTRIES];
    if (sp->live++ == 0 && sp->role.kind == ROLE_TABLE && !sp->unsync && sp->role.gfn < MM_GFNS)
        shadow_write_protect_in(sh, sp->role.space, sp->role.gfn, 1);
    if (sp->live == 1)
        sp->fill_at = 1;
    sp->idle = 0;
}

/* An entry of a page that has begun comes into use. */
static void entry_use(struct shadow *sh, uint32_t entry, spte_t val, gpte_t from)
{
    sh->snapshot[entry] = from;
    shadow_entry_set(sh, entry, val);
    sh->stats.installs++;
    shadow_collapse(sh, entry / ENTRIES);
}

/* --- table pages ----------------------------------------------------------------------------- */

static bool role_same(const struct role *a, const struct role *b)
{
    return a->gfn == b->gfn && a->space == b->space && a->kind == b->kind && a->level == b->level &&
           a->quadrant == b->quadrant && a->fmt == b->fmt && a->user == b->user &&
           a->writable == b->writable && a->nx == b->nx && a->wp == b->wp && a->pse == b->pse &&
           a->nxe == b->nxe;
}

static void age_append(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    sp->older = sh->newest;
    sp->newer = 0;
    if (sh->newest)
        sh->page[sh->newest - 1].newer = page + 1;
    else
        sh->oldest = page + 1;
    sh->newest = page + 1;
}

static void age_remove(struct shadow *sh, uint32_t page)
{
    const struct shadow_page *sp = &sh->page[page];
    if (sp->older)
        sh->page[sp->older - 1].newer = sp->newer;
    else
        sh->oldest = sp->newer;
    if (sp->newer)
        sh->page[sp->newer - 1].older = sp->older;
    else
        sh->newest = sp->older;
}

static void hash_remove(struct shadow *sh, uint32_t page)
{
    const struct role *r = &sh->page[page].role;
    uint32_t *p = &sh->hash[shadow_hash(r->space, r->gfn)];
    while (*p != page + 1)
        p = &sh->page[*p - 1].hash_next;
    *p = sh->page[page].hash_next;
}

static uint32_t page_find(const struct shadow *sh, const struct role *role)
{
    for (uint32_t p = sh->hash[shadow_hash(role->space, role->gfn)]; p;
         p = sh->page[p - 1].hash_next)
        if (role_same(&sh->page[p - 1].role, role))
            return p - 1;
    return NO_PAGE;
}

uint32_t shadow_page_new(struct shadow *sh, const struct role *role)
{
    const uint32_t page = arena_alloc(&sh->arena);
    if (page == NO_PAGE)
        return NO_PAGE;
    sh->page[page] = (struct shadow_page){.role = *role, .used = true};
    if (role->kind != ROLE_ROOT) {
        struct shadow_page *sp = &sh->page[page];
        uint32_t *head = &sh->hash[shadow_hash(role->space, role->gfn)];
        sp->hash_next = *head;
        *head = page + 1;
        age_append(sh, page);
    }
    sh->stats.pages++;
    return page;
}

/* Take a page out of everything; its memory is free only after shadow_flush_engines(). */
void shadow_page_detach(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    for (uint32_t e; (e = srmap_first(&sh->parents, page)) != SRMAP_END;)
        shadow_entry_clear(sh, e);
    for (uint32_t i = 0; i < ENTRIES; i++)
        shadow_entry_clear(sh, page * ENTRIES + i);
    if (sp->unsync)
        shadow_unsync_remove(sh, page);
    if (sp->role.kind != ROLE_ROOT) {
        hash_remove(sh, page);
        age_remove(sh, page);
    }
    sp->used = false;
    sh->stats.pages--;
}

void shadow_pages_free(struct shadow *sh, const uint32_t *page, unsigned n)
{
    if (n == 0)
        return;
    /* Before a page can become another table, no CPU may hold it as this one. */
    shadow_flush_engines(sh);
    for (unsigned i = 0; i < n; i++)
        arena_free(&sh->arena, page[i]);
}

/* Make room in the arena, oldest pages first. false: nothing can go. */
bool shadow_reclaim(struct shadow *sh)
{
    uint32_t gone[RECLAIM_BATCH];
    unsigned n = 0;
    while (n < RECLAIM_BATCH && sh->oldest) {
        gone[n] = sh->oldest - 1;
        shadow_page_detach(sh, gone[n++]);
    }
    sh->stats.reclaims += n;
    shadow_pages_free(sh, gone, n);
    return n > 0;
}

/* --- walking the shadow ---------------------------------------------------------------------- */

static unsigned level_index(la_t la, unsigned level)
{
    return (unsigned)(((uint64_t)la >> (PAGE_SHIFT + 9 * (level - 1))) & (ENTRIES - 1));
}

uint32_t shadow_find(const struct shadow *sh, la_t la, bool user)
{
    return shadow_find_at(sh, la, user, 1);
}

uint32_t shadow_find_at(const struct shadow *sh, la_t la, bool user, unsigned last)
{
    /* Not only a root in use: what INVLPG finds nothing of must not come back with the view. */
    const int cur = sh->current[shadow_view_of(sh, user)];
    if (cur < 0)
        return NO_ENTRY;
    uint32_t page = sh->root[cur].pdpt;
    for (unsigned level = 3; level > last; level--) {
        const spte_t e = shadow_entry_get(sh, page * ENTRIES + level_index(la, level));
        if (!spte_present(e))
            return NO_ENTRY;
        page = shadow_child(sh, page * ENTRIES + level_index(la, level), e);
    }
    return page * ENTRIES + level_index(la, last);
}

uint64_t shadow_empty_until(const struct shadow *sh, la_t la, bool user)
{
    const int cur = sh->current[shadow_view_of(sh, user)];
    if (cur < 0)
        return (uint64_t)UINT32_MAX + 1;
    uint32_t page = sh->root[cur].pdpt;
    for (unsigned level = 3; level > 1; level--) {
        const spte_t e = shadow_entry_get(sh, page * ENTRIES + level_index(la, level));
        const unsigned shift = PAGE_SHIFT + 9 * (level - 1);
        if (!spte_present(e))
            return (((uint64_t)la >> shift) + 1) << shift;
        page = shadow_child(sh, page * ENTRIES + level_index(la, level), e);
    }
    return la;
}

static bool effective_write(const struct shadow *sh, bool user, const struct walk *w)
{
    return w->writable || (!user && !sh->mode.wp && sh->mode.fmt != GPAGING_OFF);
}

/* The role of the page directory that translates la. */
static struct role directory_role(const struct shadow *sh, la_t la, bool user)
{
    const struct gmode *m = &sh->mode;
    struct role r = {.space = (uint8_t)sh->cur,
                     .level = 2,
                     .user = user,
                     .writable = true,
                     .fmt = (uint8_t)m->fmt};
    switch (m->fmt) {
    case GPAGING_OFF:
        r.kind = ROLE_DIRECT;
        r.gfn = la >> 30 << 18;
        return r;
    case GPAGING_2LEVEL:
        r.kind = ROLE_TABLE;
        r.gfn = (uint32_t)(m->root >> PAGE_SHIFT);
        r.quadrant = (uint8_t)(la >> 30);
        break;
    case GPAGING_PAE:
        r.kind = ROLE_TABLE;
        r.gfn = (uint32_t)(gpte_table((gpte_t){m->pdpte[la >> 30]}, m->fmt) >> PAGE_SHIFT);
        break;
    }
    r.pse = m->pse;
    r.nxe = m->nx;
    r.wp = !user && m->wp;
    return r;
}

/* The role of the table below the directory. */
static struct role table_role(const struct shadow *sh, la_t la, bool user, const struct walk *w)
{
    const struct gmode *m = &sh->mode;
    struct role r = {.space = (uint8_t)sh->cur,
                     .level = 1,
                     .user = user,
                     .writable = true,
                     .fmt = (uint8_t)m->fmt};
    const bool second_half = (la >> 21 & 1) != 0;

    if (m->fmt == GPAGING_OFF) {
        r.kind = ROLE_DIRECT;
        r.gfn = la >> 21 << 9;
        return r;
    }
    r.nxe = m->nx;
    r.wp = !user && m->wp;
    if (w->large) {
        r.kind = ROLE_SPLINTER;
        r.gfn = (uint32_t)(w->gpa >> 21 << 9);
        r.writable = effective_write(sh, user, w) && w->dirty;
        r.nx = w->nx;
        return r;
    }
    r.kind = ROLE_TABLE;
    r.gfn = (uint32_t)(gpte_table(w->pde, m->fmt) >> PAGE_SHIFT);
    r.quadrant = m->fmt == GPAGING_2LEVEL && second_half;
    r.writable = (w->pde.raw & GPTE_W) != 0;
    r.nx = m->nx && (w->pde.raw & GPTE_NX);
    return r;
}

/* A page, with all below it, translates more than one linear address from now on (a PAE directory
 * may stand in several PDPTEs): an engine cannot be told of a change by address. */
static void page_spread(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    if (sp->multi)
        return;
    sp->multi = true;
    for (uint32_t i = 0; sp->role.level > 1 && i < ENTRIES; i++) {
        const spte_t e = shadow_entry_get(sh, page * ENTRIES + i);
        if (spte_present(e))
            page_spread(sh, shadow_child(sh, page * ENTRIES + i, e));
    }
}

/* A page is about to translate where it did not. A table that was freed and is used again under
 * another entry needs no flush of the guest's: no TLB can have held what it was before, so its
 * shadow must not either, nor what hangs below it, where no INVLPG has reached meanwhile. */
static void page_refresh(struct shadow *sh, uint32_t page)
{
    if (!sh->unsync)
        return;
    if (sh->page[page].unsync)
        shadow_sync_page(sh, page);
    for (uint32_t i = 0; sh->page[page].role.level > 1 && i < ENTRIES; i++) {
        const spte_t e = shadow_entry_get(sh, page * ENTRIES + i);
        if (spte_present(e))
            page_refresh(sh, shadow_child(sh, page * ENTRIES + i, e));
    }
}

/* The child of an entry, with this role; what hangs there otherwise goes. NO_PAGE: the quota is
 * used up. */
static uint32_t child_get(struct shadow *sh, uint32_t entry, const struct role *role, la_t la,
                          gpte_t from)
{
    const spte_t e = shadow_entry_get(sh, entry);
    if (spte_present(e)) {
        const uint32_t page = shadow_child(sh, entry, e);
        if (role_same(&sh->page[page].role, role)) {
            sh->snapshot[entry] = from;
            return page;
        }
        shadow_entry_clear(sh, entry);
    }
    uint32_t page = page_find(sh, role);
    if (page != NO_PAGE)
        page_refresh(sh, page);
    if (page == NO_PAGE)
        page = shadow_page_new(sh, role);
    if (page == NO_PAGE)
        return NO_PAGE;
    struct shadow_page *sp = &sh->page[page];
    if (!sp->placed) {
        sp->placed = true;
        sp->la = la;
    }
    if (sp->la != la || sh->page[entry / ENTRIES].multi)
        page_spread(sh, page);
    entry_begin(sh, entry);
    srmap_add(&sh->parents, page, entry);
    sh->gfns[entry] = page;
    entry_use(sh, entry, shadow_link(sh, page), from);
    return page;
}

/* Make room for a path: tables first; if that was not enough, because roots hold the quota, a root
 * too. */
static bool make_room(struct shadow *sh, unsigned round)
{
    bool some = shadow_reclaim(sh);
    struct root *r = round ? shadow_root_oldest(sh) : NULL;
    if (r) {
        shadow_root_drop(sh, r);
        some = true;
    }
    return some && round < 2 * MAX_ROOTS;
}

/* The leaf entry for la, its tables made as needed; NO_ENTRY: the quota is too small. I5:
 * everything is looked up again after a reclaim. */
static uint32_t find_or_make(struct shadow *sh, la_t la, bool user, const struct walk *w)
{
    const struct role dir = directory_role(sh, la, user), table = table_role(sh, la, user, w);
    unsigned round = 0;
    do {
        const uint32_t pdpt = shadow_root_get(sh, user)->pdpt;
        const uint32_t d = child_get(sh, pdpt * ENTRIES + level_index(la, 3), &dir,
                                     la & ~(la_t)0x3fffffff, (gpte_t){0});
        if (d == NO_PAGE)
            continue;
        const uint32_t t =
            child_get(sh, d * ENTRIES + level_index(la, 2), &table, la & ~(la_t)0x1fffff, w->pde);
        if (t != NO_PAGE)
            return t * ENTRIES + level_index(la, 1);
    } while (make_room(sh, round++));
    return NO_ENTRY;
}

/* --- mapping --------------------------------------------------------------------------------- */

static int install(struct shadow *sh, la_t la, bool user, const struct walk *w, spte_t val)
{
    const gfn_t gfn = gfn_of(w->gpa);
    const uint32_t entry = find_or_make(sh, la, user, w);
    if (entry == NO_ENTRY)
        return -ENOSPC;
    const gpte_t from = w->large ? (gpte_t){0} : w->pte;
    const spte_t old = shadow_entry_get(sh, entry);
    if (spte_present(old) && spte_present(val) && sh->gfns[entry] == gfn) {
        /* the same page with another frame or right */
        sh->snapshot[entry] = from;
        if (old.raw != val.raw) {
            shadow_entry_set(sh, entry, val);
            sh->stats.installs++;
            shadow_collapse(sh, entry / ENTRIES);
        }
        return 0;
    }
    shadow_entry_clear(sh, entry);
    sh->gfns[entry] = gfn;
    if (spte_present(val)) {
        srmap_add(&sh->rmap, shadow_entry_key(sh, entry), entry); /* I3 */
        sh->stats.leaves++;
    }
    entry_begin(sh, entry);
    entry_use(sh, entry, val, from);
    return 0;
}

int shadow_map(struct shadow *sh, la_t la, bool user, const struct walk *w, frame_t frame,
               bool writable)
{
    user = shadow_view_of(sh, user);
    /* I2, I4 */
    const bool write = writable && w->dirty && effective_write(sh, user, w) &&
                       !shadow_table_protected(sh, gfn_of(w->gpa));
    const int rc = install(sh, la, user, w, spte_leaf(frame, write, w->nx));
    /* A table that maps itself: installing its first entry has just made it a watched table. */
    if (write && shadow_table_protected(sh, gfn_of(w->gpa)))
        shadow_write_protect(sh, gfn_of(w->gpa), 1);
    return rc;
}

int shadow_map_mmio(struct shadow *sh, la_t la, bool user, const struct walk *w)
{
    user = shadow_view_of(sh, user);
    const bool write = w->dirty && effective_write(sh, user, w);
    const spte_t val = {(w->gpa & ~(uint64_t)PAGE_MASK) | SPTE_MMIO | (write ? SPTE_W : 0) |
                        (w->nx ? SPTE_NX : 0)};
    return install(sh, la, user, w, val);
}

spte_t shadow_lookup(const struct shadow *sh, la_t la, bool user, gfn_t *gfn)
{
    const uint32_t entry = shadow_find(sh, la, user);
    if (entry == NO_ENTRY)
        return SPTE_NONE;
    if (gfn)
        *gfn = sh->gfns[entry];
    if (!sh->large)
        return shadow_entry_get(sh, entry);
    /* What the CPU finds, as against what ought to stand there. */
    const spte_t above = shadow_entry_get(sh, shadow_find_at(sh, la, user, 2));
    return spte_large(above) ? spte_part(above, entry % ENTRIES) : shadow_entry_get(sh, entry);
}

unsigned shadow_near(const struct shadow *sh, la_t la, bool user)
{
    const uint32_t entry = shadow_find(sh, la, user);
    unsigned missing = 0;
    if (entry == NO_ENTRY)
        return 0;
    for (uint32_t i = 0; i < SHADOW_NEAR; i++)
        if (!shadow_entry_used(shadow_entry_get(sh, (entry & ~(SHADOW_NEAR - 1u)) + i)))
            missing |= 1u << i;
    return missing;
}
