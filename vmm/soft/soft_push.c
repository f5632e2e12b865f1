/* PUSH, POP, PUSHA, POPA, ENTER, LEAVE. The stack's address size is SS.B, whatever the operand
 * size. */
#include "vmm/soft/soft_ops.h"

static uint32_t sp_mask(const struct cpu *c)
{
    return (c->seg[SEG_SS].attr & SA_DB) ? UINT32_MAX : 0xffff;
}

static void sp_set(struct cpu *c, uint32_t v)
{
    const uint32_t m = sp_mask(c);
    c->gpr[R_ESP] = (c->gpr[R_ESP] & ~m) | (v & m);
}

static unsigned op_bytes(const struct insn *i)
{
    return (i->flags & INSN_OP16) ? 2 : 4;
}

static void stack_write(struct soft *s, uint32_t off, uint32_t v, unsigned n)
{
    if (n == 2)
        soft_write16(s, SEG_SS, off, v & 0xffff);
    else
        soft_write32(s, SEG_SS, off, v);
}

static uint32_t stack_read(struct soft *s, uint32_t off, unsigned n)
{
    return n == 2 ? soft_read16(s, SEG_SS, off) : soft_read32(s, SEG_SS, off);
}

static void push(struct soft *s, uint32_t v, unsigned n)
{
    struct cpu *c = CPU(s);
    const uint32_t sp = c->gpr[R_ESP] - n;
    stack_write(s, sp & sp_mask(c), v, n);
    sp_set(c, sp);
}

static void push_r(struct soft *s, const struct insn *i)
{
    push(s, CPU(s)->gpr[i->reg], op_bytes(i));
}

static void push_i(struct soft *s, const struct insn *i)
{
    push(s, i->imm, op_bytes(i));
}

static void push_rm(struct soft *s, const struct insn *i)
{
    push(s, (i->flags & INSN_OP16) ? rm_get16(s, i) : rm_get32(s, i), op_bytes(i));
}

/* POP ESP: what was popped wins over the increment. */
static void pop_r(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = op_bytes(i);
    const uint32_t v = stack_read(s, c->gpr[R_ESP] & sp_mask(c), n);

    sp_set(c, c->gpr[R_ESP] + n);
    if (n == 2)
        reg_set16(c, i->reg, (uint16_t)v);
    else
        c->gpr[i->reg] = v;
}

/* An address by ESP is that after the increment (SDM vol. 2, POP). */
static void pop_rm(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = op_bytes(i);

    if (!(i->flags & INSN_MEM)) {
        struct insn r = *i;
        r.reg = i->rm;
        pop_r(s, &r);
        return;
    }
    const uint32_t v = stack_read(s, c->gpr[R_ESP] & sp_mask(c), n);
    const uint32_t ea = soft_ea(s, i) + (i->base == R_ESP ? n : 0);
    if (n == 2)
        soft_write16(s, i->seg, ea, v);
    else
        soft_write32(s, i->seg, ea, v);
    sp_set(c, c->gpr[R_ESP] + n);
}

static void pusha(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = op_bytes(i);
    const uint32_t m = sp_mask(c), sp = c->gpr[R_ESP];

    for (unsigned k = 1; k <= 8; k++)
        soft_probe_write(s, SEG_SS, (sp - k * n) & m, n);
    for (unsigned k = 1; k <= 8; k++)
        stack_write(s, (sp - k * n) & m, c->gpr[k - 1], n);
    sp_set(c, sp - 8 * n);
}

static void popa(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = op_bytes(i);
    const uint32_t m = sp_mask(c), sp = c->gpr[R_ESP];
    uint32_t v[8];

    for (unsigned k = 0; k < 8; k++)
        v[7 - k] = stack_read(s, (sp + k * n) & m, n);
    for (unsigned r = 0; r < 8; r++) {
        if (r == R_ESP)
            continue;
        if (n == 2)
            reg_set16(c, r, (uint16_t)v[r]);
        else
            c->gpr[r] = v[r];
    }
    sp_set(c, sp + 8 * n);
}

/*
 * SDM vol. 2, ENTER. Everything that it touches is probed; then nothing faults, and the display may
 * be copied word by word even where it overlaps what is pushed.
 */
static void enter(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = op_bytes(i), level = i->imm2 & 31;
    const uint32_t m = sp_mask(c), frame = c->gpr[R_ESP] - n;
    const uint32_t last = frame - level * n; /* where the stack ends without the locals */
    const uint32_t sp = last - (i->imm & 0xffff);
    uint32_t bp = c->gpr[R_EBP];

    soft_probe_write(s, SEG_SS, frame & m, n);
    for (unsigned k = 1; k <= level; k++) {
        if (k < level)
            stack_read(s, (bp - k * n) & m, n);
        soft_probe_write(s, SEG_SS, (frame - k * n) & m, n);
    }
    soft_probe_write(s, SEG_SS, sp & m, n);

    stack_write(s, frame & m, bp, n);
    for (unsigned k = 1; k < level; k++)
        stack_write(s, (frame - k * n) & m, stack_read(s, (bp - k * n) & m, n), n);
    if (level)
        stack_write(s, last & m, (c->gpr[R_ESP] & ~m) | (frame & m), n);
    bp = (c->gpr[R_ESP] & ~m) | (frame & m);
    if (n == 2)
        reg_set16(c, R_EBP, (uint16_t)bp);
    else
        c->gpr[R_EBP] = bp;
    sp_set(c, sp);
}

static void leave(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = op_bytes(i);
    const uint32_t bp = c->gpr[R_EBP];
    const uint32_t v = stack_read(s, bp & sp_mask(c), n);

    sp_set(c, bp + n);
    if (n == 2)
        reg_set16(c, R_EBP, (uint16_t)v);
    else
        c->gpr[R_EBP] = v;
}

bool soft_stack_decode(struct insn *i)
{
    const uint8_t o = i->opcode;

    if (i->map != 0)
        return false;
    if (o >= 0x50 && o < 0x60)
        return soft_take(i, o < 0x58 ? push_r : pop_r);
    switch (o) {
    case 0x60: return soft_take(i, pusha);
    case 0x61: return soft_take(i, popa);
    case 0x6a: i->imm = (uint32_t)(int8_t)i->imm; return soft_take(i, push_i);
    case 0x68: return soft_take(i, push_i);
    case 0x8f: return i->reg == 0 && soft_take(i, pop_rm);
    case 0xc8: return soft_take(i, enter);
    case 0xc9: return soft_take(i, leave);
    case 0xff: return i->reg == 6 && soft_take(i, push_rm);
    default: return false;
    }
}
