/* The thread that serves the control socket's clients (rules 2 and 3 of control.h). */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control/control_int.h"

enum {
    STUCK_MS = 30000,  /* a client that takes nothing of what waits for it goes after this */
    IDLE_MS = 60000,   /* an idle one makes room for another after this */
    FAREWELL_MS = 300, /* how long the end of the machine waits for clients to read */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void wake(struct control *c)
{
    const uint64_t one = 1;
    (void)!write(c->wake_fd, &one, sizeof one);
}

/* On the vCPU's thread. */
static void on_stopped(void *ctx, enum vm_stop_why why)
{
    struct control *c = ctx;
    atomic_store(&c->why, (int)why);
    atomic_fetch_add(&c->stops, 1);
    wake(c);
}

/* --- clients --------------------------------------------------------------------------------- */

static void client_drop(struct client *cl)
{
    client_request_end(cl);
    if (cl->fd >= 0)
        close(cl->fd);
    free(cl->in);
    out_free(&cl->out);
    *cl = (struct client){.fd = -1};
}

static bool client_busy(const struct client *cl)
{
    return cl->more != NULL;
}

/* A place for one more client: a free one, or that of one which has been idle for long. */
static struct client *client_place(struct control *c)
{
    struct client *idle = NULL;
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *cl = &c->client[i];
        if (cl->fd < 0)
            return cl;
        if (!client_busy(cl) && c->now - cl->heard > IDLE_MS && (!idle || cl->heard < idle->heard))
            idle = cl;
    }
    if (idle)
        client_drop(idle);
    return idle;
}

static void client_new(struct control *c, int fd)
{
    struct client *cl = client_place(c);
    struct client full = {.fd = fd};
    if (!cl) {
        control_complain(&full, "Busy", "there are as many clients as there may be");
        (void)out_flush(&full.out, fd);
        client_drop(&full);
        return;
    }
    *cl = (struct client){.fd = fd, .in = malloc(CONTROL_LINE), .heard = c->now};
    if (!cl->in) {
        client_drop(cl);
        return;
    }
    control_greet(cl);
}

static void client_read(struct control *c, struct client *cl)
{
    const ssize_t n = recv(cl->fd, cl->in + cl->in_len, CONTROL_LINE - cl->in_len, MSG_DONTWAIT);
    if (n > 0) {
        cl->in_len += (size_t)n;
        cl->heard = c->now;
    } else if (n == 0) {
        cl->eof = true;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        client_drop(cl);
    }
}

/* Could the client be given more to read? */
static bool client_has_room(const struct client *cl)
{
    return out_waiting(&cl->out) < OUT_LOW && !cl->closing;
}

/* Serve one request that has come in whole. false: there was none, or it must wait. */
static bool client_serve(struct control *c, struct client *cl)
{
    if (cl->fd < 0 || !client_has_room(cl))
        return false;
    if (client_busy(cl)) {
        const size_t before = out_waiting(&cl->out);
        control_more(c, cl);
        return !client_busy(cl) || out_waiting(&cl->out) != before;
    }
    if (cl->in_len == 0)
        return false;
    const char *end = memchr(cl->in, '\n', cl->in_len);
    if (!end && cl->in_len == CONTROL_LINE) {
        control_complain(cl, "TooLong", "a request may have 65535 bytes at most");
        cl->closing = true;
    }
    if (!end && (!cl->eof || cl->closing))
        return false;
    const size_t len = end ? (size_t)(end - cl->in) : cl->in_len, used = len + (end != NULL);
    control_line(c, cl, cl->in, len);
    memmove(cl->in, cl->in + used, cl->in_len - used);
    cl->in_len -= used;
    return true;
}

static void client_write(struct control *c, struct client *cl)
{
    const long n = out_flush(&cl->out, cl->fd);
    if (n > 0)
        cl->heard = c->now;
    const bool stuck = out_waiting(&cl->out) > 0 && c->now - cl->heard > STUCK_MS;
    const bool done =
        out_waiting(&cl->out) == 0 && (cl->closing || (cl->eof && !client_busy(cl) && !cl->in_len));
    if (n < 0 || stuck || cl->out.failed || done)
        client_drop(cl);
}

/* --- the loop -------------------------------------------------------------------------------- */

