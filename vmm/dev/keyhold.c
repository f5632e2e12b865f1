#include "vmm/dev/keyhold.h"

#include <string.h>

enum { RELEASED = 0x80, EXTENDED = 0xe0 };

/* How many of the codes press. */
static unsigned presses(const uint8_t *codes, unsigned n)
{
    unsigned i = 0;
    while (i < n) {
        const unsigned len = codes[i] == EXTENDED && i + 1 < n ? 2 : 1;
        if (codes[i + len - 1] & RELEASED)
            break;
        i += len;
    }
    return i;
}

static unsigned release(struct keyhold *h, uint8_t *out)
{
    const unsigned n = h->ups;
    memcpy(out, h->up, n);
    h->ups = h->looks = 0;
    return n;
}

unsigned keyhold_stroke(struct keyhold *h, const uint8_t *codes, unsigned n,
                        uint8_t out[KEYHOLD_MOST])
{
    if (n == 0)
        return 0;
    const unsigned before = release(h, out), down = presses(codes, n);
    memcpy(out + before, codes, down);
    h->ups = n - down;
    memcpy(h->up, codes + down, h->ups);
    return before + down;
}

unsigned keyhold_look(struct keyhold *h, uint8_t out[KEYHOLD_MOST])
{
    if (h->ups == 0 || ++h->looks < KEYHOLD_LOOKS)
        return 0;
    return release(h, out);
}
