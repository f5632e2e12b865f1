/*
 * The way of one fault: from the linear address that the CPU could not use to the shadow PTE that
 * lets it. docs/fault-path.md walks through it.
 */
#include "vmm/soft_engine.h"
#include "vmm/vm.h"

static enum fault_outcome no_memory(struct vm *vm, la_t la, uint32_t error)
{
    const la_t pc = vm->cpu.seg[SEG_CS].base + vm->cpu.eip;
    if ((error & PF_I) || la == pc) {
        vm_finish(vm, VM_END_WILD,
                  "the guest executes at %08x, where there is no memory (RAM ends at %08llx)", la,
                  (unsigned long long)vm->gmem.bytes);
        vm->end_dump = true;
        return FAULT_ENDED;
    }
    vm->stats.mmio++;
    if (shadow_map_mmio(vm->shadow, la, gfn_of(la)) < 0) {
        vm_finish(vm, VM_END_HOST, "the quota of shadow pages is too small");
        return FAULT_ENDED;
    }
    return FAULT_EMULATE;
}

static enum fault_outcome failed(struct vm *vm, gpa_t gpa, const struct mm_fault *f)
{
    switch (f->result) {
    case MM_OOM:
        vm_finish(vm, VM_END_OOM, "no frame for guest page %05x: the frame pool is used up",
                  gfn_of(gpa));
        break;
    case MM_IOERR:
        vm_finish(vm, VM_END_HOST, "guest page %05x cannot be read back from the swap area",
                  gfn_of(gpa));
        break;
    default:
        vm_finish(vm, VM_END_HOST, "guest page %05x: the memory manager knows no such page",
                  gfn_of(gpa));
    }
    return FAULT_ENDED;
}

enum fault_outcome fault_handle(struct vm *vm, la_t la, uint32_t error)
{
    const gpa_t gpa = la; /* paging off: linear = guest-physical */
    const bool write = (error & PF_W) != 0;

    if (!gmem_valid(&vm->gmem, gpa, 1))
        return no_memory(vm, la, error);

    const uint64_t start = stats_now();
    const struct mm_fault f =
        mm_fault(vm->mm, gfn_of(gpa), write ? MM_ACCESS_WRITE : MM_ACCESS_READ);
    if (f.result > MM_SPURIOUS) {
        stats_fault(&vm->stats, f.result, f.path, stats_now() - start);
        return failed(vm, gpa, &f);
    }
    /* Code that the soft CPU holds decoded must go before another engine may write its frame. */
    if (write && vm->code_frame && vm->code_frame[f.frame]) {
        vm->code_frame[f.frame] = false;
        soft_code_written(soft_engine_cpu(vm->soft), f.frame, 0, PAGE_SIZE);
    }
    const bool code = vm->code_frame && vm->code_frame[f.frame];
    const int rc =
        shadow_map(vm->shadow, la & ~PAGE_MASK, gfn_of(gpa), f.frame, f.writable && !code);
    stats_fault(&vm->stats, f.result, f.path, stats_now() - start);
    if (rc < 0) {
        vm_finish(vm, VM_END_HOST, "the quota of shadow pages is too small");
        return FAULT_ENDED;
    }
    return FAULT_RETRY;
}
