/*
 * From bytes at CS:EIP to struct insn: fetch, Zydis once, then the group that executes it.
 *
 *  D1  Bytes are fetched only as far as the instruction goes: a fault on the second page names its
 *      first byte, and only if the instruction really reaches it.
 *  D2  Longer than 15 bytes, or beyond the limit of CS: #GP(0). Undefined: #UD.
 */
#include <cpuid.h>
#include <errno.h>
#include <limits.h>

#include "vmm/soft/soft_mem.h"

enum { MAX_LEN = 15 };

/* --- features ------------------------------------------------------------------------------ */

static bool guest_and_host(struct soft *s, uint32_t leaf, unsigned reg, unsigned bit)
{
    uint32_t g[4] = {0}, h[4] = {0};

    if (!s->core.env->cpuid || !__get_cpuid_count(leaf, 0, &h[0], &h[1], &h[2], &h[3]))
        return false;
    s->core.env->cpuid(s->core.env->ctx, leaf, 0, g);
    return (g[reg] & h[reg]) >> bit & 1;
}

int soft_decode_init(struct soft *s)
{
    static const ZydisMachineMode modes[2] = {ZYDIS_MACHINE_MODE_LEGACY_16,
                                              ZYDIS_MACHINE_MODE_LEGACY_32};
    static const ZydisStackWidth widths[2] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32};
    static const ZydisDecoderMode off[] = {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET,
                                           ZYDIS_DECODER_MODE_CLDEMOTE, ZYDIS_DECODER_MODE_KNC};

    enum { EBX = 1, ECX = 2 };
    s->has_popcnt = guest_and_host(s, 1, ECX, 23);
    s->has_movbe = guest_and_host(s, 1, ECX, 22);
    s->has_bmi1 = guest_and_host(s, 7, EBX, 3);
    s->has_abm = guest_and_host(s, 0x80000001, ECX, 5);
    for (int k = 0; k < 2; k++) {
        ZydisDecoder *d = &s->decoder[k];
        if (!ZYAN_SUCCESS(ZydisDecoderInit(d, modes[k], widths[k])))
            return -EINVAL;
        for (unsigned m = 0; m < sizeof off / sizeof *off; m++)
            ZydisDecoderEnableMode(d, off[m], ZYAN_FALSE);
        ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, s->has_bmi1);
        ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_LZCNT, s->has_abm);
    }
    return 0;
}

/* --- fields -------------------------------------------------------------------------------- */

/* ModRM.rm of 16-bit addressing (SDM vol. 2, table 2-1). */
static void decode_ea16(const ZydisDecodedInstruction *zi, struct insn *i)
{
    static const uint8_t base[8] = {R_EBX, R_EBX, R_EBP, R_EBP, R_ESI, R_EDI, R_EBP, R_EBX};
    static const uint8_t index[8] = {R_ESI, R_EDI, R_ESI, R_EDI, R_NONE, R_NONE, R_NONE, R_NONE};
    const uint8_t rm = zi->raw.modrm.rm;

    i->base = base[rm];
    i->index = index[rm];
    if (zi->raw.modrm.mod == 0 && rm == 6)
        i->base = R_NONE;
}

static void decode_ea32(const ZydisDecodedInstruction *zi, struct insn *i)
{
    const uint8_t mod = zi->raw.modrm.mod;

    if (zi->raw.modrm.rm != 4) {
        i->base = mod == 0 && zi->raw.modrm.rm == 5 ? R_NONE : zi->raw.modrm.rm;
        return;
    }
    i->base = mod == 0 && zi->raw.sib.base == 5 ? R_NONE : zi->raw.sib.base;
    i->index = zi->raw.sib.index == 4 ? R_NONE : zi->raw.sib.index;
    i->shift = i->index == R_NONE ? 0 : zi->raw.sib.scale;
}

static void decode_modrm(const ZydisDecodedInstruction *zi, struct insn *i, int seg)
{
    if (zi->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
        i->modrm = (uint8_t)(zi->raw.modrm.mod << 6 | zi->raw.modrm.reg << 3 | zi->raw.modrm.rm);
        i->reg = zi->raw.modrm.reg;
        i->rm = zi->raw.modrm.rm;
        if (zi->raw.modrm.mod != 3) {
            i->flags |= INSN_MEM;
            if (i->flags & INSN_AD16)
                decode_ea16(zi, i);
            else
                decode_ea32(zi, i);
        }
    } else {
        i->reg = i->opcode & 7;
    }
    const bool stack = (i->flags & INSN_MEM) && (i->base == R_ESP || i->base == R_EBP);
    i->seg = (uint8_t)(seg >= 0 ? seg : stack ? SEG_SS : SEG_DS);
}

