/* Segment registers: every check of a load in the manual's order, and what a load leaves behind.
 * Sections are of SDM volume 3 unless they name an instruction of volume 2. */
#include "tests/soft_fault_table.h"

#define MOV_DS                                                                                     \
    {                                                                                              \
        0x8e, 0xd8                                                                                 \
    }
#define MOV_ES                                                                                     \
    {                                                                                              \
        0x8e, 0xc0                                                                                 \
    }
#define MOV_SS                                                                                     \
    {                                                                                              \
        0x8e, 0xd0                                                                                 \
    }
#define MOV_FS                                                                                     \
    {                                                                                              \
        0x8e, 0xe0                                                                                 \
    }
#define MOV_GS                                                                                     \
    {                                                                                              \
        0x8e, 0xe8                                                                                 \
    }
#define POP_DS                                                                                     \
    {                                                                                              \
        0x1f                                                                                       \
    }
#define POP_ES                                                                                     \
    {                                                                                              \
        0x07                                                                                       \
    }
#define POP_SS                                                                                     \
    {                                                                                              \
        0x17                                                                                       \
    }
#define POP_FS                                                                                     \
    {                                                                                              \
        0x0f, 0xa1                                                                                 \
    }
#define POP_GS                                                                                     \
    {                                                                                              \
        0x0f, 0xa9                                                                                 \
    }
#define LDS_M                                                                                      \
    {                                                                                              \
        0xc5, 0x1d, 0x00, 0xa0, 0, 0                                                               \
    } /* LDS EBX, [W_DATA] */
#define LSS_M                                                                                      \
    {                                                                                              \
        0x0f, 0xb2, 0x1d, 0x00, 0xa0, 0, 0                                                         \
    }

static void no_ldt(struct world *w)
{
    w->c->ldtr = (struct seg){0};
}

static void short_ldt(struct world *w)
{
    w->c->ldtr.limit = 0x0e;
}

static void short_gdt(struct world *w)
{
    w->c->gdtr.limit = S_X + 6;
}

static void exact_gdt(struct world *w)
{
    w->c->gdtr.limit = S_X + 7;
}

static void rpl3_x(struct world *w)
{
    world_desc(w, S_X, 0, 0xfffff, A_DATA | A_DPL3);
}

