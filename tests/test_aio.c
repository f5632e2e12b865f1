/*
 * Page I/O: the io_uring engine and the thread engine do the same, also when transfers fail, come
 * short or are interrupted, and also where io_uring is forbidden.
 */
#include "area_kit.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "mm/aio.h"

enum { PAGES = 64 };

struct file {
    char *path;
    int fd;
    struct aio *a;
};

static struct file file_open(enum aio_engine e, unsigned depth)
{
    struct file f = {.path = kit_path()};
    f.fd = open(f.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(f.fd, PAGES * PAGE_SIZE), 0);
    cr_assert_eq(aio_create(f.fd, depth, e, &f.a), 0);
    cr_assert_eq(aio_engine_of(f.a), e);
    return f;
}

static void file_close(struct file *f)
{
    aio_destroy(f->a);
    close(f->fd);
    kit_remove(f->path);
}

struct io {
    struct aio_req req;
    int err;
    _Atomic unsigned calls;
};

static void done(struct aio_req *req, int err)
{
    struct io *io = (struct io *)req;
    io->err = err;
    io->calls++;
}

static void prepare(struct io *io, enum aio_op op, void *buf, unsigned page)
{
    *io = (struct io){.req = {.op = op,
                              .buf = buf,
                              .len = PAGE_SIZE,
                              .off = (uint64_t)page * PAGE_SIZE,
                              .done = done}};
}

static KIT_PAGE uint8_t bufs[PAGES][PAGE_SIZE], other[PAGE_SIZE];

Test(aio, depth_of_nothing_and_too_much_are_refused)
{
    struct aio *a;
    cr_assert_eq(aio_create(0, 0, AIO_THREAD, &a), -EINVAL);
    cr_assert_eq(aio_create(0, 1025, AIO_THREAD, &a), -EINVAL);
}

Test(aio, what_is_written_is_read_and_each_callback_comes_once)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, PAGES);
        struct io io[PAGES];
        for (unsigned i = 0; i < PAGES; i++) {
            kit_noise(bufs[i], i);
            prepare(&io[i], AIO_WRITE, bufs[i], i);
            cr_assert_eq(aio_submit(f.a, &io[i].req), 0);
        }
        cr_assert_eq(aio_inflight(f.a), PAGES, "no callback outside poll, wait and drain");
        aio_drain(f.a);
        cr_assert_eq(aio_inflight(f.a), 0);
        for (unsigned i = 0; i < PAGES; i++) {
            cr_assert(io[i].calls == 1 && io[i].err == 0);
            memset(bufs[i], 0, PAGE_SIZE);
            prepare(&io[i], AIO_READ, bufs[i], i);
            cr_assert_eq(aio_submit(f.a, &io[i].req), 0);
        }
        while (aio_inflight(f.a))
            aio_wait(f.a);
        for (unsigned i = 0; i < PAGES; i++) {
            kit_noise(other, i);
            cr_assert(io[i].calls == 1 && io[i].err == 0);
            cr_assert_arr_eq(bufs[i], other, PAGE_SIZE);
        }
        file_close(&f);
    }
}

Test(aio, poll_alone_gets_there)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, 4);
        struct io io;
        prepare(&io, AIO_READ, other, 0);
        cr_assert_eq(aio_poll(f.a), 0);
        cr_assert_eq(aio_submit(f.a, &io.req), 0);
        unsigned made = 0;
        while (!io.calls)
            made += aio_poll(f.a);
        cr_assert_eq(made, 1);
        cr_assert_eq(io.err, 0);
        file_close(&f);
    }
}

Test(aio, wait_returns_with_nothing_in_flight)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, 4);
        cr_assert_eq(aio_wait(f.a), 0);
        aio_drain(f.a);
        file_close(&f);
    }
}

Test(aio, depth_is_kept)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, 3);
        struct io io[4];
        for (unsigned i = 0; i < 4; i++) {
            prepare(&io[i], AIO_READ, bufs[i], i);
            cr_assert_eq(aio_submit(f.a, &io[i].req), i < 3 ? 0 : -EAGAIN);
        }
        aio_drain(f.a);
        cr_assert_eq(io[3].calls, 0);
        cr_assert_eq(aio_submit(f.a, &io[3].req), 0);
        aio_drain(f.a);
        cr_assert_eq(io[3].calls, 1);
        file_close(&f);
    }
}

static struct aio *chain_aio;

static void next_page(struct aio_req *req, int err)
{
    struct io *io = (struct io *)req;
    io->err = err ? err : io->err;
    if (++io->calls < PAGES) {
        req->off += PAGE_SIZE;
        cr_assert_eq(aio_submit(chain_aio, req), 0, "even at depth");
    }
}

