/* Test results as lines of the Test Anything Protocol, plan at the end. */
#include "guest/rt/rt.h"

static unsigned tap_count, tap_failed;

bool tap_ok(bool ok, const char *fmt, ...)
{
    va_list ap;

    tap_count++;
    if (!ok)
        tap_failed++;
    rt_printf("%sok %u - ", ok ? "" : "not ", tap_count);
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
    rt_printf("1..%u\n", tap_count);
    if (tap_failed)
        tap_note("%u of %u failed", tap_failed, tap_count);
    return tap_failed ? UMBRA_EXITV_FAIL : 0;
}
