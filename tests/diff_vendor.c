/* See diff_case.h: what the soft CPU does as AMD processors do, where manuals leave it open. */
#include <cpuid.h>
#include <string.h>

#include "tests/diff_case.h"
#include "vmm/cpu/regs.h"

static bool host_is_amd(void)
{
    uint32_t a, b, c, d;
    __cpuid(0, a, b, c, d);
    /* "AuthenticAMD", and Hygon's of the same design */
    return (b == 0x68747541 && d == 0x69746e65) || (b == 0x6f677948 && d == 0x6e65476e);
}

/* Flags that the manual leaves undefined and that are computed here, as AMD has them; all other
 * undefined flags come from the host itself. OPEN: more than flags may differ. */
#define OPEN UINT32_MAX
static const struct {
    ZydisMnemonic m;
    uint32_t flags;
} measured[] = {
    {ZYDIS_MNEMONIC_AAA, FL_OF | FL_SF | FL_ZF | FL_PF},
    {ZYDIS_MNEMONIC_AAS, FL_OF | FL_SF | FL_ZF | FL_PF},
    {ZYDIS_MNEMONIC_DAA, FL_OF},
    {ZYDIS_MNEMONIC_DAS, FL_OF},
    {ZYDIS_MNEMONIC_AAD, FL_OF | FL_AF | FL_CF},
    {ZYDIS_MNEMONIC_AAM, FL_OF | FL_AF | FL_CF},
    {ZYDIS_MNEMONIC_LOOPE, OPEN}, /* under a repeat prefix */
    {ZYDIS_MNEMONIC_LOOPNE, OPEN},
    {ZYDIS_MNEMONIC_INSB, OPEN}, /* rights checked with a count of 0 */
    {ZYDIS_MNEMONIC_INSW, OPEN},
    {ZYDIS_MNEMONIC_INSD, OPEN},
    {ZYDIS_MNEMONIC_OUTSB, OPEN},
    {ZYDIS_MNEMONIC_OUTSW, OPEN},
    {ZYDIS_MNEMONIC_OUTSD, OPEN},
    {ZYDIS_MNEMONIC_MASKMOVQ, OPEN}, /* masked bytes checked, MMX state entered before a fault */
    {ZYDIS_MNEMONIC_MASKMOVDQU, OPEN},
    {ZYDIS_MNEMONIC_CVTPS2PI, OPEN}, /* MMX state entered before an exception */
    {ZYDIS_MNEMONIC_CVTTPS2PI, OPEN},
    {ZYDIS_MNEMONIC_CVTPD2PI, OPEN},
    {ZYDIS_MNEMONIC_CVTTPD2PI, OPEN},
    {ZYDIS_MNEMONIC_CVTPI2PS, OPEN},
    {ZYDIS_MNEMONIC_CVTPI2PD, OPEN},
    {ZYDIS_MNEMONIC_FXSAVE, OPEN}, /* pointers only while an exception is pending */
    {ZYDIS_MNEMONIC_FXRSTOR, OPEN},
    {ZYDIS_MNEMONIC_FNSAVE, OPEN}, /* which instructions the pointers follow */
    {ZYDIS_MNEMONIC_FNSTENV, OPEN},
    {ZYDIS_MNEMONIC_UD0, OPEN}, /* what of an undefined instruction is fetched */
    {ZYDIS_MNEMONIC_UD1, OPEN},
    {ZYDIS_MNEMONIC_INVALID, OPEN},
};

uint32_t diff_vendor_flags(const struct diff_case *c)
{
    static int amd = -1;
    uint32_t flags = 0;
    if (amd < 0)
        amd = host_is_amd();
    if (amd)
        return 0;
    for (unsigned k = 0; k < c->n; k++) {
        const ZydisMnemonic m = diff_mnemonic(c, k);
        for (size_t n = 0; n < sizeof measured / sizeof *measured; n++)
            if (measured[n].m == m)
                flags |= measured[n].flags;
    }
    return flags;
}
