#include "vmm/dev/a20.h"

enum { PORT92_RESET = 1, PORT92_A20 = 2 };

static bool a20_on(const struct a20 *a)
{
    return a->by_kbd || a->by_port92;
}

static void changed(struct a20 *a, bool was)
{
    if (a20_on(a) != was)
        line_set(&a->gate, !was);
}

void a20_from_kbd(struct a20 *a, bool on)
{
    bool was = a20_on(a);
    a->by_kbd = on;
    changed(a, was);
}

void a20_reset(struct a20 *a)
{
    line_set(&a->reset, true);
    line_set(&a->reset, false);
}

static void port92_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)port;
    (void)size;
    struct a20 *a = ctx;
    bool was = a20_on(a);
    a->by_port92 = val & PORT92_A20;
    changed(a, was);
    if (val & PORT92_RESET)
        a20_reset(a);
}

static uint32_t port92_in(void *ctx, uint16_t port, unsigned size)
{
    (void)port;
    (void)size;
    return ((struct a20 *)ctx)->by_port92 ? PORT92_A20 : 0;
}

int a20_init(struct a20 *a, struct bus *bus, struct line gate, struct line reset)
{
    *a = (struct a20){.by_kbd = true, .by_port92 = true, .gate = gate, .reset = reset};
    return bus_claim(bus, &(struct bus_range){.name = "port92",
                                              .first = 0x92,
                                              .last = 0x92,
                                              .in = port92_in,
                                              .out = port92_out,
                                              .ctx = a});
}
