/* Instructions on segment registers and descriptors: MOV, PUSH, POP, LDS family, LAR, LSL, VERR,
 * VERW, ARPL, LLDT, SLDT, LTR, STR. */
#include "vmm/soft/soft_sys.h"

uint16_t soft_rm16(struct soft *s, const struct insn *i)
{
    if (i->flags & INSN_MEM)
        return (uint16_t)soft_read16(s, i->seg, soft_ea(s, i));
    return (uint16_t)CPU(s)->gpr[i->rm];
}

void soft_store_rm16(struct soft *s, const struct insn *i, uint32_t v)
{
    if (i->flags & INSN_MEM)
        soft_write16(s, i->seg, soft_ea(s, i), v & 0xffff);
    else
        gpr_set(CPU(s), i->rm, v, insn_op16(i));
}

/* After MOV SS and POP SS the next instruction runs before any interrupt or debug trap (SDM vol. 3,
 * 6.8.3), unless this one already stood in such a shadow. */
void soft_end_of_seg_load(struct soft *s, unsigned seg)
{
    struct cpu *c = CPU(s);
    if (seg == SEG_SS)
        c->int_shadow = c->db_shadow = true;
}

void soft_op_mov_to_seg(struct soft *s, const struct insn *i)
{
    const unsigned seg = (i->modrm >> 3) & 7;

    if (seg == SEG_CS || seg >= SEG_COUNT)
        soft_raise(s, VEC_UD);
    soft_load_seg(s, seg, soft_rm16(s, i));
    soft_end_of_seg_load(s, seg);
}

void soft_op_mov_from_seg(struct soft *s, const struct insn *i)
{
    const unsigned seg = (i->modrm >> 3) & 7;

    if (seg >= SEG_COUNT)
        soft_raise(s, VEC_UD);
    soft_store_rm16(s, i, CPU(s)->seg[seg].sel);
}

/* The register number of PUSH and POP lies in bits 3..5 of the opcode in both opcode maps. */
static unsigned opcode_seg(const struct insn *i)
{
    return (i->opcode >> 3) & 7;
}

void soft_op_push_seg(struct soft *s, const struct insn *i)
{
    const unsigned size = insn_opsize(i);
    const struct stack st = soft_stack_now(s, 0);
    const uint32_t v = CPU(s)->seg[opcode_seg(i)].sel;

    soft_stack_probe(s, &st, 1, size);
    CPU(s)->gpr[R_ESP] = soft_stack_push(s, &st, &v, 1, size);
}

void soft_op_pop_seg(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned size = insn_opsize(i);
    const uint16_t sel = (uint16_t)soft_stack_peek(s, 0, 0, size);
    const uint32_t esp = stack_pointer(&c->seg[SEG_SS], c->gpr[R_ESP], c->gpr[R_ESP] + size);

    soft_load_seg(s, opcode_seg(i), sel);
    c->gpr[R_ESP] = esp;
    soft_end_of_seg_load(s, opcode_seg(i));
}

static unsigned far_ptr_seg(const struct insn *i)
{
    if (i->map == 0)
        return i->opcode == 0xc4 ? SEG_ES : SEG_DS;
    return i->opcode == 0xb2 ? SEG_SS : i->opcode == 0xb4 ? SEG_FS : SEG_GS;
}

/* LDS, LES, LFS, LGS, LSS. LSS casts no interrupt shadow. */
void soft_op_load_far_ptr(struct soft *s, const struct insn *i)
{
    const unsigned size = insn_opsize(i);

    if (!(i->flags & INSN_MEM))
        soft_raise(s, VEC_UD);
    const uint32_t ea = soft_ea(s, i);
    const uint32_t mask = (i->flags & INSN_AD16) ? 0xffffu : UINT32_MAX;
    const uint32_t off = size == 4 ? soft_read32(s, i->seg, ea) : soft_read16(s, i->seg, ea);
    const uint16_t sel = (uint16_t)soft_read16(s, i->seg, (ea + size) & mask);

    soft_load_seg(s, far_ptr_seg(i), sel);
    gpr_set(CPU(s), i->reg, off, size == 2);
}

/* The privilege rule of LAR, LSL, VERR and VERW. */
static bool visible(struct soft *s, const struct desc *d)
{
    return attr_conforming(d->attr) ||
           (attr_dpl(d->attr) >= CPU(s)->cpl && attr_dpl(d->attr) >= sel_rpl(d->sel));
}

static void set_zf(struct soft *s, bool on)
{
    soft_set_flags(s, FL_ZF, on ? FL_ZF : 0);
}

