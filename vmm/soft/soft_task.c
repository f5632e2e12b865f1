/*
 * Task switches (SDM vol. 3, chapter 7).
 *
 * A switch has two parts. Up to the commit point nothing is changed when something faults: all of
 * both TSSs is probed first. Behind it the new task's registers are in the cpu, its segment
 * registers hold selectors but nothing else (SA_P clear), and soft_task_finish() qualifies them as
 * an instruction of its own in the new context. So a shadow table that lacks the GDT in the new
 * address space can be filled and the second part be tried again; a guest's own fault is delivered
 * in the new task.
 */
#include <string.h>

#include "vmm/soft/soft_sys.h"

enum tss32_layout {
    T32_CR3 = 0x1c,
    T32_EIP = 0x20,
    T32_EFLAGS = 0x24,
    T32_GPR = 0x28,
    T32_SEG = 0x48,
    T32_LDT = 0x60,
    T32_TRAP = 0x64,
    T32_LIMIT = 0x67
};
enum tss16_layout {
    T16_IP = 0x0e,
    T16_FLAGS = 0x10,
    T16_GPR = 0x12,
    T16_SEG = 0x22,
    T16_LDT = 0x2a,
    T16_LIMIT = 0x2b
};

/* A new task's state as its TSS has it. */
struct task_image {
    bool is32, trap;
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t seg[SEG_COUNT], ldt;
};

static void read_image32(struct soft *s, la_t tss, struct task_image *t)
{
    t->cr3 = soft_la_read32(s, tss + T32_CR3, false);
    t->eip = soft_la_read32(s, tss + T32_EIP, false);
    t->eflags = soft_la_read32(s, tss + T32_EFLAGS, false);
    for (unsigned r = 0; r < 8; r++)
        t->gpr[r] = soft_la_read32(s, tss + T32_GPR + 4 * r, false);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        t->seg[r] = (uint16_t)soft_la_read16(s, tss + T32_SEG + 4 * r, false);
    t->ldt = (uint16_t)soft_la_read16(s, tss + T32_LDT, false);
    t->trap = soft_la_read16(s, tss + T32_TRAP, false) & 1;
}

static void read_image16(struct soft *s, la_t tss, struct task_image *t)
{
    t->eip = soft_la_read16(s, tss + T16_IP, false);
    t->eflags = soft_la_read16(s, tss + T16_FLAGS, false);
    /* The manual leaves the upper halves open; processors fill them with ones. */
    for (unsigned r = 0; r < 8; r++)
        t->gpr[r] = soft_la_read16(s, tss + T16_GPR + 2 * r, false) | 0xffff0000u;
    for (unsigned r = 0; r < 4; r++)
        t->seg[r] = (uint16_t)soft_la_read16(s, tss + T16_SEG + 2 * r, false);
    t->ldt = (uint16_t)soft_la_read16(s, tss + T16_LDT, false);
}

static void save_image(struct soft *s, uint32_t eip, uint32_t flags)
{
    const struct cpu *c = CPU(s);
    const la_t tss = c->tr.base;

    if (tss_is32(c->tr.attr)) {
        soft_la_write32(s, tss + T32_EIP, eip, false);
        soft_la_write32(s, tss + T32_EFLAGS, flags, false);
        for (unsigned r = 0; r < 8; r++)
            soft_la_write32(s, tss + T32_GPR + 4 * r, c->gpr[r], false);
        for (unsigned r = 0; r < SEG_COUNT; r++)
            soft_la_write16(s, tss + T32_SEG + 4 * r, c->seg[r].sel, false);
    } else {
        soft_la_write16(s, tss + T16_IP, eip & 0xffff, false);
        soft_la_write16(s, tss + T16_FLAGS, flags & 0xffff, false);
        for (unsigned r = 0; r < 8; r++)
            soft_la_write16(s, tss + T16_GPR + 2 * r, c->gpr[r] & 0xffff, false);
        for (unsigned r = 0; r < 4; r++)
            soft_la_write16(s, tss + T16_SEG + 2 * r, c->seg[r].sel, false);
    }
}

static void probe_old(struct soft *s, uint32_t ext)
{
    const struct seg *tr = &CPU(s)->tr;
    const bool is32 = tss_is32(tr->attr);
    const uint32_t from = is32 ? T32_EIP : T16_IP;
    const uint32_t to = is32 ? T32_LDT : T16_LDT;

    if (!(tr->attr & SA_P) || tr->limit < to - 1)
        soft_raise_err(s, VEC_TS, sel_error(tr->sel, ext));
    soft_la_probe_write(s, tr->base + from, to - from, false);
}

static void set_busy(struct soft *s, la_t desc, uint8_t access, bool busy)
{
    soft_la_write8(s, desc + 5, busy ? access | 2u : access & ~2u, false);
}

