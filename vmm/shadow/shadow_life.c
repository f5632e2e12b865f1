/*
 * What the memory manager and the machine ask of the shadow tables as a whole: taking mappings of
 * guest pages away, spaces, creation and end.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/engine.h"
#include "vmm/shadow/shadow_int.h"

/* --- taking away ----------------------------------------------------------------------------- */

static void zap_in(struct shadow *sh, uint32_t space, gfn_t gfn, uint32_t n)
{
    for (uint32_t k = shadow_key(space, gfn); n > 0; k++, n--)
        for (uint32_t e; (e = srmap_first(&sh->rmap, k)) != SRMAP_END;)
            shadow_entry_clear(sh, e);
}

void shadow_zap(struct shadow *sh, gfn_t gfn, uint32_t n)
{
    zap_in(sh, sh->cur, gfn, n);
}

static void entry_write_protect(struct shadow *sh, uint32_t entry)
{
    const spte_t old = shadow_entry_get(sh, entry);
    if (spte_present(old) && spte_writable(old))
        shadow_entry_set(sh, entry, (spte_t){old.raw & ~SPTE_W});
}

void shadow_write_protect_in(struct shadow *sh, uint32_t space, gfn_t gfn, uint32_t n)
{
    for (uint32_t k = shadow_key(space, gfn); n > 0; k++, n--) {
        struct srmap_iter it;
        for (uint32_t e = srmap_iter_first(&sh->rmap, k, &it); e != SRMAP_END;
             e = srmap_iter_next(&sh->rmap, &it))
            entry_write_protect(sh, e);
    }
}

void shadow_write_protect(struct shadow *sh, gfn_t gfn, uint32_t n)
{
    shadow_write_protect_in(sh, sh->cur, gfn, n);
}

bool shadow_serves_user(const struct shadow *sh, bool user)
{
    return user || sh->mode.fmt == GPAGING_OFF;
}

void shadow_write_protect_code(struct shadow *sh, gfn_t gfn, bool user_only)
{
    struct srmap_iter it;
    for (uint32_t e = srmap_iter_first(&sh->rmap, shadow_key(sh->cur, gfn), &it); e != SRMAP_END;
         e = srmap_iter_next(&sh->rmap, &it))
        if (!user_only || shadow_page_serves_user(sh, e / ENTRIES))
            entry_write_protect(sh, e);
}

void shadow_write_protect_frame(struct shadow *sh, frame_t f, bool user_only)
{
    for (uint32_t page = 0; page < sh->arena.grown; page++) {
        if (!sh->page[page].used || sh->page[page].role.level != 1 ||
            (user_only && !shadow_page_serves_user(sh, page)))
            continue;
        for (uint32_t i = 0; i < ENTRIES; i++)
            if (spte_frame(shadow_entry_get(sh, page * ENTRIES + i)) == f)
                entry_write_protect(sh, page * ENTRIES + i);
    }
}

void shadow_zap_all(struct shadow *sh)
{
    while (shadow_reclaim(sh))
        ;
}

/* --- spaces ------------------------------------------------------------------------------------
 */

static void tell_left(struct shadow *sh, uint32_t space, gfn_t gfn, uint32_t n)
{
    for (int i = 0; i < MAX_ENGINES; i++)
        if (sh->engine[i] && sh->engine[i]->ops->left)
            sh->engine[i]->ops->left(sh->engine[i], space, gfn, n);
}

static void on_invalidate(void *ctx, gfn_t gfn, uint32_t n)
{
    const struct shadow_space *s = ctx;
    zap_in(s->sh, s->id, gfn, n);
    tell_left(s->sh, s->id, gfn, n);
}
static void on_write_protect(void *ctx, gfn_t gfn, uint32_t n)
{
    const struct shadow_space *s = ctx;
    shadow_write_protect_in(s->sh, s->id, gfn, n);
}

/* A mapping is only ever made by a use, so "is mapped" is "was used since it was last taken away".
 */
