/*
 * --clock insn: guest time that is counted, not measured. Device time is the number of instructions
 * that the soft CPU has completed, at a fixed rate, and what halts have skipped; the TSC counts its
 * nanoseconds. A device that is due ends the soft CPU's run at the instruction at which it is. So a
 * run depends on nothing of the host's but what comes in from the console.
 *
 * Inside vmm/ only.
 */
#ifndef UMBRA_VMM_VM_CLOCK_H
#define UMBRA_VMM_VM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* Nanoseconds for one instruction where none are given: 250 MIPS, about what the soft CPU does. */
#define VM_CLOCK_INSN_NS     4u
#define VM_CLOCK_INSN_NS_MAX 1000u
/* The calendar at the start of a counted run where none is given: 2026-01-01 00:00:00. */
#define VM_CLOCK_CALENDAR 1767225600u

/* Is this machine's time counted? */
bool vm_clock_counts(const struct vm *vm);
/* Device time in ns, exact at the instruction at hand. */
uint64_t vm_clock_now(const struct vm *vm);
/* A device is due at vm->alarm_ns: the soft CPU, if it is running, is to stop there. */
void vm_clock_limit(struct vm *vm);
/* The same for a run that begins: instructions until then, at least 1. */
uint64_t vm_clock_budget(const struct vm *vm);
/* Has vm->alarm_ns come? */
bool vm_clock_due(const struct vm *vm);
/* The processor is halted: make it now. false: nothing is due. */
bool vm_clock_skip(struct vm *vm);

#endif
