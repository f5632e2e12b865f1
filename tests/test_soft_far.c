/* Far JMP, CALL and RET: each check of the manual in its order, and the states they end in.
 * Sections are of SDM volume 3 unless they name an instruction of volume 2. */
#include "tests/soft_fault_table.h"

enum { TARGET = 0x1100 };

#define SEL(s) (uint8_t)((s)&0xff), (uint8_t)((s) >> 8)
#define JMPF(s)                                                                                    \
    {                                                                                              \
        0xea, 0x00, 0x11, 0, 0, SEL(s)                                                             \
    }
#define CALLF(s)                                                                                   \
    {                                                                                              \
        0x9a, 0x00, 0x11, 0, 0, SEL(s)                                                             \
    }
#define CALLF16(s)                                                                                 \
    {                                                                                              \
        0x66, 0x9a, 0x00, 0x11, SEL(s)                                                             \
    }
#define NOT_P(a) ((a) & ~SA_P)

static void gate_to(struct world *w, uint16_t code, uint32_t attr, unsigned params)
{
    world_call_gate(w, S_X, code, TARGET, attr, params);
}

/* The gate at S_X leads where its name says; the second letter is its DPL. */
static void g3_code0(struct world *w)
{
    gate_to(w, S_CODE0, A_CALL32 | A_DPL3, 0);
}
static void g0_code0(struct world *w)
{
    gate_to(w, S_CODE0, A_CALL32, 0);
}
static void g3_code0_np(struct world *w)
{
    gate_to(w, S_CODE0, NOT_P(A_CALL32) | A_DPL3, 0);
}
static void g0_np(struct world *w)
{
    gate_to(w, S_CODE0, NOT_P(A_CALL32), 0);
}
static void g3_null(struct world *w)
{
    gate_to(w, 3, A_CALL32 | A_DPL3, 0);
}
static void g3_beyond(struct world *w)
{
    gate_to(w, 0x808, A_CALL32 | A_DPL3, 0);
}
static void g3_data(struct world *w)
{
    gate_to(w, S_DATA0, A_CALL32 | A_DPL3, 0);
}
static void g3_gate(struct world *w)
{
    gate_to(w, S_X, A_CALL32 | A_DPL3, 0);
}
static void g3_code3(struct world *w)
{
    gate_to(w, S_CODE3, A_CALL32 | A_DPL3, 0);
}
static void g3_conf0(struct world *w)
{
    gate_to(w, S_CONF0, A_CALL32 | A_DPL3, 0);
}
static void g1_code0(struct world *w)
{
    gate_to(w, S_CODE0, A_CALL32 | A_DPL1, 0);
}
static void g3_code1(struct world *w)
{
    gate_to(w, S_CODE1, A_CALL32 | A_DPL3, 0);
}

static void g3_y(struct world *w, uint32_t attr)
{
    world_desc(w, S_Y, 0, 0xfffff, attr);
    gate_to(w, S_Y, A_CALL32 | A_DPL3, 0);
}
static void g3_code0_absent(struct world *w)
{
    g3_y(w, NOT_P(A_CODE));
}
static void g3_code3_absent(struct world *w)
{
    g3_y(w, NOT_P(A_CODE) | A_DPL3);
}
static void g3_short(struct world *w)
{
    g3_y(w, A_CODE | A_DPL3);
    world_desc(w, S_Y, 0, TARGET - 1, (A_CODE & ~SA_G) | A_DPL3);
}
static void g3_short0(struct world *w)
{
    g3_short(w);
    world_desc(w, S_Y, 0, TARGET - 1, A_CODE & ~SA_G);
}
static void g0_cpl0_conf3(struct world *w)
{
    gate_to(w, S_CONF3, A_CALL32, 0);
}

