/*
 * The soft CPU as an engine, and as the emulator beside another engine: the same shadow tables, the
 * same traps. Without /dev/kvm it runs everything; beside kvm it runs what kvm cannot.
 */
#ifndef UMBRA_VMM_SOFT_ENGINE_H
#define UMBRA_VMM_SOFT_ENGINE_H

#include "vmm/cpu/cpuid.h"
#include "vmm/engine.h"
#include "vmm/soft/soft.h"
#include "vmm/stats.h"

/* What the soft CPU asks the machine beyond struct engine_env. */
struct soft_engine_env {
    void *ctx;
    struct cpuid_policy cpuid; /* what CPUID tells */
    struct hist *costs;        /* STATS_CALLS of them: the calls are timed. NULL: they are not */
    uint32_t (*mmio_read)(void *ctx, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *ctx, gpa_t gpa, uint32_t val, unsigned size);
    /* As soft_env's; *go_on becomes false where engine_env's io would return false. May be NULL. */
    uint32_t (*io_many)(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count,
                        void *data, bool *go_on);
    uint64_t (*tsc)(void *ctx);
    bool (*cr_written)(void *ctx, int reg, uint32_t old);
    void (*invlpg)(void *ctx, la_t la);
    void (*apic_base)(void *ctx);
    int (*intr_ack)(void *ctx);
    /* soft_env.used. */
    void (*used)(void *ctx, la_t la, enum soft_access acc, bool user, const struct soft_page *page);
    /* Most instructions of the run that begins now. NULL: a slice. */
    uint64_t (*budget)(void *ctx);
    /* Decoded code is kept of a frame (which backs gfn), or no longer is. NULL: nobody needs to
     * know. */
    void (*code_frame)(void *ctx, frame_t f, gfn_t gfn, bool cached);
    bool (*ferr)(void *ctx, bool level); /* soft_env.ferr */
    void (*fpu_use)(
        void *ctx); /* cpu->fpu is about to be read or changed. NULL: it is always true */
};

/* Both are copied. 0 or a negative errno. */
int soft_engine_create(const struct engine_env *env, const struct soft_engine_env *senv,
                       struct engine **out);

/* One instruction, as it stands in memory now. The trap says how it went: TRAP_BUDGET is "done". */
void soft_engine_step(struct engine *e, struct trap *t);
/* Deliver an event through the guest's IDT: TRAP_BUDGET is "delivered"; TRAP_PF: resolve, call
 * again. */
void soft_engine_deliver(struct engine *e, const struct soft_event *ev, struct trap *t);
/* Instructions that the soft CPU has completed. */
uint64_t soft_engine_insns(const struct engine *e);
/* The soft CPU inside, for notices of written code, interrupts and tracing. */
struct soft *soft_engine_cpu(struct engine *e);

#endif