/* Prefixes: sets flags, returns the segment override or -1. The last of a group counts. */
static int decode_prefixes(const ZydisDecodedInstruction *zi, struct insn *i, bool cs32)
{
    bool op = false, ad = false;
    int seg = -1;

    for (unsigned k = 0; k < zi->raw.prefix_count; k++) {
        switch (zi->raw.prefixes[k].value) {
        case 0x66: op = true; break;
        case 0x67: ad = true; break;
        case 0xf0: i->flags |= INSN_LOCK; break;
        case 0xf2: i->flags = (uint16_t)((i->flags & ~INSN_REP) | INSN_REPNE); break;
        case 0xf3: i->flags = (uint16_t)((i->flags & ~INSN_REPNE) | INSN_REP); break;
        case 0x26: seg = SEG_ES; break;
        case 0x2e: seg = SEG_CS; break;
        case 0x36: seg = SEG_SS; break;
        case 0x3e: seg = SEG_DS; break;
        case 0x64: seg = SEG_FS; break;
        case 0x65: seg = SEG_GS; break;
        default: break;
        }
    }
    if (op == cs32)
        i->flags |= INSN_OP16;
    if (ad == cs32)
        i->flags |= INSN_AD16;
    return seg;
}

static void decode_fields(const ZydisDecodedInstruction *zi, struct insn *i, bool cs32)
{
    i->mnemonic = (uint16_t)zi->mnemonic;
    i->len = i->n_raw = zi->length;
    i->opcode = zi->opcode;
    i->map = (uint8_t)zi->opcode_map;
    i->base = i->index = R_NONE;
    const int seg = decode_prefixes(zi, i, cs32);
    decode_modrm(zi, i, seg);
    i->disp = (uint32_t)zi->raw.disp.value;
    i->imm = (uint32_t)zi->raw.imm[0].value.u;
    i->imm2 = (uint32_t)zi->raw.imm[1].value.u;
    if (i->map == 0 && (i->opcode == 0x9a || i->opcode == 0xea))
        i->disp = i->imm; /* far pointer: the offset */
}

/* --- LOCK ---------------------------------------------------------------------------------- */

/* SDM vol. 2, LOCK: these, with a destination in memory. */
static bool may_lock(const struct insn *i)
{
    if (!(i->flags & INSN_MEM))
        return false;
    if (i->map == 0) {
        if (i->opcode < 0x38)
            return (i->opcode & 7) < 2;
        switch (i->opcode) {
        case 0x80:
        case 0x81:
        case 0x82:
        case 0x83: return i->reg != 7;
        case 0x86:
        case 0x87: return true;
        case 0xf6:
        case 0xf7: return i->reg == 2 || i->reg == 3;
        case 0xfe:
        case 0xff: return i->reg < 2;
        default: return false;
        }
    }
    if (i->map != 1)
        return false;
    switch (i->opcode) {
    case 0xab:
    case 0xb3:
    case 0xbb:
    case 0xb0:
    case 0xb1:
    case 0xc0:
    case 0xc1: return true;
    case 0xba: return i->reg >= 5;
    case 0xc7: return i->reg == 1;
    default: return false;
    }
}

/* --- who executes it ----------------------------------------------------------------------- */

