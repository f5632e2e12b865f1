/*
 * x87, MMX and SSE: who may execute (control bits), how exceptions are reported, and the images in
 * memory. What instructions compute is diff_native's to compare with the host. Sections are of SDM
 * volume 1 unless they name volume 3.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/soft_world.h"
#include "vmm/soft/soft_fpu.h"

#define AT_DATA 0x00, 0xa0, 0, 0 /* disp32 of W_DATA */

/* --- who may execute: the whole product of control bits
 * ------------------------------------------- */

enum kind { X87, X87_NOWAIT, WAIT, MMX, SSE, SSE_MMX, FXSTATE, FREE };

static const struct {
    const char *what;
    enum kind kind;
    uint8_t code[12];
} insns[] = {
    {"FADD ST,ST", X87, {0xd8, 0xc0}},
    {"FLD m64", X87, {0xdd, 0x05, AT_DATA}},
    {"FSTP m80", X87, {0xdb, 0x3d, AT_DATA}},
    {"FSIN", X87, {0xd9, 0xfe}},
    {"FLDCW", X87, {0xd9, 0x2d, AT_DATA}},
    {"FLDENV", X87, {0xd9, 0x25, AT_DATA}},
    {"FRSTOR", X87, {0xdd, 0x25, AT_DATA}},
    {"FNSTSW AX", X87_NOWAIT, {0xdf, 0xe0}},
    {"FNSTSW m16", X87_NOWAIT, {0xdd, 0x3d, AT_DATA}},
    {"FNSTCW", X87_NOWAIT, {0xd9, 0x3d, AT_DATA}},
    {"FNINIT", X87_NOWAIT, {0xdb, 0xe3}},
    {"FNCLEX", X87_NOWAIT, {0xdb, 0xe2}},
    {"FNSTENV", X87_NOWAIT, {0xd9, 0x35, AT_DATA}},
    {"FNSAVE", X87_NOWAIT, {0xdd, 0x35, AT_DATA}},
    {"FWAIT", WAIT, {0x9b}},
    {"PADDB mm", MMX, {0x0f, 0xfc, 0xc1}},
    {"MOVD mm,r32", MMX, {0x0f, 0x6e, 0xc0}},
    {"PSHUFW", MMX, {0x0f, 0x70, 0xc1, 0x1b}},
    {"MOVNTQ", MMX, {0x0f, 0xe7, 0x05, AT_DATA}},
    {"EMMS", MMX, {0x0f, 0x77}},
    {"ADDPS", SSE, {0x0f, 0x58, 0xc1}},
    {"MOVAPS m128", SSE, {0x0f, 0x28, 0x05, AT_DATA}},
    {"PADDB xmm", SSE, {0x66, 0x0f, 0xfc, 0xc1}},
    {"COMISD", SSE, {0x66, 0x0f, 0x2f, 0xc1}},
    {"CVTSI2SD", SSE, {0xf2, 0x0f, 0x2a, 0xc0}},
    {"CVTPI2PS m64", SSE, {0x0f, 0x2a, 0x05, AT_DATA}},
    {"STMXCSR", SSE, {0x0f, 0xae, 0x1d, AT_DATA}},
    {"CVTPI2PS mm", SSE_MMX, {0x0f, 0x2a, 0xc1}},
    {"CVTTPD2PI", SSE_MMX, {0x66, 0x0f, 0x2c, 0xc1}},
    {"MOVDQ2Q", SSE_MMX, {0xf2, 0x0f, 0xd6, 0xc1}},
    {"FXSAVE", FXSTATE, {0x0f, 0xae, 0x05, AT_DATA}},
    {"FXRSTOR", FXSTATE, {0x0f, 0xae, 0x0d, AT_DATA}},
    {"MOVNTI", FREE, {0x0f, 0xc3, 0x05, AT_DATA}},
    {"SFENCE", FREE, {0x0f, 0xae, 0xf8}},
    {"LFENCE", FREE, {0x0f, 0xae, 0xe8}},
    {"MFENCE", FREE, {0x0f, 0xae, 0xf0}},
    {"PREFETCHT0", FREE, {0x0f, 0x18, 0x0d, AT_DATA}},
    {"CLFLUSH", FREE, {0x0f, 0xae, 0x3d, AT_DATA}},
};

