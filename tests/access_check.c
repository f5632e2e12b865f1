/* The driver of access_cases.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tests/access_cases.h"

void access_describe(const struct access_case *c, char *text, size_t len)
{
    static const char *const kinds[] = {"read", "write", "fetch"};

    snprintf(text, len, "CR0 %08x CR4 %x%s PDE %" PRIx64 " PTE %" PRIx64 " %s %s%s", c->cr0, c->cr4,
             c->nxe ? " NXE" : "", c->pde, c->pte, c->user ? "user" : "supervisor", kinds[c->kind],
             c->again ? ", again" : "");
}

static bool same(const struct access_result *a, const struct access_result *b)
{
    if (a->fault != b->fault || a->pde != b->pde || a->pte != b->pte)
        return false;
    return !a->fault || (a->error == b->error && a->cr2 == b->cr2);
}

static void complain(struct access_tally *t, const char *engine, uint32_t index, const char *after,
                     const struct access_case *c, const struct access_result *want,
                     const struct access_result *got)
{
    char what[160];

    if (t->failed++)
        return;
    access_describe(c, what, sizeof what);
    snprintf(t->first, sizeof t->first,
             "%s, case %u%s%s: %s\n  model:  fault %d error %x CR2 %08x PDE %" PRIx64
             " PTE %" PRIx64 "\n  engine: fault %d error %x CR2 %08x PDE %" PRIx64 " PTE %" PRIx64,
             engine, index, after ? " after " : "", after ? after : "", what, want->fault,
             want->error, want->cr2, want->pde, want->pte, got->fault, got->error, got->cr2,
             got->pde, got->pte);
}

static int compare(const struct access_engine *e, uint32_t index, const char *after,
                   const struct access_case *c, struct access_result *want, struct access_tally *t)
{
    struct access_result got = {0};

    access_expect(c, want);
    if (!e->run(e->ctx, c, &got))
        return -EIO;
    t->run++;
    t->faults += want->fault;
    if (!same(want, &got))
        complain(t, e->name, index, after, c, want, &got);
    return 0;
}

static int check_case(const struct access_engine *e, enum access_set set, uint32_t index,
                      struct access_tally *t)
{
    struct access_result want;
    struct access_case c;
    int err;

    access_make(set, index, &c);
    err = compare(e, index, NULL, &c, &want, t);
    for (unsigned ev = 0; !err && ev < e->events; ev++) {
        c.again = true;
        c.pde = want.pde;
        c.pte = want.pte;
        if (!e->disturb(e->ctx, ev, &c))
            return -EIO;
        err = compare(e, index, e->event_name(ev), &c, &want, t);
    }
    return err;
}

int access_check(const struct access_engine *e, enum access_set set, uint32_t first, uint32_t step,
                 struct access_tally *t)
{
    int err = 0;

    for (uint64_t i = first; !err && i < access_count(set); i += step)
        err = check_case(e, set, (uint32_t)i, t);
    return err;
}
