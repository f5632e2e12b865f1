/*
 * Options of the command line. Options are named in full (no abbreviations, so that a
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
    OPT_MAYBE_RANGE, /* ... or the next word if it has the form of a range, sound or not */
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
    const struct opt
        *more; /* known too, but never suggested; may be NULL; set it after opts_init */
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

#endif
