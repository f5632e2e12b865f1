/*
 * A domain of libvirt: what it is made of, its registers and its physical memory, to be compared
 * with a machine of ours or run as one. libvirt is optional: built without it, lv_open() says so.
 */
#ifndef UMBRA_VMM_LIBVIRT_LV_H
#define UMBRA_VMM_LIBVIRT_LV_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/types.h"
#include "vmm/errmsg.h"

struct lv;

/* Is libvirt built in? */
bool lv_built(void);

/*
 * Connect (read-only where that is enough) to uri (NULL: libvirt's default) and find the domain of
 * that name. 0; -ENOTSUP: built without libvirt; -ENOTCONN: no connection; -ENOENT: no such domain;
 * -ENOMEM; err is filled. control: it must be possible to stop it and to read it.
 */
int lv_open(const char *uri, const char *domain, bool control, struct lv **out, struct errmsg *err);
void lv_close(struct lv *d);

/* What a domain's XML says; strings are owned by the struct, NULL where it says nothing. */
struct lv_config {
    uint64_t ram; /* bytes */
    char *kernel, *initrd, *cmdline;
};

/* 0; -EINVAL: not a domain that can be run here (another architecture, memory of no sense); -EIO:
 * libvirt does not tell; -ENOMEM. */
int lv_config(struct lv *d, struct lv_config *out, struct errmsg *err);
void lv_config_free(struct lv_config *c);
/* The same of XML text, for those who have it. where: for messages. */
int lv_config_parse(const char *xml, const char *where, struct lv_config *out, struct errmsg *err);

/* Control registers of the first processor. */
struct lv_regs {
    uint32_t cr0, cr3, cr4;
    uint64_t efer;
};

/* Stop the domain, if it runs, so that what is read belongs together; lv_close() lets it go on. 0
 * or -EIO; -ENODEV: it is not running at all. */
int lv_hold(struct lv *d, struct errmsg *err);
/* 0; -ENOTSUP: this driver does not tell (only QEMU's does); -EIO. */
int lv_registers(struct lv *d, struct lv_regs *out, struct errmsg *err);
/* The same of QEMU's "info registers". 0 or -EINVAL. */
int lv_registers_parse(const char *text, struct lv_regs *out);
/* len bytes of physical memory at gpa, inside one page. 0 or -EIO (with d's message in err, which
 * may be NULL). */
int lv_read(struct lv *d, gpa_t gpa, void *buf, uint32_t len, struct errmsg *err);

#endif