static bool on_test_clear_young(void *ctx, gfn_t gfn)
{
    const struct shadow_space *s = ctx;
    const bool young = srmap_first(&s->sh->rmap, shadow_key(s->id, gfn)) != SRMAP_END;
    zap_in(s->sh, s->id, gfn, 1);
    return young;
}

void shadow_space_add(struct shadow *sh, uint32_t space, struct gmem *g)
{
    struct shadow_space *s = &sh->space[space];
    *s = (struct shadow_space){sh, g, space};
    mm_set_notifier(g->mm, &(struct mm_notifier){.ctx = s,
                                                 .invalidate = on_invalidate,
                                                 .write_protect = on_write_protect,
                                                 .test_clear_young = on_test_clear_young});
}

void shadow_space_remove(struct shadow *sh, uint32_t space)
{
    assert(space != sh->cur);
    mm_set_notifier(sh->space[space].gmem->mm, NULL);
    tell_left(sh, space, 0, MM_GFNS);
    for (int i = 0; i < MAX_ROOTS; i++)
        if (sh->root[i].valid && sh->root[i].space == space)
            shadow_root_drop(sh, &sh->root[i]);
    uint32_t gone[ENTRIES];
    unsigned n = 0;
    for (uint32_t page = 0; page < sh->arena.grown; page++) {
        if (!sh->page[page].used || sh->page[page].role.space != space)
            continue;
        shadow_page_detach(sh, page);
        gone[n++] = page;
        if (n == ENTRIES) {
            shadow_pages_free(sh, gone, n);
            n = 0;
        }
    }
    shadow_pages_free(sh, gone, n);
    sh->space[space].gmem = NULL;
}

void shadow_space_switch(struct shadow *sh, uint32_t space)
{
    assert(sh->space[space].gmem);
    shadow_sync_all(sh);
    sh->cur = space;
    shadow_roots_find(sh);
}

uint32_t shadow_space(const struct shadow *sh)
{
    return sh->cur;
}

/* --- life ------------------------------------------------------------------------------------ */

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int shadow_create(struct gmem *g, uint32_t quota, struct shadow **out)
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
    sh->current[0] = sh->current[1] = -1;
    sh->page = reserve(sh->arena.pages * sizeof *sh->page);
    sh->gfns = reserve(entries * sizeof *sh->gfns);
    sh->snapshot = reserve(entries * sizeof *sh->snapshot);
    err = srmap_create(&sh->rmap, SHADOW_SPACES * MM_GFNS, (uint32_t)entries);
    if (!err)
        err = srmap_create(&sh->parents, sh->arena.pages, (uint32_t)entries);
    if (!sh->page || !sh->gfns || !sh->snapshot || err) {
        shadow_destroy(sh);
        return -ENOMEM;
    }
    sh->home = shadow_page_new(sh, &(struct role){.kind = ROLE_ROOT, .level = 4});
    sh->page[sh->home].placed = true;
    shadow_space_add(sh, 0, g);
    *out = sh;
    return 0;
}

void shadow_destroy(struct shadow *sh)
{
    if (!sh)
        return;
    const size_t pages = sh->arena.pages;
    for (uint32_t i = 0; i < SHADOW_SPACES; i++)
        if (sh->space[i].gmem)
            mm_set_notifier(sh->space[i].gmem->mm, NULL);
    if (sh->page)
        munmap(sh->page, pages * sizeof *sh->page);
    if (sh->gfns)
        munmap(sh->gfns, pages * ENTRIES * sizeof *sh->gfns);
    if (sh->snapshot)
        munmap(sh->snapshot, pages * ENTRIES * sizeof *sh->snapshot);
    srmap_destroy(&sh->rmap);
    srmap_destroy(&sh->parents);
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

void shadow_set_watch(struct shadow *sh, const struct shadow_watch *w)
{
    sh->watch = w;
}

struct arena *shadow_arena(struct shadow *sh)
{
    return &sh->arena;
}
void shadow_get_stats(const struct shadow *sh, struct shadow_stats *out)
{
    *out = sh->stats;
}