Test(aio, a_callback_may_submit_its_request_again)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, 1);
        struct io io;
        prepare(&io, AIO_WRITE, bufs[0], 0);
        io.req.done = next_page;
        chain_aio = f.a;
        cr_assert_eq(aio_submit(f.a, &io.req), 0);
        aio_drain(f.a);
        cr_assert_eq(io.calls, PAGES);
        cr_assert_eq(io.err, 0);
        file_close(&f);
    }
}

Test(aio, errors_of_the_host_come_back)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, 4);
        struct io io;
        struct aio *ro;
        int fd = open(f.path, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(aio_create(fd, 4, e, &ro), 0);
        prepare(&io, AIO_WRITE, other, 0);
        cr_assert_eq(aio_submit(ro, &io.req), 0);
        aio_drain(ro);
        cr_assert_eq(io.err, -EBADF);
        prepare(&io, AIO_WRITE, other, 0);
        cr_assert_eq(aio_run(ro, &io.req), -EBADF);
        /* Beyond the end of the file there is nothing, however often it is tried. */
        prepare(&io, AIO_READ, other, PAGES);
        cr_assert_eq(aio_submit(ro, &io.req), 0);
        aio_drain(ro);
        cr_assert_eq(io.err, -EIO);
        cr_assert_eq(aio_run(ro, &io.req), -EIO);
        prepare(&io, AIO_READ, NULL, 0);
        cr_assert_eq(aio_submit(ro, &io.req), -EINVAL);
        cr_assert_eq(aio_run(ro, &io.req), -EINVAL);
        aio_destroy(ro);
        close(fd);
        file_close(&f);
    }
}

/* A hook that answers `what` at the n-th question of its kind, and `times` times. */
struct script {
    enum aio_point at;
    int what;
    unsigned n, times, asked;
};

static int play(void *ctx, enum aio_point at, const struct aio_req *req)
{
    struct script *s = ctx;
    (void)req;
    if (at != s->at)
        return 0;
    s->asked++;
    return s->asked >= s->n && s->asked < s->n + s->times ? s->what : 0;
}

/* Eight reads, async or not; how many failed, and with which error. */
static unsigned eight(struct file *f, bool async, struct script *s, int *err)
{
    struct io io[8];
    unsigned failed = 0;
    *err = 0;
    aio_set_hook(f->a, play, s);
    for (unsigned i = 0; i < 8; i++) {
        prepare(&io[i], AIO_READ, bufs[i], i);
        if (async) {
            io[i].err = aio_submit(f->a, &io[i].req);
            aio_drain(f->a);
        } else {
            io[i].err = aio_run(f->a, &io[i].req);
        }
        if (io[i].err) {
            failed++;
            *err = io[i].err;
        }
    }
    aio_set_hook(f->a, NULL, NULL);
    return failed;
}

Test(aio, b17_the_nth_call_fails_alone)
{
    FOR_EACH_ENGINE(e)
    for (int async = 0; async < 2; async++)
        for (int at = AIO_AT_SUBMIT; at <= AIO_AT_COMPLETE; at++)
            for (unsigned n = 1; n <= 9; n++) {
                struct file f = file_open(e, 8);
                struct script s = {.at = (enum aio_point)at, .what = -ENXIO, .n = n, .times = 1};
                int err;
                unsigned failed = eight(&f, async, &s, &err);
                cr_assert_eq(failed, n <= 8);
                cr_assert_eq(err, n <= 8 ? -ENXIO : 0);
                file_close(&f);
            }
}

Test(aio, short_and_interrupted_transfers_are_tried_again_but_not_for_ever)
{
    FOR_EACH_ENGINE(e)
    for (int async = 0; async < 2; async++)
        for (unsigned k = 0; k < 4; k++) {
            int what = (int[]){1, 4095, -EINTR, -EAGAIN}[k], err;
            struct file f = file_open(e, 8);
            struct script once = {.at = AIO_AT_COMPLETE, .what = what, .n = 3, .times = 1};
            cr_assert_eq(eight(&f, async, &once, &err), 0);
            cr_assert_eq(once.asked, 9, "tried once more");
            struct script ever = {.at = AIO_AT_COMPLETE, .what = what, .n = 1, .times = 1000};
            cr_assert_eq(eight(&f, async, &ever, &err), 8);
            cr_assert_eq(err, -EIO);
            file_close(&f);
        }
}

