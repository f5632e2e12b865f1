/* Task switches by JMP, CALL, IRET, interrupts and task gates: SDM volume 3, chapter 7. */
#include "tests/soft_fault_table.h"

enum { NEW_EIP = 0x1200, NEW_ESP = 0xbf00, OTHER_CR3 = 0x30000 };

#define JMP_TSS2                                                                                   \
    {                                                                                              \
        0xea, 0, 0, 0, 0, S_TSS2, 0                                                                \
    }
#define CALL_TSS2                                                                                  \
    {                                                                                              \
        0x9a, 0, 0, 0, 0, S_TSS2, 0                                                                \
    }
#define NOT_P(a) ((a) & ~SA_P)

static void t32(struct world *w, unsigned off, uint32_t v)
{
    world_put32(w, W_TSS2 + off, v);
}

/* A new task of ring cpl at NEW_EIP in the 32-bit TSS at W_TSS2. */
static void new_task(struct world *w, unsigned cpl)
{
    const uint16_t code = cpl == 3 ? S_CODE3 : S_CODE0, data = cpl == 3 ? S_DATA3 : S_DATA0;
    const uint8_t nops[] = {0x90, 0x90, 0x90, 0x90};

    t32(w, 4, W_TSS_ESP0);
    t32(w, 8, S_DATA0);
    t32(w, 0x1c, OTHER_CR3);
    t32(w, 0x20, NEW_EIP);
    t32(w, 0x24, FL_ONE | FL_CF);
    for (unsigned r = 0; r < 8; r++)
        t32(w, 0x28 + 4 * r, r == R_ESP ? NEW_ESP : 0x1000000 + r);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        t32(w, 0x48 + 4 * r, r == SEG_CS ? code : data);
    t32(w, 0x60, 0);
    t32(w, 0x64, 0x680000);
    senv_put(w->e, NEW_EIP, nops, sizeof nops);
}

static uint32_t old32(struct world *w, unsigned off)
{
    return world_get32(w, W_TSS + off);
}

static bool busy(struct world *w, uint16_t sel)
{
    return world_desc_hi(w, sel) >> 9 & 1;
}

static void expect_new_state(struct world *w, const char *how)
{
    cr_expect_eq(w->c->eip, NEW_EIP, "%s: EIP %#x", how, w->c->eip);
    for (unsigned r = 0; r < 8; r++)
        if (r != R_ESP)
            cr_expect_eq(w->c->gpr[r], 0x1000000 + r, "%s: register %u", how, r);
    cr_expect_eq(w->c->seg[SEG_CS].sel, S_CODE3);
    cr_expect_eq(w->c->seg[SEG_CS].attr, A_CODE | A_DPL3);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        if (r != SEG_CS)
            cr_expect_eq(w->c->seg[r].sel, S_DATA3, "%s: segment %u", how, r);
    cr_expect_eq(w->c->gpr[R_NONE], 0);
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(w->c->tr.sel, S_TSS2);
    cr_expect_eq(w->c->tr.base, W_TSS2);
    cr_expect(w->c->cr0 & CR0_TS, "%s: 7.3 TS", how);
    cr_expect_eq(w->c->ldtr.attr & SA_P, 0, "%s: NULL LDT", how);
    cr_expect(busy(w, S_TSS2), "%s", how);
}

static void expect_saved_state(struct world *w, uint32_t eip, uint32_t flags, const char *how)
{
    cr_expect_eq(old32(w, 0x20), eip, "%s: saved EIP %#x", how, old32(w, 0x20));
    cr_expect_eq(old32(w, 0x24), flags, "%s: saved EFLAGS %#x", how, old32(w, 0x24));
    for (unsigned r = 0; r < 8; r++)
        cr_expect_eq(old32(w, 0x28 + 4 * r), w->before.gpr[r], "%s: saved register %u", how, r);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        cr_expect_eq(world_get16(w, W_TSS + 0x48 + 4 * r), w->before.seg[r].sel);
}

