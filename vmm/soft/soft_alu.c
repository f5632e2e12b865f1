/*
 * ADD to CMP in all forms, TEST, INC, DEC, NOT, NEG, XCHG, XADD, CMPXCHG, CMPXCHG8B.
 */
#include "vmm/soft/soft_ops.h"

/* --- the eight of opcodes 00-3F and 80-83 -------------------------------------------------- */

#define ALU_FORMS(name, n)                                                                         \
    static void name##_rm_r##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        rm_modify##n(s, i, x_##name##n, reg_get##n(CPU(s), i->reg));                               \
    }                                                                                              \
    static void name##_r_rm##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        uint16_t cc = s->core.cc;                                                                  \
        const uint##n##_t b = rm_get##n(s, i);                                                     \
        reg_set##n(c, i->reg, x_##name##n(reg_get##n(c, i->reg), b, &cc));                         \
        s->core.cc = cc;                                                                           \
    }                                                                                              \
    static void name##_rm_i##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        rm_modify##n(s, i, x_##name##n, (uint##n##_t)i->imm);                                      \
    }
#define ALU(name) ALU_FORMS(name, 8) ALU_FORMS(name, 16) ALU_FORMS(name, 32)
ALU(add)
ALU(or)
ALU(adc)
ALU(sbb)
ALU(and)
ALU(sub)
ALU(xor)

#define COMPARE(name, fn, n)                                                                       \
    static void name##_rm_r##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        x_##fn##n(rm_get##n(s, i), reg_get##n(CPU(s), i->reg), &s->core.cc);                       \
    }                                                                                              \
    static void name##_rm_i##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        x_##fn##n(rm_get##n(s, i), (uint##n##_t)i->imm, &s->core.cc);                              \
    }
COMPARE(cmp, sub, 8)
COMPARE(cmp, sub, 16)
COMPARE(cmp, sub, 32)
COMPARE(test, and, 8)
COMPARE(test, and, 16)
COMPARE(test, and, 32)

#define CMP_R_RM(n)                                                                                \
    static void cmp_r_rm##n(struct soft *s, const struct insn *i)                                  \
    {                                                                                              \
        x_sub##n(reg_get##n(CPU(s), i->reg), rm_get##n(s, i), &s->core.cc);                        \
    }
CMP_R_RM(8)
CMP_R_RM(16)
CMP_R_RM(32)

/* By operation, form (rm,r; r,rm; rm,imm) and size. */
#define SIZES(name, form)                                                                          \
    {                                                                                              \
        name##_##form##8, name##_##form##16, name##_##form##32                                     \
    }
#define ROW(name)                                                                                  \
    {                                                                                              \
        SIZES(name, rm_r), SIZES(name, r_rm), SIZES(name, rm_i)                                    \
    }
static const soft_op alu_ops[8][3][3] = {ROW(add), ROW(or),  ROW(adc), ROW(sbb),
                                         ROW(and), ROW(sub), ROW(xor), ROW(cmp)};

static bool take_alu(struct insn *i, unsigned operation, unsigned form)
{
    const soft_op *op = alu_ops[operation][form];
    return soft_take(i, soft_by_size(i, op[0], op[1], op[2]));
}

/* --- one operand --------------------------------------------------------------------------- */

#define ONE_OPERAND(name, n)                                                                       \
    static void name##_rm##n(struct soft *s, const struct insn *i)                                 \
    {                                                                                              \
        rm_modify##n(s, i, x_##name##n, 0);                                                        \
    }
#define X_NOT(n)                                                                                   \
    SOFT_INLINE uint##n##_t x_not##n(uint##n##_t a, uint##n##_t b, uint16_t *cc)                   \
    {                                                                                              \
        (void)b, (void)cc;                                                                         \
        return (uint##n##_t) ~a;                                                                   \
    }
X_NOT(8)
X_NOT(16)
X_NOT(32)
#define ONE_ALL(name) ONE_OPERAND(name, 8) ONE_OPERAND(name, 16) ONE_OPERAND(name, 32)
ONE_ALL(inc)
ONE_ALL(dec)
ONE_ALL(neg)
ONE_ALL(not )
#define BY_SIZE(i, name) soft_by_size(i, name##8, name##16, name##32)

/* --- exchanges ----------------------------------------------------------------------------- */

#define X_TAKE(n)                                                                                  \
    SOFT_INLINE uint##n##_t x_take##n(uint##n##_t a, uint##n##_t b, uint16_t *cc)                  \
    {                                                                                              \
        (void)a, (void)cc;                                                                         \
        return b;                                                                                  \
    }
#define EXCHANGES(n)                                                                               \
    X_TAKE(n)                                                                                      \
    static void xchg##n(struct soft *s, const struct insn *i)                                      \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        const uint##n##_t r = reg_get##n(c, i->reg);                                               \
        uint16_t cc = 0;                                                                           \
        if (i->flags & INSN_MEM) {                                                                 \
            reg_set##n(c, i->reg, mem_modify##n(s, i->seg, soft_ea(s, i), x_take##n, r, &cc));     \
        } else {                                                                                   \
            reg_set##n(c, i->reg, reg_get##n(c, i->rm));                                           \
            reg_set##n(c, i->rm, r);                                                               \
        }                                                                                          \
    }                                                                                              \
    /* The source takes the old destination first: XADD of a register with itself doubles it. */   \
    static void xadd##n(struct soft *s, const struct insn *i)                                      \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        const uint##n##_t r = reg_get##n(c, i->reg);                                               \
        uint16_t cc = s->core.cc;                                                                  \
        if (i->flags & INSN_MEM) {                                                                 \
            reg_set##n(c, i->reg, mem_modify##n(s, i->seg, soft_ea(s, i), x_add##n, r, &cc));      \
        } else {                                                                                   \
            const uint##n##_t old = reg_get##n(c, i->rm);                                          \
            reg_set##n(c, i->reg, old);                                                            \
            reg_set##n(c, i->rm, x_add##n(old, r, &cc));                                           \
        }                                                                                          \
        s->core.cc = cc;                                                                           \
    }                                                                                              \
    /* The destination is written in both cases (SDM vol. 2, CMPXCHG). */                          \
    static void cmpxchg##n(struct soft *s, const struct insn *i)                                   \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        const uint##n##_t acc = reg_get##n(c, R_EAX), r = reg_get##n(c, i->reg);                   \
        const uint32_t off = soft_ea(s, i);                                                        \
        uint16_t cc;                                                                               \
        if (i->flags & INSN_MEM)                                                                   \
            soft_probe_write(s, i->seg, off, n / 8);                                               \
        const uint##n##_t old = rm_get##n(s, i);                                                   \
        x_sub##n(acc, old, &cc);                                                                   \
        if (i->flags & INSN_MEM)                                                                   \
            soft_write##n(s, i->seg, off, acc == old ? r : old);                                   \
        else if (acc == old)                                                                       \
            reg_set##n(c, i->rm, r);                                                               \
        if (acc != old)                                                                            \
            reg_set##n(c, R_EAX, old);                                                             \
        s->core.cc = cc;                                                                           \
    }
