/* Ports: rights (SDM volume 1, 18.5), IN, OUT, INS, OUTS; and the flags that IOPL guards. */
#include "tests/soft_fault_table.h"

enum { BITMAP = 0x3100 };

/* The TSS's bitmap lies at 0x100 in it and ends with the TSS's limit. */
static void bitmap(struct world *w, unsigned bytes)
{
    world_put16(w, W_TSS + 102, BITMAP - W_TSS);
    w->c->tr.limit = BITMAP - W_TSS + bytes - 1;
    memset(senv_at(w->e, BITMAP), 0xff, 64);
}

static void allow(struct world *w, unsigned port, bool yes)
{
    uint8_t *b = senv_at(w->e, BITMAP + port / 8);
    *b = (uint8_t)(yes ? *b & ~(1u << (port & 7)) : *b | 1u << (port & 7));
}

static int try_port(unsigned cpl, unsigned iopl, uint32_t port, const uint8_t *code, unsigned n,
                    void (*setup)(struct world *))
{
    struct world *w = world_new(cpl);
    w->c->eflags |= iopl << FL_IOPL_SHIFT;
    w->c->gpr[R_EDX] = port;
    world_code(w, code, n);
    if (setup)
        setup(w);
    const struct outcome o = world_step(w);
    if (o.vector >= 0) {
        cr_expect_eq(o.error, 0);
        cr_expect_null(world_changed(w, &o), "%s", world_changed(w, &o));
        cr_expect_eq(w->e->n_io, 0, "no port was touched");
    } else {
        cr_expect_eq(w->e->n_io, 1);
    }
    world_free(w);
    return o.vector;
}

static const uint8_t in_al[] = {0xec}, in_ax[] = {0x66, 0xed}, in_eax[] = {0xed};
static const uint8_t out_al[] = {0xee}, out_imm[] = {0xe6, 0x40}, in_imm[] = {0xe4, 0x40};

Test(io_rights, iopl_opens_all_ports)
{
    for (unsigned cpl = 0; cpl < 4; cpl++)
        for (unsigned iopl = 0; iopl < 4; iopl++) {
            const int want = cpl <= iopl ? -1 : VEC_GP;
            cr_expect_eq(try_port(cpl, iopl, 0x3f8, in_al, 1, NULL), want);
            cr_expect_eq(try_port(cpl, iopl, 0xffff, in_al, 1, NULL), want);
            cr_expect_eq(try_port(cpl, iopl, 0x3f8, out_al, 1, NULL), want);
            cr_expect_eq(try_port(cpl, iopl, 0, out_imm, 2, NULL), want);
            cr_expect_eq(try_port(cpl, iopl, 0, in_imm, 2, NULL), want);
        }
}

static void ports_40_41(struct world *w)
{
    bitmap(w, 16);
    allow(w, 0x40, true);
    allow(w, 0x41, true);
}
static void ports_47_48(struct world *w)
{
    bitmap(w, 16);
    allow(w, 0x47, true);
    allow(w, 0x48, true);
}
static void whole_12(struct world *w)
{
    bitmap(w, 13);
    for (unsigned p = 0; p < 0x68; p++)
        allow(w, p, true);
}
static void tss16(struct world *w)
{
    ports_40_41(w);
    w->c->tr.attr = SA_P | ST_TSS16_BUSY;
}
static void short_tss(struct world *w)
{
    ports_40_41(w);
    w->c->tr.limit = 102;
}
static void no_tr(struct world *w)
{
    ports_40_41(w);
    w->c->tr.attr = 0;
}

Test(io_rights, bitmap_bit_by_bit)
{
    cr_expect_eq(try_port(3, 0, 0x40, in_al, 1, ports_40_41), -1);
    cr_expect_eq(try_port(3, 0, 0x41, in_al, 1, ports_40_41), -1);
    cr_expect_eq(try_port(3, 0, 0x42, in_al, 1, ports_40_41), VEC_GP);
    cr_expect_eq(try_port(3, 0, 0x3f, in_al, 1, ports_40_41), VEC_GP);
    cr_expect_eq(try_port(3, 0, 0x40, in_ax, 2, ports_40_41), -1);
    cr_expect_eq(try_port(3, 0, 0x41, in_ax, 2, ports_40_41), VEC_GP, "each byte's bit counts");
    cr_expect_eq(try_port(3, 0, 0x40, in_eax, 1, ports_40_41), VEC_GP);
    cr_expect_eq(try_port(3, 0, 0x47, in_ax, 2, ports_47_48), -1, "across two bytes of the map");
    cr_expect_eq(try_port(1, 0, 0x40, out_al, 1, ports_40_41), -1);
    cr_expect_eq(try_port(3, 0, 0, out_imm, 2, ports_40_41), -1);
    cr_expect_eq(try_port(3, 0, 0, in_imm, 2, ports_47_48), VEC_GP);
}