Test(task, jmp_switches_without_nesting)
{
    const uint8_t code[] = JMP_TSS2;
    struct world *w = world_new(0);
    new_task(w, 3);
    world_code(w, code, sizeof code);
    const struct outcome o = world_step(w);
    cr_assert_eq(o.exit, SOFT_EXIT_BUDGET, "%s", w->e->exit.why);
    expect_new_state(w, "JMP");
    expect_saved_state(w, W_CODE + 7, w->before.eflags, "JMP");
    cr_expect_not(busy(w, S_TSS), "table 7-2: the old task is no longer busy");
    cr_expect_eq(w->c->eflags, FL_ONE | FL_CF, "NT stays clear");
    cr_expect_eq(world_get16(w, W_TSS2), 0, "no back link");
    cr_expect_eq(w->c->gpr[R_ESP], NEW_ESP);
    world_free(w);
}

Test(task, call_nests)
{
    const uint8_t code[] = CALL_TSS2;
    struct world *w = world_new(0);
    new_task(w, 3);
    world_code(w, code, sizeof code);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    expect_new_state(w, "CALL");
    expect_saved_state(w, W_CODE + 7, w->before.eflags, "CALL");
    cr_expect(busy(w, S_TSS), "table 7-2: the old task stays busy");
    cr_expect_eq(w->c->eflags, FL_ONE | FL_CF | FL_NT);
    cr_expect_eq(world_get16(w, W_TSS2), S_TSS, "7.4 back link");
    world_free(w);
}

Test(task, iret_goes_back)
{
    struct world *w = world_new(0);
    new_task(w, 3);
    world_desc(w, S_TSS2, W_TSS2, 0x67, SA_P | ST_TSS32_BUSY);
    world_put16(w, W_TSS, S_TSS2);
    w->c->eflags |= FL_NT;
    WORLD_CODE(w, 0xcf);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    expect_new_state(w, "IRET");
    expect_saved_state(w, W_CODE + 1, w->before.eflags & ~(uint32_t)FL_NT, "IRET");
    cr_expect_not(busy(w, S_TSS));
    cr_expect_eq(w->c->eflags, FL_ONE | FL_CF);
    world_free(w);
}

Test(task, interrupt_through_a_task_gate)
{
    struct world *w = world_new(3);
    new_task(w, 3);
    world_idt(w, 0x80, S_TSS2, 0, A_TASK | A_DPL3);
    WORLD_CODE(w, 0xcd, 0x80);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->tr.sel, S_TSS2);
    expect_saved_state(w, W_CODE + 2, w->before.eflags, "INT");
    cr_expect(busy(w, S_TSS));
    cr_expect(w->c->eflags & FL_NT);
    cr_expect_eq(world_get16(w, W_TSS2), S_TSS);
    cr_expect_eq(w->c->gpr[R_ESP], NEW_ESP, "no error code");
    world_free(w);
}

Test(task, exception_through_a_task_gate_pushes_its_error_code)
{
    struct world *w = world_new(3);
    new_task(w, 0);
    world_idt(w, VEC_GP, S_TSS2, 0, A_TASK);
    w->c->gpr[R_EAX] = 0x1230;
    WORLD_CODE(w, 0x8e, 0xd8);
    world_step(w);
    cr_expect_eq(w->c->tr.sel, S_TSS2);
    cr_expect_eq(w->c->gpr[R_ESP], NEW_ESP - 4);
    cr_expect_eq(world_get32(w, NEW_ESP - 4), 0x1230);
    expect_saved_state(w, W_CODE, w->before.eflags | FL_RF, "#GP");
    world_free(w);
}

Test(task, double_fault_task_runs_on_its_own_stack)
{
    struct world *w = world_new(0);
    new_task(w, 0);
    world_idt(w, VEC_DF, S_TSS2, 0, A_TASK);
    w->c->seg[SEG_SS].limit = 0x10; /* no push can succeed */
    w->c->gpr[R_EAX] = 0x1230;
    WORLD_CODE(w, 0x8e, 0xd8);
    world_step(w);
    cr_expect_eq(w->c->tr.sel, S_TSS2);
    cr_expect_eq(world_get32(w, NEW_ESP - 4), 0, "#DF's error code");
    cr_expect_eq(old32(w, 0x20), W_CODE);
    world_free(w);
}

