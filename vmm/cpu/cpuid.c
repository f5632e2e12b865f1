/* The guest's CPUID. */
#include <string.h>

#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/msr.h"

/* Family 6, model 13, stepping 8: an i686 whose feature set ends where ours does, so that kernels
 * apply neither the workarounds of older models nor the registers of newer ones. */
#define SIGNATURE 0x6d8u

#define BASE_FEATURES                                                                              \
    (CPUID_FPU | CPUID_DE | CPUID_PSE | CPUID_TSC | CPUID_MSR | CPUID_CX8 | CPUID_SEP |            \
     CPUID_PGE | CPUID_CMOV | CPUID_PAT | CPUID_CLFSH | CPUID_MMX | CPUID_FXSR | CPUID_SSE |       \
     CPUID_SSE2)

#define BRAND            "Umbra"
#define EXT_LAST         0x80000007u
#define HYPERVISOR_LEAF  0x40000000u
#define APIC_BASE_ENABLE (1u << 11)

static void text(uint32_t *out, const char *s, size_t n)
{
    memcpy(out, s, n);
}

static void leaf_1(const struct cpuid_policy *p, const struct cpu *c, uint32_t out[4])
{
    out[0] = SIGNATURE;
    out[1] = 8u << 8; /* CLFLUSH line of 64 bytes */
    out[2] = p->hypervisor ? CPUID_1_ECX_HYPERVISOR : 0;
    out[3] = BASE_FEATURES;
    if (p->pae)
        out[3] |= CPUID_PAE;
    /* SDM vol. 3, 10.4.3: the flag follows the enable bit. */
    if (p->apic && (!c || (c->apic_base & APIC_BASE_ENABLE)))
        out[3] |= CPUID_APIC;
}

static uint32_t last_basic(const struct cpuid_policy *p)
{
    return p->tsc_khz ? 0x16 : p->umip ? 7 : 2;
}

/* The TSC is EBX / EAX crystals. Linux computes crystal in kHz * EBX / EAX in 32 bits, so EBX must
 * stay small: of the fractions that it allows, the one that comes nearest. */
static void leaf_15(const struct cpuid_policy *p, uint32_t out[4])
{
    const uint64_t crystal = CPUID_CRYSTAL_HZ / 1000, most = UINT32_MAX / crystal;
    uint64_t best = UINT64_MAX;
    for (uint64_t d = 1; d <= 1000; d++) {
        const uint64_t n = (p->tsc_khz * d + crystal / 2) / crystal, told = crystal * n / d;
        const uint64_t off = told > p->tsc_khz ? told - p->tsc_khz : p->tsc_khz - told;
        if (n == 0 || n > most || off >= best)
            continue;
        best = off;
        out[0] = (uint32_t)d;
        out[1] = (uint32_t)n;
    }
    out[2] = CPUID_CRYSTAL_HZ;
}

static void basic(const struct cpuid_policy *p, const struct cpu *c, uint32_t leaf,
                  uint32_t subleaf, uint32_t out[4])
{
    switch (leaf) {
    case 0:
        out[0] = last_basic(p);
        text(&out[1], "Genu", 4);
        text(&out[3], "ineI", 4);
        text(&out[2], "ntel", 4);
        break;
    case 1: leaf_1(p, c, out); break;
    case 2: out[0] = 1; break; /* one call, no cache described */
    case 7:
        if (subleaf == 0 && p->umip)
            out[2] = CPUID_7_ECX_UMIP;
        /* What a kernel wants to be sure that nobody sets this TSC behind its back: it checks it
         * against a slower clock otherwise, one that loses ticks when the host is busy. */
        if (subleaf == 0 && p->tsc_khz)
            out[1] = CPUID_7_EBX_TSC_ADJUST;
        break;
    case 0x15: leaf_15(p, out); break;
    case 0x16: /* base, maximum and bus frequency, MHz */
        out[0] = out[1] = p->tsc_khz / 1000;
        out[2] = CPUID_CRYSTAL_HZ / 1000000;
        break;
    default: break;
    }
}

static void extended(const struct cpuid_policy *p, uint32_t leaf, uint32_t out[4])
{
    static const char brand[48] = BRAND;

    if (leaf == 0x80000000u)
        out[0] = EXT_LAST;
    else if (leaf == 0x80000001u)
        out[3] = p->pae && p->nx ? CPUID_81_EDX_NX : 0;
    else if (leaf == 0x80000007u)
        out[3] = p->tsc_khz ? CPUID_87_EDX_INVARIANT : 0;
    else if (leaf <= 0x80000004u)
        memcpy(out, brand + 16 * (leaf - 0x80000002u), 16);
}

void cpuid_query(const struct cpuid_policy *p, const struct cpu *c, uint32_t leaf, uint32_t subleaf,
                 uint32_t out[4])
{
    const uint32_t last = last_basic(p);

    memset(out, 0, 4 * sizeof *out);
    if (p->hypervisor && leaf == HYPERVISOR_LEAF) {
        out[0] = HYPERVISOR_LEAF;
        memcpy(&out[1], "UmbraUmbra\0", 12);
    } else if (leaf >= 0x80000000u && leaf <= EXT_LAST) {
        extended(p, leaf, out);
    } else {
        basic(p, c, leaf <= last ? leaf : last, subleaf, out);
    }
}
