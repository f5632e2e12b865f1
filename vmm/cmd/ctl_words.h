/*
 * What the commands that talk to a running machine have in common.
 */
#ifndef UMBRA_VMM_CMD_CTL_WORDS_H
#define UMBRA_VMM_CMD_CTL_WORDS_H

#include <jansson.h>

#include "vmm/cmd/nearest.h"
#include "vmm/errmsg.h"

/* Say what ctl_open() or ctl_ask() failed with; returns the exit status. */
int ctl_fail(const char *name, int rc, const struct errmsg *err);
/* One line on standard output. */
void ctl_print_json(const json_t *value);

#endif
