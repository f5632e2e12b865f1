/* Pushes to a stack that is not current yet, and the stacks of inner rings (SDM vol. 3, 5.8.5). */
#include "vmm/soft/soft_sys.h"

static bool in_limit(const struct seg *g, uint32_t off, unsigned len)
{
    const uint64_t last = (uint64_t)off + len - 1;

    if (!(g->attr & SA_P))
        return false;
    if ((g->attr & (SA_S | SA_CODE | SA_EC)) == (SA_S | SA_EC))
        return off > g->limit && last <= stack_mask(g);
    return last <= g->limit;
}

struct stack soft_stack_now(struct soft *s, uint32_t error)
{
    const struct cpu *c = CPU(s);
    return (struct stack){
        .ss = c->seg[SEG_SS], .esp = c->gpr[R_ESP], .user = c->cpl == 3, .error = error};
}

void soft_stack_probe(struct soft *s, const struct stack *st, unsigned n, unsigned size)
{
    const uint32_t mask = stack_mask(&st->ss);

    for (unsigned k = 1; k <= n; k++)
        if (!in_limit(&st->ss, (st->esp - k * size) & mask, size))
            soft_raise_err(s, VEC_SS, st->error);
    if (st->user && CPU(s)->cpl == 3 && ((st->ss.base + st->esp) & (size - 1)) &&
        (CPU(s)->cr0 & CR0_AM) && (soft_flags(s) & FL_AC))
        soft_raise_err(s, VEC_AC, 0);
    for (unsigned k = 1; k <= n; k++)
        soft_la_probe_write(s, st->ss.base + ((st->esp - k * size) & mask), size, st->user);
}

uint32_t soft_stack_push(struct soft *s, const struct stack *st, const uint32_t *v, unsigned n,
                         unsigned size)
{
    const uint32_t mask = stack_mask(&st->ss);

    for (unsigned k = 1; k <= n; k++) {
        const la_t la = st->ss.base + ((st->esp - k * size) & mask);
        if (size == 4)
            soft_la_write32(s, la, v[k - 1], st->user);
        else
            soft_la_write16(s, la, v[k - 1] & 0xffff, st->user);
    }
    return stack_pointer(&st->ss, st->esp, st->esp - n * size);
}

uint32_t soft_stack_peek(struct soft *s, unsigned k, uint32_t off, unsigned size)
{
    const struct cpu *c = CPU(s);
    const uint32_t at = (c->gpr[R_ESP] + k * size + off) & stack_mask(&c->seg[SEG_SS]);
    return size == 4 ? soft_read32(s, SEG_SS, at) : soft_read16(s, SEG_SS, at);
}

void soft_stack_move(struct soft *s, uint32_t n)
{
    struct cpu *c = CPU(s);
    c->gpr[R_ESP] = stack_pointer(&c->seg[SEG_SS], c->gpr[R_ESP], c->gpr[R_ESP] + n);
}

void soft_inner_stack(struct soft *s, unsigned dpl, uint32_t ext, struct stack *st,
                      struct desc *ssd)
{
    const struct seg *tr = &CPU(s)->tr;
    const bool is32 = tss_is32(tr->attr);
    const uint32_t at = is32 ? dpl * 8 + 4 : dpl * 4 + 2;
    uint16_t sel;

    if (!(tr->attr & SA_P) || at + (is32 ? 5 : 3) > tr->limit)
        soft_raise_err(s, VEC_TS, sel_error(tr->sel, ext));
    if (is32) {
        st->esp = soft_la_read32(s, tr->base + at, false);
        sel = (uint16_t)soft_la_read16(s, tr->base + at + 4, false);
    } else {
        st->esp = soft_la_read16(s, tr->base + at, false);
        sel = (uint16_t)soft_la_read16(s, tr->base + at + 2, false);
    }
    soft_check_ss(s, sel, dpl, VEC_TS, ext, ssd);
    st->ss = soft_desc_seg(ssd, sel);
    st->user = dpl == 3;
    st->error = sel_error(sel, ext);
}
