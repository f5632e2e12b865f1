/*
 * A CPU engine runs guest code on the monitor's shadow tables until a trap. Everything above it
 * (traps, exception delivery, shadow tables, devices) is shared by all engines.
 */
#ifndef UMBRA_VMM_ENGINE_H
#define UMBRA_VMM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/cpu/cpu.h"
#include "vmm/shadow/spte.h"

struct engine;
struct pool;
struct shadow;

enum trap_kind {
    TRAP_PF,        /* the shadow tables lack a translation or a right: la, error */
    TRAP_EXCEPTION, /* the CPU raised vector with error at EIP; for the guest as it is */
    TRAP_EMULATE, /* the engine cannot execute the instruction at EIP: vector says what it raised */
    TRAP_HLT,     /* HLT executed; EIP is behind it */
    TRAP_KICK,    /* engine kick, or a device that wants attention */
    TRAP_INTWIN,  /* the guest can take an interrupt now */
    TRAP_BUDGET,  /* the time slice is over (soft) */
    TRAP_SHUTDOWN, /* triple fault: why */
    TRAP_ERROR,    /* the engine failed: why */
    TRAP_KINDS
};

struct trap {
    enum trap_kind kind;
    uint8_t vector; /* TRAP_EXCEPTION, TRAP_EMULATE */
    la_t la;        /* TRAP_PF: CR2 */
    uint32_t error; /* TRAP_PF: W, U and I of enum pf_error, with the guest's own idea of its CPL;
                       TRAP_EXCEPTION: error code */
    char why[160];
};

struct engine_ops {
    const char *name;
    /* Run the vCPU from its struct cpu until a trap; the struct is exact again on return. */
    void (*run)(struct engine *e, struct trap *t);
    /* Can the engine run the CPU from the state it is in (mode, privilege, segments)? */
    bool (*can_run)(struct engine *e);
    /* The shadow PTE at table-arena offset off, which translates la, was old and has been
     * restricted (its new value is stored already): no guest instruction may use the old one once
     * run() goes on. */
    void (*restricted)(struct engine *e, uint32_t off, la_t la, spte_t old, spte_t now);
    /* ... many entries or non-leaf ones: every cached translation must go. */
    void (*flush)(struct engine *e);
    /* Guest pages gfn .. gfn+n-1 of a space no longer have the frames that they had, mapped or not.
     * May be NULL. */
    void (*left)(struct engine *e, uint32_t space, gfn_t gfn, uint32_t n);
    /* Bring what restricted() and flush() asked for into effect now, not at the next run(): needed
     * before a table page is used again for something else. */
    void (*sync)(struct engine *e);
    /* Make run() return soon with TRAP_KICK; from any thread or a signal handler. */
    void (*kick)(struct engine *e);
    /* Leave run() with TRAP_INTWIN as soon as the guest could take an interrupt. */
    void (*intr_window)(struct engine *e, bool wanted);
    void (*destroy)(struct engine *e);
};

/* What an engine works on; all of it outlives the engine. */
struct engine_env {
    struct cpu *cpu;
    struct pool *pool;
    struct shadow *shadow;
    void *ctx;
    /* Port I/O by the guest: count elements of size bytes at data, in one direction. false: the
     * machine wants attention, so run() is to return TRAP_KICK behind the instruction. */
    bool (*io)(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count, void *data);
};

/* Engines embed this first. */
struct engine {
    const struct engine_ops *ops;
    bool walks; /* its CPU walks the tables; one that does not asks shadow_lookup() */
    struct engine_env env;
    bool user_only; /* it runs nothing but ring 3, so it walks no tables but those that serve user
                       rights, and is told of changes in these alone */
};

#endif