FAULT_TABLE(
    mov_ds, checks_in_order, {"5.4.1 NULL may be loaded", 0, 0, OK, 0, MOV_DS},
    {"5.4.1 NULL with RPL 3 may be loaded", 3, 3, OK, 0, MOV_DS},
    {"5.4.1 NULL into GS", 3, 2, OK, 0, MOV_GS},
    {"3.4.2 beyond the GDT", 0, 0xb0, VEC_GP, 0xb0, MOV_DS},
    {"6.13 RPL is not in the error code", 0, 0xb3, VEC_GP, 0xb0, MOV_DS},
    {"6.13 TI is in the error code", 0, 0xffff, VEC_GP, 0xfffc, MOV_DS},
    {"3.5.1 descriptor cut by the limit",
     0,
     S_X,
     VEC_GP,
     S_X,
     MOV_DS,
     {0, 0xfffff, A_DATA},
     short_gdt},
    {"3.5.1 descriptor ending at the limit",
     0,
     S_X,
     OK,
     0,
     MOV_DS,
     {0, 0xfffff, A_DATA},
     exact_gdt},
    {"3.5.1 selector into the LDT", 0, S_XLDT, OK, 0, MOV_DS},
    {"2.4.2 LDTR is NULL", 0, S_XLDT, VEC_GP, S_XLDT, MOV_DS, {0}, no_ldt},
    {"2.4.2 first entry of the LDT needs LDTR too", 0, 4, VEC_GP, 4, MOV_DS, {0}, no_ldt},
    {"3.5.1 beyond the LDT", 0, S_XLDT, VEC_GP, S_XLDT, MOV_DS, {0}, short_ldt},
    {"5.6 TSS is no data", 0, S_TSS, VEC_GP, S_TSS, MOV_DS},
    {"5.6 LDT is no data", 0, S_LDT, VEC_GP, S_LDT, MOV_DS},
    {"5.6 call gate is no data", 0, S_X, VEC_GP, S_X, MOV_DS, {0, 0, A_CALL32}},
    {"5.6 execute-only code", 0, S_XO0, VEC_GP, S_XO0, MOV_DS},
    {"5.6 readable code", 0, S_CODE0, OK, 0, MOV_DS},
    {"5.6 read-only data", 0, S_RO0, OK, 0, MOV_DS},
    {"5.6 CPL > DPL", 3, S_DATA0, VEC_GP, S_DATA0, MOV_DS},
    {"5.6 RPL > DPL", 0, S_DATA0 | 3, VEC_GP, S_DATA0, MOV_DS},
    {"5.6 RPL 1 > DPL 0", 0, S_DATA0 | 1, VEC_GP, S_DATA0, MOV_ES},
    {"5.6 CPL 0, RPL 3, DPL 3", 0, S_DATA3, OK, 0, MOV_DS},
    {"5.6 CPL 0, RPL 0, DPL 3", 0, S_DATA3 & ~3u, OK, 0, MOV_DS},
    {"5.6 CPL 3, RPL 0, DPL 3", 3, S_DATA3 & ~3u, OK, 0, MOV_DS},
    {"5.6 CPL 1, DPL 2", 1, S_DATA2, OK, 0, MOV_FS},
    {"5.6 CPL 2, DPL 1", 2, S_DATA1, VEC_GP, S_DATA1 & ~3u, MOV_FS},
    {"5.6.1 nonconforming code of an inner ring", 3, S_CODE0, VEC_GP, S_CODE0, MOV_DS},
    {"5.6.1 conforming code of an inner ring", 3, S_CONF0, OK, 0, MOV_DS},
    {"5.6.1 conforming code, RPL 3", 0, S_CONF0 | 3, OK, 0, MOV_DS},
    {"5.6.1 conforming and execute-only",
     0,
     S_X,
     VEC_GP,
     S_X,
     MOV_DS,
     {0, 0xfffff, A_CONF & ~SA_RW}},
    {"6.15 not present", 0, S_X, VEC_NP, S_X, MOV_DS, {0, 0xfffff, A_DATA & ~SA_P}},
    {"6.15 not present, ES", 0, S_X | 0, VEC_NP, S_X, MOV_ES, {0, 0xfffff, A_DATA & ~SA_P}},
    {"MOV: privilege before presence", 3, S_X, VEC_GP, S_X, MOV_DS, {0, 0xfffff, A_DATA & ~SA_P}},
    {"MOV: type before presence", 0, S_X, VEC_GP, S_X, MOV_DS, {0, 0x67, ST_TSS32}},
    {"3.4.5.1 expand-down data", 0, S_X, OK, 0, MOV_DS, {0, 0xf, A_DATA | SA_EC}},
    {"MOV to CS", 0, S_CODE0, VEC_UD, 0, {0x8e, 0xc8}},
    {"MOV to segment register 6", 0, S_DATA0, VEC_UD, 0, {0x8e, 0xf0}},
    {"MOV to segment register 7", 3, S_DATA3, VEC_UD, 0, {0x8e, 0xf8}},
    {"MOV from segment register 6", 0, 0, VEC_UD, 0, {0x8c, 0xf0}}, )

FAULT_TABLE(mov_ss, checks_in_order, {"5.7 same ring", 0, S_DATA0, OK, 0, MOV_SS},
            {"5.7 same ring, 3", 3, S_DATA3, OK, 0, MOV_SS},
            {"5.7 same ring, 1", 1, S_DATA1, OK, 0, MOV_SS}, {"MOV: NULL", 0, 0, VEC_GP, 0, MOV_SS},
            {"MOV: NULL with RPL 3", 3, 3, VEC_GP, 0, MOV_SS},
            {"3.4.2 beyond the GDT", 0, 0x1000, VEC_GP, 0x1000, MOV_SS},
            {"5.7 RPL 3 in ring 0", 0, S_DATA0 | 3, VEC_GP, S_DATA0, MOV_SS},
            {"5.7 RPL 0 in ring 3", 3, S_DATA3 & ~3u, VEC_GP, S_DATA3 & ~3u, MOV_SS},
            {"5.7 DPL 3 in ring 0", 0, S_DATA3 & ~3u, VEC_GP, S_DATA3 & ~3u, MOV_SS},
            {"5.7 DPL 0 in ring 3", 3, S_DATA0 | 3, VEC_GP, S_DATA0, MOV_SS},
            {"5.7 DPL 2 in ring 1", 1, S_DATA2, VEC_GP, S_DATA2 & ~3u, MOV_SS},
            {"MOV: read-only data", 0, S_RO0, VEC_GP, S_RO0, MOV_SS},
            {"MOV: code", 0, S_CODE0, VEC_GP, S_CODE0, MOV_SS},
            {"MOV: system segment", 0, S_TSS, VEC_GP, S_TSS, MOV_SS},
            {"6.15 not present is #SS", 0, S_X, VEC_SS, S_X, MOV_SS, {0, 0xfffff, A_DATA & ~SA_P}},
            {"MOV: type before presence",
             0,
             S_X,
             VEC_GP,
             S_X,
             MOV_SS,
             {0, 0xfffff, A_DATA & ~SA_P & ~SA_RW}},
            {"MOV: privilege before presence",
             0,
             S_X,
             VEC_GP,
             S_X,
             MOV_SS,
             {0, 0xfffff, (A_DATA & ~SA_P) | A_DPL3}},
            {"3.4.5.1 expand-down stack", 0, S_X, OK, 0, MOV_SS, {0, 0xf, A_DATA | SA_EC}},
            {"3.5.1 stack in the LDT", 0, S_XLDT, OK, 0, MOV_SS}, )

