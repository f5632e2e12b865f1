/*
 * A stub for gdb: a thread that serves one debugger at a time by the remote serial protocol, and
 * reaches the machine through vm_call(). Registers, memory by the guest's own translation,
 * breakpoints, watchpoints, single steps; the same on every engine.
 */
#ifndef UMBRA_VMM_GDB_GDB_H
#define UMBRA_VMM_GDB_GDB_H

#include "vmm/errmsg.h"

struct gdb;
struct vm;

#define GDB_DEFAULT "tcp:127.0.0.1:1234"

/*
 * Listen at addr: "tcp:HOST:PORT" (no HOST: this machine only; PORT 0: any that is free),
 * "unix:PATH", or a port alone. The machine stays the caller's. 0; -EINVAL: addr is none; another
 * negative errno: it cannot be listened at; err is filled.
 */
int gdb_start(struct vm *vm, const char *addr, struct gdb **out, struct errmsg *err);
/* Where it listens, in the form that gdb's "target remote" takes. */
const char *gdb_where(const struct gdb *g);
/* After vm_run(): tell the debugger how the machine ended, and take the stub down. NULL is fine. */
void gdb_stop(struct gdb *g);

#endif
