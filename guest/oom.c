/* oom: writes to page after page until the monitor has no frame left. Needs more RAM than pool. */
#include "guest/rt/rt.h"

#define REPORT 256u /* pages between two lines */

int main(void)
{
    struct rt_range ram = rt_free_ram();
    uint32_t pages = (ram.end - ram.start) / PAGE_SIZE;

    rt_printf("writing to %u pages of RAM\n", pages);
    for (uint32_t i = 0; i < pages; i++) {
        *(volatile uint32_t *)(ram.start + i * PAGE_SIZE) = i + 1;
        if (i % REPORT == REPORT - 1)
            rt_printf("%u KiB written\n", (i + 1) * (PAGE_SIZE / 1024));
    }
    rt_printf("all of RAM was written: the pool is not smaller than RAM\n");
    return UMBRA_EXITV_FAIL;
}
