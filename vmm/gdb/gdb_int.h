/* Inside of the gdb stub: one debugger's session, between the socket (gdb.c) and what packets mean
 * (gdb_cmd.c). */
#ifndef UMBRA_VMM_GDB_GDB_INT_H
#define UMBRA_VMM_GDB_GDB_INT_H

#include "vmm/gdb/rsp.h"
#include "vmm/vm.h"

enum gdb_then {
    GDB_REPLY,  /* send what is in tx */
    GDB_SILENT, /* the reply comes when the machine stops */
    GDB_BYE,    /* send tx, then the session is over */
};

struct gdb_session {
    struct vm *vm;
    bool no_ack;
    bool no_ack_next; /* from the next packet on */
    bool running;     /* the debugger waits for a stop */
    struct rsp_tx tx;
    /* Text of a monitor command, to be sent as console output before the reply; owned. */
    char *console;
    size_t console_len;
};

/* One packet: its answer is in tx. */
enum gdb_then gdb_packet(struct gdb_session *s, const char *packet, size_t len);
/* The stop reply for why (gdb manual, E.3). Looks at the machine with vm_call(), or directly if it
 * has ended. */
void gdb_stop_reply(struct gdb_session *s, enum vm_stop_why why);
/* Breakpoints go, the machine goes on. */
void gdb_let_go(struct gdb_session *s);

/* gdb_mem.c; on the vCPU's thread. Linear addresses, by the guest's tables, without setting
 * accessed or dirty. How many of the n bytes could be had. Never touches devices. */
size_t gdb_mem_read(struct vm *vm, la_t la, void *buf, size_t n);
size_t gdb_mem_write(struct vm *vm, la_t la, const void *buf, size_t n);

/* gdb_monitor.c; on the vCPU's thread: a "monitor" command's text to out. */
void gdb_monitor(struct vm *vm, const char *line, FILE *out);

#endif
