/*
 * Arithmetic and its flags, computed by the host's own instructions: results and flags, those that
 * the manual leaves undefined included, are the silicon's.
 *
 * While the soft CPU runs, the six arithmetic flags live in soft_core.cc as LAHF and SETO leave
 * them in AX: SF ZF - AF - PF - CF in bits 15..8, OF in bit 0. Storing them so costs half a
 * nanosecond; there is nothing lazy to be worked out later. cpu->eflags has them only where
 * soft_flags() put them.
 */
#ifndef UMBRA_VMM_SOFT_SOFT_FLAGS_H
#define UMBRA_VMM_SOFT_SOFT_FLAGS_H

#include "vmm/soft/soft_state.h"

enum cc_bits {
    CC_OF = 1,
    CC_CF = 0x100,
    CC_PF = 0x400,
    CC_AF = 0x1000,
    CC_ZF = 0x4000,
    CC_SF = 0x8000
};

static inline uint16_t cc_of_flags(uint32_t eflags)
{
    return (uint16_t)((eflags & 0xff) << 8 | (eflags >> 11 & 1));
}

static inline uint32_t cc_to_flags(uint16_t cc)
{
    return (cc >> 8 & (FL_ARITH & 0xff)) | (uint32_t)(cc & 1) << 11;
}

/* Does condition code n (0..15, as in Jcc) hold? */
SOFT_INLINE bool cc_test(uint16_t cc, unsigned n)
{
    bool t;
    switch (n >> 1) {
    case 0: t = cc & CC_OF; break;
    case 1: t = cc & CC_CF; break;
    case 2: t = cc & CC_ZF; break;
    case 3: t = cc & (CC_CF | CC_ZF); break;
    case 4: t = cc & CC_SF; break;
    case 5: t = cc & CC_PF; break;
    case 6: t = (cc >> 15 ^ cc) & 1; break;
    default: t = ((cc >> 15 ^ cc) & 1) || (cc & CC_ZF); break;
    }
    return t ^ (n & 1);
}

#define CC_PUT  "addb $0x7f, %%al\n\tsahf\n\t" /* AX to the host's flags */
#define CC_PUTC "btw $8, %%ax\n\t"             /* CF only */
#define CC_GET  "\n\tlahf\n\tseto %%al"

/* Both operands, all flags written: no flags in. */
#define X_BINARY(name, insn, n, suffix, con)                                                       \
    SOFT_INLINE uint##n##_t x_##name##n(uint##n##_t a, uint##n##_t b, uint16_t *cc)                \
    {                                                                                              \
        uint16_t f;                                                                                \
        __asm__(insn suffix " %2, %0" CC_GET : "+" con(a), "=a"(f) : con(b) : "cc");               \
        *cc = f;                                                                                   \
        return a;                                                                                  \
    }
/* The same with the carry as third operand. */
#define X_CARRY(name, insn, n, suffix, con)                                                        \
    SOFT_INLINE uint##n##_t x_##name##n(uint##n##_t a, uint##n##_t b, uint16_t *cc)                \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        __asm__(CC_PUTC insn suffix " %2, %0" CC_GET : "+" con(a), "+a"(f) : con(b) : "cc");       \
        *cc = f;                                                                                   \
        return a;                                                                                  \
    }
/* One operand; b is not used. */
#define X_UNARY(name, insn, n, suffix, con)                                                        \
    SOFT_INLINE uint##n##_t x_##name##n(uint##n##_t a, uint##n##_t b, uint16_t *cc)                \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        (void)b;                                                                                   \
        __asm__(CC_PUTC insn suffix " %0" CC_GET : "+" con(a), "+a"(f) : : "cc");                  \
        *cc = f;                                                                                   \
        return a;                                                                                  \
    }
/* By a count in CL; flags may stay. */
#define X_SHIFT(name, insn, n, suffix, con)                                                        \
    SOFT_INLINE uint##n##_t x_##name##n(uint##n##_t a, uint##n##_t b, uint16_t *cc)                \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        __asm__(CC_PUT insn suffix " %%cl, %0" CC_GET : "+" con(a), "+a"(f) : "c"(b) : "cc");      \
        *cc = f;                                                                                   \
        return a;                                                                                  \
    }
/* dst, src, flags may stay. */
#define X_KEEP(name, insn, n, suffix, con)                                                         \
    SOFT_INLINE uint##n##_t x_##name##n(uint##n##_t a, uint##n##_t b, uint16_t *cc)                \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        __asm__(CC_PUT insn suffix " %2, %0" CC_GET : "+" con(a), "+a"(f) : con(b) : "cc");        \
        *cc = f;                                                                                   \
        return a;                                                                                  \
    }
#define X_SIZES(macro, name, insn)                                                                 \
    macro(name, insn, 8, "b", "q") macro(name, insn, 16, "w", "r") macro(name, insn, 32, "l", "r")
#define X_WIDE(macro, name, insn) macro(name, insn, 16, "w", "r") macro(name, insn, 32, "l", "r")

X_SIZES(X_BINARY, add, "add")
X_SIZES(X_BINARY, or, "or")
X_SIZES(X_CARRY, adc, "adc")
X_SIZES(X_CARRY, sbb, "sbb")
X_SIZES(X_BINARY, and, "and")
X_SIZES(X_BINARY, sub, "sub")
X_SIZES(X_BINARY, xor, "xor")
X_SIZES(X_UNARY, inc, "inc")
X_SIZES(X_UNARY, dec, "dec")
X_SIZES(X_UNARY, neg, "neg")
X_SIZES(X_SHIFT, rol, "rol")
X_SIZES(X_SHIFT, ror, "ror")
X_SIZES(X_SHIFT, rcl, "rcl")
X_SIZES(X_SHIFT, rcr, "rcr")
X_SIZES(X_SHIFT, shl, "shl")
X_SIZES(X_SHIFT, shr, "shr")
X_SIZES(X_SHIFT, sar, "sar")
X_WIDE(X_KEEP, imul, "imul")
X_WIDE(X_KEEP, bsf, "bsf")
X_WIDE(X_KEEP, bsr, "bsr")
X_WIDE(X_KEEP, bt, "bt")
X_WIDE(X_KEEP, bts, "bts")
X_WIDE(X_KEEP, btr, "btr")
X_WIDE(X_KEEP, btc, "btc")
X_WIDE(X_KEEP, popcnt, "popcnt")
X_WIDE(X_KEEP, tzcnt, "tzcnt")
X_WIDE(X_KEEP, lzcnt, "lzcnt")

/* SHLD, SHRD: count in CL. */
#define X_DOUBLE(name, insn, n, suffix, con)                                                       \
    SOFT_INLINE uint##n##_t x_##name##n(uint##n##_t a, uint##n##_t b, uint8_t count, uint16_t *cc) \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        __asm__(CC_PUT insn suffix " %%cl, %2, %0" CC_GET                                          \
                : "+" con(a), "+a"(f)                                                              \
                : con(b), "c"(count)                                                               \
                : "cc");                                                                           \
        *cc = f;                                                                                   \
        return a;                                                                                  \
    }
X_WIDE(X_DOUBLE, shld, "shld")
X_WIDE(X_DOUBLE, shrd, "shrd")

#endif
