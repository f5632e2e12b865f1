/* cli_loop: never ends and takes no interrupt. Only the monitor can stop it. */
#include "guest/rt/rt.h"

int main(void)
{
    rt_printf("looping for ever with interrupts off\n");
    for (;;)
        __asm__ volatile("cli" : : : "memory");
}
