/*
 * x87 control and the FPU's images in memory (SDM vol. 1, 8.1.8 to 8.1.12 and 10.5): written by us
 * field by field, since the host would put its own pointers there.
 */
#include "vmm/soft/soft_fpu.h"

/* --- control and status words ----------------------------------------------------------------- */

static void op_fninit(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s);
    (void)i;
    x87_check(s);
    memset(fx, 0, FX_MXCSR);
    fx_put16(fx, FX_FCW, FCW_INIT);
}

static void op_fnclex(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s);
    (void)i;
    x87_check(s);
    fx_put16(fx, FX_FSW, fx_get16(fx, FX_FSW) & 0x7f00);
}

static void op_fldcw(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s);
    x87_check(s);
    x87_check_pending(s);
    fx_put16(fx, FX_FCW, (soft_read16(s, i->seg, soft_ea(s, i)) & 0x1f3f) | 0x40);
    x87_update_es(fx);
}

static void op_fnstcw(struct soft *s, const struct insn *i)
{
    x87_check(s);
    soft_write16(s, i->seg, soft_ea(s, i), fx_get16(fpu_image(s), FX_FCW));
}

static void op_fnstsw(struct soft *s, const struct insn *i)
{
    x87_check(s);
    const uint16_t fsw = fx_get16(fpu_image(s), FX_FSW);
    if (i->flags & INSN_MEM)
        soft_write16(s, i->seg, soft_ea(s, i), fsw);
    else
        CPU(s)->gpr[R_EAX] = (CPU(s)->gpr[R_EAX] & 0xffff0000) | fsw;
}

