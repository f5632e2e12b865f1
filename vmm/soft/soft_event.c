/*
 * One delivery of an exception or interrupt: through the IDT (SDM vol. 3, 6.11-6.14; vol. 2, INT n)
 * or real mode's vector table (vol. 3, 20.1.4), and debug events (vol. 3, 17).
 *
 * A delivery that faults has changed nothing but CR2. Saved EIP: next_eip of a software interrupt,
 * cpu->eip otherwise (for traps and interrupts it stands behind the instruction already).
 */
#include "vmm/soft/soft_sys.h"

/* A delivery on its way. */
struct delivery {
    const struct soft_event *ev;
    uint32_t ext;   /* EXT bit of error codes */
    uint32_t eip;   /* to save */
    uint32_t flags; /* to save */
    struct desc gate, code;
};

static uint32_t idt_error(const struct delivery *d)
{
    return d->ev->vector * 8u + 2 + d->ext;
}

static void done(struct soft *s, const struct delivery *d)
{
    struct cpu *c = CPU(s);

    c->halted = c->int_shadow = c->db_shadow = false;
    if (d->ev->kind == SOFT_EV_NMI)
        c->nmi_blocked = true;
    if (d->ev->vector == VEC_DB && d->ev->kind != SOFT_EV_SOFTINT)
        c->dr[7] &= ~(uint32_t)DR7_GD; /* SDM vol. 3, 17.2.4 */
    soft_mode_changed(s);
}

static void enter(struct soft *s, const struct delivery *d, uint32_t eip)
{
    CPU(s)->eip = soft_core(s)->next_eip = eip;
    done(s, d);
}

/* --- real mode --- */

static void deliver_real(struct soft *s, const struct delivery *d)
{
    struct cpu *c = CPU(s);
    const uint32_t at = d->ev->vector * 4u;
    const uint32_t v[3] = {d->flags, c->seg[SEG_CS].sel, d->eip};
    const struct stack st = soft_stack_now(s, 0);

    if (at + 3 > c->idtr.limit)
        soft_raise_err(s, VEC_GP, idt_error(d));
    const uint32_t vec = soft_la_read32(s, c->idtr.base + at, false);
    soft_stack_probe(s, &st, 3, 2);
    soft_check_eip(s, vec & 0xffff, c->seg[SEG_CS].limit, d->ext);
    c->gpr[R_ESP] = soft_stack_push(s, &st, v, 3, 2);
    soft_set_flags(s, FL_IF | FL_TF | FL_AC | FL_RF, 0);
    soft_load_seg_real(s, SEG_CS, (uint16_t)(vec >> 16));
    enter(s, d, vec & 0xffff);
}

/* --- protected mode --- */

static bool gate_is32(const struct desc *g)
{
    return (g->attr & 8) != 0;
}

static uint32_t gate_offset(const struct desc *g)
{
    const uint32_t low = g->w[0] & 0xffff;
    return gate_is32(g) ? low | (g->w[1] & 0xffff0000u) : low;
}

static bool event_gate(int type)
{
    return type == ST_TASK || type == ST_INT16 || type == ST_TRAP16 || type == ST_INT32 ||
           type == ST_TRAP32;
}

static void get_gate(struct soft *s, struct delivery *d)
{
    const struct cpu *c = CPU(s);
    const uint32_t at = d->ev->vector * 8u;

    if (at + 7 > c->idtr.limit)
        soft_raise_err(s, VEC_GP, idt_error(d));
    d->gate.la = c->idtr.base + at;
    d->gate.w[0] = soft_la_read32(s, d->gate.la, false);
    d->gate.w[1] = soft_la_read32(s, d->gate.la + 4, false);
    d->gate.attr = (uint16_t)((d->gate.w[1] >> 8) & 0xf0ff);
    if (!event_gate(attr_system(d->gate.attr)))
        soft_raise_err(s, VEC_GP, idt_error(d));
    if (d->ev->kind == SOFT_EV_SOFTINT && attr_dpl(d->gate.attr) < c->cpl)
        soft_raise_err(s, VEC_GP, idt_error(d));
    if (!(d->gate.attr & SA_P))
        soft_raise_err(s, VEC_NP, idt_error(d));
}

