/* See lv.h: Umbra built without libvirt. */
#include <errno.h>

#include "vmm/libvirt/lv.h"

bool lv_built(void)
{
    return false;
}

static int missing(struct errmsg *err)
{
    return err_set(
        err, -ENOTSUP,
        "this umbra was built without libvirt; install libvirt-dev and libxml2-dev, then "
        "build it again");
}

int lv_open(const char *uri, const char *domain, bool control, struct lv **out, struct errmsg *err)
{
    (void)uri;
    (void)domain;
    (void)control;
    *out = NULL;
    return missing(err);
}

void lv_close(struct lv *d)
{
    (void)d;
}

int lv_config(struct lv *d, struct lv_config *out, struct errmsg *err)
{
    (void)d;
    *out = (struct lv_config){0};
    return missing(err);
}

int lv_config_parse(const char *xml, const char *where, struct lv_config *out, struct errmsg *err)
{
    (void)xml;
    (void)where;
    *out = (struct lv_config){0};
    return missing(err);
}

void lv_config_free(struct lv_config *c)
{
    (void)c;
}

int lv_hold(struct lv *d, struct errmsg *err)
{
    (void)d;
    return missing(err);
}

int lv_registers(struct lv *d, struct lv_regs *out, struct errmsg *err)
{
    (void)d;
    *out = (struct lv_regs){0};
    return missing(err);
}

int lv_read(struct lv *d, gpa_t gpa, void *buf, uint32_t len, struct errmsg *err)
{
    (void)d;
    (void)gpa;
    (void)buf;
    (void)len;
    return err ? missing(err) : -ENOTSUP;
}
