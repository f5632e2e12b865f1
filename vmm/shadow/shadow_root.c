/*
 * Roots: one for each view of each mode and space that the CPU has been in, kept over switches
 * until their place is needed.
 */
#include <assert.h>

#include "vmm/shadow/shadow_int.h"

void shadow_root_drop(struct shadow *sh, struct root *r)
{
    const uint32_t gone[2] = {r->pml4, r->pdpt};
    *shadow_entry_at(sh, r->pml4 * ENTRIES + ENTRIES - 1) = SPTE_NONE;
    shadow_page_detach(sh, r->pml4);
    shadow_page_detach(sh, r->pdpt);
    shadow_pages_free(sh, gone, 2);
    r->valid = false;
}

struct root *shadow_root_oldest(struct shadow *sh)
{
    struct root *oldest = NULL;
    for (int i = 0; i < MAX_ROOTS; i++) {
        struct root *r = &sh->root[i];
        if (r->valid && i != sh->current[0] && i != sh->current[1] &&
            (!oldest || r->used < oldest->used))
            oldest = r;
    }
    return oldest;
}

static uint32_t root_page(struct shadow *sh, unsigned level, bool user)
{
    const struct role role = {
        .kind = ROLE_ROOT, .space = (uint8_t)sh->cur, .level = (uint8_t)level, .user = user};
    for (;;) {
        const uint32_t page = shadow_page_new(sh, &role);
        if (page != NO_PAGE)
            return page;
        if (shadow_reclaim(sh))
            continue;
        /* All that is left are other roots: SHADOW_MIN_PAGES leaves room for the current two. */
        struct root *r = shadow_root_oldest(sh);
        assert(r);
        shadow_root_drop(sh, r);
    }
}

/* How many roots are kept. Reclaim takes tables first, so roots that nobody uses must leave them
 * room for what one instruction needs at once, through both views: else each part of it would throw
 * out another, for ever. */
static unsigned roots_most(const struct shadow *sh)
{
    const unsigned some = sh->arena.quota / 16;
    return some < 2 ? 2 : some > MAX_ROOTS ? MAX_ROOTS : some;
}

/* One that is free; the oldest root makes way if there are enough. */
static struct root *root_slot(struct shadow *sh)
{
    struct root *free = NULL;
    unsigned kept = 0;
    for (int i = MAX_ROOTS - 1; i >= 0; i--)
        if (sh->root[i].valid)
            kept++;
        else
            free = &sh->root[i];
    if (kept < roots_most(sh))
        return free;
    struct root *r = shadow_root_oldest(sh);
    shadow_root_drop(sh, r);
    return r;
}

static struct root *root_make(struct shadow *sh, bool user)
{
    struct root *r = root_slot(sh);
    const uint32_t pml4 = root_page(sh, 4, user), pdpt = root_page(sh, 3, user);
    *r = (struct root){.mode = sh->mode,
                       .space = sh->cur,
                       .user = user,
                       .valid = true,
                       .pml4 = pml4,
                       .pdpt = pdpt};
    sh->page[pml4].placed = sh->page[pdpt].placed = true;
    shadow_entry_set(sh, pml4 * ENTRIES + ENTRIES - 1, sh->monitor_half);
    srmap_add(&sh->parents, pdpt, pml4 * ENTRIES);
    sh->page[pml4].live++;
    shadow_entry_set(sh, pml4 * ENTRIES, spte_table(arena_mpa(pdpt)));
    sh->stats.roots++;
    return r;
}

bool shadow_view_of(const struct shadow *sh, bool user)
{
    return user && sh->mode.fmt != GPAGING_OFF;
}

/* Make the root of a view current, if it is there from before. */
static void root_find(struct shadow *sh, bool user)
{
    for (int i = 0; i < MAX_ROOTS && sh->current[user] < 0; i++) {
        const struct root *r = &sh->root[i];
        if (r->valid && r->user == user && r->space == sh->cur && gmode_same(&r->mode, &sh->mode))
            sh->current[user] = i;
    }
}

/* Of both views at once: INVLPG must reach what the other one has kept. */
void shadow_roots_find(struct shadow *sh)
{
    sh->current[0] = sh->current[1] = -1;
    root_find(sh, false);
    root_find(sh, shadow_view_of(sh, true));
}

struct root *shadow_root_get(struct shadow *sh, bool user)
{
    user = shadow_view_of(sh, user);
    if (sh->current[user] < 0)
        sh->current[user] = (int)(root_make(sh, user) - sh->root);
    struct root *r = &sh->root[sh->current[user]];
    r->used = ++sh->tick;
    return r;
}

void shadow_look_begin(struct shadow *sh, const struct gmode *m, struct shadow_look *was)
{
    *was = (struct shadow_look){sh->mode, {sh->current[0], sh->current[1]}};
    sh->mode = *m;
    shadow_roots_find(sh);
}

void shadow_look_end(struct shadow *sh, const struct shadow_look *was)
{
    sh->mode = was->mode;
    sh->current[0] = was->current[0];
    sh->current[1] = was->current[1];
}

mpa_t shadow_home(const struct shadow *sh)
{
    return arena_mpa(sh->home);
}

mpa_t shadow_root(struct shadow *sh, bool user)
{
    return arena_mpa(shadow_root_get(sh, user)->pml4);
}

void shadow_set_monitor_half(struct shadow *sh, spte_t e)
{
    sh->monitor_half = e;
    shadow_entry_set(sh, sh->home * ENTRIES + ENTRIES - 1, e);
    for (int i = 0; i < MAX_ROOTS; i++)
        if (sh->root[i].valid)
            shadow_entry_set(sh, sh->root[i].pml4 * ENTRIES + ENTRIES - 1, e);
}

bool shadow_load_mode(struct shadow *sh, const struct cpu *cpu)
{
    struct gmode now;
    gmode_of(cpu, &now);
    shadow_sync_all(sh);
    if (gmode_same(&now, &sh->mode))
        return false;
    sh->mode = now;
    shadow_roots_find(sh);
    return true;
}

const struct gmode *shadow_mode(const struct shadow *sh)
{
    return &sh->mode;
}
