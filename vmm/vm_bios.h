/*
 * A PC's firmware: a BIOS that starts the machine from a disk, and the video BIOS beside it. The
 * machine looks as a PC with an ISA bus does to it: its 128 KiB below 1 MiB are memory that it may
 * write, and the whole of it lies below 4 GiB too, where the processor starts.
 */
#ifndef UMBRA_VMM_VM_BIOS_H
#define UMBRA_VMM_VM_BIOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/dev/fwcfg.h"
#include "vmm/dev/fwcfg_dma.h"
#include "vmm/errmsg.h"
#include "vmm/load/real.h"

struct vm;

#define BIOS_DEFAULT    "/usr/share/seabios/bios.bin"
#define VGABIOS_DEFAULT "/usr/share/seabios/vgabios-isavga.bin"

struct vm_bios_opts {
    const char *bios;    /* a file of 64 KiB to 16 MiB, a multiple of 64 KiB */
    const char *vgabios; /* a file of at most 64 KiB; NULL: none */
    bool serial_text;    /* what it shows on the screen goes to COM1 too */
    /* Started by its 16-bit protocol before any drive is tried; NULL: none. Stays the caller's and
     * outlives the machine. */
    const struct real_image *real;
    char order[4]; /* drive letters as -boot has them: a floppy, c disk, d CD-ROM */
};

/* Contents of the two files, as they are copied into the machine at each reset. */
struct vm_bios {
    uint8_t *bios, *vgabios;
    size_t bios_len, vgabios_len;
    struct fwcfg fwcfg;
    struct fwcfg_dma dma;
};

/* Install the firmware and bring the processor to its reset state. The machine must not be running.
 * 0, or a negative errno with err filled: -ENOEXEC: not the files they should be; -ENOENT and the
 * like. */
int vm_bios_install(struct vm *vm, const struct vm_bios_opts *o, struct errmsg *err);
/* Claim fw_cfg's ports and say there how many processors and how much RAM the machine has: for
 * firmware, and for images that ask like it. 0, or fwcfg_add's errors. */
int vm_bios_tell_size(struct vm *vm);
void vm_bios_destroy(struct vm *vm);

/* Does a reset start the firmware again, rather than end the machine? */
bool vm_bios_restarts(const struct vm *vm);
/* Reset the machine between two instructions: processor, devices, firmware in memory. Its RAM and
 * CMOS stay. Ends the machine where that cannot be. */
void vm_bios_reset(struct vm *vm);

#endif
