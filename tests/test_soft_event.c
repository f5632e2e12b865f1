/* Delivery through the IDT and real mode's vector table: checks in the manual's order, error codes
 * with EXT, frames, flags, #DF and shutdown. Sections are of SDM volume 3. */
#include "tests/soft_fault_table.h"

enum { HANDLER = 0x9800 }; /* of vector 0x80 where a test redirects it */

#define NOT_P(a) ((a) & ~SA_P)
#define INT80                                                                                      \
    {                                                                                              \
        0xcd, 0x80                                                                                 \
    }

static void gate80(struct world *w, uint16_t sel, uint32_t attr)
{
    world_idt(w, 0x80, sel, HANDLER, attr);
}

static void dpl0(struct world *w)
{
    gate80(w, S_CODE0, A_INT32);
}
static void dpl2(struct world *w)
{
    gate80(w, S_CODE0, A_INT32 | A_DPL2);
}
static void dpl0_np(struct world *w)
{
    gate80(w, S_CODE0, NOT_P(A_INT32));
}
static void np(struct world *w)
{
    gate80(w, S_CODE0, NOT_P(A_INT32) | A_DPL3);
}
static void short_idt(struct world *w)
{
    w->c->idtr.limit = 0x80 * 8 + 6;
}
static void exact_idt(struct world *w)
{
    w->c->idtr.limit = 0x80 * 8 + 7;
}
static void call_gate(struct world *w)
{
    gate80(w, S_CODE0, A_CALL32 | A_DPL3);
}
static void data_desc(struct world *w)
{
    gate80(w, S_CODE0, A_DATA | A_DPL3);
}
static void type0(struct world *w)
{
    gate80(w, S_CODE0, SA_P | A_DPL3);
}
static void type13(struct world *w)
{
    gate80(w, S_CODE0, SA_P | 13 | A_DPL3);
}
static void cs_null(struct world *w)
{
    gate80(w, 2, A_INT32 | A_DPL3);
}
static void cs_beyond(struct world *w)
{
    gate80(w, 0x800, A_INT32 | A_DPL3);
}
static void cs_data(struct world *w)
{
    gate80(w, S_DATA0, A_INT32 | A_DPL3);
}
static void cs_outer(struct world *w)
{
    gate80(w, S_CODE3, A_INT32 | A_DPL3);
}
static void cs_conf3(struct world *w)
{
    gate80(w, S_CONF3, A_INT32 | A_DPL3);
}
static void cs_y(struct world *w, uint32_t attr, uint32_t limit)
{
    world_desc(w, S_Y, 0, limit, attr);
    gate80(w, S_Y, A_INT32 | A_DPL3);
}
static void cs_np(struct world *w)
{
    cs_y(w, NOT_P(A_CODE), 0xfffff);
}
static void cs_short(struct world *w)
{
    cs_y(w, A_CODE & ~SA_G, HANDLER - 1);
}
static void task_local(struct world *w)
{
    gate80(w, S_XLDT, A_TASK | A_DPL3);
}
static void task_beyond(struct world *w)
{
    gate80(w, 0x808, A_TASK | A_DPL3);
}
static void task_busy(struct world *w)
{
    gate80(w, S_TSS, A_TASK | A_DPL3);
}
static void task_data(struct world *w)
{
    gate80(w, S_DATA0, A_TASK | A_DPL3);
}
static void task_np(struct world *w)
{
    world_desc(w, S_Y, W_TSS2, 0x67, ST_TSS32);
    gate80(w, S_Y, A_TASK | A_DPL3);
}
static void task_short(struct world *w)
{
    world_desc(w, S_Y, W_TSS2, 0x66, A_TSS32);
    gate80(w, S_Y, A_TASK | A_DPL3);
}

