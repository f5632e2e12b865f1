/*
 * mmu_fuzz's memory: the pages that are fuzzed, the model of what they hold, and the processor's
 * registers and TLB as the model has them. For guest/mmu_fuzz.c and guest/fuzz/ only.
 */
#ifndef UMBRA_GUEST_FUZZ_MEMORY_H
#define UMBRA_GUEST_FUZZ_MEMORY_H

#include "guest/rt/paging.h"
#include "tests/tlb_model.h"

enum {
    /* The fuzzed pages lie in 12 MiB from here, where the linear pages come out under large pages.
     */
    FUZZ_BASE = 0x400000,
    FUZZ_SPAN = 3072, /* pages */
    /* So many of the fuzzed pages may be tables, and are data too. The others lie in the last 4
     * MiB, and are data as long as no odd entry leads there: peace for large pages. */
    FUZZ_TABLES = 16,
    FUZZ_PAGES = 22,
    FUZZ_CALM = 2048,       /* first page of the last 4 MiB */
    FUZZ_WINDOW = 0x3e0000, /* linear: the fuzzed pages, one after the other */
    FUZZ_DATA = 0x500,      /* offsets in each page that are no entries: written at random; */
    FUZZ_CODE = 0x600,      /* TRY_FETCH_CODE, */
    FUZZ_TAG = 0x604,       /* and the page's number */
    FUZZ_FILL = 0x700,      /* always 0 */
    FUZZ_PDPT = 0xfe0,      /* of a root page; its directory for two levels is the page */
    FUZZ_ROOTS = 3,         /* pages 0, 1 and 2 */
};

struct fuzz {
    uint32_t model[FUZZ_PAGES][PAGE_SIZE / 4]; /* what each page holds */
    struct refmmu mmu;                         /* on the model */
    struct tlb_model tlb;
    uint32_t rng;    /* not 0 */
    uint32_t beyond; /* page number of the first address behind RAM */
    bool exact;      /* the machine is our own monitor's */
    bool xchg;       /* XCHG is a write that reads, and not a read before a write */
    bool told;
    uint32_t world_now, event_now;
    struct {
        uint32_t events, accesses, faults, stale, left_out, refused;
    } did;
};
extern struct fuzz fuzz;

void fuzz_memory_init(void);

/* Chance. */
uint64_t fuzz_mix(uint64_t x);
uint32_t fuzz_rnd(uint32_t below);
bool fuzz_often(unsigned percent);

#define FUZZ_TELL(...)                                                                             \
    do {                                                                                           \
        if (fuzz.told)                                                                             \
            tap_note(__VA_ARGS__);                                                                 \
    } while (0)
/* Says what is wrong, when, and in which mode. false. */
bool fuzz_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

bool fuzz_paging(void);
bool fuzz_pae(void);
unsigned fuzz_entry_size(void);

uint32_t fuzz_gpa_of_page(unsigned page);
/* Number of a fuzzed page; -1: it is none. */
int fuzz_page_of(uint64_t gpa);
bool fuzz_nothing_there(uint64_t gpa);

/* A fuzzed page as the guest itself reaches it. */
uint32_t *fuzz_real(unsigned page);
uint32_t fuzz_real_dword(unsigned page, uint32_t offset);

/* The model's memory, behind RAM too. What is written since the last fuzz_undo_none() can be rolled
 * back. */
uint64_t fuzz_model_load(void *ctx, uint64_t gpa, unsigned size);
void fuzz_write_model(uint64_t gpa, uint32_t v, unsigned size);
uint32_t fuzz_read_model(uint64_t gpa);
void fuzz_undo_none(void);
void fuzz_roll_back(void);
/* A dword in both, not by way of any table that is fuzzed. */
void fuzz_put(unsigned page, uint32_t offset, uint32_t v);
/* Is memory what the model says? Says where not. */
bool fuzz_all_same(void);

#endif
