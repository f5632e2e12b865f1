/*
 * What a machine writes into its page trace (vmm/trace/ring.h): each fault, and each change of a
 * page's state as memory manager, shadow tables and spaces tell of it. Without a trace a fault pays
 * one predicted branch.
 */
#ifndef UMBRA_VMM_VM_TRACE_H
#define UMBRA_VMM_VM_TRACE_H

#include "mm/trace.h"
#include "vmm/shadow/shadow.h"
#include "vmm/trace/ring.h"

struct vm;

/* In struct vm; inside vmm/ only. */
struct vm_trace {
    struct trace_ring *ring; /* NULL: off */
    struct mm_tracer tracer;
    struct shadow_watch watch;
    uint64_t fault_tsc; /* begin of the fault that is being dealt with; 0: none is */
};

/* Begin: the machine's memory and shadow tables are there. */
void vm_trace_begin(struct vm *vm);
/* From now on nothing is recorded: before the machine is taken apart. */
void vm_trace_end(struct vm *vm);

/* Record how much memory is where, and what time it is. */
__attribute__((cold)) void vm_trace_sample(struct vm *vm);
/* fork, switch, exit: kind, and the other space. */
void vm_trace_space(struct vm *vm, enum trace_kind kind, uint32_t other);

#endif
