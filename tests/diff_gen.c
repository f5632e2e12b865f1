/*
 * An instruction is made of random prefixes, an opcode that its class offers, and random bytes;
 * Zydis says what came out and how long it is; then registers, displacement and memory are steered.
 */
#include "tests/diff_gen.h"

#include <Zydis/Zydis.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/diff_value.h"
#include "vmm/cpu/regs.h"

const char *const diff_class_name[DIFF_CLASSES] = {"int", "string", "fpu", "mmx", "sse"};

const struct diff_page diff_pages[] = {
    {DIFF_CODE, PROT_READ | PROT_EXEC},  {DIFF_CODE + 0x1000, PROT_READ | PROT_EXEC},
    {DIFF_DATA, PROT_READ | PROT_WRITE}, {DIFF_DATA + 0x1000, PROT_READ | PROT_WRITE},
    {DIFF_DATA + 0x2000, PROT_READ},     {DIFF_DATA + 0x4000, PROT_READ | PROT_WRITE},
    {0x0000, PROT_READ | PROT_WRITE}, /* what 16-bit addresses reach */
    {0x1000, PROT_READ | PROT_WRITE},    {0x3000, PROT_READ},
    {0xf000, PROT_READ | PROT_WRITE},
};
const unsigned diff_n_pages = sizeof diff_pages / sizeof *diff_pages;

int diff_page_of(uint32_t la)
{
    for (unsigned i = 0; i < diff_n_pages; i++)
        if (diff_pages[i].la == (la & ~0xfffu))
            return (int)i;
    return -1;
}

/* --- random values ------------------------------------------------------------------------ */

/* A patch that holds (a part of) a branch target: which, where the target begins, whose branch. */
struct aim {
    unsigned patch;
    uint32_t la;
    uint8_t insn;
};

struct gen {
    unsigned n_aims;
    struct aim aims[2 * DIFF_MAX_PATCH];
    uint8_t aim_reg[8]; /* register holds a target for the branch of this number - 1 */
    struct rnd r;
    struct diff_case *c;
    ZydisDecoder dec;
    bool movs16;                 /* there is a MOVS with 16-bit addresses */
    bool last;                   /* nothing may come behind */
    uint8_t jump[DIFF_MAX_INSN]; /* width of the branch displacement to aim, 0: none */
};

static void patch(struct gen *g, uint32_t la, const void *bytes, unsigned len)
{
    const uint8_t *from = bytes;
    while (len && g->c->n_patch < DIFF_MAX_PATCH) {
        struct diff_patch *p = &g->c->patch[g->c->n_patch];
        unsigned part = 0x1000 - (la & 0xfff);
        if (part > len)
            part = len;
        if (part > sizeof p->bytes)
            part = sizeof p->bytes;
        if (diff_page_of(la) >= 2) {
            p->la = la;
            p->len = (uint16_t)part;
            memcpy(p->bytes, from, part);
            g->c->n_patch++;
        }
        la += part, from += part, len -= part;
    }
}

/* --- opcodes by class ----------------------------------------------------------------------- */

static const uint8_t mmx_ops[] = {
    0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6e, 0x6f,
    0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x7e, 0x7f, 0xc4, 0xc5, 0xd1, 0xd2,
    0xd3, 0xd4, 0xd5, 0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xe1,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef, 0xf1,
    0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe};
static const uint8_t sse_ops[] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x28, 0x29, 0x2a,
                                  0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55,
                                  0x56, 0x57, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x6c,
                                  0x6d, 0x6e, 0x6f, 0x7e, 0x7f, 0xae, 0xc2, 0xc3, 0xc6, 0xd6, 0xe6};

