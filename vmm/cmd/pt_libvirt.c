/* umbra pt save --libvirt: the page tables of a domain of libvirt's, as a dump to compare with. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/pt_words.h"
#include "vmm/libvirt/lv.h"
#include "vmm/ptdump.h"

/* Guest-physical memory of the domain, for ptdump_make(). */
struct source {
    struct lv *domain;
    uint64_t ram;       /* bytes; what lies above is no memory */
    struct errmsg *err; /* of the read that failed */
};

static int read_domain(void *ctx, gpa_t gpa, void *buf, uint32_t len)
{
    const struct source *s = ctx;
    if (gpa >= s->ram || len > s->ram - gpa)
        return -EFAULT;
    return lv_read(s->domain, gpa, buf, len, s->err);
}

static int make(const struct pt_args *a, void **bytes, size_t *len, struct errmsg *err)
{
    struct source s = {.err = err};
    struct lv_config config;
    struct lv_regs regs;
    struct ptdump_info info = {.time = (uint64_t)time(NULL)};

    int rc = lv_open(*a->libvirt ? a->libvirt : NULL, a->word[1], true, &s.domain, err);
    if (rc < 0)
        return rc;
    rc = lv_config(s.domain, &config, err);
    if (!rc) {
        s.ram = info.ram = config.ram;
        lv_config_free(&config);
        rc = lv_hold(s.domain, err);
    }
    if (!rc)
        rc = lv_registers(s.domain, &regs, err);
    if (!rc) {
        info.cr0 = regs.cr0;
        info.cr3 = regs.cr3;
        info.cr4 = regs.cr4;
        info.efer = regs.efer;
        snprintf(info.source, sizeof info.source, "libvirt %.40s", a->word[1]);
        rc = ptdump_make(&info, read_domain, &s, NULL, 0, bytes, len, err);
    }
    lv_close(s.domain);
    return rc;
}

int pt_save_libvirt(const struct pt_args *a)
{
    void *bytes = NULL;
    size_t len = 0;
    struct errmsg err;

    if (a->words != 3)
        return cmd_usage("pt", "save --libvirt: give the domain and the file: save DOMAIN FILE");
    int rc = make(a, &bytes, &len, &err);
    if (rc < 0)
        return cmd_fail("pt", rc == -ENOENT || rc == -EINVAL ? UMBRA_EXIT_IMAGE : UMBRA_EXIT_HOST,
                        "save: %s", err.text);
    rc = ptdump_save(a->word[2], bytes, len, &err);
    free(bytes);
    if (rc < 0)
        return cmd_fail("pt", UMBRA_EXIT_HOST, "save: %s", err.text);
    printf("%s: page tables of domain %s\n", a->word[2], a->word[1]);
    return UMBRA_EXIT_OK;
}