/* SDM vol. 3, tables 2-2, 12-1 and 13-1. */
static int expected(enum kind k, uint32_t cr0, bool osfxsr, bool pending)
{
    const bool em = cr0 & CR0_EM, ts = cr0 & CR0_TS, mf = pending && (cr0 & CR0_NE);
    switch (k) {
    case X87: return em || ts ? VEC_NM : mf ? VEC_MF : -1;
    case X87_NOWAIT:
    case FXSTATE: return em || ts ? VEC_NM : -1;
    case WAIT: return ts && (cr0 & CR0_MP) ? VEC_NM : mf ? VEC_MF : -1;
    case MMX: return em ? VEC_UD : ts ? VEC_NM : mf ? VEC_MF : -1;
    case SSE: return em || !osfxsr ? VEC_UD : ts ? VEC_NM : -1;
    case SSE_MMX: return em || !osfxsr ? VEC_UD : ts ? VEC_NM : mf ? VEC_MF : -1;
    default: return -1;
    }
}

static struct world *fpu_world(void)
{
    struct world *w = world_new(0);
    uint8_t *fx = w->c->fpu.fxsave;
    w->c->cr0 = (w->c->cr0 & ~(uint32_t)(CR0_EM | CR0_TS | CR0_MP)) | CR0_NE;
    w->c->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    memset(fx, 0, 512);
    fx_put16(fx, FX_FCW, FCW_INIT);
    fx_put32(fx, FX_MXCSR, MXCSR_INIT);
    return w;
}

static void make_pending(uint8_t *fx)
{
    fx_put16(fx, FX_FCW, FCW_INIT & ~4);
    fx_put16(fx, FX_FSW, FSW_ES | FSW_B | 4);
}

Test(soft_fpu, control_bits_decide_who_may_execute)
{
    static const uint32_t bits[] = {CR0_EM, CR0_TS, CR0_MP, CR0_NE};
    for (size_t n = 0; n < sizeof insns / sizeof *insns; n++)
        for (unsigned mask = 0; mask < 64; mask++) {
            struct world *w = fpu_world();
            w->c->cr0 &= ~(uint32_t)CR0_NE;
            for (unsigned k = 0; k < 4; k++)
                w->c->cr0 |= mask >> k & 1 ? bits[k] : 0;
            if (mask & 16)
                w->c->cr4 &= ~(uint32_t)CR4_OSFXSR;
            if (mask & 32)
                make_pending(w->c->fpu.fxsave);
            world_code(w, insns[n].code, sizeof insns[n].code);
            struct fpu_state before = w->c->fpu;
            const int want = expected(insns[n].kind, w->c->cr0, !(mask & 16), mask & 32);
            const struct outcome o = world_step(w);
            cr_expect_eq(o.vector, want,
                         "%s with CR0 %08x, CR4 %08x, pending %d: vector %d, not %d", insns[n].what,
                         w->c->cr0, w->c->cr4, mask >> 5, o.vector, want);
            if (o.vector >= 0) {
                const char *bad = world_changed(w, &o);
                cr_expect_null(bad, "%s: changed: %s", insns[n].what, bad);
                cr_expect_arr_eq(before.fxsave, w->c->fpu.fxsave, 288, "%s", insns[n].what);
            }
            world_free(w);
        }
}

