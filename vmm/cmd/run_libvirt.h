/* umbra run --libvirt: a domain's definition in place of an image and options. */
#ifndef UMBRA_VMM_CMD_RUN_LIBVIRT_H
#define UMBRA_VMM_CMD_RUN_LIBVIRT_H

#include "vmm/libvirt/lv.h"
#include "vmm/load/image.h"
#include "vmm/vm.h"

struct run_libvirt {
    const char *uri;        /* --libvirt URI; NULL: not asked for */
    bool ram_given;         /* -m was: it stands */
    struct lv_config found; /* owned; image and modules point into it */
};

/*
 * o->path names a domain: fill o, its modules (room for IMAGE_MODULES_MAX) and ram from the domain,
 * where the command line has not said otherwise. UMBRA_EXIT_OK, or an exit code; the reason is on
 * stderr.
 */
int run_libvirt_take(struct run_libvirt *l, struct image_opts *o, const char **modules,
                     uint64_t *ram);
void run_libvirt_free(struct run_libvirt *l);

#endif
