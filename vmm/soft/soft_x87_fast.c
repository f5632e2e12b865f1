/*
 * x87 instructions of every day without moving the whole state: only the registers that take part
 * go to the host's (empty) FPU. Taken when all exceptions are masked, none is pending and no
 * register is empty that is read, or full that is pushed; else the handler falls back to the
 * whole-state way.
 *
 * Rules
 *  X1  The instruction runs on the host with ST(0) in ST(0) and ST(i) in ST(1): thunk with rm = 1.
 *  X2  Memory is written before any state changes, read before anything is computed.
 *  X4  A flag that the guest's FSW lacks sends the instruction the whole-state way: so nothing of
 * the state is touched before the flags are known. X3  Condition codes C0, C2, C3 are the host's
 * after a compare, unchanged otherwise; C1 is the host's.
 */
#include "vmm/soft/soft_x87.h"

/* Each: registers from and to memory (rdi ST(0), rsi ST(1) or the operand), rdx the thunk. Returns
 * FSW, and in bits 16..23 the low byte of EFLAGS. */
__asm__(
    ".text\n"
    ".p2align 4\n"
    "x87_in1_out1: fldt (%rdi); call *%rdx; fnstsw %ax; fstpt (%rdi); movzwl %ax, %eax; ret\n"
    ".p2align 4\n"
    "x87_in1_out0: fldt (%rdi); call *%rdx; fnstsw %ax; movzwl %ax, %eax; ret\n"
    ".p2align 4\n"
    "x87_in0_out1: call *%rdx; fnstsw %ax; fstpt (%rdi); movzwl %ax, %eax; ret\n"
    ".p2align 4\n"
    "x87_in2_out2: fldt (%rsi); fldt (%rdi); call *%rdx; lahf; movzbl %ah, %ecx; shll $16, %ecx\n"
    "  fnstsw %ax; fstpt (%rdi); fstpt (%rsi); movzwl %ax, %eax; orl %ecx, %eax; ret\n"
    ".p2align 4\n"
    "x87_in2_out1: fldt (%rsi); fldt (%rdi); call *%rdx; lahf; movzbl %ah, %ecx; shll $16, %ecx\n"
    "  fnstsw %ax; fstpt (%rsi); movzwl %ax, %eax; orl %ecx, %eax; ret\n"
    ".p2align 4\n"
    "x87_in2_out0: fldt (%rsi); fldt (%rdi); call *%rdx; fnstsw %ax; movzwl %ax, %eax; ret\n");
typedef uint32_t (*x87_piece)(void *st0, void *st1, const void *thunk);
uint32_t x87_in1_out1(void *st0, void *st1, const void *thunk) __asm__("x87_in1_out1");
uint32_t x87_in1_out0(void *st0, void *st1, const void *thunk) __asm__("x87_in1_out0");
uint32_t x87_in0_out1(void *st0, void *st1, const void *thunk) __asm__("x87_in0_out1");
uint32_t x87_in2_out2(void *st0, void *st1, const void *thunk) __asm__("x87_in2_out2");
uint32_t x87_in2_out1(void *st0, void *st1, const void *thunk) __asm__("x87_in2_out1");
uint32_t x87_in2_out0(void *st0, void *st1, const void *thunk) __asm__("x87_in2_out0");

enum { FSW_CC = 0x4700, FSW_COMPARE = 0x4700 };

/* --- the stack -----------------------------------------------------------------------------------
 */

static uint8_t *st(uint8_t *fx, unsigned n)
{
    return fx + FX_ST + 16 * n;
}
static bool used(const uint8_t *fx, unsigned n)
{
    return fx[FX_FTW] >> ((fx_top(fx) + n) & 7) & 1;
}
static void set_top(uint8_t *fx, unsigned top)
{
    fx_put16(fx, FX_FSW,
             (fx_get16(fx, FX_FSW) & ~(7u << FSW_TOP_SHIFT)) | (top & 7) << FSW_TOP_SHIFT);
}

/* The image is in stack order: a pop moves every register down, ST(0) becomes ST(7), empty. */
static void pop(uint8_t *fx)
{
    uint8_t r[16];
    const unsigned top = fx_top(fx);
    memcpy(r, st(fx, 0), 16);
    memmove(st(fx, 0), st(fx, 1), 112);
    memcpy(st(fx, 7), r, 16);
    fx[FX_FTW] &= (uint8_t) ~(1u << top);
    set_top(fx, top + 1);
}

