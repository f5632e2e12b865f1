/*
 * Keeping shadow tables in step with guest tables. A guest table whose shadow has entries is mapped
 * read-only (I4). The guest's first write to it traps; the table is then marked out of step and may
 * be written freely, and its shadow goes on to translate what it did, as a TLB would. A flush
 * compares each marked table with what its shadow was made from, drops what differs, and watches
 * the table again.
 */
#include <string.h>

#include "vmm/shadow/shadow_int.h"

void shadow_set_clock(struct shadow *sh, void (*now)(void *ctx, struct shadow_when *out), void *ctx)
{
    sh->now = now;
    sh->now_ctx = ctx;
}

/* --- the list of tables out of step ---------------------------------------------------------- */

static void unsync_add(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    sp->unsync = true;
    sp->quiet = 0;
    if (sh->now)
        sh->now(sh->now_ctx, &sp->since);
    sp->unsync_prev = 0;
    sp->unsync_next = sh->unsync;
    if (sh->unsync)
        sh->page[sh->unsync - 1].unsync_prev = page + 1;
    sh->unsync = page + 1;
}

void shadow_unsync_remove(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    if (sp->unsync_prev)
        sh->page[sp->unsync_prev - 1].unsync_next = sp->unsync_next;
    else
        sh->unsync = sp->unsync_next;
    if (sp->unsync_next)
        sh->page[sp->unsync_next - 1].unsync_prev = sp->unsync_prev;
    sp->unsync = false;
}

bool shadow_table_watched(const struct shadow *sh, uint32_t space, gfn_t gfn)
{
    for (uint32_t p = sh->hash[shadow_hash(space, gfn)]; p; p = sh->page[p - 1].hash_next) {
        const struct shadow_page *sp = &sh->page[p - 1];
        if (sp->role.gfn == gfn && sp->role.space == space && sp->role.kind == ROLE_TABLE &&
            sp->live && !sp->unsync)
            return true;
    }
    return false;
}

bool shadow_table_protected(const struct shadow *sh, gfn_t gfn)
{
    return shadow_table_watched(sh, sh->cur, gfn);
}

void shadow_table_written(struct shadow *sh, gfn_t gfn)
{
    for (uint32_t p = sh->hash[shadow_hash(sh->cur, gfn)]; p; p = sh->page[p - 1].hash_next) {
        struct shadow_page *sp = &sh->page[p - 1];
        if (sp->role.gfn == gfn && sp->role.space == sh->cur && sp->role.kind == ROLE_TABLE &&
            sp->live && !sp->unsync) {
            unsync_add(sh, p - 1);
            sh->stats.unsyncs++;
        }
    }
}

void shadow_table_marked(struct shadow *sh, gpa_t at)
{
    if (!(at & 4) || at >= (gpa_t)MM_GFNS << PAGE_SHIFT)
        return;
    for (uint32_t p = sh->hash[shadow_hash(sh->cur, gfn_of(at))]; p;
         p = sh->page[p - 1].hash_next) {
        const struct role *r = &sh->page[p - 1].role;
        if (r->gfn == gfn_of(at) && r->fmt == GPAGING_PAE) {
            shadow_table_written(sh, gfn_of(at));
            return;
        }
    }
}

/* --- comparing ------------------------------------------------------------------------------- */

/* Where in its table the guest entry lies that one of ours stands for. */
static uint32_t guest_entry_at(const struct role *r, uint32_t index)
{
    if (r->fmt != GPAGING_2LEVEL)
        return index * 8;
    /* a guest directory entry spans two of ours */
    return (r->level == 2 ? r->quadrant * 256u + index / 2 : r->quadrant * ENTRIES + index) * 4;
}

int shadow_guest_entry(struct shadow *sh, uint32_t page, uint32_t index, gpte_t *out)
{
    const struct role *r = &sh->page[page].role;
    return walk_read(sh->space[r->space].gmem, (enum gpaging)r->fmt,
                     ((gpa_t)r->gfn << PAGE_SHIFT) + guest_entry_at(r, index), out);
}

/*
 * May an entry that was made from `was` stand, now that the guest has `now`? It may not give more
 * than a walk of today would without touching A or D (SDM vol. 3, 4.8): A must be set, and D where
 * it lets write.
 */
static bool still_true(const struct shadow_page *sp, spte_t s, gpte_t was, gpte_t now)
{
    if ((was.raw ^ now.raw) & ~(GPTE_A | GPTE_D))
        return false;
    if (!(now.raw & GPTE_A))
        return false;
    if (sp->role.level == 1)
        return gpte_dirty(now) || !(s.raw & SPTE_W);
    return gpte_dirty(now) || !gpte_dirty(was); /* a large page's splinter may be writable */
}

/* One entry on the way; true if it is in step. */
static bool entry_in_step(struct shadow *sh, uint32_t entry, enum shadow_step *step,
                          struct shadow_when *since)
{
    const uint32_t page = entry / ENTRIES;
    const struct shadow_page *sp = &sh->page[page];
    const spte_t s = shadow_entry_get(sh, entry);
    gpte_t now;

