/* The command line of umbra run, taken and checked: what the machine is to be, and what is asked
 * about it. */
#ifndef UMBRA_VMM_CMD_RUN_ARGS_H
#define UMBRA_VMM_CMD_RUN_ARGS_H

#include <stdio.h>

#include "mm/failpoint.h"
#include "vmm/cmd/drive.h"
#include "vmm/cmd/run_libvirt.h"
#include "vmm/cmd/run_pages.h"
#include "vmm/load/image.h"
#include "vmm/load/real.h"
#include "vmm/value.h"
#include "vmm/vm.h"
#include "vmm/vm_bios.h"

struct run_args {
    struct vm_opts vm;
    struct image_opts image;
    struct vm_swap_opts swap;
    struct run_pages pages; /* --trace */
    struct drive_args drives;
    struct run_libvirt libvirt;
    struct vm_bios_opts bios; /* bios.bios NULL: there is an image instead */
    struct real_image real;   /* bios.real, if that is set */
    const char *modules[IMAGE_MODULES_MAX];
    bool stats, stats_json, pt, json, quiet, serial_given;
    struct value_range range;
    bool range_given;
    bool explains;
    uint64_t explain; /* linear address */
    struct failpoint fail;
    const char *output, *trace, *control, *screen, *serial;
    FILE *screen_file, *serial_file;
    const char *gdb; /* where to listen; NULL: nowhere */
    const char *debugcon;
};

/* Take the command line into a, which holds the defaults; strings point into argv. Opens no file
 * but an image that may need a BIOS. UMBRA_EXIT_OK, or an exit status after the message;
 * run_args_free in either case. */
int run_args_take(struct run_args *a, int argc, char **argv);
void run_args_free(struct run_args *a);

/* For "umbra help run". */
extern const char run_help[];

#endif
