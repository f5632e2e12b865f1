/* What init's child becomes: another image at the same addresses, with its data fresh. */
#include "guest/tinykernel/user/user.h"

static uint32_t counter = 41;
static uint32_t zeroed[3000];

int program(void)
{
    for (unsigned i = 0; i < 3000; i++)
        if (zeroed[i])
            return 1;
    zeroed[2999] = 1;
    return (int)(++counter + zeroed[2999] - 1);
}
