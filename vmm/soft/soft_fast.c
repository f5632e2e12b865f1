/* Which instructions have a specialised handler. */
#include "vmm/soft/soft_fast.h"

soft_run_fn soft_fast_pick(struct insn *i, uint32_t mode)
{
    soft_run_fn run;

    if (!(i->flags & INSN_FAST))
        return NULL;
    run = soft_fast_alu(i, mode);
    if (!run)
        run = soft_fast_move(i, mode);
    if (!run)
        run = soft_fast_branch(i, mode);
    return run;
}
