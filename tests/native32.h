/*
 * Runs i386 code natively on the host's CPU, in its compatibility mode, from the 64-bit test
 * process: the host CPU as the oracle for the soft CPU. Code runs at CPL 3 with CS 0x23 and DS, ES,
 * SS 0x2b, all flat; FS and GS hold a NULL selector. Whatever ends the code (its far jump back, a
 * fault, a timeout) is reported with the exact registers.
 *
 * The code must not load FS or GS, enter 64-bit mode, or make system calls.
 *
 * Threads: none; one run at a time in the process. Owns SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS
 * and SIGALRM between open and close.
 */
#ifndef UMBRA_TESTS_NATIVE32_H
#define UMBRA_TESTS_NATIVE32_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NATIVE32_CS 0x23
#define NATIVE32_DS 0x2b
/* Bytes of the far jump that native32_put_end() writes. */
#define NATIVE32_END_LEN 7

struct native32_state {
    uint32_t gpr[8]; /* by enum gpr */
    uint32_t eip;
    uint32_t eflags;
    uint16_t ds, es;                  /* out only; in: always NATIVE32_DS */
    uint16_t ss;                      /* out only */
    _Alignas(16) uint8_t fxsave[512]; /* 32-bit layout; after a fault FCS and FDS are unknown (0) */
};

enum { NATIVE32_END = -1, NATIVE32_TIMEOUT = -2 };

struct native32_result {
    int vector; /* exception's vector, NATIVE32_END or NATIVE32_TIMEOUT */
    uint32_t error;
    uint32_t cr2; /* of #PF */
};

/* Set up handlers and the way back; try it. 0, or -ENOTSUP where the host has no compatibility mode
 * (native32_why() tells), or another negative errno. */
int native32_open(void);
void native32_close(void);
const char *native32_why(void);

/* Memory at a fixed address below 4 GiB, zeroed. 0 or a negative errno; -EEXIST: taken. */
int native32_map(uint32_t addr, uint32_t len, int prot);

/* Write the far jump that ends a run at p, NATIVE32_END_LEN bytes. */
void native32_put_end(uint8_t *p);

/* Run from st->eip. On return st is the state at the end, at the faulting instruction, or behind a
 * trapping one. Code that does not end is stopped after 50 to 100 ms. */
void native32_run(struct native32_state *st, struct native32_result *res);

/* Is this CMPS, which reads two operands? Processors differ in which they read first, and no manual
 * says (seen: both orders on processors of one vendor), so whose fault it is may differ too. */
static inline bool native32_is_cmps(const uint8_t *code, size_t n)
{
    static const char prefixes[] = "\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3";
    size_t i = 0;
    while (i < n && code[i] && strchr(prefixes, code[i]))
        i++;
    return i < n && (code[i] == 0xa6 || code[i] == 0xa7);
}

#endif