FAULT_TABLE(
    jmp_far, checks_in_order, {"JMP: same ring", 0, 0, OK, 0, JMPF(S_CODE0)},
    {"JMP: same ring 3", 3, 0, OK, 0, JMPF(S_CODE3)}, {"JMP: NULL", 0, 0, VEC_GP, 0, JMPF(0)},
    {"JMP: NULL with RPL", 3, 0, VEC_GP, 0, JMPF(3)},
    {"JMP: beyond the GDT", 0, 0, VEC_GP, 0x100, JMPF(0x100)},
    {"JMP: data", 0, 0, VEC_GP, S_DATA0, JMPF(S_DATA0)},
    {"JMP: LDT", 0, 0, VEC_GP, S_LDT, JMPF(S_LDT)},
    {"JMP: interrupt gate", 0, 0, VEC_GP, S_X, JMPF(S_X), {0, 0, A_INT32}},
    {"JMP: type 0", 0, 0, VEC_GP, S_X, JMPF(S_X), {0, 0, SA_P}},
    {"5.8.1.1 RPL > CPL", 0, 0, VEC_GP, S_CODE0, JMPF(S_CODE0 | 1)},
    {"5.8.1.1 DPL < CPL", 3, 0, VEC_GP, S_CODE0, JMPF(S_CODE0 | 3)},
    {"5.8.1.1 DPL > CPL", 0, 0, VEC_GP, S_CODE3 & ~3u, JMPF(S_CODE3 & ~3)},
    {"5.8.1.1 RPL < CPL is fine", 3, 0, OK, 0, JMPF(S_CODE3 & ~3)},
    {"5.8.1.2 conforming, DPL < CPL", 3, 0, OK, 0, JMPF(S_CONF0)},
    {"5.8.1.2 conforming, DPL = CPL", 0, 0, OK, 0, JMPF(S_CONF0 | 3)},
    {"5.8.1.2 conforming, DPL > CPL", 0, 0, VEC_GP, S_CONF3, JMPF(S_CONF3)},
    {"JMP: not present", 0, 0, VEC_NP, S_X, JMPF(S_X), {0, 0xfffff, NOT_P(A_CODE)}},
    {"JMP: privilege before presence", 3, 0, VEC_GP, S_X, JMPF(S_X), {0, 0xfffff, NOT_P(A_CODE)}},
    {"JMP: conforming, not present", 3, 0, VEC_NP, S_X, JMPF(S_X), {0, 0xfffff, NOT_P(A_CONF)}},
    {"JMP: offset beyond the limit", 0, 0, VEC_GP, 0, JMPF(S_X), {0, TARGET - 1, A_CODE & ~SA_G}},
    {"JMP: offset at the limit", 0, 0, OK, 0, JMPF(S_X), {0, TARGET, A_CODE & ~SA_G}},
    {"JMP: presence before offset", 0, 0, VEC_NP, S_X, JMPF(S_X), {0, 1, NOT_P(A_CODE) & ~SA_G}},
    {"JMP m16:32 of a register", 0, 0, VEC_UD, 0, {0xff, 0xe8}},
    {"5.8.3 gate, same ring", 0, 0, OK, 0, JMPF(S_X), {0}, g0_code0},
    {"5.8.3 gate to ring 3 from ring 3", 3, 0, OK, 0, JMPF(S_X | 3), {0}, g3_code3},
    {"5.8.4 gate DPL < CPL", 3, 0, VEC_GP, S_X, JMPF(S_X), {0}, g0_code0},
    {"5.8.4 gate DPL < RPL", 0, 0, VEC_GP, S_X, JMPF(S_X | 1), {0}, g0_code0},
    {"5.8.4 JMP to an inner ring", 3, 0, VEC_GP, S_CODE0, JMPF(S_X), {0}, g3_code0},
    {"5.8.4 JMP to conforming inner code", 3, 0, OK, 0, JMPF(S_X), {0}, g3_conf0},
    {"5.8.4 gate to outer code", 0, 0, VEC_GP, S_CODE3 & ~3u, JMPF(S_X), {0}, g3_code3},
    {"5.8.4 gate to outer conforming code", 0, 0, VEC_GP, S_CONF3, JMPF(S_X), {0}, g0_cpl0_conf3},
    {"5.8.3 gate not present", 0, 0, VEC_NP, S_X, JMPF(S_X), {0}, g3_code0_np},
    {"5.8.4 gate privilege before presence", 3, 0, VEC_GP, S_X, JMPF(S_X), {0}, g0_np},
    {"5.8.3 gate with NULL", 3, 0, VEC_GP, 0, JMPF(S_X), {0}, g3_null},
    {"5.8.3 gate beyond the GDT", 3, 0, VEC_GP, 0x808, JMPF(S_X), {0}, g3_beyond},
    {"5.8.3 gate to data", 0, 0, VEC_GP, S_DATA0, JMPF(S_X), {0}, g3_data},
    {"5.8.3 gate to a gate", 0, 0, VEC_GP, S_X, JMPF(S_X), {0}, g3_gate},
    {"5.8.3 gate's code not present", 3, 0, VEC_NP, S_Y, JMPF(S_X), {0}, g3_code3_absent},
    {"5.8.3 gate's offset beyond the limit", 3, 0, VEC_GP, 0, JMPF(S_X), {0}, g3_short}, )

