/* CPUID, RDMSR, WRMSR, RDTSC, RDPMC (SDM vol. 2 under each). */
#include "vmm/cpu/msr.h"
#include "vmm/soft/soft_sys.h"

void soft_op_cpuid(struct soft *s, const struct insn *i)
{
    const struct soft_env *env = soft_core(s)->env;
    struct cpu *c = CPU(s);
    uint32_t out[4] = {0};
    (void)i;

    env->cpuid(env->ctx, c->gpr[R_EAX], c->gpr[R_ECX], out);
    c->gpr[R_EAX] = out[0];
    c->gpr[R_EBX] = out[1];
    c->gpr[R_ECX] = out[2];
    c->gpr[R_EDX] = out[3];
}

static void set_edx_eax(struct cpu *c, uint64_t v)
{
    c->gpr[R_EAX] = (uint32_t)v;
    c->gpr[R_EDX] = (uint32_t)(v >> 32);
}

static uint64_t now(struct soft *s)
{
    const struct soft_env *env = soft_core(s)->env;
    return env->tsc(env->ctx);
}

void soft_op_rdtsc(struct soft *s, const struct insn *i)
{
    (void)i;
    if (CPU(s)->cr4 & CR4_TSD)
        soft_need_cpl0(s);
    set_edx_eax(CPU(s), now(s));
}

/* There is no performance counter, so no number in ECX is valid. */
void soft_op_rdpmc(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_raise_err(s, VEC_GP, 0);
}

void soft_op_rdmsr(struct soft *s, const struct insn *i)
{
    const struct soft_env *env = soft_core(s)->env;
    struct cpu *c = CPU(s);
    const uint32_t msr = c->gpr[R_ECX];
    uint64_t v = 0;
    (void)i;

    soft_need_cpl0(s);
    if (msr == MSR_TSC)
        v = now(s);
    else if (msr == MSR_TSC_ADJUST && soft_tsc_adjusts(s))
        v = c->tsc_offset; /* both move with each write of either (SDM vol. 3, 18.17.3) */
    else if (!msr_read(c, msr, soft_efer_allowed(s), &v) &&
             !(env->rdmsr && env->rdmsr(env->ctx, msr, &v)))
        soft_raise_err(s, VEC_GP, 0);
    set_edx_eax(c, v);
}

static bool write_efer(struct soft *s, uint64_t v, uint64_t allowed)
{
    const struct soft_env *env = soft_core(s)->env;
    struct cpu *c = CPU(s);
    const uint64_t old = c->efer;

    if (!msr_write(c, MSR_EFER, allowed, v))
        return false;
    if (env->cr_written && !env->cr_written(env->ctx, -1, (uint32_t)old)) {
        c->efer = old;
        return false;
    }
    soft_tlb_flush(s);
    return true;
}

static bool write_msr(struct soft *s, uint32_t msr, uint64_t v)
{
    const struct soft_env *env = soft_core(s)->env;
    const uint64_t efer = soft_efer_allowed(s);
    struct cpu *c = CPU(s);

    if (msr == MSR_TSC) {
        c->tsc_offset += v - now(s);
        return true;
    }
    if (msr == MSR_TSC_ADJUST && soft_tsc_adjusts(s)) {
        c->tsc_offset = v;
        return true;
    }
    if (msr == MSR_EFER && efer)
        return write_efer(s, v, efer);
    if (msr == MSR_APIC_BASE) {
        const bool taken = msr_write(c, msr, efer, v);
        if (taken && env->apic_base)
            env->apic_base(env->ctx);
        return taken;
    }
    if (msr_known(msr, efer))
        return msr_write(c, msr, efer, v);
    return env->wrmsr && env->wrmsr(env->ctx, msr, v);
}

void soft_op_wrmsr(struct soft *s, const struct insn *i)
{
    const struct cpu *c = CPU(s);
    const uint64_t v = (uint64_t)c->gpr[R_EDX] << 32 | c->gpr[R_EAX];
    (void)i;

    soft_need_cpl0(s);
    if (!write_msr(s, c->gpr[R_ECX], v))
        soft_raise_err(s, VEC_GP, 0);
}