/* Append prefixes, then the opcode; returns the length. */
static unsigned make_opcode(struct gen *g, enum diff_class cls, uint8_t *b)
{
    static const uint8_t segs[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    static const uint8_t strings[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab,
                                      0xac, 0xad, 0xae, 0xaf, 0x6c, 0x6e};
    unsigned n = 0;
    if (rnd_one_in(&g->r, cls == DIFF_FPU ? 12 : 4))
        b[n++] = 0x66;
    if (rnd_one_in(&g->r, 12))
        b[n++] = 0x67;
    if (rnd_one_in(&g->r, 12))
        b[n++] = segs[rnd_below(&g->r, rnd_one_in(&g->r, 4) ? 6 : 4)];
    if (rnd_one_in(&g->r, cls == DIFF_STRING || cls == DIFF_SSE ? 2 : 16))
        b[n++] = rnd_one_in(&g->r, 2) ? 0xf2 : 0xf3;
    if (rnd_one_in(&g->r, cls == DIFF_INT ? 16 : 64))
        b[n++] = 0xf0;
    if (n > 1 && rnd_one_in(&g->r, 2)) { /* in any order */
        const uint8_t t = b[0];
        b[0] = b[n - 1];
        b[n - 1] = t;
    }
    switch (cls) {
    case DIFF_STRING:
        b[n++] = strings[rnd_below(&g->r, rnd_one_in(&g->r, 8) ? sizeof strings : 10)];
        break;
    case DIFF_FPU:
        if (rnd_one_in(&g->r, 40)) {
            b[n++] = 0x9b;
        } else if (rnd_one_in(&g->r, 40)) {
            b[n++] = 0x0f;
            b[n++] = 0xae;
        } else {
            b[n++] = (uint8_t)(0xd8 + rnd_below(&g->r, 8));
        }
        break;
    case DIFF_MMX:
    case DIFF_SSE:
        b[n++] = 0x0f;
        b[n++] = cls == DIFF_MMX || rnd_one_in(&g->r, 3)
                     ? mmx_ops[rnd_below(&g->r, sizeof mmx_ops)]
                     : sse_ops[rnd_below(&g->r, sizeof sse_ops)];
        break;
    default:
        if (rnd_one_in(&g->r, 3))
            b[n++] = 0x0f;
        b[n++] = (uint8_t)rnd_next(&g->r);
        break;
    }
    return n;
}

/* --- what may run on the host ------------------------------------------------------------- */

static bool isa_wanted(ZydisISASet set)
{
    switch (set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I286PROTECTED:
    case ZYDIS_ISA_SET_I286REAL:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_CMOV:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FXSAVE:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_CLFSH:
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_SSE_PREFETCH: return true;
    default: return false;
    }
}

/* Would leave 32-bit user code, enter the kernel, or give what no emulation can know. */
static bool mnemonic_wanted(const ZydisDecodedInstruction *zi, const uint8_t *imm)
{
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_INT: return *imm != 0x80;
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW: return false;
    default: break;
    }
    if (zi->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return false;
    /* F3 0F BC/BD are TZCNT and LZCNT on the host. */
    if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F && (zi->opcode == 0xbc || zi->opcode == 0xbd) &&
        (zi->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)))
        return false;
    return true;
}

/* These bytes before an opcode make it another instruction on today's CPUs. */
static bool prefix_wanted(const ZydisDecodedInstruction *zi, const uint8_t *b)
{
    static const uint8_t changed[] = {0xae, 0xb8, 0xbc, 0xbd, 0xc7, 0x1a, 0x1b, 0x1e, 0x09, 0x01};
    if (zi->opcode_map != ZYDIS_OPCODE_MAP_0F || !memchr(changed, zi->opcode, sizeof changed))
        return true;
    return !memchr(b, 0xf2, zi->raw.prefix_count) && !memchr(b, 0xf3, zi->raw.prefix_count) &&
           (zi->opcode != 0xae || !memchr(b, 0x66, zi->raw.prefix_count));
}

