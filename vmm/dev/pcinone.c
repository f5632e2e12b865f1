#include "vmm/dev/pcinone.h"

enum { ADDRESS = 0xcf8, RESET = 0xcf9, DATA = 0xcfc };
enum { RESET_NOW = 4 };

static uint32_t address_in(void *ctx, uint16_t port, unsigned size)
{
    const struct pcinone *p = ctx;
    if (size == 4)
        return p->address;
    return size == 1 && port == RESET ? p->reset_control : UINT32_MAX;
}

static void address_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct pcinone *p = ctx;
    if (size == 4) { /* the one width that selects a function */
        p->address = val & 0x80fffffc;
        return;
    }
    if (size != 1 || port != RESET)
        return;
    bool now = (val & RESET_NOW) && !(p->reset_control & RESET_NOW); /* the bit's rising edge */
    p->reset_control = val & 0x0e;
    if (now) {
        line_set(&p->reset, true);
        line_set(&p->reset, false);
    }
}

int pcinone_init(struct pcinone *p, struct bus *bus, struct line reset)
{
    *p = (struct pcinone){.reset = reset};
    int err = bus_claim(bus, &(struct bus_range){.name = "pci address",
                                                 .first = ADDRESS,
                                                 .last = ADDRESS + 3,
                                                 .sizes = 1 | 2 | 4,
                                                 .in = address_in,
                                                 .out = address_out,
                                                 .ctx = p});
    if (!err)
        err = bus_claim(bus, &(struct bus_range){
                                 .name = "pci data", .first = DATA, .last = DATA + 3, .sizes = 7});
    return err;
}