Test(io_rights, two_bytes_of_the_map_must_lie_within_the_tss)
{
    cr_expect_eq(try_port(3, 0, 0x5f, in_al, 1, whole_12), -1);
    cr_expect_eq(try_port(3, 0, 0x60, in_al, 1, whole_12), VEC_GP,
                 "the second byte lies beyond the limit");
    cr_expect_eq(try_port(3, 0, 0x1000, in_al, 1, whole_12), VEC_GP);
}

Test(io_rights, only_a_32_bit_tss_of_full_size_has_a_map)
{
    void (*const setup[])(struct world *) = {tss16, short_tss, no_tr};
    for (size_t k = 0; k < sizeof setup / sizeof *setup; k++) {
        struct world *w = world_new(3);
        setup[k](w);
        /* Such a TSS has no stack either: the handler runs in ring 3. */
        world_idt(w, VEC_GP, S_CONF0, W_HANDLERS + 16 * VEC_GP + 1, A_INT32);
        w->c->gpr[R_EDX] = 0x40;
        WORLD_CODE(w, 0xec);
        world_step(w);
        cr_expect_eq(w->c->eip & ~15u, W_HANDLERS + 16 * VEC_GP, "case %zu: EIP %#x", k, w->c->eip);
        cr_expect_eq(w->e->n_io, 0);
        world_free(w);
    }
}

/* --- IN and OUT --- */

Test(io, sizes_and_ports)
{
    static const struct {
        uint8_t code[3];
        unsigned port, size;
        bool in;
    } t[] = {
        {{0xe4, 0x60}, 0x60, 1, true},    {{0x66, 0xe5, 0x60}, 0x60, 2, true},
        {{0xe5, 0x61}, 0x61, 4, true},    {{0xec}, 0x1234, 1, true},
        {{0x66, 0xed}, 0x1234, 2, true},  {{0xed}, 0x1234, 4, true},
        {{0xe6, 0xff}, 0xff, 1, false},   {{0x66, 0xe7, 0x80}, 0x80, 2, false},
        {{0xe7, 0x80}, 0x80, 4, false},   {{0xee}, 0x1234, 1, false},
        {{0x66, 0xef}, 0x1234, 2, false}, {{0xef}, 0x1234, 4, false},
    };
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = world_new(0);
        w->e->in_value = 0xa1b2c3d4;
        w->c->gpr[R_EAX] = 0x11223344;
        w->c->gpr[R_EDX] = 0xffff1234; /* DX only */
        world_code(w, t[k].code, 3);
        cr_assert_eq(world_step(w).vector, -1);
        const struct senv_io *io = &w->e->io[0];
        const uint32_t m = t[k].size == 4 ? UINT32_MAX : (1u << 8 * t[k].size) - 1;
        cr_expect_eq(io->port, t[k].port, "case %zu", k);
        cr_expect_eq(io->size, t[k].size, "case %zu", k);
        cr_expect_eq(io->in, t[k].in, "case %zu", k);
        if (t[k].in)
            cr_expect_eq(w->c->gpr[R_EAX], (0x11223344 & ~m) | (0xa1b2c3d4 & m), "case %zu", k);
        else
            cr_expect_eq(io->val, 0x11223344 & m, "case %zu", k);
        world_free(w);
    }
}

/* --- INS and OUTS --- */

static struct world *string_world(const uint8_t *code, unsigned n)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EDX] = 0x1f0;
    w->c->gpr[R_EDI] = w->c->gpr[R_ESI] = W_DATA;
    w->c->gpr[R_ECX] = 4;
    w->e->in_value = 0xa1b2c3d4;
    world_code(w, code, n);
    return w;
}

Test(io_string, rep_ins_and_outs)
{
    static const struct {
        uint8_t code[3];
        unsigned size;
    } t[] = {{{0xf3, 0x6c}, 1}, {{0xf3, 0x66, 0x6d}, 2}, {{0xf3, 0x6d}, 4}, {{0xf2, 0x6d}, 4}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++)
        for (unsigned down = 0; down < 2; down++) {
            struct world *w = string_world(t[k].code, 3);
            if (down)
                w->c->eflags |= FL_DF;
            senv_run(w->e, 1);
            cr_expect_eq(w->e->n_io, 4);
            cr_expect_eq(w->c->gpr[R_ECX], 0);
            const uint32_t step = down ? 0 - t[k].size : t[k].size;
            cr_expect_eq(w->c->gpr[R_EDI], W_DATA + 4 * step);
            for (unsigned n = 0; n < 4; n++)
                cr_expect_eq(*senv_at(w->e, W_DATA + n * step), 0xd4);
            world_free(w);
        }
}

