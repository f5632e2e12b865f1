/*
 * A character device: what stands at the far end of a serial line. Asking whether there is input or
 * room costs no system call, so a guest may poll as fast as it likes.
 */
#ifndef UMBRA_VMM_DEV_CHARDEV_H
#define UMBRA_VMM_DEV_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;

struct chardev_ops {
    bool (*readable)(struct chardev *c);
    int (*get)(struct chardev *c); /* next byte, or -1 */
    bool (*writable)(struct chardev *c);
    void (*put)(struct chardev *c, uint8_t byte); /* bounded wait at most */
    void (*flush)(struct chardev *c);             /* bounded wait at most */
    void (*close)(struct chardev *c);
};

/* Back ends embed this first. One thread (the vCPU's) may call these functions. */
struct chardev {
    const struct chardev_ops *ops;
};

/* What a back end tells the machine, from a thread of its own: set a flag, kick the vCPU, return.
 */
struct chardev_events {
    void (*input)(void *ctx); /* bytes came in */
    void (*quit)(void *ctx);  /* the user asked for the machine's end (Ctrl-A x) */
    void *ctx;
};

/* All of them accept NULL, which never reads and swallows what is written. */
static inline bool chardev_readable(struct chardev *c)
{
    return c && c->ops->readable(c);
}
static inline int chardev_get(struct chardev *c)
{
    return c ? c->ops->get(c) : -1;
}
static inline bool chardev_writable(struct chardev *c)
{
    return !c || c->ops->writable(c);
}
static inline void chardev_put(struct chardev *c, uint8_t byte)
{
    if (c)
        c->ops->put(c, byte);
}
static inline void chardev_flush(struct chardev *c)
{
    if (c)
        c->ops->flush(c);
}
static inline void chardev_close(struct chardev *c)
{
    if (c)
        c->ops->close(c);
}

/* Two file descriptors, served by a thread. Where in_fd is a terminal that we are in the foreground
 * of, it is put in raw mode until chardev_close (or the process's end, signals included), and
 * Ctrl-A is the escape: Ctrl-A x quits, Ctrl-A h shows help, Ctrl-A Ctrl-A sends one. in_fd < 0: no
 * input. The descriptors stay the caller's. *out is freed by chardev_close, which first writes out
 * what is buffered, for at most two seconds if nobody reads. 0 or a negative errno. */
int chardev_fds_open(struct chardev **out, int in_fd, int out_fd, struct chardev_events events);

/* Bytes that were dropped because out_fd took none for a second. */
uint64_t chardev_fds_dropped(const struct chardev *c);

/* A line that always has room: chardev_put() waits, boundedly, and so nobody can tell how fast
 * inner is. inner goes with it. 0 or -ENOMEM, and inner is still the caller's. */
int chardev_patient_open(struct chardev **out, struct chardev *inner);

#define CHARDEV_WATCH_MAX  128 /* bytes of a text that can be waited for */
#define CHARDEV_WATCH_LINE 240 /* bytes of the line that is told, NUL included */
/* A line that calls seen() when text, and the rest of its line (or as much as can be told), have
 * been written: printable ASCII, "?" for the rest. It is called again for each such line. text is
 * copied; inner goes with it. 0; -EINVAL: text is empty, too long, or more than a line; -ENOMEM;
 * inner is still the caller's then. */
int chardev_watch_open(struct chardev **out, struct chardev *inner, const char *text,
                       void (*seen)(void *ctx, const char *line), void *ctx);

/* A pair of byte buffers, for tests and captured runs. */
struct chardev_mem {
    struct chardev c;
    const uint8_t *in;
    size_t in_len, in_pos;
    uint8_t *out; /* grows; free() it, or chardev_close does */
    size_t out_len, out_cap;
    bool stuck; /* pretend that nobody takes the output */
};

void chardev_mem_init(struct chardev_mem *m, const void *in, size_t in_len);

#endif
