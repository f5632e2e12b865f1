/*
 * One small function for each SSE and MMX instruction: operands come to fixed host registers, the
 * host's own instruction runs, the result goes back. So no code is generated at run time.
 */
#include "vmm/soft/soft_fpu.h"

/* d <- d OP s in XMM registers. */
#define DEF_X(name, size, kind)                                                                    \
    static uint32_t x_##name(void *d, const void *s)                                               \
    {                                                                                              \
        __asm__ volatile("movups (%0), %%xmm0; movups (%1), %%xmm1\n\t" #name                      \
                         " %%xmm1, %%xmm0\n\tmovups %%xmm0, (%0)"                                  \
                         :                                                                         \
                         : "r"(d), "r"(s)                                                          \
                         : "xmm0", "xmm1", "memory");                                              \
        return 0;                                                                                  \
    }
/* d <- d OP s in MMX registers. */
#define DEF_M(name, size)                                                                          \
    static uint32_t m_##name(void *d, const void *s)                                               \
    {                                                                                              \
        __asm__ volatile("movq (%0), %%mm0; movq (%1), %%mm1\n\t" #name                            \
                         " %%mm1, %%mm0\n\tmovq %%mm0, (%0); emms"                                 \
                         :                                                                         \
                         : "r"(d), "r"(s)                                                          \
                         : "mm0", "mm1", "memory");                                                \
        return 0;                                                                                  \
    }
#define DEF_COMI(name, size)                                                                       \
    static uint32_t x_##name(void *d, const void *s)                                               \
    {                                                                                              \
        uint64_t fl;                                                                               \
        __asm__ volatile("movups (%1), %%xmm0; movups (%2), %%xmm1\n\t" #name                      \
                         " %%xmm1, %%xmm0\n\t"                                                     \
                         "lahf; setob %%al; movzwl %%ax, %%eax"                                    \
                         : "=&a"(fl)                                                               \
                         : "r"(d), "r"(s)                                                          \
                         : "xmm0", "xmm1", "cc");                                                  \
        return (uint32_t)((fl >> 8 & 0xff) | ((fl & 1) << 11));                                    \
    }
#define DEF_TO_R(name, size)                                                                       \
    static uint32_t x_##name(void *d, const void *s)                                               \
    {                                                                                              \
        uint32_t r;                                                                                \
        (void)d;                                                                                   \
        __asm__ volatile("movups (%1), %%xmm1\n\t" #name " %%xmm1, %0"                             \
                         : "=r"(r)                                                                 \
                         : "r"(s)                                                                  \
                         : "xmm1");                                                                \
        return r;                                                                                  \
    }
#define DEF_FROM_R(name, insn)                                                                     \
    static uint32_t x_##name(void *d, const void *s)                                               \
    {                                                                                              \
        __asm__ volatile("movups (%0), %%xmm0\n\t" insn " (%1), %%xmm0\n\tmovups %%xmm0, (%0)"     \
                         :                                                                         \
                         : "r"(d), "r"(s)                                                          \
                         : "xmm0", "memory");                                                      \
        return 0;                                                                                  \
    }
#define DEF_FROM_MM(name)                                                                          \
    static uint32_t x_##name(void *d, const void *s)                                               \
    {                                                                                              \
        __asm__ volatile("movups (%0), %%xmm0; movq (%1), %%mm0\n\t" #name                         \
                         " %%mm0, %%xmm0\n\tmovups %%xmm0, (%0); emms"                             \
                         :                                                                         \
                         : "r"(d), "r"(s)                                                          \
                         : "xmm0", "mm0", "memory");                                               \
        return 0;                                                                                  \
    }
#define DEF_TO_MM(name)                                                                            \
    static uint32_t x_##name(void *d, const void *s)                                               \
    {                                                                                              \
        __asm__ volatile("movups (%1), %%xmm1\n\t" #name                                           \
                         " %%xmm1, %%mm0\n\tmovq %%mm0, (%0); emms"                                \
                         :                                                                         \
                         : "r"(d), "r"(s)                                                          \
                         : "xmm1", "mm0", "memory");                                               \
        return 0;                                                                                  \
    }

