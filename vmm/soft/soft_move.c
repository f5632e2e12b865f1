/*
 * Moves and small things: MOV, LEA, MOVZX, MOVSX, CMOVcc, SETcc, XLAT, CBW and CWD, flags that are
 * not privileged, BOUND, NOPs, UD0 UD1 UD2.
 */
#include "vmm/soft/soft_ops.h"

/* --- MOV ----------------------------------------------------------------------------------- */

#define MOV(n)                                                                                     \
    static void mov_rm_r##n(struct soft *s, const struct insn *i)                                  \
    {                                                                                              \
        rm_set##n(s, i, reg_get##n(CPU(s), i->reg));                                               \
    }                                                                                              \
    static void mov_r_rm##n(struct soft *s, const struct insn *i)                                  \
    {                                                                                              \
        reg_set##n(CPU(s), i->reg, rm_get##n(s, i));                                               \
    }                                                                                              \
    static void mov_rm_i##n(struct soft *s, const struct insn *i)                                  \
    {                                                                                              \
        rm_set##n(s, i, (uint##n##_t)i->imm);                                                      \
    }                                                                                              \
    static void mov_r_i##n(struct soft *s, const struct insn *i)                                   \
    {                                                                                              \
        reg_set##n(CPU(s), i->reg, (uint##n##_t)i->imm);                                           \
    }
MOV(8)
MOV(16)
MOV(32)
#define BY_SIZE(i, name)  soft_by_size(i, name##8, name##16, name##32)
#define BY_WIDTH(i, name) soft_by_width(i, name##16, name##32)

static void lea16(struct soft *s, const struct insn *i)
{
    reg_set16(CPU(s), i->reg, (uint16_t)soft_ea(s, i));
}

static void lea32(struct soft *s, const struct insn *i)
{
    CPU(s)->gpr[i->reg] = soft_ea(s, i);
}

#define EXTEND(name, from, T, to)                                                                  \
    static void name##from##_##to(struct soft *s, const struct insn *i)                            \
    {                                                                                              \
        reg_set##to(CPU(s), i->reg, (uint##to##_t)(T)rm_get##from(s, i));                          \
    }
EXTEND(movzx, 8, uint8_t, 16)
EXTEND(movzx, 8, uint8_t, 32)
EXTEND(movzx, 16, uint16_t, 16)
EXTEND(movzx, 16, uint16_t, 32)
EXTEND(movsx, 8, int8_t, 16)
EXTEND(movsx, 8, int8_t, 32)
EXTEND(movsx, 16, int16_t, 16)
EXTEND(movsx, 16, int16_t, 32)

/* The source is read, and may fault, whether the condition holds or not. */
#define CMOV(n)                                                                                    \
    static void cmov##n(struct soft *s, const struct insn *i)                                      \
    {                                                                                              \
        const uint##n##_t v = rm_get##n(s, i);                                                     \
        if (cc_test(s->core.cc, i->opcode & 15))                                                   \
            reg_set##n(CPU(s), i->reg, v);                                                         \
    }
CMOV(16)
CMOV(32)

static void setcc(struct soft *s, const struct insn *i)
{
    rm_set8(s, i, cc_test(s->core.cc, i->opcode & 15));
}

static void xlat(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const uint32_t off = c->gpr[R_EBX] + reg_get8(c, R_EAX);
    reg_set8(c, R_EAX, soft_get8(s, i->seg, (i->flags & INSN_AD16) ? (off & 0xffff) : off));
}

static void cbw(struct soft *s, const struct insn *i)
{
    (void)i;
    reg_set16(CPU(s), R_EAX, (uint16_t)(int8_t)CPU(s)->gpr[R_EAX]);
}

static void cwde(struct soft *s, const struct insn *i)
{
    (void)i;
    CPU(s)->gpr[R_EAX] = (uint32_t)(int16_t)CPU(s)->gpr[R_EAX];
}

static void cwd(struct soft *s, const struct insn *i)
{
    (void)i;
    reg_set16(CPU(s), R_EDX, (CPU(s)->gpr[R_EAX] & 0x8000) ? 0xffff : 0);
}

static void cdq(struct soft *s, const struct insn *i)
{
    (void)i;
    CPU(s)->gpr[R_EDX] = (CPU(s)->gpr[R_EAX] & 0x80000000) ? UINT32_MAX : 0;
}

/* --- flags --------------------------------------------------------------------------------- */

static void lahf(struct soft *s, const struct insn *i)
{
    (void)i;
    reg_set8(CPU(s), 4, (uint8_t)(cc_to_flags(s->core.cc) | FL_ONE));
}

static void sahf(struct soft *s, const struct insn *i)
{
    (void)i;
    s->core.cc = (uint16_t)(reg_get8(CPU(s), 4) << 8 | (s->core.cc & CC_OF));
}

static void clc(struct soft *s, const struct insn *i)
{
    (void)i;
    s->core.cc &= (uint16_t)~CC_CF;
}