static void op_fwait(struct soft *s, const struct insn *i)
{
    (void)i;
    if ((CPU(s)->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        soft_raise(s, VEC_NM);
    x87_check_pending(s);
}

/* FENI, FDISI (8087), FSETPM (287): nothing since the 387. */
static void op_fnothing(struct soft *s, const struct insn *i)
{
    (void)i;
    x87_check(s);
}

/* --- tag word ------------------------------------------------------------------------------------
 */

/* Of one register by its content: 0 valid, 1 zero, 2 special. */
static unsigned tag_of(const uint8_t *st)
{
    uint64_t man;
    memcpy(&man, st, 8);
    const unsigned exp = fx_get16(st, 8) & 0x7fff;
    if (exp == 0x7fff)
        return 2;
    if (exp == 0)
        return man ? 2 : 1;
    return man >> 63 ? 0 : 2;
}

uint16_t soft_fpu_tags(const uint8_t fx[512])
{
    const unsigned top = fx_top(fx);
    unsigned tags = 0;
    for (unsigned r = 0; r < 8; r++) {
        const unsigned t = fx[FX_FTW] >> r & 1 ? tag_of(fx + FX_ST + 16 * ((r - top) & 7)) : 3;
        tags |= t << (2 * r);
    }
    return (uint16_t)tags;
}

static uint8_t short_tags(unsigned tags)
{
    unsigned used = 0;
    for (unsigned r = 0; r < 8; r++)
        used |= (unsigned)((tags >> (2 * r) & 3) != 3) << r;
    return (uint8_t)used;
}

/* --- environment: 14 or 28 bytes, protected or real-mode form (SDM vol. 1, figures 8-9 to 8-12) --
 */

static bool real_form(struct soft *s)
{
    return !cpu_protected(CPU(s)) || cpu_v86(CPU(s));
}

static unsigned env_size(const struct insn *i)
{
    return i->flags & INSN_OP16 ? 14 : 28;
}

static void env_pointers16(struct soft *s, uint8_t *b)
{
    const uint8_t *fx = fpu_image(s);
    uint32_t ip = fx_get32(fx, FX_FIP), dp = fx_get32(fx, FX_FDP);
    if (real_form(s)) {
        ip += (uint32_t)fx_get16(fx, FX_FCS) << 4;
        dp += (uint32_t)fx_get16(fx, FX_FDS) << 4;
        fx_put16(b, 8, (ip >> 4 & 0xf000) | fx_get16(fx, FX_FOP));
        fx_put16(b, 12, dp >> 4 & 0xf000);
    } else {
        fx_put16(b, 8, fx_get16(fx, FX_FCS));
        fx_put16(b, 12, fx_get16(fx, FX_FDS));
    }
    fx_put16(b, 6, ip);
    fx_put16(b, 10, dp);
}

static void env_pointers32(struct soft *s, uint8_t *b)
{
    const uint8_t *fx = fpu_image(s);
    uint32_t ip = fx_get32(fx, FX_FIP), dp = fx_get32(fx, FX_FDP);
    if (real_form(s)) {
        ip += (uint32_t)fx_get16(fx, FX_FCS) << 4;
        dp += (uint32_t)fx_get16(fx, FX_FDS) << 4;
        fx_put32(b, 12, 0xffff0000 | (ip & 0xffff));
        fx_put32(b, 16, (ip >> 4 & 0x0ffff000) | fx_get16(fx, FX_FOP));
        fx_put32(b, 20, 0xffff0000 | (dp & 0xffff));
        fx_put32(b, 24, dp >> 4 & 0x0ffff000);
        return;
    }
    fx_put32(b, 12, ip);
    fx_put32(b, 16, (uint32_t)fx_get16(fx, FX_FOP) << 16 | fx_get16(fx, FX_FCS));
    fx_put32(b, 20, dp);
    fx_put32(b, 24, 0xffff0000 | fx_get16(fx, FX_FDS));
}

static void make_env(struct soft *s, const struct insn *i, uint8_t *b)
{
    const uint8_t *fx = fpu_image(s);
    if (i->flags & INSN_OP16) {
        fx_put16(b, 0, fx_get16(fx, FX_FCW));
        fx_put16(b, 2, fx_get16(fx, FX_FSW));
        fx_put16(b, 4, soft_fpu_tags(fx));
        env_pointers16(s, b);
    } else {
        fx_put32(b, 0, 0xffff0000 | fx_get16(fx, FX_FCW));
        fx_put32(b, 4, 0xffff0000 | fx_get16(fx, FX_FSW));
        fx_put32(b, 8, 0xffff0000 | soft_fpu_tags(fx));
        env_pointers32(s, b);
    }
}

static void take_pointers(struct soft *s, const struct insn *i, const uint8_t *b)
{
    uint8_t *fx = fpu_image(s);
    const bool op16 = (i->flags & INSN_OP16) != 0;
    uint32_t ip = op16 ? fx_get16(b, 6) : fx_get32(b, 12);
    uint32_t dp = op16 ? fx_get16(b, 10) : fx_get32(b, 20);
    uint32_t cs = 0, ds = 0, fop = 0;
    if (real_form(s)) {
        fop = op16 ? fx_get16(b, 8) : fx_get16(b, 16);
        ip = (ip & 0xffff) | (op16 ? fop << 4 & 0xf0000 : fx_get32(b, 16) << 4 & 0xffff0000);
        dp = (dp & 0xffff) |
             (op16 ? (uint32_t)fx_get16(b, 12) << 4 & 0xf0000 : fx_get32(b, 24) << 4 & 0xffff0000);
    } else {
        cs = op16 ? fx_get16(b, 8) : fx_get16(b, 16);
        ds = op16 ? fx_get16(b, 12) : fx_get16(b, 24);
        fop = op16 ? 0 : fx_get16(b, 18);
    }
    fx_put16(fx, FX_FOP, fop & 0x7ff);
    fx_put32(fx, FX_FIP, ip);
    fx_put32(fx, FX_FCS, cs);
    fx_put32(fx, FX_FDP, dp);
    fx_put32(fx, FX_FDS, ds);
}

static void take_env(struct soft *s, const struct insn *i, const uint8_t *b)
{
    uint8_t *fx = fpu_image(s);
    const unsigned w = i->flags & INSN_OP16 ? 2 : 4;
    fx_put16(fx, FX_FCW, (fx_get16(b, 0) & 0x1f3f) | 0x40);
    fx_put16(fx, FX_FSW, fx_get16(b, w));
    fx[FX_FTW] = short_tags(fx_get16(b, 2 * w));
    take_pointers(s, i, b);
    x87_update_es(fx);
}

/*
 * An image in memory of words of 2 or 4 bytes (env) and registers of 10 as 8 and 2. With 16-bit
 * addresses each of these begins anew at offset 0 behind 64 KiB, as the silicon does it.
 */
static bool wraps(const struct insn *i, uint32_t off, unsigned n)
{
    return (i->flags & INSN_AD16) && off + n > 0x10000;
}

/* Bytes of the element that begins at byte at. */
static unsigned element(const struct insn *i, unsigned at)
{
    const unsigned env = env_size(i);
    return at < env ? env / 7 : (at - env) % 10 ? 2 : 8;
}

static void store_image(struct soft *s, const struct insn *i, const uint8_t *b, unsigned n)
{
    const uint32_t off = soft_ea(s, i);
    if (!wraps(i, off, n)) {
        soft_write_block(s, i->seg, off, b, n);
        return;
    }
    for (unsigned at = 0; at < n; at += element(i, at))
        soft_probe_write(s, i->seg, (off + at) & 0xffff, element(i, at));
    for (unsigned at = 0; at < n; at += element(i, at))
        soft_write_block(s, i->seg, (off + at) & 0xffff, b + at, element(i, at));
}

static void load_image(struct soft *s, const struct insn *i, uint8_t *b, unsigned n)
{
    const uint32_t off = soft_ea(s, i);
    if (!wraps(i, off, n)) {
        soft_read_block(s, i->seg, off, b, n);
        return;
    }
    for (unsigned at = 0; at < n; at += element(i, at))
        soft_read_block(s, i->seg, (off + at) & 0xffff, b + at, element(i, at));
}

static void op_fnstenv(struct soft *s, const struct insn *i)
{
    uint8_t b[28];
    uint8_t *fx = fpu_image(s);
    x87_check(s);
    make_env(s, i, b);
    store_image(s, i, b, env_size(i));
    fx_put16(fx, FX_FCW, fx_get16(fx, FX_FCW) | X87_FLAGS);
    x87_update_es(fx);
}

/* FLDENV and FRSTOR move TOP under registers that stay where they are, or come in stack order. */
static void rotate(uint8_t *fx, unsigned old_top)
{
    const unsigned by = (fx_top(fx) - old_top) & 7;
    uint8_t old[128];
    if (!by)
        return;
    memcpy(old, fx + FX_ST, sizeof old);
    for (unsigned n = 0; n < 8; n++)
        memcpy(fx + FX_ST + 16 * n, old + 16 * ((n + by) & 7), 16);
}

static void op_fldenv(struct soft *s, const struct insn *i)
{
    uint8_t b[28];
    x87_check(s);
    x87_check_pending(s);
    load_image(s, i, b, env_size(i));
    const unsigned top = fx_top(fpu_image(s));
    take_env(s, i, b);
    rotate(fpu_image(s), top);
}

static void op_fnsave(struct soft *s, const struct insn *i)
{
    uint8_t b[108];
    uint8_t *fx = fpu_image(s);
    const unsigned n = env_size(i);
    x87_check(s);
    make_env(s, i, b);
    for (unsigned r = 0; r < 8; r++)
        memcpy(b + n + 10 * r, fx + FX_ST + 16 * r, 10);
    store_image(s, i, b, n + 80);
    const unsigned top = fx_top(fx);
    op_fninit(s, i);
    rotate(fx, top);
}

static void op_frstor(struct soft *s, const struct insn *i)
{
    uint8_t b[108];
    uint8_t *fx = fpu_image(s);
    const unsigned n = env_size(i);
    x87_check(s);
    x87_check_pending(s);
    load_image(s, i, b, n + 80);
    take_env(s, i, b);
    for (unsigned r = 0; r < 8; r++)
        memcpy(fx + FX_ST + 16 * r, b + n + 10 * r, 10);
}

static void op_fninit_rotate(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s);
    const unsigned top = fx_top(fx);
    op_fninit(s, i);
    rotate(fx, top);
}

/* By opcode; DB E0..E4 and memory forms /4.. of D9, DD. */
soft_op x87_env_op(const struct insn *i)
{
    if (i->opcode == 0x9b)
        return op_fwait;
    if (i->flags & INSN_MEM) {
        switch (i->opcode << 3 | i->reg) {
        case 0xd9 << 3 | 4: return op_fldenv;
        case 0xd9 << 3 | 5: return op_fldcw;
        case 0xd9 << 3 | 6: return op_fnstenv;
        case 0xd9 << 3 | 7: return op_fnstcw;
        case 0xdd << 3 | 4: return op_frstor;
        case 0xdd << 3 | 6: return op_fnsave;
        case 0xdd << 3 | 7: return op_fnstsw;
        default: return NULL;
        }
    }
    switch (i->opcode << 8 | i->modrm) {
    case 0xdbe0:
    case 0xdbe1:
    case 0xdbe4: return op_fnothing;
    case 0xdbe2: return op_fnclex;
    case 0xdbe3: return op_fninit_rotate;
    case 0xdfe0: return op_fnstsw;
    default: return NULL;
    }
}

/* --- FXSAVE, FXRSTOR
 * ------------------------------------------------------------------------------ */

enum { FXSAVE_BYTES = 512, FXSAVE_WRITTEN = FX_XMM + 128 };

static void fxsave_check(struct soft *s, const struct insn *i)
{
    x87_check(s);
    sse_check_aligned(s, i, soft_ea(s, i));
}

/* In the image's pieces of 16 bytes, each of which begins anew behind 64 KiB of 16-bit addresses.
 */
static void fxsave_probe(struct soft *s, const struct insn *i)
{
    const uint32_t off = soft_ea(s, i);
    if (!wraps(i, off, FXSAVE_BYTES))
        soft_probe_write(s, i->seg, off, FXSAVE_BYTES); /* also what is left alone */
    else
        for (unsigned at = 0; at < FXSAVE_BYTES; at += 16)
            soft_probe_write(s, i->seg, (off + at) & 0xffff, 16);
}

static void fxsave_store(struct soft *s, const struct insn *i, const uint8_t *b, unsigned n)
{
    const uint32_t off = soft_ea(s, i);
    if (!wraps(i, off, n))
        soft_write_block(s, i->seg, off, b, n);
    else
        for (unsigned at = 0; at < n; at += 16)
            soft_write_block(s, i->seg, (off + at) & 0xffff, b + at, 16);
}

static void fxsave_load(struct soft *s, const struct insn *i, uint8_t *b)
{
    const uint32_t off = soft_ea(s, i);
    if (!wraps(i, off, FXSAVE_BYTES))
        soft_read_block(s, i->seg, off, b, FXSAVE_BYTES);
    else
        for (unsigned at = 0; at < FXSAVE_BYTES; at += 16)
            soft_read_block(s, i->seg, (off + at) & 0xffff, b + at, 16);
}

static void op_fxsave(struct soft *s, const struct insn *i)
{
    uint8_t b[FXSAVE_BYTES];
    fxsave_check(s, i);
    fxsave_probe(s, i);
    memcpy(b, fpu_image(s), sizeof b);
    b[5] = 0;
    fx_put32(b, FX_MXCSR_MASK, MXCSR_MASK);
    /* AMD's way: the error pointers mean something only while an exception is pending. */
    if (!(fx_get16(b, FX_FSW) & FSW_ES))
        memset(b + FX_FOP, 0, FX_MXCSR - FX_FOP);
    for (unsigned r = 0; r < 8; r++)
        memset(b + FX_ST + 16 * r + 10, 0, 6);
    /* Without CR4.OSFXSR the XMM registers stay out of it. */
    const bool with_xmm = (CPU(s)->cr4 & CR4_OSFXSR) != 0;
    fxsave_store(s, i, b, with_xmm ? FXSAVE_WRITTEN : FX_XMM);
}

static void op_fxrstor(struct soft *s, const struct insn *i)
{
    uint8_t b[FXSAVE_BYTES];
    uint8_t *fx = fpu_image(s);
    const bool with_xmm = (CPU(s)->cr4 & CR4_OSFXSR) != 0;
    fxsave_check(s, i);
    fxsave_load(s, i, b);
    if (with_xmm && (fx_get32(b, FX_MXCSR) & ~(uint32_t)MXCSR_MASK))
        soft_raise_err(s, VEC_GP, 0);
    const uint32_t mxcsr = fx_get32(fx, FX_MXCSR);
    memcpy(fx, b, with_xmm ? FXSAVE_WRITTEN : FX_XMM);
    if (!with_xmm)
        fx_put32(fx, FX_MXCSR, mxcsr);
    fx_put16(fx, FX_FCW, (fx_get16(fx, FX_FCW) & 0x1f3f) | 0x40);
    fx_put16(fx, FX_FOP, fx_get16(fx, FX_FOP) & 0x7ff);
    x87_update_es(fx);
}

soft_op fxsave_op(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_FXSAVE ? op_fxsave : m == ZYDIS_MNEMONIC_FXRSTOR ? op_fxrstor : NULL;
}
