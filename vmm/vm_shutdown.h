/*
 * The processor's shutdown: what comes of a fault while a double fault is delivered. A machine with
 * a BIOS is reset then, as a PC's board does it; one without ends.
 */
#ifndef UMBRA_VMM_VM_SHUTDOWN_H
#define UMBRA_VMM_VM_SHUTDOWN_H

#include <stdint.h>

struct vm;

struct vm_shutdown {
    uint64_t count; /* resets for that reason */
    char why[256];  /* the last */
};

/* The processor has shut down; why, in words. On the vCPU's thread. */
void vm_shutdown(struct vm *vm, const char *why);

#endif
