/* Descriptors and loads of segment registers (SDM vol. 3, 3.4, 5.4-5.7; vol. 2, MOV and POP). */
#include "vmm/soft/soft_sys.h"

bool soft_read_desc(struct soft *s, uint16_t sel, uint32_t desc[2], la_t *la)
{
    const struct cpu *c = CPU(s);
    const uint32_t index = sel & 0xfff8u;
    la_t at;

    if (sel_local(sel)) {
        if (!(c->ldtr.attr & SA_P) || index + 7 > c->ldtr.limit)
            return false;
        at = c->ldtr.base + index;
    } else {
        if (index == 0 || index + 7 > c->gdtr.limit)
            return false;
        at = c->gdtr.base + index;
    }
    desc[0] = soft_la_read32(s, at, false);
    desc[1] = soft_la_read32(s, at + 4, false);
    if (la)
        *la = at;
    return true;
}

bool soft_desc_try(struct soft *s, uint16_t sel, struct desc *out)
{
    if (!soft_read_desc(s, sel, out->w, &out->la))
        return false;
    out->sel = sel;
    out->attr = (uint16_t)((out->w[1] >> 8) & 0xf0ff);
    return true;
}

void soft_desc_get(struct soft *s, uint16_t sel, uint8_t vector, uint32_t ext, struct desc *out)
{
    if (!soft_desc_try(s, sel, out))
        soft_raise_err(s, vector, sel_error(sel, ext));
}

void soft_desc_to_seg(uint16_t sel, const uint32_t desc[2], struct seg *out)
{
    const struct desc d = {
        .w = {desc[0], desc[1]}, .sel = sel, .attr = (uint16_t)((desc[1] >> 8) & 0xf0ff)};
    *out = soft_desc_seg(&d, sel);
}

void soft_accessed_probe(struct soft *s, const struct desc *d)
{
    if ((d->attr & (SA_S | SA_ACCESSED)) == SA_S)
        soft_la_probe_write(s, d->la + 5, 1, false);
}

void soft_accessed_set(struct soft *s, const struct desc *d)
{
    if ((d->attr & (SA_S | SA_ACCESSED)) == SA_S)
        soft_la_write8(s, d->la + 5, (d->attr & 0xff) | SA_ACCESSED, false);
}

void soft_check_eip(struct soft *s, uint32_t eip, uint32_t limit, uint32_t ext)
{
    if (eip > limit)
        soft_raise_err(s, VEC_GP, ext);
}

void soft_set_cs(struct soft *s, const struct desc *d, unsigned cpl)
{
    struct cpu *c = CPU(s);
    soft_accessed_set(s, d);
    c->seg[SEG_CS] = soft_desc_seg(d, (uint16_t)((d->sel & 0xfffc) | cpl));
    c->cpl = (uint8_t)cpl;
}

void soft_check_ss(struct soft *s, uint16_t sel, unsigned cpl, uint8_t vector, uint32_t ext,
                   struct desc *out)
{
    if (sel_null(sel))
        soft_raise_err(s, vector, ext);
    soft_desc_get(s, sel, vector, ext, out);
    if (sel_rpl(sel) != cpl || !attr_writable_data(out->attr) || attr_dpl(out->attr) != cpl)
        soft_raise_err(s, vector, sel_error(sel, ext));
    if (!(out->attr & SA_P))
        soft_raise_err(s, VEC_SS, sel_error(sel, ext));
}

void soft_drop_segs(struct soft *s, unsigned cpl)
{
    static const uint8_t order[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};
    struct cpu *c = CPU(s);

    for (unsigned k = 0; k < sizeof order; k++) {
        struct seg *g = &c->seg[order[k]];
        if (sel_null(g->sel) || (!attr_conforming(g->attr) && attr_dpl(g->attr) < cpl))
            *g = (struct seg){0};
    }
}

struct seg soft_v86_seg(uint16_t sel)
{
    return (struct seg){.sel = sel,
                        .attr = SA_P | SA_S | SA_RW | SA_ACCESSED | SA_DPL,
                        .base = (uint32_t)sel << 4,
                        .limit = 0xffff};
}

/* In real mode a load changes selector and base only: limit and D/B stay, which is what "unreal"
 * mode lives on. Access rights become those of a writable data segment, CS included. */
void soft_load_seg_real(struct soft *s, unsigned seg, uint16_t sel)
{
    struct cpu *c = CPU(s);

    if (cpu_v86(c)) {
        c->seg[seg] = soft_v86_seg(sel);
        return;
    }
    c->seg[seg].sel = sel;
    c->seg[seg].base = (uint32_t)sel << 4;
    c->seg[seg].attr = (uint16_t)((c->seg[seg].attr & (SA_DB | SA_G | SA_AVL)) | SA_P | SA_S |
                                  SA_RW | SA_ACCESSED);
}

/* DS, ES, FS, GS: SDM vol. 3, 5.6 and vol. 2, MOV. */
static void load_data_seg(struct soft *s, unsigned seg, uint16_t sel)
{
    struct cpu *c = CPU(s);
    struct desc d;

    if (sel_null(sel)) {
        c->seg[seg] = (struct seg){.sel = sel};
        return;
    }
    soft_desc_get(s, sel, VEC_GP, 0, &d);
    const bool bad_priv =
        !attr_conforming(d.attr) && (sel_rpl(sel) > attr_dpl(d.attr) || c->cpl > attr_dpl(d.attr));
    if (!attr_readable(d.attr) || bad_priv)
        soft_raise_err(s, VEC_GP, sel_error(sel, 0));
    if (!(d.attr & SA_P))
        soft_raise_err(s, VEC_NP, sel_error(sel, 0));
    soft_accessed_set(s, &d);
    c->seg[seg] = soft_desc_seg(&d, sel);
}

void soft_load_seg(struct soft *s, unsigned seg, uint16_t sel)
{
    struct cpu *c = CPU(s);
    struct desc d;

    if (!cpu_protected(c) || cpu_v86(c)) {
        soft_load_seg_real(s, seg, sel);
    } else if (seg == SEG_SS) {
        soft_check_ss(s, sel, c->cpl, VEC_GP, 0, &d);
        soft_accessed_set(s, &d);
        c->seg[SEG_SS] = soft_desc_seg(&d, sel);
    } else {
        load_data_seg(s, seg, sel);
    }
    soft_mode_changed(s);
}
