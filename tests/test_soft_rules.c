/* An event while another is being delivered: the manual's table, and what monitor and soft CPU
 * agree on when a delivery needs a page. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/soft_env.h"
#include "vmm/soft/soft_event_rules.h"

/* --- SDM vol. 3, table 6-5 -------------------------------------------------------------------- */

enum what { SERIAL, DOUBLE, SHUTDOWN };

static const uint8_t benign[] = {VEC_DB, VEC_NMI, VEC_BP, VEC_OF, VEC_BR, VEC_UD,
                                 VEC_NM, VEC_MF,  VEC_AC, VEC_MC, VEC_XM};
static const uint8_t contributory[] = {VEC_DE, VEC_TS, VEC_NP, VEC_SS, VEC_GP};
static const uint8_t page_fault[] = {VEC_PF};
static const uint8_t double_fault[] = {VEC_DF};

struct group {
    const uint8_t *v;
    size_t n;
};
#define GROUP(a)                                                                                   \
    {                                                                                              \
        a, sizeof(a)                                                                               \
    }
static const struct group groups[4] = {GROUP(benign), GROUP(contributory), GROUP(page_fault),
                                       GROUP(double_fault)};

static const enum what table[4][3] = {
    {SERIAL, SERIAL, SERIAL},
    {SERIAL, DOUBLE, SERIAL},
    {SERIAL, DOUBLE, DOUBLE},
    {SERIAL, SHUTDOWN, SHUTDOWN},
};

static void check(uint8_t first, uint8_t second, enum what want)
{
    const struct soft_event a = {.vector = first, .kind = SOFT_EV_FAULT};
    const struct soft_event b = {.vector = second, .kind = SOFT_EV_FAULT, .error = 0x18};
    struct soft_event next = {0};
    const bool goes_on = soft_event_combine(&a, &b, &next);

    cr_assert_eq(goes_on, want != SHUTDOWN, "%u then %u", first, second);
    if (want == SERIAL)
        cr_assert(next.vector == second && next.error == 0x18, "%u then %u", first, second);
    if (want == DOUBLE)
        cr_assert(next.vector == VEC_DF && next.has_error && next.error == 0, "%u then %u", first,
                  second);
}

Test(rules, exceptions_combine_as_the_table_says)
{
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 3; b++)
            for (size_t i = 0; i < groups[a].n; i++)
                for (size_t k = 0; k < groups[b].n; k++)
                    check(groups[a].v[i], groups[b].v[k], table[a][b]);
}

Test(rules, interrupts_are_benign_whatever_their_vector)
{
    const struct soft_event gp = {.vector = VEC_GP, .kind = SOFT_EV_FAULT};
    struct soft_event next;
    const struct soft_event first[] = {{.vector = VEC_GP, .kind = SOFT_EV_EXTERNAL},
                                       {.vector = VEC_GP, .kind = SOFT_EV_SOFTINT},
                                       {.vector = VEC_GP, .kind = SOFT_EV_NMI},
                                       {.vector = VEC_GP, .kind = SOFT_EV_TRAP}};

    for (int k = 0; k < 4; k++) {
        cr_assert(soft_event_combine(&first[k], &gp, &next));
        cr_assert_eq(next.vector, VEC_GP);
    }
}

/* --- with a monitor ------------------------------------------------------------------------------
 */

enum { IDT = 0x6000, GDT = 0x7000, HANDLERS = 0x5000, STACK = 0x9000 };
static struct senv *e;

static void setup(void)
{
    static const uint32_t gdt[6] = {0, 0, 0x0000ffff, 0x00cf9b00, 0x0000ffff, 0x00cf9300};

    e = senv_new(64);
    memcpy(senv_at(e, GDT), gdt, sizeof gdt);
    for (uint32_t v = 0; v < 256; v++) {
        const uint32_t gate[2] = {8u << 16 | (HANDLERS + v), 0x8e00};
        memcpy(senv_at(e, IDT + 8 * v), gate, sizeof gate);
    }
    memset(senv_at(e, HANDLERS), 0xf4, 256);
    e->cpu.gdtr = (struct desc_table){GDT, 23};
    e->cpu.idtr = (struct desc_table){IDT, 0x7ff};
    e->cpu.gpr[R_ESP] = STACK;
}

static void teardown(void)
{
    senv_free(e);
}

TestSuite(delivery, .init = setup, .fini = teardown);

static int vector(void)
{
    return e->exit.kind == SOFT_EXIT_HLT ? (int)e->cpu.eip - 1 - HANDLERS : -1;
}

static struct soft_event pf_at(la_t la, uint32_t error)
{
    return (struct soft_event){
        .vector = VEC_PF, .has_error = true, .error = error, .kind = SOFT_EV_FAULT, .cr2 = la};
}

Test(delivery, miss_is_resolved_and_the_instruction_raises_again)
{
    SENV_CODE(e, 0x1000, 0x0f, 0x0b); /* ud2 */
    senv_map(e, 0x8000, 0, 1, 0);
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, STACK - 4);
    cr_assert_eq(e->cpu.eip, 0x1000);
    cr_assert_eq(e->cpu.gpr[R_ESP], STACK);
    senv_map(e, 0x8000, 8, 1, SENV_ALL);
    senv_run(e, 10);
    cr_assert_eq(vector(), VEC_UD);
}

