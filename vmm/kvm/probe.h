/*
 * What this host's KVM really does, found by running the instructions in question on a scratch
 * vCPU. No host is ever asked for its name.
 */
#ifndef UMBRA_VMM_KVM_PROBE_H
#define UMBRA_VMM_KVM_PROBE_H

#include "vmm/kvm/kvm_host.h"

#define PROBE_ROWS 16

/* One thing that was tried. */
struct kvm_finding {
    const char *what;
    bool native; /* the vCPU does it by itself, exactly */
    char how[48];
};

struct kvm_findings {
    struct kvm_finding row[PROBE_ROWS];
    unsigned rows;
    bool umip;
    bool cpuid_faults;
    bool tears; /* an instruction that faults in the middle of a store has stored a part: not sound
                 */
    bool ring0_exact;           /* guest ring 0 may run natively */
    char ring0_why[96];         /* what is missing if not */
    double kvm_mips, soft_mips; /* of a tight loop, entry included; 0: not measured */
    bool faster_than_soft;
    char speed_why[96];
};

/* Takes about 5 ms. 0, or a negative errno with err filled if not even the simplest guest runs. */
int kvm_probe(const struct kvm_host *h, struct kvm_findings *out, struct errmsg *err);

/* Does a vCPU use a 2 MiB entry of the shadow tables, and let go of it when it is split? 0, or a
 * negative errno with err filled: it could not be tried. */
int kvm_probe_large(const struct kvm_host *h, struct kvm_finding *out, struct errmsg *err);

#endif
