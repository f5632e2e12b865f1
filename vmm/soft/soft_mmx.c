/* MMX and the SSE instructions on MMX registers (SDM vol. 1, chapter 9 and 10.4.4). */
#include "vmm/soft/soft_fpu.h"

void mmx_enter(struct soft *s)
{
    uint8_t *fx = fpu_image(s);
    const unsigned top = fx_top(fx);
    if (top) { /* the image is in stack order, which TOP = 0 makes the physical one */
        uint8_t old[128];
        memcpy(old, fx + FX_ST, sizeof old);
        for (unsigned r = 0; r < 8; r++)
            memcpy(fx + FX_ST + 16 * r, old + 16 * ((r - top) & 7), 16);
        fx_put16(fx, FX_FSW, fx_get16(fx, FX_FSW) & ~(7u << FSW_TOP_SHIFT));
    }
    fx[FX_FTW] = 0xff;
}

static void load_source(struct soft *s, const struct insn *i, unsigned size, uint8_t buf[8])
{
    if (i->flags & INSN_MEM)
        fpu_load(s, i, buf, size, false);
    else
        memcpy(buf, mmx_peek(s, i->rm), 8);
}

static void op_mm(struct soft *s, const struct insn *i)
{
    const struct mmx_native *n = &mmx_natives[i->imm2];
    uint8_t src[8] = {0}, d[8];
    mmx_check(s);
    load_source(s, i, n->size, src);
    mmx_enter(s);
    memcpy(d, mmx_reg(s, i->reg), 8);
    n->fn(d, src);
    mmx_write(s, i->reg, d);
}

static void op_mm_shift_imm(struct soft *s, const struct insn *i)
{
    const uint64_t count = i->imm & 0xff;
    uint8_t d[8];
    mmx_check(s);
    mmx_enter(s);
    memcpy(d, mmx_reg(s, i->rm), 8);
    mmx_natives[i->imm2].fn(d, &count);
    mmx_write(s, i->rm, d);
}

static void op_emms(struct soft *s, const struct insn *i)
{
    (void)i;
    mmx_check(s);
    mmx_enter(s);
    fpu_image(s)[FX_FTW] = 0;
}

static void op_movq_load(struct soft *s, const struct insn *i)
{
    uint8_t v[8];
    mmx_check(s);
    load_source(s, i, 8, v);
    mmx_enter(s);
    mmx_write(s, i->reg, v);
}

static void op_movq_store(struct soft *s, const struct insn *i)
{
    uint8_t v[8];
    mmx_check(s);
    memcpy(v, mmx_peek(s, i->reg), 8);
    if (i->flags & INSN_MEM)
        fpu_store(s, i, v, 8, false);
    mmx_enter(s);
    if (!(i->flags & INSN_MEM))
        mmx_write(s, i->rm, v);
}

static void op_movd_load(struct soft *s, const struct insn *i)
{
    uint8_t v[8] = {0};
    mmx_check(s);
    if (i->flags & INSN_MEM)
        fpu_load(s, i, v, 4, false);
    else
        memcpy(v, &CPU(s)->gpr[i->rm], 4);
    mmx_enter(s);
    mmx_write(s, i->reg, v);
}

static void op_movd_store(struct soft *s, const struct insn *i)
{
    uint32_t v;
    mmx_check(s);
    memcpy(&v, mmx_peek(s, i->reg), 4);
    if (i->flags & INSN_MEM)
        soft_write32(s, i->seg, soft_ea(s, i), v);
    else
        CPU(s)->gpr[i->rm] = v;
    mmx_enter(s);
}

static void op_pshufw(struct soft *s, const struct insn *i)
{
    uint8_t v[8], d[8];
    mmx_check(s);
    load_source(s, i, 8, v);
    for (unsigned k = 0; k < 4; k++)
        memcpy(d + 2 * k, v + 2 * (i->imm >> (2 * k) & 3), 2);
    mmx_enter(s);
    mmx_write(s, i->reg, d);
}

static void op_pinsrw(struct soft *s, const struct insn *i)
{
    mmx_check(s);
    const uint32_t v =
        i->flags & INSN_MEM ? soft_read16(s, i->seg, soft_ea(s, i)) : CPU(s)->gpr[i->rm];
    uint8_t d[8];
    mmx_enter(s);
    memcpy(d, mmx_reg(s, i->reg), 8);
    fx_put16(d, 2 * (i->imm & 3), v);
    mmx_write(s, i->reg, d);
}

static void op_pextrw(struct soft *s, const struct insn *i)
{
    mmx_check(s);
    CPU(s)->gpr[i->reg] = fx_get16(mmx_peek(s, i->rm), 2 * (i->imm & 3));
    mmx_enter(s);
}

static void op_pmovmskb(struct soft *s, const struct insn *i)
{
    mmx_check(s);
    const uint8_t *v = mmx_peek(s, i->rm);
    uint32_t m = 0;
    for (unsigned k = 0; k < 8; k++)
        m |= (uint32_t)(v[k] >> 7) << k;
    CPU(s)->gpr[i->reg] = m;
    mmx_enter(s);
}

soft_op mmx_op(ZydisMnemonic m, bool xmm, struct insn *i)
{
    if (m == ZYDIS_MNEMONIC_EMMS)
        return op_emms;
    if (xmm)
        return NULL;
    switch (m) {
    case ZYDIS_MNEMONIC_MOVQ:
        return i->opcode == 0x6f ? op_movq_load : i->opcode == 0x7f ? op_movq_store : NULL;
    case ZYDIS_MNEMONIC_MOVNTQ: return op_movq_store;
    case ZYDIS_MNEMONIC_MOVD: return i->opcode == 0x6e ? op_movd_load : op_movd_store;
    case ZYDIS_MNEMONIC_PSHUFW: return op_pshufw;
    case ZYDIS_MNEMONIC_PINSRW: return op_pinsrw;
    case ZYDIS_MNEMONIC_PEXTRW: return op_pextrw;
    case ZYDIS_MNEMONIC_PMOVMSKB: return op_pmovmskb;
    default: break;
    }
    const unsigned idx = mmx_native_index(m);
    if (!idx)
        return NULL;
    i->imm2 = idx;
    return i->opcode >= 0x71 && i->opcode <= 0x73 ? op_mm_shift_imm : op_mm;
}
