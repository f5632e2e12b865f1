/*
 * 2 MiB entries. A table of level 1 whose 512 entries map one aligned run of frames, all with the
 * same rights, is *collapsed*: each entry that leads to it becomes a large one that says the same.
 * The table stays behind it with its place in the reverse map, so that all that holds for pages
 * (rights, reverse map, guest entries that they were made from, being young) goes on to hold for
 * them one by one.
 *
 *  I7  A large entry stands for a collapsed table, and says exactly what the table's 512 entries
 * do. Whatever changes one of them splits first: the large entries become links to the table again
 * (shadow_entry_set() sees to it, so that nobody can forget).
 *
 * What changes here is how a translation is said, not what it is. So engines that ask
 * shadow_lookup() keep what they cached; one that walks the tables is told as of a restriction,
 * since only then does a host that shadows our tables look at the entry again.
 */
#include "vmm/engine.h"
#include "vmm/shadow/shadow_int.h"

/* A table that was split waits until so many entries have been made anywhere, twice as many each
 * time, before it is collapsed again: a guest that has it split at every CR3 load would pay for
 * both. */
#define PATIENCE_FIRST 64u
#define PATIENCE_MOST  6u /* doublings */

void shadow_set_large(struct shadow *sh, bool on)
{
    sh->large = on;
    for (uint32_t page = 0; !on && page < sh->arena.grown; page++)
        shadow_split(sh, page);
}

uint32_t shadow_child(const struct shadow *sh, uint32_t entry, spte_t e)
{
    return spte_large(e) ? sh->gfns[entry] : arena_page_of(spte_addr(e));
}

spte_t shadow_link(const struct shadow *sh, uint32_t page)
{
    return sh->page[page].collapsed ? spte_large_from(shadow_entry_get(sh, page * ENTRIES))
                                    : spte_table(arena_mpa(page));
}

bool shadow_uniform(const struct shadow *sh, uint32_t page)
{
    const spte_t first = shadow_entry_get(sh, page * ENTRIES);
    if (!spte_present(first) || spte_frame(first) % ENTRIES != 0)
        return false;
    for (uint32_t i = 1; i < ENTRIES; i++)
        if (shadow_entry_get(sh, page * ENTRIES + i).raw != first.raw + ((uint64_t)i << PAGE_SHIFT))
            return false;
    return true;
}

/* Give every entry that leads to the page the form that it has now. */
static void relink(struct shadow *sh, uint32_t page)
{
    const spte_t link = shadow_link(sh, page);
    struct srmap_iter it;
    for (uint32_t e = srmap_iter_first(&sh->parents, page, &it); e != SRMAP_END;
         e = srmap_iter_next(&sh->parents, &it)) {
        sh->gfns[e] = page;
        shadow_entry_reform(sh, e, link);
    }
}

void shadow_collapse(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    if (!sh->large || sp->role.level != 1 || sp->live != ENTRIES || sp->collapsed ||
        sh->stats.installs < sp->collapse_at || !shadow_uniform(sh, page))
        return;
    sp->collapsed = true;
    sh->stats.large++;
    sh->stats.collapses++;
    relink(sh, page);
}

void shadow_split(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    if (!sp->collapsed)
        return;
    sp->collapsed = false;
    sp->collapse_at = sh->stats.installs + ((uint64_t)PATIENCE_FIRST << sp->splits);
    if (sp->splits < PATIENCE_MOST)
        sp->splits++;
    sh->stats.large--;
    sh->stats.splits++;
    relink(sh, page);
}

bool shadow_is_large(const struct shadow *sh, la_t la, bool user)
{
    const uint32_t entry = shadow_find_at(sh, la, user, 2);
    return entry != NO_ENTRY && spte_large(shadow_entry_get(sh, entry));
}

/* Looking costs up to 512 backing PTEs: once for the first entry of a table, then each time that it
 * has grown by this factor. */
#define FILL_FACTOR 8u

bool shadow_large_missing(struct shadow *sh, la_t la, bool user)
{
    const uint32_t entry = sh->large ? shadow_find(sh, la, user) : NO_ENTRY;
    if (entry == NO_ENTRY)
        return false;
    struct shadow_page *sp = &sh->page[entry / ENTRIES];
    if (sp->role.kind == ROLE_TABLE || sp->live == ENTRIES || sp->live < sp->fill_at)
        return false;
    sp->fill_at = (uint16_t)(sp->live * FILL_FACTOR);
    return true;
}
