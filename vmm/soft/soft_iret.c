/* IRET to every mode and ring (SDM vol. 2, IRET; vol. 3, 6.12.1, 7.3, 20.2.5). */
#include "vmm/soft/soft_sys.h"

#define FL_ALWAYS (FL_ARITH | FL_TF | FL_DF | FL_NT)

/* What an IRET or POPF of this size may change, by the CPL and IOPL before it. */
static uint32_t iret_mask(struct soft *s, bool op32)
{
    const unsigned cpl = CPU(s)->cpl;
    const unsigned iopl = (soft_flags(s) & FL_IOPL) >> FL_IOPL_SHIFT;
    uint32_t m = FL_ALWAYS;

    if (op32)
        m |= FL_RF | FL_AC | FL_ID;
    if (cpl <= iopl)
        m |= FL_IF;
    if (cpl == 0)
        m |= FL_IOPL;
    return m;
}

static void iret_done(struct soft *s, uint32_t eip)
{
    CPU(s)->nmi_blocked = false;
    soft_core(s)->next_eip = eip;
    soft_mode_changed(s);
}

static void iret_real(struct soft *s, bool op32)
{
    const unsigned size = op32 ? 4 : 2;
    const uint32_t eip = soft_stack_peek(s, 0, 0, size);
    const uint16_t sel = (uint16_t)soft_stack_peek(s, 1, 0, size);
    const uint32_t flags = soft_stack_peek(s, 2, 0, size);

    soft_check_eip(s, eip, CPU(s)->seg[SEG_CS].limit, 0);
    uint32_t mask = FL_ALWAYS | FL_IF;
    if (op32)
        mask |= FL_RF | FL_AC | FL_ID;
    if (!cpu_v86(CPU(s)))
        mask |= FL_IOPL;
    soft_stack_move(s, 3 * size);
    soft_load_seg_real(s, SEG_CS, sel);
    soft_set_flags(s, mask, flags & mask);
    iret_done(s, eip);
}

/* Back to virtual-8086 mode: nine dwords are on the stack. */
static void iret_to_v86(struct soft *s, uint32_t eip, uint16_t cs, uint32_t flags)
{
    static const uint8_t order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    const uint32_t mask = FL_ALWAYS | FL_IF | FL_IOPL | FL_RF | FL_AC | FL_ID | FL_VM;
    struct cpu *c = CPU(s);
    uint16_t sel[sizeof order];

    const uint32_t esp = soft_stack_peek(s, 3, 0, 4);
    for (unsigned k = 0; k < sizeof order; k++)
        sel[k] = (uint16_t)soft_stack_peek(s, 4 + k, 0, 4);
    soft_check_eip(s, eip, 0xffff, 0);

    soft_set_flags(s, mask, flags & mask);
    c->seg[SEG_CS] = soft_v86_seg(cs);
    for (unsigned k = 0; k < sizeof order; k++)
        c->seg[order[k]] = soft_v86_seg(sel[k]);
    c->gpr[R_ESP] = esp;
    c->cpl = 3;
    iret_done(s, eip);
}

/* NT: back to the task that the back link names (SDM vol. 3, 7.4). */
static void iret_task(struct soft *s)
{
    const struct seg *tr = &CPU(s)->tr;
    const uint16_t sel = (uint16_t)soft_la_read16(s, tr->base, false);
    struct desc d;

    if (sel_local(sel))
        soft_raise_err(s, VEC_TS, sel_error(sel, 0));
    soft_desc_get(s, sel, VEC_TS, 0, &d);
    if (attr_system(d.attr) != ST_TSS16_BUSY && attr_system(d.attr) != ST_TSS32_BUSY)
        soft_raise_err(s, VEC_TS, sel_error(sel, 0));
    if (!(d.attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(sel, 0));
    CPU(s)->nmi_blocked = false;
    soft_task_switch_to(
        s, &(struct task_args){.sel = sel, .why = TASK_IRET, .saved_eip = soft_core(s)->next_eip});
}

static void check_iret_cs(struct soft *s, uint16_t sel, struct desc *d)
{
    const unsigned rpl = sel_rpl(sel);

    if (sel_null(sel))
        soft_raise_err(s, VEC_GP, 0);
    soft_desc_get(s, sel, VEC_GP, 0, d);
    if (!attr_code(d->attr) || rpl < CPU(s)->cpl ||
        (attr_conforming(d->attr) ? attr_dpl(d->attr) > rpl : attr_dpl(d->attr) != rpl))
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    if (!(d->attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(sel, 0));
}

static void iret_outer(struct soft *s, const struct desc *d, uint32_t eip, uint32_t flags,
                       bool op32)
{
    struct cpu *c = CPU(s);
    const unsigned size = op32 ? 4 : 2;
    const unsigned cpl = sel_rpl(d->sel);
    const uint32_t mask = iret_mask(s, op32);
    const uint32_t esp = soft_stack_peek(s, 3, 0, size);
    const uint16_t sel = (uint16_t)soft_stack_peek(s, 4, 0, size);
    struct desc ssd;

    soft_check_ss(s, sel, cpl, VEC_GP, 0, &ssd);
    soft_check_eip(s, eip, soft_desc_limit(d), 0);
    soft_accessed_probe(s, d);
    soft_accessed_probe(s, &ssd);

    soft_set_flags(s, mask, flags & mask);
    soft_set_cs(s, d, cpl);
    soft_accessed_set(s, &ssd);
    c->seg[SEG_SS] = soft_desc_seg(&ssd, sel);
    c->gpr[R_ESP] = stack_pointer(&c->seg[SEG_SS], c->gpr[R_ESP], esp);
    soft_drop_segs(s, cpl);
    iret_done(s, eip);
}

static void iret_protected(struct soft *s, bool op32)
{
    const unsigned size = op32 ? 4 : 2;
    const uint32_t eip = soft_stack_peek(s, 0, 0, size);
    const uint16_t sel = (uint16_t)soft_stack_peek(s, 1, 0, size);
    const uint32_t flags = soft_stack_peek(s, 2, 0, size);
    struct desc d;

    if ((flags & FL_VM) && op32 && CPU(s)->cpl == 0) {
        iret_to_v86(s, eip, sel, flags);
        return;
    }
    check_iret_cs(s, sel, &d);
    if (sel_rpl(sel) > CPU(s)->cpl) {
        iret_outer(s, &d, eip, flags, op32);
        return;
    }
    soft_check_eip(s, eip, soft_desc_limit(&d), 0);
    soft_set_cs(s, &d, CPU(s)->cpl);
    const uint32_t mask = iret_mask(s, op32);
    soft_set_flags(s, mask, flags & mask);
    soft_stack_move(s, 3 * size);
    iret_done(s, eip);
}

void soft_iret(struct soft *s, bool op32)
{
    const struct cpu *c = CPU(s);
    const uint32_t flags = soft_flags(s);

    if (cpu_v86(c)) {
        if ((flags & FL_IOPL) != FL_IOPL)
            soft_raise_err(s, VEC_GP, 0);
        iret_real(s, op32);
    } else if (!cpu_protected(c)) {
        iret_real(s, op32);
    } else if (flags & FL_NT) {
        iret_task(s);
    } else {
        iret_protected(s, op32);
    }
}

void soft_op_iret(struct soft *s, const struct insn *i)
{
    soft_iret(s, !insn_op16(i));
}
