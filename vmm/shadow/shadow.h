/*
 * The shadow tables of one VM: the long-mode page tables that the CPU really walks, composed of
 * what the guest's own tables say and what backs each page.
 *
 * A shadow table page is known by its role: which guest table (or which linear or guest-physical
 * range) it stands for, level, view, rights that it inherits, format, CR0.WP and the like. It may
 * hang in many places of many roots. There are two roots for a guest's CR3: the kernel view
 * translates accesses with supervisor rights, the user view those with user rights. Roots and
 * tables are kept over CR3 switches.
 *
 * Between flushes a guest table may be out of step with its shadow exactly as with a TLB. A table
 * that is in step is mapped read-only for the guest; its first write marks it out of step; CR3
 * loads and INVLPG bring it back (shadow_sync.c).
 *
 * There may be several guest-physical spaces (each an mm), of which the CPU is in one. Tables,
 * roots and the reverse map are per space and are kept when the CPU goes to another; whatever is
 * named by a gfn or a linear address below is so in the current space.
 *
 * Invariants, named where they are enforced and checked by shadow_audit():
 *
 *  I1  A present shadow PTE maps the frame that the mm has for that gfn right now.
 *
 *  I2  It is writable only if the guest's entries allow it, the guest's entry is dirty, and the mm
 *      says that the frame is private to this mm, dirty, and not being written out.
 *
 *  I3  Every present shadow PTE is in the reverse map of its space and gfn; nothing else is.
 *
 *  I4  No guest-writable mapping of a guest page table exists unless that table is marked out of
 *      step or its shadow is empty; none is marked so after a full flush.
 *
 *  I5  A root, and whatever a walk has passed, is looked up again after anything that may reclaim
 *      shadow pages.
 *
 *  I6  The user view maps no supervisor page; the monitor's memory is mapped in no guest-visible
 *      half of any root.
 *
 *  I7  A 2 MiB entry says exactly what the 512 entries of the table behind it do, each of which
 *      holds by I1 to I6 (shadow_large.c).
 */
#ifndef UMBRA_VMM_SHADOW_SHADOW_H
#define UMBRA_VMM_SHADOW_SHADOW_H

#include "mm/mm.h"
#include "vmm/cpu/regs.h"
#include "vmm/gmem.h"
#include "vmm/shadow/arena.h"
#include "vmm/shadow/walk.h"

struct shadow;
struct engine;

struct shadow_stats {
    uint64_t pages;     /* table pages in use */
    uint64_t leaves;    /* present leaf entries */
    uint64_t installs;  /* entries made or relaxed */
    uint64_t restricts; /* entries taken away or made read-only */
    uint64_t reclaims;  /* table pages taken back because the quota was used up */
    uint64_t flushes;
    uint64_t roots;      /* made */
    uint64_t unsyncs;    /* tables that went out of step */
    uint64_t syncs;      /* tables brought back */
    uint64_t sync_drops; /* entries that a sync found stale */
    uint64_t floods;     /* tables that were written again and again and forgotten for it */
    uint64_t large;      /* tables that 2 MiB entries stand for */
    uint64_t collapses;  /* ... that came to be so */
    uint64_t splits;     /* ... and no longer are */
};

/* g: guest-physical memory; the shadow registers itself as notifier of its mm. quota: most table
 * pages, at least SHADOW_MIN_PAGES. 0, -EINVAL, -ENOMEM. */
#define SHADOW_MIN_PAGES 32
int shadow_create(struct gmem *g, uint32_t quota, struct shadow **out);
void shadow_destroy(struct shadow *sh);

/* A moment of the machine's life, by whatever numbers its owner counts with. */
struct shadow_when {
    uint64_t trap; /* how many traps there had been */
    uint64_t ns;   /* device time */
};
/* now fills in the present moment. Without it every moment is 0. */
void shadow_set_clock(struct shadow *sh, void (*now)(void *ctx, struct shadow_when *out),
                      void *ctx);

