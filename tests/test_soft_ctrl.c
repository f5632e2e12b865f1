/* Privileged instructions, control and debug registers, descriptor-table registers, MSRs, CPUID.
 * Sections are of SDM volume 3 unless they name an instruction of volume 2. */
#include "tests/soft_fault_table.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/msr.h"

#define AT_DATA 0x00, 0xa0, 0, 0 /* disp32 of W_DATA */

static struct cpuid_policy policy;

static void policy_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct senv *e = ctx;
    cpuid_query(&policy, &e->cpu, leaf, subleaf, out);
}

static void own_cpuid(struct world *w)
{
    w->e->env.cpuid = policy_cpuid;
}

/* --- who may --- */

static const struct {
    const char *what;
    uint8_t code[8];
} privileged[] = {
    {"LGDT", {0x0f, 0x01, 0x15, AT_DATA}},
    {"LIDT", {0x0f, 0x01, 0x1d, AT_DATA}},
    {"LLDT", {0x0f, 0x00, 0xd0}},
    {"LTR", {0x0f, 0x00, 0xd8}},
    {"LMSW", {0x0f, 0x01, 0xf0}},
    {"CLTS", {0x0f, 0x06}},
    {"MOV from CR0", {0x0f, 0x20, 0xc0}},
    {"MOV from CR2", {0x0f, 0x20, 0xd0}},
    {"MOV from CR3", {0x0f, 0x20, 0xd8}},
    {"MOV from CR4", {0x0f, 0x20, 0xe0}},
    {"MOV to CR0", {0x0f, 0x22, 0xc0}},
    {"MOV to CR2", {0x0f, 0x22, 0xd0}},
    {"MOV to CR3", {0x0f, 0x22, 0xd8}},
    {"MOV to CR4", {0x0f, 0x22, 0xe0}},
    {"MOV from DR0", {0x0f, 0x21, 0xc0}},
    {"MOV from DR7", {0x0f, 0x21, 0xf8}},
    {"MOV to DR3", {0x0f, 0x23, 0xd8}},
    {"MOV to DR6", {0x0f, 0x23, 0xf0}},
    {"HLT", {0xf4}},
    {"INVLPG", {0x0f, 0x01, 0x3d, AT_DATA}},
    {"INVD", {0x0f, 0x08}},
    {"WBINVD", {0x0f, 0x09}},
    {"RDMSR", {0x0f, 0x32}},
    {"WRMSR", {0x0f, 0x30}},
};

Test(privilege, instructions_of_ring_0_fault_elsewhere)
{
    for (unsigned cpl = 1; cpl < 4; cpl++)
        for (size_t k = 0; k < sizeof privileged / sizeof *privileged; k++) {
            struct world *w = world_new(cpl);
            world_code(w, privileged[k].code, sizeof privileged[k].code);
            w->c->eflags |= FL_IOPL;
            w->c->gpr[R_ECX] = MSR_SYSENTER_CS;
            const struct outcome o = world_step(w);
            cr_expect_eq(o.vector, VEC_GP, "5.9 %s in ring %u: %d", privileged[k].what, cpl,
                         o.vector);
            cr_expect_eq(o.error, 0);
            const char *bad = world_changed(w, &o);
            cr_expect_null(bad, "%s: %s", privileged[k].what, bad);
            world_free(w);
        }
}

