/* umbra run --trace: the page trace from before the machine is made until it has ended. */
#ifndef UMBRA_VMM_CMD_RUN_PAGES_H
#define UMBRA_VMM_CMD_RUN_PAGES_H

#include "vmm/vm.h"

struct run_pages {
    const char *path; /* NULL: no trace */
    uint64_t size;    /* bytes; 0: the default */
};

/* Make the file, into o->ring. 0, or an exit status after the message. */
int run_pages_open(const struct run_pages *p, struct vm_opts *o);
/* The machine is there: say in the trace what it is. */
void run_pages_begin(struct vm *vm, const struct image_opts *image);
/* The machine has ended with an exit status. */
void run_pages_end(struct vm *vm, int status);

#endif
