/*
 * The trap loop: run an engine until it traps, find out what the trap means, go on. One trap model
 * for all engines: what an engine cannot execute, the soft CPU executes, one instruction at a time.
 */
#include <inttypes.h>
#include <string.h>

#include "vmm/soft_engine.h"
#include "vmm/vm.h"
#include "vmm/vm_clock.h"

static void handle_trap(struct vm *vm, struct engine *from, struct trap *t);

/* More page faults than any instruction or delivery can need (each of its operands and table
 * entries lies on at most two pages) would mean that mapping makes no progress. */
#define FAULTS_PER_STEP 64

/* The guest's own page fault. CR2 is set whatever the fault becomes: a double fault's second one
 * too. */
static struct soft_event page_fault(struct vm *vm, la_t la)
{
    vm->cpu.cr2 = la;
    return (struct soft_event){.vector = VEC_PF,
                               .has_error = true,
                               .error = vm->guest_error,
                               .kind = SOFT_EV_FAULT,
                               .cr2 = la};
}

/* Deliver an event through the guest's IDT, resolving the faults that the delivery meets; those
 * that are the guest's own are delivered in their turn (the soft CPU knows when that makes a double
 * fault). */
static void deliver(struct vm *vm, struct soft_event ev)
{
    struct trap t = {0};
    vm->stats.delivered++;
    for (int i = 0; i < FAULTS_PER_STEP && vm->end == VM_RUNNING; i++) {
        soft_engine_deliver(vm->soft, &ev, &t);
        if (t.kind != TRAP_PF) {
            if (t.kind != TRAP_BUDGET && t.kind != TRAP_KICK)
                handle_trap(vm, vm->soft, &t);
            return;
        }
        const enum fault_outcome o = fault_handle(vm, t.la, t.error);
        if (o == FAULT_GUEST)
            ev = page_fault(vm, t.la);
        /* Mapped now. A fault comes again with its instruction; what the soft CPU has begun (a task
         * switch, a double fault made of two) it ends by itself; the rest is delivered once more.
         */
        else if (ev.kind == SOFT_EV_FAULT || ev.kind == SOFT_EV_SOFTINT ||
                 soft_unfinished(soft_engine_cpu(vm->soft)))
            return;
    }
    if (vm->end == VM_RUNNING)
        vm_finish(vm, VM_END_HOST, "delivering vector %u faults without end; please report this",
                  ev.vector);
}

/* Deliver an exception that the engine's CPU raised. */
static void deliver_exception(struct vm *vm, const struct trap *t)
{
    const bool has_error =
        t->vector == VEC_DF || (t->vector >= VEC_TS && t->vector <= VEC_PF) || t->vector == VEC_AC;
    deliver(vm, (struct soft_event){.vector = t->vector,
                                    .has_error = has_error,
                                    .error = t->error,
                                    .kind = t->vector == VEC_DB ? SOFT_EV_TRAP : SOFT_EV_FAULT});
}

/* Let the soft CPU execute one instruction, resolving the faults that it meets. */
static void emulate(struct vm *vm)
{
    struct trap t = {0};
    for (int i = 0; i < FAULTS_PER_STEP && vm->end == VM_RUNNING; i++) {
        soft_engine_step(vm->soft, &t);
        if (t.kind != TRAP_PF) {
            vm->stats.emulated++;
            if (t.kind != TRAP_BUDGET && t.kind != TRAP_KICK)
                handle_trap(vm, vm->soft, &t);
            return;
        }
        if (fault_handle(vm, t.la, t.error) == FAULT_GUEST) {
            deliver(vm, page_fault(vm, t.la));
            return;
        }
    }
    if (vm->end == VM_RUNNING)
        vm_finish(vm, VM_END_HOST,
                  "one instruction at %08" PRIx32 " faults without end; please report this",
                  vm->cpu.eip);
}

static void handle_fault(struct vm *vm, struct engine *from, const struct trap *t)
{
    switch (fault_handle(vm, t->la, t->error)) {
    case FAULT_GUEST: deliver(vm, page_fault(vm, t->la)); break;
    case FAULT_EMULATE:
        if (from != vm->soft)
            emulate(vm);
        break;
    case FAULT_RETRY:
    case FAULT_ENDED: break;
    }
}

static void handle_asked(struct vm *vm)
{
    const uint32_t asked = atomic_exchange(&vm->asked, 0);
    if (asked & VM_ASK_QUIT)
        vm_finish(vm, VM_END_QUIT, "ended by the user");
    if (asked & VM_ASK_TIMEOUT)
        vm_finish(vm, VM_END_TIMEOUT, "still running after %u s (--timeout)", vm->opts.timeout_s);
    if (asked & (VM_ASK_INPUT | VM_ASK_SCREEN))
        vm_display_poll(vm);
    if (asked & (VM_ASK_INPUT | VM_ASK_TIME))
        vm_board_update(vm);
    if (asked & VM_ASK_CALL)
        vm->call_due = true;
}

static void handle_trap(struct vm *vm, struct engine *from, struct trap *t)
{
    switch (t->kind) {
    case TRAP_PF:
        if (vm->trace)
            trace_insn_undone(vm->trace);
        handle_fault(vm, from, t);
        break;
    case TRAP_EMULATE: emulate(vm); break;
    case TRAP_EXCEPTION: deliver_exception(vm, t); break;
    case TRAP_HLT: break; /* the loop sees that the processor is halted */
    case TRAP_SHUTDOWN:
        if (vm->trace)
            trace_insn_undone(vm->trace);
        vm_shutdown(vm, t->why);
        break;
    case TRAP_ERROR:
        vm_finish(vm, VM_END_HOST, "%s", t->why);
        vm->end_dump = true;
        break;
    case TRAP_KICK:
    case TRAP_INTWIN:
    case TRAP_BUDGET:
    case TRAP_KINDS: break;
    }
    if (atomic_load_explicit(&vm->asked, memory_order_relaxed))
        handle_asked(vm);
}

