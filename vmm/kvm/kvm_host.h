/*
 * The host's KVM: is it there, may we use it, and does it have what the kvm engine needs?
 */
#ifndef UMBRA_VMM_KVM_KVM_HOST_H
#define UMBRA_VMM_KVM_KVM_HOST_H

#include <stdbool.h>

#include "vmm/errmsg.h"

struct kvm_host {
    int fd;          /* /dev/kvm */
    int api_version; /* 12 */
    int sync_regs;   /* KVM_SYNC_X86_* that it offers */
    int max_slots;
    bool nx;   /* guests may use no-execute */
    bool umip; /* SGDT and the like can be made to trap at CPL 3 */
};

/* path: NULL for /dev/kvm. 0, or -ENOENT, -EACCES, -ENOTSUP and others with a message that says
 * what is missing and what to do. */
int kvm_host_open(const char *path, struct kvm_host *h, struct errmsg *err);
void kvm_host_close(struct kvm_host *h);

#endif
