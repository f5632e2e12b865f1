/* See client.h. */
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/control/client.h"
#include "vmm/control/control.h"

/* No answer's line is longer than this: the server keeps parts small. */
#define ANSWER_MAX (8u << 20)

struct ctl_conn {
    int fd, patience;
    char *buf;
    size_t at, len, room;
    char path[108];
};

/* --- finding the machine --------------------------------------------------------------------- */

static const char *runtime_dir(void)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    return dir && *dir == '/' && strlen(dir) < 80 ? dir : "/tmp";
}

void ctl_default_path(char *buf, size_t len)
{
    snprintf(buf, len, "%s/umbra-%d.sock", runtime_dir(), (int)getpid());
}

/* A connected socket, or negative. */
static int dial(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path)
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0) {
        const int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

/* The one machine of this user that listens at a default path. */
static int dial_only_one(char *path, size_t room, struct errmsg *err)
{
    char pattern[120];
    glob_t found;
    int fd = -1, n = 0;
    snprintf(pattern, sizeof pattern, "%s/umbra-*.sock", runtime_dir());
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && n < 2; i++) {
            const int got = dial(found.gl_pathv[i]);
            if (got < 0)
                continue;
            n++;
            if (fd >= 0)
                close(fd);
            fd = got;
            snprintf(path, room, "%s", found.gl_pathv[i]);
        }
        globfree(&found);
    }
    if (n == 1)
        return fd;
    if (fd >= 0)
        close(fd);
    if (n == 0)
        return err_set(err, -ENOENT,
                       "no machine listens at %s; start one with umbra run --control=auto, or name "
                       "its socket",
                       pattern);
    return err_set(err, -ENOTUNIQ, "several machines listen at %s; name the socket of one",
                   pattern);
}

static int find(struct ctl_conn *c, const char *path, struct errmsg *err)
{
    if (!path)
        path = getenv("UMBRA_CONTROL");
    if (!path || !*path) {
        c->fd = dial_only_one(c->path, sizeof c->path, err);
        return c->fd < 0 ? c->fd : 0;
    }
    snprintf(c->path, sizeof c->path, "%s", path);
    c->fd = dial(path);
    if (c->fd == -ECONNREFUSED)
        return err_set(err, c->fd, "%s: nobody listens there any more", path);
    return c->fd < 0 ? err_set(err, c->fd, "%s: %s", path, strerror(-c->fd)) : 0;
}

/* --- lines ----------------------------------------------------------------------------------- */

static int fill(struct ctl_conn *c, struct errmsg *err)
{
    if (c->at > 0) {
        memmove(c->buf, c->buf + c->at, c->len - c->at);
        c->len -= c->at;
        c->at = 0;
    }
    if (c->len == c->room) {
        const size_t room = c->room ? 2 * c->room : 65536;
        char *buf = room <= ANSWER_MAX ? realloc(c->buf, room) : NULL;
        if (!buf)
            return err_set(err, -EPROTO, "%s: an answer without end", c->path);
        c->buf = buf;
        c->room = room;
    }
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    int rc;
    while ((rc = poll(&p, 1, c->patience ? c->patience : -1)) < 0 && errno == EINTR)
        ;
    if (rc == 0)
        return err_set(err, -ETIMEDOUT, "%s: no answer for %d s", c->path, c->patience / 1000);
    const ssize_t n = recv(c->fd, c->buf + c->len, c->room - c->len, 0);
    if (n < 0)
        return err_set(err, -errno, "%s: %s", c->path, strerror(errno));
    if (n == 0)
        return err_set(err, -ENOTCONN, "%s: the machine closed the connection", c->path);
    c->len += (size_t)n;
    return 0;
}

