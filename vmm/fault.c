/*
 * The way of one fault: from the linear address that the CPU could not use to the shadow PTE that
 * lets it. docs/fault-path.md walks through it.
 */
#include <errno.h>

#include "vmm/soft_engine.h"
#include "vmm/vm.h"

/* One fault on its way. */
struct fault {
    la_t la;
    struct walk_access acc;
    struct walk walk;
};

static enum fault_outcome quota_too_small(struct vm *vm)
{
    vm_finish(vm, VM_END_HOST,
              "the quota of shadow pages is too small; give more with --shadow-pages");
    return FAULT_ENDED;
}

void fault_no_page(struct vm *vm, int err, const char *what, gpa_t gpa)
{
    char where[400];
    if (err == -EIO)
        vm_finish(vm, VM_END_HOST, "%s %05x cannot be read back: %s", what, gfn_of(gpa),
                  vm_swap_where(vm, gfn_of(gpa), where, sizeof where));
    else
        vm_finish(vm, VM_END_OOM, "no frame for %s %05x: the frame pool is used up", what,
                  gfn_of(gpa));
}

static enum fault_outcome no_page(struct vm *vm, int err, const char *what, gpa_t gpa)
{
    fault_no_page(vm, err, what, gpa);
    return FAULT_ENDED;
}

/* The guest's own tables could not be walked: which page of them is to blame? */
static enum fault_outcome no_table(struct vm *vm, int err, const struct walk *w)
{
    const bool leaf =
        w->pte_at && (err == -ENOMEM || pte_is_swap(mm_pte(vm->as->mm, gfn_of(w->pte_at))));
    return no_page(vm, err, "the page table in guest page", leaf ? w->pte_at : w->pde_at);
}

/* There is no RAM: the soft CPU does the access, on the MMIO bus. */
static enum fault_outcome no_memory(struct vm *vm, const struct fault *f)
{
    const la_t pc = vm->cpu.seg[SEG_CS].base + vm->cpu.eip;
    const struct mmio_range *r = mmio_find(&vm->board.mmio, f->walk.gpa);
    if ((f->acc.fetch || f->la == pc) && !(r && r->code)) {
        vm_finish(
            vm, VM_END_WILD,
            "the guest executes at %08x, where there is no memory (guest-physical %09llx, RAM ends "
            "at %08llx)",
            f->la, (unsigned long long)f->walk.gpa, (unsigned long long)vm->opts.ram);
        vm->end_dump = true;
        return FAULT_ENDED;
    }
    vm->stats.mmio++;
    if (shadow_map_mmio(vm->shadow, f->la & ~PAGE_MASK, f->acc.user, &f->walk) < 0)
        return quota_too_small(vm);
    return FAULT_EMULATE;
}

static enum fault_outcome mm_failed(struct vm *vm, const struct fault *f, enum mm_result result)
{
    switch (result) {
    case MM_OOM: return no_page(vm, -ENOMEM, "guest page", f->walk.gpa);
    case MM_IOERR: return no_page(vm, -EIO, "guest page", f->walk.gpa);
    default:
        vm_finish(vm, VM_END_WILD,
                  "the guest's own tables lead to guest-physical page %05x, for which it has "
                  "forbidden this access",
                  gfn_of(f->walk.gpa));
        vm->end_dump = true;
        return FAULT_ENDED;
    }
}

/* The guest's memory is the monitor's to manage: the fault is the guest's own. P is what the
 * guest's entry, as the window shows it, has. */
static enum fault_outcome violation(struct vm *vm, const struct fault *f)
{
    const bool window = f->la >= SPACE_WINDOW;
    const bool present = window || (space_guest_pte(vm, f->la >> PAGE_SHIFT) & PTE_P);
    vm->guest_error =
        (present ? PF_P : 0u) | (f->acc.write ? PF_W : 0u) | (f->acc.user ? PF_U : 0u);
    return FAULT_GUEST;
}

