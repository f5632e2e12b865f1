/*
 * What a TLB may hold, by the manual and the reference MMU alone: for each of a few linear pages,
 * every translation that a processor could have cached since it was last told to forget (SDM vol.
 * 3, 4.10.2 to 4.10.4). An access may use one of these instead of what the tables say now; right
 * after a flush there is only what they say now.
 *
 * A directory entry may be kept by itself (paging-structure caches) and joined to whatever its
 * table says later. Nothing is kept that lacks the accessed flag, and no write goes by what lacks
 * the dirty flag. Any INVLPG forgets all directory entries, and all of a large page. Global pages
 * are forgotten as any others are: the manual lets a processor do that.
 * It needs no C library: a guest (mmu_fuzz) is tested with it as well.
 */
#ifndef UMBRA_TESTS_TLB_MODEL_H
#define UMBRA_TESTS_TLB_MODEL_H

#include "tests/refmmu.h"

enum {
    TLB_PAGES = 24,
    TLB_DIRS = 12,    /* directory entries remembered for each page */
    TLB_ENTRIES = 48, /* translations */
    TLB_PAGE = 4096,
};

struct tlb_entry {
    uint64_t gpa; /* of the page */
    bool writable, user, nx, dirty;
    bool large;
};

struct tlb_dir {
    uint64_t entry;
    uint64_t table; /* where it leads: a page of guest-physical memory */
};

struct tlb_page {
    uint32_t la;
    uint64_t directory; /* page that its directory entry lies in; ~0: there is none */
    unsigned dirs, entries;
    struct tlb_dir dir[TLB_DIRS];
    struct tlb_entry entry[TLB_ENTRIES];
};

struct tlb_model {
    struct refmmu *mmu;
    struct tlb_page page[TLB_PAGES];
    unsigned pages;
    bool full; /* something did not fit: flush before anything else */
};

void tlb_init(struct tlb_model *t, struct refmmu *mmu, const uint32_t *la, unsigned pages);
/* Everything is forgotten: CR3, or a register that changes how tables are read. */
void tlb_flush(struct tlb_model *t);
void tlb_invlpg(struct tlb_model *t, uint32_t la);
/* The guest-physical page at gpa has been written (by anybody: the guest, a walk, a device). */
void tlb_written(struct tlb_model *t, uint64_t gpa);
/* May an access of this kind to page la go by a translation to gpa that was kept? */
bool tlb_allows(const struct tlb_model *t, uint32_t la, uint64_t gpa, enum refmmu_kind kind,
                bool user);
/* As refmmu_access, but nothing in memory changes. */
void tlb_peek(const struct tlb_model *t, uint32_t la, enum refmmu_kind kind, bool user,
              struct refmmu_walk *out);

#endif
