/* IN, OUT, INS, OUTS and the rights to a port (SDM vol. 1, 18.5; vol. 2 under each). */
#include "vmm/soft/soft_mem.h"
#include "vmm/soft/soft_sys.h"

/* Elements of one REP INS/OUTS before the run loop looks for interrupts again. */
#define IO_BURST 1024

static bool bitmap_allows(struct soft *s, uint16_t port, unsigned size)
{
    const struct seg *tr = &CPU(s)->tr;

    if (!(tr->attr & SA_P) || !tss_is32(tr->attr) || tr->limit < 103)
        return false;
    const uint32_t base = soft_la_read16(s, tr->base + 102, false);
    const uint32_t at = base + port / 8u;
    if (at + 1 > tr->limit)
        return false;
    const uint32_t bits = soft_la_read16(s, tr->base + at, false) >> (port & 7);
    return (bits & ((1u << size) - 1)) == 0;
}

void soft_check_io(struct soft *s, uint16_t port, unsigned size)
{
    const struct cpu *c = CPU(s);
    const unsigned iopl = (soft_flags(s) & FL_IOPL) >> FL_IOPL_SHIFT;

    if (!cpu_protected(c) || (c->cpl <= iopl && !cpu_v86(c)))
        return;
    if (!bitmap_allows(s, port, size))
        soft_raise_err(s, VEC_GP, 0);
}

/* Opcode bit 0: byte or word/dword. */
static unsigned io_size(const struct insn *i)
{
    return (i->opcode & 1) ? insn_opsize(i) : 1;
}

static uint16_t io_port(struct soft *s, const struct insn *i)
{
    return (i->opcode & 8) ? (uint16_t)CPU(s)->gpr[R_EDX] : (uint16_t)(i->imm & 0xff);
}

static uint32_t io_mask(unsigned size)
{
    return size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
}

static uint32_t port_in(struct soft *s, uint16_t port, unsigned size)
{
    const struct soft_env *env = soft_core(s)->env;
    const uint32_t v = env->io_in(env->ctx, port, size) & io_mask(size);
    soft_debug_io(s, port, size);
    return v;
}

static void port_out(struct soft *s, uint16_t port, uint32_t v, unsigned size)
{
    const struct soft_env *env = soft_core(s)->env;
    env->io_out(env->ctx, port, v & io_mask(size), size);
    soft_debug_io(s, port, size);
}

void soft_op_in(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned size = io_size(i);
    const uint16_t port = io_port(s, i);

    soft_check_io(s, port, size);
    const uint32_t m = io_mask(size);
    c->gpr[R_EAX] = (c->gpr[R_EAX] & ~m) | port_in(s, port, size);
}

void soft_op_out(struct soft *s, const struct insn *i)
{
    const unsigned size = io_size(i);
    const uint16_t port = io_port(s, i);

    soft_check_io(s, port, size);
    port_out(s, port, CPU(s)->gpr[R_EAX], size);
}

static uint32_t addr_mask(const struct insn *i)
{
    return (i->flags & INSN_AD16) ? 0xffffu : UINT32_MAX;
}

/* ESI, EDI and ECX by the address size. */
static void advance(struct soft *s, const struct insn *i, unsigned r, uint32_t by)
{
    struct cpu *c = CPU(s);
    const uint32_t m = addr_mask(i);
    c->gpr[r] = (c->gpr[r] & ~m) | ((c->gpr[r] + by) & m);
}

static void ins_one(struct soft *s, const struct insn *i, unsigned size, uint32_t step)
{
    const struct cpu *c = CPU(s);
    const uint16_t port = (uint16_t)c->gpr[R_EDX];
    const uint32_t at = c->gpr[R_EDI] & addr_mask(i);

    soft_check_io(s, port, size);
    /* A port's read cannot be undone: the memory must be known to be there first. */
    soft_probe_write(s, SEG_ES, at, size);
    const uint32_t v = port_in(s, port, size);
    if (size == 4)
        soft_write32(s, SEG_ES, at, v);
    else if (size == 2)
        soft_write16(s, SEG_ES, at, v);
    else
        soft_write8(s, SEG_ES, at, v);
    advance(s, i, R_EDI, step);
}

static void outs_one(struct soft *s, const struct insn *i, unsigned size, uint32_t step)
{
    const struct cpu *c = CPU(s);
    const uint16_t port = (uint16_t)c->gpr[R_EDX];
    const uint32_t at = c->gpr[R_ESI] & addr_mask(i);
    uint32_t v;

    soft_check_io(s, port, size);
    if (size == 4)
        v = soft_read32(s, i->seg, at);
    else if (size == 2)
        v = soft_read16(s, i->seg, at);
    else
        v = soft_read8(s, i->seg, at);
    port_out(s, port, v, size);
    advance(s, i, R_ESI, step);
}

/* A whole run of elements between a device and one page, if the device does such. Returns how many
 * it was, perhaps none. */
static uint32_t io_run(struct soft *s, const struct insn *i, unsigned size, uint32_t n)
{
    const struct soft_env *env = soft_core(s)->env;
    struct cpu *c = CPU(s);
    const bool in = !(i->opcode & 2);
    const unsigned r = in ? R_EDI : R_ESI;
    uint8_t *p;

    if (!env->io_many || (soft_flags(s) & FL_DF))
        return 0;
    n = soft_run_at(s,
                    &(struct soft_run){.seg = in ? SEG_ES : i->seg,
                                       .off = c->gpr[r] & addr_mask(i),
                                       .mask = addr_mask(i),
                                       .size = size,
                                       .write = in},
                    n, &p);
    if (n)
        n = env->io_many(env->ctx, (uint16_t)c->gpr[R_EDX], size, in, n, p);
    advance(s, i, r, n * size);
    return n;
}

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

typedef void (*io_step)(struct soft *, const struct insn *, unsigned, uint32_t);

/* Every element is complete in registers before the next begins, so a fault in the middle leaves a
 * state from which the instruction goes on. */
static void io_string(struct soft *s, const struct insn *i, io_step one)
{
    struct soft_core *k = soft_core(s);
    struct cpu *c = k->cpu;
    const unsigned size = io_size(i);
    const uint32_t step = (soft_flags(s) & FL_DF) ? 0u - size : size;

    if (!(i->flags & (INSN_REP | INSN_REPNE))) {
        one(s, i, size, step);
        return;
    }
    soft_check_io(s, (uint16_t)c->gpr[R_EDX],
                  size); /* also with a count of 0, as the silicon does */
    /* Single-stepping and breakpoints see each element. */
    const bool armed = (soft_flags(s) & FL_TF) || (c->dr[7] & 0xff);
    for (uint32_t n = 0, left; (left = c->gpr[R_ECX] & addr_mask(i)) != 0;) {
        if (n >= IO_BURST || (n > 0 && (armed || atomic_load(&k->attention)))) {
            k->next_eip = c->eip;
            soft_uncount(s);
            return;
        }
        uint32_t done = armed ? 0 : io_run(s, i, size, min32(left, IO_BURST - n));
        if (done == 0) {
            one(s, i, size, step);
            done = 1;
        }
        advance(s, i, R_ECX, 0u - done);
        n += done;
    }
}

void soft_op_ins(struct soft *s, const struct insn *i)
{
    io_string(s, i, ins_one);
}

void soft_op_outs(struct soft *s, const struct insn *i)
{
    io_string(s, i, outs_one);
}
