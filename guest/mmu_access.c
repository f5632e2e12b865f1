/*
 * mmu_access: the exhaustive access test, run by the guest itself on whatever machine it finds.
 * Each case's page tables are set up, the access is made, and fault, error code, CR2 and the
 * entries are held against the reference MMU, which is compiled in.
 *
 * step=N takes each N-th case of the two-level set (1), pae=N of the PAE set (17; 0: none).
 *
 * Other machines than our own monitor are held to the manual where it is one for all: the accessed
 * bit of a PDE when the access faults is the processor's to choose, and some emulators leave P
 * clear beside RSVD. Of reserved bits such a machine gets those that every processor has: bit 21 of
 * a 4 MiB page (the others may be PSE-36's, offered or not), bit 45 of a PAE entry.
 */
#include "guest/rt/paging.h"
#include "tests/access_cases.h"

static uint32_t identity;
static bool exact;
static uint32_t run_count, fault_count, wrong;

static bool big(const struct access_case *c)
{
    return (c->pde & PTE_PS) && (c->pae || (c->cr4 & CR4_PSE));
}

static uint64_t one_high_bit(uint64_t entry)
{
    const uint64_t high = ~(uint64_t)0 >> 1 >> ACCESS_MAXPHYADDR << ACCESS_MAXPHYADDR;

    return (entry & ~high) | (entry & high ? (uint64_t)1 << 45 : 0);
}

static void adapt(struct access_case *c)
{
    if (exact)
        return;
    if (c->pae) {
        c->pde = one_high_bit(c->pde);
        c->pte = one_high_bit(c->pte);
    } else if (big(c) && (c->pde & 0x3fe000)) {
        c->pde = (c->pde & ~(uint64_t)0x3fe000) | 0x200000;
    }
}

static void put_entry(uint32_t gpa, uint64_t v, bool wide)
{
    store32(gpa, (uint32_t)v);
    if (wide)
        store32(gpa + 4, (uint32_t)(v >> 32));
}

static uint64_t get_entry(uint32_t gpa, bool wide)
{
    return load32(gpa) | (wide ? (uint64_t)load32(gpa + 4) << 32 : 0);
}

static void set_up(const struct access_case *c)
{
    put_entry(access_pde_gpa(c), c->pde, c->pae);
    put_entry(access_pte_gpa(c), c->pte, c->pae);
    write_cr4(c->cr4 ^ CR4_PGE); /* global pages outlive CR3 */
    write_cr4(c->cr4);
    if (c->pae && (cpuid_edx(0x80000001) & CPUID81_NX))
        wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~(uint64_t)EFER_NXE) | (c->nxe ? EFER_NXE : 0));
    pg_set_wp((c->cr0 & CR0_WP) != 0);
    flush_tlb();
    trap_forget();
}

static bool make_access(const struct access_case *c)
{
    uint32_t v;

    if (c->user)
        return c->kind == REF_READ    ? user_read(ACCESS_LA, &v)
               : c->kind == REF_WRITE ? user_write(ACCESS_LA, TRY_FETCH_CODE)
                                      : user_fetch(ACCESS_LA);
    return c->kind == REF_READ    ? try_read(ACCESS_LA, &v)
           : c->kind == REF_WRITE ? try_write(ACCESS_LA, TRY_FETCH_CODE)
                                  : try_fetch(ACCESS_LA);
}

static void report(uint32_t index, const struct access_case *c, const struct access_result *want,
                   const struct access_result *got)
{
    static const char *const kinds[] = {"read", "write", "fetch"};

    if (wrong++ >= 10)
        return;
    tap_note("case %u: CR0 %08x CR4 %x NXE %u PDE %08x%08x PTE %08x%08x %s %s", index, c->cr0,
             c->cr4, c->nxe, (uint32_t)(c->pde >> 32), (uint32_t)c->pde, (uint32_t)(c->pte >> 32),
             (uint32_t)c->pte, c->user ? "user" : "supervisor", kinds[c->kind]);
    tap_note("  due: fault %u error %x CR2 %08x PDE %08x PTE %08x", want->fault, want->error,
             want->cr2, (uint32_t)want->pde, (uint32_t)want->pte);
    tap_note("  got: fault %u error %x CR2 %08x PDE %08x PTE %08x", got->fault, got->error,
             got->cr2, (uint32_t)got->pde, (uint32_t)got->pte);
}

