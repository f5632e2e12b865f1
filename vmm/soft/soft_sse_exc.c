/*
 * What overflow and underflow raise when they are unmasked (SDM vol. 1, 4.9.1.4 to 4.9.1.6): PE
 * then says whether the result was inexact had the exponent no bounds, and UE comes with any tiny
 * result. A masked run shows neither; the x87 does, with its wide exponent and its precision set to
 * that of the result.
 */
#include "vmm/soft/soft_fpu.h"

enum arith { A_NONE, A_ADD, A_SUB, A_MUL, A_DIV, A_CVT };

struct shape {
    enum arith op;
    bool from_single; /* operands */
    bool to_single;   /* result */
    unsigned n;       /* elements */
};

static struct shape shape_of(ZydisMnemonic m)
{
#define SHAPES(NAME, OP)                                                                           \
    case ZYDIS_MNEMONIC_##NAME##PS: return (struct shape){OP, true, true, 4};                      \
    case ZYDIS_MNEMONIC_##NAME##SS: return (struct shape){OP, true, true, 1};                      \
    case ZYDIS_MNEMONIC_##NAME##PD: return (struct shape){OP, false, false, 2};                    \
    case ZYDIS_MNEMONIC_##NAME##SD: return (struct shape){OP, false, false, 1};
    switch (m) {
        SHAPES(ADD, A_ADD)
        SHAPES(SUB, A_SUB)
        SHAPES(MUL, A_MUL)
        SHAPES(DIV, A_DIV)
    case ZYDIS_MNEMONIC_CVTSD2SS: return (struct shape){A_CVT, false, true, 1};
    case ZYDIS_MNEMONIC_CVTPD2PS: return (struct shape){A_CVT, false, true, 2};
    default: return (struct shape){A_NONE, false, false, 0};
    }
}

/* An element as a double; with DAZ denormals are zeros. */
static double element(const uint8_t *v, unsigned k, bool single, bool daz)
{
    double x;
    if (single) {
        uint32_t f = fx_get32(v, 4 * k);
        float y;
        if (daz && !(f & 0x7f800000))
            f &= 0x80000000;
        memcpy(&y, &f, 4);
        return (double)y;
    }
    uint64_t u;
    memcpy(&u, v + 8 * k, 8);
    if (daz && !(u & 0x7ff0000000000000u))
        u &= 0x8000000000000000u;
    memcpy(&x, &u, 8);
    return x;
}

/* a OP b on the x87 under fcw: the exponent of the result, and its status word. */
static unsigned wide(enum arith op, double a, double b, uint16_t fcw, int *exp)
{
    uint8_t r[10];
    uint16_t fsw;
#define WIDE(INSN)                                                                                 \
    __asm__ volatile("fninit; fldcw %2; fldl %3; fldl %4\n\t" INSN                                 \
                     "\n\tfnstsw %1; fstpt %0; fninit"                                             \
                     : "=m"(r), "=m"(fsw)                                                          \
                     : "m"(fcw), "m"(a), "m"(b)                                                    \
                     : "memory")
    switch (op) {
    case A_ADD: WIDE("faddp"); break;
    case A_SUB: WIDE("fsubrp %%st, %%st(1)"); break;
    case A_MUL: WIDE("fmulp"); break;
    case A_DIV: WIDE("fdivrp %%st, %%st(1)"); break;
    default: /* a conversion: b is 1 */ WIDE("fmulp"); break;
    }
    uint64_t man;
    memcpy(&man, r, 8);
    *exp = man ? (fx_get16(r, 8) & 0x7fff) - 16383 : 0;
    return fsw;
}

/* Copy v with all elements but k replaced by 1, whose arithmetic raises nothing. */
static void isolate(uint8_t out[16], const uint8_t *v, unsigned k, const struct shape *sh)
{
    const float one = 1;
    const double done = 1;
    const unsigned width = sh->from_single ? 4 : 8;
    memcpy(out, v, 16);
    for (unsigned e = 0; e < sh->n; e++)
        if (e != k)
            memcpy(out + width * e, sh->from_single ? (const void *)&one : (const void *)&done,
                   width);
}

static uint32_t element_flags(const struct shape *sh, unsigned k, sse_fn fn, const uint8_t *d,
                              const uint8_t *src, uint32_t mxcsr)
{
    uint8_t d1[16], s1[16];
    const bool um = (mxcsr & MXCSR_UM) != 0, om = (mxcsr & 0x400) != 0, daz = (mxcsr & 0x40) != 0;
    isolate(d1, d, k, sh);
    isolate(s1, src, k, sh);
    const double b = element(s1, k, sh->from_single, daz);
    const double a = sh->op == A_CVT ? b : element(d1, k, sh->from_single, daz);
    uint32_t m = (mxcsr & ~(uint32_t)X87_FLAGS) | MXCSR_INIT;
    if (!um)
        m &= ~(uint32_t)MXCSR_FTZ;
    sse_run(fn, d1, s1, &m);
    const uint32_t masked = m & X87_FLAGS;
    if (masked & (XF_PRE & ~2u)) /* invalid or by zero: nothing was computed */
        return masked;
    const uint16_t fcw = (uint16_t)(0x7f | (sh->to_single ? 0 : 0x200) | (mxcsr >> 3 & 0xc00));
    int exp;
    const unsigned fsw = wide(sh->op, a, sh->op == A_CVT ? 1.0 : b, fcw, &exp);
    if (masked & XF_OE)
        return om ? masked : (masked & ~(uint32_t)XF_PE) | (fsw & XF_PE);
    const bool tiny = exp < (sh->to_single ? -126 : -1022);
    if (tiny && !um)
        return (masked & XF_PRE) | XF_UE | (fsw & XF_PE);
    return masked;
}

uint32_t sse_post_flags(ZydisMnemonic m, sse_fn fn, const void *d, const void *src, uint32_t mxcsr,
                        uint32_t raised)
{
    const struct shape sh = shape_of(m);
    uint32_t flags = 0;
    if (sh.op == A_NONE)
        return raised;
    for (unsigned k = 0; k < sh.n; k++)
        flags |= element_flags(&sh, k, fn, d, src, mxcsr);
    return flags;
}
