/* Fast handlers. */
#include "vmm/soft/soft_exec.h"
soft_run_fn soft_fast_pick(const struct insn *i, uint32_t mode_flags)
{
    (void)i, (void)mode_flags;
    return NULL;
}
