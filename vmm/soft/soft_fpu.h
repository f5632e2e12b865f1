/*
 * Inside of the soft CPU's x87, MMX and SSE part. The guest's state is always in cpu->fpu, in
 * FXSAVE's layout; the host's FPU computes on it and keeps nothing.
 *
 * Rules
 *  F1  FSW.ES and FSW.B in cpu->fpu say whether an unmasked exception is pending (x87_update_es()).
 *      Decisions are made by flags and masks all the same (x87_pending()): the host does so when it
 * loads a state, and must never meet one that would surprise it, wherever that came from. F2  FIP,
 * FCS, FDP, FDS and FOP in cpu->fpu are always the guest's, also where the host's FXSAVE would give
 * zeros. F3  The host's FPU is as the ABI wants it (FCW 037F, empty, MXCSR 1F80) when a handler
 * returns. F4  The bits of MXCSR that the host may be given are 0..15; others never reach it.
 */
#ifndef UMBRA_VMM_SOFT_SOFT_FPU_H
#define UMBRA_VMM_SOFT_SOFT_FPU_H

#include <string.h>

#include "vmm/soft/soft_mem.h"

/* Offsets in the FXSAVE image. */
enum fx_offset {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_FTW = 4, /* one bit a physical register: 1 used */
    FX_FOP = 6,
    FX_FIP = 8,
    FX_FCS = 12,
    FX_FDP = 16,
    FX_FDS = 20,
    FX_MXCSR = 24,
    FX_MXCSR_MASK = 28,
    FX_ST = 32, /* ST(0).. in the order of the stack, 16 bytes each */
    FX_XMM = 160,
};

enum {
    FSW_ES = 0x80,
    FSW_B = 0x8000,
    FSW_C1 = 0x200,
    FSW_TOP_SHIFT = 11,
    FCW_INIT = 0x37f,
    MXCSR_INIT = 0x1f80,
    MXCSR_MASK = 0xffff, /* what a guest may set: no AMD misaligned mode */
    MXCSR_FTZ = 0x8000,
    MXCSR_UM = 0x800,
    X87_FLAGS = 0x3f, /* IE DE ZE OE UE PE, in FSW and (as masks) in FCW; also in MXCSR */
};

/* The one way to the state: beside another engine it may have to be fetched first. */
static inline uint8_t *fpu_image(struct soft *s)
{
    const struct soft_env *env = soft_core(s)->env;
    if (env->fpu_use)
        env->fpu_use(env->ctx);
    return CPU(s)->fpu.fxsave;
}
static inline uint16_t fx_get16(const uint8_t *fx, unsigned off)
{
    uint16_t v;
    memcpy(&v, fx + off, 2);
    return v;
}
static inline uint32_t fx_get32(const uint8_t *fx, unsigned off)
{
    uint32_t v;
    memcpy(&v, fx + off, 4);
    return v;
}
static inline void fx_put16(uint8_t *fx, unsigned off, uint32_t v)
{
    const uint16_t w = (uint16_t)v;
    memcpy(fx + off, &w, 2);
}
static inline void fx_put32(uint8_t *fx, unsigned off, uint32_t v)
{
    memcpy(fx + off, &v, 4);
}
static inline unsigned fx_top(const uint8_t *fx)
{
    return fx_get16(fx, FX_FSW) >> FSW_TOP_SHIFT & 7;
}
static inline uint8_t *fx_xmm(uint8_t *fx, unsigned n)
{
    return fx + FX_XMM + 16 * n;
}

/* F1 */
static inline bool x87_pending(const uint8_t *fx)
{
    return (fx_get16(fx, FX_FSW) & ~(uint32_t)fx_get16(fx, FX_FCW) & X87_FLAGS) != 0;
}
static inline void x87_update_es(uint8_t *fx)
{
    uint32_t fsw = fx_get16(fx, FX_FSW) & ~(uint32_t)(FSW_ES | FSW_B);
    if (x87_pending(fx))
        fsw |= FSW_ES | FSW_B;
    fx_put16(fx, FX_FSW, fsw);
}

