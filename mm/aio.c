/*
 * The common half of page I/O: depth, hooks, retries, and who reaps.
 *
 * One thread at a time sits in the engine's reap (`reaping`); others that wait sleep on `moved`. A
 * reaper lets go of that role before it makes callbacks, so a callback that waits for a lock never
 * keeps others from reaping. Invariants, under lock:
 *  1. queued <= inflight <= depth.
 *  2. A thread blocks in reap only while queued > 0, and only after a kick that came after it took
 * the role; who pushes while somebody has the role kicks. So no request waits unkicked under a
 * waiter.
 */
#include "mm/aio.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "mm/aio_priv.h"

enum { AIO_TRIES = 4, AIO_REAP = 32 };

int aio_transfer(int fd, const struct aio_req *req)
{
    ssize_t n = req->op == AIO_READ ? pread(fd, req->buf, req->len, (off_t)req->off)
                                    : pwrite(fd, req->buf, req->len, (off_t)req->off);
    return n < 0 ? -errno : (int)n;
}

static int aio_init_engine(struct aio *a, enum aio_engine engine)
{
    int err = -ENOSYS;
    if (engine != AIO_THREAD && aio_uring_ops) {
        a->ops = aio_uring_ops;
        err = a->ops->init(a);
    }
    if (engine == AIO_THREAD || (engine == AIO_AUTO && err)) {
        a->ops = aio_thread_ops;
        err = a->ops->init(a);
    }
    return err;
}

int aio_create(int fd, unsigned depth, enum aio_engine engine, struct aio **out)
{
    if (depth == 0 || depth > AIO_DEPTH_MAX)
        return -EINVAL;
    struct aio *a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->fd = fd;
    a->depth = depth;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->moved, NULL);
    int err = aio_init_engine(a, engine);
    if (err) {
        pthread_cond_destroy(&a->moved);
        pthread_mutex_destroy(&a->lock);
        free(a);
        return err;
    }
    *out = a;
    return 0;
}

void aio_destroy(struct aio *a)
{
    if (!a)
        return;
    aio_drain(a);
    a->ops->fini(a);
    pthread_cond_destroy(&a->moved);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

enum aio_engine aio_engine_of(const struct aio *a)
{
    return a->ops->engine;
}

const char *aio_engine_name(enum aio_engine e)
{
    switch (e) {
    case AIO_URING: return "io_uring";
    case AIO_THREAD: return "pread/pwrite thread";
    default: return "auto";
    }
}

bool aio_uring_built(void)
{
    return aio_uring_ops != NULL;
}

void aio_set_hook(struct aio *a, aio_hook *hook, void *ctx)
{
    pthread_mutex_lock(&a->lock);
    a->hook = hook;
    a->hook_ctx = ctx;
    pthread_mutex_unlock(&a->lock);
}

static int ask_hook(struct aio *a, enum aio_point at, const struct aio_req *req)
{
    pthread_mutex_lock(&a->lock);
    aio_hook *hook = a->hook;
    void *ctx = a->hook_ctx;
    pthread_mutex_unlock(&a->lock);
    return hook ? hook(ctx, at, req) : 0;
}

/* What became of a try: 0 done, 1 try again, negative: failed. */
static int judge(struct aio *a, struct aio_req *req, int res)
{
    int h = ask_hook(a, AIO_AT_COMPLETE, req);
    if (h)
        res = h;
    if (res >= 0 && (uint32_t)res >= req->len)
        return 0;
    bool transient = res >= 0 || res == -EINTR || res == -EAGAIN || res == -ECANCELED;
    if (!transient)
        return res;
    return ++req->tries < AIO_TRIES ? 1 : -EIO;
}

static void push_and_kick(struct aio *a, struct aio_req *req)
{
    a->ops->push(a, req);
    pthread_mutex_lock(&a->lock);
    bool reaping = a->reaping; /* invariant 2 */
    pthread_mutex_unlock(&a->lock);
    if (reaping)
        a->ops->kick(a);
}

int aio_submit(struct aio *a, struct aio_req *req)
{
    if (!req->buf || !req->len || !req->done)
        return -EINVAL;
    int h = ask_hook(a, AIO_AT_SUBMIT, req);
    if (h < 0)
        return h;
    req->tries = 0;
    pthread_mutex_lock(&a->lock);
    if (a->inflight >= a->depth) {
        pthread_mutex_unlock(&a->lock);
        return -EAGAIN;
    }
    a->inflight++;
    a->queued++;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
    push_and_kick(a, req);
    return 0;
}

void aio_kick(struct aio *a)
{
    a->ops->kick(a);
}

static void requeue(struct aio *a, struct aio_req *req)
{
    pthread_mutex_lock(&a->lock);
    a->queued++;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
    push_and_kick(a, req);
}

static void call_back(struct aio *a, struct aio_req *req, int err)
{
    pthread_mutex_lock(&a->lock);
    a->inflight--;
    a->calling++;
    pthread_mutex_unlock(&a->lock);
    req->done(req, err);
    pthread_mutex_lock(&a->lock);
    a->calling--;
    a->called++;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

/* Called with lock held and the role free; returns with lock held. Callbacks made. */
static unsigned reap_once(struct aio *a, bool block)
{
    struct aio_fin fin[AIO_REAP];
    a->reaping = true;
    pthread_mutex_unlock(&a->lock);
    a->ops->kick(a);
    unsigned n = a->ops->reap(a, fin, AIO_REAP, block);
    pthread_mutex_lock(&a->lock);
    a->reaping = false;
    a->queued -= n;
    pthread_cond_broadcast(&a->moved);
    pthread_mutex_unlock(&a->lock);
    unsigned made = 0;
    for (unsigned i = 0; i < n; i++) {
        int verdict = judge(a, fin[i].req, fin[i].res);
        if (verdict > 0) {
            requeue(a, fin[i].req);
        } else {
            call_back(a, fin[i].req, verdict);
            made++;
        }
    }
    pthread_mutex_lock(&a->lock);
    return made;
}

unsigned aio_poll(struct aio *a)
{
    unsigned made = 0;
    a->ops->kick(a);
    pthread_mutex_lock(&a->lock);
    if (!a->reaping && a->queued)
        made = reap_once(a, false);
    pthread_mutex_unlock(&a->lock);
    return made;
}

unsigned aio_wait(struct aio *a)
{
    unsigned made = 0;
    pthread_mutex_lock(&a->lock);
    uint64_t start = a->called;
    while (a->called == start && a->inflight + a->calling) {
        if (!a->reaping && a->queued)
            made += reap_once(a, true);
        else
            pthread_cond_wait(&a->moved, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return made;
}

void aio_drain(struct aio *a)
{
    while (aio_inflight(a))
        aio_wait(a);
}

unsigned aio_inflight(const struct aio *a)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&a->lock;
    pthread_mutex_lock(lock);
    unsigned n = a->inflight + a->calling;
    pthread_mutex_unlock(lock);
    return n;
}

int aio_run(struct aio *a, struct aio_req *req)
{
    if (!req->buf || !req->len)
        return -EINVAL;
    int verdict = ask_hook(a, AIO_AT_SUBMIT, req);
    if (verdict < 0)
        return verdict;
    req->tries = 0;
    do {
        verdict = judge(a, req, aio_transfer(a->fd, req));
    } while (verdict > 0);
    return verdict;
}
