/*
 * What guest and monitor have agreed on: hypercalls, and the few ports a guest of ours needs.
 * The one header that both sides include; docs/guests.md explains it with examples.
 *
 * A hypercall is one 32-bit OUT of a guest-physical address to UMBRA_HC_PORT. At that address lies
 * an argument block (struct umbra_hc), aligned to UMBRA_HC_ALIGN and wholly inside guest RAM
 * (and where the guest may write, if the monitor manages its memory).
 * The monitor fetches it once, checks and works on its copy, and writes back status and ret[] only.
 *
 *  - A 32-bit IN from the port gives the status of the last hypercall once more. This is the only
 *    answer when the block itself cannot be trusted: UMBRA_EALIGN, UMBRA_EFAULT, UMBRA_EMAGIC leave
 *    guest memory untouched. Before the first hypercall it gives UMBRA_OK. A machine without the
 *    port gives -1, which is no status of ours.
 *  - OUT or IN of another width is refused with UMBRA_EINVAL, in the same way.
 *  - Checks are made in this order: width, alignment, range, magic, version, number, flags and
 *    unused arguments. The first that fails names the status.
 *  - With any status but UMBRA_OK, ret[] is written as zeros.
 *
 * Everything is little-endian and laid out alike for 32- and 64-bit compilers. crt0.S includes this
 * header as well, for the constants.
 */
#ifndef UMBRA_GUEST_ABI_H
#define UMBRA_GUEST_ABI_H

/* --- ports --- */
#define UMBRA_HC_PORT   0x5b0
#define UMBRA_COM1_PORT 0x3f8 /* 16550 UART, 8 ports */
#define UMBRA_EXIT_PORT                                                                            \
    0xf4 /* a write of v of any width ends the machine: exit status (v << 1) | 1 */

/* Values for the exit port. HLT with interrupts off is the clean end: exit status 0. */
#define UMBRA_EXITV_PANIC 0x02 /* the guest gave up: exit status 5 */
#define UMBRA_EXITV_FAIL  0x10 /* a test guest saw a failure: exit status 33 */
#define UMBRA_EXITV_CLEAN 0x31 /* the clean end where HLT ends nothing (exit=qemu): status 99 */

/* --- hypercalls --- */
#define UMBRA_HC_MAGIC 0x41524d55u /* "UMRA" */
#define UMBRA_HC_ALIGN 4u

/* Major in the upper half, minor in the lower. The monitor serves a block whose major is its own
 * and whose minor is not above its own. A minor only ever adds calls. */
#define UMBRA_ABI_MAJOR   1u
#define UMBRA_ABI_MINOR   1u
#define UMBRA_ABI_VERSION ((UMBRA_ABI_MAJOR << 16) | UMBRA_ABI_MINOR)

/* Call numbers. Arguments that a call does not name must be 0, so that they may get a meaning. */

/* -> ret[0] UMBRA_ABI_VERSION of the monitor. Answered whatever version the block carries. */
#define UMBRA_HC_VERSION 0x01u

/* arg[0] linear address: how its page is mapped, without touching it.
 * -> ret[0] the guest's own PTE, raw, 0 if there is none; with paging off the window's entry (see
 *    below), 0 if the monitor does not manage the guest's memory
 *    ret[1] enum umbra_backing
 *    ret[2] backing PTE, raw, i386 format
 *    ret[3] frame number, UMBRA_NO_FRAME if no frame is mapped
 *    ret[4] the frame's references, ret[5] how many backing PTEs map it (0 for the zero frame)
 *    ret[6] shadow PTE, low half, ret[7] its high half; 0 if there is none
 * An address that the guest's tables do not map: only ret[0] says something, the backing is none.
 * UMBRA_ERANGE: paging is off and the address lies beyond RAM, or in no region. */
#define UMBRA_HC_PTE_QUERY 0x02u

/* -> ret[0] most frames the pool may have, zero frame included
 *    ret[1] frames that it has grown to, ret[2] how many of those are free
 *    ret[3] frames in one growth step
 *    ret[4] frames that this machine's RAM has resident, ret[5] pages of RAM */
#define UMBRA_HC_POOL_INFO 0x03u

/*
 * Address spaces that the monitor manages (minor 1), for guests that leave paging off. A guest
 * starts in space 0, where its RAM is one private region.
 *
 * The first of these calls that succeeds makes the monitor the guest's memory manager. From then
 * on, with paging off, an access outside every region or against a region's rights is #PF: CR2 is
 * the address, W and U say what the access was, P is the P of the page's entry in the window. The
 * window with the current space's entries, read-only, lies at UMBRA_WINDOW: the entry of address a
 * is the dword at UMBRA_WINDOW + (a >> 12) * 4, in i386 format:
 *
 *   0            nothing there yet (or no region)
 *   P = 1        frame number, W, U, A, D as the memory manager knows them
 *   P = 0, else  swapped out: bits 31..8 the slot, bits 7..1 the area + 1 (bit 7 is 0); or, with
 *                UMBRA_PTE_PROTNONE, a page that is there in a region without any right
 *
 * Ranges are an address, a multiple of 4096, and a number of pages, not 0 (UMBRA_EINVAL); they end
 * at or before UMBRA_WINDOW (UMBRA_ERANGE). A call that fails has changed nothing. A call that
 * takes the block's own memory away is answered by the port only.
 */
#define UMBRA_HC_SPACE_FIRST 0x10u
#define UMBRA_HC_SPACE_LAST  0x1fu

/* -> ret[0] current space, ret[1] spaces in use, ret[2] most spaces
 *    ret[3] regions of the current space, ret[4] most regions of one space
 *    ret[5] frames that it maps, ret[6] pages of it that are swapped out
 *    ret[7] boot modules that can be mapped */
