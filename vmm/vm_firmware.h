/*
 * What a PC's firmware leaves in memory for a kernel that is entered without one: the BIOS data
 * area, and in the last page below 1 MiB the tables of the MultiProcessor Specification and the few
 * bytes that old programs look for at the ROM's end.
 */
#ifndef UMBRA_VMM_VM_FIRMWARE_H
#define UMBRA_VMM_VM_FIRMWARE_H

#include "vmm/errmsg.h"

struct vm;

/* Before an image is loaded, which may lie over the data area. 0, or a negative errno with err
 * filled. */
int vm_firmware_leave(struct vm *vm, struct errmsg *err);

#endif
