/*
 * What CPUID tells a guest. It offers what the monitor's processors have and nothing else: an i686
 * with FPU, MMX and SSE2, named after no host.
 */
#ifndef UMBRA_VMM_CPU_CPUID_H
#define UMBRA_VMM_CPU_CPUID_H

#include "vmm/cpu/cpu.h"

/* CPUID leaf 1, EDX. */
enum cpuid_1_edx {
    CPUID_FPU = 1u << 0,
    CPUID_VME = 1u << 1,
    CPUID_DE = 1u << 2,
    CPUID_PSE = 1u << 3,
    CPUID_TSC = 1u << 4,
    CPUID_MSR = 1u << 5,
    CPUID_PAE = 1u << 6,
    CPUID_MCE = 1u << 7,
    CPUID_CX8 = 1u << 8,
    CPUID_APIC = 1u << 9,
    CPUID_SEP = 1u << 11,
    CPUID_MTRR = 1u << 12,
    CPUID_PGE = 1u << 13,
    CPUID_CMOV = 1u << 15,
    CPUID_PAT = 1u << 16,
    CPUID_PSE36 = 1u << 17,
    CPUID_CLFSH = 1u << 19,
    CPUID_MMX = 1u << 23,
    CPUID_FXSR = 1u << 24,
    CPUID_SSE = 1u << 25,
    CPUID_SSE2 = 1u << 26,
};
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_7_ECX_UMIP       (1u << 2)
#define CPUID_7_EBX_TSC_ADJUST (1u << 1)
#define CPUID_81_EDX_NX        (1u << 20)
#define CPUID_87_EDX_INVARIANT (1u << 8) /* the TSC's rate never changes */

/* What leaf 0x15 calls the core crystal, in Hz: the TSC is told as a multiple of it, and it is the
 * local APIC timer's clock before its divider, which a kernel that believes the leaf does not
 * measure any more. */
#define CPUID_CRYSTAL_HZ 1000000000u

/* What a machine may add to or take from the base. */
struct cpuid_policy {
    bool pae;         /* three-level paging */
    bool nx;          /* execute-disable; needs pae */
    bool umip;        /* CR4.UMIP */
    bool apic;        /* there is a local APIC */
    bool hypervisor;  /* leaf 1 says so, leaf 0x40000000 signs "UmbraUmbra" */
    uint32_t tsc_khz; /* at which the TSC counts, always; leaves 0x15 and 0x16 tell. 0: not known */
};

/* One answer: EAX, EBX, ECX, EDX. Leaves beyond the last are answered as the last basic one (SDM
 * vol. 2, CPUID). No state but the policy and the cpu's enable bits is read; c may be NULL. */
void cpuid_query(const struct cpuid_policy *p, const struct cpu *c, uint32_t leaf, uint32_t subleaf,
                 uint32_t out[4]);

#endif
