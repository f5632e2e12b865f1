/*
 * The engine for hosts without io_uring: one thread that does pread and pwrite, in order.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "mm/aio_priv.h"

struct worker {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct aio_req *head, **tail; /* to do, oldest first */
    bool stop;
    unsigned nfin;
    struct aio_fin fin[AIO_DEPTH_MAX]; /* done, not yet reaped */
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->head && !w->stop)
            pthread_cond_wait(&w->work, &w->lock);
        struct aio_req *req = w->head;
        if (!req)
            break;
        w->head = req->next;
        if (!w->head)
            w->tail = &w->head;
        pthread_mutex_unlock(&w->lock);
        int res = aio_transfer(w->fd, req);
        pthread_mutex_lock(&w->lock);
        w->fin[w->nfin++] = (struct aio_fin){req, res};
        pthread_cond_signal(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* The monitor kicks its vCPU threads by signals: they are not for this thread. */
static int start_unsignalled(struct worker *w)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -err;
}

static int thread_init(struct aio *a)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->fd = a->fd;
    w->tail = &w->head;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    int err = start_unsignalled(w);
    if (err) {
        free(w);
        return err;
    }
    a->priv = w;
    return 0;
}

static void thread_fini(struct aio *a)
{
    struct worker *w = a->priv;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->done);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void thread_push(struct aio *a, struct aio_req *req)
{
    struct worker *w = a->priv;
    pthread_mutex_lock(&w->lock);
    req->next = NULL;
    *w->tail = req;
    w->tail = &req->next;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

static void thread_kick(struct aio *a)
{
    (void)a; /* a pushed request runs at once */
}

static unsigned thread_reap(struct aio *a, struct aio_fin *out, unsigned max, bool block)
{
    struct worker *w = a->priv;
    pthread_mutex_lock(&w->lock);
    while (block && !w->nfin)
        pthread_cond_wait(&w->done, &w->lock);
    unsigned n = w->nfin < max ? w->nfin : max;
    for (unsigned i = 0; i < n; i++)
        out[i] = w->fin[i];
    for (unsigned i = n; i < w->nfin; i++)
        w->fin[i - n] = w->fin[i];
    w->nfin -= n;
    pthread_mutex_unlock(&w->lock);
    return n;
}

static const struct aio_ops ops = {AIO_THREAD,  thread_init, thread_fini,
                                   thread_push, thread_kick, thread_reap};
const struct aio_ops *const aio_thread_ops = &ops;
