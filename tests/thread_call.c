/*
 * Other threads at a machine (vmm/vm_call.h): calls, pauses, steps and stops of a guest that loops,
 * halts, or ends meanwhile. A plain program, so that the thread sanitizer can run it.
 */
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "tests/plain_assert.h"
#include "vmm/cpu/cpu.h"
#include "vmm/vm.h"

enum { ENTRY = 0x1000, CALLERS = 3 };

/* inc %eax; inc %ebx; jmp back: EAX and EBX tell how far it is. */
static const uint8_t loop_code[] = {0x40, 0x43, 0xeb, 0xfc};
/* cli; hlt */
static const uint8_t halt_code[] = {0xfa, 0xf4};

struct world {
    struct vm *vm;
    pthread_t thread;
    sem_t stopped;
    _Atomic int why;
};

static void on_stopped(void *ctx, enum vm_stop_why why)
{
    struct world *w = ctx;
    atomic_store(&w->why, (int)why);
    sem_post(&w->stopped);
}

static void *run(void *ctx)
{
    vm_run(ctx);
    return NULL;
}

static void start(struct world *w, const void *code, size_t len)
{
    static struct errmsg err;
    const struct vm_opts o = {.ram = 4u << 20, .shadow_quota = 256, .engine = VM_ENGINE_SOFT};
    const struct vm_watcher watcher = {on_stopped, w};
    memset(w, 0, sizeof *w);
    cr_assert(vm_create(&o, &w->vm, &err) == 0);
    cr_assert(gmem_write(&w->vm->gmem, ENTRY, code, len) == 0);
    cpu_set_flat(&w->vm->cpu, ENTRY);
    cr_assert(sem_init(&w->stopped, 0, 0) == 0);
    cr_assert(vm_watch(w->vm, &watcher) == 0);
    cr_assert(vm_pause(w->vm) == -ESHUTDOWN); /* not running yet */
    cr_assert(pthread_create(&w->thread, NULL, run, w->vm) == 0);
}

static void end(struct world *w)
{
    cr_assert(pthread_join(w->thread, NULL) == 0);
    cr_assert(vm_pause(w->vm) == -ESHUTDOWN);
    cr_assert(vm_resume(w->vm) == -ESHUTDOWN);
    vm_destroy(w->vm);
    sem_destroy(&w->stopped);
}

static void stop_of(struct world *w, enum vm_stop_why why)
{
    while (sem_wait(&w->stopped) < 0)
        cr_assert(errno == EINTR);
    cr_assert(atomic_load(&w->why) == (int)why);
}

static void look(struct vm *vm, void *ctx)
{
    memcpy(ctx, &vm->cpu, sizeof vm->cpu);
}

static struct cpu seen(struct world *w)
{
    struct cpu c;
    cr_assert(vm_call(w->vm, look, &c) == 0);
    return c;
}

/* The thread may not have reached vm_run() yet. */
static void pause_when_it_runs(struct world *w)
{
    int rc;
    while ((rc = vm_pause(w->vm)) == -ESHUTDOWN)
        usleep(100);
    cr_assert(rc == 0);
}

static void ask_quit(struct vm *vm, void *ctx)
{
    (void)ctx;
    vm_ask(vm, VM_ASK_QUIT);
}