Test(task, far_jump_through_a_task_gate)
{
    const uint8_t code[] = {0xea, 0, 0, 0, 0, S_X, 0};
    struct world *w = world_new(3);
    new_task(w, 3);
    world_call_gate(w, S_X, S_TSS2, 0, A_TASK | A_DPL3, 0);
    world_code(w, code, sizeof code);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    expect_new_state(w, "task gate");
    world_free(w);
}

Test(task, tss_of_dpl_3_is_open_to_users)
{
    const uint8_t code[] = {0xea, 0, 0, 0, 0, S_X, 0};
    struct world *w = world_new(3);
    new_task(w, 3);
    world_desc(w, S_X, W_TSS2, 0x67, A_TSS32 | A_DPL3);
    world_code(w, code, sizeof code);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->eip, NEW_EIP);
    cr_expect_eq(w->c->tr.sel, S_X);
    world_free(w);
}

Test(task, of_16_bits_both_ways)
{
    const uint8_t code[] = {0xea, 0, 0, 0, 0, S_TSS16, 0};
    struct world *w = world_new(0);
    world_put16(w, W_TSS2 + 0x0e, NEW_EIP);
    world_put16(w, W_TSS2 + 0x10, FL_ONE | FL_ZF);
    for (unsigned r = 0; r < 8; r++)
        world_put16(w, W_TSS2 + 0x12 + 2 * r, (uint16_t)(0x1110 + r));
    for (unsigned r = 0; r < 4; r++)
        world_put16(w, W_TSS2 + 0x22 + 2 * r, r == SEG_CS ? S_CODE0 : S_DATA0);
    world_code(w, code, sizeof code);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->eip, NEW_EIP);
    cr_expect_eq(w->c->eflags, FL_ONE | FL_ZF);
    cr_expect_eq(w->c->gpr[R_EBX] & 0xffff, 0x1110 + R_EBX);
    cr_expect_eq(w->c->seg[SEG_FS].attr & SA_P, 0, "FS and GS become NULL");
    cr_expect_eq(w->c->tr.sel, S_TSS16);

    /* And back by JMP to the 32-bit one. */
    world_put32(w, W_TSS + 0x60, S_LDT);
    const uint8_t back[] = {0xea, 0, 0, 0, 0, S_TSS, 0};
    senv_put(w->e, NEW_EIP, back, sizeof back);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->eip, W_CODE + 7);
    cr_expect_eq(w->c->ldtr.sel, S_LDT);
    cr_expect(w->c->ldtr.attr & SA_P);
    cr_expect_eq(world_get16(w, W_TSS2 + 0x0e), NEW_EIP + 7);
    cr_expect_eq(w->c->seg[SEG_FS].sel, S_DATA0);
    world_free(w);
}

Test(task, error_code_on_a_16_bit_task_is_a_word)
{
    struct world *w = world_new(0);
    new_task(w, 0); /* for the instructions at NEW_EIP */
    world_put16(w, W_TSS2 + 0x0e, NEW_EIP);
    world_put16(w, W_TSS2 + 0x2a, 0);
    for (unsigned r = 0; r < 4; r++)
        world_put16(w, W_TSS2 + 0x22 + 2 * r, r == SEG_CS ? S_CODE0 : S_DATA16);
    world_put16(w, W_TSS2 + 0x12 + 2 * R_ESP, NEW_ESP);
    world_idt(w, VEC_GP, S_TSS16, 0, A_TASK);
    w->c->gpr[R_EAX] = 0x1230;
    WORLD_CODE(w, 0x8e, 0xd8);
    world_step(w);
    cr_expect_eq(w->c->gpr[R_ESP] & 0xffff, NEW_ESP - 2);
    cr_expect_eq(world_get16(w, NEW_ESP - 2), 0x1230);
    world_free(w);
}

Test(task, loads_cr3_only_when_paging)
{
    const uint8_t code[] = JMP_TSS2;
    for (unsigned pg = 0; pg < 2; pg++) {
        struct world *w = world_new(0);
        new_task(w, 3);
        w->c->cr3 = 0x1000;
        if (pg)
            w->c->cr0 |= CR0_PG;
        world_code(w, code, sizeof code);
        cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
        cr_expect_eq(w->c->cr3, pg ? OTHER_CR3 : 0x1000);
        cr_expect_eq(w->e->n_cr_written, pg);
        world_free(w);
    }
}