/* The selector is on the stack or in memory at W_DATA. */
static void on_stack(struct world *w)
{
    world_put32(w, w->c->gpr[R_ESP], w->c->gpr[R_EAX]);
}

static void at_limit(struct world *w)
{
    w->c->seg[SEG_SS].limit = w->c->gpr[R_ESP] + 2;
}

static void in_memory(struct world *w)
{
    world_put32(w, W_DATA, 0x12345678);
    world_put32(w, W_DATA + 4, w->c->gpr[R_EAX]);
}

static void past_ds(struct world *w)
{
    in_memory(w);
    w->c->seg[SEG_DS].limit = W_DATA + 4;
}

FAULT_TABLE(pop_seg, checks_in_order, {"POP DS", 0, S_DATA0, OK, 0, POP_DS, {0}, on_stack},
            {"POP DS: NULL", 3, 0, OK, 0, POP_DS, {0}, on_stack},
            {"POP ES: privilege", 3, S_DATA0, VEC_GP, S_DATA0, POP_ES, {0}, on_stack},
            {"POP FS: not present", 0, S_X, VEC_NP, S_X, POP_FS, {0, 0, A_DATA & ~SA_P}, on_stack},
            {"POP GS: type", 0, S_LDT, VEC_GP, S_LDT, POP_GS, {0}, on_stack},
            {"POP SS: NULL", 0, 0, VEC_GP, 0, POP_SS, {0}, on_stack},
            {"POP SS: not present", 0, S_X, VEC_SS, S_X, POP_SS, {0, 0, A_DATA & ~SA_P}, on_stack},
            {"POP SS: RPL", 0, S_DATA0 | 1, VEC_GP, S_DATA0, POP_SS, {0}, on_stack},
            {"POP SS", 3, S_DATA3, OK, 0, POP_SS, {0}, on_stack},
            {"5.3 stack limit", 3, S_DATA3, VEC_SS, 0, POP_DS, {0}, at_limit}, )

FAULT_TABLE(lds, checks_in_order, {"LDS", 0, S_DATA0, OK, 0, LDS_M, {0}, in_memory},
            {"LDS: NULL", 3, 1, OK, 0, LDS_M, {0}, in_memory},
            {"LDS: privilege", 3, S_DATA0, VEC_GP, S_DATA0, LDS_M, {0}, in_memory},
            {"LDS: limit cuts the selector", 0, S_DATA0, VEC_GP, 0, LDS_M, {0}, past_ds},
            {"LSS: NULL", 0, 0, VEC_GP, 0, LSS_M, {0}, in_memory},
            {"LSS: not present", 0, S_X, VEC_SS, S_X, LSS_M, {0, 0, A_DATA & ~SA_P}, in_memory},
            {"LSS: DPL", 0, S_DATA3, VEC_GP, S_DATA3 & ~3u, LSS_M, {0}, in_memory},
            {"LSS", 3, S_DATA3, OK, 0, LSS_M, {0}, in_memory},
            {"LFS of a register", 0, 0, VEC_UD, 0, {0x0f, 0xb4, 0xc0}},
            {"LSS of a register", 0, 0, VEC_UD, 0, {0x0f, 0xb2, 0xc3}},
            {"LGS: beyond the GDT",
             0,
             0xf00,
             VEC_GP,
             0xf00,
             {0x0f, 0xb5, 0x1d, 0x00, 0xa0, 0, 0},
             {0},
             in_memory}, )

/* Accesses through a loaded segment: MOV BL, [EAX] and MOV [EAX], BL. */
#define LOAD_B                                                                                     \
    {                                                                                              \
        0x8a, 0x18                                                                                 \
    }
#define STORE_B                                                                                    \
    {                                                                                              \
        0x88, 0x18                                                                                 \
    }
#define LOAD_D                                                                                     \
    {                                                                                              \
        0x8b, 0x18                                                                                 \
    }
#define PUSH_D                                                                                     \
    {                                                                                              \
        0x50                                                                                       \
    }

