#include "vmm/dev/poweroff.h"

enum { SLEEP_ENABLE = 0x2000, LETTERS_PORT = 0x8900 };

static void switch_off(struct poweroff *p)
{
    line_set(&p->off, true);
    line_set(&p->off, false);
}

static void control_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)port;
    if (size == 2 && (val & SLEEP_ENABLE))
        switch_off(ctx);
}

static void letters_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    static const char word[] = "Shutdown";
    struct poweroff *p = ctx;
    (void)port;
    (void)size;
    if ((uint8_t)val != (uint8_t)word[p->letters])
        p->letters = 0; /* and it may be the first one */
    if ((uint8_t)val == (uint8_t)word[p->letters])
        p->letters++;
    if (!word[p->letters]) {
        p->letters = 0;
        switch_off(p);
    }
}

int poweroff_init(struct poweroff *p, struct bus *bus, struct line off)
{
    static const uint16_t controls[] = {0x604, 0xb004, 0x4004};
    int err = 0;

    *p = (struct poweroff){.off = off};
    for (unsigned i = 0; !err && i < sizeof controls / sizeof *controls; i++)
        err = bus_claim(bus, &(struct bus_range){.name = "power off",
                                                 .first = controls[i],
                                                 .last = (uint16_t)(controls[i] + 1),
                                                 .sizes = 1 | 2,
                                                 .out = control_out,
                                                 .ctx = p});
    if (err)
        return err;
    return bus_claim(bus, &(struct bus_range){.name = "power off",
                                              .first = LETTERS_PORT,
                                              .last = LETTERS_PORT,
                                              .out = letters_out,
                                              .ctx = p});
}
