/*
 * The parts of "umbra pt": what its command line says, and the commands that work on files.
 */
#ifndef UMBRA_VMM_CMD_PT_WORDS_H
#define UMBRA_VMM_CMD_PT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/cmd/opts.h"
#include "vmm/value.h"

struct pt_args {
    const char *socket, *dump, *allow;
    const char *libvirt; /* its URI; NULL: not asked for */
    struct value_range range;
    uint64_t cr3;
    bool cr3_given, diff, json, all;
    int view;           /* enum pt_view */
    uint64_t follow_ms; /* 0: once */
    const char *word[6];
    int words;
};

/* Exit statuses. word[0] is the command. */
int pt_save(const struct pt_args *a);
int pt_save_libvirt(const struct pt_args *a);
int pt_compare(const struct pt_args *a);
int pt_show_dump(const struct pt_args *a);

#endif
