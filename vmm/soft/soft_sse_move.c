/*
 * SSE and SSE2 instructions that move, pick and order without arithmetic; the MXCSR; the cache
 * hints (SDM vol. 1, 10.4 and 11.4).
 */
#include "vmm/soft/soft_fpu.h"

static uint8_t *dst(struct soft *s, const struct insn *i)
{
    return fx_xmm(fpu_image(s), i->reg);
}
static uint8_t *rm(struct soft *s, const struct insn *i)
{
    return fx_xmm(fpu_image(s), i->rm);
}
static bool in_mem(const struct insn *i)
{
    return (i->flags & INSN_MEM) != 0;
}
/* The 16-byte r/m operand. */
static void get16(struct soft *s, const struct insn *i, void *buf, bool aligned)
{
    if (in_mem(i))
        fpu_load(s, i, buf, 16, aligned);
    else
        memcpy(buf, rm(s, i), 16);
}

/* --- whole registers ------------------------------------------------------------------------ */

static void load16(struct soft *s, const struct insn *i, bool aligned)
{
    uint8_t v[16];
    sse_check(s);
    get16(s, i, v, aligned);
    memcpy(dst(s, i), v, 16);
}
static void store16(struct soft *s, const struct insn *i, bool aligned)
{
    sse_check(s);
    if (in_mem(i))
        fpu_store(s, i, dst(s, i), 16, aligned);
    else
        memcpy(rm(s, i), dst(s, i), 16);
}
static void op_load_a(struct soft *s, const struct insn *i)
{
    load16(s, i, true);
}
static void op_load_u(struct soft *s, const struct insn *i)
{
    load16(s, i, false);
}
static void op_store_a(struct soft *s, const struct insn *i)
{
    store16(s, i, true);
}
static void op_store_u(struct soft *s, const struct insn *i)
{
    store16(s, i, false);
}

/* --- scalars and halves ------------------------------------------------------------------------
 */

/* MOVSS, MOVSD: from memory the rest becomes zero, from a register it stays. */
static void load_scalar(struct soft *s, const struct insn *i, unsigned size)
{
    uint8_t v[16] = {0};
    sse_check(s);
    if (in_mem(i)) {
        fpu_load(s, i, v, size, false);
        memcpy(dst(s, i), v, 16);
    } else {
        memcpy(v, rm(s, i), size);
        memcpy(dst(s, i), v, size);
    }
}
static void store_part(struct soft *s, const struct insn *i, unsigned at, unsigned size)
{
    uint8_t v[8];
    sse_check(s);
    memcpy(v, dst(s, i) + at, size);
    if (in_mem(i))
        fpu_store(s, i, v, size, false);
    else
        memcpy(rm(s, i), v, size);
}
static void op_movss_load(struct soft *s, const struct insn *i)
{
    load_scalar(s, i, 4);
}
static void op_movsd_load(struct soft *s, const struct insn *i)
{
    load_scalar(s, i, 8);
}
static void op_movss_store(struct soft *s, const struct insn *i)
{
    store_part(s, i, 0, 4);
}
static void op_store_low(struct soft *s, const struct insn *i)
{
    store_part(s, i, 0, 8);
}
static void op_store_high(struct soft *s, const struct insn *i)
{
    store_part(s, i, 8, 8);
}
/* MOVLPS/PD, MOVHPS/PD from memory; MOVHLPS, MOVLHPS between registers. */
static void load_half(struct soft *s, const struct insn *i, unsigned at)
{
    uint8_t v[8];
    sse_check(s);
    if (in_mem(i))
        fpu_load(s, i, v, 8, false);
    else
        memcpy(v, rm(s, i) + (at ? 0 : 8), 8);
    memcpy(dst(s, i) + at, v, 8);
}
static void op_load_low(struct soft *s, const struct insn *i)
{
    load_half(s, i, 0);
}
static void op_load_high(struct soft *s, const struct insn *i)
{
    load_half(s, i, 8);
}

