/* The half of the fault bench that needs no CPU: mm_fault against the host kernel's own faults. */
#ifndef UMBRA_TOOLS_BENCH_FAULT_MM_H
#define UMBRA_TOOLS_BENCH_FAULT_MM_H

#include "tools/bench/bench.h"

/* Adds its rows. 0, or negative errno when memory ran short. */
int bench_fault_mm(struct bench_table *t);

#endif
