/*
 * The shadow PTE: the 64-bit long-mode entry that the CPU really walks (SDM vol. 3, 4.5.4).
 * Made and read only through these accessors.
 */
#ifndef UMBRA_VMM_SHADOW_SPTE_H
#define UMBRA_VMM_SHADOW_SPTE_H

#include "mm/types.h"

/* Address in the physical space of the machine that the engine's CPU sees ("machine-physical"):
 * frames of the pool lie from 0, the arena of shadow tables and the monitor's own pages above 4
 * GiB. */
typedef uint64_t mpa_t;

typedef struct {
    uint64_t raw;
} spte_t;

#define SPTE_P    ((uint64_t)1 << 0)
#define SPTE_W    ((uint64_t)1 << 1)
#define SPTE_U    ((uint64_t)1 << 2)
#define SPTE_A    ((uint64_t)1 << 5)
#define SPTE_D    ((uint64_t)1 << 6)
#define SPTE_PS   ((uint64_t)1 << 7)
#define SPTE_NX   ((uint64_t)1 << 63)
#define SPTE_ADDR ((uint64_t)0x000ffffffffff000)

#define SPTE_NONE ((spte_t){0})

static inline bool spte_present(spte_t s)
{
    return (s.raw & SPTE_P) != 0;
}
static inline bool spte_writable(spte_t s)
{
    return (s.raw & SPTE_W) != 0;
}
static inline bool spte_nx(spte_t s)
{
    return (s.raw & SPTE_NX) != 0;
}
static inline bool spte_large(spte_t s)
{
    return (s.raw & SPTE_PS) != 0;
}
static inline mpa_t spte_addr(spte_t s)
{
    return s.raw & SPTE_ADDR;
}
static inline frame_t spte_frame(spte_t s)
{
    return (frame_t)(spte_addr(s) >> PAGE_SHIFT);
}

/* A and D are preset: hardware re-setting of them cannot be relied on (docs/kvm.md). */
static inline spte_t spte_leaf(frame_t f, bool writable, bool nx)
{
    return (spte_t){((uint64_t)f << PAGE_SHIFT) | SPTE_P | SPTE_U | SPTE_A | SPTE_D |
                    (writable ? SPTE_W : 0) | (nx ? SPTE_NX : 0)};
}

static inline spte_t spte_table(mpa_t table)
{
    return (spte_t){table | SPTE_P | SPTE_W | SPTE_U | SPTE_A};
}

/* The large entry that maps the aligned run of 512 frames whose first page has entry first, and
 * what it says of page i of the run. */
static inline spte_t spte_large_from(spte_t first)
{
    return (spte_t){first.raw | SPTE_PS};
}
static inline spte_t spte_part(spte_t large, uint32_t i)
{
    return (spte_t){(large.raw & ~SPTE_PS) + ((uint64_t)i << PAGE_SHIFT)};
}

/* May old be replaced by new with a plain store, because whoever cached old finds out by a fault?
 */
static inline bool spte_relaxes(spte_t old, spte_t now)
{
    if (!spte_present(old))
        return true;
    return spte_present(now) && spte_addr(old) == spte_addr(now) &&
           (!spte_writable(old) || spte_writable(now)) && (spte_nx(old) || !spte_nx(now)) &&
           spte_large(old) == spte_large(now);
}

#endif
