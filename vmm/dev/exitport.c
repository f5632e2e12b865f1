#include "vmm/dev/exitport.h"

static void exitport_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)port;
    (void)size;
    struct exitport *p = ctx;
    /* A process's exit status has eight bits; the rest would be cut off by the host anyway. */
    vm_stop_request(&p->stop, (int)((val << 1 | 1) & 0xff));
}

static uint32_t exitport_in(void *ctx, uint16_t port, unsigned size)
{
    (void)ctx;
    (void)port;
    (void)size;
    return 0;
}

int exitport_init(struct exitport *p, struct bus *bus, struct vm_stop stop)
{
    p->stop = stop;
    return bus_claim(bus, &(struct bus_range){.name = "exit",
                                              .first = EXITPORT_BASE,
                                              .last = EXITPORT_BASE + 3,
                                              .sizes = 1 | 2 | 4,
                                              .in = exitport_in,
                                              .out = exitport_out,
                                              .ctx = p});
}
