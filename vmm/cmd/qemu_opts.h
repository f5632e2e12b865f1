/*
 * What somebody pastes from a command line of QEMU's: options that umbra run has under another
 * name, or that ask for what its machine is anyway, are served; any other is refused with what to
 * do instead. Options that umbra run spells as QEMU does (-m, -append, -drive ...) are not here,
 * only their values where those differ.
 */
#ifndef UMBRA_VMM_CMD_QEMU_OPTS_H
#define UMBRA_VMM_CMD_QEMU_OPTS_H

#include "vmm/cmd/opts.h"
#include "vmm/vm.h"

#define QEMU_OPT 1000 /* id of each option in qemu_opts */

/* For opts.more: ends with name == NULL. */
extern const struct opt qemu_opts[];

/* Serve one of them; name as typed. May choose *engine. 0, or -EINVAL with the remedy in e. */
int qemu_opt_take(const char *name, const char *value, enum vm_engine *engine, struct errmsg *e);

/* The value of -serial or -debugcon, FILE or one of QEMU's words. *file: NULL for standard input
 * and output, else the file, which points into value or is constant. 0, or -EINVAL with the remedy
 * in e. */
int qemu_chardev(const char *value, const char **file, struct errmsg *e);

/* The value of -m in bytes: a size, or a number alone below 4096, which is MiB; "size=" may stand
 * before it. */
int qemu_memory(const char *value, uint64_t *bytes, struct errmsg *e);

#endif