/* Step 12 of SDM vol. 3, 7.3: the cpu takes the new state, segments by selector only. */
static void load_image(struct soft *s, const struct task_image *t)
{
    struct cpu *c = CPU(s);
    const uint32_t known = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT |
                           (t->is32 ? FL_RF | FL_VM | FL_AC | FL_ID : 0u);

    memcpy(c->gpr, t->gpr, sizeof t->gpr);
    soft_set_flags(s, UINT32_MAX, (t->eflags & known) | FL_ONE);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        c->seg[r] = (struct seg){.sel = t->seg[r]};
    c->ldtr = (struct seg){.sel = t->ldt};
    c->cpl = (t->eflags & known & FL_VM) ? 3 : (uint8_t)sel_rpl(t->seg[SEG_CS]);
    c->eip = soft_core(s)->next_eip = t->eip;
    soft_core(s)->stepped = false; /* from here on the new task's TF counts */
    c->cr0 |= CR0_TS;
    c->dr[7] &= ~(uint32_t)DR7_LOCAL; /* SDM vol. 3, 17.2.4 */
    c->int_shadow = c->db_shadow = c->halted = false;
}

/* What follows arises in the new task. An interrupt or INT n that led there has been delivered; an
 * exception that did is still one that a second may turn into a double fault. */
static void in_new_task(struct soft *s)
{
    struct soft_core *core = soft_core(s);

    core->task.loading = false;
    core->once = true;
    if (core->task.by_event && core->task.event.kind != SOFT_EV_FAULT)
        core->in_delivery = false;
    soft_mode_changed(s);
}

_Noreturn static void task_fault(struct soft *s, uint8_t vector, uint32_t error)
{
    in_new_task(s);
    soft_raise_err(s, vector, error);
}

static void load_cr3(struct soft *s, uint32_t cr3, uint16_t tss_sel, uint32_t ext)
{
    struct cpu *c = CPU(s);
    const struct soft_env *env = soft_core(s)->env;
    const uint32_t old = c->cr3;

    c->cr3 = cr3;
    if (env->cr_written && !env->cr_written(env->ctx, 3, old)) {
        c->cr3 = old;
        task_fault(s, VEC_TS, sel_error(tss_sel, ext));
    }
    soft_tlb_flush(s);
}

void soft_task_commit(struct soft *s, const struct task_args *a)
{
    struct cpu *c = CPU(s);
    struct soft_core *core = soft_core(s);
    const uint16_t old_sel = c->tr.sel;
    const bool nested = a->why == TASK_CALL || a->why == TASK_INT;
    struct task_image t = {0};
    struct desc d, old = {0};

    soft_desc_get(s, a->sel, a->why == TASK_IRET ? VEC_TS : VEC_GP, a->ext, &d);
    t.is32 = tss_is32(d.attr);
    if (soft_desc_limit(&d) < (t.is32 ? T32_LIMIT : T16_LIMIT))
        soft_raise_err(s, VEC_TS, sel_error(a->sel, a->ext));

    /* Everything that is read or written must be there before anything is changed. */
    const la_t tss = soft_desc_base(&d);
    probe_old(s, a->ext);
    if (t.is32)
        read_image32(s, tss, &t);
    else
        read_image16(s, tss, &t);
    if (nested)
        soft_la_probe_write(s, tss, 2, false);
    if (!nested) {
        soft_desc_get(s, old_sel, VEC_TS, a->ext, &old);
        soft_la_probe_write(s, old.la + 5, 1, false);
    }
    if (a->why != TASK_IRET)
        soft_la_probe_write(s, d.la + 5, 1, false);

    if (!nested)
        set_busy(s, old.la, (uint8_t)(old.w[1] >> 8), false);
    uint32_t flags = soft_flags(s) | a->saved_flags;
    if (a->why == TASK_IRET)
        flags &= ~(uint32_t)FL_NT;
    save_image(s, a->saved_eip, flags);
    /* Two switches can overlap in memory (JMP to a TSS that aliases the old one): read it again. */
    if (t.is32)
        read_image32(s, tss, &t);
    else
        read_image16(s, tss, &t);
    if (nested) {
        soft_la_write16(s, tss, old_sel, false);
        t.eflags |= FL_NT;
    }
    d.attr |= 2;
    if (a->why != TASK_IRET)
        set_busy(s, d.la, (uint8_t)(d.w[1] >> 8), true);
    c->tr = soft_desc_seg(&d, a->sel);

    load_image(s, &t);
    soft_mode_changed(s);
    core->task = (struct soft_task){.loading = true,
                                    .by_event = a->event != NULL,
                                    .trap = t.trap,
                                    .has_error = a->event && a->event->has_error,
                                    .error = a->event ? a->event->error : 0,
                                    .ext = a->ext};
    if (a->event)
        core->task.event = *a->event;
    if (t.is32 && cpu_paging(c))
        load_cr3(s, t.cr3, a->sel, a->ext);
}

void soft_task_switch_to(struct soft *s, const struct task_args *a)
{
    soft_task_commit(s, a);
    soft_task_finish(s);
}

