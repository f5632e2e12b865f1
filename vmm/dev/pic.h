/*
 * Two 8259A interrupt controllers, wired as in a PC: the second's output is the first's input 2.
 * Inputs are numbered 0..15 as the PC's IRQs; input 2 is the cascade and cannot be driven.
 */
#ifndef UMBRA_VMM_DEV_PIC_H
#define UMBRA_VMM_DEV_PIC_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

struct pic_chip {
    uint8_t irr, imr, isr;
    uint8_t level;  /* the input lines as they are */
    uint8_t elcr;   /* inputs that are level-triggered (port 0x4D0/0x4D1) */
    uint8_t base;   /* ICW2: vector of input 0 */
    uint8_t lowest; /* input of lowest priority */
    uint8_t icw;    /* next initialisation word expected: 2, 3, 4; 0: none */
    bool single, needs_icw4, all_level;
    bool auto_eoi, rotate_auto, special_mask, special_nested;
    bool poll, read_isr;
};

struct pic {
    struct pic_chip chip[2];
    struct line intr; /* to the processor's INTR */
    bool intr_level;
};

/* Claim ports 0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1. 0, or bus_claim's error. Until a driver has
 * initialised them the vectors are as a PC's firmware leaves them (8 and 0x70), every input masked.
 */
int pic_init(struct pic *p, struct bus *bus, struct line intr);

/* Drive input n; fits struct line with the pic as ctx. */
void pic_set(void *pic, unsigned n, bool level);

/* Would the processor be interrupted now? */
/* Is any request line let through by the masks (of the second controller: by both)? */
bool pic_unmasked(const struct pic *p);

static inline bool pic_pending(const struct pic *p)
{
    return p->intr_level;
}

/* The processor acknowledges: the vector. With nothing pending any more it is the spurious one of
 * input 7 (or 15), as the chip has it. */
uint8_t pic_ack(struct pic *p);

#endif
