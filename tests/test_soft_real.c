/* Real mode and virtual-8086 mode: segments, vector table, IOPL, the ways in and out.
 * Sections are of SDM volume 3 unless they name an instruction of volume 2. */
#include <criterion/criterion.h>

#include "tests/soft_world.h"

/* --- real mode --- */

Test(real, segment_loads_change_base_only)
{
    struct world *w = world_real();
    w->c->gpr[R_EAX] = 0x1234;
    w->c->seg[SEG_DS].limit = UINT32_MAX; /* "unreal" */
    WORLD_CODE(w, 0x8e, 0xd8);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->seg[SEG_DS].sel, 0x1234);
    cr_expect_eq(w->c->seg[SEG_DS].base, 0x12340);
    cr_expect_eq(w->c->seg[SEG_DS].limit, UINT32_MAX, "20.1: limits stay");
    world_free(w);
}

Test(real, unreal_access_beyond_64_kib)
{
    struct world *w = world_real();
    w->c->seg[SEG_DS].limit = UINT32_MAX;
    *senv_at(w->e, 0x12345) = 0x99;
    w->c->gpr[R_EBX] = 0x12345;
    WORLD_CODE(w, 0x67, 0x8a, 0x03); /* MOV AL, [EBX] */
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EAX] & 0xff, 0x99);
    world_free(w);
}

Test(real, access_beyond_the_limit_is_gp)
{
    struct world *w = world_real();
    w->c->gpr[R_EBX] = 0x10000;
    WORLD_CODE(w, 0x67, 0x8a, 0x03);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_GP);
    cr_expect_null(world_changed(w, &o), "%s", world_changed(w, &o));
    world_free(w);
}

Test(real, code_segment_may_be_written)
{
    struct world *w = world_real();
    WORLD_CODE(w, 0x2e, 0xc6, 0x06, 0x00, 0xa0, 0x55); /* MOV BYTE CS:[A000], 55 */
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(*senv_at(w->e, W_DATA), 0x55);
    world_free(w);
}

Test(real, interrupt_pushes_three_words)
{
    for (unsigned v = 0; v < 256; v += 5) {
        struct world *w = world_real();
        w->c->eflags |= FL_IF | FL_CF;
        WORLD_CODE(w, 0xcd, (uint8_t)v);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, (int)v);
        cr_expect_eq(o.eip, W_CODE + 2);
        cr_expect_eq(o.cs, 0);
        cr_expect_eq(o.flags, (FL_ONE | FL_IF | FL_CF));
        cr_expect_eq(w->c->eflags & FL_IF, 0);
        cr_expect_eq(o.esp, w->before.gpr[R_ESP]);
        world_free(w);
    }
}

Test(real, exceptions_push_no_error_code)
{
    struct world *w = world_real();
    w->c->gpr[R_EBX] = 0x10000;
    WORLD_CODE(w, 0x67, 0x8a, 0x03);
    world_step(w);
    cr_expect_eq(w->c->gpr[R_ESP], w->before.gpr[R_ESP] - 6);
    world_free(w);
}

Test(real, vector_beyond_the_idt_is_a_double_fault_then_shutdown)
{
    struct world *w = world_real();
    w->c->idtr.limit = 0x20; /* #GP's entry is gone, #DF's too */
    WORLD_CODE(w, 0xcd, 0x80);
    cr_expect_eq(world_step(w).exit, SOFT_EXIT_SHUTDOWN);
    world_free(w);
}

Test(real, vector_beyond_the_idt_is_gp)
{
    struct world *w = world_real();
    w->c->idtr.limit = 0x80 * 4 + 2;
    WORLD_CODE(w, 0xcd, 0x80);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_GP);
    cr_expect_eq(o.eip, W_CODE);
    world_free(w);
}

Test(real, iret_takes_all_flags)
{
    struct world *w = world_real();
    world_put16(w, 0x7f00, 0x1200);
    world_put16(w, 0x7f02, 0x0100);
    world_put16(w, 0x7f04, 0xffff & ~FL_TF);
    WORLD_CODE(w, 0xcf);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eip, 0x1200);
    cr_expect_eq(w->c->seg[SEG_CS].base, 0x1000);
    cr_expect_eq(w->c->eflags, FL_ONE | FL_ARITH | FL_IF | FL_DF | FL_IOPL | FL_NT);
    cr_expect_eq(w->c->gpr[R_ESP], 0x7f06);
    world_free(w);
}