static void check(uint32_t index, const struct access_case *c)
{
    struct access_result want, got;
    const struct fault *f = trap_last();

    access_expect(c, &want);
    set_up(c);
    got = (struct access_result){.fault = !make_access(c)};
    if (got.fault) {
        got.error = f->at.error;
        got.cr2 = f->cr2;
    }
    got.pde = get_entry(access_pde_gpa(c), c->pae);
    got.pte = get_entry(access_pte_gpa(c), c->pae);
    if (want.fault && !exact) {
        got.pde = (got.pde & ~(uint64_t)PTE_A) | (want.pde & PTE_A);
        got.error |= got.error & PF_RSVD ? want.error & PF_P : 0;
    }
    run_count++;
    fault_count += want.fault;
    if (want.fault != got.fault || want.error != got.error || want.cr2 != got.cr2 ||
        want.pde != got.pde || want.pte != got.pte || (got.fault && f->at.vector != V_PF))
        report(index, c, &want, &got);
}

static void check_set(enum access_set set, uint32_t step, bool nx, const char *name)
{
    run_count = fault_count = wrong = 0;
    for (uint32_t i = 0; i < access_count(set); i += step) {
        struct access_case c;
        access_make(set, i, &c);
        c.nxe = c.nxe && nx;
        adapt(&c);
        check(i, &c);
    }
    tap_ok(!wrong && run_count, "%s: %u cases as the model says, %u of them faults", name,
           run_count - wrong, fault_count);
    if (wrong)
        tap_note("%u cases went otherwise", wrong);
}

static void two_level(uint32_t step)
{
    for (unsigned i = 0; i < 3; i++)
        store32(ACCESS_PD + 4 * i, load32(identity + 4 * i));
    pg_start(ACCESS_PD, true, 0);
    check_set(ACCESS_TWO_LEVEL, step, true, "two-level tables");
    write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
    write_cr4(0);
}

static void pae(uint32_t step)
{
    memset((void *)ACCESS_PD, 0, 2 * PAGE_SIZE);
    for (uint32_t i = 0; i < 6; i++)
        put_entry(ACCESS_PD + 8 * i, i << 21 | PTE_P | PTE_W | PTE_U | PTE_PS, true);
    put_entry(ACCESS_PDPT, ACCESS_PD | PTE_P, true);
    pg_start(ACCESS_PDPT, true, CR4_PAE);
    check_set(ACCESS_PAE, step, (cpuid_edx(0x80000001) & CPUID81_NX) != 0, "PAE tables");
    write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
}

int main(void)
{
    const uint32_t pae_step = rt_option("pae", 17);

    if (rt_ram_end() < ACCESS_RAM)
        rt_panic("needs %u MiB of RAM", ACCESS_RAM >> 20);
    exact = rt_monitor_present();
    identity = pg_identity();
    if (pg_free_start() > ACCESS_OURS)
        rt_panic("the image reaches into the cases' memory: %08x", pg_free_start());
    store32(ACCESS_PAGE + (ACCESS_LA & 0xfff), TRY_FETCH_CODE);
    store32(ACCESS_BIG + (ACCESS_LA & 0x3fffff), TRY_FETCH_CODE);
    store32(ACCESS_BIG + (ACCESS_LA & 0x1fffff), TRY_FETCH_CODE);
    two_level(rt_option("step", 1));
    if (!pae_step || !(cpuid_edx(1) & CPUID1_PAE))
        tap_note("PAE: %s", pae_step ? "the processor has none" : "not asked for");
    else
        pae(pae_step);
    return tap_done();
}