FAULT_TABLE(
    int_n, checks_in_order, {"6.12 beyond the IDT", 0, 0, VEC_GP, 0x402, INT80, {0}, short_idt},
    {"6.12 at the IDT's limit", 0, 0, 0x80, 0, INT80, {0}, exact_idt},
    {"6.11 a call gate", 0, 0, VEC_GP, 0x402, INT80, {0}, call_gate},
    {"6.11 a data descriptor", 0, 0, VEC_GP, 0x402, INT80, {0}, data_desc},
    {"6.11 type 0", 0, 0, VEC_GP, 0x402, INT80, {0}, type0},
    {"6.11 type 13", 0, 0, VEC_GP, 0x402, INT80, {0}, type13},
    {"6.12.1.2 DPL < CPL", 3, 0, VEC_GP, 0x402, INT80, {0}, dpl0},
    {"6.12.1.2 DPL 2 < CPL 3", 3, 0, VEC_GP, 0x402, INT80, {0}, dpl2},
    {"6.12.1.2 DPL before presence", 3, 0, VEC_GP, 0x402, INT80, {0}, dpl0_np},
    {"6.15 gate not present", 3, 0, VEC_NP, 0x402, INT80, {0}, np},
    {"6.12 CS NULL", 0, 0, VEC_GP, 0, INT80, {0}, cs_null},
    {"6.12 CS beyond the GDT", 0, 0, VEC_GP, 0x800, INT80, {0}, cs_beyond},
    {"6.12 CS is data", 0, 0, VEC_GP, S_DATA0, INT80, {0}, cs_data},
    {"6.12.1.1 CS of an outer ring", 0, 0, VEC_GP, S_CODE3 & ~3u, INT80, {0}, cs_outer},
    {"6.12.1.1 conforming CS of an outer ring", 0, 0, VEC_GP, S_CONF3, INT80, {0}, cs_conf3},
    {"6.15 CS not present", 0, 0, VEC_NP, S_Y, INT80, {0}, cs_np},
    {"6.15 CS not present, from ring 3", 3, 0, VEC_NP, S_Y, INT80, {0}, cs_np},
    {"INT: offset beyond CS", 0, 0, VEC_GP, 0, INT80, {0}, cs_short},
    {"INT: offset beyond CS, from ring 3", 3, 0, VEC_GP, 0, INT80, {0}, cs_short},
    {"INT: task gate into the LDT", 3, 0, VEC_GP, S_XLDT, INT80, {0}, task_local},
    {"INT: task gate beyond the GDT", 3, 0, VEC_GP, 0x808, INT80, {0}, task_beyond},
    {"INT: task gate to a busy TSS", 3, 0, VEC_GP, S_TSS, INT80, {0}, task_busy},
    {"INT: task gate to data", 3, 0, VEC_GP, S_DATA0, INT80, {0}, task_data},
    {"INT: task gate, TSS not present", 3, 0, VEC_NP, S_Y, INT80, {0}, task_np},
    {"INT: task gate, TSS too short", 3, 0, VEC_TS, S_Y, INT80, {0}, task_short}, )

/* --- EXT: the same checks while something external or a fault is being delivered --- */

/* A deliverer of vector 0x80 of each kind; faults that come of it carry EXT but for software ones.
 */
Test(ext, is_set_for_all_but_software_interrupts)
{
    static const struct {
        void (*setup)(struct world *);
        int vector;
        uint32_t error;
    } t[] = {
        {short_idt, VEC_GP, 0x402},   {type0, VEC_GP, 0x402},
        {np, VEC_NP, 0x402},          {cs_null, VEC_GP, 0},
        {cs_beyond, VEC_GP, 0x800},   {cs_data, VEC_GP, S_DATA0},
        {cs_np, VEC_NP, S_Y},         {cs_short, VEC_GP, 0},
        {task_local, VEC_GP, S_XLDT}, {task_busy, VEC_GP, S_TSS},
        {task_np, VEC_NP, S_Y},       {task_short, VEC_TS, S_Y},
        {task_beyond, VEC_GP, 0x808}, {cs_outer, VEC_GP, S_CODE3 & ~3u},
    };
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = world_new(0);
        t[k].setup(w);
        WORLD_CODE(w, 0x90);
        w->c->eflags |= FL_IF;
        w->e->intr_vector = 0x80;
        soft_set_intr(w->e->soft, true);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, t[k].vector, "case %zu: %d", k, o.vector);
        cr_expect_eq(o.error, t[k].error | 1, "case %zu: %#x", k, o.error);
        world_free(w);
    }
}

Test(ext, gates_of_exceptions_may_have_dpl_0)
{
    struct world *w = world_new(3);
    world_idt(w, VEC_UD, S_CODE0, W_HANDLERS + 16 * VEC_UD, A_INT32);
    WORLD_CODE(w, 0x0f, 0x0b);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_UD);
    cr_expect_null(world_changed(w, &o), "%s", world_changed(w, &o));
    world_free(w);
}

