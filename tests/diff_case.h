/* What differential tests do with a generated case: show it, shrink it, ask for its instructions.
 */
#ifndef UMBRA_TESTS_DIFF_CASE_H
#define UMBRA_TESTS_DIFF_CASE_H

#include <Zydis/Zydis.h>

#include "tests/diff_gen.h"

/* ZYDIS_MNEMONIC_INVALID where there is none. */
ZydisMnemonic diff_mnemonic(const struct diff_case *c, unsigned k);
ZydisMnemonic diff_mnemonic_at(const struct diff_case *c, uint32_t la);
bool diff_has_mnemonic(const struct diff_case *c, ZydisMnemonic m);

/* Make the case smaller as long as still() says that it shows what it shows. */
void diff_shrink(struct diff_case *c, bool (*still)(void *ctx, const struct diff_case *c),
                 void *ctx);

/* Code, state and memory, on stdout. */
void diff_show(const struct diff_case *c);

/*
 * Flags in which the host may differ because it is not the vendor that the soft CPU follows where
 * the manuals leave a choice (diff_vendor.c); UINT32_MAX: the case cannot be compared there. 0 on
 * AMD.
 */
uint32_t diff_vendor_flags(const struct diff_case *c);

#endif