Test(soft_fpu, later_extensions_are_undefined)
{
    static const uint8_t code[][8] = {
        {0xf2, 0x0f, 0x7c, 0xc1},          /* HADDPS */
        {0xf2, 0x0f, 0xd0, 0xc1},          /* ADDSUBPS */
        {0xf2, 0x0f, 0xf0, 0x05, AT_DATA}, /* LDDQU */
        {0xf2, 0x0f, 0x12, 0xc1},          /* MOVDDUP */
        {0xdb, 0x0d, AT_DATA},             /* FISTTP m32 */
        {0x0f, 0x38, 0x00, 0xc1},          /* PSHUFB */
        {0x66, 0x0f, 0x38, 0x17, 0xc1},    /* PTEST */
        {0x66, 0x0f, 0x3a, 0x0f, 0xc1, 1}, /* PALIGNR */
        {0xc5, 0xf8, 0x58, 0xc1},          /* VADDPS */
        {0xf3, 0x0f, 0x54, 0xc1},          /* ANDPS with F3 */
        {0x66, 0x0f, 0x77},                /* EMMS with 66 */
        {0xf0, 0x0f, 0x58, 0x05, AT_DATA}, /* LOCK ADDPS */
        {0xf0, 0xd8, 0x05, AT_DATA},       /* LOCK FADD */
        {0xd9, 0xd1},
        {0xdf, 0xe1},
    };
    for (size_t n = 0; n < sizeof code / sizeof *code; n++) {
        struct world *w = fpu_world();
        world_code(w, code[n], sizeof code[n]);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, VEC_UD, "row %zu: vector %d (exit %d %s)", n, o.vector, o.exit,
                     w->e->exit.why);
        world_free(w);
    }
}

/* --- memory operands
 * ------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    int vector;
    uint32_t mem; /* dword at W_DATA + 24 (FXRSTOR's MXCSR) and at W_DATA + 4 */
    uint8_t code[12];
} operands[] = {
    {"10.4.1.1 MOVAPS aligned", -1, 0, {0x0f, 0x28, 0x05, AT_DATA}},
    {"10.4.1.1 MOVAPS by 4", VEC_GP, 0, {0x0f, 0x28, 0x05, 4, 0xa0, 0, 0}},
    {"10.4.1.1 MOVAPS store by 8", VEC_GP, 0, {0x0f, 0x29, 0x05, 8, 0xa0, 0, 0}},
    {"10.4.1.1 MOVUPS by 4", -1, 0, {0x0f, 0x10, 0x05, 4, 0xa0, 0, 0}},
    {"11.4.1.1 MULPD by 8", VEC_GP, 0, {0x66, 0x0f, 0x59, 0x05, 8, 0xa0, 0, 0}},
    {"11.4.1.1 MULSD by 4", -1, 0, {0xf2, 0x0f, 0x59, 0x05, 4, 0xa0, 0, 0}},
    {"11.4.2 PXOR by 1", VEC_GP, 0, {0x66, 0x0f, 0xef, 0x05, 1, 0xa0, 0, 0}},
    {"9.4 PXOR mm by 1", -1, 0, {0x0f, 0xef, 0x05, 1, 0xa0, 0, 0}},
    {"MOVNTDQ by 8", VEC_GP, 0, {0x66, 0x0f, 0xe7, 0x05, 8, 0xa0, 0, 0}},
    {"10.5 FXSAVE by 8", VEC_GP, 0, {0x0f, 0xae, 0x05, 8, 0xa0, 0, 0}},
    {"10.5 FXRSTOR by 8", VEC_GP, 0, {0x0f, 0xae, 0x0d, 8, 0xa0, 0, 0}},
    {"10.5 FXRSTOR, MXCSR", -1, 0xffff, {0x0f, 0xae, 0x0d, AT_DATA}},
    {"10.5 FXRSTOR, MXCSR reserved", VEC_GP, 0x10000, {0x0f, 0xae, 0x0d, AT_DATA}},
    {"10.2.3 LDMXCSR", -1, 0xffff, {0x0f, 0xae, 0x15, 4, 0xa0, 0, 0}},
    {"10.2.3 LDMXCSR reserved", VEC_GP, 0x20000, {0x0f, 0xae, 0x15, 4, 0xa0, 0, 0}},
    {"10.2.3 LDMXCSR reserved high", VEC_GP, 0x80000000, {0x0f, 0xae, 0x15, 4, 0xa0, 0, 0}},
};

Test(soft_fpu, alignment_and_reserved_bits)
{
    for (size_t n = 0; n < sizeof operands / sizeof *operands; n++) {
        struct world *w = fpu_world();
        world_code(w, operands[n].code, sizeof operands[n].code);
        world_put32(w, W_DATA + 24, operands[n].mem);
        world_put32(w, W_DATA + 4, operands[n].mem);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, operands[n].vector, "%s: vector %d", operands[n].what, o.vector);
        cr_expect(o.vector < 0 || o.error == 0, "%s: error code %#x", operands[n].what, o.error);
        world_free(w);
    }
}

