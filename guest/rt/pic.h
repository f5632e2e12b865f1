/* The two 8259s of a PC. */
#ifndef UMBRA_GUEST_RT_PIC_H
#define UMBRA_GUEST_RT_PIC_H

#include "guest/rt/io.h"

/* Initialised as a PC has them: edges, cascade at input 2, ends of interrupt by command. IRQ n is
 * vector + n; a set bit n of mask keeps IRQ n out. */
static inline void pic_init(uint8_t vector, uint16_t mask)
{
    outb(0x20, 0x11);
    outb(0x21, vector);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0xa0, 0x11);
    outb(0xa1, (uint8_t)(vector + 8));
    outb(0xa1, 2);
    outb(0xa1, 1);
    outb(0x21, (uint8_t)mask);
    outb(0xa1, (uint8_t)(mask >> 8));
}

#endif
