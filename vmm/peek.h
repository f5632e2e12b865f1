/*
 * Reading guest memory from outside: no page is faulted in for it, no accessed bit is set, what is
 * swapped out is read where it is. (The one exception is a page that is just on its way out: it
 * stays in.) On the vCPU's thread (vm_call()), or when the machine has ended.
 */
#ifndef UMBRA_VMM_PEEK_H
#define UMBRA_VMM_PEEK_H

#include <stdint.h>

#include "mm/types.h"
#include "vmm/tables.h"

struct vm;

/* Guest-physical, of the space that the vCPU is in. 0; -EFAULT: there is no RAM at gpa + *done;
 * -EIO: a page's content cannot be read. *done (may be NULL) is how many bytes were read. */
int peek_physical(struct vm *vm, gpa_t gpa, void *buf, uint64_t len, uint64_t *done);
/* Linear, through the guest's tables as they stand in memory, whatever their rights. As above, and
 * -EFAULT where they map nothing. Does not wrap at 4 GiB. */
int peek_linear(struct vm *vm, uint32_t la, void *buf, uint64_t len, uint64_t *done);
/* The guest's tables for tables_walk(), as they stand in memory. */
void peek_tables(struct vm *vm, struct tables *out);

/* The mode that the processor would be in after a load of this CR3. 0; -ENOTSUP: paging is off;
 * -EFAULT, -EIO: PAE's four entries there cannot be read, or have reserved bits set. */
int peek_mode(struct vm *vm, uint32_t cr3, struct gmode *out);

#endif
