/*
 * MOVS CMPS STOS LODS SCAS, alone and with REP.
 *
 *  R1  Registers (and flags) are those after the last whole element whenever anything can fault, so
 * a REP that faults or is interrupted goes on where it stopped. R2  One visit does at most VISIT
 * elements and then comes back to the run loop with EIP on itself, so budget, interrupts and kicks
 * are honoured. With breakpoints or single-step armed: one element. R3  Bulk work is done only
 * within a page on either side, through the TLB's hit path, within limits.
 */
#include "vmm/soft/soft_ops.h"

enum { VISIT = 1 << 16 };

struct string {
    uint32_t mask; /* of ESI, EDI, ECX: address size */
    uint32_t step; /* per element, may be "negative" */
    unsigned size;
    unsigned src; /* source segment */
    bool rep;
};

static struct string string_of(struct soft *s, const struct insn *i)
{
    struct string t = {.mask = (i->flags & INSN_AD16) ? 0xffff : UINT32_MAX,
                       .size = !(i->opcode & 1)         ? 1
                               : (i->flags & INSN_OP16) ? 2
                                                        : 4,
                       .src = i->seg,
                       .rep = (i->flags & (INSN_REP | INSN_REPNE)) != 0};
    t.step = (CPU(s)->eflags & FL_DF) ? -t.size : t.size;
    return t;
}

static void advance(struct cpu *c, const struct string *t, unsigned r, uint32_t n)
{
    c->gpr[r] = (c->gpr[r] & ~t->mask) | ((c->gpr[r] + n * t->step) & t->mask);
}

static void count_down(struct cpu *c, const struct string *t, uint32_t n)
{
    if (t->rep)
        c->gpr[R_ECX] = (c->gpr[R_ECX] & ~t->mask) | ((c->gpr[R_ECX] - n) & t->mask);
}

/* Elements that this visit may do. */
static uint32_t visit_count(struct soft *s, const struct string *t)
{
    const uint32_t n = CPU(s)->gpr[R_ECX] & t->mask;

    if (!t->rep)
        return 1;
    if (n && (s->bp_data || (CPU(s)->eflags & FL_TF)))
        return 1;
    return n < VISIT ? n : VISIT;
}

/* More to do: come back to this instruction, which counts when it is done. */
static void again(struct soft *s, const struct string *t)
{
    if (!t->rep || !(CPU(s)->gpr[R_ECX] & t->mask))
        return;
    s->core.next_eip = CPU(s)->eip;
    soft_uncount(s);
}

static bool stopped(struct soft *s)
{
    return atomic_load_explicit(&s->core.attention, memory_order_relaxed) != 0 || s->brk;
}

/* --- bulk ---------------------------------------------------------------------------------- */

static uint32_t run_at(struct soft *s, const struct string *t, unsigned seg, uint32_t off,
                       bool write, uint32_t n, uint8_t **p)
{
    if (t->step != t->size)
        return 0;
    return soft_run_at(
        s,
        &(struct soft_run){
            .seg = seg, .off = off, .mask = t->mask, .size = t->size, .write = write},
        n, p);
}

/* As element after element would, upwards, even where destination overlaps source. */
static void copy_up(uint8_t *dst, const uint8_t *src, uint32_t n, unsigned size)
{
    const size_t bytes = (size_t)n * size;

    if (dst <= src || dst >= src + bytes) {
        memmove(dst, src, bytes);
        return;
    }
    for (uint32_t k = 0; k < n; k++, dst += size, src += size) {
        uint32_t v = 0;
        memcpy(&v, src, size);
        memcpy(dst, &v, size);
    }
}

static void fill(uint8_t *dst, uint32_t v, uint32_t n, unsigned size)
{
    if (size == 1) {
        memset(dst, (int)v, n);
        return;
    }
    for (uint32_t k = 0; k < n; k++)
        memcpy(dst + (size_t)k * size, &v, size);
}

/* --- elements ------------------------------------------------------------------------------ */

static uint32_t get(struct soft *s, unsigned seg, uint32_t off, unsigned size)
{
    return size == 1   ? soft_read8(s, seg, off)
           : size == 2 ? soft_read16(s, seg, off)
                       : soft_read32(s, seg, off);
}

static void put(struct soft *s, unsigned seg, uint32_t off, uint32_t v, unsigned size)
{
    if (size == 1)
        soft_write8(s, seg, off, v);
    else if (size == 2)
        soft_write16(s, seg, off, v);
    else
        soft_write32(s, seg, off, v);
}

