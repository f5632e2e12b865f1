/*
 * The processor's registers in gdb's numbering: the standard features of an i386 (core and SSE, gdb
 * manual, appendix G.5.4), and one of our own for the system registers.
 */
#ifndef UMBRA_VMM_GDB_GDB_REGS_H
#define UMBRA_VMM_GDB_GDB_REGS_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/cpu/cpu.h"

#define GDB_REG_MAX 16 /* bytes of the largest register */

/* The target description, XML. */
extern const char gdb_target_xml[];

/* How many registers there are; those of a g packet come first. */
unsigned gdb_reg_count(void);
unsigned gdb_reg_general(void);

/* Little-endian value of register n, GDB_REG_MAX bytes of room: its size, or 0 if there is none.
 * cpu->fpu must be up to date. */
size_t gdb_reg_get(const struct cpu *cpu, unsigned n, void *out);
/* Its size, or 0: register n cannot be changed to that (selectors and system registers, whose loads
 * have effects of their own). A value that it has already is always taken. */
size_t gdb_reg_set(struct cpu *cpu, unsigned n, const void *in, size_t len);

#endif
