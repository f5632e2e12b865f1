/*
 * Watching a guest instruction by instruction, for those who debug one: a line for each instruction
 * that the soft CPU executes, and breakpoints that dump the registers. Hooked into the soft CPU by
 * soft_set_trace(); it reads the guest's code, and changes nothing.
 *
 * A line is: EIP, bytes, disassembly, behind a semicolon each register that the instruction
 * changed. x87 registers are told by their place in the stack; where that moved, only ST0 is. Flow
 * that no branch explains (an exception, an interrupt) is told as "-> EIP".
 */
#ifndef UMBRA_VMM_TRACE_INSN_H
#define UMBRA_VMM_TRACE_INSN_H

#include <stddef.h>
#include <stdio.h>

#include "vmm/cpu/cpu.h"

#define TRACE_BREAKS 16

struct trace_break {
    uint32_t eip;    /* offset in CS, as EIP has it */
    uint64_t follow; /* so many instructions behind it are shown as well */
};

struct trace_insn_opts {
    FILE *lines; /* a line for each instruction; NULL: none */
    FILE *dumps; /* where breakpoints tell what they found */
    struct trace_break breaks[TRACE_BREAKS];
    unsigned n_breaks;
    /* Code bytes at a linear address: copy up to len, return how many are there. No side effects.
     */
    size_t (*read)(void *ctx, la_t la, uint8_t *buf, size_t len);
    /* Writing to lines gave this errno; called once. Nothing more is written. */
    void (*failed)(void *ctx, int err);
    void *ctx;
};

struct trace_insn;

/* opts is copied; the files stay the caller's. 0 or -ENOMEM. */
int trace_insn_create(const struct trace_insn_opts *opts, struct trace_insn **out);
/* Before each instruction: the hook for soft_set_trace(), t as its ctx. */
void trace_insn_hook(void *t, const struct cpu *cpu);
/* The instruction that the hook saw last was undone, and may come again (a page was not there). */
void trace_insn_undone(struct trace_insn *t);
/* The run is over: write what is still to be written of the last instruction. Closing the file, and
 * seeing whether that works, is the owner's. */
void trace_insn_end(struct trace_insn *t, const struct cpu *cpu);
void trace_insn_destroy(struct trace_insn *t);

#endif
