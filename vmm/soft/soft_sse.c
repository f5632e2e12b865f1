/*
 * SSE and SSE2 arithmetic (SDM vol. 1, chapters 10 and 11): on the host, all exceptions masked,
 * into a copy of the destination. The flags that were raised then tell whether the guest wanted an
 * exception (its MXCSR leaves one unmasked); only if not, the result becomes the destination's.
 */
#include "vmm/soft/soft_fpu.h"

static inline const void *source(struct soft *s, const struct insn *i, unsigned size, void *buf)
{
    if (!(i->flags & INSN_MEM))
        return fx_xmm(fpu_image(s), i->rm);
    switch (size) { /* constants, for the copies to be moves */
    case 4: fpu_load(s, i, buf, 4, false); break;
    case 8: fpu_load(s, i, buf, 8, false); break;
    default: fpu_load(s, i, buf, 16, true); break;
    }
    return buf;
}

static _Noreturn void raise_xm(struct soft *s, uint32_t flags)
{
    uint8_t *fx = fpu_image(s);
    if (!(CPU(s)->cr4 & CR4_OSXMMEXCPT))
        soft_raise(s, VEC_UD);
    fx_put32(fx, FX_MXCSR, fx_get32(fx, FX_MXCSR) | flags);
    soft_raise(s, VEC_XM);
}

/*
 * SDM vol. 1, 11.5.2 and 11.5.3: exceptions found before computing come first, and hide those that
 * computing would have found.
 */
static void check_unmasked(struct soft *s, const struct insn *i, sse_fn fn, const void *d,
                           const void *src, uint32_t raised)
{
    const uint32_t mxcsr = fx_get32(fpu_image(s), FX_MXCSR) & MXCSR_MASK;
    const uint32_t unmasked = ~(mxcsr >> 7) & X87_FLAGS;
    if (raised & XF_PRE & unmasked)
        raise_xm(s, raised & XF_PRE);
    if (unmasked & (XF_OE | XF_UE))
        raised = sse_post_flags((ZydisMnemonic)i->mnemonic, fn, d, src, mxcsr, raised);
    if (raised & XF_POST & unmasked)
        raise_xm(s, raised);
}

/*
 * The host runs under the guest's control bits (the default ones), and all the flags that it has,
 * old or new, the guest has too. Else the result is thrown away, and MXCSR set up for a run of its
 * own.
 */
static inline bool no_new_flags(uint32_t mxcsr)
{
    uint32_t host;
    __asm__ volatile("stmxcsr %0" : "=m"(host));
    return (host | X87_FLAGS) == (MXCSR_INIT | X87_FLAGS) && !(host & ~mxcsr & X87_FLAGS);
}

/* Run fn on d (16 bytes, a copy of the destination) and settle MXCSR. */
static inline uint32_t compute(struct soft *s, const struct insn *i, sse_fn fn, void *d,
                               const void *src)
{
    uint8_t *fx = fpu_image(s), before[16];
    const uint32_t mxcsr = fx_get32(fx, FX_MXCSR) & MXCSR_MASK;
    uint32_t r, m = (mxcsr & ~(uint32_t)X87_FLAGS) | MXCSR_INIT;
    memcpy(before, d, 16);
    if (soft_likely((mxcsr | X87_FLAGS) == (MXCSR_INIT | X87_FLAGS))) {
        r = fn(d, src);
        if (soft_likely(no_new_flags(mxcsr)))
            return r;
        memcpy(d, before, 16);
    }
    if (!(mxcsr & MXCSR_UM)) /* flush-to-zero acts on masked underflow only */
        m &= ~(uint32_t)MXCSR_FTZ;
    r = sse_run(fn, d, src, &m);
    if ((mxcsr & MXCSR_INIT) != MXCSR_INIT)
        check_unmasked(s, i, fn, before, src, m & X87_FLAGS);
    fx_put32(fx, FX_MXCSR, mxcsr | (m & X87_FLAGS));
    return r;
}

static void op_int(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t buf[16];
    sse_check(s);
    const void *src = source(s, i, sse_natives[i->imm2].size, buf);
    sse_natives[i->imm2].fn(fx_xmm(fpu_image(s), i->reg), src);
}

