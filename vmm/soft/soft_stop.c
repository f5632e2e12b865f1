/*
 * Places where the owner of the CPU wants it to stop, for debuggers. The guest cannot see them: its
 * own DR0..DR7 and its memory are left alone. While some are set, instructions go one by one.
 */
#include <errno.h>
#include <string.h>

#include "vmm/soft/soft_state.h"

int soft_set_stops(struct soft *s, const struct soft_stop *list, unsigned n,
                   void (*hit)(void *ctx, const struct soft_stop *stop), void *ctx)
{
    struct soft_stops *t = &s->stops;

    if (n > SOFT_STOPS_MAX)
        return -ENOSPC;
    memcpy(t->at, list, n * sizeof *list);
    t->n = n;
    t->data = false;
    for (unsigned k = 0; k < n; k++)
        t->data |= list[k].kind != SOFT_STOP_EXEC;
    t->hit = hit;
    t->ctx = ctx;
    t->found = NULL;
    s->mode_dirty = true;
    return 0;
}

/* Is the instruction at CS:EIP one to stop before? It is passed when the CPU goes on from there. */
bool soft_stop_exec(struct soft *s)
{
    struct soft_stops *t = &s->stops;
    const la_t la = CPU(s)->seg[SEG_CS].base + CPU(s)->eip;
    const bool passed = t->passing && t->passed == la;

    t->passing = false;
    if (passed)
        return false;
    for (unsigned k = 0; k < t->n; k++) {
        if (t->at[k].kind != SOFT_STOP_EXEC || t->at[k].la != la)
            continue;
        t->passing = true;
        t->passed = la;
        soft_kick(s);
        t->hit(t->ctx, &t->at[k]);
        return true;
    }
    return false;
}

/* n bytes at la are accessed: remembered until the instruction is done, which it may not be. */
void soft_stop_data(struct soft *s, la_t la, unsigned n, enum soft_access acc)
{
    struct soft_stops *t = &s->stops;

    for (unsigned k = 0; k < t->n; k++) {
        const struct soft_stop *p = &t->at[k];
        const bool kind = p->kind == SOFT_STOP_ACCESS ||
                          (p->kind == SOFT_STOP_WRITE && acc == SOFT_W) ||
                          (p->kind == SOFT_STOP_READ && acc == SOFT_R);
        if (kind && (la - p->la < p->len || p->la - la < n))
            t->found = p;
    }
}

void soft_stop_report(struct soft *s)
{
    struct soft_stops *t = &s->stops;
    const struct soft_stop *p = t->found;

    t->found = NULL;
    soft_kick(s);
    t->hit(t->ctx, p);
}
