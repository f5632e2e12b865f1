/*
 * Making a swap area.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "mm/area_head.h"

static int check_size(const char *path, uint64_t bytes, bool whole_device, struct mm_err *err)
{
    if (whole_device && bytes == 0)
        return 0;
    if (bytes == 0)
        return mm_err_set(err, -EINVAL,
                          "swap area %s: size is zero; give one of at least %" PRIu64 " bytes",
                          path, AREA_MIN_BYTES);
    if (bytes < AREA_MIN_BYTES)
        return mm_err_set(err, -EINVAL,
                          "swap area %s: size is %" PRIu64
                          " bytes; header and one slot need %" PRIu64,
                          path, bytes, AREA_MIN_BYTES);
    if (bytes > AREA_MAX_BYTES)
        return mm_err_set(err, -EOVERFLOW,
                          "swap area %s: size is %" PRIu64 " bytes; at most %" PRIu64
                          " (64 GiB) can be named by page table entries",
                          path, bytes, AREA_MAX_BYTES);
    return 0;
}

/* May what is there be overwritten? Nothing, zeros, or an area of ours. */
static int check_content(int fd, const char *path, struct mm_err *err)
{
    static const uint8_t zeros[PAGE_SIZE];
    struct area_head h = {0};
    ssize_t n = pread(fd, &h, sizeof h, 0);
    if (n < 0)
        return mm_err_set(err, -errno, "swap area %s: cannot read its first page: %s", path,
                          strerror(errno));
    if (n == 0 || memcmp(&h, zeros, (size_t)n) == 0 ||
        memcmp(h.magic, AREA_MAGIC, sizeof h.magic) == 0)
        return 0;
    return mm_err_set(err, -EEXIST,
                      "swap area %s: it holds something else, which is not overwritten; remove it, "
                      "clear the first "
                      "page of the device, or force it ('umbra mkswap --force')",
                      path);
}

/* Blocks are reserved by so many bytes at a time, to tell how far it has got. */
#define RESERVE_STEP ((uint64_t)256 << 20)

/* Set the file's size and reserve its blocks, so that a full disk is found now and not under a
 * running guest. */
static int reserve(int fd, const char *path, uint64_t bytes, const struct area_format_opts *o,
                   struct mm_err *err)
{
    if (ftruncate(fd, (off_t)bytes))
        return mm_err_set(err, -errno, "swap area %s: cannot set its size to %" PRIu64 " bytes: %s",
                          path, bytes, strerror(errno));
    for (uint64_t at = 0; at < bytes;) {
        const uint64_t n = bytes - at < RESERVE_STEP ? bytes - at : RESERVE_STEP;
        if (fallocate(fd, 0, (off_t)at, (off_t)n)) {
            if (errno == EOPNOTSUPP || errno == ENOSYS)
                return 0;
            return mm_err_set(err, -errno,
                              "swap area %s: cannot reserve %" PRIu64
                              " bytes: %s; free some room or make it smaller",
                              path, bytes, strerror(errno));
        }
        at += n;
        if (o->progress)
            o->progress(o->ctx, at, bytes);
    }
    return 0;
}

static int fit_device(int fd, const char *path, uint64_t *bytes, struct mm_err *err)
{
    uint64_t have = 0;
    int e = area_size(fd, AREA_DEVICE, &have);
    if (e)
        return mm_err_set(err, e, "swap area %s: cannot ask for its size: %s", path, strerror(-e));
    if (*bytes == 0)
        *bytes = have < AREA_MAX_BYTES ? have : AREA_MAX_BYTES;
    if (*bytes > have)
        return mm_err_set(err, -ENOSPC,
                          "swap area %s: size is %" PRIu64 " bytes, the device has %" PRIu64, path,
                          *bytes, have);
    return check_size(path, *bytes, false, err);
}

static int write_head(int fd, const char *path, uint64_t bytes, struct mm_err *err)
{
    struct area_head h = {.version = AREA_VERSION, .page_size = PAGE_SIZE};
    memcpy(h.magic, AREA_MAGIC, sizeof h.magic);
    h.slots = bytes / PAGE_SIZE;
    if (getrandom(h.uuid, sizeof h.uuid, 0) != (ssize_t)sizeof h.uuid)
        return mm_err_set(err, -EIO, "swap area %s: no random numbers for its uuid", path);
    h.uuid[6] = (uint8_t)((h.uuid[6] & 0x0f) | 0x40); /* a random (version 4) uuid, RFC 4122 */
    h.uuid[8] = (uint8_t)((h.uuid[8] & 0x3f) | 0x80);
    area_head_seal(&h);
    int e = area_head_write(fd, &h);
    if (!e && fsync(fd))
        e = -errno;
    return e ? mm_err_set(err, e, "swap area %s: cannot write its header: %s", path, strerror(-e))
             : 0;
}

static int format_fd(int fd, enum area_kind kind, const char *path, uint64_t bytes,
                     const struct area_format_opts *o, struct mm_err *err)
{
    int e = area_lock(fd, path, err);
    if (!e)
        e = check_size(path, bytes, kind == AREA_DEVICE, err);
    if (!e && !o->force)
        e = check_content(fd, path, err);
    if (!e && kind == AREA_DEVICE)
        e = fit_device(fd, path, &bytes, err);
    bytes -= bytes % PAGE_SIZE;
    if (!e && kind == AREA_FILE)
        e = reserve(fd, path, bytes, o, err);
    if (!e)
        e = write_head(fd, path, bytes, err);
    if (!e && o->made)
        *o->made = bytes;
    return e;
}

int area_format(const char *path, uint64_t bytes, struct mm_err *err)
{
    const struct area_format_opts none = {.force = false};
    return area_format_with(path, bytes, &none, err);
}

int area_format_with(const char *path, uint64_t bytes, const struct area_format_opts *opts,
                     struct mm_err *err)
{
    enum area_kind kind;
    bool made;
    /* Asked first, so that a bad size leaves no file behind; 0 may still mean a whole device. */
    int e = check_size(path, bytes, true, err);
    if (e)
        return e;
    int fd = area_open_path(path, true, &kind, &made, err);
    if (fd < 0)
        return fd;
    e = format_fd(fd, kind, path, bytes, opts, err);
    if (e && made)
        unlink(path);
    close(fd);
    return e;
}