static void ds_x(struct world *w)
{
    world_set_seg(w, SEG_DS, S_X);
}

static void ss_x(struct world *w)
{
    world_set_seg(w, SEG_SS, S_X);
    w->c->gpr[R_ESP] = w->c->gpr[R_EAX];
}

static void ds_null(struct world *w)
{
    w->c->seg[SEG_DS] = (struct seg){0};
}

FAULT_TABLE(
    segment_access, limits_and_types,
    {"5.4.1 through NULL", 0, W_DATA, VEC_GP, 0, LOAD_B, {0}, ds_null},
    {"5.3 last byte", 0, 0xff, OK, 0, LOAD_B, {W_DATA, 0xff, A_DATA & ~SA_G}, ds_x},
    {"5.3 one beyond", 0, 0x100, VEC_GP, 0, LOAD_B, {W_DATA, 0xff, A_DATA & ~SA_G}, ds_x},
    {"5.3 dword across the limit",
     0,
     0xfd,
     VEC_GP,
     0,
     LOAD_D,
     {W_DATA, 0xff, A_DATA & ~SA_G},
     ds_x},
    {"5.3 dword up to the limit", 0, 0xfc, OK, 0, LOAD_D, {W_DATA, 0xff, A_DATA & ~SA_G}, ds_x},
    {"5.3 page granularity", 0, 0x1fff, OK, 0, LOAD_B, {W_DATA, 1, A_DATA}, ds_x},
    {"5.3 page granularity, beyond", 0, 0x2000, VEC_GP, 0, LOAD_B, {W_DATA, 1, A_DATA}, ds_x},
    {"5.3 expand-down: the limit itself",
     0,
     0xff,
     VEC_GP,
     0,
     LOAD_B,
     {W_DATA, 0xff, (A_DATA & ~SA_G) | SA_EC},
     ds_x},
    {"5.3 expand-down: above the limit",
     0,
     0x100,
     OK,
     0,
     LOAD_B,
     {W_DATA, 0xff, (A_DATA & ~SA_G) | SA_EC},
     ds_x},
    {"5.3 expand-down, B clear: ends at 64 KiB",
     0,
     0x10000,
     VEC_GP,
     0,
     LOAD_B,
     {W_DATA, 0xff, (A_DATA & ~SA_G & ~SA_DB) | SA_EC},
     ds_x},
    {"5.3 expand-down, B clear: dword across 64 KiB",
     0,
     0xfffd,
     VEC_GP,
     0,
     LOAD_D,
     {W_DATA, 0xff, (A_DATA & ~SA_G & ~SA_DB) | SA_EC},
     ds_x},
    {"5.3 expand-down, B set: beyond 64 KiB",
     0,
     0x10000,
     OK,
     0,
     LOAD_B,
     {W_DATA, 0xff, (A_DATA & ~SA_G) | SA_EC},
     ds_x},
    {"5.5 write to read-only", 0, W_DATA, VEC_GP, 0, STORE_B, {0, 0xfffff, A_DATA & ~SA_RW}, ds_x},
    {"5.5 write to code", 0, W_DATA, VEC_GP, 0, STORE_B, {0, 0xfffff, A_CODE}, ds_x},
    {"5.5 read of code", 0, W_DATA, OK, 0, LOAD_B, {0, 0xfffff, A_CODE}, ds_x},
    {"5.3 push below the limit of an expand-down stack",
     3,
     0x102,
     VEC_SS,
     0,
     PUSH_D,
     {W_DATA, 0xff, (A_DATA & ~SA_G) | SA_EC | A_DPL3},
     ss_x},
    {"5.3 push above a stack's limit",
     3,
     0x102,
     VEC_SS,
     0,
     PUSH_D,
     {W_DATA, 0xff, (A_DATA & ~SA_G) | A_DPL3},
     ss_x},
    {"5.3 push segment register above a stack's limit",
     3,
     0x102,
     VEC_SS,
     0,
     {0x1e},
     {W_DATA, 0xff, (A_DATA & ~SA_G) | A_DPL3},
     ss_x}, )

/* --- what a load leaves --- */

Test(seg_state, accessed_bit_is_set_in_memory)
{
    struct world *w = world_new(0);
    world_desc(w, S_X, 0x123450, 0x1234, A_DATA & ~SA_ACCESSED & ~SA_G);
    w->c->gpr[R_EAX] = S_X;
    WORLD_CODE(w, 0x8e, 0xd8);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(world_desc_hi(w, S_X) >> 8 & 1, 1);
    cr_expect_eq(w->c->seg[SEG_DS].base, 0x123450);
    cr_expect_eq(w->c->seg[SEG_DS].limit, 0x1234);
    cr_expect_eq(w->c->seg[SEG_DS].sel, S_X);
    cr_expect_eq(w->c->seg[SEG_DS].attr, (A_DATA & ~SA_G));
    world_free(w);
}

