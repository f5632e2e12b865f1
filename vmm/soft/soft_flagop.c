/* CLI, STI, PUSHF, POPF and the software interrupts (SDM vol. 2 under each; vol. 3, 6.8.1, 20.2.7).
 * CR4.VME and CR4.PVI are not offered, so IOPL decides alone. */
#include "vmm/soft/soft_sys.h"

/* In real mode CPL is 0, in virtual-8086 mode 3: one rule for all modes. */
static void need_iopl(struct soft *s)
{
    const unsigned iopl = (soft_flags(s) & FL_IOPL) >> FL_IOPL_SHIFT;
    if (CPU(s)->cpl > iopl)
        soft_raise_err(s, VEC_GP, 0);
}

static bool v86_without_iopl(struct soft *s)
{
    return cpu_v86(CPU(s)) && (soft_flags(s) & FL_IOPL) != FL_IOPL;
}

void soft_op_cli(struct soft *s, const struct insn *i)
{
    (void)i;
    need_iopl(s);
    soft_set_flags(s, FL_IF, 0);
}

void soft_op_sti(struct soft *s, const struct insn *i)
{
    (void)i;
    need_iopl(s);
    if (!(soft_flags(s) & FL_IF))
        CPU(s)->int_shadow = true;
    soft_set_flags(s, FL_IF, FL_IF);
}

void soft_op_pushf(struct soft *s, const struct insn *i)
{
    const unsigned size = insn_opsize(i);
    const struct stack st = soft_stack_now(s, 0);
    const uint32_t v = soft_flags(s) & ~(uint32_t)(FL_VM | FL_RF);

    if (v86_without_iopl(s))
        soft_raise_err(s, VEC_GP, 0);
    soft_stack_probe(s, &st, 1, size);
    CPU(s)->gpr[R_ESP] = soft_stack_push(s, &st, &v, 1, size);
}

void soft_op_popf(struct soft *s, const struct insn *i)
{
    const struct cpu *c = CPU(s);
    const unsigned size = insn_opsize(i);
    const unsigned iopl = (soft_flags(s) & FL_IOPL) >> FL_IOPL_SHIFT;
    uint32_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT;

    if (v86_without_iopl(s))
        soft_raise_err(s, VEC_GP, 0);
    const uint32_t v = soft_stack_peek(s, 0, 0, size);
    if (size == 4)
        mask |= FL_AC | FL_ID;
    if (c->cpl <= iopl)
        mask |= FL_IF;
    if (c->cpl == 0)
        mask |= FL_IOPL;
    soft_stack_move(s, size);
    /* RF is cleared by every POPF. */
    soft_set_flags(s, mask | FL_RF, v & mask);
    soft_mode_changed(s);
}

void soft_op_int(struct soft *s, const struct insn *i)
{
    if (v86_without_iopl(s))
        soft_raise_err(s, VEC_GP, 0);
    soft_raise_softint(s, (uint8_t)i->imm);
}

/* No DPL check and EXT set in error codes, so it is a trap and no software interrupt. */
void soft_op_int1(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_raise_trap(s, VEC_DB);
}

void soft_op_int3(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_raise_softint(s, VEC_BP);
}

void soft_op_into(struct soft *s, const struct insn *i)
{
    (void)i;
    if (soft_flags(s) & FL_OF)
        soft_raise_softint(s, VEC_OF);
}