FAULT_TABLE(undefined, forms, {"MOV from CR1", 0, 0, VEC_UD, 0, {0x0f, 0x20, 0xc8}},
            {"MOV to CR1", 0, 0, VEC_UD, 0, {0x0f, 0x22, 0xc8}},
            {"MOV to CR5", 0, 0, VEC_UD, 0, {0x0f, 0x22, 0xe8}},
            {"MOV from CR6", 0, 0, VEC_UD, 0, {0x0f, 0x20, 0xf0}},
            {"MOV from CR7, before privilege", 3, 0, VEC_UD, 0, {0x0f, 0x20, 0xf8}},
            {"LOCK MOV CR0", 0, 0, VEC_UD, 0, {0xf0, 0x0f, 0x20, 0xc0}},
            {"LGDT of a register", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xd0}},
            {"SIDT of a register", 3, 0, VEC_UD, 0, {0x0f, 0x01, 0xc8}},
            {"INVLPG of a register", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xf8}},
            {"RSM outside SMM", 0, 0, VEC_UD, 0, {0x0f, 0xaa}},
            {"SWAPGS", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xf8}},
            {"MONITOR", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xc8}},
            {"MWAIT", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xc9}},
            {"VMCALL", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xc1}},
            {"XGETBV", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xd0}},
            {"RDTSCP", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0xf9}},
            {"SYSCALL", 3, 0, VEC_UD, 0, {0x0f, 0x05}}, {"UD2", 3, 0, VEC_UD, 0, {0x0f, 0x0b}},
            {"LOCK HLT", 0, 0, VEC_UD, 0, {0xf0, 0xf4}},
            {"0F 00 /6", 0, 0, VEC_UD, 0, {0x0f, 0x00, 0xf0}},
            {"0F 01 /5 of memory", 0, 0, VEC_UD, 0, {0x0f, 0x01, 0x2d, AT_DATA}}, )

/* --- CR0 --- */

static void cr0_with(struct world *w, uint32_t more)
{
    w->c->gpr[R_EAX] = w->c->cr0 | more;
}
static void pg_no_pe(struct world *w)
{
    w->c->gpr[R_EAX] = CR0_PG | CR0_ET;
}
static void nw(struct world *w)
{
    cr0_with(w, CR0_NW);
}
static void nw_cd(struct world *w)
{
    cr0_with(w, CR0_NW | CR0_CD);
}
static void all_unknown(struct world *w)
{
    cr0_with(w, 0x1ffaffc0u & ~0u);
}

#define MOV_CR0_EAX                                                                                \
    {                                                                                              \
        0x0f, 0x22, 0xc0                                                                           \
    }
#define MOV_CR4_EAX                                                                                \
    {                                                                                              \
        0x0f, 0x22, 0xe0                                                                           \
    }

FAULT_TABLE(cr0, checks, {"2.5 PG without PE", 0, 0, VEC_GP, 0, MOV_CR0_EAX, {0}, pg_no_pe},
            {"2.5 NW without CD", 0, 0, VEC_GP, 0, MOV_CR0_EAX, {0}, nw},
            {"2.5 NW with CD", 0, 0, OK, 0, MOV_CR0_EAX, {0}, nw_cd},
            {"2.5 reserved bits are ignored", 0, 0, OK, 0, MOV_CR0_EAX, {0}, all_unknown}, )

Test(cr0, reserved_bits_read_as_zero_and_et_as_one)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = 0x1ffaffc1u & ~(uint32_t)CR0_ET;
    WORLD_CODE(w, 0x0f, 0x22, 0xc0, 0x0f, 0x20, 0xc3);
    world_step(w);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EBX] & ~(uint32_t)(CR0_AM | CR0_WP), CR0_PE | CR0_ET);
    world_free(w);
}

static bool refuse(void *ctx, int reg, uint32_t old)
{
    struct senv *e = ctx;
    (void)reg, (void)old;
    e->n_cr_written++;
    return false;
}

Test(cr0, monitor_may_refuse_any_load)
{
    static const uint8_t code[][3] = {{0x0f, 0x22, 0xc0}, {0x0f, 0x22, 0xd8}, {0x0f, 0x22, 0xe0}};
    for (size_t k = 0; k < 3; k++) {
        struct world *w = world_new(0);
        w->e->env.cr_written = refuse;
        w->c->gpr[R_EAX] = k == 0 ? CR0_PE | CR0_ET | CR0_WP : k == 1 ? 0x5000 : CR4_PSE;
        world_code(w, code[k], 3);
        const struct outcome o = world_step(w);
        cr_expect_eq(o.vector, VEC_GP);
        cr_expect_null(world_changed(w, &o), "%s", world_changed(w, &o));
        cr_expect_eq(w->e->n_cr_written, 1);
        world_free(w);
    }
}

