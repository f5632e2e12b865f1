/* Single step and breakpoints: SDM volume 3, 17.2 and 17.3. */
#include <criterion/criterion.h>

#include "tests/soft_world.h"

enum rw { X, W, IO, RW };

static void watch(struct world *w, unsigned n, uint32_t at, enum rw rw, unsigned len)
{
    w->c->dr[n] = at;
    w->c->dr[7] |=
        2u << 2 * n | (uint32_t)rw << (16 + 4 * n) | (len == 4 ? 3u : len - 1) << (18 + 4 * n);
}

Test(step, tf_traps_behind_each_instruction)
{
    struct world *w = world_new(3);
    w->c->eflags |= FL_TF;
    WORLD_CODE(w, 0x40, 0x41);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(o.eip, W_CODE + 1);
    cr_expect_eq(w->c->gpr[R_EAX], w->before.gpr[R_EAX] + 1);
    cr_expect_eq(w->c->dr[6], DR6_ONES | DR6_BS);
    cr_expect(o.flags & FL_TF);
    world_free(w);
}

Test(step, of_a_far_jump_and_of_iret)
{
    struct world *w = world_new(0);
    w->c->eflags |= FL_TF;
    WORLD_CODE(w, 0xea, 0x00, 0x11, 0, 0, S_CODE0, 0);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(o.eip, 0x1100);
    world_free(w);
}

Test(step, int_n_is_not_trapped_but_its_frame_has_tf)
{
    struct world *w = world_new(3);
    w->c->eflags |= FL_TF;
    WORLD_CODE(w, 0xcd, 0x80);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, 0x80);
    cr_expect(o.flags & FL_TF);
    cr_expect_eq(w->c->eflags & FL_TF, 0);
    world_free(w);
}

Test(step, fault_comes_instead_of_the_trap)
{
    struct world *w = world_new(3);
    w->c->eflags |= FL_TF;
    WORLD_CODE(w, 0x0f, 0x0b);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_UD);
    cr_expect_eq(w->c->dr[6] & DR6_BS, 0);
    world_free(w);
}

/* --- data breakpoints: MOV [A000], EAX and MOV EAX, [A000] --- */

static uint32_t hits(enum rw rw, uint32_t at, unsigned len, bool store, unsigned size)
{
    struct world *w = world_new(0);
    uint32_t got = 0;

    watch(w, 1, at, rw, len);
    if (size == 1)
        WORLD_CODE(w, store ? 0xa2 : 0xa0, 0x04, 0xa0, 0, 0);
    else
        WORLD_CODE(w, store ? 0xa3 : 0xa1, 0x04, 0xa0, 0, 0);
    const struct outcome o = world_step(w);
    if (o.vector == VEC_DB) {
        got = w->c->dr[6] & 15;
        cr_expect_eq(o.eip, W_CODE + 5, "a trap");
    } else {
        cr_expect_eq(o.vector, -1);
    }
    world_free(w);
    return got;
}

Test(breakpoint, data_by_kind_and_length)
{
    cr_expect_eq(hits(W, 0xa004, 4, true, 4), 2);
    cr_expect_eq(hits(W, 0xa004, 4, false, 4), 0, "a read");
    cr_expect_eq(hits(RW, 0xa004, 4, false, 4), 2);
    cr_expect_eq(hits(RW, 0xa004, 4, true, 1), 2);
    cr_expect_eq(hits(W, 0xa007, 1, true, 4), 2, "last byte");
    cr_expect_eq(hits(W, 0xa008, 1, true, 4), 0);
    cr_expect_eq(hits(W, 0xa003, 1, true, 4), 0);
    cr_expect_eq(hits(W, 0xa002, 2, true, 4), 0);
    cr_expect_eq(hits(W, 0xa006, 2, true, 4), 2);
    cr_expect_eq(hits(W, 0xa005, 2, true, 1), 2, "the address is cut to the length: A004");
    cr_expect_eq(hits(X, 0xa004, 1, true, 4), 0, "an instruction breakpoint");
}

Test(breakpoint, io_needs_de)
{
    for (unsigned de = 0; de < 2; de++) {
        struct world *w = world_new(0);
        w->c->cr4 = de ? CR4_DE : 0;
        watch(w, 2, 0x60, IO, 1);
        WORLD_CODE(w, 0xe4, 0x60);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, de ? VEC_DB : -1);
        if (de) {
            cr_expect_eq(o.eip, W_CODE + 2);
            cr_expect_eq(w->c->dr[6] & 15, 4);
        }
        world_free(w);
    }
}

