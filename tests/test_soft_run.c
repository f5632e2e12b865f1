/* The soft CPU's run loop: budget, exits, misses, and that they leave the cpu exact. */
#include <criterion/criterion.h>

#include "tests/soft_env.h"

static struct senv *e;

static void setup(void)
{
    e = senv_new(64);
}

static void teardown(void)
{
    senv_free(e);
}

TestSuite(soft_run, .init = setup, .fini = teardown);

/* mov ecx,10; xor eax,eax; l: add eax,ecx; dec ecx; jnz l; hlt */
static void sum_program(void)
{
    SENV_CODE(e, 0x1000, 0xb9, 10, 0, 0, 0, 0x31, 0xc0, 0x01, 0xc8, 0x49, 0x75, 0xfb, 0xf4);
}

Test(soft_run, loop_runs_to_hlt_and_counts_instructions)
{
    sum_program();
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EAX], 55);
    cr_assert_eq(e->cpu.eip, 0x100d);
    cr_assert(e->cpu.halted);
    cr_assert_eq(e->exit.insns, 2 + 3 * 10 + 1);
    cr_assert_eq(e->cpu.eflags & FL_ARITH, FL_ZF | FL_PF);
}

Test(soft_run, every_budget_stops_exactly_there)
{
    sum_program();
    for (uint64_t budget = 1; budget <= 32; budget++) {
        cpu_set_flat(&e->cpu, 0x1000);
        cr_assert_eq(senv_run(e, budget), SOFT_EXIT_BUDGET);
        cr_assert_eq(e->exit.insns, budget);
        const uint32_t eip = budget < 2     ? 0x1005
                             : budget == 32 ? 0x100c
                                            : 0x1007 + (uint32_t[]){0, 2, 3}[(budget - 2) % 3];
        cr_assert_eq(e->cpu.eip, eip, "budget %lu: eip %#x", budget, e->cpu.eip);
    }
}

Test(soft_run, steps_like_it_runs)
{
    sum_program();
    for (int n = 0; n < 32; n++)
        cr_assert_eq(soft_step(e->soft, &e->exit), SOFT_EXIT_BUDGET);
    cr_assert_eq(e->cpu.gpr[R_EAX], 55);
    cr_assert_eq(soft_step(e->soft, &e->exit), SOFT_EXIT_HLT);
}

Test(soft_run, miss_leaves_the_instruction_undone_and_goes_on_when_resolved)
{
    /* inc ebx; add [0x5000], ebx; hlt */
    SENV_CODE(e, 0x1000, 0x43, 0x01, 0x1d, 0, 0x50, 0, 0, 0xf4);
    senv_map(e, 0x5000, 0, 1, 0);
    *senv_at(e, 0x5000) = 7;
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x5000);
    cr_assert_eq(e->exit.access, SOFT_W);
    cr_assert(!e->exit.user);
    cr_assert_eq(e->exit.insns, 1);
    cr_assert_eq(e->cpu.eip, 0x1001);
    cr_assert_eq(e->cpu.gpr[R_EBX], 1);
    senv_map(e, 0x5000, 5, 1, SENV_ALL);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_HLT);
    cr_assert_eq(*senv_at(e, 0x5000), 8);
}

Test(soft_run, fetch_miss_names_the_first_missing_byte)
{
    senv_map(e, 0x2000, 0, 1, 0);
    /* mov eax, imm32 across the page end */
    SENV_CODE(e, 0x1ffd, 0xb8, 1, 2);
    SENV_CODE(e, 0x3000, 3, 4, 0xf4);
    e->cpu.eip = 0x1ffd;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x2000);
    cr_assert_eq(e->exit.access, SOFT_X);
    cr_assert_eq(e->cpu.eip, 0x1ffd);
    senv_map(e, 0x2000, 3, 1, SENV_ALL);
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x04030201);
}

Test(soft_run, kick_stops_an_endless_loop_at_once)
{
    SENV_CODE(e, 0x1000, 0xeb, 0xfe);
    soft_kick(e->soft);
    cr_assert_eq(senv_run(e, UINT64_MAX), SOFT_EXIT_ATTENTION);
    cr_assert_eq(senv_run(e, 1000), SOFT_EXIT_BUDGET);
}
