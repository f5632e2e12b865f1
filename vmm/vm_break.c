/* See vm_break.h. */
#include <errno.h>

#include "vmm/soft_engine.h"
#include "vmm/vm.h"
#include "vmm/vm_break.h"

static void on_hit(void *ctx, const struct soft_stop *stop)
{
    struct vm *vm = ctx;
    vm->breaks.hit = *stop;
    vm_stop_here(vm, VM_STOP_BREAK);
}

static void tell(struct vm *vm)
{
    soft_set_stops(soft_engine_cpu(vm->soft), vm->breaks.at, vm->breaks.n, on_hit, vm);
}

static struct soft_stop *find(struct vm *vm, const struct soft_stop *s)
{
    for (unsigned k = 0; k < vm->breaks.n; k++) {
        struct soft_stop *b = &vm->breaks.at[k];
        if (b->kind == s->kind && b->la == s->la && b->len == s->len)
            return b;
    }
    return NULL;
}

int vm_break_add(struct vm *vm, struct soft_stop stop)
{
    if (find(vm, &stop))
        return 0;
    if (vm->breaks.n == SOFT_STOPS_MAX)
        return -ENOSPC;
    vm->breaks.at[vm->breaks.n++] = stop;
    tell(vm);
    return 0;
}

int vm_break_remove(struct vm *vm, struct soft_stop stop)
{
    struct soft_stop *b = find(vm, &stop);
    if (!b)
        return -ENOENT;
    *b = vm->breaks.at[--vm->breaks.n];
    tell(vm);
    return 0;
}

void vm_break_clear(struct vm *vm)
{
    vm->breaks.n = 0;
    tell(vm);
}
