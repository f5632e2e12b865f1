/*
 * Guest memory accessor: splits every access into page parts and faults each page in through mm.
 *
 * Invariants:
 *  1. No byte outside guest-physical 0 .. bytes-1 is reached, whatever gpa and len are.
 *  2. The shared zero frame is never written.
 *  3. Whoever caches decoded code hears of each written part, after it was written.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "vmm/gmem.h"

bool gmem_valid(const struct gmem *g, gpa_t gpa, uint64_t len)
{
    return gpa <= g->bytes && len <= g->bytes - gpa;
}

static int result_errno(enum mm_result r)
{
    switch (r) {
    case MM_MINOR:
    case MM_MAJOR:
    case MM_SPURIOUS: return 0;
    case MM_OOM: return -ENOMEM;
    case MM_IOERR: return -EIO;
    default: return -EFAULT;
    }
}

/* Host address of the page for this access; *frame is what backs it. */
static uint8_t *page_in(struct gmem *g, gfn_t gfn, enum mm_access access, frame_t *frame, int *err)
{
    struct mm_fault f = mm_fault(g->mm, gfn, access);

    if (g->faulted && f.result != MM_SPURIOUS)
        g->faulted(g->ctx, g, gfn, access, &f);
    *err = result_errno(f.result);
    if (*err)
        return NULL;
    if (access == MM_ACCESS_WRITE && (!f.writable || f.frame == POOL_ZERO_FRAME)) {
        *err = -EFAULT; /* invariant 2 */
        return NULL;
    }
    *frame = f.frame;
    return pool_ptr(mm_pool(g->mm), f.frame);
}

static void tell_written(struct gmem *g, gpa_t gpa, frame_t f, uint32_t len, bool by_walk)
{
    if (g->written)
        g->written(g->ctx, gpa, f, len, by_walk);
}

/* How much of len lies in the page of gpa. */
static uint32_t part_len(gpa_t gpa, uint64_t len)
{
    uint32_t room = PAGE_SIZE - ((uint32_t)gpa & PAGE_MASK);
    return len < room ? (uint32_t)len : room;
}

int gmem_read(struct gmem *g, gpa_t gpa, void *buf, uint64_t len)
{
    uint8_t *to = buf;

    if (!gmem_valid(g, gpa, len))
        return -EFAULT;
    while (len > 0) {
        uint32_t n = part_len(gpa, len);
        frame_t f;
        int err;
        const uint8_t *page = page_in(g, gfn_of(gpa), MM_ACCESS_READ, &f, &err);
        if (!page)
            return err;
        memcpy(to, page + (gpa & PAGE_MASK), n);
        to += n;
        gpa += n;
        len -= n;
    }
    return 0;
}

int gmem_write(struct gmem *g, gpa_t gpa, const void *buf, uint64_t len)
{
    const uint8_t *from = buf;

    if (!gmem_valid(g, gpa, len))
        return -EFAULT;
    while (len > 0) {
        uint32_t n = part_len(gpa, len), off = (uint32_t)gpa & PAGE_MASK;
        frame_t f;
        int err;
        uint8_t *page = page_in(g, gfn_of(gpa), MM_ACCESS_WRITE, &f, &err);
        if (!page)
            return err;
        memcpy(page + off, from, n);
        tell_written(g, gpa, f, n, false);
        from += n;
        gpa += n;
        len -= n;
    }
    return 0;
}

/* Does the page read as zeros already, without a frame of its own? */
static bool known_zero(const struct gmem *g, gfn_t gfn)
{
    struct mm_page_info i;

    mm_page_info(g->mm, gfn, &i);
    if (!i.in_region || (i.kind != MM_ANON_PRIVATE && i.kind != MM_ANON_SHARED))
        return false;
    return pte_none(i.pte) || (pte_present(i.pte) && pte_frame(i.pte) == POOL_ZERO_FRAME);
}

int gmem_fill(struct gmem *g, gpa_t gpa, uint8_t byte, uint64_t len)
{
    if (!gmem_valid(g, gpa, len))
        return -EFAULT;
    while (len > 0) {
        uint32_t n = part_len(gpa, len), off = (uint32_t)gpa & PAGE_MASK;
        /* Zeros over zeros cost no frame: a huge .bss stays demand-zero. */
        if (byte != 0 || !known_zero(g, gfn_of(gpa))) {
            frame_t f;
            int err;
            uint8_t *page = page_in(g, gfn_of(gpa), MM_ACCESS_WRITE, &f, &err);
            if (!page)
                return err;
            memset(page + off, byte, n);
            tell_written(g, gpa, f, n, false);
        }
        gpa += n;
        len -= n;
    }
    return 0;
}

int gmem_set_bits(struct gmem *g, gpa_t gpa, uint32_t bits)
{
    frame_t f;
    int err;

    if (!gmem_valid(g, gpa, 4) || gpa % 4)
        return -EFAULT;
    uint8_t *page = page_in(g, gfn_of(gpa), MM_ACCESS_WRITE, &f, &err);
    if (!page)
        return err;
    atomic_fetch_or((_Atomic uint32_t *)(void *)(page + (gpa & PAGE_MASK)), bits);
    tell_written(g, gpa, f, 4, true);
    return 0;
}

uint8_t *gmem_page(struct gmem *g, gfn_t gfn, enum mm_access access, int *err)
{
    frame_t f;
    uint8_t *page;

    if (gpa_of(gfn) >= g->bytes) {
        *err = -EFAULT;
        return NULL;
    }
    page = page_in(g, gfn, access, &f, err);
    if (page && access == MM_ACCESS_WRITE)
        tell_written(g, gpa_of(gfn), f, PAGE_SIZE, false);
    return page;
}
