/* Where a command's result goes: a file that the user names, or standard output. */
#ifndef UMBRA_VMM_CMD_OUTPUT_H
#define UMBRA_VMM_CMD_OUTPUT_H

#include <stdio.h>

struct output {
    FILE *file;
    const char *path; /* NULL: standard output */
};

/* path NULL: standard output. 0, or an exit status after the message. */
int output_open(struct output *o, const char *cmd, const char *path);
/* 0, or an exit status after the message that not everything could be written. */
int output_close(struct output *o, const char *cmd);

#endif
