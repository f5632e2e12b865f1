/*
 * What guest and monitor have agreed on: hypercalls, and the few ports a guest of ours needs.
 * The one header that both sides include; docs/guests.md explains it with examples.
 *
 * A hypercall is one 32-bit OUT of a guest-physical address to UMBRA_HC_PORT. At that address lies
 * an argument block (struct umbra_hc), aligned to UMBRA_HC_ALIGN and wholly inside guest RAM.
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
#define UMBRA_ABI_MINOR   0u
#define UMBRA_ABI_VERSION ((UMBRA_ABI_MAJOR << 16) | UMBRA_ABI_MINOR)

/* Call numbers. Arguments that a call does not name must be 0, so that they may get a meaning. */

/* -> ret[0] UMBRA_ABI_VERSION of the monitor. Answered whatever version the block carries. */
#define UMBRA_HC_VERSION 0x01u

/* arg[0] linear address: how its page is mapped, without touching it.
 * -> ret[0] the guest's own PTE, raw; 0 if there is none or paging is off
 *    ret[1] enum umbra_backing
 *    ret[2] backing PTE, raw, i386 format
 *    ret[3] frame number, UMBRA_NO_FRAME if no frame is mapped
 *    ret[4] the frame's references, ret[5] how many backing PTEs map it (0 for the zero frame)
 *    ret[6] shadow PTE, low half, ret[7] its high half; 0 if there is none
 * An address that the guest's tables do not map: only ret[0] says something, the backing is none.
 * UMBRA_ERANGE: paging is off and the address lies beyond RAM. */
#define UMBRA_HC_PTE_QUERY 0x02u

/* -> ret[0] most frames the pool may have, zero frame included
 *    ret[1] frames that it has grown to, ret[2] how many of those are free
 *    ret[3] frames in one growth step
 *    ret[4] frames that this machine's RAM has resident, ret[5] pages of RAM */
#define UMBRA_HC_POOL_INFO 0x03u

/* Kept for address spaces that the monitor manages: map, unmap, protect, fork, switch, exit. */
#define UMBRA_HC_SPACE_FIRST 0x10u
#define UMBRA_HC_SPACE_LAST  0x1fu

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