static void movs(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const struct string t = string_of(s, i);
    uint32_t left = visit_count(s, &t);

    while (left) {
        const uint32_t from = c->gpr[R_ESI] & t.mask, to = c->gpr[R_EDI] & t.mask;
        uint8_t *src, *dst;
        uint32_t n = run_at(s, &t, t.src, from, false, left, &src);
        n = n ? run_at(s, &t, SEG_ES, to, true, n, &dst) : 0;
        if (n) {
            copy_up(dst, src, n, t.size);
        } else {
            /* A device must not be read for an element whose store then faults. */
            const la_t la = soft_seg_la(s, t.src, from, t.size, SOFT_R);
            soft_la_probe_read(s, la, t.size, soft_user(s));
            soft_probe_write(s, SEG_ES, to, t.size);
            put(s, SEG_ES, to, get(s, t.src, from, t.size), t.size);
            n = 1;
        }
        advance(c, &t, R_ESI, n);
        advance(c, &t, R_EDI, n);
        count_down(c, &t, n);
        left -= n;
        if (stopped(s))
            break;
    }
    again(s, &t);
}

static void stos(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const struct string t = string_of(s, i);
    uint32_t left = visit_count(s, &t);

    while (left) {
        const uint32_t to = c->gpr[R_EDI] & t.mask;
        uint8_t *dst;
        uint32_t n = run_at(s, &t, SEG_ES, to, true, left, &dst);
        if (n) {
            fill(dst, c->gpr[R_EAX], n, t.size);
        } else {
            put(s, SEG_ES, to, c->gpr[R_EAX], t.size);
            n = 1;
        }
        advance(c, &t, R_EDI, n);
        count_down(c, &t, n);
        left -= n;
        if (stopped(s))
            break;
    }
    again(s, &t);
}

static void acc_set(struct cpu *c, uint32_t v, unsigned size)
{
    if (size == 1)
        reg_set8(c, R_EAX, (uint8_t)v);
    else if (size == 2)
        reg_set16(c, R_EAX, (uint16_t)v);
    else
        c->gpr[R_EAX] = v;
}

static void lods(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const struct string t = string_of(s, i);

    for (uint32_t left = visit_count(s, &t); left; left--) {
        acc_set(c, get(s, t.src, c->gpr[R_ESI] & t.mask, t.size), t.size);
        advance(c, &t, R_ESI, 1);
        count_down(c, &t, 1);
        if (stopped(s))
            break;
    }
    again(s, &t);
}

static void compare(struct soft *s, uint32_t a, uint32_t b, unsigned size)
{
    if (size == 1)
        x_sub8((uint8_t)a, (uint8_t)b, &s->core.cc);
    else if (size == 2)
        x_sub16((uint16_t)a, (uint16_t)b, &s->core.cc);
    else
        x_sub32(a, b, &s->core.cc);
}

/* CMPS and SCAS: REPE goes on while equal, REPNE while not. */
static void compare_string(struct soft *s, const struct insn *i, bool scas)
{
    struct cpu *c = CPU(s);
    const struct string t = string_of(s, i);
    bool done = false;

    for (uint32_t left = visit_count(s, &t); left && !done; left--) {
        const uint32_t a = scas ? c->gpr[R_EAX] : get(s, t.src, c->gpr[R_ESI] & t.mask, t.size);
        const uint32_t b = get(s, SEG_ES, c->gpr[R_EDI] & t.mask, t.size);

        compare(s, a, b, t.size);
        if (!scas)
            advance(c, &t, R_ESI, 1);
        advance(c, &t, R_EDI, 1);
        count_down(c, &t, 1);
        done = t.rep && ((s->core.cc & CC_ZF) != 0) != ((i->flags & INSN_REP) != 0);
        if (stopped(s))
            break;
    }
    if (!done)
        again(s, &t);
}

static void cmps(struct soft *s, const struct insn *i)
{
    compare_string(s, i, false);
}

static void scas(struct soft *s, const struct insn *i)
{
    compare_string(s, i, true);
}

/* A REP ends its block: it may have to be come back to. */
bool soft_string_decode(struct insn *i)
{
    static const soft_op ops[] = {movs, cmps, NULL, stos, lods, scas};

    if (i->map != 0 || i->opcode < 0xa4 || i->opcode > 0xaf)
        return false;
    const soft_op op = ops[(i->opcode - 0xa4) / 2];
    if (!op)
        return false;
    if (i->flags & (INSN_REP | INSN_REPNE))
        return soft_take_end(i, op);
    return soft_take(i, op);
}
