/*
 * The backing PTE: what an mm knows of one guest-physical page, in i386 format
 * (Intel SDM vol. 3, 4.3 "32-bit paging", table 4-6) so that a guest can be shown it as it is.
 *
 *   none     0
 *   present  P=1, bits 31..12 = frame, W U A D as the CPU has them
 *   swap     P=0, non-zero; bits 31..8 = slot, bits 7..1 = area + 1 (Linux-style swap entry)
 *
 * Entries are read and made only through these accessors.
 */
#ifndef UMBRA_MM_PTE_H
#define UMBRA_MM_PTE_H

#include "mm/types.h"

typedef struct {
    uint32_t raw;
} pte_t;

enum pte_bits {
    PTE_P = 1u << 0,
    PTE_W = 1u << 1,
    PTE_U = 1u << 2,
    PTE_PWT = 1u << 3,
    PTE_PCD = 1u << 4,
    PTE_A = 1u << 5,
    PTE_D = 1u << 6,
    PTE_PS = 1u << 7,
    PTE_G = 1u << 8,
};

#define PTE_NONE ((pte_t){0})

static inline bool pte_none(pte_t p)
{
    return p.raw == 0;
}
static inline bool pte_present(pte_t p)
{
    return (p.raw & PTE_P) != 0;
}
static inline bool pte_is_swap(pte_t p)
{
    return p.raw != 0 && (p.raw & PTE_P) == 0;
}
static inline bool pte_writable(pte_t p)
{
    return (p.raw & PTE_W) != 0;
}
static inline bool pte_dirty(pte_t p)
{
    return (p.raw & PTE_D) != 0;
}
static inline bool pte_young(pte_t p)
{
    return (p.raw & PTE_A) != 0;
}
static inline frame_t pte_frame(pte_t p)
{
    return p.raw >> PAGE_SHIFT;
}
static inline bool pte_same(pte_t a, pte_t b)
{
    return a.raw == b.raw;
}

static inline pte_t pte_make(frame_t f, uint32_t bits)
{
    return (pte_t){(f << PAGE_SHIFT) | bits | PTE_P};
}

static inline pte_t pte_with(pte_t p, uint32_t bits)
{
    return (pte_t){p.raw | bits};
}
static inline pte_t pte_without(pte_t p, uint32_t bits)
{
    return (pte_t){p.raw & ~bits};
}

static inline pte_t pte_make_swap(unsigned area, slot_t slot)
{
    return (pte_t){(slot << 8) | ((area + 1) << 1)};
}

static inline slot_t pte_swap_slot(pte_t p)
{
    return p.raw >> 8;
}
static inline unsigned pte_swap_area(pte_t p)
{
    return ((p.raw >> 1) & 0x7f) - 1;
}

#endif