static void fp(struct soft *s, const struct insn *i, sse_fn fn)
{
    _Alignas(16) uint8_t buf[16] = {0}, d[16];
    sse_check(s);
    const void *src = source(s, i, sse_natives[i->imm2].size, buf);
    uint8_t *dst = fx_xmm(fpu_image(s), i->reg);
    memcpy(d, dst, 16);
    compute(s, i, fn, d, src);
    memcpy(dst, d, 16);
}

static void op_fp(struct soft *s, const struct insn *i)
{
    fp(s, i, sse_natives[i->imm2].fn);
}

static void op_cmp(struct soft *s, const struct insn *i)
{
    fp(s, i, sse_cmp_fn((ZydisMnemonic)i->mnemonic, i->imm));
}

static void op_comi(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t buf[16] = {0}, d[16];
    sse_check(s);
    const void *src = source(s, i, sse_natives[i->imm2].size, buf);
    memcpy(d, fx_xmm(fpu_image(s), i->reg), 16);
    const uint32_t fl = compute(s, i, sse_natives[i->imm2].fn, d, src);
    soft_set_flags(s, FL_ARITH, fl & FL_ARITH);
}

static void op_to_r(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t buf[16] = {0}, d[16] = {0};
    sse_check(s);
    const void *src = source(s, i, sse_natives[i->imm2].size, buf);
    CPU(s)->gpr[i->reg] = compute(s, i, sse_natives[i->imm2].fn, d, src);
}

static void op_from_r(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t d[16];
    sse_check(s);
    const uint32_t v =
        i->flags & INSN_MEM ? soft_read32(s, i->seg, soft_ea(s, i)) : CPU(s)->gpr[i->rm];
    uint8_t *dst = fx_xmm(fpu_image(s), i->reg);
    memcpy(d, dst, 16);
    compute(s, i, sse_natives[i->imm2].fn, d, &v);
    memcpy(dst, d, 16);
}

static void op_from_mm(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t buf[8], d[16];
    if (i->flags & INSN_MEM) { /* nothing of the x87 is touched */
        sse_check(s);
        fpu_load(s, i, buf, 8, false);
    } else {
        sse_mmx_check(s);
        memcpy(buf, mmx_peek(s, i->rm), 8);
        mmx_enter(s); /* before an exception, as the silicon does */
    }
    uint8_t *dst = fx_xmm(fpu_image(s), i->reg);
    memcpy(d, dst, 16);
    compute(s, i, sse_natives[i->imm2].fn, d, buf);
    memcpy(dst, d, 16);
}

static void op_to_mm(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t buf[16] = {0}, d[16] = {0};
    sse_mmx_check(s);
    const void *src = source(s, i, sse_natives[i->imm2].size, buf);
    mmx_enter(s); /* before an exception, as the silicon does */
    compute(s, i, sse_natives[i->imm2].fn, d, src);
    mmx_write(s, i->reg, d);
}

/* Shifts by an immediate are shifts by a register that holds it. */
static void op_shift_imm(struct soft *s, const struct insn *i)
{
    _Alignas(16) const uint64_t count[2] = {i->imm & 0xff, 0};
    sse_check(s);
    sse_natives[i->imm2].fn(fx_xmm(fpu_image(s), i->rm), count);
}

soft_op sse_op(ZydisMnemonic m, bool xmm, struct insn *i)
{
    static const soft_op by_kind[] = {
        [SSE_INT] = op_int,         [SSE_FP] = op_fp,       [SSE_CMP] = op_cmp,
        [SSE_COMI] = op_comi,       [SSE_TO_R] = op_to_r,   [SSE_FROM_R] = op_from_r,
        [SSE_FROM_MM] = op_from_mm, [SSE_TO_MM] = op_to_mm,
    };
    const unsigned idx = sse_native_index(m);
    if (!idx || (mmx_native_index(m) && !xmm))
        return NULL;
    i->imm2 = idx;
    if (i->opcode >= 0x71 && i->opcode <= 0x73)
        return op_shift_imm;
    return by_kind[sse_natives[idx].kind];
}
