/*
 * The command layer: the only part of the monitor that prints to the user and decides exit codes.
 * A subcommand is one file that defines one struct cmd, and one line in main.c's table.
 */
#ifndef UMBRA_VMM_CMD_CMD_H
#define UMBRA_VMM_CMD_CMD_H

#include "vmm/errmsg.h"

struct cmd {
    const char *name;
    const char *args;    /* the synopsis behind the name: "IMAGE [options]" */
    const char *summary; /* one line, small first letter, no full stop */
    const char *help;    /* paragraphs for "umbra help NAME"; each line ends in \n */
    /* argv[0] is the subcommand's name. Returns the process's exit status. */
    int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_run, cmd_ctl, cmd_pt, cmd_explain, cmd_test, cmd_mkswap, cmd_top,
    cmd_trace, cmd_report, cmd_info, cmd_help;

/* All subcommands, in the order of the help; ends with NULL. Defined in main.c. */
extern const struct cmd *const cmd_table[];

const struct cmd *cmd_find(const char *name);

/* Print "umbra NAME: message" to stderr and return status. name may be NULL. */
__attribute__((format(printf, 3, 4))) int cmd_fail(const char *name, int status, const char *fmt,
                                                   ...);
/* The same for a wrong command line: adds where help is, returns UMBRA_EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int cmd_usage(const char *name, const char *fmt, ...);

#endif