Test(cr0, monitor_is_told_of_each_cr3_load_and_of_changes)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = w->c->cr3;
    w->c->gpr[R_EBX] = w->c->cr0;
    WORLD_CODE(w, 0x0f, 0x22, 0xd8, 0x0f, 0x22, 0xc3);
    world_step(w);
    cr_expect_eq(w->e->n_cr_written, 1, "CR3 as it was");
    world_step(w);
    cr_expect_eq(w->e->n_cr_written, 1, "CR0 as it was");
    world_free(w);
}

static bool keep_all(void *ctx, int reg, uint32_t old)
{
    (void)ctx, (void)reg, (void)old;
    return true;
}

/* What a load of CR3 leaves true only the mapper knows. */
Test(cr0, cr3_load_drops_what_the_monitor_drops)
{
    struct world *w = world_new(0);
    const unsigned before = w->e->n_translate;
    w->e->env.cr_written = keep_all;
    w->c->gpr[R_EAX] = w->c->cr3;
    WORLD_CODE(w, 0x0f, 0x22, 0xd8, 0x0f, 0x22, 0xd8, 0x0f, 0x22, 0xd8);
    world_step(w);
    const unsigned first = w->e->n_translate - before;
    world_step(w);
    world_step(w);
    cr_expect_eq(w->e->n_translate - before, first, "EIP's page is known from before");
    world_free(w);
}

Test(cr0, lmsw_sets_pe_but_does_not_clear_it)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = 0xfffe; /* PE clear; MP, EM, TS set */
    WORLD_CODE(w, 0x0f, 0x01, 0xf0);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->cr0, w->before.cr0 | CR0_MP | CR0_EM | CR0_TS);
    cr_expect(w->c->cr0 & CR0_PE);
    world_free(w);
}

Test(cr0, clts_clears_ts_only)
{
    struct world *w = world_new(0);
    w->c->cr0 |= CR0_TS | CR0_MP;
    WORLD_CODE(w, 0x0f, 0x06);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->cr0, w->before.cr0 & ~(uint32_t)CR0_TS);
    world_free(w);
}

Test(cr0, smsw_by_size)
{
    struct world *w = world_new(3);
    w->c->cr0 |= CR0_WP | CR0_NE;
    w->c->gpr[R_EBX] = 0xaaaaaaaa;
    world_put32(w, W_DATA, 0xbbbbbbbb);
    WORLD_CODE(w, 0x0f, 0x01, 0xe0, 0x66, 0x0f, 0x01, 0xe3, 0x0f, 0x01, 0x25, AT_DATA);
    for (int k = 0; k < 3; k++)
        cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EAX], w->c->cr0);
    cr_expect_eq(w->c->gpr[R_EBX], 0xaaaa0000u | (w->c->cr0 & 0xffff));
    cr_expect_eq(world_get32(w, W_DATA), 0xbbbb0000u | (w->c->cr0 & 0xffff));
    world_free(w);
}

Test(cr0, mod_field_of_mov_cr_is_ignored)
{
    struct world *w = world_new(0);
    w->c->cr2 = 0x12345678;
    WORLD_CODE(w, 0x0f, 0x20, 0x13); /* mod 0: still EBX */
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EBX], 0x12345678);
    cr_expect_eq(w->c->eip, W_CODE + 3);
    world_free(w);
}

/* --- CR4 --- */

