/* memory: bytes of the guest, by guest-physical or linear address, without disturbing it. */
#include <errno.h>
#include <string.h>

#include "vmm/control/control_int.h"
#include "vmm/peek.h"

#define MEMORY_MAX 16384u /* bytes of one request */

struct look {
    bool linear;
    uint64_t at, size, done;
    int rc;
    uint8_t data[MEMORY_MAX];
};

static void look_memory(struct vm *vm, void *ctx)
{
    struct look *l = ctx;
    l->rc = l->linear ? peek_linear(vm, (la_t)l->at, l->data, l->size, &l->done)
                      : peek_physical(vm, l->at, l->data, l->size, &l->done);
}

static json_t *hex(const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * MEMORY_MAX];
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    return json_stringn(text, 2 * len);
}

/* What could be read is answered, be it less than was asked for; nothing at all is an error. */
static int run_memory(struct control *c, struct client *cl, struct request *r)
{
    static const char *const spaces[] = {"linear", "physical", NULL};
    struct look l = {.size = 64};
    int space = 0;
    (void)cl;
    int rc = arg_need(r, "address");
    if (!rc)
        rc = arg_word(r, "space", spaces, &space);
    if (!rc)
        rc = arg_u64(r, "address", 0, space ? (1ull << GPTE_PHYS_BITS) - 1 : UINT32_MAX, &l.at);
    if (!rc)
        rc = arg_u64(r, "size", 1, MEMORY_MAX, &l.size);
    l.linear = space == 0;
    if (!rc)
        rc = control_call(c, r, look_memory, &l);
    if (rc < 0)
        return rc;
    if (l.rc == -EFAULT && l.done == 0)
        return err_set(&r->err, l.rc, "%s address 0x%llx: %s", spaces[space],
                       (unsigned long long)l.at,
                       space ? "no RAM is there" : "the guest maps no RAM there");
    if (l.rc < 0 && l.done == 0)
        return err_set(&r->err, l.rc, "%s address 0x%llx: cannot be read: %s", spaces[space],
                       (unsigned long long)l.at, strerror(-l.rc));
    r->ret = json_pack("{s:s, s:I, s:I, s:o}", "space", spaces[space], "address", (json_int_t)l.at,
                       "size", (json_int_t)l.done, "data", hex(l.data, l.done));
    return r->ret ? CMD_DONE : err_set(&r->err, -ENOMEM, "out of memory");
}

static const char *const memory_args[] = {"address", "size", "space", NULL};

const struct command commands_memory[] = {
    {"memory", memory_args, run_memory},
    {NULL, NULL, NULL},
};
