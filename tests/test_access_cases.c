/*
 * The access cases themselves: that the sets hold what they promise, that the driver notices, and
 * that the soft CPU reports accesses and delivers page faults exactly, with the reference MMU as
 * its mapper.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/access_cases.h"
#include "tests/access_soft.h"

/* The bits that ACCESS_TWO_LEVEL promises to combine, as one number. */
static uint32_t signature(const struct access_case *c)
{
    const bool large = (c->pde & 0x80) && (c->cr4 & 0x10);
    uint32_t s =
        (uint32_t)(c->pde & 7) | (uint32_t)(c->pde >> 2 & 8) | (uint32_t)(c->pde >> 3 & 16);

    s |= (c->pde & 0x3fe000) ? 0x20 : 0;
    s |= (c->cr0 >> 16 & 1) << 6 | (c->cr4 >> 4 & 1) << 7 | (uint32_t)c->user << 8;
    s |= (uint32_t)c->kind << 9;
    if (!large)
        s |= (uint32_t)(c->pte & 7) << 11 | (uint32_t)(c->pte >> 5 & 3) << 14;
    return s;
}

Test(access_cases, two_level_set_combines_everything)
{
    static uint8_t seen[1 << 16];
    struct access_case c;
    unsigned different = 0;

    cr_assert_eq(access_count(ACCESS_TWO_LEVEL), 49152);
    for (uint32_t i = 0; i < access_count(ACCESS_TWO_LEVEL); i++) {
        access_make(ACCESS_TWO_LEVEL, i, &c);
        different += !seen[signature(&c)];
        seen[signature(&c)] = 1;
    }
    /* Of the 128 values of PDE, PSE that hold P W U A PS R: 32 are large pages, where no PTE
     * counts. */
    cr_assert_eq(different, 3 * 4 * (96 * 32 + 32));
}

Test(access_cases, every_reserved_bit_faults_alone)
{
    uint32_t alone = 0, any = 0;
    struct access_case c;
    struct access_result r;

    for (uint32_t i = 0; i < access_count(ACCESS_TWO_LEVEL); i++) {
        access_make(ACCESS_TWO_LEVEL, i, &c);
        access_expect(&c, &r);
        const uint32_t bits = (uint32_t)c.pde & 0x3fe000;
        if (!(r.fault && r.error & 8))
            continue;
        any++;
        if (!(bits & (bits - 1)))
            alone |= bits;
    }
    cr_assert_eq(alone, 0x3fe000, "%x", alone);
    cr_assert_eq(any, 3 * 4 * 8 * 32, "P, PS, PSE and R set: %u", any);
}

Test(access_cases, cases_stay_in_their_memory)
{
    struct access_case c;

    for (int set = 0; set < ACCESS_SETS; set++)
        for (uint32_t i = 0; i < access_count((enum access_set)set); i += 7) {
            access_make((enum access_set)set, i, &c);
            const uint32_t pte = access_pte_gpa(&c);
            cr_assert(pte >= ACCESS_BIG && pte < ACCESS_RAM, "set %d case %u: PTE at %x", set, i,
                      pte);
            cr_assert(pte != ACCESS_BIG + (ACCESS_LA & 0x3fffffu), "PTE on the instruction");
        }
}

/* An engine that is the model itself but for one mistake at one case. */
struct liar {
    uint32_t calls, lie_at;
};
static bool lie(void *ctx, const struct access_case *c, struct access_result *r)
{
    struct liar *l = ctx;
    access_expect(c, r);
    if (l->calls++ == l->lie_at)
        r->pte ^= 0x20;
    return true;
}
static bool nothing(void *ctx, unsigned event, const struct access_case *c)
{
    (void)ctx, (void)event, (void)c;
    return true;
}
static const char *nothing_name(unsigned event)
{
    return event ? "second" : "first";
}

Test(access_cases, driver_notices_one_wrong_bit)
{
    struct liar l = {.lie_at = 1234};
    struct access_engine e = {.name = "liar", .ctx = &l, .run = lie};
    struct access_tally t = {0};

    cr_assert_eq(access_check(&e, ACCESS_TWO_LEVEL, 0, 1, &t), 0);
    cr_assert(t.run == 49152 && t.failed == 1);
    cr_assert(strstr(t.first, "liar, case 1234:"), "%s", t.first);

    l = (struct liar){.lie_at = 5};
    e.events = 2;
    e.disturb = nothing;
    e.event_name = nothing_name;
    t = (struct access_tally){0};
    cr_assert_eq(access_check(&e, ACCESS_PAE, 0, 1001, &t), 0);
    cr_assert(t.failed == 1 && strstr(t.first, "case 1001 after second"), "%s", t.first);
}

static void soft_agrees(enum access_set set, uint32_t step)
{
    struct access_soft *s = access_soft_new();
    struct access_engine e = access_soft_engine(s);
    struct access_tally t = {0};

    cr_assert_eq(access_check(&e, set, 0, step, &t), 0, "the engine gave up");
    cr_assert_eq(t.failed, 0, "%llu of %llu failed, the first:\n%s", (unsigned long long)t.failed,
                 (unsigned long long)t.run, t.first);
    printf("%s: %llu accesses, %llu of them faults\n", e.name, (unsigned long long)t.run,
           (unsigned long long)t.faults);
    access_soft_free(s);
}

Test(access_cases, soft_cpu_on_two_level_tables)
{
    soft_agrees(ACCESS_TWO_LEVEL, 1);
}

Test(access_cases, soft_cpu_on_all_bits_sampled)
{
    soft_agrees(ACCESS_TWO_LEVEL_FULL, 17);
}

Test(access_cases, soft_cpu_on_pae_tables_sampled)
{
    soft_agrees(ACCESS_PAE, 17);
}