static bool loads_fs_gs(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op)
{
    for (unsigned i = 0; i < zi->operand_count; i++)
        if (op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            (op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
            (op[i].reg.value == ZYDIS_REGISTER_FS || op[i].reg.value == ZYDIS_REGISTER_GS))
            return true;
    return false;
}

static bool in_class(enum diff_class cls, const ZydisDecodedInstruction *zi)
{
    const bool fpu =
        zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && zi->opcode >= 0xd8 && zi->opcode <= 0xdf;
    switch (cls) {
    case DIFF_INT:
        return !fpu && zi->meta.isa_set != ZYDIS_ISA_SET_PENTIUMMMX &&
               zi->meta.isa_set != ZYDIS_ISA_SET_SSE && zi->meta.isa_set != ZYDIS_ISA_SET_SSE2 &&
               zi->meta.isa_set != ZYDIS_ISA_SET_SSE2MMX &&
               zi->meta.isa_set != ZYDIS_ISA_SET_SSEMXCSR &&
               zi->meta.isa_set != ZYDIS_ISA_SET_FXSAVE;
    default: return true;
    }
}

/* --- steering ------------------------------------------------------------------------------- */

/* A place for an access of size bytes, below 64 KiB if low. */
static uint32_t target(struct gen *g, unsigned size, bool low)
{
    static const uint32_t high_pages[] = {DIFF_DATA, DIFF_DATA + 0x1000, DIFF_DATA + 0x4000};
    static const uint32_t low_pages[] = {0, 0x1000, 0xf000};
    static const uint32_t high_ro = DIFF_DATA + 0x2000, low_ro = 0x3000;
    uint32_t page = low ? low_pages[rnd_below(&g->r, 3)] : high_pages[rnd_below(&g->r, 3)];
    uint32_t off = rnd_below(&g->r, 0x1000 - 528) + 8;
    switch (rnd_below(&g->r, 24)) {
    case 0: /* across the page's end */
    case 1: off = 0x1000 - rnd_below(&g->r, size + 1); break;
    case 2: off = 0x1000 - size; break;
    case 3: page = low ? low_ro : high_ro; break;
    case 4: page = low ? 0x2000 : DIFF_DATA + 0x3000; break; /* a hole */
    case 5: off = rnd_below(&g->r, 64); break;
    default: break;
    }
    if (low && page == 0xf000 &&
        size > 16) /* what wraps in the middle of an image is unspecified */
        page = 0x1000;
    if (size <= 16 && rnd_one_in(&g->r, 200))
        page = low ? rnd_below(&g->r, 16) << 12 : (uint32_t)rnd_next(&g->r) & ~0xfffu;
    if (size >= 16 ? !rnd_one_in(&g->r, 10) : rnd_one_in(&g->r, 2))
        off &= ~15u;
    return page + off;
}

static int reg_index(ZydisRegister r)
{
    if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_EDI)
        return (int)(r - ZYDIS_REGISTER_EAX);
    if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_DI)
        return (int)(r - ZYDIS_REGISTER_AX);
    return -1;
}

static void set_reg(struct gen *g, int r, uint32_t v, bool low)
{
    uint32_t *p = &g->c->in.gpr[r];
    *p = low ? (*p & 0xffff0000) | (v & 0xffff) : v;
}

/* Make the operand's address be la where that can be done; returns the address it has. */
static uint32_t aim(struct gen *g, const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op,
                    uint8_t *bytes, uint32_t la, unsigned *fixed)
{
    const int b = reg_index(op->mem.base), x = reg_index(op->mem.index);
    const bool low = zi->address_width == 16;
    uint32_t disp = (uint32_t)op->mem.disp.value;
    uint32_t rest = disp;
    if (x >= 0)
        rest += g->c->in.gpr[x] * op->mem.scale;
    else if (op->mem.index == ZYDIS_REGISTER_AL)
        rest += g->c->in.gpr[0] & 0xff;
    if (b >= 0 && !(*fixed >> b & 1)) {
        const uint32_t v = b == x ? (la - disp) / (1u + op->mem.scale) : la - rest;
        set_reg(g, b, v, low);
        *fixed |= 1u << b;
    } else if (b < 0 && x >= 0 && !(*fixed >> x & 1)) {
        set_reg(g, x, (la - disp) / (op->mem.scale ? op->mem.scale : 1), low);
        *fixed |= 1u << x;
    } else if (zi->raw.disp.size >= 16) {
        const uint32_t regs = rest - disp + (b >= 0 ? g->c->in.gpr[b] : 0);
        disp = la - regs;
        memcpy(bytes + zi->raw.disp.offset, &disp, zi->raw.disp.size / 8);
    }
    uint32_t at = disp + (b >= 0 ? g->c->in.gpr[b] : 0);
    at += x >= 0                               ? g->c->in.gpr[x] * op->mem.scale
          : op->mem.index == ZYDIS_REGISTER_AL ? g->c->in.gpr[0] & 0xff
                                               : 0;
    return low ? at & 0xffff : at;
}

