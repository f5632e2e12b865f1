/*
 * The swap area as a file: its header (slot 0), its lock, and page I/O by slot number.
 * docs/swap.md gives the header byte by byte.
 *
 * What the slots hold is known to the process that has the area open and to nobody else: their
 * contents do not survive it. The header's generation number tells one opening from the next.
 */
#ifndef UMBRA_MM_AREA_H
#define UMBRA_MM_AREA_H

#include "mm/aio.h"
#include "mm/err.h"
#include "mm/types.h"

struct area;

#define AREA_VERSION   1u
#define AREA_MAX_BYTES ((uint64_t)1 << 36) /* 2^24 slots of 4 KiB */

/*
 * Make a swap area of `bytes` (rounded down to pages) at path: a regular file (made with mode 0600
 * where there is none, its blocks reserved where the file system can) or a block device (0 bytes:
 * all of it). What is there already is overwritten only if it is empty, starts with a page of
 * zeros, or is an Umbra area that nobody has open. -EINVAL size zero or under two pages -EOVERFLOW
 * over 64 GiB     -EEXIST other content -EBUSY in use                           -ENOTBLK neither
 * file nor block device -ENOSPC, -EACCES, ...                   errno of the call that failed err
 * says which, and what to do.
 */
int area_format(const char *path, uint64_t bytes, struct mm_err *err);

struct area_format_opts {
    bool force; /* other content may be overwritten too; never what is in use */
    /* Told now and then while blocks are reserved, which is the part that can take long. May be
     * NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t bytes);
    void *ctx;
    uint64_t *made; /* gets the area's bytes, header included. May be NULL */
};
/* The same with wishes. */
int area_format_with(const char *path, uint64_t bytes, const struct area_format_opts *opts,
                     struct mm_err *err);

struct area_opts {
    enum aio_engine engine;
    unsigned depth; /* I/Os in flight; 0: a sensible default */
    bool buffered;  /* do not ask for O_DIRECT */
};

/*
 * Open an area and lock it against others. opts may be NULL. Refuses, with err naming field and
 * remedy: -ENOTBLK          neither regular file nor block device -ENODATA          truncated:
 * shorter than a header, or than the header says -EMEDIUMTYPE      foreign: no magic
 *   -EPROTONOSUPPORT  another version           -EBADMSG   the header's checksum does not match
 *   -ENOTSUP          another page size         -ERANGE    no slot, or reserved bytes in use
 *   -EOVERFLOW        more slots than a PTE can name
 *   -EBUSY            open elsewhere            others     errno of the call that failed
 */
int area_open(const char *path, const struct area_opts *opts, struct area **out,
              struct mm_err *err);
/* Drains, marks the header closed, unlocks. */
void area_close(struct area *a);

struct area_info {
    char uuid[37];       /* text form */
    uint32_t slots;      /* header included */
    uint64_t generation; /* of this opening; 1 for the first */
    bool was_open;       /* the last user did not close it (killed, or the host went down) */
    bool direct;         /* O_DIRECT is in use */
    enum aio_engine engine;
};
void area_get_info(const struct area *a, struct area_info *out);
const char *area_path(const struct area *a);
int area_fd(const struct area *a); /* stays the area's */

/* One page, now. slot 1..slots-1, else -EINVAL. 0 or negative errno. */
int area_read(struct area *a, slot_t slot, void *page);
int area_write(struct area *a, slot_t slot, const void *page);
/* Queue req (done is the caller's; the rest is filled here). As aio_submit, and -EINVAL. */
int area_submit(struct area *a, enum aio_op op, slot_t slot, void *page, struct aio_req *req);
/* The queue, to kick, poll, wait, drain and hook. Stays the area's. */
struct aio *area_aio(struct area *a);

#endif
