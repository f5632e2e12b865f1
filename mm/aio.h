/*
 * Page-sized I/O on one file, asynchronous or not: by io_uring where the build and the host have
 * it, else by a thread that uses pread and pwrite. Both behave the same.
 *
 * A request is the caller's memory; nothing is allocated per request. Its callback is made from
 * aio_poll, aio_wait or aio_drain, in the thread that called them, with no lock of ours held.
 * A callback may submit, but must not poll, wait or drain.
 *
 * Threads: every function may be called from any thread.
 */
#ifndef UMBRA_MM_AIO_H
#define UMBRA_MM_AIO_H

#include "mm/types.h"

struct aio;

enum aio_engine { AIO_AUTO, AIO_URING, AIO_THREAD };

enum aio_op { AIO_READ, AIO_WRITE };

struct aio_req {
    /* Set by the caller before submitting; unchanged until the callback. */
    enum aio_op op;
    void *buf;                                  /* O_DIRECT asks for 4096-byte alignment */
    uint32_t len;                               /* bytes, > 0 */
    uint64_t off;                               /* byte offset in the file */
    void (*done)(struct aio_req *req, int err); /* err: 0 or negative errno; may free req */
    /* Private to aio. */
    struct aio_req *next;
    int res;
    unsigned tries;
};

/* Where a hook is asked: before a request is queued, and when its result is known. */
enum aio_point { AIO_AT_SUBMIT, AIO_AT_COMPLETE };

/*
 * Failure injection. Return 0: go on as if nothing had been asked. Negative: this errno takes the
 * place of the result. Positive (at completion only): so many bytes, and no more, were moved.
 * Called for synchronous transfers too. Must be thread-safe.
 */
typedef int aio_hook(void *ctx, enum aio_point at, const struct aio_req *req);

/*
 * Ready `fd` (stays the caller's, must outlive the aio) for up to depth (1..1024) requests in
 * flight. AIO_AUTO takes io_uring where it works, else the thread. 0, -EINVAL, -ENOMEM; with
 * AIO_URING the errno of io_uring_setup, or -ENOSYS when built without it.
 */
int aio_create(int fd, unsigned depth, enum aio_engine engine, struct aio **out);
/* Drains first. */
void aio_destroy(struct aio *a);

enum aio_engine aio_engine_of(const struct aio *a); /* AIO_URING or AIO_THREAD */
const char *aio_engine_name(enum aio_engine e);
bool aio_uring_built(void); /* was io_uring compiled in? */
/* Set before any I/O, or while none is in flight. NULL takes it away. */
void aio_set_hook(struct aio *a, aio_hook *hook, void *ctx);

/*
 * Queue a request. It may stay queued until aio_kick, aio_poll, aio_wait or aio_drain hands it to
 * the kernel. 0: the callback will come. -EAGAIN: depth is reached (poll or wait, then try again);
 * other errno: could not be queued; in both cases no callback. A short transfer or an interrupted
 * one is tried again whole, a few times, then ends in -EIO.
 */
int aio_submit(struct aio *a, struct aio_req *req);
void aio_kick(struct aio *a);
/* Make the callbacks of what has completed; how many. Never blocks. */
unsigned aio_poll(struct aio *a);
/* Block until a callback has been made (by this thread or another) or nothing is in flight. Number
 * made here. */
unsigned aio_wait(struct aio *a);
/* Block until nothing is in flight and every callback has returned. */
void aio_drain(struct aio *a);
unsigned aio_inflight(const struct aio *a);

/* The same transfer, now, in this thread, by pread or pwrite. done is not called. 0 or negative
 * errno. */
int aio_run(struct aio *a, struct aio_req *req);

#endif
