/*
 * What a machine has done, with the counters of all its parts: for --stats and the control socket.
 */
#ifndef UMBRA_VMM_VM_REPORT_H
#define UMBRA_VMM_VM_REPORT_H

#include <stdbool.h>
#include <stdio.h>

struct vm;

/* On the vCPU's thread, or when vm_run() is over. JSON is one line. */
void vm_report_stats(struct vm *vm, bool json, FILE *out);

#endif
