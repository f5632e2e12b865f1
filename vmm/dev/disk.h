/*
 * What a disk holds: a raw image file or a block device, in sectors of 512 bytes. With an overlay
 * the file stays as it is and what is written goes to a file without a name, which ends with the
 * disk and holds no more than the disk does.
 *
 * Calls block until the host's kernel has done them, on the caller's thread. One disk belongs to
 * one thread.
 */
#ifndef UMBRA_VMM_DEV_DISK_H
#define UMBRA_VMM_DEV_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/errmsg.h"

#define DISK_SECTOR    512u
#define DISK_CD_SECTOR 2048u

struct disk;
struct failpoint;

struct disk_opts {
    const char *path;
    bool readonly;          /* writes are refused; other readers may have the file open too */
    bool snapshot;          /* writes go to an overlay */
    bool raw;               /* its bytes are the disk's, even if they look like a format's */
    uint32_t unit;          /* the size is rounded up to a multiple of it, in zeros; 0: 512 */
    struct failpoint *fail; /* makes reads and writes fail, for tests; NULL: never */
};

struct disk_stats {
    uint64_t reads, read_sectors;
    uint64_t writes, written_sectors;
    uint64_t flushes;
    uint64_t read_errors, write_errors; /* of the host; flushes count as writes */
    uint64_t overlay_sectors;           /* that the overlay holds now */
};

/*
 * Open and lock. 0, or a negative errno with err filled: -EBUSY: locked by another process;
 * -EINVAL: neither a regular file nor a block device, empty, or without o->raw a disk image of
 * another format than raw; -ENOMEM; others from the host.
 */
int disk_open(const struct disk_opts *o, struct disk **out, struct errmsg *err);
void disk_close(struct disk *d); /* d may be NULL */

uint64_t disk_sectors(const struct disk *d);
/* Bytes that the file lacks to its last whole unit; they read as zeros. */
uint32_t disk_padding(const struct disk *d);
bool disk_readonly(const struct disk *d);
const char *disk_path(const struct disk *d);
void disk_get_stats(const struct disk *d, struct disk_stats *out);

/* n sectors from sector on. 0; -ERANGE: not all of them are on the disk (nothing is done); -EROFS;
 * else the host's error, after which a part may have been done. */
int disk_read(struct disk *d, uint64_t sector, uint32_t n, void *buf);
int disk_write(struct disk *d, uint64_t sector, uint32_t n, const void *buf);
/* Have what was written reach the host's disk. An overlay has nothing to keep. */
int disk_flush(struct disk *d);

#endif