static void stack_room_7(struct world *w)
{
    world_desc(w, S_Y, W_DATA, 0xffff, (A_DATA & ~SA_G) | A_DPL3);
    world_set_seg(w, SEG_SS, S_Y);
    w->c->seg[SEG_SS].sel |= 3;
    w->c->gpr[R_ESP] = 7;
}
static void stack_room_7_np(struct world *w)
{
    stack_room_7(w);
    world_desc(w, S_X, 0, 0xfffff, NOT_P(A_CODE) | A_DPL3);
}
static void stack_room_7_short(struct world *w)
{
    stack_room_7(w);
    world_desc(w, S_X, 0, 1, (A_CODE & ~SA_G) | A_DPL3);
}

/* Stacks in the TSS. */
static void tss_exact(struct world *w)
{
    g3_code0(w);
    w->c->tr.limit = 9;
}

FAULT_TABLE(
    call_far, checks_in_order, {"CALL: same ring", 0, 0, OK, 0, CALLF(S_CODE0)},
    {"CALL: NULL", 3, 0, VEC_GP, 0, CALLF(0)},
    {"CALL: beyond the GDT", 3, 0, VEC_GP, 0x7f0, CALLF(0x7f3)},
    {"CALL: data", 3, 0, VEC_GP, S_DATA3 & ~3u, CALLF(S_DATA3)},
    {"CALL: RPL > CPL", 0, 0, VEC_GP, S_CODE0, CALLF(S_CODE0 | 2)},
    {"CALL: inner ring", 3, 0, VEC_GP, S_CODE0, CALLF(S_CODE0)},
    {"CALL: outer ring", 0, 0, VEC_GP, S_CODE3 & ~3u, CALLF(S_CODE3)},
    {"CALL: conforming inner", 3, 0, OK, 0, CALLF(S_CONF0)},
    {"CALL: conforming outer", 0, 0, VEC_GP, S_CONF3, CALLF(S_CONF3)},
    {"CALL: not present", 3, 0, VEC_NP, S_X, CALLF(S_X), {0, 0, NOT_P(A_CODE) | A_DPL3}},
    {"CALL: no room on the stack", 3, 0, VEC_SS, 0, CALLF(S_CODE3), {0}, stack_room_7},
    {"CALL: room for 16-bit words", 3, 0, OK, 0, CALLF16(S_CODE3), {0}, stack_room_7},
    {"CALL: presence before stack", 3, 0, VEC_NP, S_X, CALLF(S_X), {0}, stack_room_7_np},
    {"CALL: stack before offset", 3, 0, VEC_SS, 0, CALLF(S_X | 3), {0}, stack_room_7_short},
    {"CALL: offset beyond the limit", 0, 0, VEC_GP, 0, CALLF(S_X), {0, 0xff, A_CODE & ~SA_G}},
    {"CALL m16:32 of a register", 0, 0, VEC_UD, 0, {0xff, 0xd8}},
    {"CALL: gate, same ring", 0, 0, OK, 0, CALLF(S_X), {0}, g0_code0},
    {"CALL: gate DPL < CPL", 3, 0, VEC_GP, S_X, CALLF(S_X), {0}, g1_code0},
    {"CALL: gate DPL < RPL", 1, 0, VEC_GP, S_X, CALLF(S_X | 2), {0}, g1_code0},
    {"CALL: gate not present", 3, 0, VEC_NP, S_X, CALLF(S_X), {0}, g3_code0_np},
    {"CALL: gate with NULL", 3, 0, VEC_GP, 0, CALLF(S_X), {0}, g3_null},
    {"CALL: gate beyond the GDT", 3, 0, VEC_GP, 0x808, CALLF(S_X), {0}, g3_beyond},
    {"CALL: gate to data", 3, 0, VEC_GP, S_DATA0, CALLF(S_X), {0}, g3_data},
    {"CALL: gate to outer ring", 0, 0, VEC_GP, S_CODE3 & ~3u, CALLF(S_X), {0}, g3_code3},
    {"CALL: gate's code not present", 3, 0, VEC_NP, S_Y, CALLF(S_X), {0}, g3_code0_absent},
    {"CALL: inner, offset beyond the limit", 3, 0, VEC_GP, 0, CALLF(S_X), {0}, g3_short0},
    {"5.8.5 to ring 0", 3, 0, OK, 0, CALLF(S_X), {0}, g3_code0},
    {"5.8.5 to ring 1", 3, 0, OK, 0, CALLF(S_X), {0}, g3_code1},
    {"5.8.5 SS:ESP at the TSS's limit", 3, 0, OK, 0, CALLF(S_X), {0}, tss_exact}, )

