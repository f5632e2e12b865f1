/* See vm_shutdown.h. */
#include "vmm/vm_shutdown.h"

#include <stdio.h>
#include <string.h>

#include "vmm/cpu/msr.h"
#include "vmm/peek.h"
#include "vmm/vm.h"

/* Was the instruction that faulted a WRMSR that switches 64-bit mode on? Kernels for other
 * processors that do not look at CPUID come to that, and have no handlers yet. */
static bool asked_for_64_bit(struct vm *vm)
{
    static const uint8_t wrmsr[2] = {0x0f, 0x30};
    const struct cpu *c = &vm->cpu;
    uint8_t at[2];
    return c->gpr[R_ECX] == MSR_EFER && (c->gpr[R_EAX] & EFER_LME) &&
           peek_linear(vm, c->seg[SEG_CS].base + c->eip, at, sizeof at, NULL) == 0 &&
           memcmp(at, wrmsr, sizeof at) == 0;
}

void vm_shutdown(struct vm *vm, const char *why)
{
    const char *more = asked_for_64_bit(vm)
                           ? "; it was switching 64-bit mode on, which an i386 does "
                             "not have: take an image for i386"
                           : "";
    if (vm_bios_restarts(vm)) {
        vm->shutdown.count++;
        snprintf(vm->shutdown.why, sizeof vm->shutdown.why, "%s%s", why, more);
        vm->reset_due = true;
        return;
    }
    vm_finish(vm, VM_END_WILD, "the guest's processor shut down: %s%s", why, more);
    vm->end_dump = true;
}