/* FERR# changes: an interrupt may have to be taken first, and then this does not return. */
void x87_ferr(struct soft *s, bool level);

/* An x87 exception is pending and CR0.NE reports it here: #MF. With NE clear FERR# does, and the
 * instruction goes on if no interrupt comes of it (SDM vol. 1, 8.7.2, D.2). */
static inline void x87_check_pending(struct soft *s)
{
    const bool pending = x87_pending(fpu_image(s));
    if (pending && (CPU(s)->cr0 & CR0_NE))
        soft_raise(s, VEC_MF);
    if (pending != soft_core(s)->ferr)
        x87_ferr(s, pending);
}

/* SDM vol. 3, 13.1 to 13.4: who may execute. */
static inline void x87_check(struct soft *s)
{
    if (CPU(s)->cr0 & (CR0_EM | CR0_TS))
        soft_raise(s, VEC_NM);
}
static inline void mmx_check(struct soft *s)
{
    if (CPU(s)->cr0 & CR0_EM)
        soft_raise(s, VEC_UD);
    if (CPU(s)->cr0 & CR0_TS)
        soft_raise(s, VEC_NM);
    x87_check_pending(s);
}
static inline void sse_check(struct soft *s)
{
    if ((CPU(s)->cr0 & CR0_EM) || !(CPU(s)->cr4 & CR4_OSFXSR))
        soft_raise(s, VEC_UD);
    if (CPU(s)->cr0 & CR0_TS)
        soft_raise(s, VEC_NM);
}
/* Instructions that use both register files. */
static inline void sse_mmx_check(struct soft *s)
{
    sse_check(s);
    x87_check_pending(s);
}

/* MMX: registers are the physical x87 ones. mmx_enter() does what every MMX instruction but EMMS
 * does (TOP = 0, all registers in use); after it MMn lies at mmx_reg(n). */
void mmx_enter(struct soft *s);
static inline uint8_t *mmx_reg(struct soft *s, unsigned n)
{
    return fpu_image(s) + FX_ST + 16 * n;
}
/* Where MMn lies before mmx_enter(). */
static inline const uint8_t *mmx_peek(struct soft *s, unsigned n)
{
    uint8_t *fx = fpu_image(s);
    return fx + FX_ST + 16 * ((n - fx_top(fx)) & 7);
}
static inline void mmx_write(struct soft *s, unsigned n, const void *val)
{
    memcpy(mmx_reg(s, n), val, 8);
    memset(mmx_reg(s, n) + 8, 0xff, 2);
}

/* soft_fpu_env.c: instructions that the FPU's memory images are about, and control. */
soft_op x87_env_op(const struct insn *i); /* NULL: not control */
soft_op fxsave_op(ZydisMnemonic m);

/* soft_sse.c, soft_mmx.c: handler of a MMX or SSE instruction, NULL: none of theirs. xmm: the form
 * with prefix 66. May set i->imm2. */
soft_op sse_op(ZydisMnemonic m, bool xmm, struct insn *i);
soft_op mmx_op(ZydisMnemonic m, bool xmm, struct insn *i);
/* Moves and others that need no arithmetic (soft_sse_move.c). */
soft_op sse_move_op(ZydisMnemonic m, bool xmm, struct insn *i);

/* --- operands ------------------------------------------------------------------------------- */

/* The offset must give a 16-aligned la: #GP(0), whatever the segment; before its limit counts, as
 * the silicon does it. */
static inline void sse_check_aligned(struct soft *s, const struct insn *i, uint32_t off)
{
    if ((CPU(s)->seg[i->seg].base + off) & 15)
        soft_raise_err(s, VEC_GP, 0);
}

