/*
 * Other threads at a machine: run a function on the vCPU's thread between two instructions, hold
 * the machine there, step it, and hear when it stops or ends. The control socket and the gdb stub
 * are built on this; with none of them a trap pays one relaxed load for it.
 *
 * Rules:
 *  1. Everything of struct vm belongs to the vCPU's thread; another thread touches it in a function
 *     given to vm_call() only.
 *  2. While the machine is held, no guest instruction runs and guest time stands still; calls are
 *     served. The hold is one for all: who pauses, and who resumes, need not be the same.
 *  3. A call is served or refused within the time of one instruction and one trap, whatever the
 *     guest does; it never waits for the guest.
 */
#ifndef UMBRA_VMM_VM_CALL_H
#define UMBRA_VMM_VM_CALL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vm;

/* Why a machine stands still. */
enum vm_stop_why {
    VM_STOP_ASKED, /* vm_pause() */
    VM_STOP_STEP,  /* vm_step()'s instructions are done */
    VM_STOP_BREAK, /* vm_stop_here(): a breakpoint, a watchpoint, ... */
    VM_STOP_END,   /* the machine has ended; vm->end says how */
};

#define VM_WATCHERS_MAX 8

/* Who wants to hear of it. The callback runs on the vCPU's thread: it may look at the machine, must
 * not block, and must not use vm_call(). */
struct vm_watcher {
    void (*stopped)(void *ctx, enum vm_stop_why why);
    void *ctx;
};

struct vm_call;

/* In struct vm; inside vmm/ only. */
struct vm_calls {
    pthread_mutex_t lock;
    pthread_cond_t answer;  /* for callers: a call is done */
    struct vm_call *first;  /* waiting, oldest first; under lock */
    bool held;              /* the machine is to stand still; under lock */
    bool open;              /* vm_run() serves calls; under lock */
    bool announced;         /* watchers know that the machine stands; under lock */
    _Atomic uint64_t steps; /* instructions to be run one by one, then stop */
    enum vm_stop_why why;   /* of the stop that stands; vCPU's thread */
    struct vm_watcher watcher[VM_WATCHERS_MAX]; /* under lock */
};

/* vm.c, vcpu.c. */
int vm_calls_init(struct vm_calls *c);
void vm_calls_destroy(struct vm_calls *c);
/* vm_run() has begun; vm_run() is over: callers that wait, and those to come, get -ESHUTDOWN. */
void vm_calls_open(struct vm *vm);
void vm_calls_close(struct vm *vm);
/* On the vCPU's thread between instructions: serve calls; stand still while somebody holds the
 * machine. */
void vm_calls_serve(struct vm *vm);
/* An instruction of vm_step() is done. */
void vm_calls_stepped(struct vm *vm);

/* Run fn(vm, ctx) on the vCPU's thread and wait until it has returned. From any thread but the
 * vCPU's. 0; -ESHUTDOWN: the machine is not running (not yet, or no more), fn was not called. */
int vm_call(struct vm *vm, void (*fn)(struct vm *vm, void *ctx), void *ctx);

/* Hold the machine; it stands still when the call returns. 0, also if it did before; -ESHUTDOWN. */
int vm_pause(struct vm *vm);
/* Let it go on. 0; -ESHUTDOWN; -EALREADY: nobody holds it. */
int vm_resume(struct vm *vm);
/* Of a held machine: run n >= 1 instructions and stand still again, with VM_STOP_STEP. Returns at
 * once; a watcher hears of the stop. An instruction that faults into the guest counts: its
 * handler's first instruction is next. -EINVAL: n is 0; -EALREADY: nobody holds it; -ESHUTDOWN. */
int vm_step(struct vm *vm, uint64_t n);
/* On the vCPU's thread (a hook, a watchpoint), or before vm_run(): hold the machine before its next
 * instruction. */
void vm_stop_here(struct vm *vm, enum vm_stop_why why);

/* 0; -ENOSPC. From any thread; the watcher is copied. */
int vm_watch(struct vm *vm, const struct vm_watcher *w);
/* After it returns the watcher is not called again (not from a watcher's callback). */
void vm_unwatch(struct vm *vm, const struct vm_watcher *w);

#endif