Test(io_string, outs_reads_its_segment_and_ins_cannot_be_overridden)
{
    const uint8_t outs[] = {0x65, 0x6e}, ins[] = {0x65, 0x6c}; /* GS: */
    struct world *w = string_world(outs, 2);
    world_desc(w, S_X, 0x100, 0xfffff, A_DATA);
    world_set_seg(w, SEG_GS, S_X);
    *senv_at(w->e, W_DATA + 0x100) = 0x77;
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->e->io[0].val, 0x77);
    world_free(w);

    w = string_world(ins, 2);
    world_desc(w, S_X, 0x100, 0xfffff, A_DATA);
    world_set_seg(w, SEG_GS, S_X);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(*senv_at(w->e, W_DATA), 0xd4, "ES:EDI");
    world_free(w);
}

Test(io_string, address_size_16_wraps_and_counts_cx)
{
    const uint8_t code[] = {0xf3, 0x67, 0x6c};
    struct world *w = string_world(code, 3);
    w->c->gpr[R_EDI] = 0xabcdffff;
    w->c->gpr[R_ECX] = 0xabcd0002;
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EDI], 0xabcd0001);
    cr_expect_eq(w->c->gpr[R_ECX], 0xabcd0000);
    cr_expect_eq(*senv_at(w->e, 0xffff), 0xd4);
    cr_expect_eq(*senv_at(w->e, 0), 0xd4);
    world_free(w);
}

Test(io_string, count_of_zero_does_nothing)
{
    const uint8_t code[] = {0xf3, 0x6d};
    struct world *w = string_world(code, 2);
    w->c->gpr[R_ECX] = 0;
    w->c->gpr[R_EDI] = 0xf0000000; /* not mapped: not looked at */
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->e->n_io, 0);
    cr_expect_eq(w->c->eip, W_CODE + 2);
    world_free(w);
}

Test(io_string, memory_is_known_to_be_there_before_the_port_is_read)
{
    const uint8_t code[] = {0xf3, 0x6d};
    struct world *w = string_world(code, 2);
    w->c->gpr[R_EDI] = W_DATA + PAGE_SIZE - 8;
    senv_map(w->e, W_DATA + PAGE_SIZE, 0xb, 1, SENV_P); /* read-only */
    const struct outcome o = world_step(w);
    cr_expect_eq(o.exit, SOFT_EXIT_PF);
    cr_expect_eq(w->e->exit.la, W_DATA + PAGE_SIZE);
    cr_expect_eq(w->e->n_io, 2, "two elements are done, the third port read is not");
    cr_expect_eq(w->c->gpr[R_ECX], 2);
    cr_expect_eq(w->c->gpr[R_EDI], W_DATA + PAGE_SIZE);
    cr_expect_eq(w->c->eip, W_CODE);
    senv_map(w->e, W_DATA + PAGE_SIZE, 0xb, 1, SENV_ALL);
    cr_expect_eq(world_step(w).vector, -1);
    cr_expect_eq(w->e->n_io, 4);
    cr_expect_eq(w->c->gpr[R_ECX], 0);
    world_free(w);
}

Test(io_string, interrupts_come_between_elements)
{
    const uint8_t code[] = {0xf3, 0x6c};
    struct world *w = string_world(code, 2);
    w->c->gpr[R_ECX] = 100000;
    w->c->gpr[R_EDI] = 0x10000;
    w->c->eflags |= FL_IF;
    senv_run(w->e, 2);
    cr_expect_gt(w->c->gpr[R_ECX], 0, "a long string comes back to the loop");
    cr_expect_eq(w->c->eip, W_CODE);
    w->e->intr_vector = 0x30;
    soft_set_intr(w->e->soft, true);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, 0x30);
    cr_expect_eq(o.eip, W_CODE, "the string instruction goes on after IRET");
    world_free(w);
}

Test(io_string, single_step_traps_after_each_element)
{
    const uint8_t code[] = {0xf3, 0x6c};
    struct world *w = string_world(code, 2);
    w->c->eflags |= FL_TF;
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(o.eip, W_CODE);
    cr_expect_eq(w->c->gpr[R_ECX], 3);
    world_free(w);
}

static void es_x(struct world *w)
{
    world_set_seg(w, SEG_ES, S_X);
    w->c->gpr[R_EDI] = w->c->gpr[R_ESI] = w->c->gpr[R_EAX];
}
static void ds_x(struct world *w)
{
    world_set_seg(w, SEG_DS, S_X);
    w->c->gpr[R_EDI] = w->c->gpr[R_ESI] = w->c->gpr[R_EAX];
}

