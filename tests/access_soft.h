/*
 * The soft CPU over the reference MMU as an engine for the access cases: what it tests is the soft
 * CPU (kinds of access, whose rights, delivery of #PF), and the shape an engine's driver has.
 */
#ifndef UMBRA_TESTS_ACCESS_SOFT_H
#define UMBRA_TESTS_ACCESS_SOFT_H

#include "tests/access_cases.h"

struct access_soft;

/* Failures of the host end the test program. */
struct access_soft *access_soft_new(void);
void access_soft_free(struct access_soft *s);
struct access_engine access_soft_engine(struct access_soft *s);

#endif