Test(seg_state, accessed_bit_already_set_is_not_written_again)
{
    struct world *w = world_new(0);
    senv_map(w->e, W_GDT, W_GDT >> 12, 1, SENV_P | SENV_X); /* read-only GDT */
    w->c->gpr[R_EAX] = S_DATA3;
    WORLD_CODE(w, 0x8e, 0xd8);
    cr_assert_eq(world_step(w).vector, -1);
    world_free(w);
}

Test(seg_state, load_that_cannot_set_accessed_changes_nothing)
{
    struct world *w = world_new(0);
    world_desc(w, S_X, 0, 0xfffff, A_DATA & ~SA_ACCESSED);
    senv_map(w->e, W_GDT, W_GDT >> 12, 1, SENV_P | SENV_X);
    w->c->gpr[R_EAX] = S_X;
    WORLD_CODE(w, 0x8e, 0xd8);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.exit, SOFT_EXIT_PF);
    cr_expect_eq(w->e->exit.la, W_GDT + S_X + 5);
    cr_expect_eq(w->e->exit.access, SOFT_W);
    cr_expect_not(w->e->exit.user, "descriptor tables are supervisor accesses");
    cr_expect_eq(w->c->seg[SEG_DS].sel, S_DATA0);
    cr_expect_eq(w->c->eip, W_CODE);
    world_free(w);
}

Test(seg_state, descriptor_tables_are_read_with_supervisor_rights)
{
    struct world *w = world_new(3);
    senv_map(w->e, W_GDT, W_GDT >> 12, 1, SENV_P | SENV_W); /* not for users */
    w->c->gpr[R_EAX] = S_DATA3;
    WORLD_CODE(w, 0x8e, 0xd8);
    cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
    world_free(w);
}

Test(seg_state, null_keeps_its_rpl_and_is_unusable)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = 2;
    WORLD_CODE(w, 0x8e, 0xd8);
    world_step(w);
    cr_expect_eq(w->c->seg[SEG_DS].sel, 2);
    cr_expect_eq(w->c->seg[SEG_DS].attr & SA_P, 0);
    world_free(w);
}

Test(seg_state, mov_ss_and_pop_ss_cast_a_shadow_and_others_do_not)
{
    static const struct {
        uint8_t code[8];
        bool shadow;
    } t[] = {{MOV_SS, true}, {POP_SS, true}, {MOV_DS, false}, {POP_DS, false}, {LSS_M, false}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = world_new(0);
        w->c->gpr[R_EAX] = S_DATA0;
        on_stack(w);
        in_memory(w);
        world_code(w, t[k].code, sizeof t[k].code);
        cr_assert_eq(world_step(w).vector, -1);
        cr_expect_eq(w->c->int_shadow, t[k].shadow, "case %zu", k);
        cr_expect_eq(w->c->db_shadow, t[k].shadow, "case %zu", k);
        world_free(w);
    }
}

Test(seg_state, pop_moves_the_stack_by_operand_size)
{
    for (unsigned op16 = 0; op16 < 2; op16++) {
        struct world *w = world_new(0);
        world_put32(w, w->c->gpr[R_ESP], 0xffff0000u | S_DATA3);
        if (op16)
            WORLD_CODE(w, 0x66, 0x1f);
        else
            WORLD_CODE(w, 0x1f);
        const uint32_t esp = w->c->gpr[R_ESP];
        cr_assert_eq(world_step(w).vector, -1);
        cr_expect_eq(w->c->gpr[R_ESP], esp + (op16 ? 2 : 4));
        cr_expect_eq(w->c->seg[SEG_DS].sel, S_DATA3);
        world_free(w);
    }
}

Test(seg_state, push_zero_extends)
{
    static const struct {
        uint8_t code[2];
        uint16_t sel;
    } t[] = {{{0x06}, S_DATA0}, {{0x0e}, S_CODE0},     {{0x16}, S_DATA0},
             {{0x1e}, S_DATA0}, {{0x0f, 0xa0}, S_RO0}, {{0x0f, 0xa8}, S_DATA3}};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        struct world *w = world_new(0);
        world_set_seg(w, SEG_FS, S_RO0);
        world_set_seg(w, SEG_GS, S_DATA3);
        const uint32_t esp = w->c->gpr[R_ESP];
        world_put32(w, esp - 4, 0xffffffff);
        world_code(w, t[k].code, sizeof t[k].code);
        cr_assert_eq(world_step(w).vector, -1);
        cr_expect_eq(w->c->gpr[R_ESP], esp - 4);
        cr_expect_eq(world_get32(w, esp - 4), t[k].sel);
        world_free(w);
    }
}

