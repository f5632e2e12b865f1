/*
 * The world of fuzz_mmu: a machine without guest code (memory manager, shadow tables, the fault
 * path of vmm/fault.c) on one side, plain memory with the reference MMU and the model of a TLB on
 * the other. An event is made from a number alone, so any part of a list of events can be lived
 * again.
 */
#ifndef UMBRA_TESTS_FUZZ_MMU_WORLD_H
#define UMBRA_TESTS_FUZZ_MMU_WORLD_H

#include "tests/tlb_model.h"
#include "vmm/vm.h"

/* An engine that runs nothing, but caches translations as one does, so that a notice that does not
 * come shows. */
struct cached {
    spte_t entry;
    uint64_t page; /* guest-physical */
};

struct world_engine {
    struct engine e;
    struct cached at[TLB_PAGES][2];
    const struct tlb_model *tlb; /* whose pages these are */
};

struct world {
    struct vm *vm;
    struct world_engine engine;
    struct store *store;
    struct mm *child; /* of a fork; NULL: none */
    uint8_t *ram;     /* the model's */
    struct refmmu mmu;
    struct tlb_model tlb;
    uint64_t rng;
    bool large;     /* 2 MiB shadow entries */
    bool tell;      /* say each event */
    uint32_t audit; /* audits after each so many events */
    uint64_t events, accesses, faults, stale;
    char *why; /* first difference; WORLD_WHY bytes, given by the caller */
};

#define WORLD_WHY 600

/* seed: what the tables hold at first. large: 2 MiB shadow entries, with memory enough that most of
 * RAM stays in runs. Failures of the host end the program. */
void world_open(struct world *w, uint64_t seed, uint32_t quota, bool large);
void world_close(struct world *w);
/* Live event number i of a seed. false: a difference or a broken invariant, said in why. */
bool world_event(struct world *w, uint64_t seed, uint64_t i);
/* Compare all of memory. */
bool world_same(struct world *w);

#endif
