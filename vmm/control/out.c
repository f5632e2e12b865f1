/* See out.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/control/out.h"

static bool make_room(struct out *o, size_t len)
{
    if (o->at > 0 && o->len + len > o->room) {
        memmove(o->buf, o->buf + o->at, out_waiting(o));
        o->len -= o->at;
        o->at = 0;
    }
    if (len > OUT_MAX || o->len + len > OUT_MAX)
        return false;
    if (o->len + len <= o->room)
        return true;
    size_t room = o->room ? o->room : 4096;
    while (room < o->len + len)
        room *= 2;
    char *buf = realloc(o->buf, room);
    if (!buf)
        return false;
    o->buf = buf;
    o->room = room;
    return true;
}

void out_put(struct out *o, const void *data, size_t len)
{
    if (o->failed || !make_room(o, len)) {
        o->failed = true;
        return;
    }
    memcpy(o->buf + o->len, data, len);
    o->len += len;
}

long out_flush(struct out *o, int fd)
{
    if (out_waiting(o) == 0)
        return 0;
    const ssize_t n = send(fd, o->buf + o->at, out_waiting(o), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
    o->at += (size_t)n;
    if (out_waiting(o) == 0 && o->room > 2 * OUT_LOW)
        out_free(o); /* a large answer's memory is not kept for the small ones */
    return n;
}

void out_free(struct out *o)
{
    const bool failed = o->failed;
    free(o->buf);
    *o = (struct out){.failed = failed};
}
