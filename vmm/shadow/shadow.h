/*
 * The shadow tables of one VM: the long-mode page tables that the CPU really walks, composed of
 * what the guest's own tables say (paging off: linear = guest-physical) and what backs each page.
 *
 * Invariants, named where they are enforced and checked by shadow_audit():
 *  I1  A present shadow PTE maps the frame that the mm has for that gfn right now.
 *  I2  It is writable only if the guest may write there, and the mm says that the frame is private
 * to this mm, dirty, and not being written out. I3  Every present shadow PTE is in the reverse map
 * of its gfn; nothing else is. I4  No guest-writable mapping of a guest page table exists unless
 * that table is marked out of step. I5  A root is checked for validity after anything that may
 * reclaim shadow pages. I6  The monitor's memory is mapped in no guest-visible half of any root.
 */
#ifndef UMBRA_VMM_SHADOW_SHADOW_H
#define UMBRA_VMM_SHADOW_SHADOW_H

#include "mm/mm.h"
#include "vmm/cpu/regs.h"
#include "vmm/shadow/arena.h"

struct shadow;
struct engine;

struct shadow_stats {
    uint64_t pages;     /* table pages in use */
    uint64_t leaves;    /* present leaf entries */
    uint64_t installs;  /* entries made or relaxed */
    uint64_t restricts; /* entries taken away or made read-only */
    uint64_t reclaims;  /* table pages taken back because the quota was used up */
    uint64_t flushes;
};

/* mm: what backs guest-physical memory; the shadow registers itself as its notifier. quota: most
 * table pages, at least SHADOW_MIN_PAGES. 0, -EINVAL, -ENOMEM. */
#define SHADOW_MIN_PAGES 16
int shadow_create(struct mm *mm, uint32_t quota, struct shadow **out);
void shadow_destroy(struct shadow *sh);

/* Engines that cache translations of these tables; at most two. */
void shadow_attach(struct shadow *sh, struct engine *e);
void shadow_detach(struct shadow *sh, struct engine *e);

struct arena *shadow_arena(struct shadow *sh);
/* Machine-physical address of the PML4 the CPU must use now. Its entry 511 is the engine's. */
mpa_t shadow_root(struct shadow *sh);
/* Put e (the stub's tables) into entry 511 of every root there is and will be. */
void shadow_set_monitor_half(struct shadow *sh, spte_t e);

/*
 * Make la translate to frame (which backs gfn). Relaxing only ever stores; anything else tells the
 * engines. 0; -ENOSPC: the quota cannot hold even one path (cannot happen above SHADOW_MIN_PAGES).
 */
int shadow_map(struct shadow *sh, la_t la, gfn_t gfn, frame_t frame, bool writable);
/* Make la a hole that goes to memory-mapped I/O at gfn. */
int shadow_map_mmio(struct shadow *sh, la_t la, gfn_t gfn);

/* The leaf entry for la, SPTE_NONE if the walk ends above. */
spte_t shadow_lookup(const struct shadow *sh, la_t la);

/* A non-present entry that remembers an MMIO page. */
static inline spte_t spte_mmio(gfn_t gfn)
{
    return (spte_t){((uint64_t)gfn << PAGE_SHIFT) | 0x800};
}
static inline bool spte_is_mmio(spte_t s)
{
    return (s.raw & (SPTE_P | 0x800)) == 0x800;
}

/* Take away every mapping of gfn .. gfn+n-1, or its right to write. */
void shadow_zap(struct shadow *sh, gfn_t gfn, uint32_t n);
void shadow_write_protect(struct shadow *sh, gfn_t gfn, uint32_t n);
/* Drop every table but the roots. */
void shadow_zap_all(struct shadow *sh);

void shadow_get_stats(const struct shadow *sh, struct shadow_stats *out);
/* Check I1, I2, I3, I6 over every entry. 0 or -EUCLEAN with the first fault described in msg. */
int shadow_audit(struct shadow *sh, char *msg, size_t len);

#endif
