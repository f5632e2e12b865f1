/*
 * One page in words: the guest's walk with the rights that it loses on the way, what backs the
 * page, why the shadow is what it is, when it was last faulted, and what the next read and write
 * from ring 0 and ring 3 will do.
 */
#ifndef UMBRA_VMM_EXPLAIN_H
#define UMBRA_VMM_EXPLAIN_H

#include <stdio.h>

#include "vmm/pt.h"
#include "vmm/ptdump.h"

enum explain_what {
    EXPLAIN_NO_TRAP,     /* the CPU goes on by itself */
    EXPLAIN_GUEST_FAULT, /* #PF with `error` goes to the guest */
    EXPLAIN_FAULT,       /* the memory manager answers: result, path */
    EXPLAIN_MMIO,        /* no RAM: the soft CPU asks the bus */
    EXPLAIN_ENDS,        /* the machine ends: forbidden, or it cannot be read back */
    EXPLAIN_TRAP,        /* a dump: a trap, and what it comes to is not in there */
};

/* What one kind of access will come to. */
struct explain_use {
    bool write, user;
    enum explain_what what;
    uint32_t error;        /* EXPLAIN_GUEST_FAULT: enum pf_error bits */
    uint32_t result, path; /* EXPLAIN_FAULT: enum mm_result, enum mm_path bits */
    bool exact;            /* false: path has the last step only */
};

struct explanation {
    la_t la;
    bool live; /* of a machine: all below is known; false: of a dump */
    struct gmode mode;
    uint32_t cr3;
    struct tables_walk walk;
    struct pt_row row; /* dump without rows: verdict PT_UNKNOWN */
    bool in_region;
    unsigned prot; /* enum mm_prot; of guest memory itself */
    bool faulted;  /* a fault of the guest page is on record: */
    double faulted_ago_s;
    uint32_t faulted_result, faulted_path;
    struct explain_use use[4]; /* read and write from ring 0, from ring 3 */
};

/* On the vCPU's thread, or when the machine has ended. Changes nothing, but as pt_page(). */
void explain_page(struct vm *vm, la_t la, struct explanation *out);
/* What a dump tells. */
void explain_dumped(const struct ptdump *d, la_t la, struct explanation *out);
/* What an access would come to now. */
void explain_predict(struct vm *vm, la_t la, bool write, bool user, struct explain_use *out);

/* Sentences; a JSON object without a newline. */
void explain_print(const struct explanation *x, FILE *out);
void explain_print_json(const struct explanation *x, FILE *out);

#endif
