/* A clock that a test sets, and a pin that it watches: what devices are wired to. */
#ifndef UMBRA_TESTS_DEV_PINS_H
#define UMBRA_TESTS_DEV_PINS_H

#include "vmm/dev/lines.h"

struct pin {
    bool level;
    unsigned rises;
};

static inline void pin_drive(void *ctx, unsigned n, bool level)
{
    struct pin *p = ctx;
    (void)n;
    p->rises += level && !p->level;
    p->level = level;
}

/* A pulse that is over at once: each call that says high counts. */
static inline void pin_pulse(void *ctx, unsigned n, bool level)
{
    struct pin *p = ctx;
    (void)n;
    p->rises += level;
}

static inline uint64_t pin_clock(void *ctx)
{
    return *(const uint64_t *)ctx;
}

#endif
