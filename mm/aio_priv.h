/*
 * Between aio.c, which keeps order and makes callbacks, and the engines that move bytes.
 */
#ifndef UMBRA_MM_AIO_PRIV_H
#define UMBRA_MM_AIO_PRIV_H

#include <pthread.h>

#include "mm/aio.h"

#define AIO_DEPTH_MAX 1024u

/* A request that an engine has finished: the request's own memory is not touched until aio.c holds
 * its lock. */
struct aio_fin {
    struct aio_req *req;
    int res; /* bytes moved, or negative errno */
};

struct aio_ops {
    enum aio_engine engine;
    /* Both return 0 or negative errno; a->priv is the engine's. */
    int (*init)(struct aio *a);
    void (*fini)(struct aio *a);
    /* Take a request; at most a->depth are in the engine at a time, so there is always room. */
    void (*push)(struct aio *a, struct aio_req *req);
    /* Let everything pushed so far run. */
    void (*kick)(struct aio *a);
    /* Take up to max finished ones; with block, wait a while for the first. One caller at a time.
     */
    unsigned (*reap)(struct aio *a, struct aio_fin *out, unsigned max, bool block);
};

struct aio {
    int fd;
    unsigned depth;
    const struct aio_ops *ops;
    void *priv;
    aio_hook *hook;
    void *hook_ctx;

    pthread_mutex_t lock; /* the fields below */
    pthread_cond_t moved; /* any of them changed */
    unsigned inflight;    /* submitted, callback not yet begun */
    unsigned queued;      /* of those, in the engine: somebody can reap them */
    unsigned calling;     /* callbacks running */
    uint64_t called;      /* callbacks ended */
    bool reaping;         /* somebody is in ops->reap */
};

/* NULL when built without io_uring. */
extern const struct aio_ops *const aio_uring_ops;
extern const struct aio_ops *const aio_thread_ops;

/* Move the bytes of req now. Bytes moved or negative errno. */
int aio_transfer(int fd, const struct aio_req *req);

#endif
