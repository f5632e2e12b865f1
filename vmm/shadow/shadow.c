/*
 * See shadow.h for the invariants. Each table page has a struct shadow_page beside it (by its index
 * in the arena), each leaf entry its gfn in gfns[] and its place in the reverse map (srmap.h).
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/engine.h"
#include "vmm/shadow/shadow.h"
#include "vmm/shadow/srmap.h"

#define ENTRIES     512u
#define MAX_ENGINES 2
#define NO_ENTRY    UINT32_MAX

struct shadow_page {
    uint32_t parent;       /* entry that points here; NO_ENTRY for a root */
    la_t la;               /* first linear address it translates */
    uint16_t live;         /* entries in use (present or MMIO) */
    uint8_t level;         /* 1 = leaf table .. 4 = PML4; 0 = page is free */
    uint32_t older, newer; /* leaf tables in order of birth; page + 1 */
};

struct shadow {
    struct mm *mm;
    struct arena arena;
    struct shadow_page *page;
    gfn_t *gfns; /* of each leaf entry */
    struct srmap rmap;
    struct engine *engine[MAX_ENGINES];
    uint32_t root; /* arena page of the PML4 */
    spte_t monitor_half;
    uint32_t oldest, newest; /* page + 1 */
    struct shadow_stats stats;
};

/* --- entries --------------------------------------------------------------------------------- */

static spte_t *entry_at(const struct shadow *sh, uint32_t entry)
{
    return arena_table(&sh->arena, entry / ENTRIES) + entry % ENTRIES;
}

static spte_t entry_get(const struct shadow *sh, uint32_t entry)
{
    const _Atomic uint64_t *p = (const _Atomic uint64_t *)(const void *)entry_at(sh, entry);
    return (spte_t){atomic_load_explicit(p, memory_order_relaxed)};
}

static la_t entry_la(const struct shadow *sh, uint32_t entry)
{
    const struct shadow_page *sp = &sh->page[entry / ENTRIES];
    return sp->la + ((la_t)(entry % ENTRIES) << (PAGE_SHIFT + 9u * (sp->level - 1u)));
}

static unsigned level_index(la_t la, unsigned level)
{
    return (unsigned)(((uint64_t)la >> (PAGE_SHIFT + 9 * (level - 1))) & (ENTRIES - 1));
}

/* The one place that changes an entry: stores it, and tells the engines if it restricts. */
static void entry_set(struct shadow *sh, uint32_t entry, spte_t val)
{
    _Atomic uint64_t *p = (_Atomic uint64_t *)(void *)entry_at(sh, entry);
    const spte_t old = {atomic_load_explicit(p, memory_order_relaxed)};

    atomic_store_explicit(p, val.raw, memory_order_release);
    if (spte_relaxes(old, val))
        return;
    sh->stats.restricts++;
    for (int i = 0; i < MAX_ENGINES; i++)
        if (sh->engine[i])
            sh->engine[i]->ops->restricted(sh->engine[i], entry * (uint32_t)sizeof(spte_t),
                                           entry_la(sh, entry), old, val);
}

static void flush_engines(struct shadow *sh)
{
    sh->stats.flushes++;
    for (int i = 0; i < MAX_ENGINES; i++)
        if (sh->engine[i]) {
            sh->engine[i]->ops->flush(sh->engine[i]);
            sh->engine[i]->ops->sync(sh->engine[i]);
        }
}

static bool entry_used(spte_t s)
{
    return spte_present(s) || spte_is_mmio(s);
}

/* Empty a leaf entry and its place in the reverse map (I3). */
static void leaf_clear(struct shadow *sh, uint32_t entry)
{
    const spte_t old = entry_get(sh, entry);
    if (!entry_used(old))
        return;
    if (spte_present(old)) {
        srmap_remove(&sh->rmap, sh->gfns[entry], entry);
        sh->stats.leaves--;
    }
    entry_set(sh, entry, SPTE_NONE);
    sh->page[entry / ENTRIES].live--;
}