Test(seg_state, mov_from_segment_register)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = 0xdeadbeef;
    w->c->gpr[R_EBX] = 0xdeadbeef;
    world_put32(w, W_DATA, 0xdeadbeef);
    WORLD_CODE(w, 0x8c, 0xd8, 0x66, 0x8c, 0xdb, 0x8c, 0x1d, 0x00, 0xa0, 0, 0);
    for (int k = 0; k < 3; k++)
        cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EAX], S_DATA0, "32-bit register: zero-extended");
    cr_expect_eq(w->c->gpr[R_EBX], 0xdead0000u | S_DATA0, "16-bit: upper half stays");
    cr_expect_eq(world_get32(w, W_DATA), 0xdead0000u | S_DATA0, "memory: two bytes");
    world_free(w);
}

Test(seg_state, lds_loads_both_or_neither)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = S_DATA3;
    in_memory(w);
    WORLD_CODE(w, 0xc5, 0x1d, 0x00, 0xa0, 0, 0);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EBX], 0x12345678);
    cr_expect_eq(w->c->seg[SEG_DS].sel, S_DATA3);
    world_free(w);

    w = world_new(0);
    world_put32(w, W_DATA, (uint32_t)S_DATA3 << 16 | 0x4321);
    w->c->gpr[R_EBX] = 0xaaaaaaaa;
    WORLD_CODE(w, 0x66, 0xc4, 0x1d, 0x00, 0xa0, 0, 0);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EBX], 0xaaaa4321);
    cr_expect_eq(w->c->seg[SEG_ES].sel, S_DATA3);
    world_free(w);
}

/* --- LAR, LSL, VERR, VERW, ARPL --- */

struct query_row {
    const char *what;
    unsigned cpl;
    uint32_t sel;
    uint32_t attr, limit; /* at S_X, if attr is not 0 */
    bool lar, lsl, verr, verw;
};

static const struct query_row queries[] = {
    {"NULL", 0, 0, 0, 0, false, false, false, false},
    {"NULL, RPL 3", 3, 3, 0, 0, false, false, false, false},
    {"beyond the table", 0, 0x1230, 0, 0, false, false, false, false},
    {"data", 0, S_DATA0, 0, 0, true, true, true, true},
    {"data, inner ring", 3, S_DATA0, 0, 0, false, false, false, false},
    {"data, RPL > DPL", 0, S_DATA0 | 3, 0, 0, false, false, false, false},
    {"data, DPL 3", 3, S_DATA3, 0, 0, true, true, true, true},
    {"read-only data", 0, S_RO0, 0, 0, true, true, true, false},
    {"code", 0, S_CODE0, 0, 0, true, true, true, false},
    {"execute-only code", 0, S_XO0, 0, 0, true, true, false, false},
    {"conforming code, inner ring", 3, S_CONF0, 0, 0, true, true, true, false},
    {"data that is not present", 0, S_X, A_DATA & ~SA_P, 0x10, true, true, true, true},
    {"type 0", 0, S_X, SA_P | 0, 0x67, false, false, false, false},
    {"16-bit TSS", 0, S_X, SA_P | 1, 0x67, true, true, false, false},
    {"LDT", 0, S_X, SA_P | 2, 0x67, true, true, false, false},
    {"busy 16-bit TSS", 0, S_X, SA_P | 3, 0x67, true, true, false, false},
    {"16-bit call gate", 0, S_X, SA_P | 4, 0x67, true, false, false, false},
    {"task gate", 0, S_X, SA_P | 5, 0x67, true, false, false, false},
    {"16-bit interrupt gate", 0, S_X, SA_P | 6, 0x67, false, false, false, false},
    {"16-bit trap gate", 0, S_X, SA_P | 7, 0x67, false, false, false, false},
    {"type 8", 0, S_X, SA_P | 8, 0x67, false, false, false, false},
    {"32-bit TSS", 0, S_X, SA_P | 9, 0x67, true, true, false, false},
    {"type 10", 0, S_X, SA_P | 10, 0x67, false, false, false, false},
    {"busy 32-bit TSS", 0, S_X, SA_P | 11, 0x67, true, true, false, false},
    {"32-bit call gate", 0, S_X, SA_P | 12, 0x67, true, false, false, false},
    {"type 13", 0, S_X, SA_P | 13, 0x67, false, false, false, false},
    {"32-bit interrupt gate", 0, S_X, SA_P | 14, 0x67, false, false, false, false},
    {"32-bit trap gate", 0, S_X, SA_P | 15, 0x67, false, false, false, false},
    {"TSS, inner ring", 3, S_X, SA_P | 9, 0x67, false, false, false, false},
    {"TSS of DPL 3", 3, S_X, SA_P | 9 | A_DPL3, 0x67, true, true, false, false},
};