Test(task, clears_local_breakpoints)
{
    const uint8_t code[] = JMP_TSS2;
    struct world *w = world_new(0);
    new_task(w, 3);
    w->c->dr[7] = DR7_ONE | 0x3ff;
    w->c->dr[0] = w->c->dr[1] = w->c->dr[2] = w->c->dr[3] = 0xf0000000;
    world_code(w, code, sizeof code);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->dr[7], DR7_ONE | 0x2aa);
    world_free(w);
}

Test(task, t_bit_traps_before_the_first_instruction)
{
    const uint8_t code[] = JMP_TSS2;
    struct world *w = world_new(0);
    new_task(w, 3);
    t32(w, 0x64, 0x680001);
    world_code(w, code, sizeof code);
    world_step(w);
    if (w->c->eip == NEW_EIP)
        world_step(w);
    cr_expect_eq(w->c->eip & ~1u, W_HANDLERS + 16 * VEC_DB);
    cr_expect(w->c->dr[6] & DR6_BT, "17.3.1.5");
    cr_expect_eq(world_get32(w, W_TSS_ESP0 - 20), NEW_EIP);
    world_free(w);
}

Test(task, into_virtual_8086_mode)
{
    const uint8_t code[] = JMP_TSS2;
    struct world *w = world_new(0);
    new_task(w, 3);
    t32(w, 0x24, FL_ONE | FL_VM);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        t32(w, 0x48 + 4 * r, 0x10 + r);
    t32(w, 0x20, 0x200);
    world_code(w, code, sizeof code);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect(cpu_v86(w->c));
    cr_expect_eq(w->c->cpl, 3);
    for (unsigned r = 0; r < SEG_COUNT; r++) {
        cr_expect_eq(w->c->seg[r].base, 0x100 + 16 * r);
        cr_expect_eq(w->c->seg[r].limit, 0xffff);
    }
    world_free(w);
}

/* --- checks before the switch: the old task sees them --- */

static void task0(struct world *w)
{
    new_task(w, 0);
}
static void x_is(struct world *w, uint32_t base, uint32_t limit, uint32_t attr)
{
    new_task(w, 0);
    world_desc(w, S_X, base, limit, attr);
}
static void x_short(struct world *w)
{
    x_is(w, W_TSS2, 0x66, A_TSS32);
}
static void x_short16(struct world *w)
{
    x_is(w, W_TSS2, 0x2a, A_TSS16);
}
static void x_np(struct world *w)
{
    x_is(w, W_TSS2, 0x67, NOT_P(A_TSS32));
}
static void x_np_short(struct world *w)
{
    x_is(w, W_TSS2, 0x10, NOT_P(A_TSS32));
}
static void x_busy(struct world *w)
{
    x_is(w, W_TSS2, 0x67, SA_P | ST_TSS32_BUSY);
}
static void x_tgate(struct world *w)
{
    new_task(w, 0);
    world_call_gate(w, S_X, S_TSS2, 0, A_TASK, 0);
}
static void x_tgate3_np(struct world *w)
{
    new_task(w, 0);
    world_call_gate(w, S_X, S_TSS2, 0, NOT_P(A_TASK) | A_DPL3, 0);
}
static void x_tgate3_local(struct world *w)
{
    world_call_gate(w, S_X, 4, 0, A_TASK | A_DPL3, 0);
}
static void x_tgate3_busy(struct world *w)
{
    world_call_gate(w, S_X, S_TSS, 0, A_TASK | A_DPL3, 0);
}
static void x_tgate3_data(struct world *w)
{
    world_call_gate(w, S_X, S_DATA0, 0, A_TASK | A_DPL3, 0);
}
static void old_short(struct world *w)
{
    new_task(w, 0);
    w->c->tr.limit = 0x5e;
}
static void ldt_tss(struct world *w)
{
    new_task(w, 0);
    world_desc(w, S_XLDT, W_TSS2, 0x67, A_TSS32);
}

