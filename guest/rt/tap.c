/* Test results as lines of the Test Anything Protocol, plan at the end. */
#include "guest/rt/rt.h"

static struct tap_counts own, *counts = &own;

void tap_keep(struct tap_counts *at)
{
    *at = *counts;
    counts = at;
}

bool tap_ok(bool ok, const char *fmt, ...)
{
    va_list ap;

    counts->all++;
    if (!ok)
        counts->failed++;
    rt_printf("%sok %u - ", ok ? "" : "not ", counts->all);
    va_start(ap, fmt);
    rt_vprintf(fmt, ap);
    va_end(ap);
    rt_putc('\n');
    return ok;
}

void tap_note(const char *fmt, ...)
{
    va_list ap;

    rt_puts("# ");
    va_start(ap, fmt);
    rt_vprintf(fmt, ap);
    va_end(ap);
    rt_putc('\n');
}

int tap_done(void)
{
    rt_printf("1..%u\n", counts->all);
    if (counts->failed)
        tap_note("%u of %u failed", counts->failed, counts->all);
    return counts->failed ? UMBRA_EXITV_FAIL : 0;
}
