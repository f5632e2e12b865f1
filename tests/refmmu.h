/*
 * The reference MMU: what an i386's paging does with one access, written from the manual and from
 * nothing else, as the oracle for tests of the shadow tables. It has no cache and no shadow: each
 * access walks the tables in memory, is checked, sets accessed and dirty bits, and gives an address
 * or a fault with its error code. It shares no code with the monitor, on purpose.
 * It needs no C library: guests are tested with it as well.
 *
 * Knows: paging off, two levels with 4 MiB pages (Intel SDM vol. 3, 4.3), PAE (4.4) with NX.
 * Does not know: SMEP, SMAP, protection keys, memory types.
 *
 * Caveats
 *  - Accessed and dirty bits are written by an access that succeeds and by no other. The manual
 * lets a processor set the accessed bit of an upper entry although the access faults further down
 *    (4.8: the entry was "used"); processors differ.
 *  - One call is one page: an access that crosses a page is two calls.
 */
#ifndef UMBRA_TESTS_REFMMU_H
#define UMBRA_TESTS_REFMMU_H

#include <stdbool.h>
#include <stdint.h>

enum refmmu_kind { REF_READ, REF_WRITE, REF_FETCH };

/* Guest-physical memory. size is 4 or 8, gpa a multiple of it. What lies beyond RAM is theirs to
 * say. */
struct refmmu_mem {
    void *ctx;
    uint64_t (*load)(void *ctx, uint64_t gpa, unsigned size);
    void (*store)(void *ctx, uint64_t gpa, uint64_t val, unsigned size);
};

/* The registers that paging looks at, and what CPUID says of it. */
struct refmmu {
    struct refmmu_mem mem;
    uint32_t cr0, cr3, cr4;
    bool nxe;            /* EFER.NXE */
    bool pse36;          /* CPUID offers PSE-36 */
    unsigned maxphyaddr; /* 32 to 52, nothing else */
    uint64_t pdpte[4];   /* PAE: as refmmu_load_pdptes() read them */
};

/* One entry that the walk used, the uppermost first. */
struct refmmu_step {
    uint64_t gpa; /* where it lies */
    uint64_t old, now;
};

struct refmmu_walk {
    bool fault;
    uint32_t error; /* of the #PF (SDM vol. 3, 4.7) */
    uint64_t gpa;   /* where there is none: the byte's address */
    uint64_t size;  /* of the page: 4 KiB, 2 or 4 MiB; 4 GiB with paging off */
    unsigned steps; /* entries read from memory, PDPTEs not among them */
    struct refmmu_step step[2];
};

/* What MOV to CR3 does with PAE on: read the four PDPTEs. false: #GP(0), and nothing is loaded (SDM
 * vol. 3, 4.4.1). */
bool refmmu_load_pdptes(struct refmmu *m);

/* One access of the byte at la. user: made with CPL 3, and not implicitly to a system structure. */
void refmmu_access(const struct refmmu *m, uint32_t la, enum refmmu_kind kind, bool user,
                   struct refmmu_walk *out);

#endif