#define JMP(s)                                                                                     \
    {                                                                                              \
        0xea, 0, 0, 0, 0, (s), 0                                                                   \
    }
#define CALL(s)                                                                                    \
    {                                                                                              \
        0x9a, 0, 0, 0, 0, (s), 0                                                                   \
    }

FAULT_TABLE(task_checks, before_the_commit_point,
            {"JMP: TSS DPL < CPL", 3, 0, VEC_GP, S_TSS2, JMP(S_TSS2), {0}, task0},
            {"JMP: TSS DPL < RPL", 0, 0, VEC_GP, S_TSS2, JMP(S_TSS2 | 1), {0}, task0},
            {"JMP: TSS in the LDT", 0, 0, VEC_GP, S_XLDT, JMP(S_XLDT), {0}, ldt_tss},
            {"JMP: busy TSS", 0, 0, VEC_GP, S_X, JMP(S_X), {0}, x_busy},
            {"JMP: itself", 0, 0, VEC_GP, S_TSS, JMP(S_TSS), {0}, task0},
            {"CALL: itself", 0, 0, VEC_GP, S_TSS, CALL(S_TSS), {0}, task0},
            {"JMP: TSS not present", 0, 0, VEC_NP, S_X, JMP(S_X), {0}, x_np},
            {"7.3: presence before limit", 0, 0, VEC_NP, S_X, JMP(S_X), {0}, x_np_short},
            {"7.3: limit below 67H", 0, 0, VEC_TS, S_X, JMP(S_X), {0}, x_short},
            {"7.3: limit below 67H, CALL", 0, 0, VEC_TS, S_X, CALL(S_X), {0}, x_short},
            {"7.3: limit below 2BH", 0, 0, VEC_TS, S_X, JMP(S_X), {0}, x_short16},
            {"7.3: old TSS too short to save", 0, 0, VEC_TS, S_TSS, JMP(S_TSS2), {0}, old_short},
            {"7.2.5: task gate DPL < CPL", 3, 0, VEC_GP, S_X, JMP(S_X), {0}, x_tgate},
            {"7.2.5: task gate DPL < RPL", 0, 0, VEC_GP, S_X, CALL(S_X | 3), {0}, x_tgate},
            {"7.2.5: task gate not present", 3, 0, VEC_NP, S_X, JMP(S_X), {0}, x_tgate3_np},
            {"7.2.5: task gate into the LDT", 3, 0, VEC_GP, 4, JMP(S_X), {0}, x_tgate3_local},
            {"7.2.5: task gate to a busy TSS", 3, 0, VEC_GP, S_TSS, CALL(S_X), {0}, x_tgate3_busy},
            {"7.2.5: task gate to data", 3, 0, VEC_GP, S_DATA0, CALL(S_X), {0}, x_tgate3_data}, )

static void link_to(struct world *w, uint16_t sel)
{
    new_task(w, 0);
    w->c->eflags |= FL_NT;
    world_put16(w, W_TSS, sel);
}
static void link_null(struct world *w)
{
    link_to(w, 0);
}
static void link_local(struct world *w)
{
    link_to(w, S_XLDT);
}
static void link_beyond(struct world *w)
{
    link_to(w, 0x1000);
}
static void link_available(struct world *w)
{
    link_to(w, S_TSS2);
}
static void link_data(struct world *w)
{
    link_to(w, S_DATA0);
}
static void link_np(struct world *w)
{
    world_desc(w, S_X, W_TSS2, 0x67, ST_TSS32_BUSY);
    link_to(w, S_X);
}
static void link_short(struct world *w)
{
    world_desc(w, S_X, W_TSS2, 0x50, SA_P | ST_TSS32_BUSY);
    link_to(w, S_X);
}