/* --- table pages ----------------------------------------------------------------------------- */

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
    struct shadow_page *sp = &sh->page[page];
    if (sp->older)
        sh->page[sp->older - 1].newer = sp->newer;
    else
        sh->oldest = sp->newer;
    if (sp->newer)
        sh->page[sp->newer - 1].older = sp->older;
    else
        sh->newest = sp->older;
}

static uint32_t page_new(struct shadow *sh, unsigned level, la_t la, uint32_t parent)
{
    const uint32_t page = arena_alloc(&sh->arena);
    if (page == ARENA_NONE)
        return ARENA_NONE;
    sh->page[page] = (struct shadow_page){.parent = parent, .la = la, .level = (uint8_t)level};
    if (level == 1)
        age_append(sh, page);
    sh->stats.pages++;
    return page;
}

/* Unhook a leaf table from its parent, empty it and give it back. */
static void leaf_table_drop(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    assert(sp->level == 1);
    entry_set(sh, sp->parent, SPTE_NONE);
    sh->page[sp->parent / ENTRIES].live--;
    for (uint32_t i = 0; i < ENTRIES; i++)
        leaf_clear(sh, page * ENTRIES + i);
    age_remove(sh, page);
    sp->level = 0;
    /* Before the page can become another table, no CPU may hold it as this one. */
    flush_engines(sh);
    arena_free(&sh->arena, page);
    sh->stats.pages--;
}

static bool reclaim_oldest(struct shadow *sh)
{
    if (!sh->oldest)
        return false;
    leaf_table_drop(sh, sh->oldest - 1);
    sh->stats.reclaims++;
    return true;
}

/* The leaf entry for la; NO_ENTRY if the walk ends above. */
static uint32_t walk(const struct shadow *sh, la_t la)
{
    uint32_t page = sh->root;
    for (unsigned level = 4; level > 1; level--) {
        const spte_t e = entry_get(sh, page * ENTRIES + level_index(la, level));
        if (!spte_present(e))
            return NO_ENTRY;
        page = arena_page_of(spte_addr(e));
    }
    return page * ENTRIES + level_index(la, 1);
}

static la_t table_la(la_t la, unsigned level)
{
    const unsigned shift = PAGE_SHIFT + 9 * level;
    return shift >= 32 ? 0 : la & ~((1u << shift) - 1);
}

/* The leaf entry for la, its tables made as needed. NO_ENTRY: the quota is used up. I5: a walk
 * starts over after a reclaim, because what it had passed may be gone. */
static uint32_t walk_make(struct shadow *sh, la_t la)
{
again:;
    uint32_t page = sh->root;
    for (unsigned level = 4; level > 1; level--) {
        const uint32_t entry = page * ENTRIES + level_index(la, level);
        const spte_t e = entry_get(sh, entry);
        if (spte_present(e)) {
            page = arena_page_of(spte_addr(e));
            continue;
        }
        const uint32_t child = page_new(sh, level - 1, table_la(la, level - 1), entry);
        if (child == ARENA_NONE) {
            if (!reclaim_oldest(sh))
                return NO_ENTRY;
            goto again;
        }
        sh->page[page].live++;
        entry_set(sh, entry, spte_table(arena_mpa(child)));
        page = child;
    }
    return page * ENTRIES + level_index(la, 1);
}

/* --- interface ------------------------------------------------------------------------------- */

static void on_invalidate(void *ctx, gfn_t gfn, uint32_t n)
{
    shadow_zap(ctx, gfn, n);
}
static void on_write_protect(void *ctx, gfn_t gfn, uint32_t n)
{
    shadow_write_protect(ctx, gfn, n);
}

/* A mapping is only ever made by a use, so "is mapped" is "was used since it was last taken away".
 */
