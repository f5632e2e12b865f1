/*
 * The kvm engine: guest code runs in compatibility mode at CPL 3 of a long-mode vCPU (docs/kvm.md).
 */
#ifndef UMBRA_VMM_KVM_KVM_H
#define UMBRA_VMM_KVM_KVM_H

#include "vmm/engine.h"
#include "vmm/kvm/kvm_host.h"

struct kvm_engine_opts {
    /* Run the guest's ring 0 here too, at IOPL 3 (exact only where the host honours that).
     * Otherwise can_run() is false for it. */
    bool native_ring0;
};

struct kvm_engine_stats {
    uint64_t runs;              /* KVM_RUN */
    uint64_t drains;            /* of them, to let the stub apply restrictions and nothing else */
    uint64_t drains_on_the_way; /* ... on the way to the guest */
    uint64_t io;                /* port I/O exits straight from guest code */
    uint64_t sregs;             /* entries that had to load segments */
};

/* env is copied. 0 or a negative errno with err filled; h may be closed afterwards. */
int kvm_engine_create(const struct kvm_host *h, const struct engine_env *env,
                      const struct kvm_engine_opts *opts, struct engine **out, struct errmsg *err);
bool kvm_engine_native_ring0(const struct engine *e);
void kvm_engine_get_stats(const struct engine *e, struct kvm_engine_stats *out);

/* Somebody else is about to use cpu->fpu: bring it up to date (one ioctl if the guest ran
 * meanwhile). The next run takes it back. 0 or a negative errno. */
int kvm_engine_fpu_fetch(struct engine *e);

/* What RDTSC gives in the guest, less what it gives here. */
uint64_t kvm_engine_tsc_offset(const struct engine *e);
/* Its rate; 0 if it is not known, or not the same always. */
uint32_t kvm_engine_tsc_khz(const struct engine *e);

#endif
