/* Model-specific registers kept in struct cpu. */
#include "vmm/cpu/msr.h"

/* APIC_BASE: BSP (read-only), enable, and a base of 36 address bits. */
#define APIC_BSP       (1u << 8)
#define APIC_WRITABLE  0xffffff800ull
#define MISC_FASTSTR   1ull
#define MTRR_DEF_VALID 0xcffull

bool msr_known(uint32_t msr, uint64_t efer_allowed)
{
    switch (msr) {
    case MSR_PLATFORM_ID:
    case MSR_APIC_BASE:
    case MSR_EBL_CR_POWERON:
    case MSR_UCODE_WRITE:
    case MSR_UCODE_REV:
    case MSR_FSB_FREQ:
    case MSR_MTRR_CAP:
    case MSR_SYSENTER_CS:
    case MSR_SYSENTER_ESP:
    case MSR_SYSENTER_EIP:
    case MSR_MISC_ENABLE:
    case MSR_PAT:
    case MSR_MTRR_DEF_TYPE: return true;
    case MSR_EFER: return efer_allowed != 0;
    default: return false;
    }
}

bool msr_read(const struct cpu *c, uint32_t msr, uint64_t efer_allowed, uint64_t *val)
{
    if (!msr_known(msr, efer_allowed))
        return false;
    switch (msr) {
    case MSR_APIC_BASE: *val = c->apic_base; break;
    case MSR_SYSENTER_CS: *val = c->sysenter_cs; break;
    case MSR_SYSENTER_ESP: *val = c->sysenter_esp; break;
    case MSR_SYSENTER_EIP: *val = c->sysenter_eip; break;
    case MSR_MISC_ENABLE: *val = c->misc_enable; break;
    case MSR_PAT: *val = c->pat; break;
    case MSR_MTRR_DEF_TYPE: *val = c->mtrr_def_type; break;
    case MSR_EFER: *val = c->efer; break;
    case MSR_UCODE_WRITE: return false; /* write-only */
    default: *val = 0; break;           /* nothing strapped, no variable or fixed MTRRs */
    }
    return true;
}

/* Memory types UC, WC, WT, WP, WB (SDM vol. 3, table 11-2) and, for PAT, UC- (7). */
static bool memory_type(uint64_t t, bool pat)
{
    return t == 0 || t == 1 || (t >= 4 && t <= 6) || (pat && t == 7);
}

static bool pat_valid(uint64_t v)
{
    for (unsigned k = 0; k < 8; k++)
        if (!memory_type(v >> 8 * k & 0xff, true))
            return false;
    return true;
}

bool msr_write(struct cpu *c, uint32_t msr, uint64_t efer_allowed, uint64_t val)
{
    if (!msr_known(msr, efer_allowed))
        return false;
    switch (msr) {
    case MSR_APIC_BASE:
        if (val & ~(APIC_WRITABLE | APIC_BSP))
            return false;
        c->apic_base = (val & ~(uint64_t)APIC_BSP) | (c->apic_base & APIC_BSP);
        return true;
    case MSR_SYSENTER_CS: c->sysenter_cs = (uint32_t)val; return true;
    case MSR_SYSENTER_ESP: c->sysenter_esp = (uint32_t)val; return true;
    case MSR_SYSENTER_EIP: c->sysenter_eip = (uint32_t)val; return true;
    case MSR_MISC_ENABLE: c->misc_enable = val & MISC_FASTSTR; return true;
    case MSR_PAT:
        if (!pat_valid(val))
            return false;
        c->pat = val;
        return true;
    case MSR_MTRR_DEF_TYPE:
        if ((val & ~MTRR_DEF_VALID) || !memory_type(val & 0xff, false))
            return false;
        c->mtrr_def_type = val;
        return true;
    case MSR_EFER:
        if (val & ~efer_allowed)
            return false;
        c->efer = val;
        return true;
    case MSR_UCODE_WRITE:
    case MSR_UCODE_REV:
    case MSR_EBL_CR_POWERON: return true; /* taken, without effect */
    default: return false;
    }
}
