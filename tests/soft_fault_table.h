/*
 * Tables of "this instruction in this state raises that": one row, one check of the manual. Each
 * row that faults is also held against rule S2: nothing but the delivery has happened.
 */
#ifndef UMBRA_TESTS_SOFT_FAULT_TABLE_H
#define UMBRA_TESTS_SOFT_FAULT_TABLE_H

#include <criterion/criterion.h>

#include "tests/soft_world.h"

/* Rows name only what they need. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum { OK = -1 };

struct fault_row {
    const char *what; /* with the manual's section */
    unsigned cpl;
    uint32_t eax;
    int vector;
    uint32_t error;
    uint8_t code[16];
    struct {
        uint32_t base, limit, attr;
    } x; /* descriptor at S_X, if attr is not 0 */
    void (*setup)(struct world *w);
};

static inline void fault_table_run(const struct fault_row *rows, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const struct fault_row *r = &rows[k];
        struct world *w = world_new(r->cpl);

        world_code(w, r->code, sizeof r->code);
        if (r->x.attr)
            world_desc(w, S_X, r->x.base, r->x.limit, r->x.attr);
        w->c->gpr[R_EAX] = r->eax;
        if (r->setup)
            r->setup(w);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, r->vector, "%s: vector %d, not %d (exit %d %s)", r->what, o.vector,
                     r->vector, o.exit, w->e->exit.why);
        if (o.vector == r->vector && o.vector >= 0) {
            cr_expect_eq(o.error, r->error, "%s: error code %#x, not %#x", r->what, o.error,
                         r->error);
            const char *bad = r->vector < 32 ? world_changed(w, &o) : NULL;
            cr_expect_null(bad, "%s: changed: %s", r->what, bad);
        }
        if (r->vector == OK)
            cr_expect_eq(o.exit, SOFT_EXIT_BUDGET, "%s: exit %d %s", r->what, o.exit,
                         w->e->exit.why);
        world_free(w);
    }
}

#define FAULT_TABLE(suite, name, ...)                                                              \
    Test(suite, name)                                                                              \
    {                                                                                              \
        static const struct fault_row rows[] = {__VA_ARGS__};                                      \
        fault_table_run(rows, sizeof rows / sizeof *rows);                                         \
    }

#endif