#define UMBRA_HC_SPACE_INFO 0x10u

/* arg[0], arg[1] range, arg[2] UMBRA_PROT_*, arg[3] UMBRA_MAP_*
 * arg[4] with UMBRA_MAP_MODULE: which boot module, arg[5] its first page; else 0.
 * Anonymous memory reads as zeros. Without UMBRA_MAP_SHARED a fork copies it on write. What is
 * written to a module's shared pages is seen by all who map them; the host's file never changes.
 * UMBRA_EEXIST: overlaps a region. UMBRA_ENOENT: no such module. UMBRA_ERANGE: also: beyond the
 * module's end. UMBRA_ENOMEM: too many regions, or too much shared memory (64 GiB in all). */
#define UMBRA_HC_SPACE_MAP 0x11u

/* arg[0], arg[1] range: regions and parts of regions in it go, with their pages. UMBRA_ENOMEM: it
 * would split one, and there are as many as there may be. */
#define UMBRA_HC_SPACE_UNMAP 0x12u

/* arg[0], arg[1] range, arg[2] UMBRA_PROT_*. Pages keep their content whatever the rights.
 * UMBRA_ENOENT: part of the range lies in no region. UMBRA_ENOMEM: as with unmap. */
#define UMBRA_HC_SPACE_PROTECT 0x13u

/* -> ret[0] number of a new space: a copy of the current one. Private pages are shared until one
 * side writes, shared regions are the same memory. The processor stays in the current space. In the
 * copy the block is as it was before the answer. UMBRA_ENOMEM: too many spaces, or no memory. */
#define UMBRA_HC_SPACE_FORK 0x14u

/* arg[0] space: the processor's linear addresses are that space's when the OUT is done; registers
 * stay. The answer lies in the space that was left, and in the port. UMBRA_ENOENT: no such space.
 */
#define UMBRA_HC_SPACE_SWITCH 0x15u

/* arg[0] space to destroy, with all it has. UMBRA_ENOENT: no such space; UMBRA_EINVAL: it is the
 * current one, or space 0. */
#define UMBRA_HC_SPACE_EXIT 0x16u

/* arg[0], arg[1] range of the current space: swap its pages out now, the first UMBRA_RECLAIM_MAX
 * that have a frame. Call again for more.
 * -> ret[0] pages of the range that are swapped out, ret[1] pages that kept their frame */
#define UMBRA_HC_SPACE_RECLAIM 0x17u

/* -> ret[0] slots of the machine's swap, 0: it has none; ret[1] slots in use
 *    ret[2] frames in the swap cache
 *    since the machine's start: ret[3] pages written out, ret[4] read back, ret[5] faults served
 *    from the swap cache, ret[6] pages read ahead, ret[7] of these, pages that were wanted */
#define UMBRA_HC_SPACE_SWAP_INFO 0x18u

#define UMBRA_PROT_READ  1u
#define UMBRA_PROT_WRITE 2u /* only with UMBRA_PROT_READ */

#define UMBRA_MAP_SHARED 1u
#define UMBRA_MAP_MODULE 2u

#define UMBRA_WINDOW       0xffc00000u
#define UMBRA_PTE_PROTNONE 0x80u

#define UMBRA_RECLAIM_MAX 2048u

#define UMBRA_NO_FRAME 0xffffffffu

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* Results of a hypercall: numbers of our own, never a host's errno. -1 stays unused, see above. */
enum umbra_status {
    UMBRA_OK = 0,
    UMBRA_EALIGN = -2,   /* the block is not aligned */
    UMBRA_EFAULT = -3,   /* the block is not wholly inside RAM */
    UMBRA_EMAGIC = -4,   /* no magic: not a block */
    UMBRA_EVERSION = -5, /* a version that this monitor does not serve */
    UMBRA_ENOCALL = -6,  /* no such call */
    UMBRA_EINVAL = -7,   /* flags, an unused argument not 0, or a wrong width */
    UMBRA_ERANGE = -8,   /* an address outside of what the call may name */
    UMBRA_ENOMEM = -9,   /* the frame pool is used up */
    UMBRA_EIO = -10,     /* a page could not be read back */
    UMBRA_EEXIST = -11,
    UMBRA_ENOENT = -12,
};

/* What a guest puts into status before the OUT, to see that somebody answered. */
#define UMBRA_HC_UNANSWERED INT32_MIN

/* What backs a page. */
enum umbra_backing {
    UMBRA_BACKING_NONE = 0,  /* never touched */
    UMBRA_BACKING_ZERO = 1,  /* the shared zero frame, read-only */
    UMBRA_BACKING_FRAME = 2, /* a frame */
    UMBRA_BACKING_SWAP = 3,  /* swapped out */
};

struct umbra_hc {
    uint32_t magic;   /* UMBRA_HC_MAGIC */
    uint32_t version; /* UMBRA_ABI_VERSION that the guest was built with */
    uint32_t number;  /* UMBRA_HC_* */
    uint32_t flags;   /* must be 0 */
    uint32_t arg[8];
    int32_t status; /* from here on: written by the monitor */
    uint32_t ret[8];
};

_Static_assert(sizeof(struct umbra_hc) == 84, "argument block: 21 words");
_Static_assert(offsetof(struct umbra_hc, arg) == 16, "arguments follow the header");
_Static_assert(offsetof(struct umbra_hc, status) == 48, "the answer starts at byte 48");
_Static_assert(offsetof(struct umbra_hc, ret) == 52, "results follow the status");

#endif /* __ASSEMBLER__ */
#endif
