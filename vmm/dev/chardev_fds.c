/*
 * A character device on two file descriptors. A thread reads and writes them; between it and the
 * vCPU stand two rings of bytes, each with one writer and one reader, so that a guest which polls
 * its line status costs two loads. The thread sleeps in poll() and is woken by an eventfd: by the
 * vCPU at most once for each batch of output.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/dev/chardev.h"
#include "vmm/dev/tty.h"

#define IN_RING       4096u
#define OUT_RING      65536u
#define BATCH_MS      2    /* output waits this long for company, unless a line is full */
#define STALL_MS      1000 /* a full ring is waited for this long, then bytes are dropped */
#define CLOSE_MS      2000
#define END_MS        200
#define WRITE_MAX     4096u /* PIPE_BUF: a pipe that polls writable takes it whole */
#define ESCAPE        1     /* Ctrl-A */
#define BACKGROUND_MS 200   /* how often to look whether the terminal is ours again */

/* head is the writer's, tail the reader's; both run freely, the ring's size is a power of two. */
struct ring {
    _Atomic uint32_t head, tail;
    uint32_t size;
    uint8_t *bytes;
};

struct fds {
    struct chardev c;
    int in_fd, out_fd, wake_fd;
    bool raw, in_open, escaped;
    struct chardev_events events;
    struct ring in, out;
    _Atomic bool out_idle; /* the thread sleeps and wants a wake-up for output */
    _Atomic bool in_full;  /* the thread sleeps and wants one when there is room for input */
    _Atomic bool urgent;   /* do not wait for company */
    _Atomic bool ending;   /* chardev_close: write what is left and end */
    _Atomic bool out_dead; /* out_fd is broken: output is swallowed */
    bool stalled;          /* the vCPU's: the last bounded wait struck */
    _Atomic uint64_t dropped;
    pthread_t thread;
};

static uint32_t ring_used(const struct ring *r)
{
    /* seq_cst, as the stores are: a side that sets its sleep flag and then looks here, and a side
     * that moves the ring and then looks at the flag, must not both miss the other. */
    return atomic_load(&r->head) - atomic_load(&r->tail);
}

static uint32_t ring_room(const struct ring *r)
{
    return r->size - ring_used(r);
}

static void ring_push(struct ring *r, uint8_t byte)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    r->bytes[head & (r->size - 1)] = byte;
    atomic_store(&r->head, head + 1);
}

static void wake(struct fds *f)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(f->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

/* ------------------------------------------------------------------ the thread's side */

static void say(struct fds *f, const char *text)
{
    /* Straight to the terminal: the ring is the vCPU's to fill. */
    ssize_t n = write(f->out_fd, text, strlen(text));
    (void)n;
}

static void take_input(struct fds *f, uint8_t byte)
{
    if (!f->raw) {
        ring_push(&f->in, byte);
        return;
    }
    if (!f->escaped) {
        if (byte == ESCAPE)
            f->escaped = true;
        else
            ring_push(&f->in, byte);
        return;
    }
    f->escaped = false;
    switch (byte) {
    case 'x':
        say(f, "\r\numbra: ended by Ctrl-A x\r\n");
        if (f->events.quit)
            f->events.quit(f->events.ctx);
        break;
    case 'h':
    case '?':
        say(f, "\r\nCtrl-A h       this help\r\n"
               "Ctrl-A x       end the machine\r\n"
               "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n");
        break;
    case ESCAPE:
    case 'a': ring_push(&f->in, ESCAPE); break;
    default: ring_push(&f->in, byte); break;
    }
}

static void read_some(struct fds *f)
{
    uint8_t buf[256];
    uint32_t room = ring_room(&f->in);
    ssize_t n = read(f->in_fd, buf, room < sizeof buf ? room : sizeof buf);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        f->in_open = false;
    for (ssize_t i = 0; i < n; i++)
        take_input(f, buf[i]);
    if (n > 0 && f->events.input)
        f->events.input(f->events.ctx);
}

static void write_some(struct fds *f)
{
    uint32_t tail = atomic_load_explicit(&f->out.tail, memory_order_relaxed);
    uint32_t used = ring_used(&f->out), at = tail & (OUT_RING - 1);
    uint32_t len = used < OUT_RING - at ? used : OUT_RING - at;
    if (len > WRITE_MAX)
        len = WRITE_MAX;
    ssize_t n = atomic_load(&f->out_dead) ? (ssize_t)len : write(f->out_fd, f->out.bytes + at, len);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0) { /* the far end is gone for good; a console that nobody can see ends the machine */
        if ((errno == EPIPE || errno == EIO) && f->events.quit)
            f->events.quit(f->events.ctx);
        atomic_store(&f->out_dead, true);
        n = (ssize_t)len;
    }
    atomic_store(&f->out.tail, tail + (uint32_t)n);
}

/* May the input be polled now? *timeout is lowered where we must look again by ourselves. */
static bool input_wanted(struct fds *f, int *timeout)
{
    if (!f->in_open)
        return false;
    if (f->raw && !tty_ours(f->in_fd)) { /* a read would stop the whole process */
        if (*timeout < 0 || *timeout > BACKGROUND_MS)
            *timeout = BACKGROUND_MS;
        return false;
    }
    atomic_store(&f->in_full, true);
    if (ring_room(&f->in) == 0)
        return false;
    atomic_store(&f->in_full, false);
    return true;
}

static void clear_wake(struct fds *f)
{
    uint64_t n;
    ssize_t got = read(f->wake_fd, &n, sizeof n);
    (void)got;
}

