/* Far JMP, CALL and RET, and SYSENTER/SYSEXIT (SDM vol. 2 under each; vol. 3, 5.8). */
#include "vmm/soft/soft_sys.h"

static uint32_t eip_of(uint32_t off, bool op32)
{
    return op32 ? off : off & 0xffff;
}

/* Real and virtual-8086 mode: no descriptor, the limit of CS counts. */
static void go_real(struct soft *s, uint16_t sel, uint32_t eip)
{
    soft_load_seg_real(s, SEG_CS, sel);
    soft_core(s)->next_eip = eip;
    soft_mode_changed(s);
}

static bool segmented_mode(struct soft *s)
{
    return cpu_protected(CPU(s)) && !cpu_v86(CPU(s));
}

/* A direct target: code at the caller's privilege. */
static void check_code(struct soft *s, const struct desc *d)
{
    const struct cpu *c = CPU(s);
    const unsigned dpl = attr_dpl(d->attr);
    const bool bad =
        attr_conforming(d->attr) ? dpl > c->cpl : sel_rpl(d->sel) > c->cpl || dpl != c->cpl;
    if (bad)
        soft_raise_err(s, VEC_GP, sel_error(d->sel, 0));
    if (!(d->attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(d->sel, 0));
}

/* Gates and TSSs: DPL >= CPL and >= RPL. */
static void check_gate_access(struct soft *s, const struct desc *d)
{
    if (attr_dpl(d->attr) < CPU(s)->cpl || attr_dpl(d->attr) < sel_rpl(d->sel))
        soft_raise_err(s, VEC_GP, sel_error(d->sel, 0));
}

static void check_present(struct soft *s, const struct desc *d)
{
    if (!(d->attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(d->sel, 0));
}

/* Code segment named by a call gate. */
static void gate_code(struct soft *s, const struct desc *gate, struct desc *code)
{
    const uint16_t sel = (uint16_t)(gate->w[0] >> 16);

    if (sel_null(sel))
        soft_raise_err(s, VEC_GP, 0);
    soft_desc_get(s, sel, VEC_GP, 0, code);
    if (!attr_code(code->attr) || attr_dpl(code->attr) > CPU(s)->cpl)
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
}

static bool gate_is32(const struct desc *gate)
{
    return (gate->attr & 8) != 0;
}

static uint32_t gate_offset(const struct desc *gate)
{
    const uint32_t low = gate->w[0] & 0xffff;
    return gate_is32(gate) ? low | (gate->w[1] & 0xffff0000u) : low;
}

static void jmp_code(struct soft *s, const struct desc *d, uint32_t eip)
{
    soft_check_eip(s, eip, soft_desc_limit(d), 0);
    soft_set_cs(s, d, CPU(s)->cpl);
    soft_core(s)->next_eip = eip;
    soft_mode_changed(s);
}

static void task_transfer(struct soft *s, const struct desc *tss, enum task_why why)
{
    const int type = attr_system(tss->attr);

    if (sel_local(tss->sel) || (type != ST_TSS16 && type != ST_TSS32))
        soft_raise_err(s, VEC_GP, sel_error(tss->sel, 0));
    check_present(s, tss);
    soft_task_switch_to(
        s, &(struct task_args){.sel = tss->sel, .why = why, .saved_eip = soft_core(s)->next_eip});
}

/* TSS, task gate; false: neither. */
static bool far_task(struct soft *s, const struct desc *d, enum task_why why)
{
    struct desc tss;

    switch (attr_system(d->attr)) {
    case ST_TSS16:
    case ST_TSS32:
    case ST_TSS16_BUSY:
    case ST_TSS32_BUSY:
        check_gate_access(s, d);
        task_transfer(s, d, why);
        return true;
    case ST_TASK: {
        const uint16_t sel = (uint16_t)(d->w[0] >> 16);
        check_gate_access(s, d);
        check_present(s, d);
        if (sel_local(sel))
            soft_raise_err(s, VEC_GP, sel_error(sel, 0));
        soft_desc_get(s, sel, VEC_GP, 0, &tss);
        task_transfer(s, &tss, why);
        return true;
    }
    default: return false;
    }
}

static bool is_call_gate(const struct desc *d)
{
    return attr_system(d->attr) == ST_CALL16 || attr_system(d->attr) == ST_CALL32;
}

static void get_target(struct soft *s, uint16_t sel, struct desc *d)
{
    if (sel_null(sel))
        soft_raise_err(s, VEC_GP, 0);
    soft_desc_get(s, sel, VEC_GP, 0, d);
}

static void jmp_gate(struct soft *s, const struct desc *gate)
{
    struct desc code;

    check_gate_access(s, gate);
    check_present(s, gate);
    gate_code(s, gate, &code);
    if (!attr_conforming(code.attr) && attr_dpl(code.attr) != CPU(s)->cpl)
        soft_raise_err(s, VEC_GP, sel_error(code.sel, 0));
    check_present(s, &code);
    jmp_code(s, &code, gate_offset(gate));
}

void soft_far_jmp(struct soft *s, uint16_t sel, uint32_t off, bool op32)
{
    const uint32_t eip = eip_of(off, op32);
    struct desc d;

    if (!segmented_mode(s)) {
        soft_check_eip(s, eip, CPU(s)->seg[SEG_CS].limit, 0);
        go_real(s, sel, eip);
        return;
    }
    get_target(s, sel, &d);
    if (attr_code(d.attr)) {
        check_code(s, &d);
        jmp_code(s, &d, eip);
    } else if (is_call_gate(&d)) {
        jmp_gate(s, &d);
    } else if (!far_task(s, &d, TASK_JMP)) {
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    }
}

/* Push CS and EIP of the caller on the current stack and go to eip in d, same privilege. */
static void call_same(struct soft *s, const struct desc *d, uint32_t eip, unsigned size)
{
    struct cpu *c = CPU(s);
    const uint32_t ret[2] = {c->seg[SEG_CS].sel, soft_core(s)->next_eip};
    const struct stack st = soft_stack_now(s, 0);

    soft_stack_probe(s, &st, 2, size);
    soft_check_eip(s, eip, soft_desc_limit(d), 0);
    soft_accessed_probe(s, d);
    c->gpr[R_ESP] = soft_stack_push(s, &st, ret, 2, size);
    soft_set_cs(s, d, c->cpl);
    soft_core(s)->next_eip = eip;
    soft_mode_changed(s);
}

/* Through a call gate to an inner ring: SDM vol. 3, 5.8.5. */
static void call_inner(struct soft *s, const struct desc *gate, const struct desc *code)
{
    struct cpu *c = CPU(s);
    const unsigned cpl = attr_dpl(code->attr);
    const unsigned size = gate_is32(gate) ? 4 : 2;
    const unsigned params = gate->w[1] & 0x1f;
    struct stack st;
    struct desc ssd;
    uint32_t v[4 + 31];
    unsigned n = 0;

    soft_inner_stack(s, cpl, 0, &st, &ssd);
    soft_stack_probe(s, &st, 4 + params, size);
    soft_check_eip(s, gate_offset(gate), soft_desc_limit(code), 0);
    v[n++] = c->seg[SEG_SS].sel;
    v[n++] = c->gpr[R_ESP];
    for (unsigned k = params; k-- > 0;)
        v[n++] = soft_stack_peek(s, k, 0, size);
    v[n++] = c->seg[SEG_CS].sel;
    v[n++] = soft_core(s)->next_eip;
    soft_accessed_probe(s, &ssd);
    soft_accessed_probe(s, code);

    c->gpr[R_ESP] = soft_stack_push(s, &st, v, n, size);
    soft_accessed_set(s, &ssd);
    c->seg[SEG_SS] = soft_desc_seg(&ssd, ssd.sel);
    soft_set_cs(s, code, cpl);
    soft_core(s)->next_eip = gate_offset(gate);
    soft_mode_changed(s);
}

static void call_gate(struct soft *s, const struct desc *gate)
{
    struct desc code;

    check_gate_access(s, gate);
    check_present(s, gate);
    gate_code(s, gate, &code);
    check_present(s, &code);
    if (!attr_conforming(code.attr) && attr_dpl(code.attr) < CPU(s)->cpl)
        call_inner(s, gate, &code);
    else
        call_same(s, &code, gate_offset(gate), gate_is32(gate) ? 4 : 2);
}

static void call_real(struct soft *s, uint16_t sel, uint32_t eip, unsigned size)
{
    struct cpu *c = CPU(s);
    const uint32_t ret[2] = {c->seg[SEG_CS].sel, soft_core(s)->next_eip};
    const struct stack st = soft_stack_now(s, 0);

    soft_stack_probe(s, &st, 2, size);
    soft_check_eip(s, eip, c->seg[SEG_CS].limit, 0);
    c->gpr[R_ESP] = soft_stack_push(s, &st, ret, 2, size);
    go_real(s, sel, eip);
}

void soft_far_call(struct soft *s, uint16_t sel, uint32_t off, bool op32)
{
    const uint32_t eip = eip_of(off, op32);
    const unsigned size = op32 ? 4 : 2;
    struct desc d;

    if (!segmented_mode(s)) {
        call_real(s, sel, eip, size);
        return;
    }
    get_target(s, sel, &d);
    if (attr_code(d.attr)) {
        check_code(s, &d);
        call_same(s, &d, eip, size);
    } else if (is_call_gate(&d)) {
        call_gate(s, &d);
    } else if (!far_task(s, &d, TASK_CALL)) {
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    }
}

/* The checks that RET makes of the return CS. */
static void check_return_cs(struct soft *s, uint16_t sel, struct desc *d)
{
    const unsigned rpl = sel_rpl(sel);

    get_target(s, sel, d);
    if (!attr_code(d->attr) || rpl < CPU(s)->cpl ||
        (attr_conforming(d->attr) ? attr_dpl(d->attr) > rpl : attr_dpl(d->attr) != rpl))
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    check_present(s, d);
}

static void ret_outer(struct soft *s, const struct desc *d, uint32_t eip, uint16_t imm,
                      unsigned size)
{
    struct cpu *c = CPU(s);
    const unsigned cpl = sel_rpl(d->sel);
    const uint32_t esp = soft_stack_peek(s, 2, imm, size);
    const uint16_t sel = (uint16_t)soft_stack_peek(s, 3, imm, size);
    struct desc ssd;

    soft_check_ss(s, sel, cpl, VEC_GP, 0, &ssd);
    soft_check_eip(s, eip, soft_desc_limit(d), 0);
    soft_accessed_probe(s, d);
    soft_accessed_probe(s, &ssd);

    soft_set_cs(s, d, cpl);
    soft_accessed_set(s, &ssd);
    c->seg[SEG_SS] = soft_desc_seg(&ssd, sel);
    c->gpr[R_ESP] = stack_pointer(&c->seg[SEG_SS], c->gpr[R_ESP], esp + imm);
    soft_drop_segs(s, cpl);
}

void soft_far_ret(struct soft *s, uint16_t imm, bool op32)
{
    const unsigned size = op32 ? 4 : 2;
    const uint32_t eip = soft_stack_peek(s, 0, 0, size);
    const uint16_t sel = (uint16_t)soft_stack_peek(s, 1, 0, size);
    struct desc d;

    if (!segmented_mode(s)) {
        soft_check_eip(s, eip, CPU(s)->seg[SEG_CS].limit, 0);
        soft_stack_move(s, 2 * size + imm);
        go_real(s, sel, eip);
        return;
    }
    check_return_cs(s, sel, &d);
    if (sel_rpl(sel) > CPU(s)->cpl) {
        ret_outer(s, &d, eip, imm, size);
    } else {
        soft_check_eip(s, eip, soft_desc_limit(&d), 0);
        soft_set_cs(s, &d, CPU(s)->cpl);
        soft_stack_move(s, 2 * size + imm);
    }
    soft_core(s)->next_eip = eip;
    soft_mode_changed(s);
}

void soft_op_jmp_far_imm(struct soft *s, const struct insn *i)
{
    soft_far_jmp(s, (uint16_t)i->imm2, i->disp, !insn_op16(i));
}

void soft_op_call_far_imm(struct soft *s, const struct insn *i)
{
    soft_far_call(s, (uint16_t)i->imm2, i->disp, !insn_op16(i));
}

/* m16:16 or m16:32. */
static uint16_t far_operand(struct soft *s, const struct insn *i, uint32_t *off)
{
    if (!(i->flags & INSN_MEM))
        soft_raise(s, VEC_UD);
    const unsigned size = insn_opsize(i);
    const uint32_t ea = soft_ea(s, i);
    const uint32_t mask = (i->flags & INSN_AD16) ? 0xffffu : UINT32_MAX;
    *off = size == 4 ? soft_read32(s, i->seg, ea) : soft_read16(s, i->seg, ea);
    return (uint16_t)soft_read16(s, i->seg, (ea + size) & mask);
}

void soft_op_jmp_far_mem(struct soft *s, const struct insn *i)
{
    uint32_t off;
    const uint16_t sel = far_operand(s, i, &off);
    soft_far_jmp(s, sel, off, !insn_op16(i));
}

void soft_op_call_far_mem(struct soft *s, const struct insn *i)
{
    uint32_t off;
    const uint16_t sel = far_operand(s, i, &off);
    soft_far_call(s, sel, off, !insn_op16(i));
}

void soft_op_ret_far(struct soft *s, const struct insn *i)
{
    soft_far_ret(s, i->opcode == 0xca ? (uint16_t)i->imm : 0, !insn_op16(i));
}

static struct seg flat_seg(uint32_t sel, unsigned dpl, uint16_t code)
{
    return (struct seg){.sel = (uint16_t)sel,
                        .attr = (uint16_t)(SA_P | SA_S | SA_RW | SA_ACCESSED | SA_DB | SA_G | code |
                                           dpl << SA_DPL_SHIFT),
                        .limit = UINT32_MAX};
}

/* SDM vol. 2, SYSENTER; vol. 3, 5.8.7: no descriptor is read. */
void soft_op_sysenter(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    (void)i;

    if (!cpu_protected(c) || (c->sysenter_cs & 0xfffc) == 0)
        soft_raise_err(s, VEC_GP, 0);
    soft_set_flags(s, FL_VM | FL_IF | FL_RF, 0);
    c->seg[SEG_CS] = flat_seg(c->sysenter_cs & 0xfffc, 0, SA_CODE);
    c->seg[SEG_SS] = flat_seg((c->sysenter_cs & 0xfffc) + 8, 0, 0);
    c->cpl = 0;
    c->gpr[R_ESP] = c->sysenter_esp;
    soft_core(s)->next_eip = c->sysenter_eip;
    soft_mode_changed(s);
}

void soft_op_sysexit(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    (void)i;

    if (!cpu_protected(c) || c->cpl != 0 || (c->sysenter_cs & 0xfffc) == 0)
        soft_raise_err(s, VEC_GP, 0);
    c->seg[SEG_CS] = flat_seg(((c->sysenter_cs & 0xfffc) + 16) | 3, 3, SA_CODE);
    c->seg[SEG_SS] = flat_seg(((c->sysenter_cs & 0xfffc) + 24) | 3, 3, 0);
    c->cpl = 3;
    c->gpr[R_ESP] = c->gpr[R_ECX];
    soft_core(s)->next_eip = c->gpr[R_EDX];
    soft_mode_changed(s);
}