/* --- frames and flags --- */

#define FL_TEST ((uint32_t)FL_IF | FL_CF | FL_DF | FL_AC | FL_ID | FL_NT)

Test(frame, same_ring_has_three_dwords)
{
    for (unsigned trap = 0; trap < 2; trap++) {
        struct world *w = world_new(0);
        gate80(w, S_CODE0, trap ? A_TRAP32 : A_INT32);
        w->c->eflags |= FL_TEST;
        WORLD_CODE(w, 0xcd, 0x80);
        world_step(w);
        const uint32_t esp = w->c->gpr[R_ESP];
        cr_expect_eq(w->c->eip, HANDLER);
        cr_expect_eq(esp, w->before.gpr[R_ESP] - 12);
        cr_expect_eq(world_get32(w, esp), W_CODE + 2);
        cr_expect_eq(world_get32(w, esp + 4), S_CODE0);
        cr_expect_eq(world_get32(w, esp + 8), w->before.eflags);
        const uint32_t cleared = FL_NT | (trap ? 0u : (uint32_t)FL_IF);
        cr_expect_eq(w->c->eflags, w->before.eflags & ~cleared);
        world_free(w);
    }
}

Test(frame, inner_ring_has_five_dwords)
{
    struct world *w = world_new(3);
    gate80(w, S_CODE0, A_TRAP32 | A_DPL3);
    w->c->eflags |= FL_TEST;
    WORLD_CODE(w, 0xcd, 0x80);
    world_step(w);
    const uint32_t want[] = {W_CODE + 2, S_CODE3, w->before.eflags, W_STACK - 0x100, S_DATA3};
    cr_expect_eq(w->c->gpr[R_ESP], W_TSS_ESP0 - sizeof want);
    for (unsigned k = 0; k < 5; k++)
        cr_expect_eq(world_get32(w, w->c->gpr[R_ESP] + 4 * k), want[k], "dword %u", k);
    cr_expect_eq(w->c->cpl, 0);
    cr_expect_eq(w->c->seg[SEG_SS].sel, S_DATA0);
    cr_expect_eq(w->c->seg[SEG_DS].sel, S_DATA3, "data segments stay");
    world_free(w);
}

Test(frame, gates_of_16_bits_push_words)
{
    struct world *w = world_new(3);
    world_idt(w, 0x80, S_CODE1, 0xabcd0000 | HANDLER, A_INT16 | A_DPL3);
    WORLD_CODE(w, 0xcd, 0x80);
    world_step(w);
    const uint16_t want[] = {W_CODE + 2, S_CODE3, (uint16_t)w->before.eflags, W_STACK - 0x100,
                             S_DATA3};
    cr_expect_eq(w->c->eip, HANDLER);
    cr_expect_eq(w->c->gpr[R_ESP], W_TSS_ESP1 - sizeof want);
    for (unsigned k = 0; k < 5; k++)
        cr_expect_eq(world_get16(w, w->c->gpr[R_ESP] + 2 * k), want[k], "word %u", k);
    cr_expect_eq(w->c->cpl, 1);
    world_free(w);
}

Test(frame, error_code_of_16_bits)
{
    struct world *w = world_new(0);
    world_idt(w, VEC_GP, S_CODE0, HANDLER, A_TRAP16);
    w->c->gpr[R_EAX] = 0x1230;
    WORLD_CODE(w, 0x8e, 0xd8);
    world_step(w);
    cr_expect_eq(w->c->gpr[R_ESP], w->before.gpr[R_ESP] - 8);
    cr_expect_eq(world_get16(w, w->c->gpr[R_ESP]), 0x1230);
    cr_expect_eq(world_get16(w, w->c->gpr[R_ESP] + 2), W_CODE);
    world_free(w);
}

Test(frame, conforming_handler_runs_in_the_interrupted_ring)
{
    struct world *w = world_new(3);
    gate80(w, S_CONF0, A_INT32 | A_DPL3);
    WORLD_CODE(w, 0xcd, 0x80);
    world_step(w);
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(w->c->seg[SEG_CS].sel, S_CONF0 | 3);
    cr_expect_eq(w->c->gpr[R_ESP], w->before.gpr[R_ESP] - 12);
    cr_expect_eq(w->c->eip, HANDLER);
    world_free(w);
}