static void op_movq_load(struct soft *s, const struct insn *i)
{
    uint8_t v[16] = {0};
    sse_check(s);
    if (in_mem(i))
        fpu_load(s, i, v, 8, false);
    else
        memcpy(v, rm(s, i), 8);
    memcpy(dst(s, i), v, 16);
}
static void op_movq_store(struct soft *s, const struct insn *i)
{
    uint8_t v[16] = {0};
    sse_check(s);
    memcpy(v, dst(s, i), 8);
    if (in_mem(i))
        fpu_store(s, i, v, 8, false);
    else
        memcpy(rm(s, i), v, 16);
}
static void op_movd_load(struct soft *s, const struct insn *i)
{
    uint8_t v[16] = {0};
    sse_check(s);
    const uint32_t r = in_mem(i) ? soft_read32(s, i->seg, soft_ea(s, i)) : CPU(s)->gpr[i->rm];
    fx_put32(v, 0, r);
    memcpy(dst(s, i), v, 16);
}
static void op_movd_store(struct soft *s, const struct insn *i)
{
    sse_check(s);
    const uint32_t v = fx_get32(dst(s, i), 0);
    if (in_mem(i))
        soft_write32(s, i->seg, soft_ea(s, i), v);
    else
        CPU(s)->gpr[i->rm] = v;
}

static void op_movq2dq(struct soft *s, const struct insn *i)
{
    sse_mmx_check(s);
    memcpy(dst(s, i), mmx_peek(s, i->rm), 8);
    memset(dst(s, i) + 8, 0, 8);
    mmx_enter(s);
}
static void op_movdq2q(struct soft *s, const struct insn *i)
{
    sse_mmx_check(s);
    mmx_enter(s);
    mmx_write(s, i->reg, rm(s, i));
}

/* --- shuffles ------------------------------------------------------------------------------------
 */

static void op_pshufd(struct soft *s, const struct insn *i)
{
    uint8_t v[16];
    sse_check(s);
    get16(s, i, v, true);
    for (unsigned k = 0; k < 4; k++)
        memcpy(dst(s, i) + 4 * k, v + 4 * (i->imm >> (2 * k) & 3), 4);
}
static void shuffle_words(struct soft *s, const struct insn *i, unsigned half)
{
    uint8_t v[16], d[16];
    sse_check(s);
    get16(s, i, v, true);
    memcpy(d, v, 16);
    for (unsigned k = 0; k < 4; k++)
        memcpy(d + half + 2 * k, v + half + 2 * (i->imm >> (2 * k) & 3), 2);
    memcpy(dst(s, i), d, 16);
}
static void op_pshuflw(struct soft *s, const struct insn *i)
{
    shuffle_words(s, i, 0);
}
static void op_pshufhw(struct soft *s, const struct insn *i)
{
    shuffle_words(s, i, 8);
}
static void op_shufps(struct soft *s, const struct insn *i)
{
    uint8_t v[16], d[16];
    sse_check(s);
    get16(s, i, v, true);
    for (unsigned k = 0; k < 4; k++)
        memcpy(d + 4 * k, (k < 2 ? dst(s, i) : v) + 4 * (i->imm >> (2 * k) & 3), 4);
    memcpy(dst(s, i), d, 16);
}
static void op_shufpd(struct soft *s, const struct insn *i)
{
    uint8_t v[16], d[16];
    sse_check(s);
    get16(s, i, v, true);
    memcpy(d, dst(s, i) + 8 * (i->imm & 1), 8);
    memcpy(d + 8, v + 8 * (i->imm >> 1 & 1), 8);
    memcpy(dst(s, i), d, 16);
}
static void op_pslldq(struct soft *s, const struct insn *i)
{
    uint8_t d[16] = {0};
    const unsigned n = i->imm & 0xff;
    sse_check(s);
    if (n < 16)
        memcpy(d + n, rm(s, i), 16 - n);
    memcpy(rm(s, i), d, 16);
}
static void op_psrldq(struct soft *s, const struct insn *i)
{
    uint8_t d[16] = {0};
    const unsigned n = i->imm & 0xff;
    sse_check(s);
    if (n < 16)
        memcpy(d, rm(s, i) + n, 16 - n);
    memcpy(rm(s, i), d, 16);
}
static void op_pinsrw(struct soft *s, const struct insn *i)
{
    sse_check(s);
    const uint32_t v = in_mem(i) ? soft_read16(s, i->seg, soft_ea(s, i)) : CPU(s)->gpr[i->rm];
    fx_put16(dst(s, i), 2 * (i->imm & 7), v);
}
static void op_pextrw(struct soft *s, const struct insn *i)
{
    sse_check(s);
    CPU(s)->gpr[i->reg] = fx_get16(rm(s, i), 2 * (i->imm & 7));
}

