/*
 * --strict-tlb: does the guest flush what it must? A model of the largest TLB that an i386 may
 * have: it holds each translation that was used since the last flush of it. On every use of one it
 * is held against what the guest's tables say now; where they no longer give this access, or
 * another page, the guest has missed a flush, whether or not this machine, or any other, still went
 * by the old entry. docs/strict-tlb.md has the rules.
 *
 *  T1  An entry is made by an access that went through, from the tables as they are then.
 *  T2  It goes with INVLPG of its page (of a large page: of any address in it), a load of CR3
 * unless global, whatever flushes all, and an access that it does not permit, for which the
 * processor walks anew. T3  What an entry was compared at (epoch) counts until a page that a walk
 * has read from is written. A write counts from the instruction behind it on, as it is announced
 * before it is done.
 *
 * Memory: 40 bytes for each linear page that is used, so 40 MiB at most. Soft engine only.
 */
#ifndef UMBRA_VMM_STRICT_TLB_H
#define UMBRA_VMM_STRICT_TLB_H

#include <stdio.h>

#include "vmm/soft/soft.h"

struct vm;
struct strict_tlb;

enum strict_kind {
    STRICT_UNMAPPED,  /* the page is not mapped any more */
    STRICT_FRAME,     /* another page is mapped there */
    STRICT_RIGHTS,    /* the right was taken away */
    STRICT_DIRTY,     /* D was cleared, and this write will not set it */
    STRICT_DIRECTORY, /* the old directory entry leads to what the new one does not */
    STRICT_KINDS
};

/* A use of a translation that the tables no longer hold. */
struct strict_report {
    enum strict_kind kind;
    enum soft_access access;
    bool user;
    bool directory; /* old and now are directory entries: the page table entries are the same */
    la_t la;
    uint32_t eip, cr3;
    uint64_t old, now; /* entries, as they were when the translation was first used, and are */
    uint64_t insn;     /* instructions before it, the first time */
    uint64_t count;    /* the same again */
};

struct strict_stats {
    uint64_t stale; /* uses in all */
    uint64_t by_kind[STRICT_KINDS];
    uint64_t untold;   /* of which no report was kept */
    uint64_t accessed; /* uses of an entry whose A was cleared and not flushed */
    uint64_t resized;  /* writes that leave D clear where an entry of another size, for the same
                          page,  has replaced that which they used */
    uint64_t invlpg;   /* INVLPGs ... */
    uint64_t invlpg_unused; /* ... of what no translation was cached of */
    uint64_t invlpg_same;   /* ... of what has not changed */
    uint64_t loads;         /* loads of CR3 ... */
    uint64_t loads_same;    /* ... with its own value and no table written since a flush */
};

#define STRICT_REPORTS     20u
#define STRICT_REPORTS_MAX 10000u

/* reports: most that are kept. 0 or -ENOMEM. */
int strict_tlb_create(struct vm *vm, unsigned reports, struct strict_tlb **out);
void strict_tlb_destroy(struct strict_tlb *t);

/* --- what happens ----------------------------------------------------------------------------- */

/* soft_env.used. */
void strict_tlb_used(struct strict_tlb *t, la_t la, enum soft_access acc, bool user,
                     const struct soft_page *page);
void strict_tlb_invlpg(struct strict_tlb *t, la_t la);
/* CR0, CR3, CR4 or EFER (reg -1) was loaded; old is what it was. */
void strict_tlb_cr_written(struct strict_tlb *t, int reg, uint32_t old);
/* The monitor has written guest page gfn. */
void strict_tlb_written(struct strict_tlb *t, gfn_t gfn);

/* --- what came of it -------------------------------------------------------------------------- */

const char *strict_kind_word(enum strict_kind k);
void strict_tlb_get_stats(const struct strict_tlb *t, struct strict_stats *out);
/* Reports that were kept, oldest first; *n of them. They stay t's. */
const struct strict_report *strict_tlb_reports(const struct strict_tlb *t, unsigned *n);

void strict_tlb_print(const struct strict_tlb *t, FILE *out);
void strict_tlb_print_json(const struct strict_tlb *t, FILE *out);

#endif