    if (sp->role.kind != ROLE_TABLE || !shadow_entry_used(s))
        return true;
    if (shadow_guest_entry(sh, page, entry % ENTRIES, &now) == 0 &&
        still_true(sp, s, sh->snapshot[entry], now))
        return true;
    *step = sp->unsync ? SHADOW_OUT_OF_STEP : SHADOW_BROKEN;
    *since = sp->since;
    return false;
}

enum shadow_step shadow_step(struct shadow *sh, la_t la, bool user, struct shadow_when *since)
{
    enum shadow_step step = SHADOW_IN_STEP;
    const uint32_t leaf = shadow_find(sh, la, user);

    /* What ends above translates nothing. */
    if (leaf != NO_ENTRY && shadow_entry_used(shadow_entry_get(sh, leaf)) &&
        entry_in_step(sh, shadow_find_at(sh, la, user, 2), &step, since))
        (void)entry_in_step(sh, leaf, &step, since);
    return step;
}

/* now: what the guest has; NULL: it cannot be read. */
static void entry_compare(struct shadow *sh, uint32_t entry, spte_t s, const gpte_t *now)
{
    if (now && still_true(&sh->page[entry / ENTRIES], s, sh->snapshot[entry], *now)) {
        sh->snapshot[entry] = *now;
        return;
    }
    sh->stats.sync_drops++;
    shadow_entry_clear(sh, entry);
}

static void sync_entry(struct shadow *sh, uint32_t entry)
{
    const spte_t s = shadow_entry_get(sh, entry);
    gpte_t now;

    if (shadow_entry_used(s))
        entry_compare(sh, entry, s,
                      shadow_guest_entry(sh, entry / ENTRIES, entry % ENTRIES, &now) == 0 ? &now
                                                                                          : NULL);
}

void shadow_sync_page(struct shadow *sh, uint32_t page)
{
    const struct role *r = &sh->page[page].role;
    int err;
    /* Looked up once: nothing that is done for an entry calls into mm. */
    const uint8_t *table = gmem_page(sh->space[r->space].gmem, r->gfn, MM_ACCESS_READ, &err);
    unsigned left = sh->page[page].live;

    for (uint32_t i = 0; left > 0 && i < ENTRIES; i++) {
        const uint32_t entry = page * ENTRIES + i;
        const spte_t s = shadow_entry_get(sh, entry);
        gpte_t now = {0};
        if (!shadow_entry_used(s))
            continue;
        left--;
        if (table) {
            memcpy(&now.raw, table + guest_entry_at(r, i), r->fmt == GPAGING_2LEVEL ? 4 : 8);
            entry_compare(sh, entry, s, &now);
        } else {
            sync_entry(sh, entry);
        }
    }
    sh->stats.syncs++;
}

/*
 * Flood: a table that the guest has written between so many flushes, each of which compared all of
 * it, while nothing new was mapped by it. It is forgotten: a table whose shadow is empty is not
 * watched, and costs nothing until it is used again. One that is in use all the while pays with a
 * few faults for each FLOOD flushes.
 */
#define FLOOD 16

static void detect_flood(struct shadow *sh, uint32_t page)
{
    struct shadow_page *sp = &sh->page[page];
    if (!sp->live || ++sp->idle < FLOOD)
        return;
    for (uint32_t i = 0; i < ENTRIES; i++)
        shadow_entry_clear(sh, page * ENTRIES + i);
    sp->idle = 0;
    sh->stats.floods++;
}

/* A table that has just been compared is in step from now on. */
static void bring_back(struct shadow *sh, uint32_t page)
{
    const struct shadow_page *sp = &sh->page[page];
    shadow_unsync_remove(sh, page);
    if (sp->live && sp->role.gfn < MM_GFNS)
        shadow_write_protect_in(sh, sp->role.space, sp->role.gfn, 1);
}

void shadow_sync_all(struct shadow *sh)
{
    while (sh->unsync) {
        const uint32_t page = sh->unsync - 1;
        shadow_sync_page(sh, page);
        detect_flood(sh, page);
        /* Reading the table may have faulted it in, but nothing there takes table pages away. */
        bring_back(sh, page);
    }
}

/* INVLPGs that find a directory as it was, before it is watched again: a guest that changes entries
 * between them pays a comparison for each, one that does not pays for these and one trap. */
#define QUIET 4

/* Paging-structure caches go whole: every directory that is out of step. */
static void sync_directories(struct shadow *sh)
{
    for (uint32_t p = sh->unsync, next; p; p = next) {
        struct shadow_page *sp = &sh->page[p - 1];
        const uint64_t drops = sh->stats.sync_drops;
        next = sp->unsync_next;
        if (sp->role.level == 1)
            continue;
        shadow_sync_page(sh, p - 1);
        sp->quiet = drops == sh->stats.sync_drops ? (uint8_t)(sp->quiet + 1) : 0;
        if (sp->quiet >= QUIET)
            bring_back(sh, p - 1);
    }
}

void shadow_invlpg(struct shadow *sh, la_t la)
{
    sync_directories(sh);
    for (int user = 0; user < 2; user++) {
        const uint32_t entry = shadow_find(sh, la, user);
        if (entry != NO_ENTRY && sh->page[entry / ENTRIES].unsync)
            sync_entry(sh, entry);
    }
}
