/* See budget.h. */
#include "vmm/control/budget.h"

void budget_charge(struct budget *b, uint64_t us)
{
    b->used += us;
}

void budget_pause(struct budget *b, uint64_t at)
{
    b->paused_at = at;
}

void budget_resume(struct budget *b, uint64_t at)
{
    const uint64_t stood = b->paused_at && at > b->paused_at ? at - b->paused_at : 0;
    if (stood <= BUDGET_SHORT_PAUSE_US)
        b->used += stood;
    b->paused_at = 0;
}

bool budget_over(struct budget *b, uint64_t passed, bool held)
{
    const uint64_t earned = passed / BUDGET_SHARE;
    b->used -= earned < b->used ? earned : b->used;
    return !held && b->used > BUDGET_BURST_US;
}