static uint16_t rnd_selector(struct gen *g)
{
    static const uint16_t sel[] = {0,    1,    3,    0x28, 0x2a, 0x23, 0x20,  0x18,
                                   0x1b, 0x33, 0x63, 0x43, 0x84, 0x8f, 0xffff};
    return rnd_one_in(&g->r, 2) ? 0x2b : sel[rnd_below(&g->r, sizeof sel / sizeof *sel)];
}

static void rnd_env(struct gen *g, uint32_t la, bool op16, bool with_regs)
{
    uint8_t b[108];
    const unsigned w = op16 ? 2 : 4;
    for (unsigned i = 0; i < sizeof b; i++)
        b[i] = (uint8_t)rnd_next(&g->r);
    const uint16_t fcw = rnd_fcw(&g->r);
    rnd_put16(b, fcw);
    rnd_put16(b + w, rnd_fsw(&g->r, fcw, true));
    rnd_put16(b + 2 * w, rnd_one_in(&g->r, 2)   ? 0xffff
                         : rnd_one_in(&g->r, 2) ? 0
                                                : (unsigned)rnd_next(&g->r) & 0xffff);
    if (with_regs)
        for (unsigned i = 0; i < 8; i++)
            rnd_f80(&g->r, b + 7 * w + 10 * i);
    patch(g, la, b, with_regs ? 7 * w + 80 : 7 * w);
}

static bool takes_selector(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_LAR || m == ZYDIS_MNEMONIC_LSL || m == ZYDIS_MNEMONIC_VERR ||
           m == ZYDIS_MNEMONIC_VERW;
}

/* Put something sensible where the operand lies. */
static void fill(struct gen *g, const ZydisDecodedInstruction *zi, uint32_t la, unsigned size)
{
    uint8_t b[512];
    const bool op16 = zi->operand_width == 16;
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_FXRSTOR:
        rnd_fxsave(&g->r, b);
        patch(g, la, b, 512);
        return;
    case ZYDIS_MNEMONIC_FLDENV: rnd_env(g, la, op16, false); return;
    case ZYDIS_MNEMONIC_FRSTOR: rnd_env(g, la, op16, true); return;
    case ZYDIS_MNEMONIC_LDMXCSR:
        rnd_fxsave(&g->r, b);
        if (rnd_one_in(&g->r, 8))
            b[26] = (uint8_t)(rnd_next(&g->r) & 0xfc); /* reserved bits; not AMD's bit 17 */
        patch(g, la, b + 24, 4);
        return;
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD: {
        const uint32_t fl =
            (uint32_t)rnd_next(&g->r) & ~(rnd_one_in(&g->r, 8) ? (uint32_t)FL_AC : FL_TF | FL_AC);
        patch(g, la, &fl, 4);
        return;
    }
    case ZYDIS_MNEMONIC_RET:
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL: {
        const uint32_t zero = 0;
        const unsigned before = g->c->n_patch;
        patch(g, la, &zero, 4);
        for (unsigned k = before; k < g->c->n_patch; k++)
            g->aims[g->n_aims++] = (struct aim){k, la, (uint8_t)g->c->n};
        return;
    }
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_POP:
        if (zi->opcode == 0x8e || zi->opcode == 0x07 || zi->opcode == 0x17 || zi->opcode == 0x1f) {
            rnd_put16(b, rnd_selector(g));
            patch(g, la, b, 2);
            return;
        }
        break;
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LSS:
        rnd_16(&g->r, b);
        rnd_put16(b + (op16 ? 2 : 4), rnd_selector(g));
        patch(g, la, b, 6);
        return;
    default: break;
    }
    rnd_16(&g->r, b);
    rnd_16(&g->r, b + 16);
    if (takes_selector(zi->mnemonic))
        rnd_put16(b, rnd_selector(g));
    if (!rnd_one_in(&g->r, 4))
        patch(g, la, b, size < 16 ? 16 : 32);
}