Test(real, far_jmp_call_and_ret)
{
    struct world *w = world_real();
    WORLD_CODE(w, 0x9a, 0x00, 0x02, 0x00, 0x01); /* CALL 0100:0200 */
    const uint8_t back[] = {0xcb};
    senv_put(w->e, 0x1200, back, 1);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eip, 0x200);
    cr_expect_eq(w->c->seg[SEG_CS].sel, 0x100);
    cr_expect_eq(w->c->seg[SEG_CS].base, 0x1000);
    cr_expect_eq(w->c->gpr[R_ESP], 0x7efc);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eip, W_CODE + 5);
    cr_expect_eq(w->c->seg[SEG_CS].sel, 0);
    cr_expect_eq(w->c->gpr[R_ESP], 0x7f00);
    const uint8_t jmp[] = {0x66, 0xea, 0x00, 0x02, 0x01, 0x00, 0x00, 0x01};
    senv_put(w->e, W_CODE + 5, jmp, sizeof jmp);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_GP, "JMP: a 32-bit offset beyond the limit");
    world_free(w);
}

Test(real, descriptor_instructions_are_undefined)
{
    static const uint8_t code[][3] = {{0x0f, 0x00, 0xc0}, {0x0f, 0x00, 0xc8}, {0x0f, 0x00, 0xd0},
                                      {0x0f, 0x00, 0xd8}, {0x0f, 0x00, 0xe0}, {0x0f, 0x00, 0xe8},
                                      {0x0f, 0x02, 0xc0}, {0x0f, 0x03, 0xc0}, {0x63, 0xc0}};
    for (size_t k = 0; k < sizeof code / sizeof *code; k++)
        for (unsigned v86 = 0; v86 < 2; v86++) {
            struct world *w = v86 ? world_v86(3) : world_real();
            world_code(w, code[k], 3);
            cr_expect_eq(world_step(w).vector, VEC_UD, "20.1.3 case %zu", k);
            world_free(w);
        }
}

Test(real, system_instructions_of_ring_0_work)
{
    static const uint8_t code[][3] = {{0x0f, 0x20, 0xc0}, {0x0f, 0x06}, {0x0f, 0x01, 0xe0},
                                      {0x0f, 0x09},       {0xfa},       {0xfb},
                                      {0xe6, 0x80},       {0x0f, 0x32}, {0x0f, 0x21, 0xf8}};
    for (size_t k = 0; k < sizeof code / sizeof *code; k++) {
        struct world *w = world_real();
        w->c->gpr[R_ECX] = 0x174;
        world_code(w, code[k], 3);
        cr_expect_eq(world_step(w).vector, -1, "case %zu", k);
        world_free(w);
    }
}

Test(real, sysenter_and_sysexit_fault)
{
    for (unsigned op = 0x34; op <= 0x35; op++) {
        struct world *w = world_real();
        w->c->sysenter_cs = 8;
        WORLD_CODE(w, 0x0f, (uint8_t)op);
        cr_expect_eq(world_step(w).vector, VEC_GP);
        world_free(w);
    }
}

/* The way of every boot loader: LGDT, PE, far jump; and back. */
Test(real, to_protected_mode_and_back)
{
    struct world *w = world_real();
    static const uint8_t in[] = {
        0x0f, 0x20, 0xc0,                   /* MOV EAX, CR0 */
        0x0c, 0x01,                         /* OR AL, 1 */
        0x0f, 0x22, 0xc0,                   /* MOV CR0, EAX */
        0x66, 0xea, 0x00, 0x11, 0, 0, 8, 0, /* JMP 8:1100 */
    };
    static const uint8_t there[] = {
        0xb8, 0x10, 0,    0,    0,          /* MOV EAX, 10 */
        0x8e, 0xd8, 0x8e, 0xd0,             /* MOV DS, AX; MOV SS, AX */
        0xea, 0x00, 0x12, 0,    0, 0x68, 0, /* JMP 68:1200, 16-bit code */
    };
    static const uint8_t back[] = {
        0xb8, 0x70, 0,    0x8e, 0xd8, 0x8e, 0xd0,                               /* 16-bit data */
        0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0, 0xea, 0x00, 0x13, 0, 0, /* JMP 0:1300 */
    };
    world_code(w, in, sizeof in);
    senv_put(w->e, 0x1100, there, sizeof there);
    senv_put(w->e, 0x1200, back, sizeof back);
    const uint8_t hlt = 0xf4;
    senv_put(w->e, 0x1300, &hlt, 1);
    cr_expect_eq(senv_run(w->e, 8), SOFT_EXIT_BUDGET, "%s", w->e->exit.why);
    cr_expect(cpu_protected(w->c));
    cr_expect_eq(w->c->eip, 0x1200);
    cr_expect_eq(w->c->seg[SEG_DS].limit, UINT32_MAX);
    cr_expect_eq(senv_run(w->e, 100), SOFT_EXIT_HLT, "%s", w->e->exit.why);
    cr_expect_not(cpu_protected(w->c));
    cr_expect_eq(w->c->eip, 0x1301);
    cr_expect_eq(w->c->seg[SEG_CS].sel, 0);
    cr_expect_eq(w->c->cpl, 0);
    world_free(w);
}

