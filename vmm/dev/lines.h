/*
 * The wires between devices and the machine that holds them. A device is given these at its
 * initialisation and knows nothing else of the machine.
 */
#ifndef UMBRA_VMM_DEV_LINES_H
#define UMBRA_VMM_DEV_LINES_H

#include <stdbool.h>
#include <stdint.h>

/* An interrupt request (or reset, or A20) line. set == NULL: the line goes nowhere. */
struct line {
    void (*set)(void *ctx, unsigned n, bool level);
    void *ctx;
    unsigned n; /* which input of ctx, for an interrupt controller */
};

static inline void line_set(const struct line *l, bool level)
{
    if (l->set)
        l->set(l->ctx, l->n, level);
}

/* The same for a device that remembers in *was what it told last: told again only if it changes. */
static inline void line_follow(const struct line *l, bool *was, bool level)
{
    if (*was == level)
        return;
    *was = level;
    line_set(l, level);
}

/* How a device asks for the machine's end. exit_status is what the process shall exit with
 * (0..255). The call returns; the machine ends when the instruction at hand is done. */
struct vm_stop {
    void (*stop)(void *ctx, int exit_status);
    void *ctx;
};

static inline void vm_stop_request(const struct vm_stop *s, int exit_status)
{
    if (s->stop)
        s->stop(s->ctx, exit_status);
}

/* Guest time in nanoseconds since the machine's start; never goes back. Host time or an instruction
 * count stands behind it, and no device can tell. */
struct clock {
    uint64_t (*now_ns)(void *ctx);
    void *ctx;
};

static inline uint64_t clock_now(const struct clock *c)
{
    return c->now_ns(c->ctx);
}

/* A device's answer to "when do you next have something to do?": never. */
#define CLOCK_NEVER UINT64_MAX

#endif
