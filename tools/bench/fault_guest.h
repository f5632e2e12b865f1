/*
 * The half of the fault bench that runs a guest: a whole guest fault (trap, engine, mm_fault,
 * shadow PTE, resume) against what the host offers to programs that serve faults themselves.
 */
#ifndef UMBRA_TOOLS_BENCH_FAULT_GUEST_H
#define UMBRA_TOOLS_BENCH_FAULT_GUEST_H

#include "tools/bench/bench.h"

/* Adds its rows: rounds of all measurements alternate, medians are compared. What this host cannot
 * do is said on stderr and leaves its rows out. 0, or a negative errno when a machine failed. */
int bench_fault_guest(struct bench_table *t, unsigned rounds);

#endif