/* A fault for the stack of ring 0 needs a handler in a ring whose stack works: ring 1. */
static const struct {
    const char *what;
    uint16_t ss1;
    uint32_t attr; /* of S_Y */
    uint32_t limit;
    uint32_t esp1;
    int vector;
    uint32_t error;
} stack_rows[] = {
    {"5.8.5 SS NULL", 0, 0, 0, 0, VEC_TS, 0},
    {"5.8.5 SS NULL with RPL", 1, 0, 0, 0, VEC_TS, 0},
    {"5.8.5 SS beyond the GDT", 0xff9, 0, 0, 0, VEC_TS, 0xff8},
    {"5.8.5 SS RPL 0 for ring 1", S_DATA1 & ~3, 0, 0, 0, VEC_TS, S_DATA1 & ~3},
    {"5.8.5 SS DPL 0 for ring 1", S_DATA0 | 1, 0, 0, 0, VEC_TS, S_DATA0},
    {"5.8.5 SS read-only", S_Y | 1, (A_DATA & ~SA_RW) | A_DPL1, 0xfffff, 0, VEC_TS, S_Y},
    {"5.8.5 SS code", S_CODE1, 0, 0, 0, VEC_TS, S_CODE1 & ~3},
    {"5.8.5 SS a TSS", S_TSS | 1, 0, 0, 0, VEC_TS, S_TSS},
    {"5.8.5 SS not present", S_Y | 1, NOT_P(A_DATA) | A_DPL1, 0xfffff, 0, VEC_SS, S_Y},
    {"5.8.5 SS type before presence", S_Y | 1, (NOT_P(A_DATA) & ~SA_RW) | A_DPL1, 0, 0, VEC_TS,
     S_Y},
    {"5.8.5 no room", S_Y | 1, (A_DATA & ~SA_G) | A_DPL1, 0xffff, 15, VEC_SS, S_Y},
    {"5.8.5 just room", S_Y | 1, (A_DATA & ~SA_G) | A_DPL1, 0xffff, 16, OK, 0},
};

