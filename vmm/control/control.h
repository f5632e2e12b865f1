/*
 * The control socket: other programs look at a running machine and steer it, over a Unix socket
 * that speaks JSON, one value to a line (docs/control.md is the protocol). A thread of its own
 * serves all clients, through vm_call() alone, so that none of them disturbs the guest or another:
 *
 *  1. Only the socket's owner may connect: mode 0600, and the peer's user id is asked for.
 *  2. Clients, the bytes of a request, and the bytes that wait for a client to read are bounded.
 *  3. The thread never blocks on a client: a client that does not read is not served, and in the
 *     end dropped.
 */
#ifndef UMBRA_VMM_CONTROL_CONTROL_H
#define UMBRA_VMM_CONTROL_CONTROL_H

#include "vmm/errmsg.h"

struct vm;
struct control;

#define CONTROL_PROTOCOL 1     /* version in the greeting */
#define CONTROL_CLIENTS  8     /* at a time */
#define CONTROL_LINE     65536 /* bytes of a request, newline included */

/* Listen at path and start the thread; before vm_run(). The machine outlives it. 0; -EINVAL: the
 * path is too long for a socket; -EADDRINUSE: somebody listens there, or it is no socket; others:
 * errno of the call that failed. */
int control_start(struct vm *vm, const char *path, struct control **out, struct errmsg *err);
/* When vm_run() is over, from its thread: clients that wait are told how the machine ended, the
 * socket goes. NULL: nothing. */
void control_stop(struct control *c);

#endif