/* --- virtual-8086 mode --- */

Test(v86, segment_loads_are_those_of_an_8086)
{
    struct world *w = world_v86(0);
    w->c->gpr[R_EAX] = 0xb800;
    w->c->seg[SEG_ES].limit = UINT32_MAX;
    WORLD_CODE(w, 0x8e, 0xc0);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->seg[SEG_ES].base, 0xb8000);
    cr_expect_eq(w->c->seg[SEG_ES].limit, 0xffff, "20.2.1");
    cr_expect_eq(w->c->cpl, 3);
    world_free(w);
}

/* 20.2.7: CLI, STI, PUSHF, POPF, INT n and IRET need IOPL 3; INT3 and INTO do not. */
Test(v86, iopl_sensitive_instructions)
{
    static const struct {
        uint8_t code[2];
        int vector; /* with IOPL 3; -1: none */
        bool guarded;
    } t[] = {{{0xfa}, -1, true}, {{0xfb}, -1, true},         {{0x9c}, -1, true},
             {{0x9d}, -1, true}, {{0xcd, 0x21}, 0x21, true}, {{0xcf}, -1, true},
             {{0xcc}, 3, false}, {{0xce}, 4, false}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++)
        for (unsigned iopl = 0; iopl < 4; iopl++) {
            struct world *w = world_v86(iopl);
            w->c->eflags |= FL_OF;
            world_put16(w, 0x7f00, 0x1200);
            world_code(w, t[k].code, 2);
            const struct outcome o = world_step(w);
            const bool gp = t[k].guarded && iopl < 3;
            cr_expect_eq(o.vector, gp ? VEC_GP : t[k].vector, "case %zu IOPL %u: %d", k, iopl,
                         o.vector);
            if (gp) {
                cr_expect_eq(o.error, 0);
                cr_expect_null(world_changed(w, &o), "%s", world_changed(w, &o));
            }
            world_free(w);
        }
}

Test(v86, privileged_instructions_fault)
{
    static const uint8_t code[][3] = {
        {0x0f, 0x20, 0xc0}, {0x0f, 0x22, 0xc0}, {0x0f, 0x06}, {0xf4},
        {0x0f, 0x01, 0xf0}, {0x0f, 0x32},       {0x0f, 0x09}, {0x0f, 0x21, 0xc0}};
    for (size_t k = 0; k < sizeof code / sizeof *code; k++) {
        struct world *w = world_v86(3);
        world_code(w, code[k], 3);
        cr_expect_eq(world_step(w).vector, VEC_GP, "20.2.8 case %zu", k);
        world_free(w);
    }
}

Test(v86, ports_go_by_the_bitmap_whatever_iopl)
{
    for (unsigned iopl = 0; iopl < 4; iopl += 3)
        for (unsigned open = 0; open < 2; open++) {
            struct world *w = world_v86(iopl);
            w->c->tr.limit = 0x7f;
            memset(senv_at(w->e, W_TSS + 0x68), open ? 0 : 0xff, 0x18);
            WORLD_CODE(w, 0xe4, 0x60);
            cr_expect_eq(world_step(w).vector, open ? -1 : VEC_GP, "vol. 1, 18.5.2");
            world_free(w);
        }
}

Test(v86, pushf_and_popf_keep_iopl_and_vm)
{
    struct world *w = world_v86(3);
    world_put16(w, 0x7f00, FL_CF | FL_IF); /* IOPL 0 in the image */
    WORLD_CODE(w, 0x9d, 0x9c);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->eflags, FL_ONE | FL_VM | FL_IOPL | FL_CF | FL_IF);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(world_get16(w, 0x7f00), FL_ONE | FL_IOPL | FL_CF | FL_IF);
    world_free(w);
}

Test(v86, interrupt_saves_all_segments_and_clears_them)
{
    struct world *w = world_v86(3);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        if (r != SEG_CS && r != SEG_SS) {
            w->c->seg[r].sel = (uint16_t)(0x100 + r);
            w->c->seg[r].base = 0x1000 + 16 * r;
        }
    w->c->eflags |= FL_CF;
    WORLD_CODE(w, 0xcd, 0x21);
    const struct outcome o = world_step(w);
    cr_assert_eq(o.vector, 0x21);
    const uint32_t want[] = {W_CODE + 2,
                             0,
                             w->before.eflags,
                             0x7f00,
                             0,
                             0x100 + SEG_ES,
                             0x100 + SEG_DS,
                             0x100 + SEG_FS,
                             0x100 + SEG_GS};
    cr_expect_eq(w->c->gpr[R_ESP], W_TSS_ESP0 - sizeof want);
    for (unsigned k = 0; k < 9; k++)
        cr_expect_eq(world_get32(w, w->c->gpr[R_ESP] + 4 * k), want[k], "dword %u", k);
    cr_expect_eq(w->c->eflags & FL_VM, 0);
    cr_expect_eq(w->c->cpl, 0);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        if (r != SEG_CS && r != SEG_SS) {
            cr_expect_eq(w->c->seg[r].sel, 0);
            cr_expect_eq(w->c->seg[r].attr & SA_P, 0);
        }
    world_free(w);
}

