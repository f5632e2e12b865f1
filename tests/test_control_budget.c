/* Whose time the control socket's requests count as. */
#include <criterion/criterion.h>

#include "vmm/control/budget.h"

enum { MS = 1000, SECOND = 1000 * MS };

Test(control_budget, half_a_second_in_one_go_then_a_third)
{
    struct budget b = {0};
    budget_charge(&b, BUDGET_BURST_US);
    cr_expect(!budget_over(&b, 0, false));
    budget_charge(&b, 30 * MS);
    cr_expect(budget_over(&b, 0, false));
    cr_expect(budget_over(&b, 89 * MS, false));
    cr_expect(!budget_over(&b, 2 * MS, false), "three times as long as it took");
    budget_over(&b, 3600ull * SECOND, false);
    cr_expect_eq(b.used, 0, "there is no saving up");
}

/* Pairs of pause and resume, each `stands` long, with `runs` between them, for ten seconds; how
 * much of it clients were served. */
static uint64_t flood(uint64_t stands, uint64_t runs)
{
    struct budget b = {0};
    uint64_t at = 1, stood = 0;
    bool rest = false;
    while (at < 10ull * SECOND) {
        if (rest) {
            at += 10 * MS;
            rest = budget_over(&b, 10 * MS, false);
            continue;
        }
        budget_pause(&b, at);
        at += stands;
        stood += stands;
        cr_assert(!budget_over(&b, stands, true), "nobody rests while the guest stands");
        budget_resume(&b, at);
        at += runs;
        rest = budget_over(&b, runs, false);
    }
    return stood;
}

Test(control_budget, pauses_that_are_over_at_once_are_requests_like_others)
{
    const uint64_t third = 10ull * SECOND / BUDGET_SHARE;
    for (uint64_t stands = 10; stands <= BUDGET_SHORT_PAUSE_US; stands *= 10) {
        const uint64_t stood = flood(stands, 5);
        cr_expect_leq(stood, third + 2 * BUDGET_BURST_US, "%llu us", (unsigned long long)stood);
        cr_expect_geq(stood, third - BUDGET_BURST_US, "%llu us", (unsigned long long)stood);
    }
    cr_expect_geq(flood(1 * MS, 9 * MS), 9 * SECOND / 10,
                  "who leaves the guest its time never rests");
}

Test(control_budget, a_pause_that_somebody_means_costs_nothing)
{
    struct budget b = {0};
    budget_charge(&b, BUDGET_BURST_US - 1);
    for (int i = 0; i < 100; i++) {
        budget_pause(&b, 1 + (uint64_t)i * SECOND);
        budget_resume(&b, 1 + (uint64_t)i * SECOND + BUDGET_SHORT_PAUSE_US + 1);
    }
    cr_expect(!budget_over(&b, 0, false));
    budget_resume(&b, 3600ull * SECOND);
    cr_expect_eq(b.used, BUDGET_BURST_US - 1, "no client's pause, no client's time");
}
