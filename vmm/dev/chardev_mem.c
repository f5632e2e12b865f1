#include <stdlib.h>
#include <string.h>

#include "vmm/dev/chardev.h"

static bool mem_readable(struct chardev *c)
{
    struct chardev_mem *m = (struct chardev_mem *)c;
    return m->in_pos < m->in_len;
}

static int mem_get(struct chardev *c)
{
    struct chardev_mem *m = (struct chardev_mem *)c;
    return m->in_pos < m->in_len ? m->in[m->in_pos++] : -1;
}

static bool mem_writable(struct chardev *c)
{
    return !((struct chardev_mem *)c)->stuck;
}

static void mem_put(struct chardev *c, uint8_t byte)
{
    struct chardev_mem *m = (struct chardev_mem *)c;
    if (m->stuck)
        return;
    if (m->out_len == m->out_cap) {
        size_t cap = m->out_cap ? 2 * m->out_cap : 256;
        uint8_t *grown = realloc(m->out, cap);
        if (!grown)
            return; /* the byte is lost, as on a line nobody listens to */
        m->out = grown;
        m->out_cap = cap;
    }
    m->out[m->out_len++] = byte;
}

static void mem_flush(struct chardev *c)
{
    (void)c;
}

static void mem_close(struct chardev *c)
{
    struct chardev_mem *m = (struct chardev_mem *)c;
    free(m->out);
    m->out = NULL;
    m->out_len = m->out_cap = 0;
}

static const struct chardev_ops mem_ops = {mem_readable, mem_get,   mem_writable,
                                           mem_put,      mem_flush, mem_close};

void chardev_mem_init(struct chardev_mem *m, const void *in, size_t in_len)
{
    memset(m, 0, sizeof *m);
    m->c.ops = &mem_ops;
    m->in = in;
    m->in_len = in_len;
}
