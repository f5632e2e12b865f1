/*
 * The arena of shadow table pages: the only memory that holds entries a CPU walks. It is a mapping
 * of its own so that an engine can give it a memory slot of its own (docs/kvm.md says why).
 * Pages are handed out zeroed, without a system call, up to a fixed quota.
 */
#ifndef UMBRA_VMM_SHADOW_ARENA_H
#define UMBRA_VMM_SHADOW_ARENA_H

#include "vmm/shadow/spte.h"

/* Where the CPU sees the arena. Above the pool, whose frames end at 4 GiB. */
#define ARENA_MPA ((mpa_t)0x200000000)

struct arena {
    uint8_t *base;  /* host address */
    uint32_t pages; /* of the mapping */
    uint32_t quota; /* most that are ever handed out at once */
    uint32_t used;  /* handed out and not given back */
    uint32_t grown; /* pages that were ever handed out: 0 .. grown-1 */
    uint32_t free;  /* head of the free list, index + 1; links lie in next[] */
    uint32_t *next;
};

#define ARENA_NONE UINT32_MAX

/* quota: in pages; the mapping is rounded up to a multiple of 2 MiB. 0, -EINVAL, -ENOMEM. */
int arena_create(struct arena *a, uint32_t quota);
void arena_destroy(struct arena *a);

/* Index of a zeroed page, or ARENA_NONE when the quota is used up. */
uint32_t arena_alloc(struct arena *a);
/* The page's entries must all be non-present, and every engine in sync. */
void arena_free(struct arena *a, uint32_t page);

static inline uint64_t arena_bytes(const struct arena *a)
{
    return (uint64_t)a->pages << PAGE_SHIFT;
}

static inline spte_t *arena_table(const struct arena *a, uint32_t page)
{
    return (spte_t *)(void *)(a->base + ((size_t)page << PAGE_SHIFT));
}

static inline mpa_t arena_mpa(uint32_t page)
{
    return ARENA_MPA + ((mpa_t)page << PAGE_SHIFT);
}
static inline uint32_t arena_page_of(mpa_t mpa)
{
    return (uint32_t)((mpa - ARENA_MPA) >> PAGE_SHIFT);
}

#endif
