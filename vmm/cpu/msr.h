/*
 * Model-specific registers that every guest processor has, kept in struct cpu: the same for every
 * engine. SDM vol. 4, tables 2-2 and 2-20 (P6).
 */
#ifndef UMBRA_VMM_CPU_MSR_H
#define UMBRA_VMM_CPU_MSR_H

#include "vmm/cpu/cpu.h"

enum msr {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_EBL_CR_POWERON = 0x2a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_UCODE_WRITE = 0x79,
    MSR_UCODE_REV = 0x8b,
    MSR_FSB_FREQ = 0xcd,
    MSR_MTRR_CAP = 0xfe,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_EFER = 0xc0000080,
};

/* efer_allowed: bits of EFER that CPUID offers; 0: there is no EFER.
 * MSR_TSC and MSR_TSC_ADJUST are the caller's: only the engine knows the time. false: no such
 * register, or a value that it refuses: #GP(0). */
bool msr_read(const struct cpu *c, uint32_t msr, uint64_t efer_allowed, uint64_t *val);
bool msr_write(struct cpu *c, uint32_t msr, uint64_t efer_allowed, uint64_t val);
/* Would msr_read() know it? */
bool msr_known(uint32_t msr, uint64_t efer_allowed);

#endif
