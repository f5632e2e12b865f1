/*
 * The 8042 keyboard controller with an IBM keyboard and a PS/2 mouse behind it: ports 0x60 and
 * 0x64, IRQ 1 and 12, and the output port with its A20 and reset lines.
 */
#ifndef UMBRA_VMM_DEV_KBD_H
#define UMBRA_VMM_DEV_KBD_H

#include "vmm/dev/a20.h"
#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"
#include "vmm/dev/mouse.h"

#define KBD_QUEUE 32

struct kbd {
    struct a20 *a20;
    struct line irq1, irq12;
    struct mouse mouse;
    uint8_t config; /* the command byte */
    uint8_t output; /* what port 0x60 gives */
    bool full;      /* ... and has not been read yet */
    bool from_aux;  /* ... and comes from the mouse */
    bool sys, was_command;
    uint8_t awaited;     /* controller command whose data byte comes next; 0: none */
    uint8_t kbd_awaited; /* keyboard command likewise */
    bool scanning;       /* the keyboard sends keys (F4/F5) */
    uint8_t scan_set;    /* 1..3 */
    uint8_t last;        /* the byte that Resend sends */
    uint8_t queue[KBD_QUEUE];
    unsigned first, count;
    bool irq_level, irq12_level;
};

/* Claim ports 0x60 and 0x64. 0, or bus_claim's error. The controller is as a firmware leaves it:
 * keyboard on, interrupt and translation on, mouse off. */
int kbd_init(struct kbd *k, struct bus *bus, struct a20 *a20, struct line irq1, struct line irq12);

/* The user's key: a code of scan set 1 (bit 7: released; 0xE0 comes as a byte of its own before).
 * It is lost when the keyboard's queue is full or the guest switched scanning off. */
void kbd_key(struct kbd *k, uint8_t set1);

/* So many codes it would take now without losing one. */
unsigned kbd_room(const struct kbd *k);

#endif