/* One round: sleep until there is something to do, then do it. */
static void serve(struct fds *f, bool *batch)
{
    atomic_store(&f->out_idle, true);
    bool output = ring_used(&f->out) > 0;
    if (output)
        atomic_store(&f->out_idle, false);
    bool ending = atomic_load(&f->ending);
    bool now = *batch || ending || atomic_load(&f->urgent) || ring_used(&f->out) >= WRITE_MAX;
    int timeout = output && !now ? BATCH_MS : -1;
    struct pollfd p[3] = {{.fd = f->wake_fd, .events = POLLIN}, {.fd = -1}, {.fd = -1}};
    if (!ending && input_wanted(f, &timeout))
        p[1] = (struct pollfd){.fd = f->in_fd, .events = POLLIN};
    if (output && now)
        p[2] = (struct pollfd){.fd = f->out_fd, .events = POLLOUT};
    int n = poll(p, 3, timeout);
    *batch = output; /* it has waited for company once */
    if (n <= 0)
        return;
    if (p[0].revents)
        clear_wake(f);
    if (p[1].revents)
        read_some(f);
    if (p[2].revents) {
        write_some(f);
        *batch = ring_used(&f->out) > 0;
        if (!*batch)
            atomic_store(&f->urgent, false);
    }
}

static void *io_thread(void *arg)
{
    struct fds *f = arg;
    bool batch = false;
    while (!atomic_load(&f->ending) || (ring_used(&f->out) > 0 && !atomic_load(&f->out_dead)))
        serve(f, &batch);
    return NULL;
}

/* ------------------------------------------------------------------ the vCPU's side */

static bool fds_readable(struct chardev *c)
{
    return ring_used(&((struct fds *)c)->in) > 0;
}

static int fds_get(struct chardev *c)
{
    struct fds *f = (struct fds *)c;
    if (ring_used(&f->in) == 0)
        return -1;
    uint32_t tail = atomic_load_explicit(&f->in.tail, memory_order_relaxed);
    int byte = f->in.bytes[tail & (IN_RING - 1)];
    atomic_store(&f->in.tail, tail + 1);
    if (atomic_exchange(&f->in_full, false))
        wake(f);
    return byte;
}

static bool fds_writable(struct chardev *c)
{
    return ring_room(&((struct fds *)c)->out) > 0;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Wait for room, but not for ever: a reader who stalls must not hold the machine. */
static bool wait_room(struct fds *f)
{
    for (int ms = 0; ring_room(&f->out) == 0; ms++) {
        if (f->stalled || ms == STALL_MS) {
            f->stalled = true;
            return false;
        }
        sleep_ms(1);
    }
    f->stalled = false;
    return true;
}

static void fds_put(struct chardev *c, uint8_t byte)
{
    struct fds *f = (struct fds *)c;
    if (ring_room(&f->out) == 0 && !wait_room(f)) {
        atomic_fetch_add(&f->dropped, 1);
        return;
    }
    ring_push(&f->out, byte);
    if (atomic_load(&f->out_idle) && atomic_exchange(&f->out_idle, false))
        wake(f);
}

static void fds_flush(struct chardev *c)
{
    struct fds *f = (struct fds *)c;
    atomic_store(&f->urgent, true);
    wake(f);
    for (int ms = 0; ring_used(&f->out) > 0 && ms < CLOSE_MS; ms++)
        sleep_ms(1);
}

static void fds_free(struct fds *f)
{
    if (f->wake_fd >= 0)
        close(f->wake_fd);
    free(f->in.bytes);
    free(f->out.bytes);
    free(f);
}

/* Has the thread ended within ms? */
static bool thread_ended(struct fds *f, long ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return pthread_timedjoin_np(f->thread, NULL, &t) == 0;
}

static void fds_close(struct chardev *c)
{
    struct fds *f = (struct fds *)c;
    if (ring_used(&f->out) > 0)
        fds_flush(c);
    atomic_store(&f->ending, true);
    if (ring_used(&f->out) > 0) /* nobody reads: what is left is lost */
        atomic_store(&f->out_dead, true);
    wake(f);
    if (f->raw)
        tty_restore();
    if (thread_ended(f, END_MS)) {
        fds_free(f);
    } else {
        /* It hangs in a write to a terminal that takes nothing. It keeps what it uses, and ends
         * with the process. */
        pthread_detach(f->thread);
    }
}

static const struct chardev_ops fds_ops = {fds_readable, fds_get,   fds_writable,
                                           fds_put,      fds_flush, fds_close};

uint64_t chardev_fds_dropped(const struct chardev *c)
{
    return c && c->ops == &fds_ops ? atomic_load(&((const struct fds *)c)->dropped) : 0;
}

/* The thread takes no signals: kicks and the terminal's are the other threads'. SIGPIPE of its own
 * write() is blocked likewise, so a closed pipe is EPIPE. */
static int start_thread(struct fds *f)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&f->thread, NULL, io_thread, f);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -err;
}

int chardev_fds_open(struct chardev **out, int in_fd, int out_fd, struct chardev_events events)
{
    struct fds *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->c.ops = &fds_ops;
    f->in_fd = in_fd;
    f->out_fd = out_fd;
    f->events = events;
    f->in_open = in_fd >= 0;
    f->in.size = IN_RING;
    f->out.size = OUT_RING;
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = f->wake_fd < 0 ? -errno : 0;
    f->in.bytes = malloc(IN_RING);
    f->out.bytes = malloc(OUT_RING);
    if (!err && (!f->in.bytes || !f->out.bytes))
        err = -ENOMEM;
    if (!err && in_fd >= 0 && tty_ours(in_fd)) {
        err = tty_raw(in_fd);
        f->raw = !err;
    }
    if (!err)
        err = start_thread(f);
    if (err) {
        if (f->raw)
            tty_restore();
        fds_free(f);
        return err;
    }
    *out = &f->c;
    return 0;
}