FAULT_TABLE(
    task_checks, of_iret, {"IRET: NULL link", 0, 0, VEC_TS, 0, {0xcf}, {0}, link_null},
    {"IRET: link into the LDT", 0, 0, VEC_TS, S_XLDT, {0xcf}, {0}, link_local},
    {"IRET: link beyond the GDT", 0, 0, VEC_TS, 0x1000, {0xcf}, {0}, link_beyond},
    {"IRET: link to a task that is not busy", 0, 0, VEC_TS, S_TSS2, {0xcf}, {0}, link_available},
    {"IRET: link to data", 0, 0, VEC_TS, S_DATA0, {0xcf}, {0}, link_data},
    {"IRET: link to an absent TSS", 0, 0, VEC_NP, S_X, {0xcf}, {0}, link_np},
    {"IRET: link to a short TSS", 0, 0, VEC_TS, S_X, {0xcf}, {0}, link_short}, )

/* --- checks behind it: the new task's, SDM vol. 3 table 7-1 --- */

static const struct {
    const char *what;
    unsigned off; /* in the TSS */
    uint32_t val;
    uint32_t attr; /* of S_X */
    int vector;
    uint32_t error;
} late_rows[] = {
    {"LDT in the LDT", 0x60, S_XLDT, 0, VEC_TS, S_XLDT},
    {"LDT beyond the GDT", 0x60, 0x1000, 0, VEC_TS, 0x1000},
    {"LDT is data", 0x60, S_DATA0, 0, VEC_TS, S_DATA0},
    {"LDT is a TSS", 0x60, S_TSS, 0, VEC_TS, S_TSS},
    {"LDT absent", 0x60, S_X, ST_LDT, VEC_TS, S_X},
    {"CS NULL", 0x4c, 0, 0, VEC_TS, 0},
    {"CS beyond", 0x4c, 0x1000, 0, VEC_TS, 0x1000},
    {"CS is data", 0x4c, S_DATA0, 0, VEC_TS, S_DATA0},
    {"CS DPL != RPL", 0x4c, S_CODE3 & ~3, 0, VEC_TS, S_CODE3 & ~3},
    {"CS conforming DPL > RPL", 0x4c, S_CONF3, 0, VEC_TS, S_CONF3},
    {"CS absent", 0x4c, S_X, NOT_P(A_CODE), VEC_NP, S_X},
    {"SS NULL", 0x50, 0, 0, VEC_TS, 0},
    {"SS beyond", 0x50, 0x1000, 0, VEC_TS, 0x1000},
    {"SS code", 0x50, S_CODE0, 0, VEC_TS, S_CODE0},
    {"SS read-only", 0x50, S_RO0, 0, VEC_TS, S_RO0},
    {"SS absent", 0x50, S_X, NOT_P(A_DATA), VEC_SS, S_X},
    {"SS DPL != CPL", 0x50, S_DATA3 & ~3, 0, VEC_TS, S_DATA3 & ~3},
    {"SS RPL != CPL", 0x50, S_DATA0 | 1, 0, VEC_TS, S_DATA0},
    {"DS system", 0x54, S_TSS, 0, VEC_TS, S_TSS},
    {"DS beyond", 0x54, 0x1000, 0, VEC_TS, 0x1000},
    {"DS execute-only", 0x54, S_XO0, 0, VEC_TS, S_XO0},
    {"DS absent", 0x54, S_X, NOT_P(A_DATA), VEC_NP, S_X},
    {"ES RPL > DPL", 0x48, S_DATA0 | 3, 0, VEC_TS, S_DATA0},
    {"FS absent", 0x58, S_X, NOT_P(A_DATA), VEC_NP, S_X},
    {"GS system", 0x5c, S_LDT, 0, VEC_TS, S_LDT},
};

