/*
 * The few assertions of Criterion that the kits use, for programs that run without it:
 * ThreadSanitizer and Criterion's process isolation want the same addresses.
 */
#ifndef UMBRA_TESTS_PLAIN_ASSERT_H
#define UMBRA_TESTS_PLAIN_ASSERT_H

#include <stdio.h>
#include <stdlib.h>

#define PLAIN_CHECK(ok, what)                                                                      \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, what);                      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define cr_assert(c, ...)           PLAIN_CHECK(c, #c)
#define cr_assert_eq(a, b, ...)     PLAIN_CHECK((a) == (b), #a " == " #b)
#define cr_assert_geq(a, b, ...)    PLAIN_CHECK((a) >= (b), #a " >= " #b)
#define cr_assert_leq(a, b, ...)    PLAIN_CHECK((a) <= (b), #a " <= " #b)
#define cr_expect_gt(a, b, ...)     PLAIN_CHECK((a) > (b), #a " > " #b)
#define cr_expect_eq(a, b, ...)     PLAIN_CHECK((a) == (b), #a " == " #b)
#define cr_expect_str_empty(s, ...) PLAIN_CHECK((s)[0] == '\0', s)

#endif