/* --- spaces ----------------------------------------------------------------------------------- */

#define SHADOW_SPACES 64
/* Space 0 is the one of shadow_create() and the current one. Another, 1 .. SHADOW_SPACES - 1, not
 * in use: the shadow becomes notifier of g's mm. g stays the caller's. */
void shadow_space_add(struct shadow *sh, uint32_t space, struct gmem *g);
/* Forget a space that is not the current one, with its tables and roots: before its mm goes. */
void shadow_space_remove(struct shadow *sh, uint32_t space);
/* The CPU is in this space from now on. The caller flushes what engines cache by linear address. */
void shadow_space_switch(struct shadow *sh, uint32_t space);
uint32_t shadow_space(const struct shadow *sh);

/* May aligned runs of frames be mapped by 2 MiB entries? Off at first. Only where every engine that
 * walks these tables can. */
void shadow_set_large(struct shadow *sh, bool on);

/* Engines that cache translations of these tables; at most two. */
void shadow_attach(struct shadow *sh, struct engine *e);
void shadow_detach(struct shadow *sh, struct engine *e);

struct arena *shadow_arena(struct shadow *sh);
/* Machine-physical address of the PML4 for accesses with user or supervisor rights; made if need
 * be. Its entry 511 is the engine's. */
mpa_t shadow_root(struct shadow *sh, bool user);
/* A root that translates nothing but the monitor's half and is never given back. */
mpa_t shadow_home(const struct shadow *sh);
/* Put e (the stub's tables) into entry 511 of every root there is and will be. */
void shadow_set_monitor_half(struct shadow *sh, spte_t e);

/* --- what the guest does to its MMU ----------------------------------------------------------- */

/* CR0, CR3, CR4, EFER or the PDPTEs were loaded: change roots if they say so, and bring all tables
 * back into step (a load of CR3 flushes also when it loads the same value). true: the roots are
 * others than before, so nothing that an engine holds by linear address stands; else it has been
 * told of each entry that went. */
bool shadow_load_mode(struct shadow *sh, const struct cpu *cpu);
const struct gmode *shadow_mode(const struct shadow *sh);
/* INVLPG: bring what translates la back into step (SDM vol. 3, 4.10.4.1). */
void shadow_invlpg(struct shadow *sh, la_t la);
/* Guest memory at gfn is about to be written, or was: if it is a guest table, it is out of step. */
void shadow_table_written(struct shadow *sh, gfn_t gfn);

/* A walk of two-level tables may have set A or D in the entry at this address. Where the upper half
 * of a PAE entry is, for tables kept from another mode, these are bits of its address. */
void shadow_table_marked(struct shadow *sh, gpa_t at);

/* Is gfn a guest table that is in step, so that the guest may not write it unseen? */
bool shadow_table_protected(const struct shadow *sh, gfn_t gfn);

/* How what translates la in one view stands to the guest's tables as they are now. */
enum shadow_step {
    SHADOW_IN_STEP,     /* it says what they do, or nothing */
    SHADOW_OUT_OF_STEP, /* the guest has changed an entry and not flushed: *since that table has
                           been out of step */
    SHADOW_BROKEN,      /* they differ, but the table is marked in step: I4 does not hold */
};
enum shadow_step shadow_step(struct shadow *sh, la_t la, bool user, struct shadow_when *since);

/* --- mapping ---------------------------------------------------------------------------------- */

/*
 * Make la translate in one view as w found (rights, gfn), to frame. writable: the mm lets it be
 * written. For a write to a guest table call shadow_table_written() first. Relaxing only ever
 * stores; anything else tells the engines. 0; -ENOSPC: the quota cannot hold even one path (cannot
 * happen from SHADOW_MIN_PAGES on).
 */
int shadow_map(struct shadow *sh, la_t la, bool user, const struct walk *w, frame_t frame,
               bool writable);
