/*
 * Header, lock and size of a swap area: what area_format and area_open have in common.
 */
#include "mm/area_head.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "mm/slotmap.h"

_Static_assert(AREA_MAX_BYTES == (uint64_t)SLOTS_MAX * PAGE_SIZE, "a PTE can name every slot");

static int check_kind(const struct stat *st, const char *path, enum area_kind *kind,
                      struct mm_err *err)
{
    if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
        return mm_err_set(
            err, -ENOTBLK,
            "swap area %s: neither a regular file nor a block device; name one of those", path);
    *kind = S_ISREG(st->st_mode) ? AREA_FILE : AREA_DEVICE;
    return 0;
}

int area_open_path(const char *path, bool create, enum area_kind *kind, bool *made,
                   struct mm_err *err)
{
    struct stat st;
    *made = false;
    int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    if (stat(path, &st) == 0) {
        /* Looked at before it is opened: opening some devices does things. */
        int bad = check_kind(&st, path, kind, err);
        if (bad)
            return bad;
        flags |= *kind == AREA_DEVICE ? O_EXCL : 0; /* not one that is mounted */
    } else if (create && errno == ENOENT) {
        flags |= O_CREAT | O_EXCL;
        *made = true;
    }
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        int e = -errno;
        *made = false;
        if (e == -EBUSY)
            return mm_err_set(err, e, "swap area %s: the device is mounted or in use; unmount it",
                              path);
        return mm_err_set(err, e, "swap area %s: cannot %s: %s%s", path,
                          create ? "make or open it" : "open it", strerror(-e),
                          e == -ENOENT && !create ? "; make one with 'umbra mkswap'" : "");
    }
    int bad = fstat(fd, &st) == 0 ? check_kind(&st, path, kind, err) : -errno;
    if (bad) {
        close(fd);
        return bad;
    }
    return fd;
}

int area_lock(int fd, const char *path, struct mm_err *err)
{
    /* Of the open file, not of the process: a second opening by ourselves is refused as well. */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return 0;
    int e = -errno;
    if (e != -EAGAIN && e != -EACCES)
        return mm_err_set(err, e, "swap area %s: cannot lock it: %s", path, strerror(-e));
    struct area_head h;
    char who[48] = "";
    if (area_head_read(fd, &h) == 0 && memcmp(h.magic, AREA_MAGIC, sizeof h.magic) == 0 &&
        h.is_open)
        snprintf(who, sizeof who, " (process %" PRIu32 ", by its header)", h.pid);
    return mm_err_set(
        err, -EBUSY, "swap area %s: in use by another process%s; stop that one or use another area",
        path, who);
}

int area_size(int fd, enum area_kind kind, uint64_t *bytes)
{
    struct stat st;
    if (kind == AREA_DEVICE)
        return ioctl(fd, BLKGETSIZE64, bytes) == 0 ? 0 : -errno;
    if (fstat(fd, &st))
        return -errno;
    *bytes = (uint64_t)st.st_size;
    return 0;
}

static uint64_t head_sum(const struct area_head *h)
{
    return XXH64(h, offsetof(struct area_head, sum), 0);
}

void area_head_seal(struct area_head *h)
{
    h->sum = head_sum(h);
}

/* Fields that only mean something once magic, version and checksum are right. */
static int check_fields(const struct area_head *h, uint64_t bytes, const char *path,
                        struct mm_err *err)
{
    if (h->page_size != PAGE_SIZE)
        return mm_err_set(err, -ENOTSUP,
                          "swap area %s: page size is %" PRIu32
                          ", needed is %u; run 'umbra mkswap' on it",
                          path, h->page_size, PAGE_SIZE);
    if (h->slots < 2)
        return mm_err_set(err, -ERANGE,
                          "swap area %s: size is %" PRIu64 " slots, it can hold nothing; run "
                          "'umbra mkswap' on it",
                          path, h->slots);
    if (h->slots > SLOTS_MAX)
        return mm_err_set(err, -EOVERFLOW,
                          "swap area %s: size is %" PRIu64
                          " slots, at most %u can be named; make a "
                          "smaller one with 'umbra mkswap'",
                          path, h->slots, SLOTS_MAX);
    for (size_t i = 0; i < sizeof h->reserved; i++)
        if (h->reserved[i])
            return mm_err_set(err, -ERANGE,
                              "swap area %s: reserved header byte %zu is in use; made by a newer "
                              "umbra? run 'umbra mkswap' on it",
                              path, offsetof(struct area_head, reserved) + i);
    if (bytes / PAGE_SIZE < h->slots)
        return mm_err_set(err, -ENODATA,
                          "swap area %s: truncated: size is %" PRIu64
                          " slots, the file holds %" PRIu64 "; run 'umbra mkswap' on it",
                          path, h->slots, bytes / PAGE_SIZE);
    return 0;
}

int area_head_check(const struct area_head *h, uint64_t bytes, const char *path, struct mm_err *err)
{
    if (memcmp(h->magic, AREA_MAGIC, sizeof h->magic) != 0)
        return mm_err_set(
            err, -EMEDIUMTYPE,
            "swap area %s: foreign: no magic in its header; if its content may go, make it one "
            "with 'umbra mkswap'",
            path);
    if (h->version != AREA_VERSION)
        return mm_err_set(err, -EPROTONOSUPPORT,
                          "swap area %s: version is %" PRIu32
                          ", needed is %u; run 'umbra mkswap' on it",
                          path, h->version, AREA_VERSION);
    if (h->sum != head_sum(h))
        return mm_err_set(err, -EBADMSG,
                          "swap area %s: the header is damaged: its checksum is %016" PRIx64
                          ", should be %016" PRIx64 "; run 'umbra mkswap' on it",
                          path, h->sum, head_sum(h));
    return check_fields(h, bytes, path, err);
}

int area_head_read(int fd, struct area_head *h)
{
    ssize_t n = pread(fd, h, sizeof *h, 0);
    return n == (ssize_t)sizeof *h ? 0 : n < 0 ? -errno : -ENODATA;
}

int area_head_write(int fd, const struct area_head *h)
{
    ssize_t n = pwrite(fd, h, sizeof *h, 0);
    return n == (ssize_t)sizeof *h ? 0 : n < 0 ? -errno : -EIO;
}