/* The next line as a value, or NULL with *rc. */
static json_t *next(struct ctl_conn *c, int *rc, struct errmsg *err)
{
    size_t seen = 0;
    for (;;) {
        const char *from = c->buf ? c->buf + c->at : NULL;
        const char *end = from ? memchr(from + seen, '\n', c->len - c->at - seen) : NULL;
        if (end) {
            json_error_t e;
            json_t *v = json_loadb(from, (size_t)(end - from), 0, &e);
            c->at = (size_t)(end - c->buf) + 1;
            *rc = v ? 0 : err_set(err, -EPROTO, "%s: no umbra listens there: %s", c->path, e.text);
            return v;
        }
        seen = c->len - c->at;
        *rc = fill(c, err);
        if (*rc < 0)
            return NULL;
    }
}

static int send_line(struct ctl_conn *c, json_t *value, struct errmsg *err)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text)
        return err_set(err, -ENOMEM, "out of memory, or an argument that is no text");
    size_t len = strlen(text), at = 0;
    text[len++] = '\n';
    int rc = 0;
    while (at < len && !rc) {
        const ssize_t n = send(c->fd, text + at, len - at, MSG_NOSIGNAL);
        if (n >= 0)
            at += (size_t)n;
        else if (errno != EINTR)
            rc = err_set(err, -errno, "%s: %s", c->path, strerror(errno));
    }
    free(text);
    return rc;
}

/* --- asking ---------------------------------------------------------------------------------- */

static const char *error_text(const json_t *error)
{
    const char *text = json_string_value(json_object_get(error, "desc"));
    return text ? text : "an error without a text";
}

static int greet(struct ctl_conn *c, struct errmsg *err)
{
    int rc;
    json_t *hello = next(c, &rc, err);
    if (!hello)
        return rc;
    const json_t *umbra = json_object_get(hello, "umbra"), *error = json_object_get(hello, "error");
    const json_int_t version = json_integer_value(json_object_get(umbra, "protocol"));
    if (error)
        rc = err_set(err, -EACCES, "%s: %.200s", c->path, error_text(error));
    else if (!umbra)
        rc = err_set(err, -EPROTO, "%s: no umbra listens there", c->path);
    else if (version != CONTROL_PROTOCOL)
        rc = err_set(err, -EPROTO, "%s: speaks version %lld of the protocol; this umbra knows %d",
                     c->path, version, CONTROL_PROTOCOL);
    json_decref(hello);
    return rc;
}

int ctl_open(const char *path, struct ctl_conn **out, struct errmsg *err)
{
    struct ctl_conn *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(err, -ENOMEM, "out of memory");
    c->fd = -1;
    c->patience = 10000;
    int rc = find(c, path, err);
    if (!rc)
        rc = greet(c, err);
    if (rc < 0) {
        ctl_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void ctl_close(struct ctl_conn *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c->buf);
    free(c);
}

const char *ctl_path(const struct ctl_conn *c)
{
    return c->path;
}

void ctl_patience(struct ctl_conn *c, unsigned ms)
{
    c->patience = (int)ms;
}

int ctl_ask(struct ctl_conn *c, const char *command, json_t *args,
            void (*part)(void *ctx, const json_t *value), void *ctx, json_t **ret,
            struct errmsg *err)
{
    int rc = send_line(c,
                       args ? json_pack("{s:s, s:o}", "execute", command, "arguments", args)
                            : json_pack("{s:s}", "execute", command),
                       err);
    while (!rc) {
        json_t *line = next(c, &rc, err);
        if (!line)
            return rc;
        const json_t *piece = json_object_get(line, "part"),
                     *error = json_object_get(line, "error");
        json_t *value = json_object_get(line, "return");
        if (piece && part)
            part(ctx, piece);
        if (error)
            rc = err_set(err, -EREMOTEIO, "%.300s", error_text(error));
        if (value && ret)
            *ret = json_incref(value);
        const bool more = piece && !error && !value;
        if (!piece && !error && !value)
            rc = err_set(err, -EPROTO, "%s: an answer that is none", c->path);
        json_decref(line);
        if (!more)
            return rc;
    }
    return rc;
}
