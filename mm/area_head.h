/*
 * The header page of a swap area (slot 0), as it lies on disk. Little-endian, as its users are.
 */
#ifndef UMBRA_MM_AREA_HEAD_H
#define UMBRA_MM_AREA_HEAD_H

#include "mm/area.h"

#define AREA_MAGIC     "UmbraSwapArea\r\n\x1a"
#define AREA_MIN_BYTES (2 * (uint64_t)PAGE_SIZE)

struct area_head {
    char magic[16];
    uint32_t version;
    uint32_t page_size; /* bytes */
    uint64_t slots;     /* this page included */
    uint8_t uuid[16];
    uint64_t generation; /* how often the area has been opened */
    uint32_t is_open;    /* 1 from opening to orderly closing */
    uint32_t pid;        /* of the process that opened it last */
    uint8_t reserved[PAGE_SIZE - 72];
    uint64_t sum; /* XXH64 of all that comes before, seed 0 */
} __attribute__((aligned(4096)));

_Static_assert(sizeof(struct area_head) == PAGE_SIZE, "the header is one page");

enum area_kind { AREA_FILE, AREA_DEVICE };

/* Open path read-write, and no other kind of thing than a file or block device; with create, make a
 * file that is missing. fd or negative errno; *made says that the file is new. */
int area_open_path(const char *path, bool create, enum area_kind *kind, bool *made,
                   struct mm_err *err);
/* Lock the whole of fd for us alone, or -EBUSY with who has it, as far as the header tells. */
int area_lock(int fd, const char *path, struct mm_err *err);
/* Bytes that fd holds. 0 or negative errno. */
int area_size(int fd, enum area_kind kind, uint64_t *bytes);

void area_head_seal(struct area_head *h); /* sets sum */
/* Is h the header of an area that fits in `bytes`? 0, or as area_open says. */
int area_head_check(const struct area_head *h, uint64_t bytes, const char *path,
                    struct mm_err *err);
/* The whole page, by pread/pwrite. 0 or negative errno. */
int area_head_read(int fd, struct area_head *h);
int area_head_write(int fd, const struct area_head *h);

#endif