/* Read or write n bytes at seg:off. */
static inline void fpu_read(struct soft *s, unsigned seg, uint32_t off, void *buf, unsigned n)
{
    const la_t la = soft_seg_la(s, seg, off, n, SOFT_R);
    const uint8_t *p = soft_hit_r(s->view, la, n);
    if (soft_likely(p != NULL))
        memcpy(buf, p, n);
    else
        soft_read_block(s, seg, off, buf, n);
}
static inline void fpu_write(struct soft *s, unsigned seg, uint32_t off, const void *buf,
                             unsigned n)
{
    const la_t la = soft_seg_la(s, seg, off, n, SOFT_W);
    uint8_t *p = soft_hit_w(s->view, la, n);
    if (soft_likely(p != NULL))
        memcpy(p, buf, n);
    else
        soft_write_block(s, seg, off, buf, n);
}

/* The memory operand of size bytes. */
static inline void fpu_load(struct soft *s, const struct insn *i, void *buf, unsigned size,
                            bool aligned)
{
    const uint32_t off = soft_ea(s, i);
    if (aligned)
        sse_check_aligned(s, i, off);
    fpu_read(s, i->seg, off, buf, size);
}
static inline void fpu_store(struct soft *s, const struct insn *i, const void *buf, unsigned size,
                             bool aligned)
{
    const uint32_t off = soft_ea(s, i);
    if (aligned)
        sse_check_aligned(s, i, off);
    fpu_write(s, i->seg, off, buf, size);
}

/* --- the host's instructions (soft_sse_native.c) -----------------------------------------------
 */

/* d: destination (read and written), s: source, 16 or 8 bytes each. Returns EFLAGS for compares,
 * the general register for conversions to one. */
typedef uint32_t (*sse_fn)(void *d, const void *s);

enum sse_kind {
    SSE_NONE,
    SSE_INT,     /* xmm, xmm/m: no MXCSR */
    SSE_FP,      /* xmm, xmm/m with MXCSR */
    SSE_CMP,     /* xmm, xmm/m, imm8: predicate */
    SSE_COMI,    /* EFLAGS from xmm, xmm/m */
    SSE_TO_R,    /* r32, xmm/m */
    SSE_FROM_R,  /* xmm, r/m32 */
    SSE_FROM_MM, /* xmm, mm/m64 */
    SSE_TO_MM,   /* mm, xmm/m */
};
struct sse_native {
    sse_fn fn;    /* NULL: predicate table */
    uint8_t size; /* bytes of the source in memory */
    uint8_t kind; /* enum sse_kind */
};
/* By what is in insn.imm2. */
extern const struct sse_native sse_natives[];
unsigned sse_native_index(ZydisMnemonic m); /* 0: none */
sse_fn sse_cmp_fn(ZydisMnemonic m, unsigned predicate);

struct mmx_native {
    sse_fn fn;
    uint8_t size;
};
extern const struct mmx_native mmx_natives[];
unsigned mmx_native_index(ZydisMnemonic m);

/* Run fn under the given MXCSR; *mxcsr is what it became. */
static inline uint32_t sse_run(sse_fn fn, void *d, const void *src, uint32_t *mxcsr)
{
    const uint32_t host = MXCSR_INIT;
    __asm__ volatile("ldmxcsr %0" : : "m"(*mxcsr));
    const uint32_t r = fn(d, src);
    __asm__ volatile("stmxcsr %0" : "=m"(*mxcsr));
    __asm__ volatile("ldmxcsr %0" : : "m"(host));
    return r;
}

/* Exception flags in MXCSR and the x87's words. */
enum { XF_OE = 8, XF_UE = 0x10, XF_PE = 0x20, XF_PRE = 7, XF_POST = 0x38 };

/* soft_sse_exc.c: the flags that an operation raises when overflow or underflow is unmasked;
 * raised: those of the run with all masked. d and src: operands, 16 bytes each. */
uint32_t sse_post_flags(ZydisMnemonic m, sse_fn fn, const void *d, const void *src, uint32_t mxcsr,
                        uint32_t raised);

#endif
