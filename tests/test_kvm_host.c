/*
 * A KVM that is not enough: for each thing that it may lack, what is said and what is left behind.
 * ioctl is wrapped (-Wl,--wrap), so that no KVM is needed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "vmm/kvm/kvm_host.h"

static struct {
    int api;
    int lacks; /* a capability that is not there; 0: none */
    int sync_regs;
    int cpuid_errno;
} fake;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list ap;

    cr_assert(fd >= 0);
    if (request == KVM_GET_API_VERSION)
        return fake.api;
    va_start(ap, request);
    if (request == KVM_CHECK_EXTENSION) {
        const int cap = va_arg(ap, int);
        va_end(ap);
        if (cap == fake.lacks)
            return 0;
        return cap == KVM_CAP_SYNC_REGS ? fake.sync_regs : 32;
    }
    struct kvm_cpuid2 *c = va_arg(ap, struct kvm_cpuid2 *);
    va_end(ap);
    cr_assert_eq(request, KVM_GET_SUPPORTED_CPUID);
    if (fake.cpuid_errno) {
        errno = fake.cpuid_errno;
        return -1;
    }
    c->entries[0] = (struct kvm_cpuid_entry2){.function = 0x80000001, .edx = 1u << 20};
    c->nent = 1;
    return 0;
}

static void setup(void)
{
    fake.api = KVM_API_VERSION;
    fake.lacks = 0;
    fake.sync_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    fake.cpuid_errno = 0;
}

TestSuite(kvm_host, .init = setup);

/* Refused with code and words; nothing is left open, and it is said what runs without KVM. */
static void refused(int code, const char *says)
{
    struct kvm_host h;
    struct errmsg err = {{0}};
    const int before = open("/dev/null", O_RDONLY);

    close(before);
    cr_expect_eq(kvm_host_open("/dev/null", &h, &err), code, "%s", says);
    cr_expect(strstr(err.text, "/dev/null: "), "%s", err.text);
    cr_expect(strstr(err.text, says), "%s: not \"%s\"", err.text, says);
    cr_expect_lt(h.fd, 0);
    const int after = open("/dev/null", O_RDONLY);
    cr_expect_eq(after, before, "a file was left open");
    close(after);
}

Test(kvm_host, one_that_has_all_is_taken)
{
    struct kvm_host h;
    struct errmsg err = {{0}};

    cr_assert_eq(kvm_host_open("/dev/null", &h, &err), 0, "%s", err.text);
    cr_assert_eq(h.api_version, KVM_API_VERSION);
    cr_assert(h.nx);
    cr_assert(!h.umip);
    kvm_host_close(&h);
    cr_assert_lt(h.fd, 0);
}

Test(kvm_host, each_lack_is_named_with_the_remedy)
{
    static const struct {
        int cap;
        const char *says;
    } cases[] = {
        {KVM_CAP_USER_MEMORY, "lacks KVM_CAP_USER_MEMORY"},
        {KVM_CAP_IMMEDIATE_EXIT, "lacks KVM_CAP_IMMEDIATE_EXIT"},
        {KVM_CAP_XSAVE, "lacks KVM_CAP_XSAVE"},
        {KVM_CAP_EXT_CPUID, "lacks KVM_CAP_EXT_CPUID"},
        {KVM_CAP_SYNC_REGS, "lacks KVM_CAP_SYNC_REGS"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake.lacks = cases[i].cap;
        refused(-ENOTSUP, cases[i].says);
        refused(-ENOTSUP, "--engine soft");
    }
}

Test(kvm_host, a_part_of_the_sync_registers_is_not_enough)
{
    fake.sync_regs = KVM_SYNC_X86_REGS;
    refused(-ENOTSUP, "KVM_CAP_SYNC_REGS");
    fake.sync_regs = -1; /* an error is not all bits */
    refused(-ENOTSUP, "KVM_CAP_SYNC_REGS");
}

Test(kvm_host, another_api_version_is_refused)
{
    fake.api = 11;
    refused(-ENOTSUP, "version 11, needed is 12");
    fake.api = -1;
    refused(-ENOTSUP, "is not KVM");
}

Test(kvm_host, cpuid_that_cannot_be_read_is_told)
{
    fake.cpuid_errno = E2BIG;
    refused(-E2BIG, "CPUID");
}
