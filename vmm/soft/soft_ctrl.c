/* Control and debug registers, descriptor-table registers, HLT and the like (SDM vol. 2 under each;
 * vol. 3, 2.5, 2.8, 17.2). */
#include <string.h>

#include "vmm/soft/soft_sys.h"

#define CR0_DEFINED                                                                                \
    ((uint32_t)CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW |    \
     CR0_CD | CR0_PG)
/* Changes of CR0 that change what a translation means. */
#define CR0_PAGING ((uint32_t)CR0_PE | CR0_WP | CR0_PG)

/* Feature bits of CPUID leaf 1 EDX, each with the CR4 bit that it makes valid (SDM vol. 3, 2.5).
 * CR4.VME and CR4.PVI are not implemented, whatever CPUID says. */
static const struct {
    uint8_t edx_bit;
    uint16_t cr4;
} cr4_features[] = {
    {2, CR4_DE},  {3, CR4_PSE},  {4, CR4_TSD},     {6, CR4_PAE},
    {7, CR4_MCE}, {13, CR4_PGE}, {24, CR4_OSFXSR}, {25, CR4_OSXMMEXCPT},
};

static void ask_cpuid(struct soft *s, uint32_t leaf, uint32_t out[4])
{
    const struct soft_env *env = soft_core(s)->env;
    env->cpuid(env->ctx, leaf, 0, out);
}

/* Zeros where there is no such leaf. */
static void ask_leaf_7(struct soft *s, uint32_t out[4])
{
    ask_cpuid(s, 0, out);
    if (out[0] >= 7)
        ask_cpuid(s, 7, out);
    else
        memset(out, 0, 4 * sizeof *out);
}

uint32_t soft_cr4_allowed(struct soft *s)
{
    uint32_t id[4], allowed = CR4_PCE;

    ask_cpuid(s, 1, id);
    for (size_t k = 0; k < sizeof cr4_features / sizeof *cr4_features; k++)
        if (id[3] >> cr4_features[k].edx_bit & 1)
            allowed |= cr4_features[k].cr4;
    ask_leaf_7(s, id);
    if (id[2] & 1u << 2)
        allowed |= CR4_UMIP;
    return allowed;
}

bool soft_tsc_adjusts(struct soft *s)
{
    uint32_t id[4];
    ask_leaf_7(s, id);
    return (id[1] & 1u << 1) != 0;
}

/* NXE where CPUID offers NX; SYSCALL and long mode are not implemented. */
uint64_t soft_efer_allowed(struct soft *s)
{
    uint32_t id[4];

    ask_cpuid(s, 0x80000000u, id);
    if (id[0] < 0x80000001u || id[0] > 0x8000ffffu)
        return 0;
    ask_cpuid(s, 0x80000001u, id);
    return (id[3] & 1u << 20) ? EFER_NXE : 0;
}

/* Store a control register and tell the monitor; it may refuse. */
static void commit_cr(struct soft *s, int reg, uint32_t *cr, uint32_t v)
{
    const struct soft_env *env = soft_core(s)->env;
    const uint32_t old = *cr;

    *cr = v;
    if (env->cr_written && !env->cr_written(env->ctx, reg, old)) {
        *cr = old;
        soft_raise_err(s, VEC_GP, 0);
    }
}

static void set_cr0(struct soft *s, uint32_t v)
{
    struct cpu *c = CPU(s);
    const uint32_t old = c->cr0;

    v = (v & CR0_DEFINED) | CR0_ET;
    if ((v & CR0_PG) && !(v & CR0_PE))
        soft_raise_err(s, VEC_GP, 0);
    if ((v & CR0_NW) && !(v & CR0_CD))
        soft_raise_err(s, VEC_GP, 0);
    if (v == old)
        return;
    commit_cr(s, 0, &c->cr0, v);
    if ((v ^ old) & CR0_PAGING)
        soft_tlb_flush(s);
    soft_mode_changed(s);
}

static void set_cr3(struct soft *s, uint32_t v)
{
    commit_cr(s, 3, &CPU(s)->cr3, v);
    if (!soft_core(s)->env->cr_written)
        soft_tlb_flush(s);
}

static void set_cr4(struct soft *s, uint32_t v)
{
    struct cpu *c = CPU(s);

    if (v & ~soft_cr4_allowed(s))
        soft_raise_err(s, VEC_GP, 0);
    commit_cr(s, 4, &c->cr4, v);
    soft_tlb_flush(s);
    soft_mode_changed(s);
}

/* MOV CR and MOV DR take a register whatever the mod field says. */
static unsigned modrm_rm(const struct insn *i)
{
    return i->modrm & 7;
}

static unsigned modrm_reg(const struct insn *i)
{
    return (i->modrm >> 3) & 7;
}

static uint32_t *control_register(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);

    if (i->flags & INSN_LOCK)
        soft_raise(s, VEC_UD);
    switch (modrm_reg(i)) {
    case 0: return &c->cr0;
    case 2: return &c->cr2;
    case 3: return &c->cr3;
    case 4: return &c->cr4;
    default: soft_raise(s, VEC_UD);
    }
}

