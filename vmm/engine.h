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

struct vm;
struct engine;

enum trap_kind {
    TRAP_PF,        /* the shadow tables lack a translation or a right: la, error */
    TRAP_EXCEPTION, /* the CPU raised vector with error at EIP */
    TRAP_EMULATE,   /* the engine cannot execute the instruction at EIP */
    TRAP_IO,        /* port I/O, see io */
    TRAP_HLT,       /* HLT executed; EIP is behind it */
    TRAP_KICK,      /* engine_kick(), or a signal */
    TRAP_INTWIN,    /* the guest can take an interrupt now */
    TRAP_SHUTDOWN,  /* triple fault */
    TRAP_ERROR,     /* the engine failed; why says how */
    TRAP_KINDS
};

struct trap {
    enum trap_kind kind;
    la_t la;         /* TRAP_PF */
    uint32_t error;  /* TRAP_PF, TRAP_EXCEPTION: error code as the CPU gave it */
    uint8_t vector;  /* TRAP_EXCEPTION */
    struct {
        uint16_t port;
        uint8_t size;   /* 1, 2, 4 */
        bool in;
        uint32_t count; /* elements at data */
        void *data;     /* the engine's; valid until the next run */
    } io;
    char why[160];   /* TRAP_SHUTDOWN, TRAP_ERROR */
};

struct engine_ops {
    const char *name;
    /* Run the vCPU from vm->cpu until a trap. vm->cpu is exact on return. */
    void (*run)(struct engine *e, struct trap *t);
    /* Shadow tables changed in a way that restricts: no guest instruction may use the old entry
     * after the next run() starts. spte_pa: where the entry lies, in the arena's address space. */
    void (*restrict_pte)(struct engine *e, mpa_t spte_pa, spte_t val, la_t la);
    /* ... many entries or a non-leaf one: drop every cached translation. */
    void (*flush)(struct engine *e);
    /* Make run() return soon with TRAP_KICK; from any thread or a signal handler. */
    void (*kick)(struct engine *e);
    void (*destroy)(struct engine *e);
};

/* Engines embed this first. */
struct engine {
    const struct engine_ops *ops;
    struct vm *vm;
};

#endif
