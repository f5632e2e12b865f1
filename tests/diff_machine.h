/*
 * A machine for differential tests of engines: a real struct vm whose guest memory holds page
 * tables (PAE, with NX), descriptor tables and handlers, so that generated code (diff_gen.h) runs
 * in it at ring 3 or ring 0 on any engine under the real trap loop, and everything that came of it
 * can be looked at: registers, and every byte of memory down to the accessed bits.
 *
 * Every vector of the IDT leads to a HLT of its own in ring 0, which ends the run; the code ends by
 * INT DIFF_END_VECTOR.
 */
#ifndef UMBRA_TESTS_DIFF_MACHINE_H
#define UMBRA_TESTS_DIFF_MACHINE_H

#include "tests/diff_gen.h"
#include "vmm/vm.h"

#define DIFF_END_VECTOR 0xf0

/* Memory that is watched: the window's pages, the machine's own, and the page tables. */
enum { DIFF_PAGES_MAX = 32 };

struct diff_watched {
    gfn_t gfn;
    la_t la;         /* where the guest sees it; the page's guest-physical address for tables */
    uint8_t *host;   /* of the page */
    bool table;      /* a page table: its A and D bits tell what was touched */
    uint8_t *before; /* its content when nothing has run */
};

struct diff_machine {
    struct vm *vm;
    unsigned n_pages;
    struct diff_watched page[DIFF_PAGES_MAX];
    uint8_t *pristine;
    unsigned ring;
    bool tables_clean; /* A and D are clear at the start of the next run */
    uint64_t insns;    /* soft CPU's, in the last run */
    bool quit;         /* the last run was ended by diff_machine_quit() */
};

/* A machine of one engine whose code will run in ring 0 or 3. 0, or negative errno with err filled.
 */
int diff_machine_create(const struct vm_opts *o, unsigned ring, struct diff_machine *m,
                        struct errmsg *err);
void diff_machine_destroy(struct diff_machine *m);

/* Put the case into memory and run it to its end. clean: with A and D clear in all tables. */
void diff_machine_run(struct diff_machine *m, const struct diff_case *c, bool clean);
/* End a run that does not end; from a signal handler. */
void diff_machine_quit(struct diff_machine *m);
/* Undo what the run did to memory. */
void diff_machine_restore(struct diff_machine *m);

/* The vector whose handler the run has ended in; -1: none. */
int diff_machine_vector(const struct diff_machine *m);
/* EIP that lies in the handler's frame. */
uint32_t diff_machine_fault_eip(const struct diff_machine *m);

#endif
