/* Near transfers: Jcc, JMP, CALL, RET, LOOP, JCXZ. A target beyond the limit of CS faults at the
 * branch. */
#include "vmm/soft/soft_ops.h"

static uint32_t target(struct soft *s, const struct insn *i, uint32_t eip)
{
    if (i->flags & INSN_OP16)
        eip &= 0xffff;
    if (soft_unlikely(eip > CPU(s)->seg[SEG_CS].limit))
        soft_raise_err(s, VEC_GP, 0);
    return eip;
}

static uint32_t relative(struct soft *s, const struct insn *i)
{
    return target(s, i, s->core.next_eip + i->imm);
}

static void jcc(struct soft *s, const struct insn *i)
{
    if (cc_test(s->core.cc, i->opcode & 15))
        s->core.next_eip = relative(s, i);
}

static void jmp_rel(struct soft *s, const struct insn *i)
{
    s->core.next_eip = relative(s, i);
}

static uint32_t rm_target(struct soft *s, const struct insn *i)
{
    return (i->flags & INSN_OP16) ? rm_get16(s, i) : rm_get32(s, i);
}

static void jmp_rm(struct soft *s, const struct insn *i)
{
    s->core.next_eip = target(s, i, rm_target(s, i));
}

/* --- CALL and RET -------------------------------------------------------------------------- */

static uint32_t sp_mask(const struct cpu *c)
{
    return (c->seg[SEG_SS].attr & SA_DB) ? UINT32_MAX : 0xffff;
}

static void sp_set(struct cpu *c, uint32_t v)
{
    const uint32_t m = sp_mask(c);
    c->gpr[R_ESP] = (c->gpr[R_ESP] & ~m) | (v & m);
}

/* Room on the stack is checked before the target (SDM vol. 2, CALL). */
static void call_to(struct soft *s, const struct insn *i, uint32_t eip)
{
    struct cpu *c = CPU(s);
    const unsigned n = (i->flags & INSN_OP16) ? 2 : 4;
    const uint32_t sp = c->gpr[R_ESP] - n, off = sp & sp_mask(c);

    soft_probe_write(s, SEG_SS, off, n);
    eip = target(s, i, eip);
    if (n == 2)
        soft_write16(s, SEG_SS, off, s->core.next_eip & 0xffff);
    else
        soft_write32(s, SEG_SS, off, s->core.next_eip);
    sp_set(c, sp);
    s->core.next_eip = eip;
}

static void call_rel(struct soft *s, const struct insn *i)
{
    call_to(s, i, s->core.next_eip + i->imm);
}

static void call_rm(struct soft *s, const struct insn *i)
{
    call_to(s, i, rm_target(s, i));
}

static void ret(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = (i->flags & INSN_OP16) ? 2 : 4;
    const uint32_t off = c->gpr[R_ESP] & sp_mask(c);
    const uint32_t eip =
        target(s, i, n == 2 ? soft_read16(s, SEG_SS, off) : soft_read32(s, SEG_SS, off));

    sp_set(c, c->gpr[R_ESP] + n + (i->opcode == 0xc2 ? i->imm & 0xffff : 0));
    s->core.next_eip = eip;
}

/* --- LOOP and JCXZ: the count's width is the address size ---------------------------------- */

static uint32_t count_mask(const struct insn *i)
{
    return (i->flags & INSN_AD16) ? 0xffff : UINT32_MAX;
}

/* E0 LOOPNE, E1 LOOPE, E2 LOOP. A repeat prefix wins over the opcode (measured on AMD processors).
 */
static bool loop_condition(const struct insn *i, bool zf)
{
    if (i->opcode == 0xe2)
        return true;
    if (i->flags & (INSN_REP | INSN_REPNE))
        return zf == ((i->flags & INSN_REP) != 0);
    return zf == (i->opcode == 0xe1);
}

static void loop(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const uint32_t m = count_mask(i), n = (c->gpr[R_ECX] - 1) & m;

    if (n != 0 && loop_condition(i, (s->core.cc & CC_ZF) != 0))
        s->core.next_eip = relative(s, i);
    c->gpr[R_ECX] = (c->gpr[R_ECX] & ~m) | n;
}

static void jcxz(struct soft *s, const struct insn *i)
{
    if (!(CPU(s)->gpr[R_ECX] & count_mask(i)))
        s->core.next_eip = relative(s, i);
}

/* --- decoding ------------------------------------------------------------------------------ */

static bool take_rel8(struct insn *i, soft_op op)
{
    i->imm = (uint32_t)(int8_t)i->imm;
    return soft_take_end(i, op);
}

static bool take_rel(struct insn *i, soft_op op)
{
    if (i->flags & INSN_OP16)
        i->imm = (uint32_t)(int16_t)i->imm;
    return soft_take_end(i, op);
}

bool soft_branch_decode(struct insn *i)
{
    const uint8_t o = i->opcode;

    if (i->map == 1)
        return o >= 0x80 && o < 0x90 && take_rel(i, jcc);
    if (i->map != 0)
        return false;
    if (o >= 0x70 && o < 0x80)
        return take_rel8(i, jcc);
    switch (o) {
    case 0xe0:
    case 0xe1: /* a repeat prefix turns one into the other (seen on AMD; the manuals are silent) */
        if (i->flags & (INSN_REP | INSN_REPNE))
            i->opcode = (i->flags & INSN_REP) ? 0xe1 : 0xe0;
        return take_rel8(i, loop);
    case 0xe2: return take_rel8(i, loop);
    case 0xe3: return take_rel8(i, jcxz);
    case 0xeb: return take_rel8(i, jmp_rel);
    case 0xe9: return take_rel(i, jmp_rel);
    case 0xe8: return take_rel(i, call_rel);
    case 0xc2:
    case 0xc3: return soft_take_end(i, ret);
    case 0xff:
        if (i->reg == 2)
            return soft_take_end(i, call_rm);
        return i->reg == 4 && soft_take_end(i, jmp_rm);
    default: return false;
    }
}