Test(frame, faults_save_rf_and_traps_do_not)
{
    struct world *w = world_new(0);
    WORLD_CODE(w, 0x0f, 0x0b);
    cr_expect_neq(world_step(w).flags & FL_RF, 0, "17.3.1.1");
    world_free(w);

    w = world_new(0);
    WORLD_CODE(w, 0xcc);
    cr_expect_eq(world_step(w).flags & FL_RF, 0);
    world_free(w);
}

Test(frame, every_vector_reaches_its_handler)
{
    for (unsigned v = 0; v < 256; v++) {
        struct world *w = world_new(v & 1 ? 3 : 0);
        WORLD_CODE(w, 0xcd, (uint8_t)v);
        world_step(w);
        const uint32_t at = W_HANDLERS + 16 * v;
        cr_expect(w->c->eip == at || w->c->eip == at + 1, "vector %u: EIP %#x", v, w->c->eip);
        /* INT n pushes no error code even for the vector of an exception that has one. */
        cr_expect_eq(world_get32(w, w->c->gpr[R_ESP]), W_CODE + 2, "vector %u", v);
        world_free(w);
    }
}

Test(frame, page_fault_sets_cr2)
{
    struct world *w = world_new(3);
    const struct soft_event ev = {
        .vector = VEC_PF, .has_error = true, .error = 7, .kind = SOFT_EV_FAULT, .cr2 = 0xc0ffee};
    w->before = *w->c;
    cr_assert_eq(soft_deliver(w->e->soft, &ev, &w->e->exit), SOFT_EXIT_BUDGET);
    cr_expect_eq(w->c->cr2, 0xc0ffee);
    cr_expect_eq(w->c->eip, W_HANDLERS + 16 * VEC_PF);
    cr_expect_eq(world_get32(w, w->c->gpr[R_ESP]), 7);
    cr_expect_eq(world_get32(w, w->c->gpr[R_ESP] + 4), W_CODE);
    world_free(w);
}

Test(frame, interrupts_end_a_halt)
{
    struct world *w = world_new(0);
    w->c->eflags |= FL_IF;
    WORLD_CODE(w, 0xf4, 0x90);
    cr_assert_eq(senv_run(w->e, 10), SOFT_EXIT_HLT);
    cr_expect(w->c->halted);
    cr_expect_eq(w->c->eip, W_CODE + 1);
    w->e->intr_vector = 0x21;
    soft_set_intr(w->e->soft, true);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, 0x21);
    cr_expect_eq(o.eip, W_CODE + 1);
    world_free(w);
}

Test(frame, nmi_blocks_itself)
{
    struct world *w = world_new(0);
    const struct soft_event ev = {.vector = VEC_NMI, .kind = SOFT_EV_NMI};
    cr_assert_eq(soft_deliver(w->e->soft, &ev, &w->e->exit), SOFT_EXIT_BUDGET);
    cr_expect(w->c->nmi_blocked);
    cr_expect_eq(w->c->eip, W_HANDLERS + 16 * VEC_NMI);
    world_free(w);
}

/* --- the stack of an inner ring --- */

static const struct {
    const char *what;
    uint16_t ss1;
    uint32_t attr, esp1, tr_limit;
    int vector;
    uint32_t error;
} stack_rows[] = {
    {"6.12.1.1 TSS too short", S_DATA1, 0, W_TSS_ESP1, 0x10, VEC_TS, S_TSS},
    {"6.12.1.1 SS NULL", 1, 0, 0, 0x67, VEC_TS, 0},
    {"6.12.1.1 SS beyond the GDT", 0x811, 0, 0, 0x67, VEC_TS, 0x810},
    {"6.12.1.1 SS RPL", S_DATA1 & ~3, 0, 0, 0x67, VEC_TS, S_DATA1 & ~3},
    {"6.12.1.1 SS DPL", S_DATA2 & ~3 & 0xfffc, 0, 0, 0x67, VEC_TS, S_DATA2 & ~3},
    {"6.12.1.1 SS read-only", S_Y | 1, (A_DATA & ~SA_RW) | A_DPL1, 0, 0x67, VEC_TS, S_Y},
    {"6.12.1.1 SS code", S_CODE1, 0, 0, 0x67, VEC_TS, S_CODE1 & ~3},
    {"6.12.1.1 SS not present", S_Y | 1, NOT_P(A_DATA) | A_DPL1, 0, 0x67, VEC_SS, S_Y},
    {"6.12.1.1 no room for five", S_Y | 1, (A_DATA & ~SA_G) | A_DPL1, 19, 0x67, VEC_SS, S_Y},
};