/* Make la a hole that goes to memory-mapped I/O at w->gpa. */
int shadow_map_mmio(struct shadow *sh, la_t la, bool user, const struct walk *w);

/* The leaf entry for la in one view, SPTE_NONE if the walk ends above; *gfn (may be NULL) is what
 * it maps. */
spte_t shadow_lookup(const struct shadow *sh, la_t la, bool user, gfn_t *gfn);

/* The first linear address from la on for which a view has a leaf table, rounded to where that
 * could begin: below it shadow_lookup() gives SPTE_NONE. la itself if it has one. Up to 4 GiB. */
uint64_t shadow_empty_until(const struct shadow *sh, la_t la, bool user);

/* Let the lookups above, shadow_step() and shadow_mode() speak of another mode (CR3) than the one
 * that the CPU is in, as far as its tables are still kept. Nothing may be mapped or run before
 * shadow_look_end(). */
struct shadow_look {
    struct gmode mode;
    int current[2];
};
void shadow_look_begin(struct shadow *sh, const struct gmode *m, struct shadow_look *was);
void shadow_look_end(struct shadow *sh, const struct shadow_look *was);

/* Is la translated by a 2 MiB entry? shadow_lookup() gives what it says of la's page. */
bool shadow_is_large(const struct shadow *sh, la_t la, bool user);
/* Is it worth looking whether the 2 MiB around la, which a large page or no guest table maps, could
 * be mapped as a whole? Says so only now and then. */
bool shadow_large_missing(struct shadow *sh, la_t la, bool user);

#define SHADOW_LARGE_PAGES 512u
#define SHADOW_NEAR        8 /* pages, aligned, that shadow_near() looks at */
/* Which of the pages around la, in one view, have no leaf entry although their table is there: bit
 * i for page i of the aligned SHADOW_NEAR. */
unsigned shadow_near(const struct shadow *sh, la_t la, bool user);

/* A non-present entry that remembers an MMIO page, and whether it may be written. */
#define SPTE_MMIO ((uint64_t)0x800)
static inline bool spte_is_mmio(spte_t s)
{
    return (s.raw & (SPTE_P | SPTE_MMIO)) == SPTE_MMIO;
}
static inline bool shadow_entry_used(spte_t s)
{
    return spte_present(s) || spte_is_mmio(s);
}

/* Take away every mapping of gfn .. gfn+n-1, or its right to write. */
void shadow_zap(struct shadow *sh, gfn_t gfn, uint32_t n);
void shadow_write_protect(struct shadow *sh, gfn_t gfn, uint32_t n);
/* Does this view also serve accesses with user rights? With paging off there is but one view. */
bool shadow_serves_user(const struct shadow *sh, bool user);
/* Take the right to write from the mappings of gfn: user_only, from those that serve user rights.
 */
void shadow_write_protect_code(struct shadow *sh, gfn_t gfn, bool user_only);
/* The same for every mapping of a frame, in all spaces. Looks at every entry. */
void shadow_write_protect_frame(struct shadow *sh, frame_t f, bool user_only);
/* Drop every table but the current roots. */
void shadow_zap_all(struct shadow *sh);

/*
 * Told of each entry that is taken away or gives less than before. la: the first linear address
 * that it translates, as far as the table hangs in one place; level 1: a page, 2 and up: a table;
 * gfn: of level 1, what it maps. Must not call back into the shadow.
 */
struct shadow_watch {
    void *ctx;
    void (*restricted)(void *ctx, uint32_t space, la_t la, unsigned level, gfn_t gfn, spte_t old,
                       spte_t now);
};
/* NULL: nobody wants to know. The watch stays the caller's. */
void shadow_set_watch(struct shadow *sh, const struct shadow_watch *w);

void shadow_get_stats(const struct shadow *sh, struct shadow_stats *out);
/* Check the invariants over every entry. 0 or -EUCLEAN with the first fault described in msg. */
int shadow_audit(struct shadow *sh, char *msg, size_t len);

#endif