FAULT_TABLE(
    io_string, segment_checks,
    {"INS to a read-only ES", 0, 0, VEC_GP, 0, {0x6c}, {0, 0xfffff, A_DATA & ~SA_RW}, es_x},
    {"INS across ES's limit", 0, 0xfd, VEC_GP, 0, {0x6d}, {W_DATA, 0xff, A_DATA & ~SA_G}, es_x},
    {"INS up to ES's limit", 0, 0xfc, OK, 0, {0x6d}, {W_DATA, 0xff, A_DATA & ~SA_G}, es_x},
    {"OUTS across DS's limit", 0, 0xfd, VEC_GP, 0, {0x6f}, {W_DATA, 0xff, A_DATA & ~SA_G}, ds_x},
    {"OUTS from execute-only code", 0, 0, VEC_GP, 0, {0x6e}, {0, 0xfffff, A_CODE & ~SA_RW}, ds_x},
    {"INS: the port's right before the segment",
     3,
     0,
     VEC_GP,
     0,
     {0x6c},
     {0, 0xfffff, A_DATA & ~SA_RW},
     es_x}, )

/* --- flags --- */

static int flag_op(unsigned cpl, unsigned iopl, uint8_t op, uint32_t *flags)
{
    struct world *w = world_new(cpl);
    w->c->eflags |= iopl << FL_IOPL_SHIFT | (op == 0xfa ? FL_IF : 0u);
    WORLD_CODE(w, op);
    const struct outcome o = world_step(w);
    *flags = w->c->eflags;
    world_free(w);
    return o.vector;
}

Test(flags, cli_and_sti_by_iopl)
{
    for (unsigned cpl = 0; cpl < 4; cpl++)
        for (unsigned iopl = 0; iopl < 4; iopl++) {
            uint32_t f;
            const int want = cpl <= iopl ? -1 : VEC_GP;
            cr_expect_eq(flag_op(cpl, iopl, 0xfa, &f), want, "CLI %u %u", cpl, iopl);
            if (want < 0)
                cr_expect_eq(f & FL_IF, 0);
            cr_expect_eq(flag_op(cpl, iopl, 0xfb, &f), want, "STI %u %u", cpl, iopl);
            if (want < 0)
                cr_expect_eq(f & FL_IF, FL_IF);
        }
}

Test(flags, pushf_hides_rf_and_vm)
{
    struct world *w = world_new(0);
    w->c->eflags |= FL_RF | FL_ARITH | FL_AC | FL_ID | FL_IF | FL_IOPL;
    WORLD_CODE(w, 0x9c);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(world_get32(w, w->c->gpr[R_ESP]), w->before.eflags & ~(uint32_t)FL_RF);
    world_free(w);
}

Test(flags, popf_by_privilege)
{
    const uint32_t always = FL_ARITH | FL_DF | FL_NT | FL_AC | FL_ID | FL_TF;
    for (unsigned cpl = 0; cpl < 4; cpl++)
        for (unsigned iopl = 0; iopl < 4; iopl++)
            for (unsigned ones = 0; ones < 2; ones++)
                for (unsigned op16 = 0; op16 < 2; op16++) {
                    struct world *w = world_new(cpl);
                    w->c->eflags |= iopl << FL_IOPL_SHIFT;
                    if (!ones)
                        w->c->eflags |= FL_ARITH | FL_DF | FL_AC | FL_ID | FL_IF;
                    uint32_t may = always;
                    if (cpl <= iopl)
                        may |= FL_IF;
                    if (cpl == 0)
                        may |= FL_IOPL;
                    if (op16)
                        may &= 0xffff;
                    const uint32_t image = ones ? UINT32_MAX : 0;
                    world_put32(w, w->c->gpr[R_ESP], image);
                    if (op16)
                        WORLD_CODE(w, 0x66, 0x9d);
                    else
                        WORLD_CODE(w, 0x9d);
                    cr_assert_eq(world_step(w).vector, -1);
                    cr_expect_eq(w->c->eflags, (w->before.eflags & ~may) | (image & may),
                                 "cpl %u iopl %u ones %u op16 %u: %#x", cpl, iopl, ones, op16,
                                 w->c->eflags);
                    world_free(w);
                }
}

Test(flags, popf_sets_tf_for_the_next_instruction)
{
    struct world *w = world_new(0);
    world_put32(w, w->c->gpr[R_ESP], FL_ONE | FL_TF);
    WORLD_CODE(w, 0x9d, 0x90, 0x90);
    cr_expect_eq(world_step(w).vector, -1);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(o.eip, W_CODE + 2);
    cr_expect(w->c->dr[6] & DR6_BS);
    cr_expect(o.flags & FL_TF);
    cr_expect_eq(w->c->eflags & FL_TF, 0, "the handler is not stepped");
    world_free(w);
}
