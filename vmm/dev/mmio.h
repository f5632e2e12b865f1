/*
 * The memory-mapped I/O bus: which device answers at which guest-physical address. It is asked only
 * where no RAM is; an address that nobody claims reads as all ones and ignores writes.
 */
#ifndef UMBRA_VMM_DEV_MMIO_H
#define UMBRA_VMM_DEV_MMIO_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/types.h"

#define MMIO_RANGES_MAX 16

/* A run of addresses that one device answers. The callbacks get the offset from `first` and a size
 * in `sizes`; an access of another size, one that is not aligned to its size, or one that leaves
 * the range reaches the device as narrower ones, lowest address first. read == NULL reads all ones,
 * write == NULL ignores. */
struct mmio_range {
    const char *name; /* kept, not copied */
    gpa_t first, last;
    uint8_t sizes; /* OR of 1, 2, 4; 0 means 1 */
    bool code;     /* instructions may be fetched from here, byte by byte: a ROM */
    uint32_t (*read)(void *ctx, uint32_t off, unsigned size);
    void (*write)(void *ctx, uint32_t off, uint32_t val, unsigned size);
    void *ctx;
};

struct mmio {
    struct mmio_range range[MMIO_RANGES_MAX];
    unsigned ranges;
};

void mmio_init(struct mmio *m);

/* Claim r's addresses. An index for mmio_move(), or -EINVAL: empty range, beyond 4 GiB, or unknown
 * size; -EEXIST: an address is taken; -ENOSPC: MMIO_RANGES_MAX ranges stand. r is copied. */
int mmio_claim(struct mmio *m, const struct mmio_range *r);

/* Let the range start at another address. It may then overlap others: the one that was claimed last
 * answers. -EINVAL: it would leave the 4 GiB, and stays where it is. */
int mmio_move(struct mmio *m, int index, gpa_t first);

/* The range that holds gpa, or NULL. */
const struct mmio_range *mmio_find(const struct mmio *m, gpa_t gpa);

/* One access of size 1, 2 or 4 bytes, little-endian. Wider ones are the caller's to make of
 * several, lowest address first. */
uint32_t mmio_read(const struct mmio *m, gpa_t gpa, unsigned size);
void mmio_write(const struct mmio *m, gpa_t gpa, uint32_t val, unsigned size);

#endif