static void push(uint8_t *fx, const uint8_t val[10])
{
    const unsigned top = (fx_top(fx) - 1) & 7;
    memmove(st(fx, 1), st(fx, 0), 112);
    memcpy(st(fx, 0), val, 10);
    fx[FX_FTW] |= (uint8_t)(1u << top);
    set_top(fx, top);
}

/* --- when, and the host's side -------------------------------------------------------------------
 */

static bool ready(struct soft *s)
{
    const uint8_t *fx = fpu_image(s);
    return !(CPU(s)->cr0 & (CR0_EM | CR0_TS)) && !(fx_get16(fx, FX_FSW) & FSW_ES) &&
           (fx_get16(fx, FX_FCW) & X87_FLAGS) == X87_FLAGS;
}

/*
 * The host's exception flags are not cleared in between: what they held before cannot be told from
 * what the piece raised. So only flags that the guest has set already are taken (X4); a new one,
 * ours or stale, is found out by the whole-state way, which leaves the host's clean.
 */
static bool on_host(const uint8_t *fx, x87_piece piece, void *st0, void *st1, unsigned thunk,
                    uint32_t *out)
{
    const uint16_t fcw = fx_get16(fx, FX_FCW), host = FCW_INIT;
    if (fcw != host)
        __asm__ volatile("fldcw %0" : : "m"(fcw));
    *out = piece(st0, st1, x87_thunks + thunk * X87_THUNK_BYTES);
    if (fcw != host)
        __asm__ volatile("fldcw %0" : : "m"(host));
    return !(*out & X87_FLAGS & ~(uint32_t)fx_get16(fx, FX_FSW));
}

/* Condition codes into FSW; cc: which of them are the host's. */
static void settle(uint8_t *fx, uint32_t r, uint32_t cc)
{
    fx_put16(fx, FX_FSW, (fx_get16(fx, FX_FSW) & ~cc) | (r & cc));
}

static unsigned rm1_thunk(const struct insn *i)
{
    return (i->opcode & 7u) * 64 + ((i->modrm & 0x38u) | 1);
}

/* --- with memory
 * ----------------------------------------------------------------------------------- */

static inline void load_number(struct soft *s, const struct insn *i, uint32_t off, uint8_t *buf)
{
    switch (x87_mem_size(i)) {
    case 4: fpu_read(s, i->seg, off, buf, 4); break;
    case 8: fpu_read(s, i->seg, off, buf, 8); break;
    default: fpu_read(s, i->seg, off, buf, 2); break;
    }
}

static inline void arith_mem(struct soft *s, const struct insn *i, bool compare, bool pops)
{
    uint8_t *fx = fpu_image(s), a[16], buf[16];
    const uint32_t off = soft_ea(s, i);
    uint32_t r;
    if (!ready(s) || !used(fx, 0)) {
        x87_whole_load(s, i);
        return;
    }
    load_number(s, i, off, buf);
    memcpy(a, st(fx, 0), 16);
    if (!on_host(fx, pops ? x87_in1_out0 : x87_in1_out1, a, buf, x87_mem_thunk(i), &r)) {
        x87_whole_loaded(s, i, off, buf);
        return;
    }
    settle(fx, r, compare ? FSW_COMPARE : FSW_C1);
    if (pops)
        pop(fx);
    else if (!compare)
        memcpy(st(fx, 0), a, 10);
    x87_note_insn(s, i);
    x87_note_data(s, i, off);
}
static void op_arith_mem(struct soft *s, const struct insn *i)
{
    arith_mem(s, i, false, false);
}
static void op_compare_mem(struct soft *s, const struct insn *i)
{
    arith_mem(s, i, true, i->reg == 3);
}

static void op_load(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s), buf[16], val[16];
    const uint32_t off = soft_ea(s, i);
    uint32_t r;
    if (!ready(s) || used(fx, 7)) {
        x87_whole_load(s, i);
        return;
    }
    load_number(s, i, off, buf);
    if (!on_host(fx, x87_in0_out1, val, buf, x87_mem_thunk(i), &r)) {
        x87_whole_loaded(s, i, off, buf);
        return;
    }
    settle(fx, r, FSW_C1);
    push(fx, val);
    x87_note_insn(s, i);
    x87_note_data(s, i, off);
}

