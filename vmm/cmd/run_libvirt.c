/* See run_libvirt.h. */
#include <errno.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/run_libvirt.h"

static int code_of(int rc)
{
    switch (rc) {
    case -EINVAL: return UMBRA_EXIT_IMAGE; /* what the domain says */
    case -ENOENT: return UMBRA_EXIT_IMAGE;
    default: return UMBRA_EXIT_HOST;
    }
}

static int fetch(struct run_libvirt *l, const char *domain, struct errmsg *err)
{
    struct lv *d;
    int rc = lv_open(*l->uri ? l->uri : NULL, domain, false, &d, err);
    if (rc < 0)
        return rc;
    rc = lv_config(d, &l->found, err);
    lv_close(d);
    return rc;
}

int run_libvirt_take(struct run_libvirt *l, struct image_opts *o, const char **modules,
                     uint64_t *ram)
{
    const char *domain = o->path;
    const struct lv_config *c = &l->found;
    struct errmsg err;

    const int rc = fetch(l, domain, &err);
    if (rc < 0)
        return cmd_fail("run", code_of(rc), "%s", err.text);
    if (!c->kernel)
        return cmd_fail("run", UMBRA_EXIT_IMAGE,
                        "libvirt: domain '%s' has no <os><kernel>: a domain that boots from a disk "
                        "or the network cannot be taken over; give an image instead",
                        domain);
    if (c->initrd && strchr(c->initrd, ' '))
        return cmd_fail("run", UMBRA_EXIT_IMAGE,
                        "libvirt: domain '%s': the path of its <initrd> has a space, which -initrd "
                        "cannot take: '%s'",
                        domain, c->initrd);
    o->path = c->kernel;
    if (!o->append)
        o->append = c->cmdline;
    if (!o->module_count && c->initrd)
        modules[o->module_count++] = c->initrd;
    if (!l->ram_given)
        *ram = c->ram;
    return UMBRA_EXIT_OK;
}

void run_libvirt_free(struct run_libvirt *l)
{
    lv_config_free(&l->found);
}