Test(cr4, bits_are_valid_as_cpuid_says)
{
    static const struct {
        uint32_t bit;
        bool base, pae, umip;
    } t[] = {
        {CR4_VME, false, false, false},     {CR4_PVI, false, false, false},
        {CR4_TSD, true, true, true},        {CR4_DE, true, true, true},
        {CR4_PSE, true, true, true},        {CR4_PAE, false, true, false},
        {CR4_MCE, false, false, false},     {CR4_PGE, true, true, true},
        {CR4_PCE, true, true, true},        {CR4_OSFXSR, true, true, true},
        {CR4_OSXMMEXCPT, true, true, true}, {CR4_UMIP, false, false, true},
        {1u << 12, false, false, false},    {1u << 13, false, false, false},
        {1u << 16, false, false, false},    {1u << 18, false, false, false},
        {1u << 20, false, false, false},    {1u << 31, false, false, false},
    };
    for (unsigned p = 0; p < 3; p++)
        for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
            struct world *w = world_new(0);
            own_cpuid(w);
            policy = (struct cpuid_policy){.pae = p == 1, .umip = p == 2};
            const bool ok = p == 0 ? t[k].base : p == 1 ? t[k].pae : t[k].umip;
            w->c->gpr[R_EAX] = t[k].bit;
            WORLD_CODE(w, 0x0f, 0x22, 0xe0);
            const struct outcome o = world_step(w);
            cr_expect_eq(o.vector, ok ? -1 : VEC_GP, "policy %u CR4 %#x", p, t[k].bit);
            cr_expect_eq(w->c->cr4, ok ? t[k].bit : 0);
            world_free(w);
        }
    policy = (struct cpuid_policy){0};
}

Test(cr4, umip_hides_tables_from_users)
{
    static const uint8_t code[][7] = {{0x0f, 0x01, 0x05, AT_DATA},
                                      {0x0f, 0x01, 0x0d, AT_DATA},
                                      {0x0f, 0x01, 0xe0},
                                      {0x0f, 0x00, 0xc0},
                                      {0x0f, 0x00, 0xc8}};
    for (unsigned cpl = 0; cpl < 4; cpl += 3)
        for (unsigned umip = 0; umip < 2; umip++)
            for (size_t k = 0; k < sizeof code / sizeof *code; k++) {
                struct world *w = world_new(cpl);
                w->c->cr4 = umip ? CR4_UMIP : 0;
                world_code(w, code[k], 7);
                cr_expect_eq(world_step(w).vector, umip && cpl ? VEC_GP : -1);
                world_free(w);
            }
}

Test(cr4, tsd_closes_rdtsc_to_users)
{
    for (unsigned cpl = 0; cpl < 4; cpl++)
        for (unsigned tsd = 0; tsd < 2; tsd++) {
            struct world *w = world_new(cpl);
            w->c->cr4 = tsd ? CR4_TSD : 0;
            w->e->tsc = 0x1122334455667788 - 100;
            WORLD_CODE(w, 0x0f, 0x31);
            const struct outcome o = world_step(w);
            cr_expect_eq(o.vector, tsd && cpl ? VEC_GP : -1);
            if (o.vector < 0) {
                cr_expect_eq(w->c->gpr[R_EDX], 0x11223344);
                cr_expect_eq(w->c->gpr[R_EAX], 0x55667788);
            }
            world_free(w);
        }
}

/* --- descriptor-table registers --- */

Test(tables, lgdt_and_lidt_by_operand_size)
{
    for (unsigned op16 = 0; op16 < 2; op16++)
        for (unsigned idt = 0; idt < 2; idt++) {
            struct world *w = world_new(0);
            world_put16(w, W_DATA, 0x1234);
            world_put32(w, W_DATA + 2, 0xfedcba98);
            if (op16)
                WORLD_CODE(w, 0x66, 0x0f, 0x01, idt ? 0x1d : 0x15, AT_DATA);
            else
                WORLD_CODE(w, 0x0f, 0x01, idt ? 0x1d : 0x15, AT_DATA);
            cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
            const struct desc_table *t = idt ? &w->c->idtr : &w->c->gdtr;
            cr_expect_eq(t->limit, 0x1234);
            cr_expect_eq(t->base, op16 ? 0x00dcba98 : 0xfedcba98, "LGDT: 24 bits of base");
            world_free(w);
        }
}

