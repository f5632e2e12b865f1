/*
 * Values that people write: sizes, numbers, ranges, moments, one of some words. For command lines,
 * monitor commands and protocols alike.
 *
 * Each function returns 0, or -EINVAL/-ERANGE with a message in e (may be NULL) that quotes s; out
 * is written on success only.
 */
#ifndef UMBRA_VMM_VALUE_H
#define UMBRA_VMM_VALUE_H

#include <stdint.h>

#include "vmm/errmsg.h"

/* A number of bytes: decimal or 0x hex, then k, M, G or T (or KiB, MiB ...; 1024 each) or nothing.
 */
int value_size(const char *s, uint64_t *out, struct errmsg *e);
/* A number, decimal or 0x hex, in min..max. */
int value_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out, struct errmsg *e);

/* START-END (END is the last byte) or START+LEN or one address; sizes as value_size has them.
 * -EINVAL: s has not this form; -ERANGE: it has, but holds nothing or too much. */
struct value_range {
    uint64_t first, last; /* both inside */
};
int value_range(const char *s, struct value_range *out, struct errmsg *e);

/* A moment as YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, UTC, from 1970 to 2099: seconds since 1970. */
int value_time(const char *s, uint64_t *out, struct errmsg *e);

/* One of the NULL-terminated words: its index. */
int value_choice(const char *s, const char *const *words, int *out, struct errmsg *e);

#endif
