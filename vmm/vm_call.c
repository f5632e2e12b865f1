/* See vm_call.h. */
#include <errno.h>

#include "vmm/vm.h"
#include "vmm/vm_call.h"

struct vm_call {
    void (*fn)(struct vm *vm, void *ctx);
    void *ctx;
    struct vm_call *next;
    bool done;
    int rc;
};

int vm_calls_init(struct vm_calls *c)
{
    int rc = pthread_mutex_init(&c->lock, NULL);
    if (!rc)
        rc = pthread_cond_init(&c->answer, NULL);
    return -rc;
}

void vm_calls_destroy(struct vm_calls *c)
{
    pthread_cond_destroy(&c->answer);
    pthread_mutex_destroy(&c->lock);
}

/* --- watchers -------------------------------------------------------------------------------- */

int vm_watch(struct vm *vm, const struct vm_watcher *w)
{
    struct vm_calls *c = &vm->calls;
    int rc = -ENOSPC;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < VM_WATCHERS_MAX && rc; i++) {
        if (c->watcher[i].stopped)
            continue;
        c->watcher[i] = *w;
        rc = 0;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

void vm_unwatch(struct vm *vm, const struct vm_watcher *w)
{
    struct vm_calls *c = &vm->calls;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < VM_WATCHERS_MAX; i++)
        if (c->watcher[i].stopped == w->stopped && c->watcher[i].ctx == w->ctx)
            c->watcher[i] = (struct vm_watcher){0};
    pthread_mutex_unlock(&c->lock);
}

/* Under lock, so that vm_unwatch() is a barrier. */
static void announce(struct vm_calls *c, enum vm_stop_why why)
{
    for (int i = 0; i < VM_WATCHERS_MAX; i++)
        if (c->watcher[i].stopped)
            c->watcher[i].stopped(c->watcher[i].ctx, why);
}

/* --- the vCPU's thread ----------------------------------------------------------------------- */

/* Take one call off the queue and run it, without the lock: it may be long, and may use
 * vm_stop_here(). */
static void serve_one(struct vm *vm)
{
    struct vm_calls *c = &vm->calls;
    struct vm_call *call = c->first;
    c->first = call->next;
    pthread_mutex_unlock(&c->lock);
    call->fn(vm, call->ctx);
    pthread_mutex_lock(&c->lock);
    call->done = true;
    pthread_cond_broadcast(&c->answer);
}

void vm_calls_serve(struct vm *vm)
{
    struct vm_calls *c = &vm->calls;
    uint64_t from = 0;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        atomic_fetch_and(&vm->asked, ~(uint32_t)VM_ASK_CALL);
        while (c->first)
            serve_one(vm);
        if (!c->held || vm->end != VM_RUNNING)
            break;
        if (!from)
            from = vm_board_freeze(vm);
        if (!c->announced) {
            c->announced = true;
            announce(c, c->why);
        }
        /* What else was asked (quit, time-out) must not wait for whoever holds the machine. */
        if (atomic_load(&vm->asked) & (VM_ASK_QUIT | VM_ASK_TIMEOUT))
            break;
        pthread_mutex_unlock(&c->lock);
        vm_board_sleep(vm, VM_ASK_CALL | VM_ASK_QUIT | VM_ASK_TIMEOUT);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    if (from)
        vm_board_thaw(vm, from);
}

void vm_calls_stepped(struct vm *vm)
{
    if (atomic_fetch_sub(&vm->calls.steps, 1) == 1)
        vm_stop_here(vm, VM_STOP_STEP);
}

void vm_stop_here(struct vm *vm, enum vm_stop_why why)
{
    struct vm_calls *c = &vm->calls;
    pthread_mutex_lock(&c->lock);
    c->held = true;
    c->why = why;
    c->announced = false;
    atomic_store(&c->steps, 0);
    pthread_mutex_unlock(&c->lock);
    vm_ask(vm, VM_ASK_CALL);
}

void vm_calls_open(struct vm *vm)
{
    pthread_mutex_lock(&vm->calls.lock);
    vm->calls.open = true;
    pthread_mutex_unlock(&vm->calls.lock);
}

void vm_calls_close(struct vm *vm)
{
    struct vm_calls *c = &vm->calls;
    pthread_mutex_lock(&c->lock);
    c->open = false;
    for (struct vm_call *call = c->first; call; call = call->next) {
        call->rc = -ESHUTDOWN;
        call->done = true;
    }
    c->first = NULL;
    announce(c, VM_STOP_END);
    pthread_cond_broadcast(&c->answer);
    pthread_mutex_unlock(&c->lock);
}

/* --- other threads --------------------------------------------------------------------------- */

int vm_call(struct vm *vm, void (*fn)(struct vm *vm, void *ctx), void *ctx)
{
    struct vm_calls *c = &vm->calls;
    struct vm_call call = {.fn = fn, .ctx = ctx};
    struct vm_call **last = &c->first;

    pthread_mutex_lock(&c->lock);
    if (!c->open) {
        pthread_mutex_unlock(&c->lock);
        return -ESHUTDOWN;
    }
    while (*last)
        last = &(*last)->next;
    *last = &call;
    vm_ask(vm, VM_ASK_CALL);
    while (!call.done)
        pthread_cond_wait(&c->answer, &c->lock);
    pthread_mutex_unlock(&c->lock);
    return call.rc;
}

static void hold(struct vm *vm, void *ctx)
{
    struct vm_calls *c = &vm->calls;
    (void)ctx;
    pthread_mutex_lock(&c->lock);
    if (!c->held) {
        c->held = true;
        c->announced = false;
        c->why = VM_STOP_ASKED;
    }
    pthread_mutex_unlock(&c->lock);
}

int vm_pause(struct vm *vm)
{
    return vm_call(vm, hold, NULL);
}

/* What is to happen next. */
struct go {
    uint64_t steps; /* 0: just go on */
    int rc;
};

static void go_on(struct vm *vm, void *ctx)
{
    struct vm_calls *c = &vm->calls;
    struct go *g = ctx;
    pthread_mutex_lock(&c->lock);
    g->rc = c->held ? 0 : -EALREADY;
    if (c->held) {
        c->held = false;
        atomic_store(&c->steps, g->steps);
    }
    pthread_mutex_unlock(&c->lock);
}

static int let_go(struct vm *vm, uint64_t steps)
{
    struct go g = {.steps = steps};
    const int rc = vm_call(vm, go_on, &g);
    return rc < 0 ? rc : g.rc;
}

int vm_resume(struct vm *vm)
{
    return let_go(vm, 0);
}

int vm_step(struct vm *vm, uint64_t n)
{
    return n ? let_go(vm, n) : -EINVAL;
}
