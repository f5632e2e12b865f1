#include "vmm/dev/pcihost.h"

enum { ADDRESS = 0xcf8, RESET = 0xcf9, DATA = 0xcfc };
enum { RESET_NOW = 4 };

#define ENABLE        0x80000000u
#define ADDRESS_BITS  0x80fffffcu
#define FUNCTION_BITS 0x00ffff00u /* bus, device, function */

/* The bridge's registers by double word. */
enum { ID = 0, COMMAND_STATUS = 1, REVISION_CLASS = 2 };
#define BRIDGE_ID 0x10001234u /* device, vendor: nobody's */
#define BRIDGE_CMD                                                                                 \
    0x02000006u /* memory and bus master, which cannot be switched off; medium DEVSEL */
#define BRIDGE_CLASS 0x06000000u /* host bridge */

static uint32_t bridge_register(uint32_t n)
{
    switch (n) {
    case ID: return BRIDGE_ID;
    case COMMAND_STATUS: return BRIDGE_CMD;
    case REVISION_CLASS: return BRIDGE_CLASS;
    default: return 0;
    }
}

static uint32_t data_in(void *ctx, uint16_t port, unsigned size)
{
    const struct pcihost *p = ctx;
    uint32_t val = UINT32_MAX;
    if (!p->absent && (p->address & ENABLE) && !(p->address & FUNCTION_BITS))
        val = bridge_register((p->address & 0xfc) / 4);
    return val >> 8 * (port - DATA) & UINT32_MAX >> (32 - 8 * size);
}

static uint32_t address_in(void *ctx, uint16_t port, unsigned size)
{
    const struct pcihost *p = ctx;
    if (size == 4)
        return p->absent ? UINT32_MAX : p->address;
    return size == 1 && port == RESET ? p->reset_control : UINT32_MAX;
}

static void address_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct pcihost *p = ctx;
    if (size == 4) { /* the one width that selects a function */
        p->address = val & ADDRESS_BITS;
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

int pcihost_init(struct pcihost *p, struct bus *bus, struct line reset)
{
    *p = (struct pcihost){.reset = reset};
    int err = bus_claim(bus, &(struct bus_range){.name = "pci address",
                                                 .first = ADDRESS,
                                                 .last = ADDRESS + 3,
                                                 .sizes = 1 | 2 | 4,
                                                 .in = address_in,
                                                 .out = address_out,
                                                 .ctx = p});
    if (!err)
        err = bus_claim(bus, &(struct bus_range){.name = "pci data",
                                                 .first = DATA,
                                                 .last = DATA + 3,
                                                 .sizes = 7,
                                                 .in = data_in,
                                                 .ctx = p});
    return err;
}
