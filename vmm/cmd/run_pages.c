/* See run_pages.h. */
#include "vmm/cmd/run_pages.h"

#include <errno.h>

#include "vmm/cmd/cmd.h"

/* A file that is something else is bad input; one that cannot be made is the host's fault. */
static int code_of(int rc)
{
    switch (rc) {
    case -EINVAL: return UMBRA_EXIT_USAGE;
    case -EEXIST:
    case -EBUSY: return UMBRA_EXIT_IMAGE;
    default: return UMBRA_EXIT_HOST;
    }
}

int run_pages_open(const struct run_pages *p, struct vm_opts *o)
{
    struct errmsg err;
    if (!p->path)
        return 0;
    const int rc = trace_ring_open(p->path, p->size ? p->size : TRACE_SIZE_DEFAULT, &o->ring, &err);
    return rc < 0 ? cmd_fail("run", code_of(rc), "--trace %s", err.text) : 0;
}

void run_pages_begin(struct vm *vm, const struct image_opts *image)
{
    if (vm->opts.ring)
        trace_ring_describe(vm->opts.ring, vm_engine_name(vm), image->path, image->append,
                            vm->opts.ram, pool_bytes(vm->pool));
}

void run_pages_end(struct vm *vm, int status)
{
    vm_trace_end(vm);
    trace_ring_close(vm->opts.ring, vm->end_text, status);
    vm->opts.ring = NULL;
}