Test(soft_fpu, a_store_that_misses_has_changed_nothing_and_can_be_repeated)
{
    static const struct {
        const char *what;
        uint8_t code[8];
    } stores[] = {
        {"FSTP m32", {0xd9, 0x1d, 0x00, 0x00, 0x00, 0x10}},
        {"FSTP m64", {0xdd, 0x1d, 0x00, 0x00, 0x00, 0x10}},
        {"FSTP m80", {0xdb, 0x3d, 0x00, 0x00, 0x00, 0x10}},
        {"FISTP m64", {0xdf, 0x3d, 0x00, 0x00, 0x00, 0x10}},
        {"FBSTP", {0xdf, 0x35, 0x00, 0x00, 0x00, 0x10}},
        {"FNSAVE", {0xdd, 0x35, 0x00, 0x00, 0x00, 0x10}},
        {"FNSTENV", {0xd9, 0x35, 0x00, 0x00, 0x00, 0x10}},
        {"FXSAVE", {0x0f, 0xae, 0x05, 0x00, 0x00, 0x00, 0x10}},
        {"MOVAPS", {0x0f, 0x29, 0x05, 0x00, 0x00, 0x00, 0x10}},
        {"MOVQ", {0x0f, 0x7f, 0x05, 0x00, 0x00, 0x00, 0x10}},
        {"STMXCSR", {0x0f, 0xae, 0x1d, 0x00, 0x00, 0x00, 0x10}},
    };
    for (size_t n = 0; n < sizeof stores / sizeof *stores; n++) {
        struct world *w = fpu_world();
        uint8_t *fx = w->c->fpu.fxsave;
        const long double v = 1234.5L;
        memcpy(fx + FX_ST, &v, 10);
        fx[FX_FTW] = 0x80;
        fx_put16(fx, FX_FSW, 7 << FSW_TOP_SHIFT);
        world_code(w, stores[n].code, sizeof stores[n].code);
        const struct fpu_state before = w->c->fpu;
        cr_expect_eq(senv_run(w->e, 1), SOFT_EXIT_PF, "%s", stores[n].what);
        cr_expect_eq(w->e->exit.la, 0x10000000);
        cr_expect_eq(w->e->exit.access, SOFT_W);
        cr_expect_eq(w->c->eip, W_CODE);
        cr_expect_arr_eq(before.fxsave, w->c->fpu.fxsave, 288, "%s", stores[n].what);
        senv_map(w->e, 0x10000000, W_DATA >> PAGE_SHIFT, 1, SENV_ALL);
        cr_expect_eq(senv_run(w->e, 1), SOFT_EXIT_BUDGET, "%s", stores[n].what);
        cr_expect_neq(w->c->eip, W_CODE);
        world_free(w);
    }
}

/* --- x87 exceptions
 * ---------------------------------------------------------------------------------- */

Test(soft_fpu, x87_exception_is_reported_by_the_next_waiting_instruction)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    fx_put16(fx, FX_FCW, FCW_INIT & ~4); /* zero divide unmasked */
    WORLD_CODE(w, 0xd9, 0xe8, 0xd9, 0xee, 0xd8, 0xf9, 0xdf, 0xe0,
               0x9b); /* fld1 fldz fdivr fnstsw fwait */
    cr_assert_eq(senv_run(w->e, 4), SOFT_EXIT_BUDGET);
    cr_assert_eq(w->c->gpr[R_EAX] & (FSW_ES | FSW_B | 4), FSW_ES | FSW_B | 4);
    cr_assert_eq(fx_get32(fx, FX_FIP), W_CODE + 4);
    cr_assert_eq(fx_get16(fx, FX_FOP), 0x0f9);
    const struct outcome o = world_step(w);
    cr_assert_eq(o.vector, VEC_MF);
    cr_assert_eq(o.eip, W_CODE + 8);
    world_free(w);
}