/* clang-format off */
/* X(name, MNEMONIC, bytes of the source in memory, kind) */
#define XMM_LIST(X) \
    X(addps, ADDPS, 16, FP) X(addss, ADDSS, 4, FP) X(addpd, ADDPD, 16, FP) X(addsd, ADDSD, 8, FP) \
    X(subps, SUBPS, 16, FP) X(subss, SUBSS, 4, FP) X(subpd, SUBPD, 16, FP) X(subsd, SUBSD, 8, FP) \
    X(mulps, MULPS, 16, FP) X(mulss, MULSS, 4, FP) X(mulpd, MULPD, 16, FP) X(mulsd, MULSD, 8, FP) \
    X(divps, DIVPS, 16, FP) X(divss, DIVSS, 4, FP) X(divpd, DIVPD, 16, FP) X(divsd, DIVSD, 8, FP) \
    X(minps, MINPS, 16, FP) X(minss, MINSS, 4, FP) X(minpd, MINPD, 16, FP) X(minsd, MINSD, 8, FP) \
    X(maxps, MAXPS, 16, FP) X(maxss, MAXSS, 4, FP) X(maxpd, MAXPD, 16, FP) X(maxsd, MAXSD, 8, FP) \
    X(sqrtps, SQRTPS, 16, FP) X(sqrtss, SQRTSS, 4, FP) X(sqrtpd, SQRTPD, 16, FP) X(sqrtsd, SQRTSD, 8, FP) \
    X(rcpps, RCPPS, 16, FP) X(rcpss, RCPSS, 4, FP) X(rsqrtps, RSQRTPS, 16, FP) X(rsqrtss, RSQRTSS, 4, FP) \
    X(cvtdq2ps, CVTDQ2PS, 16, FP) X(cvtdq2pd, CVTDQ2PD, 8, FP) \
    X(cvtpd2dq, CVTPD2DQ, 16, FP) X(cvttpd2dq, CVTTPD2DQ, 16, FP) X(cvtpd2ps, CVTPD2PS, 16, FP) \
    X(cvtps2dq, CVTPS2DQ, 16, FP) X(cvttps2dq, CVTTPS2DQ, 16, FP) X(cvtps2pd, CVTPS2PD, 8, FP) \
    X(cvtsd2ss, CVTSD2SS, 8, FP) X(cvtss2sd, CVTSS2SD, 4, FP) \
    X(andps, ANDPS, 16, INT) X(andpd, ANDPD, 16, INT) X(andnps, ANDNPS, 16, INT) X(andnpd, ANDNPD, 16, INT) \
    X(orps, ORPS, 16, INT) X(orpd, ORPD, 16, INT) X(xorps, XORPS, 16, INT) X(xorpd, XORPD, 16, INT) \
    X(unpcklps, UNPCKLPS, 16, INT) X(unpckhps, UNPCKHPS, 16, INT) \
    X(unpcklpd, UNPCKLPD, 16, INT) X(unpckhpd, UNPCKHPD, 16, INT) \
    X(punpcklqdq, PUNPCKLQDQ, 16, INT) X(punpckhqdq, PUNPCKHQDQ, 16, INT)

