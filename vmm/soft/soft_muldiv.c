/* MUL, IMUL, DIV, IDIV. The host multiplies and divides, so that undefined flags are the silicon's.
 */
#include "vmm/soft/soft_ops.h"

/* --- one operand: accumulator times, or divided by, r/m ------------------------------------ */

#define X_MUL8(name)                                                                               \
    SOFT_INLINE uint16_t x_##name##8(uint8_t a, uint8_t b, uint16_t * cc)                          \
    {                                                                                              \
        uint16_t f = *cc, r;                                                                       \
        __asm__(CC_PUT "movb %[a], %%al\n\t" #name "b %[b]\n\tmovw %%ax, %[r]" CC_GET              \
                : "+&a"(f), [r] "=&r"(r)                                                           \
                : [a] "q"(a), [b] "q"(b)                                                           \
                : "cc");                                                                           \
        *cc = f;                                                                                   \
        return r;                                                                                  \
    }
#define X_MUL(name, n, sfx, acc)                                                                   \
    SOFT_INLINE uint##n##_t x_##name##n(uint##n##_t a, uint##n##_t b, uint##n##_t *hi,             \
                                        uint16_t *cc)                                              \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        uint##n##_t lo, h;                                                                         \
        __asm__(CC_PUT "mov" sfx " %[a], " acc "\n\t" #name sfx " %[b]\n\tmov" sfx " " acc         \
                       ", %[lo]" CC_GET                                                            \
                : "+&a"(f), [lo] "=&r"(lo), "=&d"(h)                                               \
                : [a] "r"(a), [b] "r"(b)                                                           \
                : "cc");                                                                           \
        *cc = f;                                                                                   \
        *hi = h;                                                                                   \
        return lo;                                                                                 \
    }
X_MUL8(mul)
X_MUL8(imul)
X_MUL(mul, 16, "w", "%%ax")
X_MUL(mul, 32, "l", "%%eax")

/* IMUL's one-operand form: x_imul is the two-operand one. */
#define X_IMUL_WIDE(n, sfx, acc)                                                                   \
    SOFT_INLINE uint##n##_t x_imul_wide_##n(uint##n##_t a, uint##n##_t b, uint##n##_t *hi,         \
                                            uint16_t *cc)                                          \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        uint##n##_t lo, h;                                                                         \
        __asm__(CC_PUT "mov" sfx " %[a], " acc "\n\timul" sfx " %[b]\n\tmov" sfx " " acc           \
                       ", %[lo]" CC_GET                                                            \
                : "+&a"(f), [lo] "=&r"(lo), "=&d"(h)                                               \
                : [a] "r"(a), [b] "r"(b)                                                           \
                : "cc");                                                                           \
        *cc = f;                                                                                   \
        *hi = h;                                                                                   \
        return lo;                                                                                 \
    }
X_IMUL_WIDE(16, "w", "%%ax")
X_IMUL_WIDE(32, "l", "%%eax")

static void mul8(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    reg_set16(c, R_EAX, x_mul8(reg_get8(c, R_EAX), rm_get8(s, i), &s->core.cc));
}

static void imul8(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    reg_set16(c, R_EAX, x_imul8(reg_get8(c, R_EAX), rm_get8(s, i), &s->core.cc));
}

#define MUL(op, x, n)                                                                              \
    static void op##n(struct soft *s, const struct insn *i)                                        \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        uint##n##_t hi;                                                                            \
        const uint##n##_t lo = x##n(reg_get##n(c, R_EAX), rm_get##n(s, i), &hi, &s->core.cc);      \
        reg_set##n(c, R_EAX, lo);                                                                  \
        reg_set##n(c, R_EDX, hi);                                                                  \
    }
MUL(mul, x_mul, 16)
MUL(mul, x_mul, 32)
MUL(imul, x_imul_wide_, 16)
MUL(imul, x_imul_wide_, 32)

/* --- division: #DE where the quotient does not fit, found before the host would trap ------- */

#define X_DIV(name, n, sfx, acc)                                                                   \
    SOFT_INLINE void x_##name##n(uint##n##_t *lo, uint##n##_t *hi, uint##n##_t b, uint16_t *cc)    \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        uint##n##_t q = *lo, r = *hi;                                                              \
        __asm__(CC_PUT "mov" sfx " %[q], " acc "\n\t" #name sfx " %[b]\n\tmov" sfx " " acc         \
                       ", %[q]" CC_GET                                                             \
                : "+&a"(f), [q] "+&r"(q), "+&d"(r)                                                 \
                : [b] "r"(b)                                                                       \
                : "cc");                                                                           \
        *cc = f;                                                                                   \
        *lo = q;                                                                                   \
        *hi = r;                                                                                   \
    }
