/*
 * The memory of a PC between 640 KiB and 1 MiB, and other ROMs: what is RAM, what a device's, what
 * may be read and executed but not written.
 *
 *   00000-9FFFF  RAM
 *   A0000-BFFFF  the MMIO bus: display memory
 *   C0000-FFFFF  page by page: nothing (the bus floats), or memory that a firmware was put into; it
 * is read-only while it is locked, and RAM while it is not ("shadow RAM") 100000-...   RAM up to
 * its end, then the MMIO bus
 */
#ifndef UMBRA_VMM_VM_ROM_H
#define UMBRA_VMM_VM_ROM_H

#include <stddef.h>

#include "mm/types.h"
#include "vmm/errmsg.h"

struct vm;

#define ROM_FIRST 0xc0000u /* memory for firmware lies here ... */
#define ROM_LAST  0xfffffu /* ... to here */
#define ROM_BANKS 8        /* ROMs outside of it, most */

struct vm_rom {
    uint64_t there;  /* by page of ROM_FIRST..ROM_LAST: there is memory */
    uint64_t locked; /* ... which the guest cannot write */
    struct rom_bank {
        uint8_t *bytes;
        size_t len;
    } bank[ROM_BANKS];
    unsigned banks;
};

/* Back the RAM that the machine has below ROM_FIRST and above ROM_LAST. 0 or mm's error. */
int vm_rom_map_ram(struct vm *vm);
void vm_rom_destroy(struct vm *vm);

/*
 * Install len bytes as a ROM at first: readable, executable, the guest's writes are ignored.
 * Inside ROM_FIRST..ROM_LAST it gets memory of its own (whole pages; a page that holds another ROM
 * already is shared with it), which is as fast as RAM and can be unlocked. Beyond the end of RAM, a
 * multiple of 4 KiB, it is a copy on the MMIO bus, fetched byte by byte: meant for the few
 * instructions at the reset vector. bytes stay the caller's.
 * 0; -EINVAL: it lies elsewhere; -EEXIST: a device is there; -ENOSPC; -ENOMEM.
 */
int vm_rom_add(struct vm *vm, gpa_t first, const void *bytes, size_t len, struct errmsg *err);

/* Memory without content (zeros) for whole pages of ROM_FIRST..ROM_LAST, locked. Errors as above.
 */
int vm_rom_back(struct vm *vm, gpa_t first, size_t len, struct errmsg *err);

/* Let the guest write the pages of first .. first+len-1 that are inside ROM_FIRST..ROM_LAST and
 * have memory, or no longer. */
void vm_rom_lock(struct vm *vm, gpa_t first, size_t len, bool locked);

/* Is there memory at gpa that reads give but writes do not change? */
bool vm_rom_locked(const struct vm *vm, gpa_t gpa);

#endif