static void op_store(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s), a[16], buf[16];
    const uint32_t off = soft_ea(s, i);
    const bool pops = i->reg == 3 || i->reg == 7;
    uint32_t r;
    memcpy(a, st(fx, 0), 16);
    if (!ready(s) || !used(fx, 0) ||
        !on_host(fx, pops ? x87_in1_out0 : x87_in1_out1, a, buf, x87_mem_thunk(i), &r)) {
        x87_whole_store(s, i);
        return;
    }
    switch (x87_mem_size(i)) {
    case 4: fpu_write(s, i->seg, off, buf, 4); break;
    case 8: fpu_write(s, i->seg, off, buf, 8); break;
    default: fpu_write(s, i->seg, off, buf, 2); break;
    }
    settle(fx, r, FSW_C1);
    if (pops)
        pop(fx);
    x87_note_insn(s, i);
    x87_note_data(s, i, off);
}

/* --- between registers ---------------------------------------------------------------------------
 */

/* ST(0) alone: in and out. */
static void one_reg(struct soft *s, const struct insn *i, uint32_t cc)
{
    uint8_t *fx = fpu_image(s), a[16];
    uint32_t r;
    memcpy(a, st(fx, 0), 16);
    if (!ready(s) || !used(fx, 0) || !on_host(fx, x87_in1_out1, a, NULL, x87_reg_thunk(i), &r)) {
        x87_whole_reg(s, i);
        return;
    }
    memcpy(st(fx, 0), a, 10);
    settle(fx, r, cc);
    x87_note_insn(s, i);
}
static void op_one_reg(struct soft *s, const struct insn *i)
{
    one_reg(s, i, FSW_C1);
}
static void op_test_reg(struct soft *s, const struct insn *i)
{
    one_reg(s, i, FSW_COMPARE);
}

static void op_constant(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s), val[16];
    uint32_t r;
    if (!ready(s) || used(fx, 7) || !on_host(fx, x87_in0_out1, val, NULL, x87_reg_thunk(i), &r)) {
        x87_whole_reg(s, i);
        return;
    }
    settle(fx, r, FSW_C1);
    push(fx, val);
    x87_note_insn(s, i);
}

static void two_regs(struct soft *s, const struct insn *i, x87_piece piece, uint32_t cc,
                     unsigned pops)
{
    uint8_t *fx = fpu_image(s), a[16], b[16];
    uint32_t r;
    memcpy(a, st(fx, 0), 16);
    memcpy(b, st(fx, i->rm), 16);
    if (!ready(s) || !used(fx, 0) || !used(fx, i->rm) ||
        !on_host(fx, piece, a, b, rm1_thunk(i), &r)) {
        x87_whole_reg(s, i);
        return;
    }
    memcpy(st(fx, 0), a, 10);
    memcpy(st(fx, i->rm), b, 10);
    settle(fx, r, cc);
    while (pops--)
        pop(fx);
    x87_note_insn(s, i);
}
static void op_arith(struct soft *s, const struct insn *i)
{
    if (i->rm)
        two_regs(s, i, x87_in2_out2, FSW_C1, 0);
    else
        one_reg(s, i, FSW_C1);
}
static void op_arith_pop(struct soft *s, const struct insn *i)
{
    two_regs(s, i, x87_in2_out1, FSW_C1, 1);
}
static void op_compare(struct soft *s, const struct insn *i)
{
    if (i->rm)
        two_regs(s, i, x87_in2_out2, FSW_COMPARE, 0);
    else
        one_reg(s, i, FSW_COMPARE);
}
static void op_compare_pop(struct soft *s, const struct insn *i)
{
    two_regs(s, i, x87_in2_out1, FSW_COMPARE, 1);
}
static void op_compare_pop2(struct soft *s, const struct insn *i)
{
    two_regs(s, i, x87_in2_out0, FSW_COMPARE, 2);
}

