/*
 * The one accessor of guest memory: every read and write that the monitor makes on the guest's
 * behalf (loaders, hypercalls, page-table walks, devices) goes through here, with overflow-safe
 * checks. A gmem spans guest-physical 0 .. bytes-1 of one mm; pages are faulted in as they are
 * touched.
 */
#ifndef UMBRA_VMM_GMEM_H
#define UMBRA_VMM_GMEM_H

#include "mm/mm.h"

struct gmem {
    struct mm *mm;
    uint64_t bytes; /* guest RAM ends here */
    /* Told of every page part that is written, so that what was made from it (decoded code, shadow
     * tables) is dropped. by_walk: it was a page table walk that set accessed or dirty. May be
     * NULL. */
    void (*written)(void *ctx, gpa_t gpa, frame_t f, uint32_t len, bool by_walk);
    void *ctx;
    /* Told of every access here that changed what backs the page. NULL: nobody wants to know. */
    void (*faulted)(void *ctx, const struct gmem *g, gfn_t gfn, enum mm_access access,
                    const struct mm_fault *f);
};

/* Is gpa .. gpa+len-1 wholly inside guest memory? Never wraps. len 0: only gpa <= bytes. */
bool gmem_valid(const struct gmem *g, gpa_t gpa, uint64_t len);

/* 0; -EFAULT: range not inside guest memory (nothing was touched); -ENOMEM: frame pool used up;
 * -EIO: a page could not be read back. After -ENOMEM/-EIO a part may have been written. */
int gmem_read(struct gmem *g, gpa_t gpa, void *buf, uint64_t len);
int gmem_write(struct gmem *g, gpa_t gpa, const void *buf, uint64_t len);
int gmem_fill(struct gmem *g, gpa_t gpa, uint8_t byte, uint64_t len);

/* Set bits in the 32-bit word at gpa, a multiple of 4, as a page table walk does: in one locked
 * operation. Errors as above. */
int gmem_set_bits(struct gmem *g, gpa_t gpa, uint32_t bits);

/* Host address of one guest page for reading or writing (faulted in), NULL with *err as above.
 * Valid until the next call into mm. */
uint8_t *gmem_page(struct gmem *g, gfn_t gfn, enum mm_access access, int *err);

#endif
