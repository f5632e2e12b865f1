/*
 * mmu_fuzz's accesses: made by real instructions, held against the model. For guest/mmu_fuzz.c and
 * guest/fuzz/ only.
 */
#ifndef UMBRA_GUEST_FUZZ_ACCESS_H
#define UMBRA_GUEST_FUZZ_ACCESS_H

#include "guest/fuzz/memory.h"

struct fuzz_access {
    uint32_t la;
    enum refmmu_kind kind;
    bool user;
    unsigned size; /* of a write: 1, 2 or 4 */
    uint32_t v;    /* what is written; what was read */
};

/* Make the access, unless it might harm what keeps the guest going; false: it went as it must not,
 * and that has been said. */
bool fuzz_access_la(struct fuzz_access *a);
/* Do these bytes of a page keep the guest's own memory mapped? */
bool fuzz_kept(unsigned page, uint32_t offset);
/* One store from ring 0, in one of several ways. false: it faulted. */
bool fuzz_store(uint32_t la, uint32_t v, unsigned size);

#endif
