/*
 * A machine that may hold more memory than its frame pool: the store that pages go to (a swap file,
 * a compressed pool, or both) and the work that mm's background threads would do.
 *
 * That work is done on the vCPU's own thread, between the trap of one guest instruction and the
 * next: a machine has no thread that takes its pages away. So mappers are told of changes only
 * where nobody is walking their tables, and what a guest sees does not depend on timing.
 */
#ifndef UMBRA_VMM_VM_SWAP_H
#define UMBRA_VMM_VM_SWAP_H

#include <stddef.h>
#include <stdint.h>

#include "mm/store.h"
#include "mm/types.h"
#include "vmm/errmsg.h"

struct vm;
struct failpoint;

#define VM_SHARE_DEFAULT 4     /* pages that the sharing scanner looks at after each trap */
#define VM_SHARE_MAX     65536 /* ... at most */

struct vm_swap_opts {
    const char *file;       /* made by umbra mkswap; NULL: none */
    struct failpoint *fail; /* makes its I/O fail; NULL: never */
    uint64_t zpool;         /* bytes of compressed pool; 0: none. Without file it must not be 0 */
};

/* Open the store of a machine to come; give it to vm_create in vm_opts.store and close it after
 * vm_destroy. 0; -EINVAL: the compressed pool's size; others as area_open. */
int vm_swap_open(const struct vm_swap_opts *o, struct store **out, struct errmsg *err);

/* What of a machine's swapping is not the memory manager's. */
struct vm_swap {
    uint32_t rest;  /* traps until reclaim is tried again after it got nowhere */
    uint32_t pause; /* ... and how long the next such rest will be */
};

/* Let pages of vm->pool go to vm->opts.store, if there is one. 0 or negative. */
int vm_swap_attach(struct vm *vm, struct errmsg *err);
/* Between two guest instructions: bring free frames back to the high watermark, write the
 * compressed pool back where it is nearly full, look for pages to share. */
void vm_swap_balance(struct vm *vm);

/* Where a page's content is that cannot be read back, in words: "slot 7 of swap area /x (on disk):
 * ...". Written to buf, NUL-terminated; returns buf. */
const char *vm_swap_where(struct vm *vm, gfn_t gfn, char *buf, size_t len);
/* One word for each state of a slot. */
const char *vm_swap_word(enum store_where w);

#endif
