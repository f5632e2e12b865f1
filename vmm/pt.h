/*
 * The row that no other tool shows: what the guest's PTE says of a page, what backs it, what the
 * CPU's shadow PTE says, and why the two differ. Rows that say the same are folded.
 */
#ifndef UMBRA_VMM_PT_H
#define UMBRA_VMM_PT_H

#include <stdio.h>

#include "vmm/vm.h"

enum pt_verdict {
    PT_UNTOUCHED,   /* nothing backs it, nothing maps it */
    PT_ZERO,        /* the zero frame, read-only until the first write */
    PT_IN_STEP,     /* the CPU may do what the guest may */
    PT_NOT_FAULTED, /* backed, but the CPU has not used it yet (or no longer has it) */
    PT_COW,         /* a frame of more than one owner: a write copies */
    PT_CLEAN,       /* read-only until dirty: the guest's entry or the memory manager's is clean */
    PT_WATCHED,     /* a guest page table: read-only so that its next write is seen */
    PT_SWAPPED,     /* the page is in the swap area */
    PT_NO_RAM,      /* beyond guest memory */
    PT_UNMAPPED,    /* the guest's tables map nothing here */
    PT_OUT_OF_STEP, /* the guest changed its entry and has not flushed: the CPU uses the old one */
    PT_STALE,       /* the shadow says what the memory manager does not: a broken invariant */
    PT_VERDICTS
};

/* A run of pages that are alike: same state, frames either one after the other or not told. */
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
    spte_t shadow;           /* of the first page, kernel view */
    spte_t shadow_user;      /* of the first page, user view; as shadow if paging is off */
    frame_t frame;           /* of the first page; FRAME_NONE */
    bool frames_run;         /* the others' frames follow one by one */
    bool gpas_run;           /* the others' guest-physical pages follow one by one */
    enum store_where where;  /* where a swapped page's content is; STORE_FREE for others */
    bool slots_run;          /* the others' swap slots follow one by one */
    uint32_t refs, maps;
    enum pt_verdict verdict;
};

/* One short sentence. */
const char *pt_verdict_text(enum pt_verdict v);

/* Describe one page. */
void pt_page(struct vm *vm, la_t la, struct pt_row *out);

/* Call emit for each folded row of first..last (bytes, both inside), in order. */
void pt_walk(struct vm *vm, la_t first, la_t last, void (*emit)(void *ctx, const struct pt_row *),
             void *ctx);

void pt_print(struct vm *vm, la_t first, la_t last, FILE *out);
void pt_print_json(struct vm *vm, la_t first, la_t last, FILE *out);

#endif