/* FCOMI and its kin: EFLAGS instead of condition codes. */
static void op_comi(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s), a[16], b[16];
    const bool pops = i->opcode == 0xdf;
    uint32_t r;
    memcpy(a, st(fx, 0), 16);
    memcpy(b, st(fx, i->rm), 16);
    if (!ready(s) || !i->rm || !used(fx, 0) || !used(fx, i->rm) ||
        !on_host(fx, pops ? x87_in2_out1 : x87_in2_out2, a, b, rm1_thunk(i), &r)) {
        x87_whole_reg_flags(s, i);
        return;
    }
    soft_set_flags(s, FL_ARITH, r >> 16 & FL_ARITH);
    if (pops)
        pop(fx);
    x87_note_insn(s, i);
}

/* --- moves
 * ------------------------------------------------------------------------------------------ */

static void op_fld_reg(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s), val[16];
    if (!ready(s) || used(fx, 7) || !used(fx, i->rm)) {
        x87_whole_reg(s, i);
        return;
    }
    memcpy(val, st(fx, i->rm), 10);
    settle(fx, 0, FSW_C1);
    push(fx, val);
    x87_note_insn(s, i);
}

static void op_fxch(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s), val[16];
    if (!ready(s) || !used(fx, 0) || !used(fx, i->rm)) {
        x87_whole_reg(s, i);
        return;
    }
    memcpy(val, st(fx, i->rm), 10);
    memcpy(st(fx, i->rm), st(fx, 0), 10);
    memcpy(st(fx, 0), val, 10);
    settle(fx, 0, FSW_C1);
    x87_note_insn(s, i);
}

/* FST ST(i), FSTP ST(i): the destination may be empty. */
static void op_fst_reg(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s);
    if (!ready(s) || !used(fx, 0)) {
        x87_whole_reg(s, i);
        return;
    }
    memmove(st(fx, i->rm), st(fx, 0), 10);
    fx[FX_FTW] |= (uint8_t)(1u << ((fx_top(fx) + i->rm) & 7));
    settle(fx, 0, FSW_C1);
    if (i->reg == 3)
        pop(fx);
    x87_note_insn(s, i);
}

/* --- decoding
 * --------------------------------------------------------------------------------------- */

static soft_op fast_mem(const struct insn *i)
{
    switch (i->opcode & 7) {
    case 0:
    case 2:
    case 4:
    case 6: return i->reg == 2 || i->reg == 3 ? op_compare_mem : op_arith_mem;
    case 1: return i->reg == 0 ? op_load : op_store;
    case 3:
    case 5: return x87_mem_size(i) == 10 ? NULL : i->reg == 0 ? op_load : op_store;
    default: return x87_mem_size(i) == 10 ? NULL : i->reg == 0 || i->reg == 5 ? op_load : op_store;
    }
}

static soft_op fast_d9(const struct insn *i)
{
    switch (i->modrm) {
    case 0xe0:
    case 0xe1:
    case 0xfa:
    case 0xfc: return op_one_reg;
    case 0xe4:
    case 0xe5: return op_test_reg;
    default: break;
    }
    return i->reg == 0 ? op_fld_reg : i->reg == 1 ? op_fxch : i->reg == 5 ? op_constant : NULL;
}

soft_op x87_fast_op(const struct insn *i)
{
    if (i->flags & INSN_MEM)
        return fast_mem(i);
    switch (i->opcode) {
    case 0xd8:
        return i->reg == 2 ? op_compare : i->reg != 3 ? op_arith : i->rm ? op_compare_pop : NULL;
    case 0xd9: return fast_d9(i);
    case 0xda: return i->modrm == 0xe9 ? op_compare_pop2 : NULL;
    case 0xdb: return i->reg == 5 || i->reg == 6 ? op_comi : NULL;
    case 0xdc: return i->reg == 2 || i->reg == 3 ? NULL : op_arith;
    case 0xdd:
        return i->reg == 2 || i->reg == 3 ? op_fst_reg
               : i->reg == 4              ? op_compare
               : i->reg == 5 && i->rm     ? op_compare_pop
                                          : NULL;
    case 0xde:
        return i->modrm == 0xd9                           ? op_compare_pop2
               : i->reg == 2 || i->reg == 3 || i->rm == 0 ? NULL
                                                          : op_arith_pop;
    default: return i->reg == 5 || i->reg == 6 ? op_comi : NULL;
    }
}
