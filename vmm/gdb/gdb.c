/*
 * The gdb stub's thread and sockets; see gdb.h.
 *
 *  G1  A debugger that is slow, floods, hangs or goes away costs the guest nothing: nothing here is
 *      done on the vCPU's thread but short jobs, and a write that the peer does not take within
 *      SEND_SECONDS ends its session.
 *  G2  When a session ends, however it does, breakpoints go and the machine runs on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/gdb/gdb.h"
#include "vmm/gdb/gdb_int.h"

enum { SEND_SECONDS = 10 };

struct gdb {
    struct vm *vm;
    int listen_fd, wake_fd; /* wake_fd: a stop, or closing */
    int fd;                 /* the debugger's; -1: none */
    char where[160];
    char path[108]; /* of a Unix socket, to be removed; or empty */
    pthread_t thread;
    _Atomic bool closing;
    _Atomic int stopped; /* enum vm_stop_why + 1 of the last stop not yet dealt with; 0: none */
    struct gdb_session session;
    struct rsp_rx rx;
};

/* --- the session ----------------------------------------------------------------------------- */

static bool send_all(struct gdb *g, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n) {
        const ssize_t sent = send(g->fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool send_packet(struct gdb *g)
{
    struct rsp_tx *tx = &g->session.tx;
    if (!rsp_end(tx)) {
        rsp_begin(tx);
        rsp_text(tx, "E01");
        (void)rsp_end(tx);
    }
    return send_all(g, tx->buf, tx->len);
}

/* A monitor command's text, in packets that fit. */
static bool send_console(struct gdb *g)
{
    struct gdb_session *s = &g->session;
    const size_t most = RSP_MAX / 2 - 8;
    struct rsp_tx *kept = malloc(sizeof *kept);
    bool sent = kept != NULL;

    if (kept)
        *kept = s->tx;
    for (size_t at = 0; sent && at < s->console_len; at += most) {
        const size_t n = s->console_len - at < most ? s->console_len - at : most;
        rsp_begin(&s->tx);
        rsp_text(&s->tx, "O");
        rsp_hex(&s->tx, s->console + at, n);
        sent = send_packet(g);
    }
    if (kept)
        s->tx = *kept;
    free(kept);
    free(s->console);
    s->console = NULL;
    return sent;
}

/* false: the session is over. */
static bool on_packet(struct gdb *g)
{
    struct gdb_session *s = &g->session;

    if (!s->no_ack && !send_all(g, "+", 1))
        return false;
    rsp_begin(&s->tx);
    const enum gdb_then then = gdb_packet(s, (const char *)g->rx.buf, g->rx.len);
    if (s->console && !send_console(g))
        return false;
    if (then == GDB_SILENT)
        return true;
    if (!send_packet(g))
        return false;
    s->no_ack |= s->no_ack_next;
    return then != GDB_BYE;
}

static bool on_bytes(struct gdb *g, const uint8_t *bytes, size_t n)
{
    struct gdb_session *s = &g->session;
    bool good = true;

    for (size_t i = 0; i < n && good; i++) {
        switch (rsp_feed(&g->rx, bytes[i])) {
        case RSP_MORE: break;
        case RSP_PACKET:
            /* While the machine runs, only a break is to be heard. */
            if (!s->running)
                good = on_packet(g);
            break;
        case RSP_BAD: good = s->no_ack || send_all(g, "-", 1); break;
        case RSP_NAK: good = !s->tx.len || send_all(g, s->tx.buf, s->tx.len); break;
        case RSP_BREAK: good = vm_pause(s->vm) == 0 || !s->running; break;
        }
    }
    return good;
}

/* The machine has stopped: tell a debugger that waits for it. */
static bool on_stop(struct gdb *g)
{
    struct gdb_session *s = &g->session;
    const int why = atomic_exchange(&g->stopped, 0);

    if (!why || !s->running)
        return why - 1 != VM_STOP_END;
    s->running = false;
    rsp_begin(&s->tx);
    gdb_stop_reply(s, (enum vm_stop_why)(why - 1));
    return send_packet(g) && why - 1 != VM_STOP_END;
}

static void begin_session(struct gdb *g, int fd)
{
    const int one = 1;
    const struct timeval limit = {.tv_sec = SEND_SECONDS};

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on a Unix socket */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    g->fd = fd;
    g->session = (struct gdb_session){.vm = g->vm};
    memset(&g->rx, 0, sizeof g->rx);
    while (vm_pause(g->vm) < 0 && !atomic_load(&g->closing))
        usleep(1000);             /* it has not begun to run */
    atomic_store(&g->stopped, 0); /* the debugger asks for it by itself */
}

static void end_session(struct gdb *g)
{
    close(g->fd);
    g->fd = -1;
    free(g->session.console);
    g->session.console = NULL;
    gdb_let_go(&g->session);
}

static void on_connection(struct gdb *g)
{
    const int fd = accept4(g->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    /* One at a time; but one that has hung up must not keep the next one out. */
    struct pollfd old = {.fd = g->fd, .events = POLLRDHUP};
    if (g->fd >= 0 && poll(&old, 1, 0) > 0)
        end_session(g);
    if (g->fd >= 0)
        close(fd);
    else
        begin_session(g, fd);
}

static void on_input(struct gdb *g)
{
    uint8_t bytes[4096];
    const ssize_t n = recv(g->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !on_bytes(g, bytes, (size_t)n))
        end_session(g);
}

static void *serve(void *ctx)
{
    struct gdb *g = ctx;

    for (;;) {
        struct pollfd p[] = {{.fd = g->wake_fd, .events = POLLIN},
                             {.fd = g->listen_fd, .events = POLLIN},
                             {.fd = g->fd, .events = POLLIN}};
        uint64_t n;
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            break;
        if (p[0].revents)
            (void)!read(g->wake_fd, &n, sizeof n);
        if (g->fd >= 0 && !on_stop(g))
            end_session(g);
        if (atomic_load(&g->closing))
            break;
        if (p[2].revents && g->fd == p[2].fd && g->fd >= 0)
            on_input(g);
        if (p[1].revents)
            on_connection(g);
    }
    if (g->fd >= 0)
        end_session(g);
    return NULL;
}

/* On the vCPU's thread. */
static void on_machine(void *ctx, enum vm_stop_why why)
{
    struct gdb *g = ctx;
    const uint64_t one = 1;
    atomic_store(&g->stopped, (int)why + 1);
    (void)!write(g->wake_fd, &one, sizeof one);
}

/* --- addresses ------------------------------------------------------------------------------- */

static int listen_unix(struct gdb *g, const char *path, struct errmsg *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;

    if (!*path || strlen(path) >= sizeof a.sun_path)
        return err_set(err, -EINVAL, "--gdb unix:%s: a path of 1 to %zu bytes is needed", path,
                       sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0)
        return err_set(err, -EEXIST, "--gdb unix:%s: there is a file of that name; remove it",
                       path);
    g->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const mode_t old = umask(0177); /* only the owner may connect */
    const int rc = g->listen_fd < 0                                          ? -errno
                   : bind(g->listen_fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno
                                                                             : 0;
    umask(old);
    if (rc < 0)
        return err_set(err, rc, "--gdb unix:%s: %s", path, strerror(-rc));
    memcpy(g->path, path, strlen(path) + 1);
    snprintf(g->where, sizeof g->where, "%s", path);
    return 0;
}

static int bind_one(struct gdb *g, const struct addrinfo *a)
{
    const int one = 1;
    g->listen_fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (g->listen_fd < 0)
        return -errno;
    (void)setsockopt(g->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(g->listen_fd, a->ai_addr, a->ai_addrlen) == 0)
        return 0;
    const int rc = -errno;
    close(g->listen_fd);
    g->listen_fd = -1;
    return rc;
}

static void note_where(struct gdb *g, const char *host)
{
    union {
        struct sockaddr a;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u = {0};
    socklen_t len = sizeof u;
    (void)getsockname(g->listen_fd, &u.a, &len);
    snprintf(g->where, sizeof g->where, "%.100s:%u", host,
             ntohs(u.a.sa_family == AF_INET6 ? u.v6.sin6_port : u.v4.sin_port));
}

/* HOST:PORT; the host may be left out. */
static int listen_tcp(struct gdb *g, const char *addr, struct errmsg *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    char host[100] = "127.0.0.1";
    const char *colon = strrchr(addr, ':');
    const char *port = colon ? colon + 1 : addr;
    const size_t n = colon ? (size_t)(colon - addr) : 0;
    char *end;
    const unsigned long number = strtoul(port, &end, 10);

    if (!*port || *end || *port < '0' || *port > '9' || number > 65535 || n >= sizeof host)
        return err_set(err, -EINVAL,
                       "--gdb %s: give tcp:HOST:PORT, a port from 0 to 65535, or unix:PATH", addr);
    if (n) {
        memcpy(host, addr, n);
        host[n] = 0;
    }
    const int bad = getaddrinfo(host, port, &hints, &list);
    if (bad)
        return err_set(err, -EADDRNOTAVAIL, "--gdb %s: %s: %s", addr, host, gai_strerror(bad));
    int rc = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = list; a && rc < 0; a = a->ai_next)
        rc = bind_one(g, a);
    freeaddrinfo(list);
    if (rc < 0)
        return err_set(err, rc, "--gdb %s: %s", addr, strerror(-rc));
    note_where(g, host);
    return 0;
}

static int start_listening(struct gdb *g, const char *addr, struct errmsg *err)
{
    const int rc = strncmp(addr, "unix:", 5) == 0
                       ? listen_unix(g, addr + 5, err)
                       : listen_tcp(g, strncmp(addr, "tcp:", 4) == 0 ? addr + 4 : addr, err);
    if (rc < 0)
        return rc;
    if (listen(g->listen_fd, 4) < 0)
        return err_set(err, -errno, "--gdb %s: %s", addr, strerror(errno));
    return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static void release(struct gdb *g)
{
    if (g->listen_fd >= 0)
        close(g->listen_fd);
    if (g->wake_fd >= 0)
        close(g->wake_fd);
    if (g->path[0])
        (void)unlink(g->path);
    free(g);
}

int gdb_start(struct vm *vm, const char *addr, struct gdb **out, struct errmsg *err)
{
    struct gdb *g = calloc(1, sizeof *g);
    if (!g)
        return err_set(err, -ENOMEM, "out of memory");
    const struct vm_watcher w = {on_machine, g};
    g->vm = vm;
    g->listen_fd = g->fd = -1;
    g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = g->wake_fd < 0 ? err_set(err, -errno, "--gdb: %s", strerror(errno))
                            : start_listening(g, addr, err);
    if (!rc && (rc = vm_watch(vm, &w)) < 0)
        (void)err_set(err, rc, "--gdb: too many clients");
    if (rc < 0) {
        release(g);
        return rc;
    }
    rc = -pthread_create(&g->thread, NULL, serve, g);
    if (rc < 0) {
        vm_unwatch(vm, &w);
        release(g);
        return err_set(err, rc, "--gdb: %s", strerror(-rc));
    }
    *out = g;
    return 0;
}

const char *gdb_where(const struct gdb *g)
{
    return g->where;
}

void gdb_stop(struct gdb *g)
{
    const uint64_t one = 1;
    if (!g)
        return;
    const struct vm_watcher w = {on_machine, g};
    atomic_store(&g->closing, true);
    (void)!write(g->wake_fd, &one, sizeof one);
    pthread_join(g->thread, NULL);
    vm_unwatch(g->vm, &w);
    release(g);
}
