/* See kvm_host.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/kvm/kvm_host.h"

static const struct {
    int cap;
    const char *name;
    const char *why;
} needs[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "guest memory is memory of the monitor"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "a running guest must be stoppable"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE", "MXCSR must move between the CPUs"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", "the stub needs long mode"},
};

static int open_error(const char *path, struct errmsg *err)
{
    const int e = errno;
    if (e == ENOENT || e == ENODEV || e == ENXIO)
        return err_set(err, -ENOENT,
                       "%s: no KVM on this host; load the module kvm-intel or kvm-amd, enable "
                       "virtualization in the firmware, or use --engine soft",
                       path);
    if (e == EACCES || e == EPERM)
        return err_set(err, -EACCES,
                       "%s: permission denied; join the group kvm ('usermod -aG kvm USER', log in "
                       "again), run as root, or use --engine soft",
                       path);
    return err_set(err, -e, "%s: cannot be opened: %s; use --engine soft", path, strerror(e));
}

/* Does the list of what guests may be told of offer NX and UMIP? */
static int read_cpuid(struct kvm_host *h)
{
    const unsigned n = 256;
    struct kvm_cpuid2 *c = calloc(1, sizeof *c + n * sizeof c->entries[0]);
    if (!c)
        return -ENOMEM;
    c->nent = n;
    if (ioctl(h->fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
        free(c);
        return -errno;
    }
    for (unsigned i = 0; i < c->nent; i++) {
        if (c->entries[i].function == 0x80000001)
            h->nx = (c->entries[i].edx & (1u << 20)) != 0;
        if (c->entries[i].function == 7 && c->entries[i].index == 0)
            h->umip = (c->entries[i].ecx & (1u << 2)) != 0;
    }
    free(c);
    return 0;
}

int kvm_host_open(const char *path, struct kvm_host *h, struct errmsg *err)
{
    const int regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;

    if (!path)
        path = "/dev/kvm";
    *h = (struct kvm_host){.fd = open(path, O_RDWR | O_CLOEXEC)};
    if (h->fd < 0)
        return open_error(path, err);
    h->api_version = ioctl(h->fd, KVM_GET_API_VERSION, 0);
    if (h->api_version != KVM_API_VERSION) {
        const int got = h->api_version;
        kvm_host_close(h);
        if (got < 0)
            return err_set(err, -ENOTSUP, "%s: is not KVM; use --engine soft", path);
        return err_set(err, -ENOTSUP,
                       "%s: KVM API version %d, needed is %d; use a Linux of 2.6.22 or later, or "
                       "--engine soft",
                       path, got, KVM_API_VERSION);
    }
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (ioctl(h->fd, KVM_CHECK_EXTENSION, needs[i].cap) <= 0) {
            kvm_host_close(h);
            return err_set(err, -ENOTSUP,
                           "%s: this KVM lacks %s (%s); use a newer host kernel or --engine soft",
                           path, needs[i].name, needs[i].why);
        }
    h->sync_regs = ioctl(h->fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    if (h->sync_regs < 0 || (h->sync_regs & regs) != regs) {
        kvm_host_close(h);
        return err_set(err, -ENOTSUP,
                       "%s: this KVM lacks KVM_CAP_SYNC_REGS (one trap must be one system call); "
                       "use a host kernel of 4.17 or later, or --engine soft",
                       path);
    }
    h->max_slots = ioctl(h->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    const int rc = read_cpuid(h);
    if (rc < 0) {
        kvm_host_close(h);
        return err_set(err, rc, "%s: cannot read the supported CPUID: %s", path, strerror(-rc));
    }
    return 0;
}

void kvm_host_close(struct kvm_host *h)
{
    if (h->fd >= 0)
        close(h->fd);
    h->fd = -1;
}
