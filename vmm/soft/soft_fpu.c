/*
 * The soft CPU's x87 (SDM vol. 1, chapter 8), and who of the x87, MMX and SSE files takes an
 * instruction.
 *
 * x87 arithmetic: the guest's state goes into the host's FPU, the very instruction runs there with
 * its memory operand in a buffer, the state comes back. That cannot fault on the host: an unmasked
 * x87 exception only marks the state, and is reported by the next waiting instruction, which the
 * host never runs.
 */
#include "vmm/soft/soft_x87.h"

/*
 * uint64_t x87_run(void *fxsave, const void *thunk, void *mem, uint64_t eflags)
 * Runs one thunk on the state; returns EFLAGS. Thunks: 4 bytes each, [0..511] register forms by
 * (opcode & 7) * 64 + (modrm & 63), [512..575] memory forms by (opcode & 7) * 8 + reg, operand at
 * RSI.
 */
__asm__(".text\n"
        ".p2align 4\n"
        ".type x87_run, @function\n"
        "x87_run:\n"
        "  pushq %rbx\n"
        "  movq %rdi, %rbx\n"
        "  movq %rsi, %rax\n"
        "  movq %rdx, %rsi\n"
        "  fxrstor (%rbx)\n"
        "  pushq %rcx\n"
        "  popfq\n"
        "  call *%rax\n"
        "  pushfq\n"
        "  popq %rax\n"
        "  fxsave (%rbx)\n"
        "  fninit\n"
        "  ldmxcsr x87_host_mxcsr(%rip)\n"
        "  popq %rbx\n"
        "  ret\n"
        ".size x87_run, .-x87_run\n"
        ".p2align 2\n"
        "x87_host_mxcsr: .long 0x1f80\n"
        ".globl x87_thunks\n"
        ".hidden x87_thunks\n"
        "x87_thunks:\n"
        ".set opcode, 0xd8\n"
        ".rept 8\n"
        ".set modrm, 0xc0\n"
        ".rept 64\n"
        "  .byte opcode, modrm, 0xc3, 0xcc\n"
        ".set modrm, modrm + 1\n"
        ".endr\n"
        ".set opcode, opcode + 1\n"
        ".endr\n"
        ".set opcode, 0xd8\n"
        ".rept 8\n"
        ".set modrm, 0x06\n"
        ".rept 8\n"
        "  .byte opcode, modrm, 0xc3, 0xcc\n"
        ".set modrm, modrm + 8\n"
        ".endr\n"
        ".set opcode, opcode + 1\n"
        ".endr\n");
uint64_t x87_run(void *fxsave, const void *thunk, void *mem, uint64_t eflags) __asm__("x87_run");

/* Flags that are the host's business while a thunk runs. */
enum { HOST_EFLAGS = FL_ONE | FL_IF };

/* Bytes of the memory operand by opcode & 7 and reg; negative: stored. 0: not here. */
static const int8_t mem_bytes[8][8] = {
    {4, 4, 4, 4, 4, 4, 4, 4},      {4, 0, -4, -4, 0, 0, 0, 0},     {4, 4, 4, 4, 4, 4, 4, 4},
    {4, 0, -4, -4, 0, 10, 0, -10}, {8, 8, 8, 8, 8, 8, 8, 8},       {8, 0, -8, -8, 0, 0, 0, 0},
    {2, 2, 2, 2, 2, 2, 2, 2},      {2, 0, -2, -2, 10, 8, -10, -8},
};

/* The pointers that the host's FXSAVE does not keep for us (F2). */
struct pointers {
    uint8_t b[FX_MXCSR - FX_FOP];
};

unsigned x87_mem_size(const struct insn *i)
{
    const int n = mem_bytes[i->opcode & 7][i->reg];
    return (unsigned)(n < 0 ? -n : n);
}

/* With CR0.NE clear a pending exception is ignored: run with it out of sight. */
struct ignored {
    uint16_t fcw, flags;
};

