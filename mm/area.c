/*
 * An open swap area: page I/O by slot.
 */
#include "mm/area.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mm/area_head.h"

#define AREA_DEPTH 64u

struct area {
    int fd;
    char *path;
    uint32_t slots;
    bool direct, was_open;
    struct area_head *head; /* aligned, as O_DIRECT asks */
    struct aio *aio;
};

/* O_DIRECT where file system and device take 4 KiB transfers: the guest's pages need no second copy
 * in the host's page cache. Else back to buffered. */
static bool try_direct(int fd, struct area_head *scratch)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT))
        return false;
    if (area_head_read(fd, scratch) == 0)
        return true;
    (void)fcntl(fd, F_SETFL, flags);
    return false;
}

static int mark(struct area *a, bool opening)
{
    a->head->is_open = opening;
    if (opening) {
        a->head->generation++;
        a->head->pid = (uint32_t)getpid();
    }
    area_head_seal(a->head);
    return area_head_write(a->fd, a->head);
}

/* fd is locked and of a fit kind: read the header and take what it says. */
static int load_head(struct area *a, enum area_kind kind, struct mm_err *err)
{
    uint64_t bytes = 0;
    int e = area_size(a->fd, kind, &bytes);
    if (!e && bytes >= PAGE_SIZE)
        e = area_head_read(a->fd, a->head);
    if (e)
        return mm_err_set(err, e, "swap area %s: cannot read its header: %s", a->path,
                          strerror(-e));
    if (bytes < PAGE_SIZE)
        return mm_err_set(
            err, -ENODATA,
            "swap area %s: truncated: %u bytes, a header has %u; run 'umbra mkswap' on it", a->path,
            (unsigned)bytes, PAGE_SIZE);
    e = area_head_check(a->head, bytes, a->path, err);
    if (e)
        return e;
    a->slots = (uint32_t)a->head->slots; // NOLINT(clang-analyzer-core.NullDereference): it was read
    a->was_open = a->head->is_open != 0;
    return 0;
}

static int start_io(struct area *a, const struct area_opts *o, struct mm_err *err)
{
    struct area_head *scratch = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    if (!scratch)
        return mm_err_set(err, -ENOMEM, "swap area %s: out of memory", a->path);
    a->direct = !o->buffered && try_direct(a->fd, scratch);
    free(scratch);
    int e = aio_create(a->fd, o->depth ? o->depth : AREA_DEPTH, o->engine, &a->aio);
    if (e)
        return mm_err_set(err, e, "swap area %s: cannot start asynchronous I/O (%s): %s", a->path,
                          aio_engine_name(o->engine), strerror(-e));
    e = mark(a, true);
    return e ? mm_err_set(err, e, "swap area %s: cannot write its header: %s", a->path,
                          strerror(-e))
             : 0;
}

static void area_free(struct area *a)
{
    aio_destroy(a->aio);
    if (a->fd >= 0)
        close(a->fd); /* and the lock with it */
    free(a->head);
    free(a->path);
    free(a);
}

int area_open(const char *path, const struct area_opts *opts, struct area **out, struct mm_err *err)
{
    static const struct area_opts defaults = {0};
    struct area *a = calloc(1, sizeof *a);
    if (!a)
        return mm_err_set(err, -ENOMEM, "swap area %s: out of memory", path);
    enum area_kind kind = AREA_FILE;
    bool made;
    a->fd = -1;
    a->path = strdup(path);
    a->head = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    int e = a->path && a->head ? 0 : mm_err_set(err, -ENOMEM, "swap area %s: out of memory", path);
    if (!e) {
        a->fd = area_open_path(path, false, &kind, &made, err);
        e = a->fd < 0 ? a->fd : area_lock(a->fd, path, err);
    }
    if (!e)
        e = load_head(a, kind, err);
    if (!e)
        e = start_io(a, opts ? opts : &defaults, err);
    if (e) {
        area_free(a);
        return e;
    }
    *out = a;
    return 0;
}

void area_close(struct area *a)
{
    if (!a)
        return;
    aio_drain(a->aio);
    (void)mark(a, false); /* failing, the next one is told that we were killed: no harm */
    area_free(a);
}

void area_get_info(const struct area *a, struct area_info *out)
{
    const uint8_t *u = a->head->uuid;
    *out = (struct area_info){
        .slots = a->slots,
        .generation = a->head->generation,
        .was_open = a->was_open,
        .direct = a->direct,
        .engine = aio_engine_of(a->aio),
    };
    snprintf(out->uuid, sizeof out->uuid,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
}

const char *area_path(const struct area *a)
{
    return a->path;
}

int area_fd(const struct area *a)
{
    return a->fd;
}

static int fill_req(const struct area *a, enum aio_op op, slot_t slot, void *page,
                    struct aio_req *req)
{
    if (slot == 0 || slot >= a->slots || ((uintptr_t)page & PAGE_MASK))
        return -EINVAL;
    req->op = op;
    req->buf = page;
    req->len = PAGE_SIZE;
    req->off = (uint64_t)slot << PAGE_SHIFT;
    return 0;
}

static int run(struct area *a, enum aio_op op, slot_t slot, void *page)
{
    struct aio_req req = {0};
    int e = fill_req(a, op, slot, page, &req);
    return e ? e : aio_run(a->aio, &req);
}

int area_read(struct area *a, slot_t slot, void *page)
{
    return run(a, AIO_READ, slot, page);
}

int area_write(struct area *a, slot_t slot, const void *page)
{
    return run(a, AIO_WRITE, slot, (void *)(uintptr_t)page);
}

int area_submit(struct area *a, enum aio_op op, slot_t slot, void *page, struct aio_req *req)
{
    int e = fill_req(a, op, slot, page, req);
    return e ? e : aio_submit(a->aio, req);
}

struct aio *area_aio(struct area *a)
{
    return a->aio;
}
