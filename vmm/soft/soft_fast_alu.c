/* Specialised: ADD..CMP, TEST, INC, DEC, NEG, NOT, shifts by a constant, IMUL; 8 and 32 bits. */
#include "vmm/soft/soft_fast.h"

/* --- two operands -------------------------------------------------------------------------- */

#define RR(name, n)                                                                                \
    FAST(name##_rr##n)                                                                             \
    {                                                                                              \
        uint16_t cc = s->core.cc;                                                                  \
        reg_set##n(c, DST, x_##name##n(reg_get##n(c, DST), reg_get##n(c, SRC), &cc));              \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_ri##n)                                                                             \
    {                                                                                              \
        uint16_t cc = s->core.cc;                                                                  \
        reg_set##n(c, DST, x_##name##n(reg_get##n(c, DST), (uint##n##_t)i->imm, &cc));             \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }
#define RM(name, n, ea)                                                                            \
    FAST(name##_rm##n##ea)                                                                         \
    {                                                                                              \
        FAST_R(p, EA_##ea, n, FAST_SLOW);                                                          \
        uint16_t cc = s->core.cc;                                                                  \
        reg_set##n(c, i->reg, x_##name##n(reg_get##n(c, i->reg), host_get##n(p), &cc));            \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_mr##n##ea)                                                                         \
    {                                                                                              \
        FAST_W(p, EA_##ea, n, FAST_SLOW);                                                          \
        uint16_t cc = s->core.cc;                                                                  \
        host_put##n(p, x_##name##n(host_get##n(p), reg_get##n(c, i->reg), &cc));                   \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_mi##n##ea)                                                                         \
    {                                                                                              \
        FAST_W(p, EA_##ea, n, FAST_SLOW);                                                          \
        uint16_t cc = s->core.cc;                                                                  \
        host_put##n(p, x_##name##n(host_get##n(p), (uint##n##_t)i->imm, &cc));                     \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }
/* CMP and TEST keep the flags only. */
#define CMP_RR(name, fn, n)                                                                        \
    FAST(name##_rr##n)                                                                             \
    {                                                                                              \
        x_##fn##n(reg_get##n(c, DST), reg_get##n(c, SRC), &s->core.cc);                            \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_ri##n)                                                                             \
    {                                                                                              \
        x_##fn##n(reg_get##n(c, DST), (uint##n##_t)i->imm, &s->core.cc);                           \
        SOFT_GO(i + 1);                                                                            \
    }
#define CMP_RM(name, fn, n, ea)                                                                    \
    FAST(name##_rm##n##ea)                                                                         \
    {                                                                                              \
        FAST_R(p, EA_##ea, n, FAST_SLOW);                                                          \
        x_##fn##n(reg_get##n(c, i->reg), host_get##n(p), &s->core.cc);                             \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_mr##n##ea)                                                                         \
    {                                                                                              \
        FAST_R(p, EA_##ea, n, FAST_SLOW);                                                          \
        x_##fn##n(host_get##n(p), reg_get##n(c, i->reg), &s->core.cc);                             \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_mi##n##ea)                                                                         \
    {                                                                                              \
        FAST_R(p, EA_##ea, n, FAST_SLOW);                                                          \
        x_##fn##n(host_get##n(p), (uint##n##_t)i->imm, &s->core.cc);                               \
        SOFT_GO(i + 1);                                                                            \
    }
#define ALU(name, n)     RR(name, n) RM(name, n, b) RM(name, n, x)
#define CMP(name, fn, n) CMP_RR(name, fn, n) CMP_RM(name, fn, n, b) CMP_RM(name, fn, n, x)
#define ALL(n)                                                                                     \
    ALU(add, n)                                                                                    \
    ALU(or, n)                                                                                     \
    ALU(adc, n) ALU(sbb, n) ALU(and, n) ALU(sub, n) ALU(xor, n) CMP(cmp, sub, n) CMP(test, and, n)
ALL(8)
ALL(32)

enum form { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORMS };

/* By size (8, 32), operation, addressing and form. */
#define ROW(name, n, ea)                                                                           \
    {                                                                                              \
        name##_rr##n, name##_ri##n, name##_rm##n##ea, name##_mr##n##ea, name##_mi##n##ea           \
    }
#define OP(name, n)                                                                                \
    {                                                                                              \
        ROW(name, n, b), ROW(name, n, x)                                                           \
    }
#define TABLE(n)                                                                                   \
    {                                                                                              \
        OP(add, n), OP(or, n), OP(adc, n), OP(sbb, n), OP(and, n), OP(sub, n), OP(xor, n),         \
            OP(cmp, n), OP(test, n)                                                                \
    }
enum { OP_TEST = 8 };
static const soft_run_fn table[2][9][2][FORMS] = {TABLE(8), TABLE(32)};

static soft_run_fn pick(struct insn *i, uint32_t mode, unsigned op, enum form mem, enum form reg)
{
    const bool wide = i->opcode & 1;

    if (wide && (i->flags & INSN_OP16))
        return NULL;
    if (i->flags & INSN_MEM)
        return fast_mem(i, mode) ? table[wide][op][fast_ea(i)][mem] : NULL;
    DST = mem == FORM_RM ? i->reg : i->rm;
    SRC = mem == FORM_RM ? i->rm : i->reg;
    return table[wide][op][0][reg];
}

/* --- one operand --------------------------------------------------------------------------- */

#define ONE(name)                                                                                  \
    FAST(name##_r32)                                                                               \
    {                                                                                              \
        uint16_t cc = s->core.cc;                                                                  \
        c->gpr[i->rm] = x_##name##32(c->gpr[i->rm], 0, &cc);                                       \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_m32)                                                                               \
    {                                                                                              \
        FAST_W(p, EA_x, 32, FAST_SLOW);                                                            \
        uint16_t cc = s->core.cc;                                                                  \
        host_put32(p, x_##name##32(host_get32(p), 0, &cc));                                        \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }
ONE(inc)
ONE(dec)
ONE(neg)

FAST(not_r32)
{
    c->gpr[i->rm] = ~c->gpr[i->rm];
    SOFT_GO(i + 1);
}

/* By a constant that is not 0, so that no flag of before stays but those that a rotate keeps. */
#define SHIFT(name)                                                                                \
    FAST(name##_r32_i)                                                                             \
    {                                                                                              \
        uint16_t cc = s->core.cc;                                                                  \
        c->gpr[i->rm] = x_##name##32(c->gpr[i->rm], i->imm & 31, &cc);                             \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_r32_cl)                                                                            \
    {                                                                                              \
        uint16_t cc = s->core.cc;                                                                  \
        c->gpr[i->rm] = x_##name##32(c->gpr[i->rm], c->gpr[R_ECX] & 31, &cc);                      \
        s->core.cc = cc;                                                                           \
        SOFT_GO(i + 1);                                                                            \
    }
SHIFT(rol)
SHIFT(ror)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)

FAST(imul_rr)
{
    c->gpr[i->reg] = x_imul32(c->gpr[i->reg], c->gpr[i->rm], &s->core.cc);
    SOFT_GO(i + 1);
}

FAST(imul_rm)
{
    FAST_R(p, EA_x, 32, FAST_SLOW);
    c->gpr[i->reg] = x_imul32(c->gpr[i->reg], host_get32(p), &s->core.cc);
    SOFT_GO(i + 1);
}

FAST(imul_rri)
{
    c->gpr[i->reg] = x_imul32(c->gpr[i->rm], i->imm, &s->core.cc);
    SOFT_GO(i + 1);
}

static soft_run_fn pick_one(const struct insn *i, uint32_t mode, soft_run_fn reg, soft_run_fn mem)
{
    if (i->flags & INSN_OP16)
        return NULL;
    if (!(i->flags & INSN_MEM))
        return reg;
    return fast_mem(i, mode) ? mem : NULL;
}

static soft_run_fn pick_shift(const struct insn *i, bool by_cl)
{
    static const soft_run_fn imm[8] = {rol_r32_i, ror_r32_i, NULL,      NULL,
                                       shl_r32_i, shr_r32_i, shl_r32_i, sar_r32_i};
    static const soft_run_fn cl[8] = {rol_r32_cl, ror_r32_cl, NULL,       NULL,
                                      shl_r32_cl, shr_r32_cl, shl_r32_cl, sar_r32_cl};
    if (i->flags & (INSN_OP16 | INSN_MEM))
        return NULL;
    if (by_cl)
        return cl[i->reg];
    return (i->imm & 31) ? imm[i->reg] : NULL;
}

static soft_run_fn pick_group(struct insn *i, uint32_t mode)
{
    switch (i->opcode) {
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83: return pick(i, mode, i->reg, FORM_MI, FORM_RI);
    case 0x84:
    case 0x85: return pick(i, mode, OP_TEST, FORM_MR, FORM_RR);
    case 0xa8:
    case 0xa9: return pick(i, mode, OP_TEST, FORM_MI, FORM_RI);
    case 0xc1:
    case 0xd1: return pick_shift(i, false);
    case 0xd3: return pick_shift(i, true);
    case 0x6b:
    case 0x69: return pick_one(i, mode, imul_rri, NULL);
    case 0xf6:
    case 0xf7:
        if (i->reg < 2)
            return pick(i, mode, OP_TEST, FORM_MI, FORM_RI);
        if (i->opcode == 0xf6)
            return NULL;
        return i->reg == 2   ? pick_one(i, mode, not_r32, NULL)
               : i->reg == 3 ? pick_one(i, mode, neg_r32, neg_m32)
                             : NULL;
    case 0xff:
        return i->reg == 0   ? pick_one(i, mode, inc_r32, inc_m32)
               : i->reg == 1 ? pick_one(i, mode, dec_r32, dec_m32)
                             : NULL;
    default: return NULL;
    }
}

soft_run_fn soft_fast_alu(struct insn *i, uint32_t mode)
{
    const uint8_t o = i->opcode;

    if (i->map == 1)
        return o == 0xaf ? pick_one(i, mode, imul_rr, imul_rm) : NULL;
    if (i->map != 0)
        return NULL;
    if (o < 0x40 && (o & 7) < 2)
        return pick(i, mode, o >> 3, FORM_MR, FORM_RR);
    if (o < 0x40 && (o & 7) < 4)
        return pick(i, mode, o >> 3, FORM_RM, FORM_RR);
    if (o < 0x40 && (o & 7) < 6)
        return pick(i, mode, o >> 3, FORM_MI, FORM_RI);
    if (o >= 0x40 && o < 0x48)
        return pick_one(i, mode, inc_r32, NULL);
    if (o >= 0x48 && o < 0x50)
        return pick_one(i, mode, dec_r32, NULL);
    return pick_group(i, mode);
}