/* The window with the page tables is read by the soft CPU and by nobody else. */
static enum fault_outcome window_fault(struct vm *vm, struct fault *f)
{
    const la_t pc = vm->cpu.seg[SEG_CS].base + vm->cpu.eip;
    if (f->acc.write || f->acc.fetch || f->la == pc)
        return violation(vm, f);
    f->walk.writable = false;
    vm->stats.mmio++;
    if (shadow_map_mmio(vm->shadow, f->la & ~PAGE_MASK, f->acc.user, &f->walk) < 0)
        return quota_too_small(vm);
    return FAULT_EMULATE;
}

/* A write to memory that cannot be written is done on the MMIO bus, where it comes to nothing. */
static enum fault_outcome rom_write(struct vm *vm, const struct fault *f)
{
    vm->stats.mmio++;
    if (shadow_map_mmio(vm->shadow, f->la & ~PAGE_MASK, f->acc.user, &f->walk) < 0)
        return quota_too_small(vm);
    return FAULT_EMULATE;
}

/* Map what backs the page. */
static enum fault_outcome resolve(struct vm *vm, const struct fault *f)
{
    const gfn_t gfn = gfn_of(f->walk.gpa);
    const struct mm_fault m =
        mm_fault(vm->as->mm, gfn, f->acc.write ? MM_ACCESS_WRITE : MM_ACCESS_READ);
    vm->fault_result = m.result;
    vm->fault_path = m.path;
    if ((m.result == MM_BADADDR || m.result == MM_PROT) && space_rules(vm))
        return violation(vm, f);
    if (m.result > MM_SPURIOUS)
        return mm_failed(vm, f, m.result);
    const bool watch = vm_kvm_walks(vm, f->acc.user);
    if (f->acc.write) {
        shadow_table_written(vm->shadow, gfn);
        /* Code that the soft CPU holds decoded must go before another engine may write its frame.
         */
        if (watch && vm->code_frame[m.frame] == VM_CODE_WATCHED) {
            vm->code_frame[m.frame] = VM_CODE_NONE;
            soft_code_written(soft_engine_cpu(vm->soft), m.frame, 0, PAGE_SIZE);
        }
    }
    const bool code = watch && vm->code_frame[m.frame] == VM_CODE_WATCHED;
    if (shadow_map(vm->shadow, f->la & ~PAGE_MASK, f->acc.user, &f->walk, m.frame,
                   m.writable && !code && !vm_rom_locked(vm, f->walk.gpa)) < 0)
        return quota_too_small(vm);
    prefetch_large(vm, f->la, f->acc.user, &f->walk);
    prefetch_near(vm, f->la, f->acc.user, &f->walk);
    return FAULT_RETRY;
}

/* *answered: it came to the memory manager. */
static enum fault_outcome handle(struct vm *vm, struct fault *f, bool *answered)
{
    *answered = false;
    walk_guest(vm->as, shadow_mode(vm->shadow), f->la, f->acc, true, &f->walk);
    switch (f->walk.status) {
    case WALK_FAULT: vm->guest_error = f->walk.error; return FAULT_GUEST;
    case WALK_NOMEM: return no_table(vm, -ENOMEM, &f->walk);
    case WALK_IOERR: return no_table(vm, -EIO, &f->walk);
    case WALK_OK: break;
    }
    if (shadow_mode(vm->shadow)->fmt == GPAGING_2LEVEL) {
        shadow_table_marked(vm->shadow, f->walk.pde_at);
        shadow_table_marked(vm->shadow, f->walk.pte_at);
    }
    if (space_rules(vm) && f->la >= SPACE_WINDOW)
        return window_fault(vm, f);
    if (!space_has(vm, f->walk.gpa) &&
        (!space_rules(vm) || mmio_find(&vm->board.mmio, f->walk.gpa)))
        return no_memory(vm, f);
    if (f->acc.write && vm_rom_locked(vm, f->walk.gpa))
        return rom_write(vm, f);
    *answered = true;
    return resolve(vm, f);
}