static bool run_query(const struct query_row *q, const uint8_t *code, unsigned n, uint32_t *result)
{
    struct world *w = world_new(q->cpl);
    if (q->attr)
        world_desc(w, S_X, 0x00345678, q->limit, q->attr);
    w->c->gpr[R_EAX] = q->sel | 0xabcd0000; /* only 16 bits count */
    w->c->gpr[R_EBX] = 0x55555555;
    w->c->eflags ^= FL_ZF;
    world_code(w, code, n);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, -1, "%s: vector %d", q->what, o.vector);
    const bool zf = (w->c->eflags & FL_ZF) != 0;
    *result = w->c->gpr[R_EBX];
    world_free(w);
    return zf;
}

Test(query, lar_lsl_verr_verw_of_every_type)
{
    static const uint8_t lar[] = {0x0f, 0x02, 0xd8}, lsl[] = {0x0f, 0x03, 0xd8};
    static const uint8_t verr[] = {0x0f, 0x00, 0xe0}, verw[] = {0x0f, 0x00, 0xe8};
    for (size_t k = 0; k < sizeof queries / sizeof *queries; k++) {
        const struct query_row *q = &queries[k];
        uint32_t v;
        cr_expect_eq(run_query(q, lar, 3, &v), q->lar, "LAR of %s", q->what);
        if (!q->lar)
            cr_expect_eq(v, 0x55555555, "LAR of %s: destination", q->what);
        else if (q->attr)
            cr_expect_eq(v, (q->attr << 8 & 0xffff00), "LAR of %s: %#x", q->what, v);
        cr_expect_eq(run_query(q, lsl, 3, &v), q->lsl, "LSL of %s", q->what);
        if (!q->lsl)
            cr_expect_eq(v, 0x55555555, "LSL of %s: destination", q->what);
        else if (q->attr)
            cr_expect_eq(v, (q->attr & SA_G) ? q->limit << 12 | 0xfff : q->limit, "LSL of %s: %#x",
                         q->what, v);
        cr_expect_eq(run_query(q, verr, 3, &v), q->verr, "VERR of %s", q->what);
        cr_expect_eq(run_query(q, verw, 3, &v), q->verw, "VERW of %s", q->what);
    }
}

Test(query, lar_and_lsl_of_16_bits_keep_the_upper_half)
{
    static const struct query_row q = {"data", 0, S_DATA0, 0, 0, true, true, true, true};
    static const uint8_t lar[] = {0x66, 0x0f, 0x02, 0xd8}, lsl[] = {0x66, 0x0f, 0x03, 0xd8};
    uint32_t v;
    cr_expect(run_query(&q, lar, 4, &v));
    cr_expect_eq(v, 0x55559300);
    cr_expect(run_query(&q, lsl, 4, &v));
    cr_expect_eq(v, 0x5555ffff);
}

Test(query, lar_gives_limit_bits_as_processors_do)
{
    static const struct query_row q = {"data", 0, S_DATA0, 0, 0, true, true, true, true};
    static const uint8_t lar[] = {0x0f, 0x02, 0xd8};
    uint32_t v;
    cr_expect(run_query(&q, lar, 3, &v));
    cr_expect_eq(v, 0x00cf9300);
}

Test(query, arpl_raises_rpl_only)
{
    for (unsigned d = 0; d < 4; d++)
        for (unsigned r = 0; r < 4; r++) {
            struct world *w = world_new(3);
            w->c->gpr[R_EAX] = 0xaaaa1230 | d;
            w->c->gpr[R_EBX] = 0xffff0000 | r;
            WORLD_CODE(w, 0x63, 0xd8); /* ARPL AX, BX */
            cr_assert_eq(world_step(w).vector, -1);
            cr_expect_eq(w->c->gpr[R_EAX], 0xaaaa1230 | (d < r ? r : d));
            cr_expect_eq((w->c->eflags & FL_ZF) != 0, d < r);
            world_free(w);
        }
}

/* --- LLDT, LTR, SLDT, STR --- */

#define LLDT_AX                                                                                    \
    {                                                                                              \
        0x0f, 0x00, 0xd0                                                                           \
    }
