/*
 * The 8254 interval timer and port 0x61: channel 0 drives IRQ 0, channel 2 the speaker, whose gate
 * and output port 0x61 shows (kernels calibrate their clocks by it). Nothing runs between two
 * accesses: counts are worked out from the clock, and whoever runs the machine asks pit_deadline()
 * when to call pit_update() next.
 */
#ifndef UMBRA_VMM_DEV_PIT_H
#define UMBRA_VMM_DEV_PIT_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

#define PIT_HZ 1193182u

struct pit_channel {
    uint8_t mode, rw; /* mode 0..5; rw 1 low byte, 2 high byte, 3 both */
    bool bcd, gate;
    bool loaded;     /* a count has come since the control word */
    bool triggered;  /* modes 1, 5: a gate edge has started it */
    bool paused;     /* the gate holds it */
    bool write_high; /* rw 3: the next byte written is the high one */
    bool read_high;  /* ... read */
    bool count_latched, status_latched;
    uint8_t low; /* rw 3: the low byte, until the high one comes */
    uint8_t status;
    uint16_t latch;
    uint32_t count; /* 1..65536 (10000 in BCD): what the counter runs from */
    uint32_t next;  /* modes 2, 3: takes over at the end of the period; 0: none */
    uint64_t start; /* tick at which the counter held count; if paused, ticks counted so far */
    uint64_t seen;  /* ticks since start at the last look for edges */
};

struct pit {
    struct pit_channel ch[3];
    struct clock clock;
    struct line irq0;
    uint8_t speaker; /* port 0x61, bits 0 and 1 */
};

/* Claim ports 0x40..0x43 and 0x61. 0, or bus_claim's error. Channel 0 runs at 18.2 Hz, as a PC's
 * firmware leaves it. */
int pit_init(struct pit *p, struct bus *bus, struct clock clock, struct line irq0);

/* Bring IRQ 0 up to the present. Several edges since the last call are one: the line has no memory.
 */
void pit_update(struct pit *p);

/* Guest time in ns of the next rising edge of IRQ 0, or CLOCK_NEVER. */
uint64_t pit_deadline(const struct pit *p);

/* Level of a channel's OUT pin now. */
bool pit_output(struct pit *p, unsigned channel);

#endif
