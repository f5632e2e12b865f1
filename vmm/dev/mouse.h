/*
 * A PS/2 mouse that lies still: it answers every command, so that who looks for one finds it, and
 * never reports a movement, since nobody moves it. After the mouse section of IBM's PS/2 Technical
 * Reference.
 */
#ifndef UMBRA_VMM_DEV_MOUSE_H
#define UMBRA_VMM_DEV_MOUSE_H

#include <stdbool.h>
#include <stdint.h>

#define MOUSE_QUEUE 16

struct mouse {
    uint8_t queue[MOUSE_QUEUE]; /* bytes for the host */
    unsigned first, count;
    uint8_t awaited;          /* command whose argument comes next; 0: none */
    uint8_t rate, resolution; /* samples a second; 2^n counts a millimetre */
    bool enabled, remote, scaled, wrap;
    uint8_t answer[4]; /* the last one, for RESEND */
    unsigned answered;
};

/* Power on; it does not say so by itself, as it has done so to the firmware. */
void mouse_init(struct mouse *m);

/* A byte from the host. */
void mouse_write(struct mouse *m, uint8_t val);

/* The next byte for the host; only if count is not 0. */
uint8_t mouse_take(struct mouse *m);

#endif
