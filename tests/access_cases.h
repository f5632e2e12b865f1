/*
 * The exhaustive access test: every combination of the bits that decide about one access of one
 * page, with what it must do, and a driver that holds any engine against it.
 *
 * The world of a case is fixed: CR3 names ACCESS_PD (PAE: ACCESS_PDPT, whose first entry names
 * ACCESS_PD); the case's PDE and PTE decide about ACCESS_LA; all else of the linear space is the
 * engine's, and so is guest-physical memory outside ACCESS_OURS .. ACCESS_OURS_END-1.
 */
#ifndef UMBRA_TESTS_ACCESS_CASES_H
#define UMBRA_TESTS_ACCESS_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/refmmu.h"

enum {
    ACCESS_LA = 0x00c05124,
    /* The access is of 4 bytes; an instruction fetch there should find one that does nothing. */
    ACCESS_RAM = 0x800000,
    ACCESS_OURS = 0x200000,
    ACCESS_PD = 0x200000,
    ACCESS_PDPT = 0x201000,
    ACCESS_PAGE = 0x300000, /* what the PTE names */
    ACCESS_BIG = 0x400000,  /* what a large page or a page table is at, but for reserved bits */
    ACCESS_OURS_END = 0x800000,
    ACCESS_MAXPHYADDR = 36,
};

enum access_set {
    ACCESS_TWO_LEVEL,      /* 49152 cases: every combination that can matter */
    ACCESS_TWO_LEVEL_FULL, /* 786432: those bits too that must not matter */
    ACCESS_PAE,            /* 786432 */
    ACCESS_SETS
};

struct access_case {
    uint32_t cr0, cr4;
    bool nxe;
    bool pae;
    uint64_t pde, pte;
    bool user;
    enum refmmu_kind kind;
    /* Tables, registers and TLB stand as the case just before has left them: do the access only. */
    bool again;
};

struct access_result {
    bool fault;
    uint32_t error, cr2; /* if there is a fault */
    uint64_t pde, pte;   /* afterwards */
};

/* What can be held against the model. */
struct access_engine {
    const char *name;
    void *ctx;
    /* Set up registers and tables (unless again), flush, do the access. false: the engine could not
     * (ends the test). */
    bool (*run)(void *ctx, const struct access_case *c, struct access_result *r);
    /* Events 0 .. events-1 that must change nothing the guest can see; after each one the access is
     * made again. NULL: none. */
    unsigned events;
    bool (*disturb)(void *ctx, unsigned event, const struct access_case *c);
    const char *(*event_name)(unsigned event);
};

uint32_t access_count(enum access_set set);
void access_make(enum access_set set, uint32_t index, struct access_case *c);
/* What the reference MMU says. */
void access_expect(const struct access_case *c, struct access_result *r);

/* Where a case's entries lie. The PTE's is below 4 GiB whatever the PDE holds: the place is written
 * even where no walk gets there. */
uint32_t access_pde_gpa(const struct access_case *c);
uint32_t access_pte_gpa(const struct access_case *c);

/* "index 17: CR0 80010001 CR4 10 PDE ... PTE ... user write" */
void access_describe(const struct access_case *c, char *text, size_t len);

struct access_tally {
    uint64_t run; /* accesses compared, those after an event included */
    uint64_t faults;
    uint64_t failed;
    char first[512]; /* the first that failed, described */
};

/* Run each step-th case of a set, from first on. 0; -EIO if the engine gave up. */
int access_check(const struct access_engine *e, enum access_set set, uint32_t first, uint32_t step,
                 struct access_tally *t);

#endif