static struct ignored hide_pending(uint8_t *fx)
{
    struct ignored g = {fx_get16(fx, FX_FCW), 0};
    const uint16_t fsw = fx_get16(fx, FX_FSW);
    if (x87_pending(fx)) {
        g.flags = fsw & X87_FLAGS;
        fx_put16(fx, FX_FCW, g.fcw | X87_FLAGS);
        fx_put16(fx, FX_FSW, fsw & ~(uint32_t)(FSW_ES | FSW_B | X87_FLAGS));
    }
    return g;
}

static void show_pending(uint8_t *fx, struct ignored g)
{
    if (!g.flags)
        return;
    fx_put16(fx, FX_FCW, g.fcw);
    fx_put16(fx, FX_FSW, (uint32_t)fx_get16(fx, FX_FSW) | g.flags);
    x87_update_es(fx);
}

static uint64_t run(struct soft *s, unsigned thunk, void *mem, uint64_t eflags)
{
    uint8_t *fx = fpu_image(s);
    struct pointers p;
    memcpy(p.b, fx + FX_FOP, sizeof p.b);
    fx_put32(fx, FX_MXCSR, fx_get32(fx, FX_MXCSR) & MXCSR_MASK); /* F4 */
    const struct ignored g = hide_pending(fx);
    const uint64_t fl = x87_run(fx, x87_thunks + thunk * X87_THUNK_BYTES, mem, eflags);
    show_pending(fx, g);
    memcpy(fx + FX_FOP, p.b, sizeof p.b);
    return fl;
}

void x87_ferr(struct soft *s, bool level)
{
    const struct soft_env *env = soft_core(s)->env;
    soft_core(s)->ferr = level;
    if (env->ferr && env->ferr(env->ctx, level))
        soft_leave(s, SOFT_EXIT_ATTENTION, "an x87 exception interrupts");
}

bool soft_ferr(struct soft *s)
{
    if (soft_core(s)->ferr && !x87_pending(fpu_image(s)))
        x87_ferr(s, false);
    return soft_core(s)->ferr;
}

void x87_whole_reg(struct soft *s, const struct insn *i)
{
    x87_check(s);
    x87_check_pending(s);
    run(s, x87_reg_thunk(i), NULL, HOST_EFLAGS);
    x87_note_insn(s, i);
}

/* FCMOVcc reads EFLAGS, FCOMI and its kin write them. */
void x87_whole_reg_flags(struct soft *s, const struct insn *i)
{
    x87_check(s);
    x87_check_pending(s);
    const uint32_t fl = soft_flags(s) & FL_ARITH;
    const uint64_t out = run(s, x87_reg_thunk(i), NULL, HOST_EFLAGS | fl);
    soft_set_flags(s, FL_ARITH, (uint32_t)out & FL_ARITH);
    x87_note_insn(s, i);
}

/* 10 bytes are read and written as 8 and 2: with 16-bit addresses the 2 may lie at offset 0. */
static uint32_t exponent_at(const struct insn *i, uint32_t off)
{
    return i->flags & INSN_AD16 ? (off + 8) & 0xffff : off + 8;
}

static void load_operand(struct soft *s, const struct insn *i, uint32_t off, uint8_t *buf,
                         unsigned n)
{
    if (n == 10 && exponent_at(i, off) != off + 8) {
        soft_read_block(s, i->seg, off, buf, 8);
        soft_read_block(s, i->seg, exponent_at(i, off), buf + 8, 2);
    } else {
        fpu_load(s, i, buf, n, false);
    }
}

static void probe_operand(struct soft *s, const struct insn *i, uint32_t off, unsigned n)
{
    const bool split = n == 10 && exponent_at(i, off) != off + 8;
    soft_probe_write(s, i->seg, off, split ? 8 : n);
    if (split)
        soft_probe_write(s, i->seg, exponent_at(i, off), 2);
}

static void store_operand(struct soft *s, const struct insn *i, uint32_t off, const uint8_t *buf,
                          unsigned n)
{
    const bool split = n == 10 && exponent_at(i, off) != off + 8;
    soft_write_block(s, i->seg, off, buf, split ? 8 : n);
    if (split)
        soft_write_block(s, i->seg, exponent_at(i, off), buf + 8, 2);
}

void x87_whole_load(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t buf[16];
    const uint32_t off = soft_ea(s, i);
    x87_check(s);
    x87_check_pending(s);
    load_operand(s, i, off, buf, x87_mem_size(i));
    x87_whole_loaded(s, i, off, buf);
}

