/* What soft_insns() counts, and where soft_limit() stops: by the guest's doing alone, whatever was
 * decoded, cut short or missed on the way. */
#include <criterion/criterion.h>

#include "tests/soft_env.h"

static struct senv *e;
static uint64_t seen;  /* soft_insns() as the last port access saw it */
static uint64_t limit; /* what an OUT asks soft_limit() for */

static uint32_t on_in(void *ctx, uint16_t port, unsigned size)
{
    (void)ctx, (void)port, (void)size;
    seen = soft_insns(e->soft);
    return 0;
}

static void on_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)ctx, (void)port, (void)val, (void)size;
    seen = soft_insns(e->soft);
    soft_limit(e->soft, limit);
}

static void on_out_intr(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)ctx, (void)port, (void)val, (void)size;
    soft_set_intr(e->soft, true);
}

static int no_intr(void *ctx)
{
    struct senv *w = ctx;
    w->user = (void *)(uintptr_t)w->cpu.eip;
    return -1;
}

static void setup(void)
{
    e = senv_new(64);
    e->env.io_in = on_in;
    e->env.io_out = on_out;
    limit = UINT64_MAX;
}

static void teardown(void)
{
    senv_free(e);
}

TestSuite(soft_count, .init = setup, .fini = teardown);

Test(soft_count, a_port_sees_the_instructions_before_it)
{
    /* inc eax; inc eax; in al,dx; inc eax; in al,dx; hlt */
    SENV_CODE(e, 0x1000, 0x40, 0x40, 0xec, 0x40, 0xec, 0xf4);
    for (uint64_t budget = 1; budget <= 5; budget++) {
        const uint64_t base = soft_insns(e->soft);
        cpu_set_flat(&e->cpu, 0x1000);
        senv_run(e, budget);
        cr_assert_eq(soft_insns(e->soft) - base, budget);
        if (budget >= 3)
            cr_assert_eq(seen - base, budget < 5 ? 2 : 4);
    }
}

Test(soft_count, a_step_sees_the_same)
{
    SENV_CODE(e, 0x1000, 0x40, 0x40, 0xec, 0x40, 0xec, 0xf4);
    for (int n = 0; n < 5; n++)
        soft_step(e->soft, &e->exit);
    cr_assert_eq(seen, 4);
    cr_assert_eq(soft_insns(e->soft), 5);
}

/* out dx,al; 20 times inc eax; jmp to the first */
static void out_and_count(void)
{
    uint8_t code[23] = {0xee};
    memset(code + 1, 0x40, 20);
    code[21] = 0xeb;
    code[22] = (uint8_t)-23;
    senv_put(e, 0x1000, code, sizeof code);
}

Test(soft_count, a_limit_stops_exactly_so_far_behind_the_one_that_set_it)
{
    out_and_count();
    for (limit = 0; limit <= 21; limit++) {
        cpu_set_flat(&e->cpu, 0x1000);
        cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_BUDGET);
        cr_assert_eq(e->exit.insns, 1 + limit);
        cr_assert_eq(e->cpu.gpr[R_EAX], limit < 20 ? limit : 20);
    }
}

Test(soft_count, a_limit_does_not_lengthen_the_budget)
{
    out_and_count();
    limit = 100;
    cr_assert_eq(senv_run(e, 5), SOFT_EXIT_BUDGET);
    cr_assert_eq(e->exit.insns, 5);
}

Test(soft_count, an_interrupt_caused_by_an_instruction_is_taken_behind_it)
{
    e->env.io_out = on_out_intr;
    e->env.intr_ack = no_intr;
    out_and_count();
    e->cpu.eflags |= FL_IF;
    senv_run(e, 10);
    cr_assert_eq((uintptr_t)e->user, 0x1001);
}

/* mov ecx,N; mov edi,0x8000; rep stosd; inc eax; hlt */
static void fill_program(uint32_t n)
{
    SENV_CODE(e, 0x1000, 0xb9, n, n >> 8, n >> 16, 0, 0xbf, 0, 0x80, 0, 0, 0xf3, 0xab, 0x40, 0xf4);
}

Test(soft_count, a_rep_is_one_instruction)
{
    fill_program(3000);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_HLT);
    cr_assert_eq(e->exit.insns, 5);
}

Test(soft_count, a_rep_that_is_kicked_again_and_again_is_still_one)
{
    unsigned kicks = 0;
    fill_program(3000);
    do {
        soft_kick(e->soft);
        senv_run(e, 1000);
        if (e->cpu.gpr[R_ECX] == 0)
            break;
        soft_step(e->soft, &e->exit);
    } while (kicks++ < 20);
    while (!e->cpu.halted)
        senv_run(e, 1000);
    cr_assert_eq(soft_insns(e->soft), 5);
}

Test(soft_count, a_rep_that_misses_pages_is_still_one)
{
    fill_program(3000);
    senv_map(e, 0x9000, 9, 1, 0);
    senv_map(e, 0xa000, 10, 1, 0);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_PF);
    senv_map(e, 0x9000, 9, 1, SENV_ALL);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_PF);
    senv_map(e, 0xa000, 10, 1, SENV_ALL);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_HLT);
    cr_assert_eq(soft_insns(e->soft), 5);
}

Test(soft_count, a_long_rep_outsb_is_one)
{
    /* mov ecx,5000; mov esi,0x8000; rep outsb; hlt */
    SENV_CODE(e, 0x1000, 0xb9, 0x88, 0x13, 0, 0, 0xbe, 0, 0x80, 0, 0, 0xf3, 0x6e, 0xf4);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_HLT);
    cr_assert_eq(e->exit.insns, 4);
    cr_assert_eq(seen, 2);
}

Test(soft_count, an_int_whose_delivery_misses_counts_once)
{
    /* Real mode: the vector table is in page 0. int 0x20 at 0x1000; there: hlt */
    SENV_CODE(e, 0x80, 0x00, 0x20, 0, 0);
    SENV_CODE(e, 0x1000, 0x40, 0xcd, 0x20);
    SENV_CODE(e, 0x2000, 0xf4);
    e->cpu.cr0 &= ~(uint32_t)CR0_PE;
    for (int i = 0; i < SEG_COUNT; i++)
        e->cpu.seg[i] = (struct seg){.limit = 0xffff, .attr = SA_P | SA_S | SA_RW};
    e->cpu.idtr.base = 0;
    e->cpu.idtr.limit = 0x3ff;
    e->cpu.gpr[R_ESP] = 0x7000;
    senv_map(e, 0, 0, 1, 0);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_PF);
    cr_assert_eq(soft_insns(e->soft), 1);
    senv_map(e, 0, 0, 1, SENV_ALL);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_HLT);
    cr_assert_eq(soft_insns(e->soft), 3);
}
