/*
 * Raw mode of the user's terminal, given back on every way out of the process: return, exit(),
 * a fatal signal, a crash; and taken again when the process is continued in the foreground.
 */
#ifndef UMBRA_VMM_DEV_TTY_H
#define UMBRA_VMM_DEV_TTY_H

#include <stdbool.h>

/* Is fd a terminal whose foreground process group is ours? Only then may it be read or set. */
bool tty_ours(int fd);

/* Put the terminal at fd in raw mode (no echo, no line editing, no signals by keys; output
 * processing stays on). 0; -ENOTTY; -EBUSY: another terminal is raw already; or a negative errno.
 */
int tty_raw(int fd);

/* Give the terminal back as it was. Does nothing when none is raw. */
void tty_restore(void);

#endif