static void audit(struct vm *vm)
{
    char msg[200];
    if (mm_audit(vm->pool, msg, sizeof msg) < 0 || shadow_audit(vm->shadow, msg, sizeof msg) < 0)
        vm_finish(vm, VM_END_AUDIT, "audit: %s", msg);
}

/* Deliver a pending interrupt before the kvm engine goes on; the soft CPU takes them by itself. */
static void take_interrupt(struct vm *vm)
{
    const struct cpu *c = &vm->cpu;
    if (!vm->kvm)
        return;
    const bool can = (c->eflags & FL_IF) && !c->int_shadow && !c->db_shadow;
    vm->kvm->ops->intr_window(vm->kvm, vm->intr && !can);
    if (!vm->intr || !can)
        return;
    const int vector = vm_board_ack(vm);
    if (vector >= 0)
        deliver(vm, (struct soft_event){
                        .vector = (uint8_t)vector, .kind = SOFT_EV_EXTERNAL, .next_eip = c->eip});
}

/* Can an NMI be delivered now, and is one to be? */
static bool nmi_due(const struct vm *vm)
{
    const struct cpu *c = &vm->cpu;
    return vm->nmi && !c->nmi_blocked && !c->int_shadow &&
           !soft_unfinished(soft_engine_cpu(vm->soft));
}

static void take_nmi(struct vm *vm)
{
    if (!nmi_due(vm))
        return;
    vm->nmi = false;
    deliver(vm,
            (struct soft_event){.vector = VEC_NMI, .kind = SOFT_EV_NMI, .next_eip = vm->cpu.eip});
}

static struct engine *engine_for(struct vm *vm)
{
    struct soft *soft = soft_engine_cpu(vm->soft);
    if (soft_unfinished(soft) || vm->breaks.n)
        return vm->soft;
    return vm->kvm && !soft_ferr(soft) && vm->kvm->ops->can_run(vm->kvm) ? vm->kvm : vm->soft;
}

/* Other threads' calls, and whoever holds the machine: served between instructions, when nothing is
 * half done. */
static void serve_calls(struct vm *vm)
{
    if (soft_unfinished(soft_engine_cpu(vm->soft))) {
        vm->soft->ops->kick(vm->soft);
        return;
    }
    vm->call_due = false;
    vm_calls_serve(vm);
    if (atomic_load_explicit(&vm->asked, memory_order_relaxed))
        handle_asked(vm);
}

/* vm_step(): one instruction at a time, on the soft CPU whatever the engine is. */
static void run_step(struct vm *vm, bool asked)
{
    struct trap t;
    const uint64_t delivered = vm->stats.delivered;
    soft_engine_step(vm->soft, &t);
    handle_trap(vm, vm->soft, &t);
    /* A page that was missing: the instruction comes again. */
    if (asked && (t.kind != TRAP_PF || delivered != vm->stats.delivered))
        vm_calls_stepped(vm);
}

/* Is an interrupt only waiting for the next instruction's end? STI, for instance, holds it back so
 * long, and the instruction after that may hold it back again. An NMI that waits for an IRET is
 * looked at after each. */
static bool one_more(const struct vm *vm)
{
    const struct cpu *c = &vm->cpu;
    return vm->nmi ||
           (vm->kvm && vm->intr && (c->eflags & FL_IF) && (c->int_shadow || c->db_shadow));
}

void vm_run(struct vm *vm)
{
    struct trap t;
    uint64_t before = stats_now(), after;

    vm_calls_open(vm);
    if (vm->opts.held) {
        vm_stop_here(vm, VM_STOP_ASKED);
        handle_asked(vm);
    }
    while (vm->end == VM_RUNNING) {
        if (vm->reset_due) {
            vm_bios_reset(vm);
            continue;
        }
        if (vm->call_due) {
            serve_calls(vm);
            if (vm->end != VM_RUNNING)
                break;
        }
        if (vm_clock_counts(vm) && vm_clock_due(vm))
            vm_board_update(vm);
        /* An event that has begun to be delivered ends the halt, though a page it needs was
         * missing. */
        const bool wakes = (vm->intr && (vm->cpu.eflags & FL_IF)) || nmi_due(vm);
        if (vm->cpu.halted && !wakes && !soft_unfinished(soft_engine_cpu(vm->soft))) {
            vm_board_halt(vm);
            handle_asked(vm);
            if (!vm->intr)
                continue;
        }
        take_nmi(vm);
        take_interrupt(vm);
        if (vm->end != VM_RUNNING)
            break;
        const bool steps = atomic_load_explicit(&vm->calls.steps, memory_order_relaxed) != 0;
        if (steps || one_more(vm)) {
            run_step(vm, steps);
            if (atomic_load_explicit(&vm->asked, memory_order_relaxed))
                handle_asked(vm);
            continue;
        }
        struct engine *e = engine_for(vm);
        if (e != vm->soft)
            vm_watch_code(vm);
        e->ops->run(e, &t);
        after = stats_now();
        hist_add(&vm->stats.guest, after - before);
        vm->traps++;
        handle_trap(vm, e, &t);
        vm_swap_balance(vm);
        if (vm->opts.audit && vm->traps % vm->opts.audit == 0)
            audit(vm);
        before = stats_now();
        hist_add(&vm->stats.trap[t.kind], before - after);
    }
    vm_calls_close(vm);
    if (vm->trace)
        trace_insn_end(vm->trace, &vm->cpu);
    chardev_flush(vm->console);
}