Test(call_far, inner_stack_is_checked_in_order)
{
    for (size_t k = 0; k < sizeof stack_rows / sizeof *stack_rows; k++) {
        struct world *w = world_new(3);
        if (stack_rows[k].attr)
            world_desc(w, S_Y, W_DATA, stack_rows[k].limit, stack_rows[k].attr);
        gate_to(w, S_CODE1, A_CALL32 | A_DPL3, 0);
        world_put32(w, W_TSS + 12, stack_rows[k].esp1);
        world_put32(w, W_TSS + 16, stack_rows[k].ss1);
        const uint8_t code[] = CALLF(S_X);
        world_code(w, code, sizeof code);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, stack_rows[k].vector, "%s: %d", stack_rows[k].what, o.vector);
        if (o.vector >= 0 && o.vector == stack_rows[k].vector) {
            cr_expect_eq(o.error, stack_rows[k].error, "%s: %#x", stack_rows[k].what, o.error);
            cr_expect_null(world_changed(w, &o), "%s: %s", stack_rows[k].what,
                           world_changed(w, &o));
        }
        world_free(w);
    }
}

Test(call_far, tss_that_lacks_the_stack_is_invalid)
{
    struct world *w = world_new(3);
    gate_to(w, S_CODE1, A_CALL32 | A_DPL3, 0);
    w->c->tr.limit = 0x10; /* SS1 ends at 0x11 */
    const uint8_t code[] = CALLF(S_X);
    world_code(w, code, sizeof code);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_TS);
    cr_expect_eq(o.error, S_TSS);
    world_free(w);
}

/* --- what transfers leave --- */

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

Test(far_state, jmp_to_conforming_code_keeps_the_ring)
{
    const uint8_t code[] = JMPF(S_CONF0);
    struct world *w = stepped(3, code, sizeof code, NULL);
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(w->c->seg[SEG_CS].sel, S_CONF0 | 3);
    cr_expect_eq(w->c->eip, TARGET);
    world_free(w);
}

Test(far_state, jmp_sets_accessed_and_the_size_of_code)
{
    const uint8_t code[] = JMPF(S_X);
    struct world *w = world_new(0);
    world_desc(w, S_X, 0, 0xffff, A_CODE & ~(SA_DB | SA_G | SA_ACCESSED));
    world_code(w, code, sizeof code);
    /* In 16-bit code B8 takes two bytes of immediate. */
    const uint8_t mov_ax[] = {0xb8, 0x34, 0x12, 0x90};
    senv_put(w->e, TARGET, mov_ax, sizeof mov_ax);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(world_desc_hi(w, S_X) >> 8 & 1, 1);
    w->c->gpr[R_EAX] = 0xffffffff;
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EAX], 0xffff1234);
    cr_expect_eq(w->c->eip, TARGET + 3);
    world_free(w);
}

Test(far_state, jmp_of_16_bits_cuts_the_offset)
{
    const uint8_t code[] = {0x66, 0xea, 0x00, 0x11, SEL(S_CODE0)};
    struct world *w = stepped(0, code, sizeof code, NULL);
    cr_expect_eq(w->c->eip, TARGET);
    world_free(w);
}

static void far_pointer(struct world *w)
{
    world_put32(w, W_DATA, TARGET);
    world_put16(w, W_DATA + 4, S_CODE0);
}

Test(far_state, jmp_and_call_through_memory)
{
    const uint8_t jmp[] = {0xff, 0x2d, 0x00, 0xa0, 0, 0};
    struct world *w = stepped(0, jmp, sizeof jmp, far_pointer);
    cr_expect_eq(w->c->eip, TARGET);
    world_free(w);

    const uint8_t call[] = {0xff, 0x1d, 0x00, 0xa0, 0, 0};
    w = stepped(0, call, sizeof call, far_pointer);
    cr_expect_eq(w->c->eip, TARGET);
    cr_expect_eq(world_get32(w, w->c->gpr[R_ESP]), W_CODE + sizeof call);
    cr_expect_eq(world_get32(w, w->c->gpr[R_ESP] + 4), S_CODE0);
    world_free(w);
}

