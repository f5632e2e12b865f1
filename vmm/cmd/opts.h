/*
 * Options and values of the command line. Options are named in full (no abbreviations, so that a
 * new option never changes what an old script means), with one or two dashes: "-append X",
 * "--append X",
 * "--append=X"; options of one letter also as "-mX". Words and options may be mixed; "--" ends
 * options.
 */
#ifndef UMBRA_VMM_CMD_OPTS_H
#define UMBRA_VMM_CMD_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/errmsg.h"

enum opt_arg {
    OPT_NONE,        /* takes no value */
    OPT_VALUE,       /* needs one: the rest of the word behind '=', or the next word */
    OPT_MAYBE,       /* takes one only behind '=' */
    OPT_MAYBE_RANGE, /* ... or the next word if it reads as a range */
    OPT_MANY,        /* needs one, and takes every following word up to the next option */
};

struct opt {
    const char *name; /* without dashes */
    int id;           /* > 0; several names may share one */
    enum opt_arg arg;
};

enum opts_result {
    OPTS_END = 0,   /* nothing is left */
    OPTS_WORD = -1, /* a word that is no option, in value */
    OPTS_BAD = -2,  /* err.text says what is wrong */
};

struct opts {
    int argc, at;
    char **argv;
    const struct opt *table; /* ends with name == NULL */
    const struct opt *many;
    bool words_only;
    const char *name;  /* of the option that opts_next returned, for messages */
    const char *value; /* its value or NULL; points into argv */
    struct errmsg err;
};

/* argv[0] is skipped. */
void opts_init(struct opts *o, int argc, char **argv, const struct opt *table);

/* The next option's id, or one of enum opts_result. An OPT_MANY option comes back once for each
 * value. */
int opts_next(struct opts *o);

/* Values. Each returns 0, or -EINVAL/-ERANGE with a message in e (may be NULL) that quotes s. */

/* A number of bytes: decimal or 0x hex, then k, M, G or T (or KiB, MiB ...; 1024 each) or nothing.
 */
int opt_size(const char *s, uint64_t *out, struct errmsg *e);
/* A number, decimal or 0x hex, in min..max. */
int opt_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out, struct errmsg *e);

/* START-END (END is the last byte) or START+LEN or one address; sizes as opt_size has them. */
struct opt_range {
    uint64_t first, last; /* both inside */
};
int opt_range(const char *s, struct opt_range *out, struct errmsg *e);

/* A moment as YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, UTC, from 1970 to 2099: seconds since 1970. */
int opt_time(const char *s, uint64_t *out, struct errmsg *e);

/* One of the NULL-terminated words: its index. */
int opt_choice(const char *s, const char *const *words, int *out, struct errmsg *e);

#endif