Test(delivery, page_fault_that_the_guest_must_have_is_delivered_instead_of_ud)
{
    SENV_CODE(e, 0x1000, 0x0f, 0x0b);
    senv_map(e, 0x8000, 0, 1, 0);
    senv_run(e, 10);
    const struct soft_event pf = pf_at(e->exit.la, PF_W);
    senv_map(e, 0x8000, 8, 1, SENV_ALL); /* the handler's frame can be written: benign, then #PF */
    cr_assert_eq(soft_deliver(e->soft, &pf, &e->exit), SOFT_EXIT_BUDGET);
    senv_run(e, 10);
    cr_assert_eq(vector(), VEC_PF);
    cr_assert_eq(e->cpu.cr2, STACK - 4);
}

Test(delivery, page_fault_during_a_page_fault_is_a_double_fault_and_a_third_ends_it)
{
    SENV_CODE(e, 0x1000, 0xa1, 0, 0, 0, 0x10); /* mov eax, [10000000] */
    senv_map(e, 0x10000000, 0, 1, 0);
    senv_map(e, 0x8000, 0, 1, 0);
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    struct soft_event pf = pf_at(0x10000000, 0);
    cr_assert_eq(soft_deliver(e->soft, &pf, &e->exit), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, STACK - 4);
    cr_assert_eq(e->cpu.cr2, 0);
    pf = pf_at(STACK - 4, PF_W);
    cr_assert_eq(soft_deliver(e->soft, &pf, &e->exit), SOFT_EXIT_PF); /* #DF needs the page too */
    cr_assert_eq(soft_deliver(e->soft, &pf, &e->exit), SOFT_EXIT_SHUTDOWN);
    cr_assert_not_null(strstr(e->exit.why, "triple fault"));
    cr_assert_eq(e->cpu.eip, 0x1000);
    cr_assert_eq(e->cpu.gpr[R_ESP], STACK);
}

Test(delivery, the_same_page_fault_again_after_its_miss_was_resolved_is_no_double_fault)
{
    SENV_CODE(e, 0x1000, 0xa1, 0, 0, 0, 0x10);
    senv_map(e, 0x10000000, 0, 1, 0);
    senv_map(e, 0x8000, 0, 1, 0);
    senv_run(e, 10);
    const struct soft_event pf = pf_at(0x10000000, 0);
    cr_assert_eq(soft_deliver(e->soft, &pf, &e->exit), SOFT_EXIT_PF);
    senv_map(e, 0x8000, 8, 1, SENV_ALL);
    cr_assert_eq(soft_deliver(e->soft, &pf, &e->exit), SOFT_EXIT_BUDGET);
    senv_run(e, 10);
    cr_assert_eq(vector(), VEC_PF);
    cr_assert_eq(e->cpu.cr2, 0x10000000);
}

Test(delivery, acknowledged_interrupt_survives_a_miss)
{
    SENV_CODE(e, 0x1000, 0x90, 0x90, 0x90);
    senv_map(e, 0x8000, 0, 1, 0);
    e->cpu.eflags |= FL_IF;
    e->intr_vector = 0x40;
    soft_set_intr(e->soft, true);
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->intr_vector, -1);
    senv_map(e, 0x8000, 8, 1, SENV_ALL);
    senv_run(e, 10);
    cr_assert_eq(vector(), 0x40);
}

Test(delivery, acknowledged_interrupt_waits_behind_the_guests_page_fault)
{
    SENV_CODE(e, 0x1000, 0x90, 0x90, 0x90);
    SENV_CODE(e, HANDLERS + VEC_PF, 0xfb, 0x90, 0x90); /* sti; nop; nop ... hlt */
    senv_map(e, 0x8000, 0, 1, 0);
    e->cpu.eflags |= FL_IF;
    e->intr_vector = 0x40;
    soft_set_intr(e->soft, true);
    senv_run(e, 10);
    const struct soft_event pf = pf_at(e->exit.la, PF_W);
    senv_map(e, 0x8000, 8, 1, SENV_ALL);
    cr_assert_eq(soft_deliver(e->soft, &pf, &e->exit), SOFT_EXIT_BUDGET);
    cr_assert_eq(e->cpu.eip, HANDLERS + VEC_PF);
    senv_run(e, 10);
    cr_assert_eq(vector(), 0x40);
    uint32_t back;
    memcpy(&back, senv_at(e, e->cpu.gpr[R_ESP]), 4);
    cr_assert_eq(back, HANDLERS + VEC_PF + 2); /* behind STI's shadow */
}

Test(delivery, interrupt_in_a_linked_loop_is_taken_and_the_loop_goes_on)
{
    SENV_CODE(e, 0x1000, 0x40, 0xeb, 0xfd);    /* l: inc eax; jmp l */
    SENV_CODE(e, HANDLERS + 0x41, 0x43, 0xcf); /* inc ebx; iret */
    e->cpu.eflags |= FL_IF;
    senv_run(e, 1000);
    for (uint32_t k = 1; k <= 5; k++) {
        e->intr_vector = 0x41;
        soft_set_intr(e->soft, true);
        cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_BUDGET);
        cr_assert_eq(e->cpu.gpr[R_EBX], k);
        cr_assert_eq(e->cpu.gpr[R_ESP], STACK);
    }
}