Test(far_state, call_pushes_by_operand_size)
{
    const uint8_t code[] = CALLF16(S_CODE0);
    struct world *w = stepped(0, code, sizeof code, NULL);
    cr_expect_eq(w->c->gpr[R_ESP], w->before.gpr[R_ESP] - 4);
    cr_expect_eq(world_get16(w, w->c->gpr[R_ESP]), W_CODE + sizeof code);
    cr_expect_eq(world_get16(w, w->c->gpr[R_ESP] + 2), S_CODE0);
    world_free(w);
}

static void params3(struct world *w)
{
    gate_to(w, S_CODE0, A_CALL32 | A_DPL3, 3);
    for (unsigned k = 0; k < 3; k++)
        world_put32(w, w->c->gpr[R_ESP] + 4 * k, 0x11111111 * (k + 1));
}

Test(far_state, call_gate_copies_parameters_and_switches_stacks)
{
    const uint8_t code[] = CALLF(S_X | 3);
    struct world *w = stepped(3, code, sizeof code, params3);
    const uint32_t want[] = {W_CODE + sizeof code, S_CODE3,         0x11111111, 0x22222222,
                             0x33333333,           W_STACK - 0x100, S_DATA3};
    cr_expect_eq(w->c->cpl, 0);
    cr_expect_eq(w->c->seg[SEG_CS].sel, S_CODE0);
    cr_expect_eq(w->c->seg[SEG_SS].sel, S_DATA0);
    cr_expect_eq(w->c->gpr[R_ESP], W_TSS_ESP0 - sizeof want);
    for (unsigned k = 0; k < sizeof want / 4; k++)
        cr_expect_eq(world_get32(w, w->c->gpr[R_ESP] + 4 * k), want[k], "dword %u", k);
    cr_expect_eq(w->c->seg[SEG_DS].sel, S_DATA3, "data segments stay");
    world_free(w);
}

static void params16(struct world *w)
{
    gate_to(w, S_CODE1, A_CALL16 | A_DPL3, 2);
    world_call_gate(w, S_X, S_CODE1, 0xffff0000u | TARGET, A_CALL16 | A_DPL3, 2);
    world_put32(w, w->c->gpr[R_ESP], 0x22221111);
}

Test(far_state, call_gate_of_16_bits)
{
    const uint8_t code[] = CALLF(S_X | 3);
    struct world *w = stepped(3, code, sizeof code, params16);
    const uint16_t want[] = {W_CODE + sizeof code, S_CODE3, 0x1111, 0x2222,
                             W_STACK - 0x100,      S_DATA3};
    cr_expect_eq(w->c->cpl, 1);
    cr_expect_eq(w->c->eip, TARGET, "the gate's upper offset is not looked at");
    cr_expect_eq(w->c->gpr[R_ESP], W_TSS_ESP1 - sizeof want);
    for (unsigned k = 0; k < sizeof want / 2; k++)
        cr_expect_eq(world_get16(w, w->c->gpr[R_ESP] + 2 * k), want[k], "word %u", k);
    world_free(w);
}

static void tss16_stack(struct world *w)
{
    gate_to(w, S_CODE1, A_CALL32 | A_DPL3, 0);
    w->c->tr =
        (struct seg){.sel = S_TSS16, .attr = SA_P | ST_TSS16_BUSY, .base = W_TSS2, .limit = 0x2b};
    world_put16(w, W_TSS2 + 6, 0xb000);
    world_put16(w, W_TSS2 + 8, S_DATA1);
}

Test(far_state, inner_stack_from_a_16_bit_tss)
{
    const uint8_t code[] = CALLF(S_X | 3);
    struct world *w = stepped(3, code, sizeof code, tss16_stack);
    cr_expect_eq(w->c->gpr[R_ESP], 0xb000 - 16);
    cr_expect_eq(w->c->seg[SEG_SS].sel, S_DATA1);
    world_free(w);
}