#define LTR_AX                                                                                     \
    {                                                                                              \
        0x0f, 0x00, 0xd8                                                                           \
    }

FAULT_TABLE(lldt_ltr, checks_in_order, {"LLDT", 0, S_LDT, OK, 0, LLDT_AX},
            {"LLDT: NULL", 0, 0, OK, 0, LLDT_AX}, {"LLDT: NULL with RPL", 0, 3, OK, 0, LLDT_AX},
            {"LLDT: CPL 3", 3, S_LDT, VEC_GP, 0, LLDT_AX},
            {"LLDT: CPL 1", 1, S_LDT, VEC_GP, 0, LLDT_AX},
            {"LLDT: TI set", 0, S_XLDT, VEC_GP, S_XLDT, LLDT_AX},
            {"LLDT: beyond the GDT", 0, 0x800, VEC_GP, 0x800, LLDT_AX},
            {"LLDT: data", 0, S_DATA0, VEC_GP, S_DATA0, LLDT_AX},
            {"LLDT: TSS", 0, S_TSS, VEC_GP, S_TSS, LLDT_AX},
            {"LLDT: not present", 0, S_X, VEC_NP, S_X, LLDT_AX, {0, 0, ST_LDT}},
            {"LLDT: DPL does not matter", 0, S_X, OK, 0, LLDT_AX, {0, 0, SA_P | ST_LDT | A_DPL3}},
            {"LTR", 0, S_TSS2, OK, 0, LTR_AX}, {"LTR: 16-bit", 0, S_TSS16, OK, 0, LTR_AX},
            {"LTR: NULL", 0, 0, VEC_GP, 0, LTR_AX}, {"LTR: CPL 3", 3, S_TSS2, VEC_GP, 0, LTR_AX},
            {"LTR: TI set", 0, S_XLDT, VEC_GP, S_XLDT, LTR_AX},
            {"LTR: beyond the GDT", 0, 0x800, VEC_GP, 0x800, LTR_AX},
            {"LTR: busy", 0, S_TSS, VEC_GP, S_TSS, LTR_AX},
            {"LTR: LDT", 0, S_LDT, VEC_GP, S_LDT, LTR_AX},
            {"LTR: not present", 0, S_X, VEC_NP, S_X, LTR_AX, {0, 0x67, ST_TSS32}},
            {"LTR: busy before presence", 0, S_X, VEC_GP, S_X, LTR_AX, {0, 0x67, ST_TSS32_BUSY}}, )

Test(lldt_ltr, ltr_marks_busy_and_str_reads_it)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = S_TSS2;
    WORLD_CODE(w, 0x0f, 0x00, 0xd8, 0x0f, 0x00, 0xcb, 0x0f, 0x00, 0xc1);
    for (int k = 0; k < 3; k++)
        cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(world_desc_hi(w, S_TSS2) >> 8 & 0xff, SA_P | ST_TSS32_BUSY);
    cr_expect_eq(w->c->tr.base, W_TSS2);
    cr_expect_eq(w->c->tr.limit, 0x67);
    cr_expect_eq(w->c->tr.attr & SA_TYPE, ST_TSS32_BUSY);
    cr_expect_eq(w->c->gpr[R_EBX], S_TSS2);
    cr_expect_eq(w->c->gpr[R_ECX], S_LDT);
    world_free(w);
}

Test(lldt_ltr, a_null_ldt_is_unusable)
{
    struct world *w = world_new(0);
    WORLD_CODE(w, 0x0f, 0x00, 0xd0, 0x8e, 0xdb); /* LLDT AX; MOV DS, BX */
    w->c->gpr[R_EBX] = S_XLDT;
    cr_assert_eq(world_step(w).vector, -1);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_GP);
    cr_expect_eq(o.error, S_XLDT);
    world_free(w);
}

Test(lldt_ltr, sldt_and_str_are_open_to_users_unless_umip)
{
    for (unsigned umip = 0; umip < 2; umip++) {
        struct world *w = world_new(3);
        w->c->cr4 = umip ? CR4_UMIP : 0;
        WORLD_CODE(w, 0x0f, 0x00, 0xc0); /* SLDT EAX */
        cr_expect_eq(world_step(w).vector, umip ? VEC_GP : -1);
        world_free(w);
    }
}

Test(seg_state, load_of_rpl_3_data_keeps_the_selector)
{
    struct world *w = world_new(0);
    rpl3_x(w);
    w->c->gpr[R_EAX] = S_X | 3;
    WORLD_CODE(w, 0x8e, 0xe0); /* MOV FS, AX */
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->seg[SEG_FS].sel, S_X | 3);
    world_free(w);
}