void soft_op_mov_from_cr(struct soft *s, const struct insn *i)
{
    const uint32_t *cr = control_register(s, i);
    soft_need_cpl0(s);
    CPU(s)->gpr[modrm_rm(i)] = *cr;
}

void soft_op_mov_to_cr(struct soft *s, const struct insn *i)
{
    uint32_t *cr = control_register(s, i);
    const uint32_t v = CPU(s)->gpr[modrm_rm(i)];

    soft_need_cpl0(s);
    switch (modrm_reg(i)) {
    case 0: set_cr0(s, v); break;
    case 3: set_cr3(s, v); break;
    case 4: set_cr4(s, v); break;
    default: *cr = v; break;
    }
}

/* CLTS and LMSW change what MOV CR0 changes. */
void soft_op_clts(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_need_cpl0(s);
    set_cr0(s, CPU(s)->cr0 & ~(uint32_t)CR0_TS);
}

/* PE can be set but not cleared. */
void soft_op_lmsw(struct soft *s, const struct insn *i)
{
    const uint32_t low = CR0_PE | CR0_MP | CR0_EM | CR0_TS;

    soft_need_cpl0(s);
    const uint32_t v = soft_rm16(s, i) & low;
    const uint32_t cr0 = CPU(s)->cr0;
    set_cr0(s, (cr0 & ~low) | (cr0 & CR0_PE) | v);
}

static void user_may_not_look(struct soft *s)
{
    if (CPU(s)->cr4 & CR4_UMIP)
        soft_need_cpl0(s);
}

/* A 32-bit register takes all of CR0. */
void soft_op_smsw(struct soft *s, const struct insn *i)
{
    user_may_not_look(s);
    soft_store_rm16(s, i, CPU(s)->cr0);
}

/* --- debug registers --- */

/* #GP before #UD (as AMD processors have it) before #DB; DR4 and DR5 are DR6 and DR7 unless CR4.DE
 * (SDM vol. 3, 17.2.2). */
static unsigned debug_register(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    unsigned n = modrm_reg(i);

    soft_need_cpl0(s);
    if (n == 4 || n == 5) {
        if (c->cr4 & CR4_DE)
            soft_raise(s, VEC_UD);
        n += 2;
    }
    if (c->dr[7] & DR7_GD) {
        c->dr[6] |= DR6_BD;
        soft_raise(s, VEC_DB);
    }
    return n;
}

void soft_op_mov_from_dr(struct soft *s, const struct insn *i)
{
    const unsigned n = debug_register(s, i);
    CPU(s)->gpr[modrm_rm(i)] = CPU(s)->dr[n];
}

void soft_op_mov_to_dr(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const unsigned n = debug_register(s, i);
    uint32_t v = c->gpr[modrm_rm(i)];

    if (n == 6)
        v = (v & 0xe00fu) | DR6_ONES;
    else if (n == 7)
        v = (v & 0xffff23ffu) | DR7_ONE;
    c->dr[n] = v;
    soft_mode_changed(s);
}

/* --- descriptor-table registers --- */

static void load_table(struct soft *s, const struct insn *i, struct desc_table *t)
{
    uint8_t b[6];
    uint16_t limit;
    uint32_t base;

    if (!(i->flags & INSN_MEM))
        soft_raise(s, VEC_UD);
    soft_need_cpl0(s);
    soft_read_block(s, i->seg, soft_ea(s, i), b, sizeof b);
    memcpy(&limit, b, 2);
    memcpy(&base, b + 2, 4);
    t->limit = limit;
    t->base = insn_op16(i) ? base & 0xffffff : base;
}

/* The whole base is stored whatever the operand size, as processors do. */
static void store_table(struct soft *s, const struct insn *i, const struct desc_table *t)
{
    uint8_t b[6];

    if (!(i->flags & INSN_MEM))
        soft_raise(s, VEC_UD);
    user_may_not_look(s);
    memcpy(b, &t->limit, 2);
    memcpy(b + 2, &t->base, 4);
    soft_write_block(s, i->seg, soft_ea(s, i), b, sizeof b);
}

void soft_op_lgdt(struct soft *s, const struct insn *i)
{
    load_table(s, i, &CPU(s)->gdtr);
}

void soft_op_lidt(struct soft *s, const struct insn *i)
{
    load_table(s, i, &CPU(s)->idtr);
}

void soft_op_sgdt(struct soft *s, const struct insn *i)
{
    store_table(s, i, &CPU(s)->gdtr);
}

void soft_op_sidt(struct soft *s, const struct insn *i)
{
    store_table(s, i, &CPU(s)->idtr);
}

/* --- the rest --- */

void soft_op_invlpg(struct soft *s, const struct insn *i)
{
    const struct soft_env *env = soft_core(s)->env;

    if (!(i->flags & INSN_MEM))
        soft_raise(s, VEC_UD);
    soft_need_cpl0(s);
    const la_t la = CPU(s)->seg[i->seg].base + soft_ea(s, i);
    soft_tlb_drop(s, la);
    if (env->invlpg)
        env->invlpg(env->ctx, la);
}

void soft_op_hlt(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_need_cpl0(s);
    CPU(s)->halted = true;
}

/* INVD, WBINVD: there is no cache to write back. */
void soft_op_cache(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_need_cpl0(s);
}