Test(task_checks, behind_the_commit_point)
{
    const uint8_t code[] = JMP_TSS2;
    for (size_t k = 0; k < sizeof late_rows / sizeof *late_rows; k++) {
        struct world *w = world_new(0);
        new_task(w, 0);
        if (late_rows[k].attr)
            world_desc(w, S_X, 0, 0xfffff, late_rows[k].attr);
        t32(w, late_rows[k].off, late_rows[k].val);
        /* The handler is a task of its own: the new one may lack a stack. */
        world_desc(w, S_Y, 0x3c00, 0x67, A_TSS32);
        world_put32(w, 0x3c00 + 0x20, 0x9f00);
        world_put32(w, 0x3c00 + 0x24, FL_ONE);
        world_put32(w, 0x3c00 + 0x38, 0xcf00);
        for (unsigned r = 0; r < SEG_COUNT; r++)
            world_put32(w, 0x3c00 + 0x48 + 4 * r, r == SEG_CS ? S_CODE0 : S_DATA0);
        const uint8_t hlt = 0xf4;
        senv_put(w->e, 0x9f00, &hlt, 1);
        world_idt(w, (unsigned)late_rows[k].vector, S_Y, 0, A_TASK);
        world_code(w, code, sizeof code);
        world_step(w);
        cr_expect_eq(w->c->tr.sel, S_Y, "%s: handler not reached, EIP %#x %s", late_rows[k].what,
                     w->c->eip, w->e->exit.why);
        if (w->c->tr.sel == S_Y) {
            cr_expect_eq(world_get32(w, 0xcf00 - 4), late_rows[k].error, "%s: error %#x",
                         late_rows[k].what, world_get32(w, 0xcf00 - 4));
            cr_expect_eq(world_get16(w, 0x3c00), S_TSS2, "%s: in the new task", late_rows[k].what);
            cr_expect_eq(world_get32(w, W_TSS2 + 0x20), NEW_EIP, "%s", late_rows[k].what);
            cr_expect_eq(old32(w, 0x20), W_CODE + 7, "%s: the switch was made", late_rows[k].what);
        }
        world_free(w);
    }
}

Test(task_checks, eip_beyond_the_new_code_segment)
{
    const uint8_t code[] = JMP_TSS2;
    struct world *w = world_new(0);
    new_task(w, 0);
    world_desc(w, S_X, 0, 0xff, A_CODE & ~SA_G);
    t32(w, 0x4c, S_X);
    world_code(w, code, sizeof code);
    world_step(w);
    cr_expect_eq(w->c->eip & ~1u, W_HANDLERS + 16 * VEC_GP);
    cr_expect_eq(world_get32(w, NEW_ESP - 16), 0, "#GP(0) on the new stack");
    cr_expect_eq(world_get32(w, NEW_ESP - 12), NEW_EIP);
    world_free(w);
}

Test(task_checks, faults_of_a_task_begun_by_an_interrupt_carry_ext_and_lose_no_interrupt)
{
    struct world *w = world_new(0);
    new_task(w, 0);
    t32(w, 0x54, 0x1000); /* DS beyond the GDT */
    world_idt(w, 0x80, S_TSS2, 0, A_TASK);
    WORLD_CODE(w, 0x90);
    w->c->eflags |= FL_IF;
    w->e->intr_vector = 0x80;
    soft_set_intr(w->e->soft, true);
    world_step(w);
    cr_expect_eq(w->c->eip & ~1u, W_HANDLERS + 16 * VEC_TS);
    cr_expect_eq(world_get32(w, NEW_ESP - 16), 0x1001);
    w->c->eflags |= FL_IF;
    w->c->halted = false;
    senv_run(w->e, 1);
    cr_expect_eq(w->c->eip & ~15u, W_HANDLERS + 16 * VEC_TS,
                 "the interrupt is not taken again: EIP %#x", w->c->eip);
    world_free(w);
}

/* --- misses --- */

Test(task_miss, before_the_commit_point_changes_nothing)
{
    const uint8_t code[] = CALL_TSS2;
    struct world *w = world_new(0);
    new_task(w, 3);
    /* The new TSS on a page of its own that is read-only: the back link cannot be written. */
    world_desc(w, S_TSS2, 0xe800, 0x67, A_TSS32);
    memcpy(senv_at(w->e, 0xe800), senv_at(w->e, W_TSS2), 0x68);
    senv_map(w->e, 0xe000, 0xe, 1, SENV_P);
    world_code(w, code, sizeof code);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.exit, SOFT_EXIT_PF);
    cr_expect_eq(w->e->exit.la, 0xe800);
    cr_expect_eq(memcmp(&w->before, w->c, offsetof(struct cpu, fpu)), 0);
    cr_expect_eq(memcmp(w->ram_before, w->e->ram, W_FRAMES * PAGE_SIZE), 0);
    senv_map(w->e, 0xe000, 0xe, 1, SENV_ALL);
    cr_expect_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->eip, NEW_EIP);
    world_free(w);
}

