/*
 * How long a key stays down. A terminal tells of keys that are struck and never of one that is
 * released, but there are programs that look now and then at which keys are down. So the release of
 * a key waits for the next one, or for some looks at a terminal that says nothing.
 */
#ifndef UMBRA_VMM_DEV_KEYHOLD_H
#define UMBRA_VMM_DEV_KEYHOLD_H

#include "vmm/dev/keys.h"

#define KEYHOLD_LOOKS 3 /* so many without a key, and it is released */
#define KEYHOLD_MOST  (2 * KEYS_MOST)

struct keyhold {
    uint8_t up[KEYS_MOST]; /* codes that wait */
    unsigned ups, looks;
};

/* A key's n codes, as keys_byte makes them. What the keyboard sends now goes to out: the releases
 * that have waited, and what is pressed of this one. How many codes that are. */
unsigned keyhold_stroke(struct keyhold *h, const uint8_t *codes, unsigned n,
                        uint8_t out[KEYHOLD_MOST]);

/* No key has come. The same: nothing, or the releases. */
unsigned keyhold_look(struct keyhold *h, uint8_t out[KEYHOLD_MOST]);

#endif