Test(breakpoint, io_by_range)
{
    static const struct {
        uint32_t at;
        unsigned len;
        bool hit;
    } t[] = {{0x60, 1, true},  {0x63, 1, true}, {0x64, 1, false},
             {0x5f, 1, false}, {0x62, 2, true}, {0x5e, 2, false}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = world_new(0);
        w->c->cr4 = CR4_DE;
        watch(w, 0, t[k].at, IO, t[k].len);
        WORLD_CODE(w, 0xe5, 0x60); /* IN EAX, 60: four ports */
        cr_expect_eq(world_step(w).vector, t[k].hit ? VEC_DB : -1, "case %zu", k);
        world_free(w);
    }
}

Test(breakpoint, code_faults_before_the_instruction_unless_rf)
{
    for (unsigned rf = 0; rf < 2; rf++) {
        struct world *w = world_new(0);
        watch(w, 3, W_CODE, X, 1);
        if (rf)
            w->c->eflags |= FL_RF;
        WORLD_CODE(w, 0x40, 0x90);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, rf ? -1 : VEC_DB);
        if (rf) {
            cr_expect_eq(w->c->eflags & FL_RF, 0, "17.3.1.1: cleared by the instruction");
        } else {
            cr_expect_eq(o.eip, W_CODE);
            cr_expect_eq(w->c->dr[6] & 15, 8);
            cr_expect_eq(o.flags & FL_RF, 0, "the handler sets RF itself");
            cr_expect_eq(w->c->gpr[R_EAX], w->before.gpr[R_EAX]);
        }
        world_free(w);
    }
}

Test(breakpoint, iret_with_rf_steps_over_a_code_breakpoint)
{
    struct world *w = world_new(0);
    const uint8_t inc[] = {0x40, 0x90};
    senv_put(w->e, 0x1100, inc, sizeof inc);
    watch(w, 0, 0x1100, X, 1);
    world_put32(w, w->c->gpr[R_ESP], 0x1100);
    world_put32(w, w->c->gpr[R_ESP] + 4, S_CODE0);
    world_put32(w, w->c->gpr[R_ESP] + 8, FL_ONE | FL_RF);
    WORLD_CODE(w, 0xcf);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect(w->c->eflags & FL_RF);
    cr_expect_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eip, 0x1101);
    world_free(w);
}

Test(breakpoint, disabled_ones_are_silent)
{
    struct world *w = world_new(0);
    watch(w, 0, W_CODE, X, 1);
    w->c->dr[7] &= ~0xffu;
    WORLD_CODE(w, 0x90);
    cr_expect_eq(world_step(w).vector, -1);
    world_free(w);
}

Test(breakpoint, behind_mov_ss_it_waits_one_instruction)
{
    struct world *w = world_new(0);
    watch(w, 0, W_DATA, RW, 4);
    world_put16(w, W_DATA, S_DATA0);
    WORLD_CODE(w, 0x8e, 0x15, 0x00, 0xa0, 0, 0, 0x90, 0x90); /* MOV SS, [A000] */
    cr_expect_eq(world_step(w).vector, -1, "6.8.3");
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(o.eip, W_CODE + 7);
    cr_expect_eq(w->c->dr[6] & 15, 1);
    world_free(w);
}

Test(breakpoint, handlers_run_with_gd_clear)
{
    struct world *w = world_new(0);
    w->c->eflags |= FL_TF;
    w->c->dr[7] |= DR7_GD;
    WORLD_CODE(w, 0x90);
    cr_expect_eq(world_step(w).vector, VEC_DB);
    cr_expect_eq(w->c->dr[7] & DR7_GD, 0);
    world_free(w);
}

Test(breakpoint, in_the_middle_of_a_string)
{
    struct world *w = world_new(0);
    watch(w, 0, W_DATA + 4, W, 4);
    w->c->gpr[R_ECX] = 4;
    w->c->gpr[R_EDI] = W_DATA;
    WORLD_CODE(w, 0xf3, 0xab); /* REP STOSD */
    cr_expect_eq(world_step(w).vector, -1);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(w->c->gpr[R_ECX], 2, "17.2.5: behind the element that hit");
    cr_expect_eq(o.eip, W_CODE);
    world_free(w);
}
