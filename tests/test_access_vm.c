/*
 * The exhaustive access test on whole machines: prediction of the reference MMU = result of the
 * engine, for fault, CR2, error code, and what becomes of the entries, before and after each
 * disturbing event.
 *
 * ACCESS_STEP=1 in the environment runs every case of the sampled sets, ACCESS_LARGE_STEP=1 of
 * those with 2 MiB shadow entries.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/access_vm.h"

static uint32_t step_of(uint32_t usual, bool large)
{
    const char *s = getenv(large ? "ACCESS_LARGE_STEP" : "ACCESS_STEP");
    return s ? (uint32_t)strtoul(s, NULL, 0) : usual;
}

static void agrees_with(enum vm_engine engine, enum vm_ring0 ring0, enum access_set set,
                        uint32_t step, bool audit, bool large)
{
    const char *why = "";
    struct access_vm *a = access_vm_new(engine, ring0, large, &why);
    if (!a)
        cr_skip_test("this host cannot: %s", why);
    struct access_engine e = access_vm_engine(a);
    struct access_tally t = {0};
    access_vm_audit(a, audit);
    cr_assert_eq(access_check(&e, set, 0, step_of(step, large), &t), 0,
                 "the engine gave up after %llu: %s", (unsigned long long)t.run, t.first);
    cr_assert_eq(t.failed, 0, "%llu of %llu failed, the first:\n%s", (unsigned long long)t.failed,
                 (unsigned long long)t.run, t.first);
    printf("%s: %llu accesses, %llu of them faults, none differs; %llu pages came back from swap\n",
           e.name, (unsigned long long)t.run, (unsigned long long)t.faults,
           (unsigned long long)access_vm_swapped(a));
    cr_assert(access_vm_swapped(a) > t.run / 20);
    const unsigned long long collapses = access_vm_collapses(a);
    if (large)
        printf("%llu times 2 MiB were mapped as one\n", collapses);
    cr_assert(large ? collapses > t.run / 500 : collapses == 0, "%llu", collapses);
    access_vm_free(a);
}

static void agrees(enum vm_engine engine, enum vm_ring0 ring0, enum access_set set, uint32_t step,
                   bool audit)
{
    agrees_with(engine, ring0, set, step, audit, false);
}

Test(access_vm, soft_on_two_level_tables)
{
    agrees(VM_ENGINE_SOFT, VM_RING0_AUTO, ACCESS_TWO_LEVEL, 1, false);
}

Test(access_vm, soft_on_two_level_tables_with_audit)
{
    agrees(VM_ENGINE_SOFT, VM_RING0_AUTO, ACCESS_TWO_LEVEL, 101, true);
}

Test(access_vm, soft_on_bits_that_must_not_matter)
{
    agrees(VM_ENGINE_SOFT, VM_RING0_AUTO, ACCESS_TWO_LEVEL_FULL, 41, false);
}

Test(access_vm, soft_on_pae_tables)
{
    agrees(VM_ENGINE_SOFT, VM_RING0_AUTO, ACCESS_PAE, 41, false);
}

Test(access_vm, kvm_on_two_level_tables)
{
    agrees(VM_ENGINE_KVM, VM_RING0_NATIVE, ACCESS_TWO_LEVEL, 11, false);
}

Test(access_vm, kvm_on_pae_tables)
{
    agrees(VM_ENGINE_KVM, VM_RING0_NATIVE, ACCESS_PAE, 211, false);
}

Test(access_vm, kvm_for_ring_3_only)
{
    agrees(VM_ENGINE_KVM, VM_RING0_SOFT, ACCESS_TWO_LEVEL, 13, false);
}

/* With the 2 MiB around a large page's access mapped as one. Each step is a prime of its own, so
 * that other cases are met than above. */
Test(access_vm, soft_with_large_entries)
{
    agrees_with(VM_ENGINE_SOFT, VM_RING0_AUTO, ACCESS_TWO_LEVEL, 19, false, true);
}

Test(access_vm, soft_with_large_entries_and_audit)
{
    agrees_with(VM_ENGINE_SOFT, VM_RING0_AUTO, ACCESS_TWO_LEVEL, 503, true, true);
}

Test(access_vm, soft_with_large_entries_on_pae_tables)
{
    agrees_with(VM_ENGINE_SOFT, VM_RING0_AUTO, ACCESS_PAE, 397, false, true);
}

Test(access_vm, kvm_with_large_entries)
{
    agrees_with(VM_ENGINE_KVM, VM_RING0_NATIVE, ACCESS_TWO_LEVEL, 151, false, true);
}

Test(access_vm, kvm_with_large_entries_on_pae_tables)
{
    agrees_with(VM_ENGINE_KVM, VM_RING0_NATIVE, ACCESS_PAE, 3001, false, true);
}