static void deliver_task(struct soft *s, const struct delivery *d)
{
    const uint16_t sel = (uint16_t)(d->gate.w[0] >> 16);
    struct desc tss;

    if (sel_local(sel))
        soft_raise_err(s, VEC_GP, sel_error(sel, d->ext));
    soft_desc_get(s, sel, VEC_GP, d->ext, &tss);
    if (attr_system(tss.attr) != ST_TSS16 && attr_system(tss.attr) != ST_TSS32)
        soft_raise_err(s, VEC_GP, sel_error(sel, d->ext));
    if (!(tss.attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(sel, d->ext));
    soft_task_commit(s, &(struct task_args){.sel = sel,
                                            .why = TASK_INT,
                                            .event = d->ev,
                                            .ext = d->ext,
                                            .saved_eip = d->eip,
                                            .saved_flags = d->flags & FL_RF});
    done(s, d);
    soft_task_finish(s);
}

static void get_code(struct soft *s, struct delivery *d)
{
    const uint16_t sel = (uint16_t)(d->gate.w[0] >> 16);

    if (sel_null(sel))
        soft_raise_err(s, VEC_GP, d->ext);
    soft_desc_get(s, sel, VEC_GP, d->ext, &d->code);
    if (!attr_code(d->code.attr) || attr_dpl(d->code.attr) > CPU(s)->cpl)
        soft_raise_err(s, VEC_GP, sel_error(sel, d->ext));
    if (!(d->code.attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(sel, d->ext));
    /* From virtual-8086 mode only into a nonconforming segment of ring 0. */
    if (cpu_v86(CPU(s)) && (attr_conforming(d->code.attr) || attr_dpl(d->code.attr) != 0))
        soft_raise_err(s, VEC_GP, sel_error(sel, d->ext));
}

/* What is pushed, in order; returns how many. */
static unsigned build_frame(struct soft *s, const struct delivery *d, bool inner, uint32_t *v)
{
    const struct cpu *c = CPU(s);
    unsigned n = 0;

    if (cpu_v86(c)) {
        v[n++] = c->seg[SEG_GS].sel;
        v[n++] = c->seg[SEG_FS].sel;
        v[n++] = c->seg[SEG_DS].sel;
        v[n++] = c->seg[SEG_ES].sel;
    }
    if (inner) {
        v[n++] = c->seg[SEG_SS].sel;
        v[n++] = c->gpr[R_ESP];
    }
    v[n++] = d->flags;
    v[n++] = c->seg[SEG_CS].sel;
    v[n++] = d->eip;
    if (d->ev->has_error)
        v[n++] = d->ev->error;
    return n;
}

static void set_handler_flags(struct soft *s, const struct delivery *d)
{
    uint32_t clear = FL_TF | FL_VM | FL_RF | FL_NT;
    if (!(d->gate.attr & 1)) /* interrupt gate */
        clear |= FL_IF;
    soft_set_flags(s, clear, 0);
}

static void deliver_inner(struct soft *s, const struct delivery *d)
{
    static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    struct cpu *c = CPU(s);
    const unsigned size = gate_is32(&d->gate) ? 4 : 2;
    const unsigned cpl = attr_dpl(d->code.attr);
    const bool from_v86 = cpu_v86(c);
    uint32_t v[10];
    const unsigned n = build_frame(s, d, true, v);
    struct stack st;
    struct desc ssd;

    soft_inner_stack(s, cpl, d->ext, &st, &ssd);
    soft_stack_probe(s, &st, n, size);
    soft_check_eip(s, gate_offset(&d->gate), soft_desc_limit(&d->code), d->ext);
    soft_accessed_probe(s, &ssd);
    soft_accessed_probe(s, &d->code);

    c->gpr[R_ESP] = soft_stack_push(s, &st, v, n, size);
    soft_accessed_set(s, &ssd);
    c->seg[SEG_SS] = soft_desc_seg(&ssd, ssd.sel);
    soft_set_cs(s, &d->code, cpl);
    for (unsigned k = 0; from_v86 && k < sizeof data; k++)
        c->seg[data[k]] = (struct seg){0};
    set_handler_flags(s, d);
    enter(s, d, gate_offset(&d->gate));
}

static void deliver_same(struct soft *s, const struct delivery *d)
{
    struct cpu *c = CPU(s);
    const unsigned size = gate_is32(&d->gate) ? 4 : 2;
    const struct stack st = soft_stack_now(s, d->ext);
    uint32_t v[10];
    const unsigned n = build_frame(s, d, false, v);

    soft_stack_probe(s, &st, n, size);
    soft_check_eip(s, gate_offset(&d->gate), soft_desc_limit(&d->code), d->ext);
    soft_accessed_probe(s, &d->code);

    c->gpr[R_ESP] = soft_stack_push(s, &st, v, n, size);
    soft_set_cs(s, &d->code, c->cpl);
    set_handler_flags(s, d);
    enter(s, d, gate_offset(&d->gate));
}

static bool same_event(const struct soft_event *a, const struct soft_event *b)
{
    return a->vector == b->vector && a->kind == b->kind && a->has_error == b->has_error &&
           (!a->has_error || a->error == b->error) && (a->vector != VEC_PF || a->cr2 == b->cr2);
}

/* A task switch stands half-way. The event that began it: go on, true. Another one (a fault of the
 * new task): its remaining segments stay unusable, and it is delivered there. */
static bool continue_task(struct soft *s, const struct soft_event *ev)
{
    struct soft_core *core = soft_core(s);

    if (core->task.by_event && same_event(ev, &core->task.event)) {
        soft_task_finish(s);
        return true;
    }
    core->task.loading = false;
    return false;
}

void soft_deliver_event(struct soft *s, const struct soft_event *ev)
{
    struct cpu *c = CPU(s);
    struct delivery d = {.ev = ev,
                         .ext = ev->kind != SOFT_EV_SOFTINT,
                         .eip = ev->kind == SOFT_EV_SOFTINT ? ev->next_eip : c->eip,
                         .flags = soft_flags(s)};

    if (soft_core(s)->task.loading && continue_task(s, ev))
        return;
    if (ev->vector == VEC_PF && ev->kind == SOFT_EV_FAULT)
        c->cr2 = ev->cr2;
    if (!cpu_protected(c)) {
        deliver_real(s, &d);
        return;
    }
    /* Restarted instructions must not meet their own breakpoint again (SDM vol. 3, 17.3.1.1). */
    if (ev->kind == SOFT_EV_FAULT && ev->vector != VEC_DB)
        d.flags |= FL_RF;
    get_gate(s, &d);
    if (attr_system(d.gate.attr) == ST_TASK) {
        deliver_task(s, &d);
        return;
    }
    get_code(s, &d);
    if (!attr_conforming(d.code.attr) && attr_dpl(d.code.attr) < c->cpl)
        deliver_inner(s, &d);
    else
        deliver_same(s, &d);
}
