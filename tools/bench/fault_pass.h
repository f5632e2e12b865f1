/*
 * A guest that touches page after page under the real trap loop, for benches: one pass over
 * FAULT_PASS_PAGES pages, timed.
 */
#ifndef UMBRA_TOOLS_BENCH_FAULT_PASS_H
#define UMBRA_TOOLS_BENCH_FAULT_PASS_H

#include "vmm/vm.h"

#define FAULT_PASS_PAGES 8192
/* What the machine must have of memory, in bytes. */
#define FAULT_PASS_RAM (0x100000 + FAULT_PASS_PAGES * 4096)

/* ns per fault of one pass; negative if not each page came to exactly one fault. */
double fault_pass(struct vm *vm, bool write);
/* Take the pages away: the next access to each finds nothing. 0 or a negative errno. */
int fault_pass_forget(struct vm *vm);

#endif
