/*
 * Keys of a terminal as those of a PC's keyboard: bytes that a terminal sends (ASCII, and the usual
 * escape sequences of xterm and the Linux console) become scan codes of set 1 on a US layout, with
 * shift, control and alt pressed and released around them.
 */
#ifndef UMBRA_VMM_DEV_KEYS_H
#define UMBRA_VMM_DEV_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEYS_MOST 12 /* codes that one byte can make, most */

struct keys {
    char sequence[8]; /* an escape sequence as far as it has come, without ESC */
    uint8_t length;
    bool escape; /* ESC has come */
};

/* One byte of the terminal's. The codes that it makes go to out, at most KEYS_MOST; how many there
 * are. */
unsigned keys_byte(struct keys *k, uint8_t byte, uint8_t out[KEYS_MOST]);

/* No byte has followed for a while: an ESC that waits for the rest of a sequence is the key. */
unsigned keys_idle(struct keys *k, uint8_t out[KEYS_MOST]);

#endif