#define X_DIV8(name)                                                                               \
    SOFT_INLINE uint16_t x_##name##8(uint16_t a, uint8_t b, uint16_t * cc)                         \
    {                                                                                              \
        uint16_t f = *cc;                                                                          \
        __asm__(CC_PUT "movw %[q], %%ax\n\t" #name "b %[b]\n\tmovw %%ax, %[q]" CC_GET              \
                : "+&a"(f), [q] "+&r"(a)                                                           \
                : [b] "q"(b)                                                                       \
                : "cc");                                                                           \
        *cc = f;                                                                                   \
        return a;                                                                                  \
    }
X_DIV8(div)
X_DIV8(idiv)
X_DIV(div, 16, "w", "%%ax")
X_DIV(div, 32, "l", "%%eax")
X_DIV(idiv, 16, "w", "%%ax")
X_DIV(idiv, 32, "l", "%%eax")

static void div8(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const uint16_t a = reg_get16(c, R_EAX);
    const uint8_t b = rm_get8(s, i);

    if (b == 0 || a / b > UINT8_MAX)
        soft_raise(s, VEC_DE);
    reg_set16(c, R_EAX, x_div8(a, b, &s->core.cc));
}

static void idiv8(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const int16_t a = (int16_t)reg_get16(c, R_EAX);
    const uint8_t b = rm_get8(s, i);

    if (b == 0 || a / (int8_t)b > INT8_MAX || a / (int8_t)b < INT8_MIN)
        soft_raise(s, VEC_DE);
    reg_set16(c, R_EAX, x_idiv8((uint16_t)a, b, &s->core.cc));
}

#define DIV(n, wide)                                                                               \
    static void div##n(struct soft *s, const struct insn *i)                                       \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        uint##n##_t lo = reg_get##n(c, R_EAX), hi = reg_get##n(c, R_EDX);                          \
        const uint##n##_t b = rm_get##n(s, i);                                                     \
        if (hi >= b) /* b == 0 too */                                                              \
            soft_raise(s, VEC_DE);                                                                 \
        x_div##n(&lo, &hi, b, &s->core.cc);                                                        \
        reg_set##n(c, R_EAX, lo);                                                                  \
        reg_set##n(c, R_EDX, hi);                                                                  \
    }                                                                                              \
    static bool idiv_fits##n(uint##n##_t hi, uint##n##_t lo, uint##n##_t b)                        \
    {                                                                                              \
        const wide a = (wide)((u##wide)hi << n | lo);                                              \
        if (b == 0 || (b == UINT##n##_MAX && a == (wide)((u##wide)1 << (2 * n - 1))))              \
            return false;                                                                          \
        const wide q = (wide)(a / (int##n##_t)b);                                                  \
        return q >= INT##n##_MIN && q <= INT##n##_MAX;                                             \
    }                                                                                              \
    static void idiv##n(struct soft *s, const struct insn *i)                                      \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        uint##n##_t lo = reg_get##n(c, R_EAX), hi = reg_get##n(c, R_EDX);                          \
        const uint##n##_t b = rm_get##n(s, i);                                                     \
        if (!idiv_fits##n(hi, lo, b))                                                              \
            soft_raise(s, VEC_DE);                                                                 \
        x_idiv##n(&lo, &hi, b, &s->core.cc);                                                       \
        reg_set##n(c, R_EAX, lo);                                                                  \
        reg_set##n(c, R_EDX, hi);                                                                  \
    }
DIV(16, int32_t)
DIV(32, int64_t)

/* --- IMUL with two and three operands ------------------------------------------------------ */

#define IMUL_R(n)                                                                                  \
    static void imul_r_rm##n(struct soft *s, const struct insn *i)                                 \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        const uint##n##_t b = rm_get##n(s, i);                                                     \
        reg_set##n(c, i->reg, x_imul##n(reg_get##n(c, i->reg), b, &s->core.cc));                   \
    }                                                                                              \
    static void imul_r_rm_i##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        const uint##n##_t a = rm_get##n(s, i);                                                     \
        reg_set##n(CPU(s), i->reg, x_imul##n(a, (uint##n##_t)i->imm, &s->core.cc));                \
    }
IMUL_R(16)
IMUL_R(32)

bool soft_muldiv_decode(struct insn *i)
{
    if (i->map == 1)
        return i->opcode == 0xaf && soft_take(i, soft_by_width(i, imul_r_rm16, imul_r_rm32));
    if (i->map != 0)
        return false;
    switch (i->opcode) {
    case 0x6b:
        i->imm = (uint32_t)(int8_t)i->imm;
        return soft_take(i, soft_by_width(i, imul_r_rm_i16, imul_r_rm_i32));
    case 0x69: return soft_take(i, soft_by_width(i, imul_r_rm_i16, imul_r_rm_i32));
    case 0xf6:
    case 0xf7: break;
    default: return false;
    }
    switch (i->reg) {
    case 4: return soft_take(i, soft_by_size(i, mul8, mul16, mul32));
    case 5: return soft_take(i, soft_by_size(i, imul8, imul16, imul32));
    case 6: return soft_take(i, soft_by_size(i, div8, div16, div32));
    case 7: return soft_take(i, soft_by_size(i, idiv8, idiv16, idiv32));
    default: return false;
    }
}
