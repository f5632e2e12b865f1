/* See disk.h. */
#include "vmm/dev/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/failpoint.h"
#include "vmm/filekind.h"

struct disk {
    char *path;
    int fd, overlay_fd; /* overlay_fd -1: no overlay */
    uint64_t sectors;
    uint64_t bytes; /* that the file has, at most sectors * DISK_SECTOR */
    bool readonly;
    uint8_t *in_overlay; /* a bit for each sector that the overlay holds */
    size_t map_bytes;
    struct failpoint *fail;
    struct disk_stats stats;
};

/* --- opening --------------------------------------------------------------------------------- */

static int size_of(int fd, const struct stat *st, uint64_t *bytes)
{
    if (S_ISREG(st->st_mode)) {
        *bytes = (uint64_t)st->st_size;
        return 0;
    }
    if (!S_ISBLK(st->st_mode))
        return -EINVAL;
    return ioctl(fd, BLKGETSIZE64, bytes) == 0 ? 0 : -errno;
}

/* Two machines that write one file would ruin it; readers may share it. */
static int lock(const struct disk *d, bool exclusive, struct errmsg *err)
{
    struct flock whole = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    if (fcntl(d->fd, F_OFD_SETLK, &whole) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return err_set(err, -EBUSY,
                       "disk %s: in use by another machine; stop that one, or have both open it "
                       "with readonly=on or snapshot=on",
                       d->path);
    return err_set(err, -errno, "disk %s: cannot lock it: %s", d->path, strerror(errno));
}

static int open_file(struct disk *d, const struct disk_opts *o, struct errmsg *err)
{
    const bool write = !o->readonly && !o->snapshot;
    const uint32_t unit = o->unit ? o->unit : DISK_SECTOR;
    struct stat st;

    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    d->fd = open(o->path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (d->fd < 0) {
        const int e = errno;
        return err_set(err, -e, "disk %s: cannot open it%s: %s%s", o->path,
                       write ? " for writing" : "", strerror(e),
                       write && (e == EACCES || e == EROFS || e == EPERM)
                           ? "; give readonly=on or snapshot=on"
                           : "");
    }
    if (fstat(d->fd, &st) < 0)
        return err_set(err, -errno, "disk %s: %s", o->path, strerror(errno));
    const int rc = size_of(d->fd, &st, &d->bytes);
    if (rc == -EINVAL)
        return err_set(err, rc, "disk %s: neither a file nor a block device", o->path);
    if (rc < 0)
        return err_set(err, rc, "disk %s: its size: %s", o->path, strerror(-rc));
    if (d->bytes == 0)
        return err_set(err, -EINVAL, "disk %s: it is empty", o->path);
    const struct filekind *kind = o->raw ? NULL : filekind_of(d->fd);
    if (kind && kind->disk_format)
        return err_set(err, -EINVAL,
                       "disk %s: %s, and only raw ones are served; %s (format=raw gives the guest "
                       "its bytes as they are)",
                       d->path, kind->what, kind->remedy);
    d->sectors = (d->bytes + unit - 1) / unit * (unit / DISK_SECTOR);
    return lock(d, write, err);
}

/* A file without a name where temporary files go. */
static int nameless_file(const char *dir)
{
    char name[4096];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    if ((size_t)snprintf(name, sizeof name, "%s/umbra-overlay-XXXXXX", dir) >= sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

static int add_overlay(struct disk *d, struct errmsg *err)
{
    const char *dir = getenv("TMPDIR");
    if (!dir || !*dir)
        dir = "/var/tmp"; /* not /tmp, which may be in memory */
    d->overlay_fd = nameless_file(dir);
    if (d->overlay_fd < 0)
        return err_set(err, -errno,
                       "disk %s: a file for its overlay in %s: %s; TMPDIR names another directory",
                       d->path, dir, strerror(errno));
    d->map_bytes = (size_t)(d->sectors / 8 + 1);
    d->in_overlay = mmap(NULL, d->map_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (d->in_overlay == MAP_FAILED) {
        d->in_overlay = NULL;
        return err_set(err, -ENOMEM, "disk %s: no memory for its overlay's map", d->path);
    }
    return 0;
}

int disk_open(const struct disk_opts *o, struct disk **out, struct errmsg *err)
{
    struct disk *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(err, -ENOMEM, "out of memory");
    d->fd = d->overlay_fd = -1;
    d->readonly = o->readonly;
    d->fail = o->fail;
    d->path = strdup(o->path);
    int rc = d->path ? open_file(d, o, err) : err_set(err, -ENOMEM, "out of memory");
    if (!rc && o->snapshot && !o->readonly)
        rc = add_overlay(d, err);
    if (rc < 0) {
        disk_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

void disk_close(struct disk *d)
{
    if (!d)
        return;
    if (d->fd >= 0)
        close(d->fd);
    if (d->overlay_fd >= 0)
        close(d->overlay_fd);
    if (d->in_overlay)
        munmap(d->in_overlay, d->map_bytes);
    free(d->path);
    free(d);
}

/* --- what it is ------------------------------------------------------------------------------ */

uint64_t disk_sectors(const struct disk *d)
{
    return d->sectors;
}

uint32_t disk_padding(const struct disk *d)
{
    const uint64_t whole = d->sectors * DISK_SECTOR;
    return whole > d->bytes ? (uint32_t)(whole - d->bytes) : 0;
}

bool disk_readonly(const struct disk *d)
{
    return d->readonly;
}

const char *disk_path(const struct disk *d)
{
    return d->path;
}

void disk_get_stats(const struct disk *d, struct disk_stats *out)
{
    *out = d->stats;
}

/* --- bytes ----------------------------------------------------------------------------------- */

static int read_all(const struct disk *d, int fd, uint64_t at, uint8_t *buf, uint64_t len)
{
    while (len > 0) {
        const ssize_t n =
            fail_now(d->fail, FAIL_READ) ? (errno = EIO, -1) : pread(fd, buf, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) /* the file has shrunk since it was opened */
            return -EIO;
        buf += n;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

static int write_all(const struct disk *d, int fd, uint64_t at, const uint8_t *buf, uint64_t len)
{
    while (len > 0) {
        const ssize_t n =
            fail_now(d->fail, FAIL_WRITE) ? (errno = EIO, -1) : pwrite(fd, buf, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        buf += n;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

/* From the file itself; behind its end there are zeros up to the last whole unit. */
static int read_file(const struct disk *d, uint64_t at, uint8_t *buf, uint64_t len)
{
    const uint64_t there = at >= d->bytes ? 0 : d->bytes - at < len ? d->bytes - at : len;
    memset(buf + there, 0, len - there);
    return read_all(d, d->fd, at, buf, there);
}

static bool in_overlay(const struct disk *d, uint64_t sector)
{
    return d->in_overlay && (d->in_overlay[sector / 8] >> (sector % 8) & 1);
}

/* How many of n sectors from sector on are in the same place as the first. */
static uint32_t run_of(const struct disk *d, uint64_t sector, uint32_t n)
{
    uint32_t run = 1;
    if (!d->in_overlay)
        return n;
    while (run < n && in_overlay(d, sector + run) == in_overlay(d, sector))
        run++;
    return run;
}

static void keep_in_overlay(struct disk *d, uint64_t sector, uint32_t n)
{
    for (uint64_t s = sector; s < sector + n; s++) {
        d->stats.overlay_sectors += !in_overlay(d, s);
        d->in_overlay[s / 8] |= (uint8_t)(1u << (s % 8));
    }
}

static bool inside(const struct disk *d, uint64_t sector, uint32_t n)
{
    return sector <= d->sectors && n <= d->sectors - sector;
}

int disk_read(struct disk *d, uint64_t sector, uint32_t n, void *buf)
{
    uint8_t *p = buf;
    if (!inside(d, sector, n))
        return -ERANGE;
    d->stats.reads++;
    while (n > 0) {
        const uint32_t run = run_of(d, sector, n);
        const uint64_t at = sector * DISK_SECTOR, len = (uint64_t)run * DISK_SECTOR;
        const int rc = in_overlay(d, sector) ? read_all(d, d->overlay_fd, at, p, len)
                                             : read_file(d, at, p, len);
        if (rc < 0) {
            d->stats.read_errors++;
            return rc;
        }
        d->stats.read_sectors += run;
        sector += run;
        n -= run;
        p += len;
    }
    return 0;
}

int disk_write(struct disk *d, uint64_t sector, uint32_t n, const void *buf)
{
    const uint64_t at = sector * DISK_SECTOR, len = (uint64_t)n * DISK_SECTOR;
    if (!inside(d, sector, n))
        return -ERANGE;
    if (d->readonly)
        return -EROFS;
    d->stats.writes++;
    const int rc = write_all(d, d->in_overlay ? d->overlay_fd : d->fd, at, buf, len);
    if (rc < 0) {
        d->stats.write_errors++;
        return rc;
    }
    d->stats.written_sectors += n;
    if (d->in_overlay)
        keep_in_overlay(d, sector, n);
    else if (at + len > d->bytes) /* the padding is in the file now */
        d->bytes = at + len;
    return 0;
}

int disk_flush(struct disk *d)
{
    d->stats.flushes++;
    if (d->readonly || d->in_overlay)
        return 0;
    const bool fail = fail_now(d->fail, FAIL_WRITE);
    if (!fail && fdatasync(d->fd) == 0)
        return 0;
    d->stats.write_errors++;
    return fail ? -EIO : -errno;
}