static void pauses_and_steps(void)
{
    struct world w = {0};
    start(&w, loop_code, sizeof loop_code);
    pause_when_it_runs(&w);
    stop_of(&w, VM_STOP_ASKED);
    struct cpu a = seen(&w), b = seen(&w);
    cr_assert(a.eip == b.eip && a.gpr[0] == b.gpr[0]);

    for (uint32_t n = 1; n <= 9; n += 4) {
        a = seen(&w);
        cr_assert(vm_step(w.vm, 3 * n) == 0);
        stop_of(&w, VM_STOP_STEP);
        b = seen(&w);
        cr_assert(b.eip == a.eip && b.gpr[0] == a.gpr[0] + n && b.gpr[3] == a.gpr[3] + n);
    }
    cr_assert(vm_step(w.vm, 0) == -EINVAL);

    /* It is held once, however often it is paused. */
    cr_assert(vm_pause(w.vm) == 0);
    cr_assert(vm_pause(w.vm) == 0);
    cr_assert(vm_resume(w.vm) == 0);
    cr_assert(vm_resume(w.vm) == -EALREADY);
    cr_assert(vm_step(w.vm, 1) == -EALREADY);
    do
        b = seen(&w);
    while (a.gpr[0] == b.gpr[0]);

    /* Quitting does not wait for whoever holds the machine. */
    cr_assert(vm_pause(w.vm) == 0);
    stop_of(&w, VM_STOP_ASKED);
    vm_ask(w.vm, VM_ASK_QUIT);
    stop_of(&w, VM_STOP_END);
    cr_assert(w.vm->end == VM_END_QUIT);
    end(&w);
}

static void *caller(void *ctx)
{
    struct world *w = ctx;
    for (int i = 0; i < 200; i++) {
        struct cpu c;
        int rc = vm_call(w->vm, look, &c);
        cr_assert(rc == 0 || rc == -ESHUTDOWN);
        if (i % 8 == 0 && vm_pause(w->vm) == 0) {
            rc = vm_resume(w->vm); /* another caller may have been faster */
            cr_assert(rc == 0 || rc == -EALREADY);
        }
    }
    return NULL;
}

static void many_callers(void)
{
    struct world w = {0};
    pthread_t t[CALLERS];
    start(&w, loop_code, sizeof loop_code);
    pause_when_it_runs(&w);
    cr_assert(vm_resume(w.vm) == 0);
    for (int i = 0; i < CALLERS; i++)
        cr_assert(pthread_create(&t[i], NULL, caller, &w) == 0);
    for (int i = 0; i < CALLERS; i++)
        cr_assert(pthread_join(t[i], NULL) == 0);
    cr_assert(vm_call(w.vm, ask_quit, NULL) == 0);
    end(&w);
}

static void *call_until_it_ends(void *ctx)
{
    struct world *w = ctx;
    struct cpu c;
    while (vm_call(w->vm, look, &c) == 0)
        ;
    return NULL;
}

static void the_machine_ends_under_callers(void)
{
    for (int i = 0; i < 20; i++) {
        struct world w = {0};
        pthread_t t;
        start(&w, i & 1 ? halt_code : loop_code, sizeof loop_code > 2 && !(i & 1) ? 4 : 2);
        cr_assert(pthread_create(&t, NULL, call_until_it_ends, &w) == 0);
        if (!(i & 1)) {
            usleep(1000);
            vm_ask(w.vm, VM_ASK_QUIT);
        }
        cr_assert(pthread_join(t, NULL) == 0);
        end(&w);
    }
}

static void stop_here(struct vm *vm, void *ctx)
{
    (void)ctx;
    vm_stop_here(vm, VM_STOP_BREAK);
}

static void stops_from_within(void)
{
    struct world w = {0};
    start(&w, loop_code, sizeof loop_code);
    pause_when_it_runs(&w);
    stop_of(&w, VM_STOP_ASKED);
    cr_assert(vm_resume(w.vm) == 0);
    cr_assert(vm_call(w.vm, stop_here, NULL) == 0);
    stop_of(&w, VM_STOP_BREAK);
    const struct cpu a = seen(&w), b = seen(&w);
    cr_assert(a.gpr[0] == b.gpr[0]);
    cr_assert(vm_resume(w.vm) == 0);
    vm_ask(w.vm, VM_ASK_QUIT);
    stop_of(&w, VM_STOP_END);
    end(&w);
}

int main(void)
{
    pauses_and_steps();
    many_callers();
    the_machine_ends_under_callers();
    stops_from_within();
    return 0;
}