/* X(name, MNEMONIC, bytes of the source in memory in the MMX form): both MMX and XMM */
#define BOTH_LIST(X) \
    X(paddb, PADDB, 8) X(paddw, PADDW, 8) X(paddd, PADDD, 8) X(paddq, PADDQ, 8) \
    X(psubb, PSUBB, 8) X(psubw, PSUBW, 8) X(psubd, PSUBD, 8) X(psubq, PSUBQ, 8) \
    X(paddsb, PADDSB, 8) X(paddsw, PADDSW, 8) X(paddusb, PADDUSB, 8) X(paddusw, PADDUSW, 8) \
    X(psubsb, PSUBSB, 8) X(psubsw, PSUBSW, 8) X(psubusb, PSUBUSB, 8) X(psubusw, PSUBUSW, 8) \
    X(pmullw, PMULLW, 8) X(pmulhw, PMULHW, 8) X(pmulhuw, PMULHUW, 8) X(pmuludq, PMULUDQ, 8) \
    X(pmaddwd, PMADDWD, 8) X(pand, PAND, 8) X(pandn, PANDN, 8) X(por, POR, 8) X(pxor, PXOR, 8) \
    X(pcmpeqb, PCMPEQB, 8) X(pcmpeqw, PCMPEQW, 8) X(pcmpeqd, PCMPEQD, 8) \
    X(pcmpgtb, PCMPGTB, 8) X(pcmpgtw, PCMPGTW, 8) X(pcmpgtd, PCMPGTD, 8) \
    X(psllw, PSLLW, 8) X(pslld, PSLLD, 8) X(psllq, PSLLQ, 8) X(psrlw, PSRLW, 8) X(psrld, PSRLD, 8) \
    X(psrlq, PSRLQ, 8) X(psraw, PSRAW, 8) X(psrad, PSRAD, 8) \
    X(packsswb, PACKSSWB, 8) X(packssdw, PACKSSDW, 8) X(packuswb, PACKUSWB, 8) \
    X(punpcklbw, PUNPCKLBW, 4) X(punpcklwd, PUNPCKLWD, 4) X(punpckldq, PUNPCKLDQ, 4) \
    X(punpckhbw, PUNPCKHBW, 8) X(punpckhwd, PUNPCKHWD, 8) X(punpckhdq, PUNPCKHDQ, 8) \
    X(pavgb, PAVGB, 8) X(pavgw, PAVGW, 8) X(pmaxub, PMAXUB, 8) X(pmaxsw, PMAXSW, 8) \
    X(pminub, PMINUB, 8) X(pminsw, PMINSW, 8) X(psadbw, PSADBW, 8)

#define OTHER_LIST(X) \
    X(comiss, COMISS, 4, COMI) X(ucomiss, UCOMISS, 4, COMI) X(comisd, COMISD, 8, COMI) X(ucomisd, UCOMISD, 8, COMI) \
    X(cvtss2si, CVTSS2SI, 4, TO_R) X(cvttss2si, CVTTSS2SI, 4, TO_R) \
    X(cvtsd2si, CVTSD2SI, 8, TO_R) X(cvttsd2si, CVTTSD2SI, 8, TO_R) \
    X(cvtsi2ss, CVTSI2SS, 4, FROM_R) X(cvtsi2sd, CVTSI2SD, 4, FROM_R) \
    X(cvtpi2ps, CVTPI2PS, 8, FROM_MM) X(cvtpi2pd, CVTPI2PD, 8, FROM_MM) \
    X(cvtps2pi, CVTPS2PI, 8, TO_MM) X(cvttps2pi, CVTTPS2PI, 8, TO_MM) \
    X(cvtpd2pi, CVTPD2PI, 16, TO_MM) X(cvttpd2pi, CVTTPD2PI, 16, TO_MM)

/* Predicate compares: X(instruction, MNEMONIC, bytes) */
#define CMP_LIST(X) X(ps, CMPPS, 16) X(ss, CMPSS, 4) X(pd, CMPPD, 16) X(sd, CMPSD, 8)

#define DEF_X_OP(name, mn, size, kind) DEF_X(name, size, kind)
#define DEF_BOTH(name, mn, size) DEF_X(name, 16, INT) DEF_M(name, size)
XMM_LIST(DEF_X_OP)
BOTH_LIST(DEF_BOTH)
DEF_COMI(comiss, 4)
DEF_COMI(ucomiss, 4)
DEF_COMI(comisd, 8)
DEF_COMI(ucomisd, 8)
DEF_TO_R(cvtss2si, 4)
DEF_TO_R(cvttss2si, 4)
DEF_TO_R(cvtsd2si, 8)
DEF_TO_R(cvttsd2si, 8)
DEF_FROM_R(cvtsi2ss, "cvtsi2ssl")
DEF_FROM_R(cvtsi2sd, "cvtsi2sdl")
DEF_FROM_MM(cvtpi2ps)
DEF_FROM_MM(cvtpi2pd)
DEF_TO_MM(cvtps2pi)
DEF_TO_MM(cvttps2pi)
DEF_TO_MM(cvtpd2pi)
DEF_TO_MM(cvttpd2pi)