static void steer_registers(struct gen *g, const ZydisDecodedInstruction *zi, unsigned fixed)
{
    uint32_t *r = g->c->in.gpr;
    if (takes_selector(zi->mnemonic) && zi->raw.modrm.mod == 3 && !(fixed >> zi->raw.modrm.rm & 1))
        r[zi->raw.modrm.rm] = rnd_selector(g) | (uint32_t)rnd_next(&g->r) << 16;
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
        if (!(fixed >> zi->raw.modrm.reg & 1) && !rnd_one_in(&g->r, 10))
            r[zi->raw.modrm.reg] = rnd_below(&g->r, 2000) - 1000;
        break;
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
        if (!(fixed >> R_EDX & 1) && !rnd_one_in(&g->r, 4))
            r[R_EDX] = rnd_one_in(&g->r, 2) ? rnd_below(&g->r, 256) : 0u - rnd_below(&g->r, 3);
        if (!(fixed & 1) && !rnd_one_in(&g->r, 4))
            r[R_EAX] =
                rnd_one_in(&g->r, 2) ? rnd_below(&g->r, 0x8000) : 0u - rnd_below(&g->r, 0x8000);
        break;
    case ZYDIS_MNEMONIC_MOV:
        if (zi->opcode == 0x8e && zi->raw.modrm.mod == 3 && !(fixed >> zi->raw.modrm.rm & 1))
            r[zi->raw.modrm.rm] = rnd_selector(g) | (uint32_t)rnd_next(&g->r) << 16;
        break;
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
        if (zi->opcode == 0xff && zi->raw.modrm.mod == 3 && !(fixed >> zi->raw.modrm.rm & 1))
            g->aim_reg[zi->raw.modrm.rm] = (uint8_t)(g->c->n + 1);
        break;
    default: break;
    }
}

/* What no CPU has: LOCK where it may not be, FPU and SSE opcodes that mean nothing. Both sides must
 * raise #UD; nothing can come behind, for how long it is nobody knows. */
static bool make_undefined(struct gen *g, unsigned k, const uint8_t *b, unsigned opcode_end,
                           ZyanStatus st)
{
    const bool fpu = g->c->cls >= DIFF_FPU && (b[opcode_end - 1] & 0xf8) != 0x18;
    if (st != ZYDIS_STATUS_ILLEGAL_LOCK && !(fpu && st == ZYDIS_STATUS_DECODING_ERROR))
        return false;
    /* LOCK MOV CRn is AMD's way to CR8, and LOCK VERR and VERW are let through there. */
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                       0x66, 0x67, 0xf0, 0xf2, 0xf3};
    unsigned at = 0;
    while (at < 10 && memchr(prefixes, b[at], sizeof prefixes))
        at++;
    const bool two = b[at] == 0x0f;
    const uint8_t op = two ? b[at + 1] : b[at];
    const bool amd = two && (op == 0 || op == 0x20 || op == 0x22);
    const bool vex = !two && (op == 0xc4 || op == 0xc5 || op == 0x62 || op == 0x8f);
    if (amd || vex || !rnd_one_in(&g->r, 4))
        return false;
    memcpy(g->c->code[k], b, 15);
    g->c->len[k] = 15;
    g->jump[k] = 0;
    g->last = true;
    return true;
}