struct party {
    struct aio *a;
    _Atomic unsigned done;
};

struct guest {
    struct aio_req req;
    struct party *party;
    _Atomic bool back;
};

static void came_back(struct aio_req *req, int err)
{
    struct guest *g = (struct guest *)req;
    cr_assert_eq(err, 0);
    g->party->done++;
    g->back = true;
}

static void *submit_and_wait(void *arg)
{
    struct party *p = arg;
    uint8_t *buf = aligned_alloc(4096, PAGE_SIZE);
    struct guest g = {.party = p};
    for (unsigned i = 0; i < 200; i++) {
        g.back = false;
        g.req = (struct aio_req){.op = i % 3 ? AIO_READ : AIO_WRITE,
                                 .buf = buf,
                                 .len = PAGE_SIZE,
                                 .off = i % PAGES * PAGE_SIZE,
                                 .done = came_back};
        while (aio_submit(p->a, &g.req) == -EAGAIN)
            aio_wait(p->a);
        if (i % 5 == 0)
            aio_kick(p->a);
        while (!g.back) {
            if (i % 2)
                aio_wait(p->a);
            else
                aio_poll(p->a);
        }
    }
    free(buf);
    return NULL;
}

Test(aio, threads_submit_and_reap_for_each_other)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, 5);
        struct party p = {.a = f.a};
        pthread_t t[8];
        for (unsigned i = 0; i < 8; i++)
            cr_assert_eq(pthread_create(&t[i], NULL, submit_and_wait, &p), 0);
        for (unsigned i = 0; i < 8; i++)
            pthread_join(t[i], NULL);
        cr_assert_eq(p.done, 1600);
        file_close(&f);
    }
}

/* Who submits and who reaps need not be the same, nor need the submitter stay alive. */
static void *submit_and_leave(void *arg)
{
    struct party *p = arg;
    static KIT_PAGE uint8_t buf[PAGE_SIZE];
    static struct guest g[32];
    for (unsigned i = 0; i < 32; i++) {
        g[i] = (struct guest){.party = p};
        g[i].req = (struct aio_req){
            .op = AIO_WRITE, .buf = buf, .len = PAGE_SIZE, .off = i * PAGE_SIZE, .done = came_back};
        cr_assert_eq(aio_submit(p->a, &g[i].req), 0);
    }
    aio_kick(p->a);
    return NULL;
}

Test(aio, requests_outlive_the_thread_that_made_them)
{
    FOR_EACH_ENGINE(e)
    {
        struct file f = file_open(e, 32);
        struct party p = {.a = f.a};
        pthread_t t;
        cr_assert_eq(pthread_create(&t, NULL, submit_and_leave, &p), 0);
        pthread_join(t, NULL);
        aio_drain(f.a);
        cr_assert_eq(p.done, 32);
        file_close(&f);
    }
}

/* From here on io_uring_setup fails with EPERM, as under a container's seccomp filter. */
static void forbid_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {.len = 4, .filter = code};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

Test(aio, where_io_uring_is_forbidden_the_thread_takes_over)
{
    forbid_uring();
    char *p = kit_area(16);
    struct store *st;
    struct mm_err err;
    const struct store_opts must = {.path = p, .engine = AIO_URING};
    int e = store_open(&must, &st, &err);
    cr_assert_eq(e, aio_uring_built() ? -EPERM : -ENOSYS, "%d %s", e, err.text);
    cr_assert(strstr(err.text, "io_uring"), "%s", err.text);
    const struct store_opts may = {.path = p};
    cr_assert_eq(store_open(&may, &st, &err), 0, "%s", err.text);
    char what[200];
    store_describe(st, what, sizeof what);
    cr_assert(strstr(what, "pread/pwrite thread"), "%s", what);
    kit_noise(other, 1);
    slot_t s = kit_alloc(st);
    cr_assert_eq(store_write(st, s, other), 0);
    cr_assert_eq(store_read(st, s, bufs[0], NULL), 0);
    cr_assert_arr_eq(other, bufs[0], PAGE_SIZE);
    store_close(st);
    kit_remove(p);
}

Test(aio, auto_takes_io_uring_where_it_works)
{
    enum aio_engine es[2];
    unsigned n = kit_engines(es);
    struct aio *a;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_assert_eq(aio_create(fd, 8, AIO_AUTO, &a), 0);
    cr_assert_eq(aio_engine_of(a), es[0]);
    cr_assert_eq(n == 2, es[0] == AIO_URING);
    if (!aio_uring_built())
        cr_assert_eq(n, 1);
    aio_destroy(a);
    close(fd);
}
