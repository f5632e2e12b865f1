/* Processes, their kernel stacks, the scheduler. */
#include "guest/tinykernel/kernel.h"

#define KSTACK 4096u

extern char trap_return[];
static struct proc procs[PROCS];
static uint8_t kstack[PROCS][KSTACK] __attribute__((aligned(16)));
static uint32_t next_pid = 1;
struct proc *current;

static uint32_t stack_top(const struct proc *p)
{
    return (uint32_t)kstack[p - procs] + KSTACK;
}

static struct proc *new_proc(void)
{
    for (struct proc *p = procs; p < procs + PROCS; p++) {
        if (p->state != PROC_NONE)
            continue;
        memset(p, 0, sizeof *p);
        p->directory = vm_new_space();
        if (!p->directory)
            return NULL;
        p->pid = next_pid++;
        return p;
    }
    return NULL;
}

/* The kernel stack of a process that is to return to ring 3 with f. */
static void prepare_stack(struct proc *p, const struct frame *f)
{
    struct frame *at = (struct frame *)(stack_top(p) - sizeof *f);
    uint32_t *sp = (uint32_t *)at;

    *at = *f;
    *--sp = (uint32_t)trap_return;
    sp -= 4; /* what switch_stack pops */
    memset(sp, 0, 16);
    p->esp = (uint32_t)sp;
}

static void run(struct proc *p)
{
    struct proc *old = current;

    if (p == old)
        return;
    current = p;
    traps_set_stack(stack_top(p));
    write_cr3(p->directory);
    switch_stack(&old->esp, p->esp);
}

/* Another process that is ready, the current one only if there is none. */
static struct proc *next_ready(void)
{
    for (unsigned i = 1; i <= PROCS; i++) {
        struct proc *p = &procs[((unsigned)(current - procs) + i) % PROCS];
        if (p->state == PROC_READY)
            return p;
    }
    return NULL;
}

void proc_yield(void)
{
    struct proc *p;

    while (!(p = next_ready()))
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    run(p);
}

/* Before a process goes back to ring 3. */
static void die_if_killed(void)
{
    if (current->killed)
        proc_exit(TK_KILLED | TK_BY_KILL);
}

void proc_sleep(uint32_t n)
{
    current->wake = ticks + n;
    current->state = PROC_SLEEPING;
    proc_yield();
    die_if_killed();
}

void proc_tick(void)
{
    for (struct proc *p = procs; p < procs + PROCS; p++)
        if (p->state == PROC_SLEEPING && (int32_t)(ticks - p->wake) >= 0)
            p->state = PROC_READY;
}

int32_t proc_fork(const struct frame *f)
{
    struct frame child = *f;
    struct proc *p = new_proc();

    if (!p)
        return TK_EAGAIN;
    if (!vm_fork(p->directory)) {
        frame_put(p->directory);
        return TK_ENOMEM;
    }
    p->parent = current;
    memcpy(p->region, current->region, sizeof p->region);
    p->heap_start = current->heap_start;
    p->heap_end = current->heap_end;
    p->program = current->program;
    child.eax = 0;
    prepare_stack(p, &child);
    p->state = PROC_READY;
    return (int32_t)p->pid;
}

_Noreturn void proc_exit(uint32_t status)
{
    if (current->pid == 1) {
        tap_ok(proc_audit() == 0, "the kernel's books are in order");
        tap_note("%u ticks, %u processes", ticks, next_pid - 1);
        rt_exit((unsigned)tap_done());
    }
    vm_clear(current);
    for (struct proc *p = procs; p < procs + PROCS; p++)
        if (p->state != PROC_NONE && p->parent == current)
            p->parent = &procs[0];
    current->status = status;
    current->state = PROC_DEAD;
    for (struct proc *p = procs; p < procs + PROCS; p++)
        if (p->state == PROC_WAITING)
            p->state = PROC_READY; /* it looks for itself */
    proc_yield();
    rt_panic("process %u runs after its end", current->pid);
}

int32_t proc_wait(uint32_t status_at)
{
    for (;;) {
        bool children = false;
        for (struct proc *p = procs; p < procs + PROCS; p++) {
            uint32_t status;
            if (p->state == PROC_NONE || p->parent != current)
                continue;
            children = true;
            if (p->state != PROC_DEAD)
                continue;
            status = p->status;
            p->state = PROC_NONE;
            frame_put(p->directory);
            if (!user_copy((void *)status_at, &status, 4))
                return TK_EFAULT;
            return (int32_t)p->pid;
        }
        if (!children)
            return TK_ECHILD;
        current->state = PROC_WAITING;
        proc_yield();
        die_if_killed();
    }
}

int32_t proc_kill(uint32_t pid)
{
    for (struct proc *p = procs; p < procs + PROCS; p++) {
        if (p->state == PROC_NONE || p->state == PROC_DEAD || p->pid != pid || pid == 1)
            continue;
        p->killed = true;
        if (p != current)
            p->state = PROC_READY;
        return 0;
    }
    return TK_EINVAL;
}

int32_t proc_exec(struct frame *f, unsigned program)
{
    uint32_t entry;

    if (program >= PROG_COUNT)
        return TK_EINVAL;
    vm_clear(current);
    current->program = program;
    if (!vm_load(current, program, &entry))
        rt_panic("program %u is no program", program);
    *f = (struct frame){.es = 0x23,
                        .ds = 0x23,
                        .eip = entry,
                        .cs = 0x1b,
                        .eflags = EFLAGS_ONE | EFLAGS_IF,
                        .esp = TK_STACK_TOP,
                        .ss = 0x23};
    return 0;
}

_Noreturn void proc_start(void)
{
    static struct proc nobody;
    struct frame f;

    current = new_proc();
    if (!current)
        rt_panic("no memory for the first process");
    write_cr3(current->directory);
    (void)proc_exec(&f, PROG_INIT);
    prepare_stack(current, &f);
    current->state = PROC_READY;
    traps_set_stack(stack_top(current));
    switch_stack(&nobody.esp, current->esp);
    __builtin_unreachable();
}

/* Every reference to a frame is one that a table holds. */
uint32_t proc_audit(void)
{
    static uint16_t count[16384];
    uint32_t wrong = 0, held = 0;

    memset(count, 0, sizeof count);
    count[vm_zero_frame() / PAGE_SIZE] = 1;
    for (struct proc *p = procs; p < procs + PROCS; p++)
        if (p->state != PROC_NONE)
            vm_count(p->directory, count);
    for (uint32_t i = 0; i < 16384; i++) {
        wrong += count[i] != frame_refs(i * PAGE_SIZE);
        held += count[i] != 0;
    }
    return wrong + (held + frames_free() != frames_total());
}