/* --- RET --- */

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

/* The stack holds TARGET, EAX, then (for IRET) EBX as EFLAGS, then ESP and S_Y or ECX. */
static void ret_frame(struct world *w)
{
    FRAME(w, TARGET, w->c->gpr[R_EAX], W_STACK - 0x80, S_DATA3);
}
static void ret_frame_ss(struct world *w, uint32_t ss)
{
    FRAME(w, TARGET, w->c->gpr[R_EAX], W_STACK - 0x80, ss);
}
static void ret_ss_null(struct world *w)
{
    ret_frame_ss(w, 0);
}
static void ret_ss_null3(struct world *w)
{
    ret_frame_ss(w, 3);
}
static void ret_ss_beyond(struct world *w)
{
    ret_frame_ss(w, 0xffb);
}
static void ret_ss_rpl(struct world *w)
{
    ret_frame_ss(w, S_DATA3 & ~3);
}
static void ret_ss_dpl(struct world *w)
{
    ret_frame_ss(w, S_DATA0 | 3);
}
static void ret_ss_code(struct world *w)
{
    ret_frame_ss(w, S_CODE3);
}
static void ret_ss_np(struct world *w)
{
    world_desc(w, S_Y, 0, 0xfffff, NOT_P(A_DATA) | A_DPL3);
    ret_frame_ss(w, S_Y | 3);
}
static void ret_ss_ro(struct world *w)
{
    world_desc(w, S_Y, 0, 0xfffff, (A_DATA & ~SA_RW) | A_DPL3);
    ret_frame_ss(w, S_Y | 3);
}
static void ret_cut(struct world *w)
{
    ret_frame(w);
    w->c->seg[SEG_SS].limit = w->c->gpr[R_ESP] + 6;
}
static void ret_cut_outer(struct world *w)
{
    ret_frame(w);
    w->c->seg[SEG_SS].limit = w->c->gpr[R_ESP] + 14;
}

#define RETF                                                                                       \
    {                                                                                              \
        0xcb                                                                                       \
    }

FAULT_TABLE(
    ret_far, checks_in_order, {"RET: same ring", 0, S_CODE0, OK, 0, RETF, {0}, ret_frame},
    {"RET: NULL", 0, 0, VEC_GP, 0, RETF, {0}, ret_frame},
    {"RET: beyond the GDT", 0, 0x1000, VEC_GP, 0x1000, RETF, {0}, ret_frame},
    {"RET: data", 0, S_DATA0, VEC_GP, S_DATA0, RETF, {0}, ret_frame},
    {"RET: call gate", 0, S_X, VEC_GP, S_X, RETF, {0, 0, A_CALL32}, ret_frame},
    {"RET: to an inner ring", 3, S_CODE0, VEC_GP, S_CODE0, RETF, {0}, ret_frame},
    {"RET: nonconforming DPL != RPL", 0, S_CODE0 | 3, VEC_GP, S_CODE0, RETF, {0}, ret_frame},
    {"RET: nonconforming DPL 3, RPL 0",
     0,
     S_CODE3 & ~3u,
     VEC_GP,
     S_CODE3 & ~3u,
     RETF,
     {0},
     ret_frame},
    {"RET: conforming DPL > RPL", 0, S_CONF3, VEC_GP, S_CONF3, RETF, {0}, ret_frame},
    {"RET: conforming DPL < RPL", 0, S_CONF0 | 3, OK, 0, RETF, {0}, ret_frame},
    {"RET: not present", 0, S_X, VEC_NP, S_X, RETF, {0, 0, NOT_P(A_CODE)}, ret_frame},
    {"RET: privilege before presence",
     0,
     S_X | 3,
     VEC_GP,
     S_X,
     RETF,
     {0, 0, NOT_P(A_CODE)},
     ret_frame},
    {"RET: offset beyond the limit", 0, S_X, VEC_GP, 0, RETF, {0, 0x10, A_CODE & ~SA_G}, ret_frame},
    {"RET: outer ring", 0, S_CODE3, OK, 0, RETF, {0}, ret_frame},
    {"RET: outer, SS NULL", 0, S_CODE3, VEC_GP, 0, RETF, {0}, ret_ss_null},
    {"RET: outer, SS NULL with RPL", 0, S_CODE3, VEC_GP, 0, RETF, {0}, ret_ss_null3},
    {"RET: outer, SS beyond", 0, S_CODE3, VEC_GP, 0xff8, RETF, {0}, ret_ss_beyond},
    {"RET: outer, SS RPL", 0, S_CODE3, VEC_GP, S_DATA3 & ~3u, RETF, {0}, ret_ss_rpl},
    {"RET: outer, SS DPL", 0, S_CODE3, VEC_GP, S_DATA0, RETF, {0}, ret_ss_dpl},
    {"RET: outer, SS code", 0, S_CODE3, VEC_GP, S_CODE3 & ~3u, RETF, {0}, ret_ss_code},
    {"RET: outer, SS read-only", 0, S_CODE3, VEC_GP, S_Y, RETF, {0}, ret_ss_ro},
    {"RET: outer, SS not present", 0, S_CODE3, VEC_SS, S_Y, RETF, {0}, ret_ss_np},
    {"RET: outer, offset beyond the limit",
     0,
     S_X | 3,
     VEC_GP,
     0,
     RETF,
     {0, 0x10, (A_CODE & ~SA_G) | A_DPL3},
     ret_frame},
    {"RET: SS before offset",
     0,
     S_X | 3,
     VEC_SS,
     S_Y,
     RETF,
     {0, 0x10, (A_CODE & ~SA_G) | A_DPL3},
     ret_ss_np}, )