/* Into the page trace. */
static void record(struct vm *vm, const struct fault *f, uint32_t error, enum fault_outcome o,
                   bool answered, uint64_t start, uint64_t cycles)
{
    struct trace_ring *ring = vm->tracing.ring;
    const bool own = o == FAULT_GUEST;
    trace_ring_put(ring,
                   (struct trace_rec){.tsc = start,
                                      .la = f->la,
                                      .gfn = f->walk.status == WALK_OK ? gfn_of(f->walk.gpa) : 0,
                                      .eip = vm->cpu.eip,
                                      .cost = cycles > UINT32_MAX ? UINT32_MAX : (uint32_t)cycles,
                                      .info = answered ? vm->fault_path : 0,
                                      .kind = own        ? TRACE_GUEST_FAULT
                                              : answered ? TRACE_FAULT
                                                         : TRACE_MMIO,
                                      .result = answered ? (uint8_t)vm->fault_result : 0,
                                      .error = (uint8_t)(own ? vm->guest_error : error),
                                      .space = (uint8_t)vm->spaces.cur});
    if (__builtin_expect(ring->count >= ring->refresh_at, 0))
        vm_trace_sample(vm);
}

/* For whoever asks when a page was last faulted: one store. */
static void mark(struct vm *vm, gfn_t gfn, uint64_t start)
{
    if (vm->marks && gpa_of(gfn) < vm->opts.ram && !vm->spaces.managed)
        vm->marks[gfn] = (struct fault_mark){
            .when = (uint32_t)((start - vm->stats.start_tsc) >> FAULT_MARK_SHIFT) + 1,
            .path = vm->fault_path & 0xffffff,
            .result = vm->fault_result & 0xff};
}

/* Why the CPU could not go on, by what the shadow has. */
static enum stats_cause cause_of(const struct vm *vm, const struct fault *f)
{
    gfn_t gfn = 0;
    const spte_t s = shadow_lookup(vm->shadow, f->la, f->acc.user, &gfn);
    if (!shadow_entry_used(s))
        return shadow_empty_until(vm->shadow, f->la, f->acc.user) == f->la ? CAUSE_ENTRY
                                                                           : CAUSE_PATH;
    if (!f->acc.write || spte_writable(s))
        return CAUSE_OTHER;
    return shadow_table_protected(vm->shadow, gfn) ? CAUSE_TABLE : CAUSE_WRITE;
}

static void count_cause(struct vm *vm, enum stats_cause cause, enum fault_outcome o, bool answered,
                        uint64_t cycles)
{
    if (o == FAULT_GUEST)
        cause = CAUSE_GUEST;
    else if (!answered)
        cause = CAUSE_MMIO;
    else if (vm->fault_result != MM_SPURIOUS)
        cause = CAUSE_MM;
    hist_add(&vm->stats.cause[cause], cycles);
}

enum fault_outcome fault_handle(struct vm *vm, la_t la, uint32_t error)
{
    struct fault f = {.la = la,
                      .acc = {.write = (error & PF_W) != 0,
                              .user = (error & PF_U) != 0,
                              .fetch = (error & PF_I) != 0}};
    bool answered;
    const enum stats_cause cause = vm->opts.costs ? cause_of(vm, &f) : CAUSE_OTHER;
    const uint64_t start = stats_now();
    vm->tracing.fault_tsc = start;
    vm->stats.region[la >> 22]++;
    const enum fault_outcome o = handle(vm, &f, &answered);
    const uint64_t cycles = stats_now() - start;
    vm->tracing.fault_tsc = 0;
    if (answered) {
        stats_fault(&vm->stats, vm->fault_result, vm->fault_path, cycles);
        mark(vm, gfn_of(f.walk.gpa), start);
    }
    if (vm->opts.costs)
        count_cause(vm, cause, o, answered, cycles);
    if (vm->tracing.ring)
        record(vm, &f, error, o, answered, start, cycles);
    return o;
}
