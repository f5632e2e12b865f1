/*
 * The guest PTE: an entry of the guest's own tables, of 4 bytes (two-level paging, SDM vol. 3,
 * tables 4-4 to 4-6) or 8 bytes (PAE, tables 4-8 to 4-11). Both are held as 64 bits here: all bits
 * that this file names lie at the same place.
 */
#ifndef UMBRA_VMM_SHADOW_GPTE_H
#define UMBRA_VMM_SHADOW_GPTE_H

#include "mm/types.h"

typedef struct {
    uint64_t raw;
} gpte_t;

#define GPTE_P  ((uint64_t)1 << 0)
#define GPTE_W  ((uint64_t)1 << 1)
#define GPTE_U  ((uint64_t)1 << 2)
#define GPTE_A  ((uint64_t)1 << 5)
#define GPTE_D  ((uint64_t)1 << 6)
#define GPTE_PS ((uint64_t)1 << 7)
#define GPTE_G  ((uint64_t)1 << 8)
#define GPTE_NX ((uint64_t)1 << 63)

/* How a guest's tables are to be read. */
enum gpaging {
    GPAGING_OFF,    /* linear = guest-physical */
    GPAGING_2LEVEL, /* 10 + 10 + 12 bits, 4-byte entries */
    GPAGING_PAE,    /* 2 + 9 + 9 + 12 bits, 8-byte entries */
};

/* The processor tells 36 physical address bits (CPUID leaf 80000008H is not offered: SDM vol.
 * 3, 4.1.4). */
#define GPTE_PHYS_BITS 36
#define GPTE_PHYS_MASK ((((uint64_t)1 << GPTE_PHYS_BITS) - 1) & ~(uint64_t)PAGE_MASK)

static inline bool gpte_present(gpte_t g)
{
    return (g.raw & GPTE_P) != 0;
}
static inline bool gpte_dirty(gpte_t g)
{
    return (g.raw & GPTE_D) != 0;
}

static inline gpa_t gpte_table(gpte_t g, enum gpaging fmt)
{
    return g.raw & (fmt == GPAGING_PAE ? GPTE_PHYS_MASK : (uint64_t)0xfffff000);
}

/* Bytes of a page that a directory entry maps by itself. */
static inline uint32_t gpte_large_size(enum gpaging fmt)
{
    return fmt == GPAGING_PAE ? 2u << 20 : 4u << 20;
}

#endif
