/*
 * What the kvm engine is known not to do exactly when it runs code natively: by its nature (guest
 * ring 0 at CPL 3), or because the host's KVM is an emulator with faults of its own. docs/kvm.md
 * has the list for people; whatever stands here stands there.
 */
#ifndef UMBRA_TESTS_DIFF_KNOWN_H
#define UMBRA_TESTS_DIFF_KNOWN_H

#include "tests/diff_case.h"
#include "tests/diff_machine.h"
#include "vmm/kvm/probe.h"

struct known {
    unsigned ring;
    bool all_wanted; /* nothing is excused */
    bool emulates;   /* the host's KVM is an emulator */
    bool sees_descs; /* LAR and its like execute, on the monitor's descriptors */
};

void known_init(struct known *k, unsigned ring, bool all_wanted, const struct kvm_findings *host);

/* Is there an instruction in the case that must not be compared? */
bool known_case(const struct known *k, const struct diff_case *c);

/* The soft machine has run the case. Must what came of it not be compared at all? */
bool known_outcome(const struct known *k, const struct diff_case *c,
                   const struct diff_machine *soft);
/* Both machines have run the case. Is the difference in which fault came first known? */
bool known_order(const struct known *k, const struct diff_machine *soft,
                 const struct diff_machine *kvm);
/* ... not the x87 and SSE state? */
bool known_fpu(const struct known *k, const struct diff_machine *soft);
/* ... not the page tables' accessed and dirty bits? */
bool known_tables(const struct known *k, const struct diff_machine *soft);
/* ... not the byte at la? */
bool known_byte(const struct known *k, const struct diff_machine *soft, la_t la);

#endif