Test(inner_stack, is_checked_in_order_and_ext_marks_events)
{
    for (size_t k = 0; k < sizeof stack_rows / sizeof *stack_rows; k++)
        for (unsigned ext = 0; ext < 2; ext++) {
            struct world *w = world_new(3);
            if (stack_rows[k].attr)
                world_desc(w, S_Y, W_DATA, 0xffff, stack_rows[k].attr);
            gate80(w, S_CODE1, A_INT32 | A_DPL3);
            world_put32(w, W_TSS + 12, stack_rows[k].esp1);
            world_put32(w, W_TSS + 16, stack_rows[k].ss1);
            w->c->tr.limit = stack_rows[k].tr_limit;
            if (ext) {
                WORLD_CODE(w, 0x90);
                w->c->eflags |= FL_IF;
                w->e->intr_vector = 0x80;
                soft_set_intr(w->e->soft, true);
            } else {
                WORLD_CODE(w, 0xcd, 0x80);
            }
            const struct outcome o = world_step(w);
            cr_expect_eq(o.vector, stack_rows[k].vector, "%s: %d", stack_rows[k].what, o.vector);
            cr_expect_eq(o.error, stack_rows[k].error | ext, "%s: %#x", stack_rows[k].what,
                         o.error);
            cr_expect_null(world_changed(w, &o), "%s: %s", stack_rows[k].what,
                           world_changed(w, &o));
            world_free(w);
        }
}

Test(inner_stack, a_missing_page_changes_nothing)
{
    struct world *w = world_new(3);
    senv_map(w->e, 0x6000, 6, 1, SENV_P | SENV_X);
    WORLD_CODE(w, 0xcd, 0x80);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.exit, SOFT_EXIT_PF);
    cr_expect_eq(w->e->exit.la & ~PAGE_MASK, 0x6000);
    cr_expect_eq(w->e->exit.access, SOFT_W);
    cr_expect_not(w->e->exit.user, "the inner ring's right");
    cr_expect_eq(w->c->eip, W_CODE);
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(memcmp(&w->before, w->c, offsetof(struct cpu, fpu)), 0);
    cr_expect_eq(memcmp(w->ram_before, w->e->ram, W_FRAMES * PAGE_SIZE), 0);
    senv_map(w->e, 0x6000, 6, 1, SENV_ALL);
    cr_expect_eq(world_step(w).vector, 0x80, "and goes on when it is there");
    world_free(w);
}

Test(inner_stack, frame_across_a_missing_page_changes_nothing)
{
    struct world *w = world_new(3);
    world_put32(w, W_TSS + 4, 0x6008); /* two dwords fit on the page */
    senv_map(w->e, 0x5000, 5, 1, 0);
    WORLD_CODE(w, 0xcd, 0x80);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.exit, SOFT_EXIT_PF);
    cr_expect_eq(w->e->exit.la & ~PAGE_MASK, 0x5000);
    cr_expect_eq(memcmp(w->ram_before, w->e->ram, W_FRAMES * PAGE_SIZE), 0);
    world_free(w);
}

/* --- double fault, shutdown --- */

static void no_gp(struct world *w)
{
    world_idt(w, VEC_GP, S_CODE0, 0, NOT_P(A_INT32));
}

Test(double_fault, contributory_on_contributory)
{
    struct world *w = world_new(0);
    no_gp(w);
    w->c->gpr[R_EAX] = 0x1000;
    WORLD_CODE(w, 0x8e, 0xd8);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DF, "6.15 table 6-5: #GP, then #NP");
    cr_expect_eq(o.error, 0);
    cr_expect_eq(o.eip, W_CODE);
    world_free(w);
}

Test(double_fault, benign_then_contributory_is_serial)
{
    struct world *w = world_new(0);
    world_idt(w, VEC_UD, S_CODE0, 0, NOT_P(A_INT32));
    WORLD_CODE(w, 0x0f, 0x0b);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_NP);
    cr_expect_eq(o.error, VEC_UD * 8 + 2 + 1);
    world_free(w);
}