/* One instruction into slot k. */
static bool make_insn(struct gen *g, unsigned k, unsigned *fixed)
{
    struct diff_case *c = g->c;
    uint8_t b[40];
    const unsigned n = make_opcode(g, c->cls, b);
    for (unsigned i = n; i < sizeof b; i++) {
        static const uint8_t edge[] = {0, 1, 0xff, 0x80, 0x7f};
        b[i] = rnd_one_in(&g->r, 6) ? edge[rnd_below(&g->r, 5)] : (uint8_t)rnd_next(&g->r);
    }
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    const ZyanStatus st = ZydisDecoderDecodeFull(&g->dec, b, 15, &zi, op);
    if (!ZYAN_SUCCESS(st))
        return make_undefined(g, k, b, n, st);
    if (zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !isa_wanted(zi.meta.isa_set) ||
        !mnemonic_wanted(&zi, b + zi.length - 1) || !prefix_wanted(&zi, b) ||
        loads_fs_gs(&zi, op) || !in_class(c->cls, &zi))
        return false;
    for (unsigned i = 0; i < zi.operand_count; i++) {
        const unsigned size = op[i].size / 8;
        if (op[i].type != ZYDIS_OPERAND_TYPE_MEMORY || op[i].mem.type == ZYDIS_MEMOP_TYPE_AGEN)
            continue;
        const bool stack = op[i].mem.base == ZYDIS_REGISTER_ESP &&
                           op[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
        if (stack && (*fixed >> R_ESP & 1)) {
            fill(g, &zi, c->in.gpr[R_ESP], 4);
            continue;
        }
        const uint32_t la = target(g, size ? size : 1, zi.address_width == 16 && !stack);
        fill(g, &zi, aim(g, &zi, &op[i], b, la, fixed), size);
    }
    steer_registers(g, &zi, *fixed);
    g->jump[k] = 0;
    if (zi.raw.imm[0].is_relative && zi.raw.imm[0].size != 16)
        g->jump[k] = zi.raw.imm[0].size / 8;
    /* The guest's MXCSR_MASK is not the host's: nobody shall read it. */
    g->last = zi.mnemonic == ZYDIS_MNEMONIC_FXSAVE;
    g->movs16 |= zi.address_width == 16 && (zi.opcode == 0xa4 || zi.opcode == 0xa5) &&
                 zi.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
    c->len[k] = zi.length;
    memcpy(c->code[k], b, zi.length);
    return true;
}

/* Address of one of the instructions behind k, or of the end. */
static uint32_t behind(struct gen *g, unsigned k)
{
    const struct diff_case *c = g->c;
    uint32_t at = c->start;
    for (unsigned to = k + 1 + rnd_below(&g->r, c->n - k), i = 0; i < to; i++)
        at += c->len[i];
    return at;
}

static void aim_indirect(struct gen *g)
{
    uint32_t target[DIFF_MAX_INSN];
    for (unsigned k = 0; k < g->c->n; k++)
        target[k] = behind(g, k);
    for (unsigned a = 0; a < g->n_aims; a++) {
        struct diff_patch *p = &g->c->patch[g->aims[a].patch];
        const uint8_t *bytes = (const uint8_t *)&target[g->aims[a].insn];
        memcpy(p->bytes, bytes + (p->la - g->aims[a].la), p->len);
    }
    for (unsigned r = 0; r < 8; r++)
        if (g->aim_reg[r])
            g->c->in.gpr[r] = target[g->aim_reg[r] - 1];
}

/* Branches go forward, to one of the instructions behind or to the end. */
static void aim_branches(struct gen *g)
{
    struct diff_case *c = g->c;
    for (unsigned k = 0; k < c->n; k++) {
        if (!g->jump[k])
            continue;
        uint32_t dist = 0;
        for (unsigned to = k + 1 + rnd_below(&g->r, c->n - k), i = k + 1; i < to; i++)
            dist += c->len[i];
        memcpy(c->code[k] + c->len[k] - g->jump[k], &dist, g->jump[k]);
    }
}

static void start_state(struct gen *g)
{
    struct native32_state *in = &g->c->in;
    for (int i = 0; i < 8; i++)
        in->gpr[i] = rnd_int(&g->r);
    if (!rnd_one_in(&g->r, 10))
        in->gpr[R_ECX] = rnd_below(&g->r, 40);
    in->gpr[R_ESP] = target(g, 64, false);
    if (rnd_one_in(&g->r, 2))
        in->gpr[R_EBP] = target(g, 64, false);
    in->eflags = FL_ONE | FL_IF | ((uint32_t)rnd_next(&g->r) & (FL_ARITH | FL_ID));
    if (rnd_one_in(&g->r, 4))
        in->eflags |= FL_DF;
    if (rnd_one_in(&g->r, 60))
        in->eflags |= FL_TF;
    if (rnd_one_in(&g->r, 60))
        in->eflags |= FL_NT;
    rnd_fxsave(&g->r, in->fxsave);
}

/* FNSAVE [disp32], or with prefix 66: shows the pointers to the last instruction and operand. */
static void append_fnsave(struct gen *g)
{
    struct diff_case *c = g->c;
    uint8_t *b = c->code[c->n];
    const unsigned p = rnd_one_in(&g->r, 3);
    const uint32_t to = DIFF_DATA + 0x4000 + rnd_below(&g->r, 1024);
    b[0] = 0x66;
    b[p] = 0xdd;
    b[p + 1] = 0x35;
    memcpy(b + p + 2, &to, 4);
    g->jump[c->n] = 0;
    c->len[c->n++] = (uint8_t)(6 + p);
}

/* Zen 5 gets REP MOVS with 16-bit addresses wrong where the strings overlap (its test looks above
 * the 16 bits, and fails across a page's end): keep them apart. */
static void part_movs16(struct gen *g)
{
    uint32_t *r = g->c->in.gpr;
    r[R_EDI] = (r[R_ESI] & 0xffff0000) | (r[R_EDI] & 0xffff);
    if (((r[R_EDI] - r[R_ESI] + 0x400) & 0xffff) < 0x800)
        r[R_EDI] =
            (r[R_EDI] & 0xffff0000) | ((r[R_ESI] & 0x8000 ? 0 : 0xf000) + (r[R_EDI] & 0xdff));
}

void diff_generate(struct diff_case *c, uint64_t seed, enum diff_class cls)
{
    struct gen g = {.r.x = seed * 0x2545f4914f6cdd1du + cls, .c = c};
    memset(c, 0, sizeof *c);
    c->seed = seed;
    c->cls = cls;
    ZydisDecoderInit(&g.dec, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    c->start = DIFF_CODE + 0x100 + rnd_below(&g.r, 64);
    start_state(&g);
    const unsigned want = rnd_one_in(&g.r, 3) ? 1 + rnd_below(&g.r, DIFF_MAX_INSN) : 1;
    unsigned fixed = 0, bytes = 0;
    while (c->n < want && !g.last)
        if (make_insn(&g, c->n, &fixed))
            bytes += c->len[c->n++];
    if (cls == DIFF_FPU && c->n < DIFF_MAX_INSN && !g.last && rnd_one_in(&g.r, 3))
        append_fnsave(&g);
    aim_branches(&g);
    if (g.movs16)
        part_movs16(&g);
    if (rnd_one_in(&g.r, 16)) /* across the end of a page, perhaps into nothing */
        c->start =
            DIFF_CODE + (rnd_one_in(&g.r, 4) ? 0x2000u : 0x1000u) - 1 - rnd_below(&g.r, bytes);
    aim_indirect(&g);
    c->in.eip = c->start;
}
