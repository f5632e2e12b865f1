/*
 * Bytes on their way to a client: a queue in memory that is written as far as the socket takes it.
 */
#ifndef UMBRA_VMM_CONTROL_OUT_H
#define UMBRA_VMM_CONTROL_OUT_H

#include <stdbool.h>
#include <stddef.h>

#define OUT_LOW (64u << 10) /* below it more may be put in */
#define OUT_MAX (4u << 20)  /* never more: what does not fit fails */

struct out {
    char *buf;
    size_t at, len, room; /* bytes at..len wait */
    bool failed;          /* something did not fit: the stream is broken, the client must go */
};

static inline size_t out_waiting(const struct out *o)
{
    return o->len - o->at;
}
void out_put(struct out *o, const void *data, size_t len);
/* Write what the socket takes now. Bytes written, 0: none, or a negative errno of the socket. */
long out_flush(struct out *o, int fd);
void out_free(struct out *o);

#endif
