/*
 * The machine that the kvm engine builds: one VM, one vCPU in long mode, three memory slots (frame
 * pool, table arena, the monitor's own pages), the stub and its tables. It knows bytes and slots,
 * not guests.
 */
#ifndef UMBRA_VMM_KVM_MACHINE_H
#define UMBRA_VMM_KVM_MACHINE_H

#include <linux/kvm.h>

#include "mm/pool.h"
#include "vmm/cpu/cpu.h"
#include "vmm/kvm/kvm_host.h"
#include "vmm/kvm/layout.h"
#include "vmm/shadow/arena.h"

struct machine {
    int vm_fd, vcpu_fd;
    struct kvm_run *run;
    size_t run_size;
    uint8_t *mon;        /* the monitor's pages, MON_PAGES of them */
    bool umip;           /* CR4.UMIP is on */
    uint64_t tsc_offset; /* of the vCPU to the host */
    uint32_t tsc_khz;    /* of the vCPU's TSC; 0: not known, or it changes */
    bool cpuid_faults;   /* CPUID at CPL 3 raises #GP, so the monitor answers it */
};

/* The frame of an exception on the stub's stack (SDM vol. 3, 6.14.2), and the error code below it.
 */
struct stub_frame {
    uint64_t error, rip, cs, rflags, rsp, ss;
};

int machine_create(const struct kvm_host *h, struct pool *pool, struct arena *arena,
                   struct machine *m, struct errmsg *err);
void machine_destroy(struct machine *m);

/* What belongs into entry 511 of each root. */
spte_t machine_monitor_half(void);

static inline struct stub_frame *machine_frame(struct machine *m)
{
    return (struct stub_frame *)(void *)(m->mon + (MON_STACK + 1) * PAGE_SIZE -
                                         sizeof(struct stub_frame));
}

/* The queue page, see layout.h. */
struct stub_queue {
    uint64_t count;
    uint32_t flush, resume;
    uint64_t rax, rcx, rdx, rdi, rsi, unused;
    struct {
        uint64_t pte, la;
    } entry[QUEUE_MAX];
};
_Static_assert(offsetof(struct stub_queue, resume) == QUEUE_RESUME, "as the stub has it");
_Static_assert(offsetof(struct stub_queue, rsi) == QUEUE_RSI, "as the stub has it");
_Static_assert(offsetof(struct stub_queue, entry) == QUEUE_ENTRIES, "as the stub has it");
_Static_assert(sizeof(struct stub_queue) <= PAGE_SIZE, "one page");

static inline struct stub_queue *machine_queue(struct machine *m)
{
    return (struct stub_queue *)(void *)(m->mon + MON_QUEUE * PAGE_SIZE);
}

/* Make the selector load what seg holds, at DPL 3: GDT or LDT entry by the selector's TI bit. */
void machine_set_desc(struct machine *m, uint16_t sel, const struct seg *seg);

/* vCPU at CPL 0 in the stub, ready to be given a RIP there. */
void machine_stub_segments(struct kvm_sregs *s);
/* A guest's data segment register as KVM has it. */
void machine_seg_to_kvm(const struct seg *seg, struct kvm_segment *k);

#endif
