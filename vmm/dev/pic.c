/*
 * After Intel's 8259A data sheet (231468-003). One liberty, which PC chip sets take too: an edge
 * stays latched in IRR when its line falls again before the acknowledge, except on the cascade,
 * where the request goes with the line.
 */
#include "vmm/dev/pic.h"

#include <string.h>

#define CASCADE 2u

enum { ICW1_IC4 = 1, ICW1_SNGL = 2, ICW1_LTIM = 8, ICW1 = 0x10 };
enum { ICW4_AEOI = 2, ICW4_SFNM = 0x10 };
enum { OCW3 = 8, OCW3_RIS = 1, OCW3_RR = 2, OCW3_POLL = 4, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };
enum { /* OCW2, bits 7..5: R, SL, EOI */
       EOI_ROTATE_AUTO_OFF = 0,
       EOI = 1,
       EOI_SPECIFIC = 3,
       EOI_ROTATE_AUTO_ON = 4,
       EOI_ROTATE = 5,
       EOI_SET_PRIORITY = 6,
       EOI_ROTATE_SPECIFIC = 7,
};

/* The bit of highest priority in set, as an input number; -1 if set is empty. */
static int first_of(const struct pic_chip *c, unsigned set)
{
    for (unsigned i = 1; i <= 8; i++)
        if (set & 1u << ((c->lowest + i) & 7))
            return (int)((c->lowest + i) & 7);
    return -1;
}

/* 0 for the input of highest priority, 7 for the lowest, 8 for "no input". */
static unsigned rank(const struct pic_chip *c, int input)
{
    return input < 0 ? 8 : ((unsigned)input - c->lowest - 1) & 7;
}

/* The input that the chip asks to be served now, or -1. */
static int request(const struct pic_chip *c, bool master)
{
    unsigned in_service = c->isr;
    if (c->special_mask)
        in_service &= (unsigned)~c->imr;
    if (master && c->special_nested) /* the slave may interrupt its own service routine */
        in_service &= ~(1u << CASCADE);
    int want = first_of(c, c->irr & (unsigned)~c->imr);
    return rank(c, want) < rank(c, first_of(c, in_service)) ? want : -1;
}

static void chip_set(struct pic_chip *c, unsigned input, bool level)
{
    uint8_t bit = (uint8_t)(1u << input);
    bool by_level = c->all_level || (c->elcr & bit);
    if (level && (by_level || !(c->level & bit)))
        c->irr |= bit;
    if (!level && by_level)
        c->irr &= (uint8_t)~bit;
    c->level = (uint8_t)(level ? c->level | bit : c->level & ~bit);
}

/* Let the slave's output reach the master, and the master's the processor. */
static void settle(struct pic *p)
{
    struct pic_chip *master = &p->chip[0];
    bool slave = request(&p->chip[1], false) >= 0;
    chip_set(master, CASCADE, slave);
    if (!slave)
        master->irr &= (uint8_t) ~(1u << CASCADE);
    line_follow(&p->intr, &p->intr_level, request(master, true) >= 0);
}

void pic_set(void *pic, unsigned n, bool level)
{
    struct pic *p = pic;
    if (n > 15 || n == CASCADE)
        return;
    chip_set(&p->chip[n >> 3], n & 7, level);
    settle(p);
}

/* Input goes from requested to in service. */
static void serve(struct pic_chip *c, unsigned input)
{
    uint8_t bit = (uint8_t)(1u << input);
    if (!c->all_level && !(c->elcr & bit))
        c->irr &= (uint8_t)~bit;
    if (!c->auto_eoi)
        c->isr |= bit;
    else if (c->rotate_auto)
        c->lowest = (uint8_t)input;
}

uint8_t pic_ack(struct pic *p)
{
    struct pic_chip *master = &p->chip[0], *slave = &p->chip[1];
    int input = request(master, true);
    if (input < 0)
        return (uint8_t)(master->base | 7);
    serve(master, (unsigned)input);
    uint8_t vector = (uint8_t)(master->base | input);
    if (input == (int)CASCADE) {
        int second = request(slave, false);
        if (second >= 0)
            serve(slave, (unsigned)second);
        vector = (uint8_t)(slave->base | (second < 0 ? 7 : second));
        /* The slave's output falls with the acknowledge; what else it wants makes a new edge. */
        chip_set(master, CASCADE, false);
    }
    settle(p);
    return vector;
}

static void end_of_interrupt(struct pic_chip *c, unsigned input, bool rotate)
{
    c->isr &= (uint8_t) ~(1u << input);
    if (rotate)
        c->lowest = (uint8_t)input;
}

