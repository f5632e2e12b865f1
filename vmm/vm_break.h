/*
 * Breakpoints and watchpoints of a machine, for debuggers: by linear address, the same on each
 * engine. While there are some, guest code runs on the soft CPU, which sees each instruction and
 * each access; the guest cannot tell.
 *
 * All of it is for the vCPU's thread (vm_call()).
 */
#ifndef UMBRA_VMM_VM_BREAK_H
#define UMBRA_VMM_VM_BREAK_H

#include "vmm/soft/soft.h"

struct vm;

/* In struct vm; inside vmm/ only. */
struct vm_breaks {
    struct soft_stop at[SOFT_STOPS_MAX];
    unsigned n;
    struct soft_stop hit; /* the one that stopped the machine last */
};

/* 0, also if it is there already; -ENOSPC. */
int vm_break_add(struct vm *vm, struct soft_stop stop);
/* 0; -ENOENT. */
int vm_break_remove(struct vm *vm, struct soft_stop stop);
void vm_break_clear(struct vm *vm);

#endif
