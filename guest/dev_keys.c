/*
 * The keyboard from inside: prints the scan codes that come until Enter is pressed, and what is on
 * its screen. For tests that type.
 */
#include "guest/rt/rt.h"

int main(void)
{
    uint8_t codes[64], n = 0;

    while (n < sizeof codes) {
        while (!(inb(0x64) & 1))
            ;
        codes[n++] = inb(0x60);
        if (codes[n - 1] == 0x1c)
            break;
    }
    rt_puts("codes:");
    for (unsigned i = 0; i < n; i++)
        rt_printf(" %02x", codes[i]);
    rt_puts("\n");
    return 0;
}