Test(soft_fpu, without_ne_a_pending_exception_is_passed_over)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    w->c->cr0 &= ~(uint32_t)CR0_NE;
    make_pending(fx);
    WORLD_CODE(w, 0x9b, 0xd9, 0xe8, 0xd8, 0xc0); /* fwait fld1 fadd st,st */
    cr_assert_eq(senv_run(w->e, 3), SOFT_EXIT_BUDGET);
    long double v = 0;
    memcpy(&v, fx + FX_ST, 10);
    cr_assert(v == 2.0L);
    cr_assert_eq(fx_get16(fx, FX_FSW) & (FSW_ES | FSW_B | 4), FSW_ES | FSW_B | 4);
    cr_assert_eq(fx_get16(fx, FX_FCW), FCW_INIT & ~4);
    world_free(w);
}

static bool ferr_level, ferr_first;
static unsigned ferr_told;
static bool on_ferr(void *ctx, bool level)
{
    (void)ctx;
    ferr_level = level;
    ferr_told++;
    return level && ferr_first;
}

Test(soft_fpu, without_ne_ferr_goes_with_the_pending_exception)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    ferr_told = 0;
    ferr_first = true;
    w->e->env.ferr = on_ferr;
    w->c->cr0 &= ~(uint32_t)CR0_NE;
    make_pending(fx);
    /* fnstcw; fld1; fld1; fnclex; fld1 */
    WORLD_CODE(w, 0xd9, 0x3d, 0x00, 0xa0, 0x00, 0x00, 0xd9, 0xe8, 0xd9, 0xe8, 0xdb, 0xe2, 0xd9,
               0xe8);
    cr_assert_eq(senv_run(w->e, 1), SOFT_EXIT_BUDGET);
    cr_assert_eq(ferr_told, 0, "it does not wait for exceptions");
    cr_assert_eq(senv_run(w->e, 1), SOFT_EXIT_ATTENTION);
    cr_assert_eq(w->c->eip, W_CODE + 6, "an interrupt goes before the instruction");
    cr_assert_eq(w->e->exit.insns, 0);
    cr_assert(ferr_level && ferr_told == 1);
    cr_assert_eq(senv_run(w->e, 2), SOFT_EXIT_BUDGET);
    cr_assert_eq(w->c->eip, W_CODE + 10, "and only once");
    cr_assert_eq(senv_run(w->e, 2), SOFT_EXIT_BUDGET);
    cr_assert(!ferr_level && ferr_told == 2, "cleared");
    make_pending(fx);
    w->c->eip = W_CODE + 6;
    ferr_first = false;
    cr_assert_eq(senv_run(w->e, 1), SOFT_EXIT_BUDGET);
    cr_assert(ferr_level && ferr_told == 3);
    world_free(w);
}

Test(soft_fpu, a_state_that_contradicts_itself_does_no_harm)
{
    static const uint8_t code[][4] = {
        {0xd8, 0xc0}, {0xd9, 0xfe}, {0xd9, 0xe8}, {0x0f, 0xfc, 0xc1}, {0x9b}};
    for (size_t n = 0; n < sizeof code / sizeof *code; n++)
        for (unsigned ne = 0; ne < 2; ne++)
            for (unsigned es = 0; es < 2; es++) {
                struct world *w = fpu_world();
                uint8_t *fx = w->c->fpu.fxsave;
                const bool unmasked = !es; /* flags without ES, ES without flags */
                fx_put16(fx, FX_FCW, unmasked ? 0 : 0xffff);
                fx_put16(fx, FX_FSW, unmasked ? X87_FLAGS : FSW_ES | FSW_B);
                fx_put32(fx, FX_MXCSR, 0xffffffff);
                memset(fx + FX_ST, 0xff, 256);
                fx[FX_FTW] = (uint8_t)(n ? 0 : 0xff);
                w->c->cr0 = (w->c->cr0 & ~(uint32_t)CR0_NE) | (ne ? CR0_NE : 0);
                world_code(w, code[n], sizeof code[n]);
                cr_expect_eq(world_step(w).vector, ne && unmasked ? VEC_MF : -1);
                world_free(w);
            }
}