Test(double_fault, third_fault_shuts_down)
{
    struct world *w = world_new(0);
    no_gp(w);
    world_idt(w, VEC_DF, S_CODE0, 0, NOT_P(A_INT32));
    w->c->gpr[R_EAX] = 0x1000;
    WORLD_CODE(w, 0x8e, 0xd8);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.exit, SOFT_EXIT_SHUTDOWN);
    cr_expect_eq(w->c->eip, W_CODE);
    cr_expect_gt(strlen(w->e->exit.why), 0);
    world_free(w);
}

Test(double_fault, empty_idt_shuts_down)
{
    struct world *w = world_new(0);
    w->c->idtr = (struct desc_table){0, 0};
    WORLD_CODE(w, 0xcc);
    cr_expect_eq(world_step(w).exit, SOFT_EXIT_SHUTDOWN);
    world_free(w);
}

/* --- INT3, INTO, INT1 --- */

static void of_set(struct world *w)
{
    w->c->eflags |= FL_OF;
}
static void bp_dpl0(struct world *w)
{
    world_idt(w, VEC_BP, S_CODE0, 0x8030, A_INT32);
}
static void of_dpl0(struct world *w)
{
    of_set(w);
    world_idt(w, VEC_OF, S_CODE0, 0x8040, A_INT32);
}

FAULT_TABLE(software, dpl_is_checked,
            {"INT3: gate DPL 0 from ring 3", 3, 0, VEC_GP, VEC_BP * 8 + 2, {0xcc}, {0}, bp_dpl0},
            {"INTO: gate DPL 0 from ring 3", 3, 0, VEC_GP, VEC_OF * 8 + 2, {0xce}, {0}, of_dpl0},
            {"INTO: OF clear", 3, 0, OK, 0, {0xce}}, )

Test(software, saved_eip_is_behind_the_instruction)
{
    static const struct {
        uint8_t code[2];
        int vector;
        unsigned len;
    } t[] = {{{0xcc}, VEC_BP, 1}, {{0xce}, VEC_OF, 1}, {{0xcd, 3}, VEC_BP, 2}, {{0xf1}, VEC_DB, 1}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = world_new(3);
        of_set(w);
        world_code(w, t[k].code, 2);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, t[k].vector);
        cr_expect_eq(o.eip, W_CODE + t[k].len);
        world_free(w);
    }
}

Test(software, int1_ignores_dpl)
{
    struct world *w = world_new(3);
    world_idt(w, VEC_DB, S_CODE0, W_HANDLERS + 16 * VEC_DB, A_INT32);
    WORLD_CODE(w, 0xf1);
    cr_expect_eq(world_step(w).vector, VEC_DB);
    cr_expect_eq(w->c->dr[6] & (DR6_BS | 15), 0);
    world_free(w);
}

/* --- interrupts and their shadows --- */

static int after_two_steps(const uint8_t *code, unsigned n, uint32_t *eip)
{
    struct world *w = world_new(0);
    world_code(w, code, n);
    w->c->gpr[R_EAX] = S_DATA0;
    world_step(w);
    w->e->intr_vector = 0x20;
    soft_set_intr(w->e->soft, true);
    world_step(w);
    const struct outcome o = world_step(w);
    *eip = o.eip;
    world_free(w);
    return o.vector;
}

Test(shadow, sti_lets_one_instruction_pass)
{
    const uint8_t code[] = {0xfb, 0x90, 0x90};
    uint32_t eip;
    cr_expect_eq(after_two_steps(code, sizeof code, &eip), 0x20);
    cr_expect_eq(eip, W_CODE + 2, "6.8.1: behind the instruction that follows STI");
}

Test(shadow, interrupts_wait_while_if_is_clear)
{
    struct world *w = world_new(0);
    WORLD_CODE(w, 0x90, 0x90, 0x90);
    w->e->intr_vector = 0x20;
    soft_set_intr(w->e->soft, true);
    for (int k = 0; k < 3; k++)
        cr_expect_eq(world_step(w).vector, -1);
    world_free(w);
}

Test(shadow, mov_ss_delays_interrupts_and_single_step)
{
    struct world *w = world_new(0);
    WORLD_CODE(w, 0x8e, 0xd0, 0x90, 0x90);
    w->c->gpr[R_EAX] = S_DATA0;
    w->c->eflags |= FL_TF;
    struct outcome o = world_step(w);
    cr_expect_eq(o.vector, -1, "6.8.3: no trap behind MOV SS");
    o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(o.eip, W_CODE + 3);
    world_free(w);
}
