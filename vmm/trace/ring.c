/* See ring.h: making the file, and what is done to it at the beginning and at the end. */
#include "vmm/trace/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    REFRESH_EVERY = 1024,   /* records */
    CALIBRATE_NS = 2000000, /* the first two moments are so far apart */
};

static struct trace_moment moment_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct trace_moment){__builtin_ia32_rdtsc(),
                                 (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec};
}

/* --- making the file ------------------------------------------------------------------------- */

/* Is it empty, or a trace of ours of whatever version? */
static bool may_overwrite(int fd, const struct stat *st)
{
    char magic[8];
    return st->st_size == 0 || (pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
                                memcmp(magic, TRACE_MAGIC, sizeof magic) == 0);
}

static int file_open(const char *path, struct errmsg *err)
{
    struct stat st;
    /* O_NONBLOCK: a FIFO must be refused, not waited for */
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", path, strerror(errno));
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = err_set(err, -errno, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = err_set(err, -EEXIST, "%s: a trace is a regular file", path);
    else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        rc = err_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno,
                     errno == EWOULDBLOCK ? "%s: another machine is writing it"
                                          : "%s: it cannot be locked",
                     path);
    else if (!may_overwrite(fd, &st))
        rc = err_set(err, -EEXIST,
                     "%s: holds something else than a trace; remove it or give another name", path);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

/* Reserved now, a block cannot be missing when a record is stored: that would be SIGBUS. */
static int file_reserve(int fd, const char *path, uint64_t bytes, struct errmsg *err)
{
    int rc = ftruncate(fd, 0) < 0 ? errno : posix_fallocate(fd, 0, (off_t)bytes);
    if (!rc)
        return 0;
    if (ftruncate(fd, 0) < 0)
        rc = errno;
    return err_set(err, -rc, "%s: reserving %" PRIu64 " bytes: %s; a smaller --trace-size may help",
                   path, bytes, strerror(rc));
}

/* So that a record meets no fault of the host's. */
static void populate(uint8_t *m, size_t bytes)
{
    if (madvise(m, bytes, MADV_POPULATE_WRITE) == 0)
        return;
    for (size_t i = 0; i < bytes; i += PAGE_SIZE)
        *(volatile uint8_t *)(m + i) = 0;
}

static void head_begin(struct trace_ring *r)
{
    struct trace_head *h = r->head;
    struct timespec unix_now;
    clock_gettime(CLOCK_REALTIME, &unix_now);
    h->version = TRACE_VERSION;
    h->head_bytes = TRACE_HEAD_BYTES;
    h->rec_bytes = sizeof(struct trace_rec);
    h->capacity = (uint64_t)(r->last - r->first);
    h->started_unix = (uint64_t)unix_now.tv_sec;
    h->exit_status = -1;
    h->start = moment_now();
    while ((h->later[0] = moment_now()).ns - h->start.ns < CALIBRATE_NS)
        ;
    memcpy(h->magic, TRACE_MAGIC, sizeof h->magic);
}

int trace_ring_open(const char *path, uint64_t size, struct trace_ring **out, struct errmsg *err)
{
    if (size < TRACE_SIZE_MIN || size > TRACE_SIZE_MAX)
        return err_set(err, -EINVAL,
                       "a trace of %" PRIu64 " bytes: give %llu to %llu with "
                       "--trace-size",
                       size, TRACE_SIZE_MIN, TRACE_SIZE_MAX);
    struct trace_ring *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(err, -ENOMEM, "out of memory");
    r->bytes = (size_t)size & ~(size_t)PAGE_MASK;
    r->fd = file_open(path, err);
    int rc = r->fd < 0 ? r->fd : file_reserve(r->fd, path, r->bytes, err);
    void *m = MAP_FAILED;
    if (!rc) {
        m = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
        if (m == MAP_FAILED)
            rc = err_set(err, -errno, "%s: mapping it: %s", path, strerror(errno));
    }
    if (rc < 0) {
        if (r->fd >= 0)
            close(r->fd);
        free(r);
        return rc;
    }
    populate(m, r->bytes);
    r->head = m;
    r->first = r->next = (struct trace_rec *)(void *)((uint8_t *)m + TRACE_HEAD_BYTES);
    r->last = r->first + (r->bytes - TRACE_HEAD_BYTES) / sizeof *r->first;
    r->refresh_at = REFRESH_EVERY;
    head_begin(r);
    *out = r;
    return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static void set_text(char *to, size_t len, const char *from)
{
    snprintf(to, len, "%s", from ? from : "");
}

void trace_ring_describe(struct trace_ring *r, const char *engine, const char *image,
                         const char *append, uint64_t ram, uint64_t pool)
{
    struct trace_head *h = r->head;
    set_text(h->engine, sizeof h->engine, engine);
    set_text(h->image, sizeof h->image, image);
    set_text(h->append, sizeof h->append, append);
    h->ram = ram;
    h->pool = pool;
}

void trace_ring_refresh(struct trace_ring *r)
{
    const uint32_t next = atomic_load_explicit(&r->head->laters, memory_order_relaxed) + 1;
    r->head->later[next & 1] = moment_now();
    atomic_store_explicit(&r->head->laters, next, memory_order_release);
    r->refresh_at = r->count + REFRESH_EVERY;
}

void trace_ring_close(struct trace_ring *r, const char *end, int exit_status)
{
    if (!r)
        return;
    trace_ring_refresh(r);
    set_text(r->head->end, sizeof r->head->end, end);
    r->head->exit_status = exit_status;
    r->head->closed = 1;
    munmap(r->head, r->bytes);
    close(r->fd);
    free(r);
}