Test(v86, iret_of_ring_0_goes_back)
{
    struct world *w = world_new(0);
    const uint32_t v[] = {
        0x1100, 0x10, FL_ONE | FL_VM | FL_IOPL | FL_ID, 0xabcd7f00, 0x20, 0x30, 0x40, 0x50, 0x60};
    static const uint16_t sel[SEG_COUNT] = {0x30, 0x10, 0x20, 0x40, 0x50, 0x60};
    for (unsigned k = 0; k < 9; k++)
        world_put32(w, w->c->gpr[R_ESP] + 4 * k, v[k]);
    WORLD_CODE(w, 0xcf);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect(cpu_v86(w->c));
    cr_expect_eq(w->c->cpl, 3);
    cr_expect_eq(w->c->eip, 0x1100);
    cr_expect_eq(w->c->gpr[R_ESP], 0xabcd7f00);
    cr_expect_eq(w->c->eflags, v[2]);
    for (unsigned r = 0; r < SEG_COUNT; r++) {
        cr_expect_eq(w->c->seg[r].sel, sel[r]);
        cr_expect_eq(w->c->seg[r].base, sel[r] * 16u);
        cr_expect_eq(w->c->seg[r].limit, 0xffff);
    }
    world_free(w);
}

Test(v86, iret_to_an_ip_beyond_64_kib_faults_first)
{
    struct world *w = world_new(0);
    const uint32_t v[] = {0x10000, 0x10, FL_ONE | FL_VM, 0x7f00, 0, 0, 0, 0, 0};
    for (unsigned k = 0; k < 9; k++)
        world_put32(w, w->c->gpr[R_ESP] + 4 * k, v[k]);
    WORLD_CODE(w, 0xcf);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_GP);
    cr_expect_eq(o.error, 0);
    cr_expect_null(world_changed(w, &o), "%s", world_changed(w, &o));
    world_free(w);
}

/* Handlers must be in a nonconforming segment of ring 0 (SDM vol. 2, INT). */
Test(v86, handlers_elsewhere_are_gp)
{
    static const uint16_t sel[] = {S_CODE3, S_CONF0, S_CODE1};
    for (size_t k = 0; k < sizeof sel / sizeof *sel; k++) {
        struct world *w = world_v86(3);
        world_idt(w, 0x21, sel[k], 0x9000, A_INT32 | A_DPL3);
        WORLD_CODE(w, 0xcd, 0x21);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, VEC_GP);
        cr_expect_eq(o.error, sel[k] & ~3u);
        world_free(w);
    }
}

Test(v86, stack_checks_of_the_handler)
{
    static const struct {
        uint16_t ss0;
        uint32_t esp0;
        int vector;
    } t[] = {{0, 0x7000, VEC_TS}, {S_DATA3, 0x7000, VEC_TS}, {S_RO0, 0x7000, VEC_TS}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = world_v86(3);
        world_put32(w, W_TSS + 4, t[k].esp0);
        world_put32(w, W_TSS + 8, t[k].ss0);
        WORLD_CODE(w, 0xcd, 0x21);
        /* #TS needs that stack too, and so does #DF. */
        cr_expect_eq(world_step(w).exit, SOFT_EXIT_SHUTDOWN, "case %zu", k);
        cr_expect(cpu_v86(w->c), "as it was before");
        cr_expect_eq(w->c->eip, W_CODE);
        world_free(w);
    }
}

Test(v86, gate_of_16_bits)
{
    struct world *w = world_v86(3);
    world_idt(w, 0x21, S_CODE0, 0x9000, A_INT16 | A_DPL3);
    const uint8_t nop = 0x90;
    senv_put(w->e, 0x9000, &nop, 1);
    WORLD_CODE(w, 0xcd, 0x21);
    world_step(w);
    cr_expect_eq(w->c->gpr[R_ESP], W_TSS_ESP0 - 18);
    cr_expect_eq(world_get16(w, W_TSS_ESP0 - 18), W_CODE + 2);
    world_free(w);
}

Test(v86, sysenter_leaves_it)
{
    struct world *w = world_v86(0);
    w->c->sysenter_cs = S_CODE0;
    w->c->sysenter_eip = 0x1100;
    w->c->sysenter_esp = 0x5f00;
    WORLD_CODE(w, 0x0f, 0x34);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    cr_expect_not(cpu_v86(w->c));
    cr_expect_eq(w->c->cpl, 0);
    world_free(w);
}