/* Sign bits of the elements of width bytes. */
static void move_mask(struct soft *s, const struct insn *i, unsigned width)
{
    uint32_t m = 0;
    sse_check(s);
    for (unsigned k = 0; k < 16 / width; k++)
        m |= (uint32_t)(rm(s, i)[width * k + width - 1] >> 7) << k;
    CPU(s)->gpr[i->reg] = m;
}
static void op_pmovmskb(struct soft *s, const struct insn *i)
{
    move_mask(s, i, 1);
}
static void op_movmskps(struct soft *s, const struct insn *i)
{
    move_mask(s, i, 4);
}
static void op_movmskpd(struct soft *s, const struct insn *i)
{
    move_mask(s, i, 8);
}

/* --- stores that go around the cache --------------------------------------------------------- */

static void op_movnti(struct soft *s, const struct insn *i)
{
    soft_write32(s, i->seg, soft_ea(s, i), CPU(s)->gpr[i->reg]);
}

/* MASKMOVQ, MASKMOVDQU: the bytes whose mask byte has its top bit set, at seg:EDI. */
static void masked_store(struct soft *s, const struct insn *i, const uint8_t *v,
                         const uint8_t *mask, unsigned n)
{
    const unsigned seg = i->imm2;
    const uint32_t wrap = i->flags & INSN_AD16 ? 0xffff : UINT32_MAX;
    const uint32_t at = CPU(s)->gpr[R_EDI];
    for (unsigned k = 0; k < n; k += 8) /* halves, each of them whole whatever the mask */
        soft_probe_write(s, seg, (at + k) & wrap, 8);
    for (unsigned k = 0; k < n; k++)
        if (mask[k] & 0x80)
            soft_write8(s, seg, ((at + (k & 8)) & wrap) + (k & 7), v[k]);
}
static void op_maskmovq(struct soft *s, const struct insn *i)
{
    mmx_check(s);
    mmx_enter(s); /* before a fault of the store, as the silicon does */
    masked_store(s, i, mmx_reg(s, i->reg), mmx_reg(s, i->rm), 8);
}
static void op_maskmovdqu(struct soft *s, const struct insn *i)
{
    sse_check(s);
    masked_store(s, i, dst(s, i), rm(s, i), 16);
}

/* --- MXCSR and hints
 * ------------------------------------------------------------------------------ */

static void op_ldmxcsr(struct soft *s, const struct insn *i)
{
    sse_check(s);
    const uint32_t v = soft_read32(s, i->seg, soft_ea(s, i));
    if (v & ~(uint32_t)MXCSR_MASK)
        soft_raise_err(s, VEC_GP, 0);
    fx_put32(fpu_image(s), FX_MXCSR, v);
}
static void op_stmxcsr(struct soft *s, const struct insn *i)
{
    sse_check(s);
    soft_write32(s, i->seg, soft_ea(s, i), fx_get32(fpu_image(s), FX_MXCSR) & MXCSR_MASK);
}
static void op_nothing(struct soft *s, const struct insn *i)
{
    (void)s, (void)i;
}
/* CLFLUSH checks its address as a load of one byte does. */
static void op_clflush(struct soft *s, const struct insn *i)
{
    const la_t la = soft_seg_check(s, i->seg, soft_ea(s, i), 1, SOFT_R);
    soft_la_probe_read(s, la, 1, CPU(s)->cpl == 3);
}

static soft_op only_mem(const struct insn *i, soft_op op)
{
    return in_mem(i) ? op : NULL;
}
static soft_op only_reg(const struct insn *i, soft_op op)
{
    return in_mem(i) ? NULL : op;
}