/* The new address space lacks the GDT for the time being: cr_written() takes it away. */
static bool drop_gdt(void *ctx, int reg, uint32_t old)
{
    struct senv *e = ctx;
    (void)reg, (void)old;
    e->n_cr_written++;
    senv_map(e, W_GDT, W_GDT >> 12, 1, 0);
    soft_tlb_flush(e->soft);
    return true;
}

static struct world *miss_after_cr3(const uint8_t *code, unsigned n)
{
    struct world *w = world_new(0);
    w->e->env.cr_written = drop_gdt;
    new_task(w, 3);
    w->c->cr0 |= CR0_PG;
    world_idt(w, 0x80, S_TSS2, 0, A_TASK | A_DPL3);
    world_idt(w, VEC_UD, S_TSS2, 0, A_TASK | A_DPL3);
    world_idt(w, VEC_GP, S_TSS2, 0, A_TASK | A_DPL3);
    w->c->gpr[R_EAX] = 0x1230; /* for MOV DS, AX */
    world_code(w, code, n);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.exit, SOFT_EXIT_PF);
    cr_expect_eq(w->e->exit.la & ~PAGE_MASK, W_GDT);
    cr_expect_eq(w->c->cr3, OTHER_CR3, "the miss is the new space's");
    senv_map(w->e, W_GDT, W_GDT >> 12, 1, SENV_ALL);
    return w;
}

Test(task_miss, in_the_new_address_space_goes_on)
{
    const uint8_t code[] = JMP_TSS2;
    struct world *w = miss_after_cr3(code, sizeof code);
    cr_expect(soft_unfinished(w->e->soft));
    senv_run(w->e, 1);
    cr_expect_not(soft_unfinished(w->e->soft));
    cr_expect_eq(w->c->eip, NEW_EIP + 1, "one NOP of the new task");
    cr_expect_eq(w->c->seg[SEG_CS].attr, A_CODE | A_DPL3);
    cr_expect_eq(w->c->seg[SEG_GS].sel, S_DATA3);
    cr_expect_eq(w->e->n_cr_written, 1, "the switch was made once");
    cr_expect_not(busy(w, S_TSS));
    world_free(w);
}

Test(task_miss, in_a_delivery_goes_on)
{
    static const struct {
        uint8_t code[2];
        uint32_t esp;
    } t[] = {{{0xcd, 0x80}, NEW_ESP}, {{0x0f, 0x0b}, NEW_ESP}, {{0x8e, 0xd8}, NEW_ESP - 4}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = miss_after_cr3(t[k].code, 2);
        senv_run(w->e, 1);
        cr_expect_eq(w->c->eip, NEW_EIP + 1, "case %zu: EIP %#x", k, w->c->eip);
        cr_expect_eq(w->c->gpr[R_ESP], t[k].esp, "case %zu", k);
        cr_expect(w->c->eflags & FL_NT);
        cr_expect_eq(w->e->n_cr_written, 1, "case %zu: the switch was made once", k);
        world_free(w);
    }
}

Test(task_miss, of_the_guest_is_delivered_in_the_new_task)
{
    const uint8_t code[] = JMP_TSS2;
    struct world *w = miss_after_cr3(code, sizeof code);
    const struct soft_event pf = {.vector = VEC_PF,
                                  .has_error = true,
                                  .error = 0,
                                  .kind = SOFT_EV_FAULT,
                                  .cr2 = W_GDT + S_CODE3 - 3};
    cr_assert_eq(soft_deliver(w->e->soft, &pf, &w->e->exit), SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->eip, W_HANDLERS + 16 * VEC_PF);
    cr_expect_eq(w->c->tr.sel, S_TSS2);
    cr_expect_eq(world_get32(w, W_TSS_ESP0 - 20), NEW_EIP, "saved EIP");
    cr_expect_eq(world_get32(w, W_TSS_ESP0 - 16), S_CODE3, "saved CS");
    cr_expect_eq(w->c->cpl, 0);
    senv_run(w->e, 1);
    cr_expect_eq(w->c->eip, W_HANDLERS + 16 * VEC_PF + 1, "and its handler runs");
    world_free(w);
}