/* What the client is waited for. While it has not read its answers, it is not listened to. */
static short client_events(const struct client *cl)
{
    short ev = out_waiting(&cl->out) ? POLLOUT : 0;
    if (!cl->eof && !cl->closing && !client_busy(cl) && client_has_room(cl) &&
        cl->in_len < CONTROL_LINE)
        ev |= POLLIN;
    return ev;
}

/* true: somebody knocks. */
static bool wait_for_work(struct control *c, int timeout_ms)
{
    struct pollfd p[CONTROL_CLIENTS + 2];
    uint64_t n;

    p[0] = (struct pollfd){.fd = c->wake_fd, .events = POLLIN};
    p[1] = (struct pollfd){.fd = atomic_load(&c->ending) ? -1 : c->listen_fd, .events = POLLIN};
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        p[i + 2] = (struct pollfd){.fd = c->client[i].fd, .events = client_events(&c->client[i])};
    if (poll(p, CONTROL_CLIENTS + 2, timeout_ms) <= 0)
        memset(p, 0, sizeof p); /* nothing came */
    c->now = now_ms();
    if (p[0].revents)
        (void)!read(c->wake_fd, &n, sizeof n);
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *cl = &c->client[i];
        if (cl->fd < 0 || !p[i + 2].revents)
            continue;
        /* Hung up: nobody reads what is still to come. */
        if (p[i + 2].revents & (POLLERR | POLLHUP | POLLNVAL) && !(p[i + 2].revents & POLLIN))
            client_drop(cl);
        else if (p[i + 2].revents & POLLIN)
            client_read(c, cl);
    }
    return p[1].revents != 0;
}

/* One request of each client in turn, unless they only write. true: there is more to do at once. */
static bool serve_all(struct control *c, bool write_only)
{
    bool some = false;
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        some |= !write_only && client_serve(c, &c->client[i]);
        if (c->client[i].fd >= 0)
            client_write(c, &c->client[i]);
    }
    return some;
}

/* Any client that waits for somebody to read, or that might be dropped for not doing so? */
static bool anything_waits(const struct control *c)
{
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->client[i].fd >= 0 && (out_waiting(&c->client[i].out) || client_busy(&c->client[i])))
            return true;
    return false;
}

static void *serve(void *ctx)
{
    struct control *c = ctx;
    bool again = false, rest = false;
    uint64_t end = 0;

    c->now = now_ms();
    for (;;) {
        const uint64_t was = c->now;
        const bool knock = wait_for_work(c, rest || end         ? 10
                                            : again             ? 0
                                            : anything_waits(c) ? 200
                                                                : -1);
        rest = budget_over(&c->budget, (c->now - was) * 1000, control_held(c));
        if (!end && atomic_load(&c->ending))
            end = c->now + FAREWELL_MS;
        again = serve_all(c, rest && !end);
        /* Last, so that whoever has just left makes room. */
        const int fd = knock ? control_accept(c) : -1;
        if (fd >= 0)
            client_new(c, fd);
        if (end && !again && (c->now >= end || !anything_waits(c)))
            return NULL;
    }
}

int control_start(struct vm *vm, const char *path, struct control **out, struct errmsg *err)
{
    struct control *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(err, -ENOMEM, "out of memory");
    c->vm = vm;
    c->listen_fd = -1;
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        c->client[i].fd = -1;
    int rc = c->wake_fd < 0 ? err_set(err, -errno, "control: %s", strerror(errno))
                            : control_listen(c, path, err);
    const struct vm_watcher w = {on_stopped, c};
    if (!rc && vm_watch(vm, &w) < 0)
        rc = err_set(err, -ENOSPC, "control: too many who watch the machine");
    if (!rc && (rc = -pthread_create(&c->thread, NULL, serve, c)) < 0) {
        vm_unwatch(vm, &w);
        err_set(err, rc, "control: %s", strerror(-rc));
    }
    if (rc < 0) {
        control_unlink(c);
        if (c->listen_fd >= 0)
            close(c->listen_fd);
        if (c->wake_fd >= 0)
            close(c->wake_fd);
        free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void control_stop(struct control *c)
{
    if (!c)
        return;
    const struct vm_watcher w = {on_stopped, c};
    atomic_store(&c->ending, true);
    wake(c);
    pthread_join(c->thread, NULL);
    vm_unwatch(c->vm, &w);
    control_unfork(c);
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        client_drop(&c->client[i]);
    control_unlink(c);
    close(c->listen_fd);
    close(c->wake_fd);
    free(c);
}