void soft_task_switch(struct soft *s, uint16_t tss_sel, enum task_why why, bool has_err,
                      uint32_t err)
{
    const struct soft_event ev = {.has_error = has_err, .error = err, .kind = SOFT_EV_FAULT};
    soft_task_switch_to(s, &(struct task_args){.sel = tss_sel,
                                               .why = why,
                                               .event = why == TASK_INT ? &ev : NULL,
                                               .saved_eip = soft_core(s)->next_eip});
}

/* --- the new task's segments, in the order of SDM vol. 3, table 7-1 --- */

static void task_check(struct soft *s, bool ok, uint8_t vector, uint16_t sel)
{
    if (!ok)
        task_fault(s, vector, sel_error(sel, soft_core(s)->task.ext));
}

static void load_ldt(struct soft *s)
{
    struct cpu *c = CPU(s);
    const uint16_t sel = c->ldtr.sel;
    struct desc d;

    if (sel_null(sel) || (c->ldtr.attr & SA_P))
        return;
    task_check(s, !sel_local(sel) && soft_desc_try(s, sel, &d) && attr_system(d.attr) == ST_LDT,
               VEC_TS, sel);
    task_check(s, d.attr & SA_P, VEC_TS, sel);
    c->ldtr = soft_desc_seg(&d, sel);
}

static void load_cs_ss(struct soft *s)
{
    struct cpu *c = CPU(s);
    const uint16_t cs = c->seg[SEG_CS].sel, ss = c->seg[SEG_SS].sel;
    const unsigned rpl = sel_rpl(cs);
    struct desc cd, sd;

    task_check(s, !sel_null(cs) && soft_desc_try(s, cs, &cd) && attr_code(cd.attr), VEC_TS, cs);
    task_check(s, attr_conforming(cd.attr) ? attr_dpl(cd.attr) <= rpl : attr_dpl(cd.attr) == rpl,
               VEC_TS, cs);
    task_check(s, !sel_null(ss) && soft_desc_try(s, ss, &sd) && attr_writable_data(sd.attr), VEC_TS,
               ss);
    task_check(s, sd.attr & SA_P, VEC_SS, ss);
    task_check(s, attr_dpl(sd.attr) == rpl, VEC_TS, ss);
    task_check(s, cd.attr & SA_P, VEC_NP, cs);
    task_check(s, sel_rpl(ss) == rpl, VEC_TS, ss);
    soft_accessed_set(s, &cd);
    soft_accessed_set(s, &sd);
    c->seg[SEG_CS] = soft_desc_seg(&cd, cs);
    c->seg[SEG_SS] = soft_desc_seg(&sd, ss);
}

static void load_data(struct soft *s, unsigned seg)
{
    struct cpu *c = CPU(s);
    const uint16_t sel = c->seg[seg].sel;
    struct desc d;

    if (sel_null(sel))
        return;
    task_check(s, soft_desc_try(s, sel, &d) && attr_readable(d.attr), VEC_TS, sel);
    task_check(s, d.attr & SA_P, VEC_NP, sel);
    task_check(s,
               attr_conforming(d.attr) ||
                   (attr_dpl(d.attr) >= c->cpl && attr_dpl(d.attr) >= sel_rpl(sel)),
               VEC_TS, sel);
    soft_accessed_set(s, &d);
    c->seg[seg] = soft_desc_seg(&d, sel);
}

static void push_error(struct soft *s)
{
    struct soft_core *core = soft_core(s);
    const unsigned size = tss_is32(CPU(s)->tr.attr) ? 4 : 2;
    const uint32_t error = core->task.error;
    const struct stack st = soft_stack_now(s, core->task.ext);

    core->once = true; /* #SS ends the switch */
    soft_stack_probe(s, &st, 1, size);
    core->once = false;
    CPU(s)->gpr[R_ESP] = soft_stack_push(s, &st, &error, 1, size);
    core->task.has_error = false;
}

void soft_task_finish(struct soft *s)
{
    static const uint8_t data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    struct soft_core *core = soft_core(s);
    struct cpu *c = core->cpu;

    load_ldt(s);
    if (cpu_v86(c)) {
        for (unsigned r = 0; r < SEG_COUNT; r++)
            c->seg[r] = soft_v86_seg(c->seg[r].sel);
    } else {
        load_cs_ss(s);
        for (unsigned k = 0; k < sizeof data; k++)
            load_data(s, data[k]);
    }
    soft_mode_changed(s);
    if (core->task.has_error)
        push_error(s);
    core->task.loading = false;
    if (c->eip > c->seg[SEG_CS].limit)
        task_fault(s, VEC_GP, core->task.ext);
    if (core->task.trap) { /* SDM vol. 3, 17.3.1.5 */
        in_new_task(s);
        core->in_delivery = false;
        c->dr[6] |= DR6_BT;
        soft_raise_trap(s, VEC_DB);
    }
}