static void stc(struct soft *s, const struct insn *i)
{
    (void)i;
    s->core.cc |= CC_CF;
}

static void cmc(struct soft *s, const struct insn *i)
{
    (void)i;
    s->core.cc ^= CC_CF;
}

static void cld(struct soft *s, const struct insn *i)
{
    (void)i;
    CPU(s)->eflags &= ~(uint32_t)FL_DF;
}

static void std_(struct soft *s, const struct insn *i)
{
    (void)i;
    CPU(s)->eflags |= FL_DF;
}

static void salc(struct soft *s, const struct insn *i)
{
    (void)i;
    reg_set8(CPU(s), R_EAX, (s->core.cc & CC_CF) ? 0xff : 0);
}

/* --- BOUND, NOP, UD ------------------------------------------------------------------------ */

#define BOUND(n)                                                                                   \
    static void bound##n(struct soft *s, const struct insn *i)                                     \
    {                                                                                              \
        const int32_t v = (int##n##_t)reg_get##n(CPU(s), i->reg);                                  \
        const uint32_t ea = soft_ea(s, i);                                                         \
        const uint32_t second = (i->flags & INSN_AD16) ? (ea + n / 8) & 0xffff : ea + n / 8;       \
        const int32_t low = (int##n##_t)soft_read##n(s, i->seg, ea);                               \
        const int32_t high = (int##n##_t)soft_read##n(s, i->seg, second);                          \
        if (v < low || v > high)                                                                   \
            soft_raise(s, VEC_BR);                                                                 \
    }
BOUND(16)
BOUND(32)

static void nop(struct soft *s, const struct insn *i)
{
    (void)s, (void)i;
}

static void ud(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_raise(s, VEC_UD);
}

/* --- decoding ------------------------------------------------------------------------------ */

static bool decode_0f(struct insn *i)
{
    const uint8_t o = i->opcode;

    if (o >= 0x40 && o < 0x50)
        return soft_take(i, BY_WIDTH(i, cmov));
    if (o >= 0x90 && o < 0xa0)
        return soft_take(i, setcc);
    switch (o) {
    case 0xb6: return soft_take(i, soft_by_width(i, movzx8_16, movzx8_32));
    case 0xb7: return soft_take(i, soft_by_width(i, movzx16_16, movzx16_32));
    case 0xbe: return soft_take(i, soft_by_width(i, movsx8_16, movsx8_32));
    case 0xbf: return soft_take(i, soft_by_width(i, movsx16_16, movsx16_32));
    case 0x0b:
    case 0xb9:
    case 0xff: return soft_take_end(i, ud);
    case 0x0d:
    case 0x18:
    case 0x19:
    case 0x1a:
    case 0x1b:
    case 0x1c:
    case 0x1d:
    case 0x1e:
    case 0x1f: return soft_take(i, nop);
    default: return false;
    }
}

/* A0-A3: the operand is at an offset in the instruction. */
static bool decode_moffs(struct insn *i)
{
    i->reg = R_EAX;
    i->base = i->index = R_NONE;
    i->flags |= INSN_MEM;
    if (i->opcode < 0xa2)
        return soft_take(i, BY_SIZE(i, mov_r_rm));
    return soft_take(i, BY_SIZE(i, mov_rm_r));
}

bool soft_move_decode(const struct soft *s, struct insn *i)
{
    const uint8_t o = i->opcode;
    (void)s;

    if (i->map == 1)
        return decode_0f(i);
    if (i->map != 0)
        return false;
    if (o >= 0xb0 && o < 0xc0)
        return soft_take(i, o < 0xb8 ? mov_r_i8 : BY_WIDTH(i, mov_r_i));
    switch (o) {
    case 0x88:
    case 0x89: return soft_take(i, BY_SIZE(i, mov_rm_r));
    case 0x8a:
    case 0x8b: return soft_take(i, BY_SIZE(i, mov_r_rm));
    case 0xc6:
    case 0xc7: return i->reg == 0 && soft_take(i, BY_SIZE(i, mov_rm_i));
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa3: return decode_moffs(i);
    case 0x8d: return (i->flags & INSN_MEM) && soft_take(i, BY_WIDTH(i, lea));
    case 0x62: return (i->flags & INSN_MEM) && soft_take(i, BY_WIDTH(i, bound));
    case 0xd7: return soft_take(i, xlat);
    case 0x98: return soft_take(i, soft_by_width(i, cbw, cwde));
    case 0x99: return soft_take(i, soft_by_width(i, cwd, cdq));
    case 0x9e: return soft_take(i, sahf);
    case 0x9f: return soft_take(i, lahf);
    case 0xf5: return soft_take(i, cmc);
    case 0xf8: return soft_take(i, clc);
    case 0xf9: return soft_take(i, stc);
    case 0xfc: return soft_take(i, cld);
    case 0xfd: return soft_take(i, std_);
    case 0xd6: return soft_take(i, salc);
    case 0x90: return soft_take(i, nop);
    default: return false;
    }
}