static bool find_handler(const struct soft *s, const ZydisDecodedInstruction *zi, struct insn *i)
{
    if (zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return false;
    if ((i->flags & INSN_LOCK) && !may_lock(i))
        return false;
    return soft_alu_decode(i) || soft_move_decode(s, i) || soft_branch_decode(i) ||
           soft_stack_decode(i) || soft_shift_decode(i) || soft_muldiv_decode(i) ||
           soft_bits_decode(s, i) || soft_string_decode(i) || soft_bcd_decode(i) ||
           soft_sys_decode(zi, i) || soft_fpu_decode(zi, i);
}

/* --- fetch --------------------------------------------------------------------------------- */

struct fetch {
    uint8_t buf[MAX_LEN];
    unsigned n;     /* bytes in buf */
    unsigned limit; /* bytes that CS's limit lets us fetch, at most MAX_LEN */
    unsigned page;  /* of those, in the first page */
    struct soft_fetch at;
};

static void read_code(struct soft *s, const struct tlb_page *p, la_t la, uint8_t *buf, unsigned n)
{
    if (p->page.host) {
        memcpy(buf, p->page.host + (la & PAGE_MASK), n);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        buf[k] = (uint8_t)s->core.env->mmio_read(s->core.env->ctx,
                                                 p->page.gpa + (la & PAGE_MASK) + k, 1);
}

static void fetch_first(struct soft *s, uint32_t eip, struct fetch *f)
{
    const struct seg *cs = &CPU(s)->seg[SEG_CS];
    const la_t la = cs->base + eip;

    if (soft_unlikely(eip > cs->limit))
        soft_raise_err(s, VEC_GP, 0);
    const uint32_t room = cs->limit - eip;
    f->limit = room >= MAX_LEN ? MAX_LEN : room + 1;
    f->page = PAGE_SIZE - (la & PAGE_MASK);
    if (f->page > f->limit)
        f->page = f->limit;
    const struct tlb_page p = *soft_tlb_page(s, la, SOFT_X, soft_user(s));
    f->at = (struct soft_fetch){
        .frame = p.page.host ? p.page.frame : FRAME_NONE, .frame2 = FRAME_NONE, .gpa = p.page.gpa};
    read_code(s, &p, la, f->buf, f->page);
    f->n = f->page;
}

static void fetch_second(struct soft *s, uint32_t eip, struct fetch *f)
{
    const la_t la = CPU(s)->seg[SEG_CS].base + eip + f->page;
    const struct tlb_page p = *soft_tlb_page(s, la, SOFT_X, soft_user(s));

    if (p.page.host)
        f->at.frame2 = p.page.frame;
    else
        f->at.frame = FRAME_NONE;
    f->at.gpa2 = p.page.gpa;
    read_code(s, &p, la, f->buf + f->page, f->limit - f->page);
    f->n = f->limit;
}

static bool is_prefix(uint8_t b)
{
    switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return true;
    default: return false;
    }
}

/* UD0 (0F FF), UD1 (0F B9): #UD needs none of the bytes that follow (measured on AMD processors).
 */
static bool is_early_ud(const struct fetch *f)
{
    unsigned k = 0;

    while (k < f->n && is_prefix(f->buf[k]))
        k++;
    return f->n - k >= 2 && f->buf[k] == 0x0f && (f->buf[k + 1] == 0xff || f->buf[k + 1] == 0xb9);
}

/* Bytes behind ModRM. */
static unsigned modrm_tail(uint8_t modrm, uint8_t sib, bool ad16)
{
    const unsigned mod = modrm >> 6, rm = modrm & 7;

    if (mod == 3)
        return 0;
    if (ad16)
        return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
    const bool has_sib = rm == 4;
    const bool disp32 = mod == 2 || (mod == 0 && (has_sib ? sib & 7 : rm) == 5);
    return (has_sib ? 1u : 0) + (disp32 ? 4 : mod == 1 ? 1 : 0);
}

static bool sse_opcode(uint8_t op)
{
    return (op >= 0x10 && op < 0x18) || (op >= 0x28 && op < 0x30) || (op >= 0x50 && op < 0x77) ||
           (op > 0x77 && op < 0x80) || op == 0xae || (op >= 0xc2 && op < 0xc7) || op >= 0xd0;
}

/* Where an undefined instruction of the FPU's or SSE's opcodes ends, for all of it is fetched
 * before it is #UD (measured on AMD processors). 0: not one of these. UINT_MAX: beyond what is
 * there. */
static unsigned undefined_length(const struct fetch *f, bool cs32)
{
    bool ad16 = !cs32;
    unsigned k = 0;

    for (; k < f->n && is_prefix(f->buf[k]); k++)
        if (f->buf[k] == 0x67)
            ad16 = cs32;
    const bool two = k < f->n && f->buf[k] == 0x0f;
    k += two;
    if (k >= f->n)
        return UINT_MAX;
    const uint8_t op = f->buf[k++];
    if (two ? !sse_opcode(op) : (op & 0xf8) != 0xd8)
        return 0;
    if (k >= f->n)
        return UINT_MAX;
    const bool imm =
        two && ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6));
    const uint8_t sib = k + 1 < f->n ? f->buf[k + 1] : 0;
    return k + 1 + modrm_tail(f->buf[k], sib, ad16) + imm;
}

bool soft_decode(struct soft *s, uint32_t eip, struct insn *i, struct soft_fetch *at,
                 bool may_raise)
{
    const bool cs32 = (CPU(s)->seg[SEG_CS].attr & SA_DB) != 0;
    struct fetch f;
    ZydisDecodedInstruction zi;
    ZyanStatus st;

    if (!may_raise && eip > CPU(s)->seg[SEG_CS].limit)
        return false;
    fetch_first(s, eip, &f);
    st = ZydisDecoderDecodeInstruction(&s->decoder[cs32], NULL, f.buf, f.n, &zi);
    if (st == ZYDIS_STATUS_NO_MORE_DATA) {
        if (!may_raise)
            return false; /* it crosses the page: a block of its own */
        if (is_early_ud(&f))
            soft_raise(s, VEC_UD);
        if (f.n < f.limit) {
            fetch_second(s, eip, &f);
            st = ZydisDecoderDecodeInstruction(&s->decoder[cs32], NULL, f.buf, f.n, &zi);
        }
    }
    *at = f.at;
    *i = (struct insn){.eip = eip};
    if (soft_likely(ZYAN_SUCCESS(st))) {
        decode_fields(&zi, i, cs32);
        if (soft_likely(find_handler(s, &zi, i))) {
            memcpy(i->raw, f.buf, i->len);
            return true;
        }
    }
    if (!may_raise)
        return false;
    if (st == ZYDIS_STATUS_NO_MORE_DATA || st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
        soft_raise_err(s, VEC_GP, 0);
    if (f.n < f.limit && undefined_length(&f, cs32) > f.n)
        fetch_second(s, eip, &f);
    soft_raise(s, VEC_UD);
}