Test(soft_fpu, unmasking_by_fldcw_makes_an_old_exception_pending)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    fx_put16(fx, FX_FSW, 4);
    world_put16(w, W_DATA, FCW_INIT & ~4);
    WORLD_CODE(w, 0xd9, 0x2d, AT_DATA, 0xd9, 0xe8); /* fldcw; fld1 */
    cr_assert_eq(senv_run(w->e, 1), SOFT_EXIT_BUDGET);
    cr_assert(fx_get16(fx, FX_FSW) & FSW_ES);
    cr_assert_eq(world_step(w).vector, VEC_MF);
    world_free(w);
}

/* --- SSE exceptions
 * ----------------------------------------------------------------------------------- */

static void set_ps(uint8_t *fx, unsigned reg, float a, float b, float c, float d)
{
    const float v[4] = {a, b, c, d};
    memcpy(fx_xmm(fx, reg), v, 16);
}

static const struct {
    const char *what;
    float d, s;
    uint32_t unmasked, flags; /* MXCSR's flag bits */
    uint8_t opcode;           /* of xxxPS xmm0, xmm1 */
} sse_exceptions[] = {
    {"11.5.2.3 zero divide", 1.0f, 0.0f, 4, 4, 0x5e},
    {"11.5.2.1 invalid", 0.0f, 0.0f, 1, 1, 0x5e},
    {"11.5.2.2 denormal", 1e-40f, 1.0f, 2, 2, 0x58},
    {"11.5.2.4 overflow, exact", 0x1p127f, 2.0f, 8, 8, 0x59},
    {"11.5.2.4 overflow, inexact", 3.4e38f, 3.4e38f, 8, 0x28, 0x59},
    {"11.5.2.5 underflow, exact", 0x1p-126f, 0.5f, 0x10, 0x10, 0x59},
    {"11.5.2.5 underflow, inexact", 1.2e-38f, 0.3f, 0x10, 0x30, 0x59},
    {"11.5.2.6 precision", 1.0f, 3.0f, 0x20, 0x20, 0x5e},
    {"11.5.3.1 the earlier hides the later", 1e-40f, 3.0f, 2, 2, 0x5e},
};

Test(soft_fpu, unmasked_sse_exceptions_keep_the_destination)
{
    for (size_t n = 0; n < sizeof sse_exceptions / sizeof *sse_exceptions; n++)
        for (int offered = 0; offered < 2; offered++) {
            struct world *w = fpu_world();
            uint8_t *fx = w->c->fpu.fxsave, before[16];
            if (!offered)
                w->c->cr4 &= ~(uint32_t)CR4_OSXMMEXCPT;
            set_ps(fx, 0, 1, 1, sse_exceptions[n].d, 1);
            set_ps(fx, 1, 1, 1, sse_exceptions[n].s, 1);
            memcpy(before, fx_xmm(fx, 0), 16);
            fx_put32(fx, FX_MXCSR, MXCSR_INIT & ~(sse_exceptions[n].unmasked << 7));
            WORLD_CODE(w, 0x0f, sse_exceptions[n].opcode, 0xc1);
            const struct outcome o = world_step(w);
            cr_expect_eq(o.vector, offered ? VEC_XM : VEC_UD, "%s: vector %d",
                         sse_exceptions[n].what, o.vector);
            cr_expect_eq(o.eip, W_CODE);
            cr_expect_arr_eq(before, fx_xmm(fx, 0), 16, "%s", sse_exceptions[n].what);
            if (offered)
                cr_expect_eq(fx_get32(fx, FX_MXCSR) & X87_FLAGS, sse_exceptions[n].flags,
                             "%s: flags %#x", sse_exceptions[n].what,
                             fx_get32(fx, FX_MXCSR) & X87_FLAGS);
            world_free(w);
        }
}

Test(soft_fpu, an_unmasked_compare_leaves_eflags)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    set_ps(fx, 0, __builtin_nanf(""), 0, 0, 0);
    fx_put32(fx, FX_MXCSR, MXCSR_INIT & ~0x80u);
    w->c->eflags |= FL_SF | FL_OF;
    WORLD_CODE(w, 0x0f, 0x2f, 0xc1); /* comiss */
    const struct outcome o = world_step(w);
    cr_assert_eq(o.vector, VEC_XM);
    cr_assert_eq(o.flags & FL_ARITH, FL_SF | FL_OF);
    world_free(w);
}

