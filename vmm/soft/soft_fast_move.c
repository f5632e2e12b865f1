/* Specialised: MOV, MOVZX, MOVSX, LEA, CMOVcc, SETcc, PUSH, POP, LEAVE, CDQ, NOP. */
#include "vmm/soft/soft_fast.h"

/* --- MOV ----------------------------------------------------------------------------------- */

#define MOV_R(n)                                                                                   \
    FAST(mov_rr##n)                                                                                \
    {                                                                                              \
        reg_set##n(c, DST, reg_get##n(c, SRC));                                                    \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(mov_ri##n)                                                                                \
    {                                                                                              \
        reg_set##n(c, DST, (uint##n##_t)i->imm);                                                   \
        SOFT_GO(i + 1);                                                                            \
    }
#define MOV_M(n, ea)                                                                               \
    FAST(mov_rm##n##ea)                                                                            \
    {                                                                                              \
        FAST_R(p, EA_##ea, n, FAST_SLOW);                                                          \
        reg_set##n(c, i->reg, host_get##n(p));                                                     \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(mov_mr##n##ea)                                                                            \
    {                                                                                              \
        FAST_W(p, EA_##ea, n, FAST_SLOW);                                                          \
        host_put##n(p, reg_get##n(c, i->reg));                                                     \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(mov_mi##n##ea)                                                                            \
    {                                                                                              \
        FAST_W(p, EA_##ea, n, FAST_SLOW);                                                          \
        host_put##n(p, (uint##n##_t)i->imm);                                                       \
        SOFT_GO(i + 1);                                                                            \
    }
#define MOV(n) MOV_R(n) MOV_M(n, b) MOV_M(n, x)
MOV(8)
MOV(16)
MOV(32)

enum form { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORMS };
#define ROW(n, ea)                                                                                 \
    {                                                                                              \
        mov_rr##n, mov_ri##n, mov_rm##n##ea, mov_mr##n##ea, mov_mi##n##ea                          \
    }
static const soft_run_fn moves[3][2][FORMS] = {
    {ROW(8, b), ROW(8, x)}, {ROW(16, b), ROW(16, x)}, {ROW(32, b), ROW(32, x)}};

static soft_run_fn pick_mov(struct insn *i, uint32_t mode, bool wide, enum form mem, enum form reg)
{
    const unsigned size = !wide ? 0 : (i->flags & INSN_OP16) ? 1 : 2;

    if (i->flags & INSN_MEM)
        return fast_mem(i, mode) ? moves[size][fast_ea(i)][mem] : NULL;
    DST = mem == FORM_RM ? i->reg : i->rm;
    SRC = mem == FORM_RM ? i->rm : i->reg;
    return moves[size][0][reg];
}

/* --- extensions, LEA ----------------------------------------------------------------------- */

#define EXTEND(name, n, T)                                                                         \
    FAST(name##_r##n)                                                                              \
    {                                                                                              \
        c->gpr[i->reg] = (uint32_t)(T)reg_get##n(c, i->rm);                                        \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(name##_m##n)                                                                              \
    {                                                                                              \
        FAST_R(p, EA_x, n, FAST_SLOW);                                                             \
        c->gpr[i->reg] = (uint32_t)(T)host_get##n(p);                                              \
        SOFT_GO(i + 1);                                                                            \
    }
EXTEND(movzx, 8, uint8_t)
EXTEND(movzx, 16, uint16_t)
EXTEND(movsx, 8, int8_t)
EXTEND(movsx, 16, int16_t)

FAST(lea_b)
{
    c->gpr[i->reg] = EA_b;
    SOFT_GO(i + 1);
}

FAST(lea_x)
{
    c->gpr[i->reg] = EA_x;
    SOFT_GO(i + 1);
}

static soft_run_fn pick_extend(const struct insn *i, uint32_t mode)
{
    static const soft_run_fn reg[4] = {movzx_r8, movzx_r16, movsx_r8, movsx_r16};
    static const soft_run_fn mem[4] = {movzx_m8, movzx_m16, movsx_m8, movsx_m16};
    const unsigned k = (i->opcode >> 2 & 2) | (i->opcode & 1);

    if (i->flags & INSN_OP16)
        return NULL;
    if (!(i->flags & INSN_MEM))
        return reg[k];
    return fast_mem(i, mode) ? mem[k] : NULL;
}

/* --- by condition -------------------------------------------------------------------------- */

#define CONDITION(n)                                                                               \
    FAST(cmov_r##n)                                                                                \
    {                                                                                              \
        const uint32_t v = c->gpr[i->rm];                                                          \
        c->gpr[i->reg] = cc_test(s->core.cc, 0x##n) ? v : c->gpr[i->reg];                          \
        SOFT_GO(i + 1);                                                                            \
    }                                                                                              \
    FAST(set_r##n)                                                                                 \
    {                                                                                              \
        reg_set8(c, i->rm, cc_test(s->core.cc, 0x##n));                                            \
        SOFT_GO(i + 1);                                                                            \
    }
#define SIXTEEN(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(a) m(b) m(c) m(d) m(e) m(f)
SIXTEEN(CONDITION)
#define CMOV_NAME(n) cmov_r##n,
#define SET_NAME(n)  set_r##n,
static const soft_run_fn cmovs[16] = {SIXTEEN(CMOV_NAME)};
static const soft_run_fn sets[16] = {SIXTEEN(SET_NAME)};

/* --- stack --------------------------------------------------------------------------------- */

FAST(push_r)
{
    const uint32_t sp = c->gpr[R_ESP] - 4;
    FAST_W(p, sp, 32, FAST_SLOW);
    host_put32(p, c->gpr[i->reg]);
    c->gpr[R_ESP] = sp;
    SOFT_GO(i + 1);
}

FAST(push_i)
{
    const uint32_t sp = c->gpr[R_ESP] - 4;
    FAST_W(p, sp, 32, FAST_SLOW);
    host_put32(p, i->imm);
    c->gpr[R_ESP] = sp;
    SOFT_GO(i + 1);
}

FAST(push_m)
{
    const uint32_t sp = c->gpr[R_ESP] - 4;
    FAST_R(from, EA_x, 32, FAST_SLOW);
    FAST_W(p, sp, 32, FAST_SLOW);
    host_put32(p, host_get32(from));
    c->gpr[R_ESP] = sp;
    SOFT_GO(i + 1);
}

FAST(pop_r)
{
    const uint32_t sp = c->gpr[R_ESP];
    FAST_R(p, sp, 32, FAST_SLOW);
    const uint32_t v = host_get32(p);
    c->gpr[R_ESP] = sp + 4;
    c->gpr[i->reg] = v;
    SOFT_GO(i + 1);
}

FAST(leave)
{
    const uint32_t bp = c->gpr[R_EBP];
    FAST_R(p, bp, 32, FAST_SLOW);
    c->gpr[R_EBP] = host_get32(p);
    c->gpr[R_ESP] = bp + 4;
    SOFT_GO(i + 1);
}

static soft_run_fn pick_stack(const struct insn *i, uint32_t mode)
{
    if ((i->flags & INSN_OP16) || !(mode & MODE_SS_FLAT))
        return NULL;
    switch (i->opcode) {
    case 0x68:
    case 0x6a: return push_i;
    case 0xc9: return leave;
    case 0xff: return i->reg == 6 && (i->flags & INSN_MEM) && fast_mem(i, mode) ? push_m : NULL;
    default: return i->opcode < 0x58 ? push_r : pop_r;
    }
}

/* --- the rest ------------------------------------------------------------------------------ */

FAST(cdq)
{
    c->gpr[R_EDX] = (uint32_t)((int32_t)c->gpr[R_EAX] >> 31);
    SOFT_GO(i + 1);
}

FAST(nop)
{
    SOFT_GO(i + 1);
}

static soft_run_fn pick_0f(struct insn *i, uint32_t mode)
{
    const uint8_t o = i->opcode;

    if (o >= 0x40 && o < 0x50 && !(i->flags & (INSN_OP16 | INSN_MEM)))
        return cmovs[o & 15];
    if (o >= 0x90 && o < 0xa0 && !(i->flags & INSN_MEM))
        return sets[o & 15];
    if (o == 0xb6 || o == 0xb7 || o == 0xbe || o == 0xbf)
        return pick_extend(i, mode);
    return o == 0x1f ? nop : NULL;
}

soft_run_fn soft_fast_move(struct insn *i, uint32_t mode)
{
    const uint8_t o = i->opcode;

    if (i->map == 1)
        return pick_0f(i, mode);
    if (i->map != 0)
        return NULL;
    if (o >= 0x50 && o < 0x60)
        return pick_stack(i, mode);
    if (o >= 0xb0 && o < 0xc0) {
        i->rm = i->reg;
        return pick_mov(i, mode, o >= 0xb8, FORM_MI, FORM_RI);
    }
    switch (o) {
    case 0x68:
    case 0x6a:
    case 0xc9:
    case 0xff: return pick_stack(i, mode);
    case 0x88:
    case 0x89: return pick_mov(i, mode, o & 1, FORM_MR, FORM_RR);
    case 0x8a:
    case 0x8b:
    case 0xa0:
    case 0xa1: return pick_mov(i, mode, o & 1, FORM_RM, FORM_RR);
    case 0xa2:
    case 0xa3: return pick_mov(i, mode, o & 1, FORM_MR, FORM_RR);
    case 0xc6:
    case 0xc7: return pick_mov(i, mode, o & 1, FORM_MI, FORM_RI);
    case 0x8d:
        if (i->flags & (INSN_OP16 | INSN_AD16))
            return NULL;
        return i->index == R_NONE ? lea_b : lea_x;
    case 0x99: return (i->flags & INSN_OP16) ? NULL : cdq;
    case 0x90: return nop;
    default: return NULL;
    }
}
