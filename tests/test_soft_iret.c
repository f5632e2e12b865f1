/* IRET, SYSENTER, SYSEXIT: each check of the manual in its order, and the states they end in.
 * Sections are of SDM volume 3 unless they name an instruction of volume 2. */
#include "tests/soft_fault_table.h"

enum { TARGET = 0x1100 };

#define NOT_P(a) ((a) & ~SA_P)

static struct world *stepped(unsigned cpl, const uint8_t *code, unsigned n,
                             void (*setup)(struct world *))
{
    struct world *w = world_new(cpl);
    if (setup)
        setup(w);
    world_code(w, code, n);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, -1, "vector %d error %#x", o.vector, o.error);
    cr_expect_eq(o.exit, SOFT_EXIT_BUDGET, "%s", w->e->exit.why);
    return w;
}

/* What IRET finds on the stack. */
static void frame(struct world *w, const uint32_t *v, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        world_put32(w, w->c->gpr[R_ESP] + 4 * k, v[k]);
}
#define FRAME(w, ...)                                                                              \
    do {                                                                                           \
        const uint32_t frame_[] = {__VA_ARGS__};                                                   \
        frame((w), frame_, sizeof frame_ / 4);                                                     \
    } while (0)

/* --- IRET --- */

static void iret_frame_ss(struct world *w, uint32_t flags, uint32_t ss)
{
    FRAME(w, TARGET, w->c->gpr[R_EAX], flags, W_STACK - 0x80, ss);
}
static void iret_frame(struct world *w)
{
    iret_frame_ss(w, FL_ONE, S_DATA3);
}
static void iret_ss_null(struct world *w)
{
    iret_frame_ss(w, FL_ONE, 0);
}
static void iret_ss_rpl(struct world *w)
{
    iret_frame_ss(w, FL_ONE, S_DATA3 & ~3);
}
static void iret_ss_dpl(struct world *w)
{
    iret_frame_ss(w, FL_ONE, S_DATA2 | 3);
}
static void iret_ss_beyond(struct world *w)
{
    iret_frame_ss(w, FL_ONE, 0x8003);
}
static void iret_ss_code(struct world *w)
{
    iret_frame_ss(w, FL_ONE, S_CODE3);
}
static void iret_ss_np(struct world *w)
{
    world_desc(w, S_Y, 0, 0xfffff, NOT_P(A_DATA) | A_DPL3);
    iret_frame_ss(w, FL_ONE, S_Y | 3);
}
static void iret_cut(struct world *w)
{
    iret_frame(w);
    w->c->seg[SEG_SS].limit = w->c->gpr[R_ESP] + 10;
}
static void iret_exact(struct world *w)
{
    iret_frame(w);
    w->c->seg[SEG_SS].limit = w->c->gpr[R_ESP] + 11;
}

#define IRETD                                                                                      \
    {                                                                                              \
        0xcf                                                                                       \
    }

FAULT_TABLE(
    iret, checks_in_order, {"IRET: same ring", 0, S_CODE0, OK, 0, IRETD, {0}, iret_frame},
    {"IRET: same ring 3", 3, S_CODE3, OK, 0, IRETD, {0}, iret_frame},
    {"IRET: NULL", 0, 0, VEC_GP, 0, IRETD, {0}, iret_frame},
    {"IRET: NULL with RPL 3", 0, 3, VEC_GP, 0, IRETD, {0}, iret_frame},
    {"IRET: beyond the GDT", 0, 0xffff, VEC_GP, 0xfffc, IRETD, {0}, iret_frame},
    {"IRET: data", 0, S_DATA0, VEC_GP, S_DATA0, IRETD, {0}, iret_frame},
    {"IRET: TSS", 0, S_TSS2, VEC_GP, S_TSS2, IRETD, {0}, iret_frame},
    {"IRET: RPL < CPL", 3, S_CODE0, VEC_GP, S_CODE0, IRETD, {0}, iret_frame},
    {"IRET: RPL 1 < CPL 2", 2, S_CODE1, VEC_GP, S_CODE1 & ~3u, IRETD, {0}, iret_frame},
    {"IRET: nonconforming DPL < RPL", 0, S_CODE0 | 3, VEC_GP, S_CODE0, IRETD, {0}, iret_frame},
    {"IRET: nonconforming DPL > RPL",
     0,
     S_CODE3 & ~2u,
     VEC_GP,
     S_CODE3 & ~3u,
     IRETD,
     {0},
     iret_frame},
    {"IRET: conforming DPL > RPL", 0, S_CONF3 | 1, VEC_GP, S_CONF3, IRETD, {0}, iret_frame},
    {"IRET: conforming DPL < RPL", 0, S_CONF0 | 3, OK, 0, IRETD, {0}, iret_frame},
    {"IRET: not present", 0, S_X, VEC_NP, S_X, IRETD, {0, 0, NOT_P(A_CODE)}, iret_frame},
    {"IRET: outer, not present",
     0,
     S_X | 3,
     VEC_NP,
     S_X,
     IRETD,
     {0, 0, NOT_P(A_CODE) | A_DPL3},
     iret_frame},
    {"IRET: offset beyond the limit",
     0,
     S_X,
     VEC_GP,
     0,
     IRETD,
     {0, 0x10, A_CODE & ~SA_G},
     iret_frame},
    {"IRET: outer ring", 0, S_CODE3, OK, 0, IRETD, {0}, iret_frame},
    {"IRET: outer from ring 1", 1, S_CODE3, OK, 0, IRETD, {0}, iret_frame},
    {"IRET: outer, SS NULL", 0, S_CODE3, VEC_GP, 0, IRETD, {0}, iret_ss_null},
    {"IRET: outer, SS RPL", 0, S_CODE3, VEC_GP, S_DATA3 & ~3u, IRETD, {0}, iret_ss_rpl},
    {"IRET: outer, SS DPL", 0, S_CODE3, VEC_GP, S_DATA2 & ~3u, IRETD, {0}, iret_ss_dpl},
    {"IRET: outer, SS beyond", 0, S_CODE3, VEC_GP, 0x8000, IRETD, {0}, iret_ss_beyond},
    {"IRET: outer, SS code", 0, S_CODE3, VEC_GP, S_CODE3 & ~3u, IRETD, {0}, iret_ss_code},
    {"IRET: outer, SS not present", 0, S_CODE3, VEC_SS, S_Y, IRETD, {0}, iret_ss_np},
    {"IRET: outer, offset beyond the limit",
     0,
     S_X | 3,
     VEC_GP,
     0,
     IRETD,
     {0, 0x10, (A_CODE & ~SA_G) | A_DPL3},
     iret_frame},
    {"IRET: stack cut", 3, S_CODE3, VEC_SS, 0, IRETD, {0}, iret_cut},
    {"IRET: stack just long enough", 3, S_CODE3, OK, 0, IRETD, {0}, iret_exact}, )

