/* EFLAGS as a whole, between the form in which the soft CPU keeps the arithmetic flags and the
 * manual's. */
#include "vmm/soft/soft_flags.h"

uint32_t soft_flags(struct soft *s)
{
    return (CPU(s)->eflags & ~(uint32_t)FL_ARITH) | cc_to_flags(s->core.cc);
}

void soft_set_flags(struct soft *s, uint32_t mask, uint32_t bits)
{
    const uint32_t f = (soft_flags(s) & ~mask) | bits;
    CPU(s)->eflags = f;
    s->core.cc = cc_of_flags(f);
}