Test(tables, sgdt_and_sidt_store_six_bytes)
{
    for (unsigned idt = 0; idt < 2; idt++) {
        struct world *w = world_new(3);
        w->c->gdtr = (struct desc_table){0xfedcba98, 0x1234};
        w->c->idtr = (struct desc_table){0x12345678, 0x4321};
        world_put32(w, W_DATA + 4, 0xeeeeeeee);
        WORLD_CODE(w, 0x0f, 0x01, idt ? 0x0d : 0x05, AT_DATA);
        cr_assert_eq(world_step(w).exit, SOFT_EXIT_BUDGET);
        cr_expect_eq(world_get16(w, W_DATA), idt ? 0x4321 : 0x1234);
        cr_expect_eq(world_get32(w, W_DATA + 2), idt ? 0x12345678 : 0xfedcba98);
        cr_expect_eq(world_get16(w, W_DATA + 6), 0xeeee);
        world_free(w);
    }
}

Test(tables, lgdt_that_faults_loads_nothing)
{
    struct world *w = world_new(0);
    world_put32(w, W_DATA + 0xffc, 0x11112222);
    senv_map(w->e, W_DATA + PAGE_SIZE, 0xb, 1, 0);
    WORLD_CODE(w, 0x0f, 0x01, 0x15, 0xfc, 0xaf, 0, 0);
    cr_expect_eq(world_step(w).exit, SOFT_EXIT_PF);
    cr_expect_eq(w->e->exit.la, W_DATA + PAGE_SIZE);
    cr_expect_eq(w->c->gdtr.base, W_GDT);
    cr_expect_eq(w->c->gdtr.limit, W_GDT_LIMIT);
    world_free(w);
}

Test(tables, invlpg_takes_a_linear_address_and_no_limit)
{
    struct world *w = world_new(0);
    world_desc(w, S_X, 0x1000, 0xf, A_DATA & ~SA_G);
    world_set_seg(w, SEG_DS, S_X);
    WORLD_CODE(w, 0x0f, 0x01, 0x3d, AT_DATA);
    cr_expect_eq(world_step(w).vector, -1);
    cr_expect_eq(w->e->n_invlpg, 1);
    world_free(w);
}

/* --- debug registers --- */

static void de(struct world *w)
{
    w->c->cr4 |= CR4_DE;
}
static void gd(struct world *w)
{
    w->c->dr[7] |= DR7_GD;
}
static void de_gd(struct world *w)
{
    de(w);
    gd(w);
}

FAULT_TABLE(debug_registers, checks, {"17.2.2 DR4 is DR6", 0, 0, OK, 0, {0x0f, 0x21, 0xe0}},
            {"17.2.2 DR5 is DR7", 0, 0, OK, 0, {0x0f, 0x21, 0xe8}},
            {"17.2.2 DR4 with DE", 0, 0, VEC_UD, 0, {0x0f, 0x21, 0xe0}, {0}, de},
            {"17.2.2 DR5 with DE", 0, 0, VEC_UD, 0, {0x0f, 0x23, 0xe8}, {0}, de},
            {"#GP before #UD (AMD)", 3, 0, VEC_GP, 0, {0x0f, 0x23, 0xe8}, {0}, de},
            {"17.2.4 GD: read", 0, 0, VEC_DB, 0, {0x0f, 0x21, 0xc0}, {0}, gd},
            {"17.2.4 GD: write", 0, 0, VEC_DB, 0, {0x0f, 0x23, 0xf8}, {0}, gd},
            {"17.2.4 #GP before GD", 3, 0, VEC_GP, 0, {0x0f, 0x23, 0xf8}, {0}, gd},
            {"17.2.4 #UD before GD", 0, 0, VEC_UD, 0, {0x0f, 0x23, 0xe8}, {0}, de_gd}, )

