/*
 * tinykernel: a kernel as small as one can be that still does what kernels do to an MMU: higher
 * half, processes with two-level tables, a recursive window on them, demand zero and copy-on-write
 * fork, preemption by the timer, system calls.
 *
 * Memory: the first 4 MiB of RAM are mapped at KBASE; all page tables are seen through windows: the
 * loaded directory's through SELF, another space's (a child's, while it is built) through OTHER.
 * Other frames are looked at through two slots of the kernel's table.
 *
 * The kernel runs with interrupts off but while it idles, and with CR0.WP on.
 */
#ifndef UMBRA_GUEST_TINYKERNEL_KERNEL_H
#define UMBRA_GUEST_TINYKERNEL_KERNEL_H

#include "guest/rt/cpu.h"
#include "guest/rt/rt.h"
#include "guest/tinykernel/sys.h"

#define KBASE            0xc0000000u
#define SELF             0xffc00000u
#define OTHER            0xff800000u
#define PTE_OF(la)       (((volatile uint32_t *)SELF)[(la) >> 12])
#define PDE_OF(la)       (((volatile uint32_t *)0xfffff000u)[(la) >> 22])
#define OTHER_PTE_OF(la) (((volatile uint32_t *)OTHER)[(la) >> 12])
#define OTHER_PDE_OF(la) (((volatile uint32_t *)(OTHER + 1023 * PAGE_SIZE))[(la) >> 22])

/* As entry.S builds it. */
struct frame {
    uint32_t es, ds;
    uint32_t edi, esi, ebp, esp_here, ebx, edx, ecx, eax;
    uint32_t vector, error, eip, cs, eflags, esp, ss;
};

/* --- frames.c: physical pages and who holds them --- */
void frames_init(struct rt_range ram);
uint32_t frame_alloc(void); /* physical address, one reference; 0: none left */
void frame_get(uint32_t frame);
void frame_put(uint32_t frame);
uint32_t frame_refs(uint32_t frame);
uint32_t frames_free(void);
uint32_t frames_total(void);
/* Map a frame at one of the kernel's two slots. */
void *frame_at(unsigned slot, uint32_t frame);

/* --- vm.c: address spaces --- */
struct region {
    uint32_t start, end; /* end == 0: free */
    bool writable;
    uint32_t image; /* offset into the program + 1; 0: anonymous */
};
#define REGIONS 8

struct program {
    const uint8_t *bytes;
    uint32_t size;
};
extern const struct program programs[PROG_COUNT];

struct proc;
void vm_init(void);
/* A directory with the kernel's part only; 0: no memory. */
uint32_t vm_new_space(void);
/* The current process's whole memory goes; its directory stays. */
void vm_clear(struct proc *p);
bool vm_load(struct proc *p, unsigned program, uint32_t *entry);
/* Copy the current process's space into directory, copy-on-write. false: no memory, nothing is left
 * behind but the directory. */
bool vm_fork(uint32_t directory);
enum vm_result { VM_OK, VM_BAD, VM_NO_MEMORY };
enum vm_result vm_fault(struct proc *p, uint32_t la, uint32_t error);
struct region *vm_add(struct proc *p, uint32_t start, uint32_t bytes, bool writable);
void vm_drop_pages(uint32_t start, uint32_t end);
void vm_protect(struct region *r, bool writable);
uint32_t vm_zero_frame(void);
/* References that a space's tables hold, by frame: the audit adds them up. */
void vm_count(uint32_t directory, uint16_t *count);

/* --- proc.c --- */
enum state { PROC_NONE, PROC_READY, PROC_SLEEPING, PROC_WAITING, PROC_DEAD };
struct proc {
    enum state state;
    uint32_t pid;
    struct proc *parent;
    uint32_t directory;
    uint32_t esp; /* of its kernel stack while it does not run */
    uint32_t status;
    unsigned program;
    uint32_t wake; /* tick */
    bool killed;
    struct region region[REGIONS];
    uint32_t heap_start, heap_end;
    uint32_t faults, copies, reuses, preemptions;
};
#define PROCS 24
extern struct proc *current;
_Noreturn void proc_start(void);
int32_t proc_fork(const struct frame *f);
_Noreturn void proc_exit(uint32_t status);
int32_t proc_wait(uint32_t status_at);
int32_t proc_kill(uint32_t pid);
int32_t proc_exec(struct frame *f, unsigned program);
void proc_yield(void);
void proc_sleep(uint32_t ticks);
void proc_tick(void); /* wake sleepers */
uint32_t proc_audit(void);

/* --- traps.c --- */
extern volatile uint32_t ticks;
void traps_init(void);
void traps_set_stack(uint32_t esp0);
void trap(struct frame *f);

/* --- syscall.c --- */
void syscall(struct frame *f);

/* entry.S */
bool user_copy(void *to, const void *from, uint32_t n);
void switch_stack(uint32_t *save_esp, uint32_t load_esp);

#endif