static soft_op picks(ZydisMnemonic m, bool xmm, const struct insn *i)
{
    switch (m) {
    case ZYDIS_MNEMONIC_PSHUFD: return op_pshufd;
    case ZYDIS_MNEMONIC_PSHUFLW: return op_pshuflw;
    case ZYDIS_MNEMONIC_PSHUFHW: return op_pshufhw;
    case ZYDIS_MNEMONIC_SHUFPS: return op_shufps;
    case ZYDIS_MNEMONIC_SHUFPD: return op_shufpd;
    case ZYDIS_MNEMONIC_PSLLDQ: return only_reg(i, op_pslldq);
    case ZYDIS_MNEMONIC_PSRLDQ: return only_reg(i, op_psrldq);
    case ZYDIS_MNEMONIC_PINSRW: return xmm ? op_pinsrw : NULL;
    case ZYDIS_MNEMONIC_PEXTRW: return xmm && i->opcode == 0xc5 ? only_reg(i, op_pextrw) : NULL;
    case ZYDIS_MNEMONIC_PMOVMSKB: return xmm ? only_reg(i, op_pmovmskb) : NULL;
    case ZYDIS_MNEMONIC_MOVMSKPS: return only_reg(i, op_movmskps);
    case ZYDIS_MNEMONIC_MOVMSKPD: return only_reg(i, op_movmskpd);
    case ZYDIS_MNEMONIC_MASKMOVQ: return only_reg(i, op_maskmovq);
    case ZYDIS_MNEMONIC_MASKMOVDQU: return only_reg(i, op_maskmovdqu);
    case ZYDIS_MNEMONIC_MOVQ2DQ: return only_reg(i, op_movq2dq);
    case ZYDIS_MNEMONIC_MOVDQ2Q: return only_reg(i, op_movdq2q);
    default: return NULL;
    }
}

static soft_op hints(ZydisMnemonic m, const struct insn *i)
{
    switch (m) {
    case ZYDIS_MNEMONIC_LDMXCSR: return only_mem(i, op_ldmxcsr);
    case ZYDIS_MNEMONIC_STMXCSR: return only_mem(i, op_stmxcsr);
    case ZYDIS_MNEMONIC_MOVNTI: return only_mem(i, op_movnti);
    case ZYDIS_MNEMONIC_CLFLUSH: return only_mem(i, op_clflush);
    case ZYDIS_MNEMONIC_LFENCE:
    case ZYDIS_MNEMONIC_MFENCE:
    case ZYDIS_MNEMONIC_SFENCE:
    case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1:
    case ZYDIS_MNEMONIC_PREFETCHT2: return op_nothing;
    default: return NULL;
    }
}

soft_op sse_move_op(ZydisMnemonic m, bool xmm, struct insn *i)
{
    const bool store = i->opcode & 1; /* holds for 10/11, 12/13, 16/17, 28/29, 7E/6E is apart */
    switch (m) {
    case ZYDIS_MNEMONIC_MOVAPS:
    case ZYDIS_MNEMONIC_MOVAPD: return store ? op_store_a : op_load_a;
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD: return store ? op_store_u : op_load_u;
    case ZYDIS_MNEMONIC_MOVDQA: return i->opcode == 0x7f ? op_store_a : op_load_a;
    case ZYDIS_MNEMONIC_MOVDQU: return i->opcode == 0x7f ? op_store_u : op_load_u;
    case ZYDIS_MNEMONIC_MOVNTPS:
    case ZYDIS_MNEMONIC_MOVNTPD:
    case ZYDIS_MNEMONIC_MOVNTDQ: return only_mem(i, op_store_a);
    case ZYDIS_MNEMONIC_MOVSS: return store ? op_movss_store : op_movss_load;
    case ZYDIS_MNEMONIC_MOVSD: return store ? op_store_low : op_movsd_load;
    case ZYDIS_MNEMONIC_MOVLPS:
    case ZYDIS_MNEMONIC_MOVLPD: return only_mem(i, store ? op_store_low : op_load_low);
    case ZYDIS_MNEMONIC_MOVHPS:
    case ZYDIS_MNEMONIC_MOVHPD: return only_mem(i, store ? op_store_high : op_load_high);
    case ZYDIS_MNEMONIC_MOVHLPS: return only_reg(i, op_load_low);
    case ZYDIS_MNEMONIC_MOVLHPS: return only_reg(i, op_load_high);
    case ZYDIS_MNEMONIC_MOVQ:
        return i->opcode == 0x7e ? op_movq_load : i->opcode == 0xd6 ? op_movq_store : NULL;
    case ZYDIS_MNEMONIC_MOVD: return !xmm ? NULL : i->opcode == 0x6e ? op_movd_load : op_movd_store;
    default: break;
    }
    const soft_op op = picks(m, xmm, i);
    return op ? op : hints(m, i);
}