Test(debug_registers, general_detect_sets_bd_and_clears_gd)
{
    struct world *w = world_new(0);
    gd(w);
    WORLD_CODE(w, 0x0f, 0x21, 0xc0);
    const struct outcome o = world_step(w);
    cr_expect_eq(o.vector, VEC_DB);
    cr_expect_eq(o.eip, W_CODE, "a fault");
    cr_expect(w->c->dr[6] & DR6_BD);
    cr_expect_eq(w->c->dr[7] & DR7_GD, 0);
    world_free(w);
}

Test(debug_registers, fixed_bits)
{
    struct world *w = world_new(0);
    w->c->gpr[R_EAX] = 0;
    w->c->gpr[R_EBX] = 0xffffffff & ~(uint32_t)DR7_GD;
    WORLD_CODE(w, 0x0f, 0x23, 0xf0, 0x0f, 0x21, 0xf1, 0x0f, 0x23, 0xfb, 0x0f, 0x21, 0xfa);
    for (int k = 0; k < 4; k++)
        cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_ECX], DR6_ONES);
    cr_expect_eq(w->c->gpr[R_EDX], 0xffff27ff & ~(uint32_t)DR7_GD);
    world_free(w);
}

/* --- MSRs --- */

struct msr_row {
    uint32_t msr;
    uint64_t val;
    bool read, write;
};

static const struct msr_row msrs[] = {
    {MSR_TSC, 0x123456789, true, true},
    {MSR_PLATFORM_ID, 1, true, false},
    {MSR_APIC_BASE, 0xfee00900, true, true},
    {MSR_APIC_BASE, 1, true, false},
    {MSR_APIC_BASE, 1ull << 40, true, false},
    {MSR_TSC_ADJUST, 0, false, false},
    {MSR_UCODE_REV, 0, true, true},
    {MSR_UCODE_WRITE, 0, false, true},
    {MSR_MTRR_CAP, 0, true, false},
    {MSR_SYSENTER_CS, 8, true, true},
    {MSR_SYSENTER_ESP, 0x1234, true, true},
    {MSR_SYSENTER_EIP, 0x5678, true, true},
    {MSR_MISC_ENABLE, 1, true, true},
    {MSR_PAT, 0x0007040600070406, true, true},
    {MSR_PAT, 0x0007040600070402, true, false},
    {MSR_PAT, 0x0807040600070406, true, false},
    {MSR_MTRR_DEF_TYPE, 0xc06, true, true},
    {MSR_MTRR_DEF_TYPE, 2, true, false},
    {MSR_MTRR_DEF_TYPE, 0x1000, true, false},
    {MSR_EFER, 0, false, false},
    {0x12345, 0, false, false},
    {0xc0000081, 0, false, false},
};

Test(msr, known_ones_and_gp_for_others)
{
    for (size_t k = 0; k < sizeof msrs / sizeof *msrs; k++)
        for (unsigned write = 0; write < 2; write++) {
            struct world *w = world_new(0);
            own_cpuid(w);
            w->c->gpr[R_ECX] = msrs[k].msr;
            w->c->gpr[R_EAX] = (uint32_t)msrs[k].val;
            w->c->gpr[R_EDX] = (uint32_t)(msrs[k].val >> 32);
            WORLD_CODE(w, 0x0f, write ? 0x30 : 0x32);
            const struct outcome o = world_step(w);
            const bool ok = write ? msrs[k].write : msrs[k].read;
            cr_expect_eq(o.vector, ok ? -1 : VEC_GP, "%s %#x %#lx", write ? "WRMSR" : "RDMSR",
                         msrs[k].msr, (unsigned long)msrs[k].val);
            world_free(w);
        }
}