/* system_types: bit n set where LAR or LSL accepts system descriptors of type n. */
static bool query(struct soft *s, const struct insn *i, uint32_t system_types, struct desc *d)
{
    soft_need_protected(s);
    const uint16_t sel = soft_rm16(s, i);
    if (!soft_desc_try(s, sel, d))
        return false;
    if (!(d->attr & SA_S) && !(system_types >> (d->attr & SA_TYPE) & 1))
        return false;
    return visible(s, d);
}

#define TYPE(t) (1u << (t))

void soft_op_lar(struct soft *s, const struct insn *i)
{
    const uint32_t types = TYPE(ST_TSS16) | TYPE(ST_LDT) | TYPE(ST_TSS16_BUSY) | TYPE(ST_CALL16) |
                           TYPE(ST_TASK) | TYPE(ST_TSS32) | TYPE(ST_TSS32_BUSY) | TYPE(ST_CALL32);
    struct desc d;
    const bool ok = query(s, i, types, &d);

    if (ok)
        gpr_set(CPU(s), i->reg, d.w[1] & 0x00ffff00, insn_op16(i));
    set_zf(s, ok);
}

void soft_op_lsl(struct soft *s, const struct insn *i)
{
    const uint32_t types =
        TYPE(ST_TSS16) | TYPE(ST_LDT) | TYPE(ST_TSS16_BUSY) | TYPE(ST_TSS32) | TYPE(ST_TSS32_BUSY);
    struct desc d;
    const bool ok = query(s, i, types, &d);

    if (ok)
        gpr_set(CPU(s), i->reg, soft_desc_limit(&d), insn_op16(i));
    set_zf(s, ok);
}

void soft_op_verr(struct soft *s, const struct insn *i)
{
    struct desc d;
    set_zf(s, query(s, i, 0, &d) && attr_readable(d.attr));
}

void soft_op_verw(struct soft *s, const struct insn *i)
{
    struct desc d;
    set_zf(s, query(s, i, 0, &d) && attr_writable_data(d.attr));
}

void soft_op_arpl(struct soft *s, const struct insn *i)
{
    soft_need_protected(s);
    const uint32_t rpl = CPU(s)->gpr[i->reg] & 3;
    const uint16_t dst = soft_rm16(s, i);
    const bool raise = sel_rpl(dst) < rpl;

    if (raise) { /* memory is written, and needs to be writable, only then */
        const uint32_t v = (dst & 0xfffcu) | rpl;
        if (i->flags & INSN_MEM)
            soft_write16(s, i->seg, soft_ea(s, i), v);
        else
            gpr_set(CPU(s), i->rm, v, true);
    }
    set_zf(s, raise);
}

/* LLDT and LTR: the descriptor must lie in the GDT. */
static void get_global(struct soft *s, uint16_t sel, struct desc *d)
{
    if (sel_local(sel))
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    soft_desc_get(s, sel, VEC_GP, 0, d);
}

void soft_op_lldt(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    struct desc d;

    soft_need_protected(s);
    soft_need_cpl0(s);
    const uint16_t sel = soft_rm16(s, i);
    if (sel_null(sel)) {
        c->ldtr = (struct seg){.sel = sel};
        return;
    }
    get_global(s, sel, &d);
    if (attr_system(d.attr) != ST_LDT)
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    if (!(d.attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(sel, 0));
    c->ldtr = soft_desc_seg(&d, sel);
}

void soft_op_ltr(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    struct desc d;

    soft_need_protected(s);
    soft_need_cpl0(s);
    const uint16_t sel = soft_rm16(s, i);
    if (sel_null(sel))
        soft_raise_err(s, VEC_GP, 0);
    get_global(s, sel, &d);
    if (attr_system(d.attr) != ST_TSS16 && attr_system(d.attr) != ST_TSS32)
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    if (!(d.attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(sel, 0));
    d.attr |= 2; /* busy */
    soft_la_write8(s, d.la + 5, d.attr & 0xff, false);
    c->tr = soft_desc_seg(&d, sel);
}

static void store_system(struct soft *s, const struct insn *i, uint16_t v)
{
    soft_need_protected(s);
    if (CPU(s)->cr4 & CR4_UMIP)
        soft_need_cpl0(s);
    soft_store_rm16(s, i, v);
}

void soft_op_sldt(struct soft *s, const struct insn *i)
{
    store_system(s, i, CPU(s)->ldtr.sel);
}

void soft_op_str(struct soft *s, const struct insn *i)
{
    store_system(s, i, CPU(s)->tr.sel);
}
