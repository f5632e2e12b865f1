/*
 * The io_uring engine. Compiled in either way; without liburing it says that it is not there.
 *
 * Any thread pushes (under `lock`), one thread at a time reaps. If the kernel refuses a batch for
 * good, its requests are done by pread and pwrite and their ring entries turned into no-ops.
 */
#include "mm/aio_priv.h"

#ifndef UMBRA_HAVE_URING

const struct aio_ops *const aio_uring_ops = NULL;

#else

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>

enum { URING_BUSY_TRIES = 1000, URING_NAP_MS = 50 };

struct pending {
    struct aio_req *req;
    struct io_uring_sqe *sqe;
};

struct uring {
    struct io_uring ring;
    pthread_mutex_t lock; /* the submission side, and what follows */
    unsigned npend, nfin; /* in the ring, not yet the kernel's; done without the ring */
    unsigned nops;        /* no-ops in the ring, all ahead of the pending ones */
    struct pending *pend; /* [depth] */
    struct aio_fin *fin;  /* [depth] */
};

static void uring_free(struct uring *u)
{
    free(u->pend);
    free(u->fin);
    free(u);
}

static int uring_init(struct aio *a)
{
    struct uring *u = calloc(1, sizeof *u);
    if (!u)
        return -ENOMEM;
    u->pend = calloc(a->depth, sizeof *u->pend);
    u->fin = calloc(a->depth, sizeof *u->fin);
    int err = u->pend && u->fin ? io_uring_queue_init(a->depth, &u->ring, 0) : -ENOMEM;
    if (!err && !(u->ring.features & IORING_FEAT_EXT_ARG)) {
        /* Without it a timed wait would use the submission side behind our back. */
        io_uring_queue_exit(&u->ring);
        err = -ENOSYS;
    }
    if (err) {
        uring_free(u);
        return err;
    }
    pthread_mutex_init(&u->lock, NULL);
    a->priv = u;
    return 0;
}

static void uring_fini(struct aio *a)
{
    struct uring *u = a->priv;
    io_uring_queue_exit(&u->ring);
    pthread_mutex_destroy(&u->lock);
    uring_free(u);
}

/* The kernel does not take them: do them here, and leave nothing in the ring that names them. */
static void do_by_hand(struct aio *a, struct uring *u)
{
    for (unsigned i = 0; i < u->npend; i++) {
        struct aio_req *req = u->pend[i].req;
        io_uring_prep_nop(u->pend[i].sqe);
        io_uring_sqe_set_data(u->pend[i].sqe, NULL);
        u->fin[u->nfin++] = (struct aio_fin){req, aio_transfer(a->fd, req)};
    }
    u->nops += u->npend;
    u->npend = 0;
}

static void kick_locked(struct aio *a, struct uring *u)
{
    for (unsigned tries = 0; u->npend;) {
        int n = io_uring_submit(&u->ring);
        if (n > 0) {
            unsigned nops = (unsigned)n < u->nops ? (unsigned)n : u->nops;
            unsigned took = (unsigned)n - nops;
            u->nops -= nops;
            for (unsigned i = took; i < u->npend; i++)
                u->pend[i - took] = u->pend[i];
            u->npend -= took;
            continue;
        }
        bool busy = n == 0 || n == -EINTR || n == -EAGAIN || n == -EBUSY;
        if (!busy || ++tries > URING_BUSY_TRIES)
            do_by_hand(a, u);
        else
            sched_yield();
    }
}

static void uring_push(struct aio *a, struct aio_req *req)
{
    struct uring *u = a->priv;
    pthread_mutex_lock(&u->lock);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (!sqe) { /* full of no-ops that the kernel would not take */
        u->fin[u->nfin++] = (struct aio_fin){req, aio_transfer(a->fd, req)};
    } else {
        if (req->op == AIO_READ)
            io_uring_prep_read(sqe, a->fd, req->buf, req->len, req->off);
        else
            io_uring_prep_write(sqe, a->fd, req->buf, req->len, req->off);
        io_uring_sqe_set_data(sqe, req);
        u->pend[u->npend++] = (struct pending){req, sqe};
    }
    pthread_mutex_unlock(&u->lock);
}

static void uring_kick(struct aio *a)
{
    struct uring *u = a->priv;
    pthread_mutex_lock(&u->lock);
    kick_locked(a, u);
    pthread_mutex_unlock(&u->lock);
}

static unsigned take_by_hand(struct uring *u, struct aio_fin *out, unsigned max)
{
    pthread_mutex_lock(&u->lock);
    unsigned n = 0;
    while (n < max && u->nfin)
        out[n++] = u->fin[--u->nfin];
    pthread_mutex_unlock(&u->lock);
    return n;
}

static unsigned take_completed(struct uring *u, struct aio_fin *out, unsigned max)
{
    struct io_uring_cqe *cqe;
    unsigned n = 0;
    while (n < max && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct aio_req *req = io_uring_cqe_get_data(cqe);
        if (req) /* else a no-op */
            out[n++] = (struct aio_fin){req, cqe->res};
        io_uring_cqe_seen(&u->ring, cqe);
    }
    return n;
}

static unsigned uring_reap(struct aio *a, struct aio_fin *out, unsigned max, bool block)
{
    struct uring *u = a->priv;
    unsigned n = take_by_hand(u, out, max);
    n += take_completed(u, out + n, max - n);
    if (n == 0 && block) {
        /* Timed, because a request may also be finished by hand meanwhile. */
        struct __kernel_timespec nap = {.tv_nsec = URING_NAP_MS * 1000000LL};
        struct io_uring_cqe *cqe;
        (void)io_uring_wait_cqe_timeout(&u->ring, &cqe, &nap);
        n = take_by_hand(u, out, max);
        n += take_completed(u, out + n, max - n);
    }
    return n;
}

static const struct aio_ops ops = {AIO_URING,  uring_init, uring_fini,
                                   uring_push, uring_kick, uring_reap};
const struct aio_ops *const aio_uring_ops = &ops;

#endif