Test(msr, efer_has_nxe_where_nx_is_offered)
{
    for (unsigned nx = 0; nx < 2; nx++)
        for (unsigned bit = 0; bit < 16; bit++) {
            struct world *w = world_new(0);
            own_cpuid(w);
            policy = (struct cpuid_policy){.pae = true, .nx = nx};
            w->c->gpr[R_ECX] = MSR_EFER;
            w->c->gpr[R_EAX] = 1u << bit;
            WORLD_CODE(w, 0x0f, 0x30);
            const bool ok = nx && 1u << bit == EFER_NXE;
            cr_expect_eq(world_step(w).vector, ok ? -1 : VEC_GP);
            cr_expect_eq(w->c->efer, ok ? EFER_NXE : 0);
            cr_expect_eq(w->e->n_cr_written, ok);
            world_free(w);
        }
    policy = (struct cpuid_policy){0};
}

Test(msr, tsc_is_written_by_its_offset)
{
    struct world *w = world_new(0);
    w->e->tsc = 1000;
    w->c->gpr[R_ECX] = MSR_TSC;
    w->c->gpr[R_EAX] = 5000;
    w->c->gpr[R_EDX] = 1;
    WORLD_CODE(w, 0x0f, 0x30);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->tsc_offset, (1ull << 32) + 5000 - 1100);
    world_free(w);
}

Test(msr, tsc_adjust_is_what_was_written_to_the_tsc)
{
    struct world *w = world_new(0);
    own_cpuid(w);
    policy = (struct cpuid_policy){.tsc_khz = 1000000};
    w->c->tsc_offset = 0x500000003;
    w->c->gpr[R_ECX] = MSR_TSC_ADJUST;
    WORLD_CODE(w, 0x0f, 0x32, 0x40, 0x0f, 0x30);
    for (int k = 0; k < 3; k++)
        cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(w->c->gpr[R_EDX], 5);
    cr_expect_eq(w->c->tsc_offset, 0x500000004);
    world_free(w);
    policy = (struct cpuid_policy){0};
}

Test(msr, rdpmc_has_no_counter)
{
    for (unsigned cpl = 0; cpl < 4; cpl += 3) {
        struct world *w = world_new(cpl);
        w->c->cr4 |= CR4_PCE;
        WORLD_CODE(w, 0x0f, 0x33);
        cr_expect_eq(world_step(w).vector, VEC_GP);
        world_free(w);
    }
}

/* --- CPUID --- */

static void query(const struct cpuid_policy *p, uint32_t leaf, uint32_t out[4])
{
    cpuid_query(p, NULL, leaf, 0, out);
}

Test(cpuid, tells_family_6_and_what_is_there)
{
    const struct cpuid_policy none = {0};
    uint32_t r[4];
    query(&none, 0, r);
    cr_expect_eq(r[0], 2);
    query(&none, 1, r);
    cr_expect_eq(r[0] >> 8 & 15, 6);
    const uint32_t want = CPUID_FPU | CPUID_DE | CPUID_PSE | CPUID_TSC | CPUID_MSR | CPUID_CX8 |
                          CPUID_SEP | CPUID_PGE | CPUID_CMOV | CPUID_PAT | CPUID_CLFSH | CPUID_MMX |
                          CPUID_FXSR | CPUID_SSE | CPUID_SSE2;
    cr_expect_eq(r[3], want);
    cr_expect_eq(r[2], 0, "no SSE3 and later");
    query(&none, 0x80000001, r);
    cr_expect_eq(r[3], 0);
}