static bool on_test_clear_young(void *ctx, gfn_t gfn)
{
    struct shadow *sh = ctx;
    const bool young = srmap_first(&sh->rmap, gfn) != SRMAP_END;
    shadow_zap(sh, gfn, 1);
    return young;
}

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int shadow_create(struct mm *mm, uint32_t quota, struct shadow **out)
{
    if (quota < SHADOW_MIN_PAGES)
        return -EINVAL;
    struct shadow *sh = calloc(1, sizeof *sh);
    if (!sh)
        return -ENOMEM;
    int err = arena_create(&sh->arena, quota);
    if (err) {
        free(sh);
        return err;
    }
    const size_t entries = (size_t)sh->arena.pages * ENTRIES;
    sh->mm = mm;
    sh->page = reserve(sh->arena.pages * sizeof *sh->page);
    sh->gfns = reserve(entries * sizeof *sh->gfns);
    err = srmap_create(&sh->rmap, MM_GFNS, (uint32_t)entries);
    sh->root = sh->page && sh->gfns && !err ? page_new(sh, 4, 0, NO_ENTRY) : ARENA_NONE;
    if (sh->root == ARENA_NONE) {
        shadow_destroy(sh);
        return -ENOMEM;
    }
    mm_set_notifier(mm, &(struct mm_notifier){.ctx = sh,
                                              .invalidate = on_invalidate,
                                              .write_protect = on_write_protect,
                                              .test_clear_young = on_test_clear_young});
    *out = sh;
    return 0;
}

void shadow_destroy(struct shadow *sh)
{
    if (!sh)
        return;
    const size_t pages = sh->arena.pages;
    mm_set_notifier(sh->mm, NULL);
    if (sh->page)
        munmap(sh->page, pages * sizeof *sh->page);
    if (sh->gfns)
        munmap(sh->gfns, pages * ENTRIES * sizeof *sh->gfns);
    srmap_destroy(&sh->rmap);
    arena_destroy(&sh->arena);
    free(sh);
}

void shadow_attach(struct shadow *sh, struct engine *e)
{
    for (int i = 0; i < MAX_ENGINES; i++)
        if (!sh->engine[i]) {
            sh->engine[i] = e;
            return;
        }
    abort(); /* more engines than a shadow serves: a fault of the caller */
}

void shadow_detach(struct shadow *sh, struct engine *e)
{
    for (int i = 0; i < MAX_ENGINES; i++)
        if (sh->engine[i] == e)
            sh->engine[i] = NULL;
}

struct arena *shadow_arena(struct shadow *sh)
{
    return &sh->arena;
}
mpa_t shadow_root(struct shadow *sh)
{
    return arena_mpa(sh->root);
}

void shadow_set_monitor_half(struct shadow *sh, spte_t e)
{
    sh->monitor_half = e;
    entry_set(sh, sh->root * ENTRIES + ENTRIES - 1, e);
}

static int install(struct shadow *sh, la_t la, gfn_t gfn, spte_t val)
{
    const uint32_t entry = walk_make(sh, la);
    if (entry == NO_ENTRY)
        return -ENOSPC;
    const spte_t old = entry_get(sh, entry);
    if (old.raw == val.raw)
        return 0;
    if (spte_present(old) && spte_present(val) && sh->gfns[entry] == gfn) {
        entry_set(sh, entry, val); /* the same page with another frame or right */
    } else {
        leaf_clear(sh, entry);
        if (spte_present(val)) {
            sh->gfns[entry] = gfn;
            srmap_add(&sh->rmap, gfn, entry);
            sh->stats.leaves++;
        }
        entry_set(sh, entry, val);
        sh->page[entry / ENTRIES].live++;
    }
    sh->stats.installs++;
    return 0;
}

int shadow_map(struct shadow *sh, la_t la, gfn_t gfn, frame_t frame, bool writable)
{
    return install(sh, la, gfn, spte_leaf(frame, writable, false));
}

int shadow_map_mmio(struct shadow *sh, la_t la, gfn_t gfn)
{
    return install(sh, la, gfn, spte_mmio(gfn));
}

spte_t shadow_lookup(const struct shadow *sh, la_t la)
{
    const uint32_t entry = walk(sh, la);
    return entry == NO_ENTRY ? SPTE_NONE : entry_get(sh, entry);
}

void shadow_zap(struct shadow *sh, gfn_t gfn, uint32_t n)
{
    for (gfn_t g = gfn; g - gfn < n; g++)
        for (uint32_t e; (e = srmap_first(&sh->rmap, g)) != SRMAP_END;)
            leaf_clear(sh, e);
}