EXCHANGES(8)
EXCHANGES(16)
EXCHANGES(32)

static void cmpxchg8b(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const uint32_t off = soft_ea(s, i);
    const uint64_t want = (uint64_t)c->gpr[R_EDX] << 32 | c->gpr[R_EAX];
    const uint64_t with = (uint64_t)c->gpr[R_ECX] << 32 | c->gpr[R_EBX];

    soft_probe_write(s, i->seg, off, 8);
    const uint64_t old = soft_read64(s, i->seg, off);
    soft_write64(s, i->seg, off, old == want ? with : old);
    if (old == want) {
        s->core.cc |= CC_ZF;
        return;
    }
    s->core.cc &= (uint16_t)~CC_ZF;
    c->gpr[R_EAX] = (uint32_t)old;
    c->gpr[R_EDX] = (uint32_t)(old >> 32);
}

/* --- decoding ------------------------------------------------------------------------------ */

/* The accumulator forms are r/m forms with EAX as r/m. */
static void acc_is_rm(struct insn *i)
{
    i->rm = R_EAX;
    i->flags &= (uint16_t)~INSN_MEM;
}

static bool decode_0f(struct insn *i)
{
    switch (i->opcode) {
    case 0xb0:
    case 0xb1: return soft_take(i, BY_SIZE(i, cmpxchg));
    case 0xc0:
    case 0xc1: return soft_take(i, BY_SIZE(i, xadd));
    case 0xc7: return i->reg == 1 && (i->flags & INSN_MEM) && soft_take(i, cmpxchg8b);
    default: return false;
    }
}

static bool decode_group(struct insn *i)
{
    switch (i->opcode) {
    case 0xf6:
    case 0xf7:
        if (i->reg < 2)
            return soft_take(i, BY_SIZE(i, test_rm_i));
        if (i->reg < 4)
            return soft_take(i, i->reg == 2 ? BY_SIZE(i, not_rm) : BY_SIZE(i, neg_rm));
        return false;
    case 0xfe:
    case 0xff:
        if (i->reg < 2)
            return soft_take(i, i->reg == 0 ? BY_SIZE(i, inc_rm) : BY_SIZE(i, dec_rm));
        return false;
    default: return false;
    }
}

bool soft_alu_decode(struct insn *i)
{
    const uint8_t o = i->opcode;

    if (i->map == 1)
        return decode_0f(i);
    if (i->map != 0)
        return false;
    if (o < 0x40 && (o & 7) < 6) {
        if ((o & 7) >= 4)
            acc_is_rm(i);
        return take_alu(i, o >> 3, (o & 7) >> 1);
    }
    if (o >= 0x40 && o < 0x50) {
        i->rm = o & 7;
        if (o < 0x48)
            return soft_take(i, soft_by_width(i, inc_rm16, inc_rm32));
        return soft_take(i, soft_by_width(i, dec_rm16, dec_rm32));
    }
    if (o >= 0x91 && o < 0x98) {
        i->rm = R_EAX;
        return soft_take(i, soft_by_width(i, xchg16, xchg32));
    }
    switch (o) {
    case 0x83: i->imm = (uint32_t)(int8_t)i->imm; return take_alu(i, i->reg, 2);
    case 0x80:
    case 0x81:
    case 0x82: return take_alu(i, i->reg, 2);
    case 0x84:
    case 0x85: return soft_take(i, BY_SIZE(i, test_rm_r));
    case 0xa8:
    case 0xa9: acc_is_rm(i); return soft_take(i, BY_SIZE(i, test_rm_i));
    case 0x86:
    case 0x87: return soft_take(i, BY_SIZE(i, xchg));
    default: return decode_group(i);
    }
}
