/*
 * A line that is listened to: when its guest has written a text that somebody waits for, and the
 * rest of the line that it is in, that somebody is told. All bytes go on to what is behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/dev/chardev.h"

struct watch {
    struct chardev c;
    struct chardev *inner;
    void (*seen)(void *ctx, const char *line);
    void *ctx;
    size_t len, have; /* of text; how much of it the last bytes written are */
    bool found;       /* the text has come; its line goes on */
    char text[CHARDEV_WATCH_MAX + 1];
    uint8_t
        back[CHARDEV_WATCH_MAX]; /* how much is left of a match of n bytes when the next differs */
    size_t line_len;
    char line[CHARDEV_WATCH_LINE];
};

static struct watch *watch_of(struct chardev *c)
{
    return (struct watch *)(void *)c;
}

static bool readable(struct chardev *c)
{
    return chardev_readable(watch_of(c)->inner);
}
static int get(struct chardev *c)
{
    return chardev_get(watch_of(c)->inner);
}
static bool writable(struct chardev *c)
{
    return chardev_writable(watch_of(c)->inner);
}
static void flush(struct chardev *c)
{
    chardev_flush(watch_of(c)->inner);
}
static void close_both(struct chardev *c)
{
    chardev_close(watch_of(c)->inner);
    free(c);
}

/* Knuth, Morris and Pratt's search, a byte at a time. */
static void match(struct watch *w, char byte)
{
    while (w->have && (w->have == w->len || w->text[w->have] != byte))
        w->have = w->back[w->have - 1];
    if (w->text[w->have] == byte)
        w->have++;
    w->found |= w->have == w->len;
}

static void learn(struct watch *w)
{
    for (size_t n = 1, k = 0; n < w->len; n++) {
        while (k && w->text[n] != w->text[k])
            k = w->back[k - 1];
        k += w->text[n] == w->text[k];
        w->back[n] = (uint8_t)k;
    }
}

static void put(struct chardev *c, uint8_t byte)
{
    struct watch *w = watch_of(c);

    chardev_put(w->inner, byte);
    const bool ends = byte == '\n' || byte == '\r';
    if (!ends) {
        match(w, (char)byte);
        if (w->line_len < sizeof w->line - 1)
            w->line[w->line_len++] = byte >= ' ' && byte < 0x7f ? (char)byte : '?';
    }
    const bool full = w->line_len == sizeof w->line - 1;
    if (w->found && (ends || full)) {
        w->line[w->line_len] = 0;
        w->found = false;
        w->seen(w->ctx, w->line);
    }
    if (ends)
        w->have = w->line_len = 0;
}

static const struct chardev_ops ops = {
    .readable = readable,
    .get = get,
    .writable = writable,
    .put = put,
    .flush = flush,
    .close = close_both,
};

int chardev_watch_open(struct chardev **out, struct chardev *inner, const char *text,
                       void (*seen)(void *ctx, const char *line), void *ctx)
{
    const size_t len = strlen(text);
    if (!len || len > CHARDEV_WATCH_MAX || strpbrk(text, "\r\n"))
        return -EINVAL;
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct watch){.c = {&ops}, .inner = inner, .seen = seen, .ctx = ctx, .len = len};
    memcpy(w->text, text, len + 1);
    learn(w);
    *out = &w->c;
    return 0;
}
