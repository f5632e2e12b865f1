/* The soft CPU's life: create, destroy. */
#include <errno.h>
#include <stdlib.h>

#include "vmm/soft/soft_int.h"

struct soft {
    struct soft_core core;
};

int soft_create(struct cpu *cpu, const struct soft_env *env, uint32_t max_frames, struct soft **out)
{
    struct soft *s = calloc(1, sizeof *s);
    (void)max_frames;
    if (!s)
        return -ENOMEM;
    s->core.cpu = cpu;
    s->core.env = env;
    *out = s;
    return 0;
}

void soft_destroy(struct soft *s)
{
    free(s);
}