Test(soft_fpu, the_hosts_rounding_is_its_own)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    set_ps(fx, 0, 1, 1, 1, 1);
    set_ps(fx, 1, 3, 3, 3, 3);
    fx_put32(fx, FX_MXCSR, MXCSR_INIT | 0x6000); /* toward zero */
    fx_put16(fx, FX_FCW, FCW_INIT | 0xc00);
    WORLD_CODE(w, 0x0f, 0x5e, 0xc1, 0xd9, 0xeb, 0xd9, 0xfe); /* divps; fldpi; fsin */
    cr_assert_eq(senv_run(w->e, 3), SOFT_EXIT_BUDGET);
    float q;
    memcpy(&q, fx_xmm(fx, 0), 4);
    cr_assert_eq(memcmp(&q, &(uint32_t){0x3eaaaaaa}, 4), 0);
    uint16_t fcw;
    __asm__("fnstcw %0" : "=m"(fcw));
    cr_assert_eq(fcw, FCW_INIT);
    volatile float one = 1, three = 3;
    q = one / three;
    cr_assert_eq(memcmp(&q, &(uint32_t){0x3eaaaaab}, 4), 0);
    volatile long double ten = 10;
    cr_assert(ten / 2 == 5.0L); /* the x87 is empty and works */
    world_free(w);
}

/* --- MMX and the x87's stack
 * ---------------------------------------------------------------------- */

Test(soft_fpu, mmx_takes_over_the_registers_and_emms_gives_them_back)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    fx_put16(fx, FX_FSW, 5 << FSW_TOP_SHIFT);
    fx_put32(fx, FX_ST + 16 * 4, 0x11223344); /* ST(4) = physical 1 = MM1 */
    w->c->gpr[R_EAX] = 0x55667788;
    WORLD_CODE(w, 0x0f, 0x6e, 0xd0, 0x0f, 0x7e, 0xc9, 0x0f,
               0x77); /* movd mm2,eax; movd ecx,mm1; emms */
    cr_assert_eq(senv_run(w->e, 2), SOFT_EXIT_BUDGET);
    cr_assert_eq(w->c->gpr[R_ECX], 0x11223344);
    cr_assert_eq(fx[FX_FTW], 0xff);
    cr_assert_eq(fx_top(fx), 0);
    cr_assert_eq(fx_get32(fx, FX_ST + 32), 0x55667788);
    cr_assert_eq(fx_get16(fx, FX_ST + 32 + 8), 0xffff);
    cr_assert_eq(senv_run(w->e, 1), SOFT_EXIT_BUDGET);
    cr_assert_eq(fx[FX_FTW], 0);
    world_free(w);
}

Test(soft_fpu, maskmovdqu_writes_the_bytes_that_the_mask_names)
{
    struct world *w = fpu_world();
    uint8_t *fx = w->c->fpu.fxsave;
    memset(fx_xmm(fx, 0), 0xaa, 16);
    for (unsigned k = 0; k < 16; k += 3)
        fx_xmm(fx, 1)[k] = 0x80;
    w->c->gpr[R_EDI] = W_DATA + 1;
    WORLD_CODE(w, 0x66, 0x0f, 0xf7, 0xc1);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    for (unsigned k = 0; k < 16; k++)
        cr_assert_eq(*senv_at(w->e, W_DATA + 1 + k), k % 3 ? 0 : 0xaa);
    world_free(w);
}

/* --- images
 * ------------------------------------------------------------------------------------------ */

static struct world *env_world(struct world *w)
{
    uint8_t *fx = w->c->fpu.fxsave;
    memset(fx, 0, 512);
    fx_put16(fx, FX_FCW, 0x27f);
    fx_put16(fx, FX_FSW, 0x3800);
    fx[FX_FTW] = 0x81;
    fx_put16(fx, FX_FOP, 0x5d9);
    fx_put32(fx, FX_FIP, 0x00123456);
    fx_put16(fx, FX_FCS, 0x1b);
    fx_put32(fx, FX_FDP, 0x0089abcd);
    fx_put16(fx, FX_FDS, 0x23);
    const long double one = 1;
    memcpy(fx + FX_ST, &one, 10); /* ST(0): valid; ST(1), physical 0: zero */
    return w;
}

