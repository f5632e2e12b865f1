/*
 * A whole machine (memory manager, shadow tables, an engine) as an engine for the access cases:
 * what the guest's MMU does must be what the reference MMU does, also after each event that must
 * not show.
 */
#ifndef UMBRA_TESTS_ACCESS_VM_H
#define UMBRA_TESTS_ACCESS_VM_H

#include "tests/access_cases.h"
#include "vmm/vm.h"

struct access_vm;

/* NULL: this host cannot run the engine, said in why. hybrid: ring 0 on soft, ring 3 on kvm. large:
 * 2 MiB shadow entries, over memory that is all there. */
struct access_vm *access_vm_new(enum vm_engine engine, enum vm_ring0 ring0, bool large,
                                const char **why);
void access_vm_free(struct access_vm *a);
struct access_engine access_vm_engine(struct access_vm *a);
/* Audit of memory manager and shadow after every access from now on. */
void access_vm_audit(struct access_vm *a, bool on);

/* Pages that its events have sent out to swap so far. */
uint64_t access_vm_swapped(const struct access_vm *a);
/* 2 MiB entries that came to be. */
uint64_t access_vm_collapses(const struct access_vm *a);

#endif
