/*
 * The parts of "umbra pt": what its command line says.
 */
#ifndef UMBRA_VMM_CMD_PT_WORDS_H
#define UMBRA_VMM_CMD_PT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/cmd/opts.h"

struct pt_args {
    const char *socket;
    struct opt_range range;
    uint64_t cr3;
    bool cr3_given, diff, json;
    int view;           /* enum pt_view */
    uint64_t follow_ms; /* 0: once */
    const char *word[6];
    int words;
};

#endif
