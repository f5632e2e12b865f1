/* tinykernel's beginning: with the lower half still mapped, what the loader said is read; then init
 * runs. */
#include "guest/tinykernel/kernel.h"

int main(void)
{
    const struct rt_range ram = rt_free_ram();

    frames_init(ram);
    traps_init();
    vm_init();
    tap_note("tinykernel: %u frames free", frames_free());
    proc_start();
}