void shadow_write_protect(struct shadow *sh, gfn_t gfn, uint32_t n)
{
    for (gfn_t g = gfn; g - gfn < n; g++) {
        struct srmap_iter it;
        for (uint32_t e = srmap_iter_first(&sh->rmap, g, &it); e != SRMAP_END;
             e = srmap_iter_next(&sh->rmap, &it)) {
            const spte_t old = entry_get(sh, e);
            if (spte_writable(old))
                entry_set(sh, e, (spte_t){old.raw & ~SPTE_W});
        }
    }
}

void shadow_zap_all(struct shadow *sh)
{
    while (sh->oldest)
        leaf_table_drop(sh, sh->oldest - 1);
}

void shadow_get_stats(const struct shadow *sh, struct shadow_stats *out)
{
    *out = sh->stats;
}

/* --- audit ----------------------------------------------------------------------------------- */

static int audit_leaf(struct shadow *sh, uint32_t entry, char *msg, size_t len)
{
    const spte_t s = entry_get(sh, entry);
    if (!spte_present(s))
        return 0;
    const gfn_t gfn = sh->gfns[entry];
    const la_t la = entry_la(sh, entry);
    const pte_t pte = mm_pte(sh->mm, gfn);

    if (!pte_present(pte) || pte_frame(pte) != spte_frame(s)) {
        snprintf(msg, len, "I1: shadow of %08x maps frame %u, the mm's entry for gfn %x is %08x",
                 la, spte_frame(s), gfn, pte.raw);
        return -EUCLEAN;
    }
    if (spte_writable(s) && !(pte_writable(pte) && pte_dirty(pte))) {
        snprintf(msg, len, "I2: shadow of %08x is writable, the mm's entry for gfn %x is %08x", la,
                 gfn, pte.raw);
        return -EUCLEAN;
    }
    if (!srmap_contains(&sh->rmap, gfn, entry)) {
        snprintf(msg, len, "I3: shadow of %08x is not in the reverse map of gfn %x", la, gfn);
        return -EUCLEAN;
    }
    return 0;
}

int shadow_audit(struct shadow *sh, char *msg, size_t len)
{
    uint64_t leaves = 0;
    for (uint32_t page = 0; page < sh->arena.grown; page++) {
        const struct shadow_page *sp = &sh->page[page];
        uint32_t live = 0;
        if (sp->level == 0)
            continue;
        for (uint32_t i = 0; i < ENTRIES; i++) {
            const spte_t s = entry_get(sh, page * ENTRIES + i);
            if (sp->level == 4 && i == ENTRIES - 1) {
                if (s.raw != sh->monitor_half.raw) {
                    snprintf(msg, len, "I6: root %u has lost the monitor's half", page);
                    return -EUCLEAN;
                }
                continue;
            }
            live += entry_used(s);
            if (sp->level == 1) {
                leaves += spte_present(s);
                int err = audit_leaf(sh, page * ENTRIES + i, msg, len);
                if (err)
                    return err;
            } else if (spte_present(s) && (spte_addr(s) < ARENA_MPA ||
                                           arena_page_of(spte_addr(s)) >= sh->arena.grown)) {
                snprintf(msg, len, "I6: table %u entry %u points outside the arena: %llx", page, i,
                         (unsigned long long)s.raw);
                return -EUCLEAN;
            }
        }
        if (live != sp->live) {
            snprintf(msg, len, "table %u of level %u has %u entries in use and counts %u", page,
                     sp->level, live, sp->live);
            return -EUCLEAN;
        }
    }
    if (leaves != sh->stats.leaves || leaves != srmap_count(&sh->rmap)) {
        snprintf(msg, len, "I3: %llu present leaf entries, %llu counted, %llu in the reverse map",
                 (unsigned long long)leaves, (unsigned long long)sh->stats.leaves,
                 (unsigned long long)srmap_count(&sh->rmap));
        return -EUCLEAN;
    }
    return 0;
}