/* IRET: which flags change, by CPL and IOPL. */
Test(iret, flags_by_privilege)
{
    const uint32_t always = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID;
    static const struct {
        unsigned cpl, iopl;
        uint32_t more;
    } t[] = {
        {0, 0, FL_IF | FL_IOPL}, {3, 0, 0}, {3, 3, FL_IF},           {1, 0, 0},
        {1, 1, FL_IF},           {2, 1, 0}, {0, 3, FL_IF | FL_IOPL},
    };
    static const uint16_t code[] = {S_CODE0, S_CODE1, S_CODE2, S_CODE3};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++)
        for (unsigned all = 0; all < 2; all++) {
            struct world *w = world_new(t[k].cpl);
            const uint32_t may = always | t[k].more;
            const uint32_t old = (all ? FL_ONE : may & ~(uint32_t)(FL_TF | FL_NT | FL_IOPL)) |
                                 t[k].iopl << FL_IOPL_SHIFT | FL_ONE;
            w->c->eflags = old & ~(uint32_t)FL_RF;
            const uint32_t image = all ? 0xffffffffu & ~(uint32_t)FL_VM : 0;
            FRAME(w, TARGET, code[t[k].cpl], image);
            WORLD_CODE(w, 0xcf);
            w->e->cpu.gpr[R_EBP] = 0;
            const struct outcome o = world_step(w);
            /* TF takes effect only behind the next instruction. */
            cr_expect_eq(o.vector, -1, "case %zu vector %d", k, o.vector);
            const uint32_t known = always | FL_IF | FL_IOPL;
            const uint32_t want = (old & ~may & known) | (image & may) | FL_ONE;
            cr_expect_eq(w->c->eflags & (known | FL_ONE) & ~(uint32_t)FL_RF,
                         want & ~(uint32_t)FL_RF, "cpl %u iopl %u: %#x not %#x", t[k].cpl,
                         t[k].iopl, w->c->eflags, want);
            cr_expect_eq(w->c->eflags & ~(known | FL_ONE), 0, "reserved bits: %#x", w->c->eflags);
            world_free(w);
        }
}

Test(iret, of_16_bits_leaves_the_upper_flags)
{
    struct world *w = world_new(0);
    w->c->eflags |= FL_AC | FL_ID;
    world_put32(w, w->c->gpr[R_ESP], (uint32_t)S_CODE0 << 16 | TARGET);
    world_put16(w, w->c->gpr[R_ESP] + 4, FL_CF | FL_IF);
    const uint32_t esp = w->c->gpr[R_ESP];
    WORLD_CODE(w, 0x66, 0xcf);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eflags, FL_AC | FL_ID | FL_CF | FL_IF | FL_ONE);
    cr_expect_eq(w->c->gpr[R_ESP], esp + 6);
    cr_expect_eq(w->c->eip, TARGET);
    world_free(w);
}

Test(iret, to_a_16_bit_stack_changes_sp_only)
{
    struct world *w = world_new(0);
    world_desc(w, S_X, 0, 0xffff, (A_DATA & ~(SA_DB | SA_G)) | A_DPL3);
    FRAME(w, TARGET, S_CODE3, FL_ONE, 0x12345678, S_X | 3);
    const uint32_t upper = w->c->gpr[R_ESP] & 0xffff0000u;
    WORLD_CODE(w, 0xcf);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_ESP], upper | 0x5678);
    world_free(w);
}

