/* See file.h. */
#include "vmm/trace/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/mm.h"

enum { CHUNK = 1024 }; /* records read at a time */

/* As many bytes as there are; negative errno. */
static ssize_t read_at(int fd, void *buf, size_t len, uint64_t at)
{
    size_t got = 0;
    while (got < len) {
        const ssize_t n = pread(fd, (uint8_t *)buf + got, len - got, (off_t)(at + got));
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* --- the header ------------------------------------------------------------------------------ */

static int bad(struct errmsg *err, const char *path, const char *what)
{
    return err_set(err, -EBADMSG, "%s: %s", path, what);
}

static int check_head(const char *path, ssize_t got, const struct trace_head *h, struct errmsg *err)
{
    if (got < 8 || memcmp(h->magic, TRACE_MAGIC, 8) != 0)
        return bad(err, path, "is no page trace (umbra run --trace makes one)");
    if ((size_t)got < 8 + sizeof h->version)
        return bad(err, path, "holds half a header: it was cut off");
    if (h->version != TRACE_VERSION)
        return err_set(err, -EBADMSG, "%s: is a trace of version %" PRIu32 ", this umbra reads %u",
                       path, h->version, TRACE_VERSION);
    if ((size_t)got < sizeof *h)
        return bad(err, path, "holds half a header: it was cut off");
    if (h->head_bytes != TRACE_HEAD_BYTES || h->rec_bytes != sizeof(struct trace_rec) ||
        h->capacity == 0 || h->capacity > TRACE_SIZE_MAX / sizeof(struct trace_rec))
        return bad(err, path, "its header is damaged: the sizes in it cannot be");
    return 0;
}

/* How long a cycle takes, by the two moments that are furthest apart. 0: they make no sense. */
static double calibrate(const struct trace_head *h)
{
    const struct trace_moment *last =
        &h->later[atomic_load_explicit(&h->laters, memory_order_relaxed) & 1];
    if (last->tsc <= h->start.tsc || last->ns <= h->start.ns)
        return 0;
    const double ns = (double)(last->ns - h->start.ns) / (double)(last->tsc - h->start.tsc);
    return ns > 0.01 && ns < 1000 ? ns : 0;
}

/* Which records does the file have? */
static void find_range(struct trace_file *f, uint64_t bytes)
{
    const uint64_t cap = f->head.capacity;
    const uint64_t room = (bytes - TRACE_HEAD_BYTES) / sizeof(struct trace_rec);
    f->end = atomic_load_explicit(&f->head.count, memory_order_relaxed);
    /* gone round: the oldest is being written over unless the machine has ended */
    f->first = f->end < cap ? 0 : f->end - cap + (f->head.closed ? 0 : 1);
    f->lost = f->first;
    if (room < cap) { /* of each round the first `room` slots are there */
        for (uint64_t base = f->first - f->first % cap; base < f->end; base += cap) {
            const uint64_t from = base > f->first ? base : f->first;
            const uint64_t to = base + cap < f->end ? base + cap : f->end;
            const uint64_t there = base + room;
            f->missing += to - (there < from ? from : there < to ? there : to);
        }
    }
}

static bool first_time(void *ctx, const struct trace_rec *rec)
{
    struct trace_file *f = ctx;
    f->start_tsc = rec->tsc;
    return false;
}

int trace_file_open(const char *path, struct trace_file *f, struct errmsg *err)
{
    struct stat st;
    memset(f, 0, sizeof *f);
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f->fd < 0)
        return err_set(err, -errno, "%s: %s", path, strerror(errno));
    int rc = 0;
    if (fstat(f->fd, &st) < 0)
        rc = err_set(err, -errno, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = bad(err, path, "is no page trace: not a regular file");
    if (!rc) {
        const ssize_t got = read_at(f->fd, &f->head, sizeof f->head, 0);
        rc = got < 0 ? err_set(err, (int)got, "%s: %s", path, strerror((int)-got))
                     : check_head(path, got, &f->head, err);
    }
    if (!rc && (uint64_t)st.st_size < TRACE_HEAD_BYTES)
        rc = bad(err, path, "holds half a header: it was cut off");
    if (!rc && (f->ns_per_cycle = calibrate(&f->head)) == 0)
        rc = bad(err, path, "its header is damaged: the times in it cannot be");
    if (!rc) {
        struct trace_head *h = &f->head;
        h->engine[sizeof h->engine - 1] = h->image[sizeof h->image - 1] = 0;
        h->append[sizeof h->append - 1] = h->end[sizeof h->end - 1] = 0;
        find_range(f, (uint64_t)st.st_size);
        rc = trace_file_read(f, first_time, f);
        f->damaged = 0;
        if (rc < 0)
            err_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    if (rc < 0)
        close(f->fd);
    return rc;
}

void trace_file_close(struct trace_file *f)
{
    close(f->fd);
}

bool trace_file_note(const struct trace_file *f, char *buf, size_t len)
{
    int n = 0;
    buf[0] = 0;
    if (f->missing)
        n += snprintf(buf, len, "half a trace: %" PRIu64 " of its %" PRIu64 " records are missing",
                      f->missing, f->end - f->first);
    if (f->damaged && (size_t)n < len)
        n += snprintf(buf + n, len - (size_t)n, "%s%" PRIu64 " records are damaged and left out",
                      n ? "; " : "", f->damaged);
    return n > 0;
}

/* --- records --------------------------------------------------------------------------------- */

static bool kind_has_pages(unsigned kind)
{
    return kind == TRACE_WRITE_PROTECT || kind == TRACE_MAPPED || kind == TRACE_UNMAPPED ||
           kind == TRACE_PROTECTED;
}

/* May the rest of the program rely on its numbers? */
static bool sound(const struct trace_rec *r)
{
    if (r->kind == TRACE_NONE || r->kind >= TRACE_KINDS || r->result >= MM_RESULTS)
        return false;
    if (r->space > 63 && r->space != TRACE_NO_SPACE)
        return false;
    if (r->kind != TRACE_SAMPLE && r->gfn >= MM_GFNS)
        return false;
    if ((r->kind == TRACE_FORK || r->kind == TRACE_SWITCH || r->kind == TRACE_EXIT) && r->info > 63)
        return false;
    return !kind_has_pages(r->kind) || (r->info > 0 && r->info <= MM_GFNS - r->gfn);
}

/* The number of records written by now. */
static uint64_t count_now(const struct trace_file *f)
{
    uint64_t n;
    return read_at(f->fd, &n, sizeof n, offsetof(struct trace_head, count)) == (ssize_t)sizeof n
               ? n
               : f->end;
}

/* How many of n records from number `from` on were written over while they were read. */
static uint64_t overtaken(const struct trace_file *f, uint64_t from, uint64_t n)
{
    const uint64_t cap = f->head.capacity, now = f->head.closed ? f->end : count_now(f);
    const uint64_t oldest = now < cap ? 0 : now - cap + (f->head.closed ? 0 : 1);
    return oldest <= from ? 0 : oldest - from < n ? oldest - from : n;
}

int trace_file_read(struct trace_file *f, bool (*emit)(void *ctx, const struct trace_rec *rec),
                    void *ctx)
{
    struct trace_rec chunk[CHUNK];
    const uint64_t cap = f->head.capacity;
    f->damaged = 0;
    for (uint64_t at = f->first; at < f->end;) {
        const uint64_t slot = at % cap;
        uint64_t n = f->end - at;
        n = n > CHUNK ? CHUNK : n;
        n = n > cap - slot ? cap - slot : n;
        const ssize_t got =
            read_at(f->fd, chunk, n * sizeof *chunk, TRACE_HEAD_BYTES + slot * sizeof *chunk);
        if (got < 0)
            return (int)got;
        const uint64_t have = (uint64_t)got / sizeof *chunk;
        for (uint64_t i = overtaken(f, at, have); i < have; i++) {
            struct trace_rec *r = &chunk[i];
            if (!sound(r)) {
                f->damaged++;
                continue;
            }
            if (f->start_tsc && r->tsc < f->start_tsc)
                r->tsc = f->start_tsc;
            if (!emit(ctx, r))
                return 0;
        }
        at += n; /* a file that is too short has nothing there; later slots may wrap to its begin */
    }
    return 0;
}
