/*
 * Everything fails once: every allocation, mapping, thread, file call and ring call that the swap
 * back end makes, one after the other, until a run goes by in which none does. After each: no wrong
 * byte, no leak, sums at zero.
 *
 * Calls are caught by the linker (--wrap, see CMakeLists.txt), so that the code under test carries
 * nothing for it.
 */
#include "area_kit.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "mm/failpoint.h"
#include "mm/zpool.h"

static struct {
    bool on;
    _Atomic unsigned seen;
    unsigned nth;
    const char *fired;
    bool fp_fired;
    _Atomic long live; /* allocations and mappings that the code under test has not given back */
} sweep;

/* Is this the call that must fail? */
static bool hit(const char *name)
{
    if (!sweep.on || ++sweep.seen != sweep.nth)
        return false;
    sweep.fired = name;
    return true;
}

#define WRAP(ret, name, params, args, on_fail)                                                     \
    ret __real_##name params;                                                                      \
    ret __wrap_##name params;                                                                      \
    ret __wrap_##name params                                                                       \
    {                                                                                              \
        if (hit(#name))                                                                            \
            on_fail;                                                                               \
        return __real_##name args;                                                                 \
    }
/* The same for what must be given back; these all succeed for the sizes asked for here. */
#define WRAP_MEM(ret, name, params, args, on_fail)                                                 \
    ret __real_##name params;                                                                      \
    ret __wrap_##name params;                                                                      \
    ret __wrap_##name params                                                                       \
    {                                                                                              \
        if (hit(#name))                                                                            \
            on_fail;                                                                               \
        sweep.live++;                                                                              \
        return __real_##name args;                                                                 \
    }
#define WITH(err, value)                                                                           \
    do {                                                                                           \
        errno = err;                                                                               \
        return value;                                                                              \
    } while (0)

struct io_uring;
WRAP_MEM(void *, calloc, (size_t n, size_t s), (n, s), WITH(ENOMEM, NULL))
WRAP_MEM(void *, aligned_alloc, (size_t a, size_t n), (a, n), WITH(ENOMEM, NULL))
WRAP_MEM(char *, strdup, (const char *s), (s), WITH(ENOMEM, NULL))
WRAP_MEM(void *, mmap, (void *p, size_t n, int pr, int fl, int fd, off_t o), (p, n, pr, fl, fd, o),
         WITH(ENOMEM, MAP_FAILED))
WRAP(int, pthread_create, (pthread_t * t, const pthread_attr_t *a, void *(*f)(void *), void *arg),
     (t, a, f, arg), return EAGAIN)
WRAP(ssize_t, pread, (int fd, void *b, size_t n, off_t o), (fd, b, n, o), WITH(EIO, -1))
WRAP(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o), WITH(EIO, -1))
WRAP(int, ftruncate, (int fd, off_t n), (fd, n), WITH(EIO, -1))
WRAP(int, fallocate, (int fd, int m, off_t o, off_t n), (fd, m, o, n), WITH(ENOSPC, -1))
WRAP(int, fsync, (int fd), (fd), WITH(EIO, -1))
WRAP(ssize_t, getrandom, (void *b, size_t n, unsigned f), (b, n, f), WITH(ENOSYS, -1))
/* Weak: built without liburing, nobody calls them and nobody has them. */
int __real_io_uring_queue_init(unsigned n, struct io_uring *r, unsigned f) __attribute__((weak));
int __real_io_uring_submit(struct io_uring *r) __attribute__((weak));
WRAP(int, io_uring_queue_init, (unsigned n, struct io_uring *r, unsigned f), (n, r, f),
     return -ENOMEM)
WRAP(int, io_uring_submit, (struct io_uring * r), (r), return -ENOMEM)

int __real_open(const char *p, int flags, ...);
int __wrap_open(const char *p, int flags, ...);
int __wrap_open(const char *p, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & O_CREAT ? va_arg(ap, int) : 0;
    va_end(ap);
    if (hit("open"))
        WITH(EMFILE, -1);
    return __real_open(p, flags, mode);
}

int __real_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...)
{
    va_list ap;
    va_start(ap, cmd);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    if (hit("fcntl"))
        WITH(ENOLCK, -1);
    return __real_fcntl(fd, cmd, arg);
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
    sweep.live -= p != NULL;
    __real_free(p);
}

int __real_munmap(void *p, size_t n);
int __wrap_munmap(void *p, size_t n);
int __wrap_munmap(void *p, size_t n)
{
    sweep.live--;
    return __real_munmap(p, n);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

enum { PAGES = 120 };

static KIT_PAGE uint8_t page[PAGES][PAGE_SIZE], in[PAGE_SIZE], out[PAGE_SIZE];

struct pending {
    struct store_io io;
    int err;
    bool back;
};

static void landed(struct store_io *io, int err)
{
    struct pending *p = io->ctx;
    p->err = err;
    p->back = true;
}

static void content(void *p, unsigned i)
{
    if (i % 7 == 0)
        memset(p, (int)i, PAGE_SIZE);
    else
        kit_mixed(p, i, i % 9);
}

/* Pages in: half of them asynchronously. kept[i]: it is there now. */
static void fill(struct store *st, slot_t *slot, bool *kept)
{
    static struct pending w[PAGES];
    for (unsigned i = 0; i < PAGES; i++) {
        w[i] = (struct pending){.io = {.done = landed, .ctx = &w[i]}};
        kept[i] = false;
        if (store_alloc(st, NULL, &slot[i])) {
            slot[i] = 0;
            continue;
        }
        content(page[i], i);
        int e = i % 2 ? store_write(st, slot[i], page[i])
                      : store_write_async(st, slot[i], page[i], &w[i].io);
        if (e == -EAGAIN) {
            store_wait(st);
            e = store_write_async(st, slot[i], page[i], &w[i].io);
        }
        if (e == STORE_QUEUED) {
            if (i % 16 == 0)
                store_drain(st);
            continue;
        }
        w[i].back = true;
        w[i].err = e;
    }
    store_drain(st);
    for (unsigned i = 0; i < PAGES; i++) {
        if (!slot[i])
            continue;
        cr_assert(w[i].back);
        kept[i] = w[i].err == 0;
    }
}

/* Pages out. While calls fail, a page may not be had; it is never a wrong one, and afterwards it is
 * there. */
static void check(struct store *st, const slot_t *slot, const bool *kept, bool calm)
{
    for (unsigned i = 0; i < PAGES; i++) {
        if (!slot[i])
            continue;
        struct pending r = {.io = {.done = landed, .ctx = &r}};
        content(in, i);
        int e = i % 3 ? store_read(st, slot[i], out, NULL)
                      : store_read_async(st, slot[i], out, &r.io, NULL);
        if (e == STORE_QUEUED) {
            store_drain(st);
            cr_assert(r.back);
            e = r.err;
        }
        if (!kept[i]) {
            cr_assert_eq(e, -ENODATA, "%d", e);
            continue;
        }
        if (e == -EIO && !calm)
            continue;
        cr_assert_eq(e, 0, "page %u: %d", i, e);
        cr_assert_arr_eq(in, out, PAGE_SIZE, "page %u", i);
    }
}

/* A life of a store, from mkswap to close. How many pages were lost on the way, or a negative
 * errno. */
static int life(const char *path, enum aio_engine engine, struct failpoint *fp)
{
    slot_t slot[PAGES];
    bool kept[PAGES];
    struct mm_err err = {""};
    struct store *st;
    const struct store_opts o = {
        .path = path, .zpool_bytes = 64 << 10, .engine = engine, .fail = fp};
    int lost = 0, e = area_format(path, (PAGES + 40) * PAGE_SIZE, &err);
    if (!e)
        e = store_open(&o, &st, &err);
    if (e) {
        cr_assert_lt(e, 0);
        cr_assert(err.text[0], "every refusal says why");
        return e;
    }
    fill(st, slot, kept);
    store_writeback(st, 10);
    check(st, slot, kept, false);
    sweep.on = false;
    if (fp) {
        sweep.fp_fired = fp->fired > 0;
        fail_arm(fp, 0, 0, false);
    }
    kit_audit(st);
    check(st, slot, kept, true);
    for (unsigned i = 0; i < PAGES; i++) {
        lost += !kept[i];
        if (slot[i])
            store_put(st, slot[i]);
    }
    kit_empty(st);
    store_close(st);
    return lost;
}

static void sweep_calls(enum aio_engine engine)
{
    char *p = kit_quick_path();
    unsigned fds = open_fds(), nth = 0, refused = 0, survived = 0;
    do {
        sweep.seen = 0;
        sweep.fired = NULL;
        sweep.nth = ++nth;
        sweep.on = true;
        sweep.live = 0;
        int e = life(p, engine, NULL);
        sweep.on = false;
        cr_assert_eq(sweep.live, 0, "call %u (%s) failing leaks", nth, sweep.fired);
        cr_assert_eq(open_fds(), fds, "a file stays open after call %u (%s)", nth, sweep.fired);
        cr_assert_leq(e, 1, "one failure (%u, %s) costs one page at most, not %d", nth, sweep.fired,
                      e);
        cr_assert(sweep.fired || e == 0, "nothing failed, yet %d", e);
        refused += e < 0;
        survived += e >= 0;
        unlink(p);
    } while (sweep.fired);
    cr_assert_gt(nth, 100, "%u calls made to fail", nth - 1);
    cr_assert_gt(refused, 10);
    cr_assert_gt(survived, 50);
    kit_remove(p);
}

Test(area_fail, b23_every_call_fails_once_thread)
{
    sweep_calls(AIO_THREAD);
}

Test(area_fail, b23_every_call_fails_once_uring)
{
    enum aio_engine es[2];
    if (kit_engines(es) < 2)
        cr_skip_test("no io_uring here");
    sweep_calls(AIO_URING);
}

Test(area_fail, b23_every_call_fails_once_auto)
{
    sweep_calls(AIO_AUTO);
}

static void sweep_failpoints(enum aio_engine engine, bool sticky)
{
    char *p = kit_quick_path();
    struct failpoint fp = {0};
    int64_t nth = 0;
    do {
        fail_arm(&fp, FAIL_ANY, ++nth, sticky);
        int e = life(p, engine, &fp);
        cr_assert_geq(e, 0, "%d", e);
        cr_assert(sticky || e <= 1, "failure %lld costs %d pages", (long long)nth, e);
        cr_assert(sweep.fp_fired || e == 0);
        unlink(p);
    } while (sweep.fp_fired);
    cr_assert_gt(nth, 300, "%lld made to fail", (long long)nth - 1);
    kit_remove(p);
}

Test(area_fail, b23_every_transfer_and_slot_fails_once)
{
    FOR_EACH_ENGINE(e)
    sweep_failpoints(e, false);
}

Test(area_fail, b23_everything_fails_from_some_point_on)
{
    FOR_EACH_ENGINE(e)
    sweep_failpoints(e, true);
}

Test(area_fail, zpool_alone_every_allocation_fails_once)
{
    unsigned nth = 0, refused = 0;
    do {
        struct store *st;
        struct mm_err err = {""};
        const struct store_opts o = {.zpool_bytes = 1 << 20};
        sweep.seen = 0;
        sweep.fired = NULL;
        sweep.nth = ++nth;
        sweep.on = true;
        sweep.live = 0;
        int e = store_open(&o, &st, &err);
        sweep.on = false;
        cr_assert_eq(e, sweep.fired ? -ENOMEM : 0);
        if (e == 0)
            store_close(st);
        else
            cr_assert(err.text[0]);
        cr_assert_eq(sweep.live, 0);
        refused += e != 0;
    } while (sweep.fired);
    cr_assert_geq(refused, 6);
}