/* The stack's limit fails while the handler needs that very stack: look from ring 3, whose handlers
 * have one of their own. */
FAULT_TABLE(ret_far, stack_limit, {"RET: stack cut", 3, S_CODE3, VEC_SS, 0, RETF, {0}, ret_cut},
            {"RET: stack just long enough for the same ring",
             3,
             S_CODE3,
             OK,
             0,
             RETF,
             {0},
             ret_cut_outer}, )

Test(far_state, ret_releases_parameters_on_both_stacks)
{
    struct world *w = world_new(0);
    FRAME(w, TARGET, S_CODE3, 0xaaaa, 0xbbbb, W_STACK - 0x80, S_DATA3);
    world_set_seg(w, SEG_DS, S_DATA0);
    world_set_seg(w, SEG_ES, S_DATA3);
    world_set_seg(w, SEG_FS, S_CONF0);
    w->c->seg[SEG_GS] = (struct seg){.sel = 3};
    WORLD_CODE(w, 0xca, 8, 0);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(w->c->eip, TARGET);
    cr_expect_eq(w->c->gpr[R_ESP], W_STACK - 0x80 + 8);
    cr_expect_eq(w->c->seg[SEG_SS].sel, S_DATA3);
    cr_expect_eq(w->c->seg[SEG_DS].sel, 0, "inner data becomes NULL");
    cr_expect_eq(w->c->seg[SEG_DS].attr & SA_P, 0);
    cr_expect_eq(w->c->seg[SEG_ES].sel, S_DATA3, "data of the outer ring stays");
    cr_expect_eq(w->c->seg[SEG_FS].sel, S_CONF0, "conforming code stays");
    cr_expect_eq(w->c->seg[SEG_GS].sel, 0);
    world_free(w);
}

Test(far_state, ret_of_16_bits)
{
    struct world *w = world_new(0);
    world_put32(w, w->c->gpr[R_ESP], (uint32_t)S_CODE0 << 16 | TARGET);
    const uint32_t esp = w->c->gpr[R_ESP];
    WORLD_CODE(w, 0x66, 0xca, 2, 0);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eip, TARGET);
    cr_expect_eq(w->c->gpr[R_ESP], esp + 4 + 2);
    world_free(w);
}