Test(cpuid, policy_adds_features)
{
    const struct cpuid_policy all = {
        .pae = true, .nx = true, .umip = true, .apic = true, .hypervisor = true};
    const struct cpuid_policy nx_without_pae = {.nx = true};
    uint32_t r[4];
    query(&all, 0, r);
    cr_expect_eq(r[0], 7);
    query(&all, 1, r);
    cr_expect(r[3] & CPUID_PAE && r[3] & CPUID_APIC && r[2] & CPUID_1_ECX_HYPERVISOR);
    query(&all, 7, r);
    cr_expect_eq(r[2], CPUID_7_ECX_UMIP);
    query(&all, 0x80000001, r);
    cr_expect_eq(r[3], CPUID_81_EDX_NX);
    query(&all, 0x40000000, r);
    cr_expect_eq(memcmp(&r[1], "UmbraUmbra", 10), 0);
    query(&nx_without_pae, 0x80000001, r);
    cr_expect_eq(r[3], 0);
}

Test(cpuid, brand_string_and_last_leaves)
{
    const struct cpuid_policy none = {0};
    uint32_t r[12], last[4], beyond[4];
    query(&none, 0x80000000, last);
    cr_expect_eq(last[0], 0x80000007);
    for (unsigned k = 0; k < 3; k++)
        query(&none, 0x80000002 + k, r + 4 * k);
    cr_expect_str_eq((const char *)r, "Umbra");
    query(&none, 2, last);
    query(&none, 0x17, beyond);
    cr_expect_arr_eq(last, beyond, sizeof last, "CPUID: beyond the last, the last basic leaf");
    query(&none, 0x80000008, beyond);
    cr_expect_arr_eq(last, beyond, sizeof last);
}

/* A kernel that takes the TSC's rate from here need not measure it, and must come to the same. */
Test(cpuid, rate_of_the_tsc)
{
    static const uint32_t khz[] = {1000000, 2400000, 3892275, 4200000};
    uint32_t r[4];
    for (size_t k = 0; k < sizeof khz / sizeof *khz; k++) {
        const struct cpuid_policy p = {.tsc_khz = khz[k]};
        query(&p, 0, r);
        cr_expect_eq(r[0], 0x16);
        query(&p, 0x15, r);
        const uint32_t told = r[2] / 1000 * r[1] / r[0]; /* in 32 bits, as Linux does */
        cr_expect(abs((int)(told - khz[k])) <= (int)(khz[k] / 100000), "%u kHz told as %u", khz[k],
                  told);
        query(&p, 0x16, r);
        cr_expect_eq(r[0], khz[k] / 1000);
        query(&p, 0x80000007, r);
        cr_expect_eq(r[3], CPUID_87_EDX_INVARIANT);
        query(&p, 7, r);
        cr_expect_eq(r[1], CPUID_7_EBX_TSC_ADJUST);
        cr_expect_eq(r[2], 0, "a longer list of leaves offers no UMIP by itself");
    }
    const struct cpuid_policy unknown = {.umip = true};
    query(&unknown, 0x80000007, r);
    cr_expect_eq(r[3], 0);
}

Test(cpuid, apic_flag_follows_its_enable_bit)
{
    const struct cpuid_policy p = {.apic = true};
    struct cpu c;
    uint32_t r[4];
    cpu_reset(&c);
    cpuid_query(&p, &c, 1, 0, r);
    cr_expect(r[3] & CPUID_APIC);
    c.apic_base &= ~(1ull << 11);
    cpuid_query(&p, &c, 1, 0, r);
    cr_expect_not(r[3] & CPUID_APIC);
}

Test(cpuid, instruction_gives_all_four_registers)
{
    struct world *w = world_new(3);
    own_cpuid(w);
    w->c->gpr[R_EAX] = 0;
    WORLD_CODE(w, 0x0f, 0xa2);
    cr_assert_eq(world_step(w).vector, -1);
    cr_expect_eq(memcmp(&w->c->gpr[R_EBX], "Genu", 4), 0);
    cr_expect_eq(memcmp(&w->c->gpr[R_EDX], "ineI", 4), 0);
    cr_expect_eq(memcmp(&w->c->gpr[R_ECX], "ntel", 4), 0);
    world_free(w);
}