Test(iret, outer_ring_loses_inner_segments)
{
    struct world *w = world_new(0);
    iret_frame_ss(w, FL_ONE, S_DATA3);
    world_put32(w, w->c->gpr[R_ESP] + 4, S_CODE3);
    world_set_seg(w, SEG_ES, S_DATA3);
    world_set_seg(w, SEG_FS, S_CODE0);
    world_set_seg(w, SEG_GS, S_CONF0);
    WORLD_CODE(w, 0xcf);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(w->c->seg[SEG_DS].sel, 0);
    cr_expect_eq(w->c->seg[SEG_ES].sel, S_DATA3);
    cr_expect_eq(w->c->seg[SEG_FS].sel, 0, "nonconforming inner code");
    cr_expect_eq(w->c->seg[SEG_GS].sel, S_CONF0);
    cr_expect_eq(w->c->gpr[R_ESP], W_STACK - 0x80);
    world_free(w);
}

Test(iret, ends_the_blocking_of_nmi)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = S_CODE0;
    iret_frame(w);
    w->c->nmi_blocked = true;
    WORLD_CODE(w, 0xcf);
    world_step(w);
    cr_expect_not(w->c->nmi_blocked);
    world_free(w);
}

Test(iret, vm_is_ignored_outside_ring_0)
{
    struct world *w = world_new(3);
    w->c->gpr[R_EAX] = S_CODE3;
    iret_frame_ss(w, FL_ONE | FL_VM, S_DATA3);
    WORLD_CODE(w, 0xcf);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eflags & FL_VM, 0);
    cr_expect_eq(w->c->seg[SEG_CS].sel, S_CODE3);
    world_free(w);
}

/* --- SYSENTER, SYSEXIT --- */

static void sysenter_msrs(struct world *w)
{
    w->c->sysenter_cs = S_CODE0;
    w->c->sysenter_esp = 0x5f00;
    w->c->sysenter_eip = TARGET;
    w->c->gpr[R_EDX] = TARGET;
    w->c->gpr[R_ECX] = 0x7f80;
}

static void sysenter_cs_rpl(struct world *w)
{
    sysenter_msrs(w);
    w->c->sysenter_cs = 3;
}

FAULT_TABLE(sysenter, checks, {"SYSENTER: no CS", 3, 0, VEC_GP, 0, {0x0f, 0x34}},
            {"SYSENTER: CS with RPL only", 3, 0, VEC_GP, 0, {0x0f, 0x34}, {0}, sysenter_cs_rpl},
            {"SYSENTER", 3, 0, OK, 0, {0x0f, 0x34}, {0}, sysenter_msrs},
            {"SYSENTER from ring 0", 0, 0, OK, 0, {0x0f, 0x34}, {0}, sysenter_msrs},
            {"SYSEXIT: CPL 3", 3, 0, VEC_GP, 0, {0x0f, 0x35}, {0}, sysenter_msrs},
            {"SYSEXIT: CPL 1", 1, 0, VEC_GP, 0, {0x0f, 0x35}, {0}, sysenter_msrs},
            {"SYSEXIT: no CS", 0, 0, VEC_GP, 0, {0x0f, 0x35}},
            {"SYSEXIT", 0, 0, OK, 0, {0x0f, 0x35}, {0}, sysenter_msrs}, )

Test(sysenter, enters_ring_0_flat)
{
    const uint8_t code[] = {0x0f, 0x34};
    struct world *w = world_new(3);
    sysenter_msrs(w);
    w->c->eflags |= FL_IF;
    world_code(w, code, sizeof code);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->cpl, 0);
    cr_expect_eq(w->c->seg[SEG_CS].sel, S_CODE0);
    cr_expect_eq(w->c->seg[SEG_SS].sel, S_CODE0 + 8);
    cr_expect_eq(w->c->seg[SEG_CS].limit, UINT32_MAX);
    cr_expect_eq(w->c->seg[SEG_CS].attr, A_CODE);
    cr_expect_eq(w->c->seg[SEG_SS].attr, A_DATA);
    cr_expect_eq(w->c->gpr[R_ESP], 0x5f00);
    cr_expect_eq(w->c->eip, TARGET);
    cr_expect_eq(w->c->eflags & FL_IF, 0);
    world_free(w);
}

Test(sysenter, sysexit_leaves_to_ring_3_flat)
{
    const uint8_t code[] = {0x0f, 0x35};
    struct world *w = stepped(0, code, sizeof code, sysenter_msrs);
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(w->c->seg[SEG_CS].sel, (S_CODE0 + 16) | 3);
    cr_expect_eq(w->c->seg[SEG_SS].sel, (S_CODE0 + 24) | 3);
    cr_expect_eq(w->c->seg[SEG_CS].attr, A_CODE | A_DPL3);
    cr_expect_eq(w->c->seg[SEG_SS].attr, A_DATA | A_DPL3);
    cr_expect_eq(w->c->gpr[R_ESP], 0x7f80);
    cr_expect_eq(w->c->eip, TARGET);
    world_free(w);
}