static void write_ocw2(struct pic_chip *c, uint8_t val)
{
    unsigned input = val & 7;
    /* Under special mask the non-specific form does not see masked inputs. */
    int top = first_of(c, c->isr & (c->special_mask ? (unsigned)~c->imr : 0xffu));
    switch (val >> 5) {
    case EOI_ROTATE_AUTO_OFF: c->rotate_auto = false; break;
    case EOI_ROTATE_AUTO_ON: c->rotate_auto = true; break;
    case EOI:
    case EOI_ROTATE:
        if (top >= 0)
            end_of_interrupt(c, (unsigned)top, val >> 5 == EOI_ROTATE);
        break;
    case EOI_SPECIFIC: end_of_interrupt(c, input, false); break;
    case EOI_ROTATE_SPECIFIC: end_of_interrupt(c, input, true); break;
    case EOI_SET_PRIORITY: c->lowest = (uint8_t)input; break;
    default: break; /* no operation */
    }
}

static void write_ocw3(struct pic_chip *c, uint8_t val)
{
    if (val & OCW3_ESMM)
        c->special_mask = val & OCW3_SMM;
    if (val & OCW3_POLL)
        c->poll = true;
    else if (val & OCW3_RR)
        c->read_isr = val & OCW3_RIS;
}

static void write_icw1(struct pic_chip *c, uint8_t val)
{
    uint8_t level = c->level, elcr = c->elcr, base = c->base;
    memset(c, 0, sizeof *c);
    c->level = level; /* an edge needs a low first */
    c->elcr = elcr;
    c->base = base;
    c->lowest = 7;
    c->icw = 2;
    c->single = val & ICW1_SNGL;
    c->needs_icw4 = val & ICW1_IC4;
    c->all_level = val & ICW1_LTIM;
    if (c->all_level)
        c->irr = level;
    else
        c->irr = level & elcr;
}

static void write_icw(struct pic_chip *c, uint8_t val)
{
    switch (c->icw) {
    case 2:
        c->base = val & 0xf8;
        c->icw = c->single ? 4 : 3;
        break;
    case 3: c->icw = 4; break; /* who is where on the cascade: wired, not programmed */
    default:
        c->auto_eoi = val & ICW4_AEOI;
        c->special_nested = val & ICW4_SFNM;
        c->icw = 0;
        return;
    }
    if (c->icw == 4 && !c->needs_icw4)
        c->icw = 0;
}

static void pic_out(void *ctx, uint16_t port, uint32_t val32, unsigned size)
{
    (void)size;
    struct pic *p = ctx;
    struct pic_chip *c = &p->chip[port >> 7 & 1];
    uint8_t val = (uint8_t)val32;
    if (port & 1) {
        if (c->icw)
            write_icw(c, val);
        else
            c->imr = val;
    } else if (val & ICW1) {
        write_icw1(c, val);
    } else if (val & OCW3) {
        write_ocw3(c, val);
    } else {
        write_ocw2(c, val);
    }
    settle(p);
}

static uint32_t pic_in(void *ctx, uint16_t port, unsigned size)
{
    (void)size;
    struct pic *p = ctx;
    struct pic_chip *c = &p->chip[port >> 7 & 1];
    if (c->poll) { /* this read is the acknowledge */
        c->poll = false;
        int input = request(c, c == &p->chip[0]);
        if (input >= 0)
            serve(c, (unsigned)input);
        settle(p);
        return input < 0 ? 0 : 0x80u | (unsigned)input;
    }
    if (port & 1)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

/* Inputs 0, 1, 2 (timer, keyboard, cascade), 8 and 13 are edge-triggered on every PC. */
static void elcr_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)size;
    struct pic *p = ctx;
    struct pic_chip *c = &p->chip[port & 1];
    c->elcr = (uint8_t)(val & (port & 1 ? 0xde : 0xf8));
    c->irr = (uint8_t)((c->irr & ~c->elcr) | (c->level & c->elcr));
    settle(p);
}

static uint32_t elcr_in(void *ctx, uint16_t port, unsigned size)
{
    (void)size;
    return ((struct pic *)ctx)->chip[port & 1].elcr;
}

int pic_init(struct pic *p, struct bus *bus, struct line intr)
{
    memset(p, 0, sizeof *p);
    p->intr = intr;
    for (unsigned i = 0; i < 2; i++) {
        p->chip[i].base = i ? 0x70 : 0x08;
        p->chip[i].imr = 0xff;
        p->chip[i].lowest = 7;
    }
    struct bus_range r = {.first = 0x20, .last = 0x21, .in = pic_in, .out = pic_out, .ctx = p};
    r.name = "pic1";
    int err = bus_claim(bus, &r);
    r.name = "pic2";
    r.first = 0xa0;
    r.last = 0xa1;
    if (!err)
        err = bus_claim(bus, &r);
    if (!err)
        err = bus_claim(bus, &(struct bus_range){.name = "elcr",
                                                 .first = 0x4d0,
                                                 .last = 0x4d1,
                                                 .in = elcr_in,
                                                 .out = elcr_out,
                                                 .ctx = p});
    return err;
}

bool pic_unmasked(const struct pic *p)
{
    const unsigned first = (unsigned)~p->chip[0].imr & 0xff & ~(1u << CASCADE);
    const bool cascade = !(p->chip[0].imr & 1u << CASCADE);
    return first != 0 || (cascade && p->chip[1].imr != 0xff);
}