void x87_whole_loaded(struct soft *s, const struct insn *i, uint32_t off, void *buf)
{
    run(s, x87_mem_thunk(i), buf, HOST_EFLAGS);
    x87_note_insn(s, i);
    x87_note_data(s, i, off);
}

/* An unmasked exception other than precision leaves memory alone (SDM vol. 1, 8.5). */
static bool stored(const uint8_t *fx)
{
    return !(fx_get16(fx, FX_FSW) & ~(uint32_t)fx_get16(fx, FX_FCW) & (X87_FLAGS & ~0x20));
}

void x87_whole_store(struct soft *s, const struct insn *i)
{
    _Alignas(16) uint8_t buf[16];
    const uint32_t off = soft_ea(s, i);
    const unsigned n = x87_mem_size(i);
    x87_check(s);
    x87_check_pending(s);
    probe_operand(s, i, off, n);
    const bool ignoring = x87_pending(fpu_image(s));
    run(s, x87_mem_thunk(i), buf, HOST_EFLAGS);
    x87_note_insn(s, i);
    x87_note_data(s, i, off);
    if (ignoring || stored(fpu_image(s)))
        store_operand(s, i, off, buf, n);
}

static soft_op whole_op(const struct insn *i)
{
    if (i->flags & INSN_MEM) {
        const int n = mem_bytes[i->opcode & 7][i->reg];
        return n > 0 ? x87_whole_load : n < 0 ? x87_whole_store : NULL;
    }
    const unsigned group = (i->opcode & 7u) << 3 | i->reg;
    switch (group) {
    case 2 << 3 | 0: /* DA, DB: FCMOVcc */
    case 2 << 3 | 1:
    case 2 << 3 | 2:
    case 2 << 3 | 3:
    case 3 << 3 | 0:
    case 3 << 3 | 1:
    case 3 << 3 | 2:
    case 3 << 3 | 3:
    case 3 << 3 | 5: /* FUCOMI, FCOMI, with pop in DF */
    case 3 << 3 | 6:
    case 7 << 3 | 5:
    case 7 << 3 | 6: return x87_whole_reg_flags;
    default: return x87_whole_reg;
    }
}

static soft_op x87_op(const struct insn *i)
{
    const soft_op control = x87_env_op(i);
    if (control)
        return control;
    const soft_op whole = whole_op(i), fast = whole ? x87_fast_op(i) : NULL;
    return fast ? fast : whole;
}

static bool has_66(const ZydisDecodedInstruction *zi)
{
    for (unsigned k = 0; k < zi->raw.prefix_count; k++)
        if (zi->raw.prefixes[k].value == 0x66)
            return true;
    return false;
}

/* The segment of MASKMOV's implicit operand. */
static unsigned segment(const ZydisDecodedInstruction *zi)
{
    const uint64_t a = zi->attributes;
    return a & ZYDIS_ATTRIB_HAS_SEGMENT_ES   ? SEG_ES
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_CS ? SEG_CS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_SS ? SEG_SS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_FS ? SEG_FS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_GS ? SEG_GS
                                             : SEG_DS;
}

bool soft_fpu_decode(const ZydisDecodedInstruction *zi, struct insn *i)
{
    const ZydisMnemonic m = zi->mnemonic;
    soft_op op = NULL;
    if (zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return false;
    if (zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
        if (i->opcode == 0x9b ||
            (i->opcode >= 0xd8 && i->opcode <= 0xdf && m != ZYDIS_MNEMONIC_FISTTP))
            op = x87_op(i);
    } else if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F) {
        const bool xmm = has_66(zi);
        op = fxsave_op(m);
        if (!op)
            op = mmx_op(m, xmm, i);
        if (!op)
            op = sse_op(m, xmm, i);
        if (!op)
            op = sse_move_op(m, xmm, i);
        if (m == ZYDIS_MNEMONIC_MASKMOVQ || m == ZYDIS_MNEMONIC_MASKMOVDQU)
            i->imm2 = segment(zi);
    }
    if (!op)
        return false;
    i->op = op;
    i->flags |= INSN_FAST;
    return true;
}
