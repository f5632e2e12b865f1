/*
 * The row that no other tool shows: what the guest's PTE says of a page, what backs it, what the
 * CPU's shadow PTE says, and why the two differ. This file finds the rows; pt_print.h writes them.
 */
#ifndef UMBRA_VMM_PT_H
#define UMBRA_VMM_PT_H

#include "vmm/tables.h"
#include "vmm/vm.h"

enum pt_verdict {
    PT_UNTOUCHED,   /* nothing backs it, nothing maps it */
    PT_ZERO,        /* the zero frame, read-only until the first write */
    PT_IN_STEP,     /* the CPU may do what the guest may */
    PT_NOT_FAULTED, /* backed, but the CPU has not used it yet (or no longer has it) */
    PT_COW,         /* a frame of more than one owner: a write copies */
    PT_LAST,        /* shared by fork once, and now one owner's: its next write copies nothing */
    PT_CLEAN,       /* read-only until dirty: the guest's entry or the memory manager's is clean */
    PT_WATCHED,     /* a guest page table: read-only so that its next write is seen */
    PT_SWAPPED,     /* the page is in the swap area */
    PT_NO_RAM,      /* beyond guest memory */
    PT_UNMAPPED,    /* the guest's tables map nothing here */
    PT_SUPERVISOR,  /* PT_VIEW_USER only: the guest lets no user access get here */
    PT_UNKNOWN,     /* of dumps only: the guest maps it, and more is not known */
    PT_OUT_OF_STEP, /* the guest changed its entry and has not flushed: the CPU uses the old one */
    PT_STALE,       /* the shadow says what neither the guest's table, which is marked in step,
                       nor the memory manager does: a broken invariant */
    PT_VERDICTS
};

/*
 * A run of pages that are alike: same state, frames either one after the other or not told. "Of the
 * first page" is what the others have as well, but for addresses, frames and slots.
 */
struct pt_row {
    la_t la;
    uint32_t pages;
    bool guest_paging;       /* the guest has tables of its own */
    bool guest_maps;         /* they map this page */
    bool large;              /* by a directory entry */
    uint64_t guest;          /* the guest's entry of the first page, raw: PTE, or PDE if large */
    bool writable, user, nx; /* rights of the guest's whole chain */
    gpa_t gpa;               /* of the first page, if the guest maps it */
    pte_t backing;           /* of the first page */
    spte_t shadow;           /* of the first page, kernel view; with PS if it is 2 MiB's */
    spte_t shadow_user;      /* of the first page, user view; as shadow if paging is off */
    frame_t frame;           /* of the first page; FRAME_NONE */
    bool frames_run;         /* the others' frames follow one by one */
    bool gpas_run;           /* the others' guest-physical pages follow one by one */
    enum store_where where;  /* where a swapped page's content is; STORE_FREE for others */
    bool slots_run;          /* the others' swap slots follow one by one */
    uint32_t refs, maps;
    struct shadow_when since; /* PT_OUT_OF_STEP: when the guest first wrote the table */
    enum pt_verdict verdict;
};

/* The name for programs, and one short sentence for people. */
const char *pt_verdict_word(enum pt_verdict v);
const char *pt_verdict_text(enum pt_verdict v);

/* Make the row that part of itself that lies in first..last (bytes, both inside); false: none does.
 * Of pages that do not follow one by one, only the first one's numbers are known: those of another
 * are left out. */
bool pt_row_clip(struct pt_row *r, la_t first, la_t last);

/* Does the row say that the CPU may do something else than the guest's tables and what backs the
 * page let it? */
bool pt_differs(enum pt_verdict v);

/* Whose accesses are looked at. With one view, the other's shadow entry counts as none. */
enum pt_view { PT_VIEW_BOTH, PT_VIEW_KERNEL, PT_VIEW_USER };

/* Describe the page of la, by itself. Guest page tables that have been swapped out may be faulted
 * in; else nothing changes. */
void pt_page(struct vm *vm, la_t la, struct pt_row *out);

/*
 * The rows of first..last (bytes, both inside), in order, like neighbours folded into one:
 *
 *     for (pt_begin(&it, vm, first, last); pt_next(&it, &row);)
 *
 * The machine must not run in between. What maps nothing is passed quickly. To look at another CR3
 * than the processor's: between shadow_look_begin() and shadow_look_end().
 */
struct pt_iter {
    struct vm *vm;
    enum pt_view view;  /* PT_VIEW_BOTH; may be set after pt_begin() */
    uint64_t next, end; /* page numbers: to be looked at next, behind the last */
    struct tables tables;
    struct pt_row ahead;
    bool pending; /* ahead holds the first page of the row to come */
};
void pt_begin(struct pt_iter *it, struct vm *vm, la_t first, la_t last);
bool pt_next(struct pt_iter *it, struct pt_row *out);

#endif
