/*
 * A line that always has room as far as its user can see: what is behind it is waited for, which
 * chardev_put() does boundedly. For machines that must not see how fast the host takes their
 * output.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/dev/chardev.h"

struct patient {
    struct chardev c;
    struct chardev *inner;
};

static struct chardev *inner_of(struct chardev *c)
{
    return ((struct patient *)(void *)c)->inner;
}

static bool readable(struct chardev *c)
{
    return chardev_readable(inner_of(c));
}
static int get(struct chardev *c)
{
    return chardev_get(inner_of(c));
}
static bool writable(struct chardev *c)
{
    (void)c;
    return true;
}
static void put(struct chardev *c, uint8_t byte)
{
    chardev_put(inner_of(c), byte);
}
static void flush(struct chardev *c)
{
    chardev_flush(inner_of(c));
}
static void close_both(struct chardev *c)
{
    chardev_close(inner_of(c));
    free(c);
}

static const struct chardev_ops ops = {
    .readable = readable,
    .get = get,
    .writable = writable,
    .put = put,
    .flush = flush,
    .close = close_both,
};

int chardev_patient_open(struct chardev **out, struct chardev *inner)
{
    struct patient *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    *p = (struct patient){.c = {&ops}, .inner = inner};
    *out = &p->c;
    return 0;
}
