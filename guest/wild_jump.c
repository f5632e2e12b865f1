/* wild_jump: goes where nothing is (to=ADDR, default far beyond RAM). Must end with a report. */
#include "guest/rt/rt.h"

int main(void)
{
    uint32_t to = rt_option("to", 0xdeadbeefu);

    rt_printf("jumping to %08x\n", to);
    __asm__ volatile("jmp *%0" : : "r"(to) : "memory");
    __builtin_unreachable();
}