static void expect_words(struct world *w, const uint16_t *want, unsigned n, const char *what)
{
    for (unsigned k = 0; k < n; k++)
        cr_expect_eq(world_get16(w, W_DATA + 2 * k), want[k], "%s: word %u is %04x, not %04x", what,
                     k, world_get16(w, W_DATA + 2 * k), want[k]);
}

Test(soft_fpu, environment_layouts)
{
    struct world *w = env_world(fpu_world());
    WORLD_CODE(w, 0xd9, 0x35, AT_DATA);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    expect_words(w,
                 (const uint16_t[]){0x27f, 0xffff, 0x3800, 0xffff, 0x3ffd, 0xffff, 0x3456, 0x12,
                                    0x1b, 0x5d9, 0xabcd, 0x89, 0x23, 0xffff},
                 14, "figure 8-9");
    cr_expect_eq(fx_get16(w->c->fpu.fxsave, FX_FCW), 0x27f);
    world_free(w);

    w = env_world(fpu_world());
    WORLD_CODE(w, 0x66, 0xd9, 0x35, AT_DATA);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    expect_words(w, (const uint16_t[]){0x27f, 0x3800, 0x3ffd, 0x3456, 0x1b, 0xabcd, 0x23}, 7,
                 "figure 8-11");
    world_free(w);

    /* Real mode: linear addresses, selector * 16 added. */
    w = env_world(world_real());
    w->c->cr0 &= ~(uint32_t)(CR0_EM | CR0_TS);
    fx_put32(w->c->fpu.fxsave, FX_FIP, 0x3456);
    fx_put16(w->c->fpu.fxsave, FX_FCS, 0x8000);
    fx_put32(w->c->fpu.fxsave, FX_FDP, 0xabcd);
    fx_put16(w->c->fpu.fxsave, FX_FDS, 0x9001);
    WORLD_CODE(w, 0xd9, 0x36, 0x00, 0xa0);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    expect_words(w, (const uint16_t[]){0x27f, 0x3800, 0x3ffd, 0x3456, 0x85d9, 0xabdd, 0x9000}, 7,
                 "figure 8-12");
    WORLD_CODE(w, 0x66, 0xd9, 0x36, 0x00, 0xa0);
    w->c->eip = W_CODE;
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    expect_words(w,
                 (const uint16_t[]){0x27f, 0xffff, 0x3800, 0xffff, 0x3ffd, 0xffff, 0x3456, 0xffff,
                                    0x85d9, 0, 0xabdd, 0xffff, 0x9000, 0},
                 14, "figure 8-10");
    world_free(w);
}

Test(soft_fpu, save_and_restore_bring_the_state_back)
{
    static const uint8_t pairs[][2][8] = {
        {{0xdd, 0x35, AT_DATA}, {0xdd, 0x25, AT_DATA}},
        {{0x66, 0xdd, 0x35, AT_DATA}, {0x66, 0xdd, 0x25, AT_DATA}},
        {{0x0f, 0xae, 0x05, AT_DATA}, {0x0f, 0xae, 0x0d, AT_DATA}},
    };
    for (size_t n = 0; n < sizeof pairs / sizeof *pairs; n++) {
        struct world *w = env_world(fpu_world());
        uint8_t *fx = w->c->fpu.fxsave;
        for (unsigned r = 0; r < 8; r++)
            for (unsigned k = 0; k < 10; k++)
                fx[FX_ST + 16 * r + k] = (uint8_t)(17 * r + k);
        const struct fpu_state before = w->c->fpu;
        world_code(w, pairs[n][0], 8);
        cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
        memset(fx + FX_ST, 0xee, 256);
        w->c->eip = W_CODE;
        world_code(w, pairs[n][1], 8);
        cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
        cr_expect_arr_eq(before.fxsave, fx, 5);
        for (unsigned r = 0; r < 8; r++)
            cr_expect_arr_eq(before.fxsave + FX_ST + 16 * r, fx + FX_ST + 16 * r, 10,
                             "pair %zu, ST(%u)", n, r);
        world_free(w);
    }
}
