/* See vm_clock.h. */
#include "vmm/vm_clock.h"

#include "vmm/soft_engine.h"
#include "vmm/vm.h"

bool vm_clock_counts(const struct vm *vm)
{
    return vm->opts.insn_ns != 0;
}

uint64_t vm_clock_now(const struct vm *vm)
{
    const uint64_t insns = vm->soft ? soft_insns(soft_engine_cpu(vm->soft)) : 0;
    return insns * vm->opts.insn_ns + vm->skipped_ns;
}

bool vm_clock_due(const struct vm *vm)
{
    return vm->alarm_ns <= vm_clock_now(vm);
}

/* Instructions from now until the alarm. */
static uint64_t until(const struct vm *vm)
{
    const uint64_t now = vm_clock_now(vm), ns = vm->opts.insn_ns;
    if (vm->alarm_ns == CLOCK_NEVER)
        return UINT64_MAX;
    return vm->alarm_ns > now ? (vm->alarm_ns - now - 1) / ns + 1 : 0;
}

void vm_clock_limit(struct vm *vm)
{
    const uint64_t n = until(vm);
    /* The instruction at hand is one of them. */
    soft_limit(soft_engine_cpu(vm->soft), n ? n - 1 : 0);
}

uint64_t vm_clock_budget(const struct vm *vm)
{
    const uint64_t n = until(vm);
    return n ? n : 1;
}

bool vm_clock_skip(struct vm *vm)
{
    if (vm->alarm_ns == CLOCK_NEVER)
        return false;
    const uint64_t now = vm_clock_now(vm);
    if (vm->alarm_ns > now)
        vm->skipped_ns += vm->alarm_ns - now;
    return true;
}