#define DEF_CMP(sfx) \
    DEF_X(cmpeq##sfx, 0, 0) DEF_X(cmplt##sfx, 0, 0) DEF_X(cmple##sfx, 0, 0) DEF_X(cmpunord##sfx, 0, 0) \
    DEF_X(cmpneq##sfx, 0, 0) DEF_X(cmpnlt##sfx, 0, 0) DEF_X(cmpnle##sfx, 0, 0) DEF_X(cmpord##sfx, 0, 0)
DEF_CMP(ps)
DEF_CMP(ss)
DEF_CMP(pd)
DEF_CMP(sd)

enum sse_index {
    SI_NONE,
#define SI_X(name, mn, size, kind) SI_##mn,
#define SI_BOTH(name, mn, size)    SI_##mn,
    XMM_LIST(SI_X) BOTH_LIST(SI_BOTH) OTHER_LIST(SI_X) CMP_LIST(SI_BOTH)
};

const struct sse_native sse_natives[] = {
    {0},
#define TAB_X(name, mn, size, kind) {x_##name, size, SSE_##kind},
#define TAB_BOTH(name, mn, size)    {x_##name, 16, SSE_INT},
#define TAB_CMP(sfx, mn, size)      {NULL, size, SSE_CMP},
    XMM_LIST(TAB_X) BOTH_LIST(TAB_BOTH) OTHER_LIST(TAB_X) CMP_LIST(TAB_CMP)
};

unsigned sse_native_index(ZydisMnemonic m)
{
    switch (m) {
#define CASE_X(name, mn, size, kind) case ZYDIS_MNEMONIC_##mn: return SI_##mn;
#define CASE_BOTH(name, mn, size)    case ZYDIS_MNEMONIC_##mn: return SI_##mn;
        XMM_LIST(CASE_X) BOTH_LIST(CASE_BOTH) OTHER_LIST(CASE_X) CMP_LIST(CASE_BOTH)
    default: return SI_NONE;
    }
}

enum mmx_index {
    MI_NONE,
#define MI_BOTH(name, mn, size) MI_##mn,
    BOTH_LIST(MI_BOTH)
};

const struct mmx_native mmx_natives[] = {
    {0},
#define TAB_M(name, mn, size) {m_##name, size},
    BOTH_LIST(TAB_M)
};

unsigned mmx_native_index(ZydisMnemonic m)
{
    switch (m) {
#define CASE_M(name, mn, size) case ZYDIS_MNEMONIC_##mn: return MI_##mn;
        BOTH_LIST(CASE_M)
    default: return MI_NONE;
    }
}
/* clang-format on */

#define CMP_FNS(s)                                                                                 \
    {                                                                                              \
        x_cmpeq##s, x_cmplt##s, x_cmple##s, x_cmpunord##s, x_cmpneq##s, x_cmpnlt##s, x_cmpnle##s,  \
            x_cmpord##s                                                                            \
    }

sse_fn sse_cmp_fn(ZydisMnemonic m, unsigned predicate)
{
    static const sse_fn fn[4][8] = {CMP_FNS(ps), CMP_FNS(ss), CMP_FNS(pd), CMP_FNS(sd)};
    const unsigned row = m == ZYDIS_MNEMONIC_CMPPS   ? 0
                         : m == ZYDIS_MNEMONIC_CMPSS ? 1
                         : m == ZYDIS_MNEMONIC_CMPPD ? 2
                                                     : 3;
    return fn[row][predicate & 7];
}
