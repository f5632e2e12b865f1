/*
 * See kvm.h. One trap is one KVM_RUN: registers travel in struct kvm_run, the interrupted guest's
 * CS:RIP, flags and SS:RSP lie in the exception frame on the stub's stack, which is our memory too.
 *
 * Where the vCPU stands between two runs is one of two: AT_STUB (CPL 0, the way back is IRETQ) or
 * AT_GUEST (a signal left it inside guest code).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/kvm/kvm.h"
#include "vmm/kvm/machine.h"
#include "vmm/shadow/shadow.h"

#define KICK_SIGNAL SIGUSR1

struct kvm_engine {
    struct engine e;
    struct machine m;
    struct kvm_engine_opts opts;
    struct kvm_engine_stats stats;
    enum { AT_STUB, AT_GUEST } at;
    bool draining; /* the entry under way goes through the stub's queue first */
    enum { IO_NONE, IO_IN, IO_OUT } guest_io; /* guest code's port access that is being served */
    bool stuck;                   /* mappings had to change where the vCPU could not be entered */
    bool sregs_stale;             /* segments or CR3 in kvm_run differ from the vCPU's */
    struct seg loaded[SEG_COUNT]; /* what the vCPU's data segment registers hold */
    uint16_t filled[2];           /* selectors whose descriptors are present now (CS, SS) */
    _Atomic bool kicked;
    _Atomic bool running;
    pthread_t thread;
    uint64_t cr4_base; /* what the engine itself needs of CR4 */
    /* Which copy of the x87/MMX/SSE state is the newer one. */
    enum { FPU_SAME, FPU_IN_VCPU, FPU_IN_CPU } fpu;
};

static struct kvm_engine *kvm_of(struct engine *e)
{
    return (struct kvm_engine *)(void *)e;
}
static struct kvm_regs *regs_of(struct kvm_engine *k)
{
    return &k->m.run->s.regs.regs;
}
static struct kvm_sregs *sregs_of(struct kvm_engine *k)
{
    return &k->m.run->s.regs.sregs;
}

static void trap_error(struct trap *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void trap_error(struct trap *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->why, sizeof t->why, fmt, ap);
    va_end(ap);
    t->kind = TRAP_ERROR;
}

/* --- one KVM_RUN ----------------------------------------------------------------------------- */

static int vcpu_enter(struct kvm_engine *k)
{
    k->stats.runs++;
    if (k->sregs_stale) {
        k->m.run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
        k->sregs_stale = false;
        k->stats.sregs++;
    }
    return ioctl(k->m.vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
}

static bool in_stub(struct kvm_engine *k)
{
    return (regs_of(k)->rip >> 63) != 0;
}

/* Put the vCPU at CPL 0 in the stub, at offset off of it. */
static void aim_stub(struct kvm_engine *k, uint32_t off)
{
    struct kvm_regs *r = regs_of(k);
    if (k->at == AT_GUEST) {
        machine_stub_segments(sregs_of(k));
        k->sregs_stale = true;
        k->at = AT_STUB;
    }
    r->rip = MON_LA + off;
    r->rsp = MON_STACK_TOP - (sizeof(struct stub_frame) - 8);
    r->rflags = 2;
    k->m.run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

static bool queue_empty(const struct stub_queue *q)
{
    return q->count == 0 && q->flush == 0;
}

static void queue_clear(struct stub_queue *q)
{
    q->count = 0;
    q->flush = 0;
}

/* Is the vCPU inside the stub's walk of the queue? */
static bool in_drain(struct kvm_engine *k)
{
    const uint64_t rip = regs_of(k)->rip;
    return rip >= MON_LA + STUB_DRAIN && rip < MON_LA + STUB_RESTORE;
}

static int settle_guest_io(struct kvm_engine *k);

/* Let the stub apply what is queued, and come back. The guest's registers are in struct cpu, or get
 * there first. */
static int drain(struct kvm_engine *k)
{
    struct stub_queue *q = machine_queue(&k->m);
    if (queue_empty(q))
        return 0;
    const int settled = settle_guest_io(k);
    if (settled < 0)
        return settled;
    aim_stub(k, STUB_DRAIN);
    regs_of(k)->rsi = MON_PAGE_LA(MON_QUEUE);
    q->resume = 0;
    /* The root that the vCPU ran on last may be on its way out: leave it. */
    if (sregs_of(k)->cr3 != shadow_home(k->e.env.shadow)) {
        sregs_of(k)->cr3 = shadow_home(k->e.env.shadow);
        k->sregs_stale = true;
    }
    k->m.run->immediate_exit = 0;
    k->stats.drains++;
    for (;;) {
        const int rc = vcpu_enter(k);
        if (rc == -EINTR || rc == -EAGAIN) {
            k->m.run->immediate_exit = 0; /* a kick is remembered in kicked */
            continue;
        }
        if (rc < 0)
            return rc;
        const struct kvm_run *run = k->m.run;
        if (run->exit_reason == KVM_EXIT_INTR)
            continue;
        if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT_DRAINED || !in_stub(k))
            return -EPROTO;
        queue_clear(q);
        return 0;
    }
}

/* Have the entry that load_cpu() has prepared go through the queue first: no KVM_RUN of its own. */
static void drain_on_the_way(struct kvm_engine *k)
{
    struct stub_queue *q = machine_queue(&k->m);
    struct kvm_regs *r = regs_of(k);
    if (queue_empty(q))
        return;
    q->rax = r->rax;
    q->rcx = r->rcx;
    q->rdx = r->rdx;
    q->rdi = r->rdi;
    q->rsi = r->rsi;
    q->resume = 1;
    r->rsi = MON_PAGE_LA(MON_QUEUE);
    r->rip = MON_LA + STUB_DRAIN;
    k->draining = true;
    k->stats.drains_on_the_way++;
}

/* --- struct cpu into the vCPU ---------------------------------------------------------------- */

static bool seg_same(const struct seg *a, const struct seg *b)
{
    return a->sel == b->sel && a->attr == b->attr && a->base == b->base && a->limit == b->limit;
}

static void load_data_segments(struct kvm_engine *k)
{
    static const enum segreg data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    const struct cpu *c = k->e.env.cpu;
    struct kvm_sregs *s = sregs_of(k);
    struct kvm_segment *const to[] = {&s->ds, &s->es, &s->fs, &s->gs};

    for (size_t i = 0; i < 4; i++) {
        const struct seg *seg = &c->seg[data[i]];
        if (seg_same(seg, &k->loaded[data[i]]))
            continue;
        machine_seg_to_kvm(seg, to[i]);
        k->loaded[data[i]] = *seg;
        k->sregs_stale = true;
    }
}

/* IRETQ loads CS and SS from the monitor's descriptor tables: put there what the guest's hidden
 * parts say. Nothing else is ever present there, so any other selector load traps and is emulated.
 */
static void load_code_and_stack(struct kvm_engine *k)
{
    static const enum segreg which[2] = {SEG_CS, SEG_SS};
    const struct seg none = {0};
    for (int i = 0; i < 2; i++) {
        const struct seg *seg = &k->e.env.cpu->seg[which[i]];
        if (seg_same(seg, &k->loaded[which[i]]))
            continue;
        if ((k->filled[i] | 3) != (seg->sel | 3)) {
            if (k->filled[i] > 3 && (k->filled[i] | 3) != (k->filled[!i] | 3))
                machine_set_desc(&k->m, k->filled[i], &none);
            k->filled[i] = seg->sel;
        }
        machine_set_desc(&k->m, seg->sel, seg);
        k->loaded[which[i]] = *seg;
    }
}

static uint64_t native_flags(const struct kvm_engine *k, uint32_t eflags)
{
    /* VIF, VIP and VM never reach the vCPU; ring 0 gets IOPL 3 so that CLI, STI, IN, OUT just run.
     */
    uint32_t f = (eflags & ~(uint32_t)(FL_VM | FL_VIF | FL_VIP)) | FL_ONE;
    if (k->e.env.cpu->cpl == 0)
        f |= FL_IOPL;
    return f;
}

/* The bits of CR0 and CR4 that decide how user instructions behave are the guest's own. */
static void load_control(struct kvm_engine *k)
{
    const struct cpu *c = k->e.env.cpu;
    struct kvm_sregs *s = sregs_of(k);
    const uint64_t cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG |
                         (c->cr0 & (CR0_MP | CR0_EM | CR0_TS | (c->cpl == 3 ? CR0_AM : 0u)));
    const uint64_t cr4 = k->cr4_base | (c->cr4 & (CR4_OSFXSR | CR4_OSXMMEXCPT)) |
                         (c->cpl == 3 ? c->cr4 & CR4_TSD : 0u);
    const mpa_t root = shadow_root(k->e.env.shadow, c->cpl == 3);
    if (s->cr0 == cr0 && s->cr4 == cr4 && s->cr3 == root)
        return;
    s->cr0 = cr0;
    s->cr4 = cr4;
    s->cr3 = root;
    k->sregs_stale = true;
}

static void load_cpu(struct kvm_engine *k)
{
    const struct cpu *c = k->e.env.cpu;
    struct stub_frame *f = machine_frame(&k->m);

    load_data_segments(k);
    load_code_and_stack(k);
    f->rip = c->eip;
    f->cs = c->seg[SEG_CS].sel | 3u;
    f->rflags = native_flags(k, c->eflags);
    f->rsp = c->gpr[R_ESP];
    f->ss = c->seg[SEG_SS].sel | 3u;

    load_control(k);
    aim_stub(k, STUB_RESUME);
    struct kvm_regs *r = regs_of(k);
    r->rax = c->gpr[R_EAX];
    r->rbx = c->gpr[R_EBX];
    r->rcx = c->gpr[R_ECX];
    r->rdx = c->gpr[R_EDX];
    r->rsi = c->gpr[R_ESI];
    r->rdi = c->gpr[R_EDI];
    r->rbp = c->gpr[R_EBP];
}

/* --- the vCPU into struct cpu ---------------------------------------------------------------- */

/* A data segment register that the guest loaded by itself can only be NULL or what SS or CS is. */
static void store_segment(struct kvm_engine *k, enum segreg which, const struct kvm_segment *from)
{
    struct cpu *c = k->e.env.cpu;
    struct seg *seg = &c->seg[which];
    if (from->selector == seg->sel)
        return;
    if ((from->selector | 3) == (c->seg[SEG_SS].sel | 3) && from->selector > 3) {
        *seg = c->seg[SEG_SS];
        seg->sel = from->selector;
    } else if ((from->selector | 3) == (c->seg[SEG_CS].sel | 3) && from->selector > 3) {
        *seg = c->seg[SEG_CS];
        seg->sel = from->selector;
    } else {
        *seg = (struct seg){.sel = from->selector};
    }
    k->loaded[which] = *seg;
}

static void store_registers(struct kvm_engine *k)
{
    struct cpu *c = k->e.env.cpu;
    const struct kvm_regs *r = regs_of(k);
    const struct kvm_sregs *s = sregs_of(k);

    c->gpr[R_EAX] = (uint32_t)r->rax;
    c->gpr[R_EBX] = (uint32_t)r->rbx;
    c->gpr[R_ECX] = (uint32_t)r->rcx;
    c->gpr[R_EDX] = (uint32_t)r->rdx;
    c->gpr[R_ESI] = (uint32_t)r->rsi;
    c->gpr[R_EDI] = (uint32_t)r->rdi;
    c->gpr[R_EBP] = (uint32_t)r->rbp;
    store_segment(k, SEG_DS, &s->ds);
    store_segment(k, SEG_ES, &s->es);
    store_segment(k, SEG_FS, &s->fs);
    store_segment(k, SEG_GS, &s->gs);
}

static void store_flow(struct kvm_engine *k, uint64_t rip, uint64_t rflags, uint64_t rsp)
{
    struct cpu *c = k->e.env.cpu;
    /* Nothing that the vCPU executes can change IOPL; some hosts drop it. */
    const uint32_t keep = FL_IOPL;
    c->eip = (uint32_t)rip;
    c->gpr[R_ESP] = (uint32_t)rsp;
    c->eflags = ((uint32_t)rflags & ~keep) | (c->eflags & keep);
    c->int_shadow = c->db_shadow = false;
}

/* The guest was interrupted by an exception: its flow is in the frame. */
static void store_from_frame(struct kvm_engine *k)
{
    const struct stub_frame *f = machine_frame(&k->m);
    store_registers(k);
    store_flow(k, f->rip, f->rflags, f->rsp);
}

/* The vCPU stopped inside guest code: its flow is in the registers. */
static void store_from_guest(struct kvm_engine *k)
{
    const struct kvm_regs *r = regs_of(k);
    store_registers(k);
    store_flow(k, r->rip, r->rflags, r->rsp);
    k->at = AT_GUEST;
}

/* --- exits ----------------------------------------------------------------------------------- */

static void exit_exception(struct kvm_engine *k, unsigned vector, struct trap *t)
{
    const struct stub_frame *f = machine_frame(&k->m);

    k->at = AT_STUB;
    if (regs_of(k)->rsp < MON_STACK_TOP - sizeof *f) {
        trap_error(
            t, "kvm: exception %u inside the stub, RIP %llx, CR2 %llx; please report this", vector,
            (unsigned long long)((
                const uint64_t *)(const void *)(k->m.mon + (MON_STACK * PAGE_SIZE) +
                                                (regs_of(k)->rsp & PAGE_MASK)))[vector == VEC_PF],
            (unsigned long long)sregs_of(k)->cr2);
        return;
    }
    store_from_frame(k);
    t->vector = (uint8_t)vector;
    t->error = 0;
    switch (vector) {
    case VEC_PF:
        t->kind = TRAP_PF;
        t->la = (la_t)sregs_of(k)->cr2;
        t->error = ((uint32_t)f->error & (PF_W | PF_I)) | (k->e.env.cpu->cpl == 3 ? PF_U : 0u);
        break;
    case VEC_DB: /* breakpoints never run here (can_run): it was a single step */
        k->e.env.cpu->dr[6] |= DR6_BS;
        t->kind = TRAP_EXCEPTION;
        break;
    case VEC_DF:
        trap_error(t, "kvm: double fault of the guest's CPU at EIP %08x; please report this",
                   k->e.env.cpu->eip);
        break;
    default: t->kind = TRAP_EMULATE; break;
    }
}

/* Has the vCPU raised an exception that has not entered the stub yet? It would then do so from
 * wherever RIP is pointed to meanwhile. */
static bool exception_on_its_way(struct kvm_engine *k)
{
    struct kvm_vcpu_events ev;
    return ioctl(k->m.vcpu_fd, KVM_GET_VCPU_EVENTS, &ev) == 0 &&
           (ev.exception.injected || ev.exception.pending);
}

/* Whether RIP is behind the instruction yet depends on the host, so a port access is completed by
 * entering once more before anybody looks at the state. */
static int complete_guest_io(struct kvm_engine *k)
{
    k->guest_io = IO_NONE;
    k->at = AT_GUEST;
    k->m.run->immediate_exit = 1;
    const int rc = vcpu_enter(k);
    k->m.run->immediate_exit = 0;
    if (rc != -EINTR)
        return rc < 0 ? rc : -EPROTO;
    store_from_guest(k);
    return 0;
}

/* The vCPU is to be entered for something else while guest code waits for a port. An OUT has said
 * all and can be completed before it has its effect; an IN cannot, and no device changes mappings
 * for one. */
static int settle_guest_io(struct kvm_engine *k)
{
    if (k->guest_io == IO_NONE)
        return 0;
    const int rc = k->guest_io == IO_OUT ? complete_guest_io(k) : -EBUSY;
    k->stuck |= rc < 0;
    return rc;
}

/* Port I/O straight from guest code. */
static bool exit_guest_io(struct kvm_engine *k, struct trap *t)
{
    uint8_t data[PAGE_SIZE]; /* kvm_run's own is gone if the vCPU is entered meanwhile */
    const struct kvm_run *run = k->m.run;
    const bool in = run->io.direction == KVM_EXIT_IO_IN;
    const size_t bytes = (size_t)run->io.size * run->io.count;
    uint8_t *to = (uint8_t *)k->m.run + run->io.data_offset;

    k->stats.io++;
    if (bytes > sizeof data) {
        trap_error(t, "kvm: port I/O of %zu bytes at once is not expected", bytes);
        return true;
    }
    k->guest_io = in ? IO_IN : IO_OUT;
    if (!in)
        memcpy(data, to, bytes);
    const bool go_on =
        k->e.env.io(k->e.env.ctx, run->io.port, run->io.size, in, run->io.count, in ? to : data);
    t->kind = TRAP_KICK;
    if (k->guest_io == IO_NONE)
        return true; /* completed on the way */
    /* what the call has restricted must be applied first */
    if (go_on && queue_empty(machine_queue(&k->m)) &&
        !atomic_load_explicit(&k->kicked, memory_order_relaxed)) {
        k->guest_io = IO_NONE;
        k->at = AT_GUEST;
        return false;
    }
    const int rc = complete_guest_io(k);
    if (rc < 0)
        trap_error(t, "kvm: completing port I/O gave %d (%s)", rc, strerror(-rc));
    else if (exception_on_its_way(k)) /* a single step, say */
        return false;
    return true;
}

/* KVM may have an exception of guest code in hand that it has not delivered yet. */
static bool exception_pending(const struct kvm_engine *k)
{
    struct kvm_vcpu_events ev;
    if (ioctl(k->m.vcpu_fd, KVM_GET_VCPU_EVENTS, &ev) < 0)
        return false;
    return ev.exception.injected || ev.exception.pending;
}

/* A signal came. False: the vCPU is inside the stub on its way out, and must get there first. */
static bool exit_interrupted(struct kvm_engine *k, struct trap *t)
{
    t->kind = TRAP_KICK;
    /* Where the stub must first get to its end, a kick (remembered in kicked) may not hold it back.
     */
    k->m.run->immediate_exit = 0;
    if (exception_on_its_way(k))
        return false;
    if (!in_stub(k)) {
        if (exception_pending(k))
            return false; /* it would strike in the stub on the next entry: have it now */
        store_from_guest(k);
        return true;
    }
    if (in_drain(k)) {
        machine_queue(&k->m)->resume = 0; /* let it come back here instead */
        return false;
    }
    if (regs_of(k)->rip == MON_LA + STUB_RESUME || regs_of(k)->rip >= MON_LA + STUB_RESTORE) {
        k->at = AT_STUB; /* IRETQ has not run: struct cpu is still true */
        return true;
    }
    return false;
}

static void exit_failed(struct kvm_engine *k, struct trap *t)
{
    const struct kvm_run *run = k->m.run;
    switch (run->exit_reason) {
    case KVM_EXIT_SHUTDOWN:
        trap_error(t, "kvm: the vCPU shut down (RIP %llx); please report this",
                   (unsigned long long)regs_of(k)->rip);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        trap_error(t, "kvm: internal error %u at RIP %llx; try --engine soft",
                   run->internal.suberror, (unsigned long long)regs_of(k)->rip);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        trap_error(t, "kvm: the host's CPU refused the state (reason %llx); try --engine soft",
                   (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        break;
    default:
        trap_error(t, "kvm: exit %u at RIP %llx is not expected; try --engine soft",
                   run->exit_reason, (unsigned long long)regs_of(k)->rip);
    }
}

/* Handle one return of KVM_RUN; true: *t says why run() ends. */
static bool handle_exit(struct kvm_engine *k, int rc, struct trap *t)
{
    const struct kvm_run *run = k->m.run;

    if (k->draining && !in_drain(k)) {
        queue_clear(machine_queue(&k->m));
        k->draining = false;
    }
    if (rc == -EINTR || (rc == 0 && run->exit_reason == KVM_EXIT_INTR))
        return exit_interrupted(k, t);
    if (rc == -EAGAIN)
        return false;
    if (rc < 0) {
        trap_error(t, "kvm: KVM_RUN: %s%s", strerror(-rc),
                   rc == -EFAULT ? " (host out of memory for the frame pool?)" : "");
        return true;
    }
    if (run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN)
        return exit_interrupted(k, t);
    if (run->exit_reason != KVM_EXIT_IO) {
        exit_failed(k, t);
        return true;
    }
    if (!in_stub(k))
        return exit_guest_io(k, t);
    if (run->io.port < PORT_VECTOR + 32) {
        exit_exception(k, run->io.port - PORT_VECTOR, t);
        return true;
    }
    if (run->io.port == PORT_DRAINED) {
        queue_clear(machine_queue(&k->m)); /* interrupted on the way: the guest has not run */
        k->draining = false;
        k->at = AT_STUB;
        t->kind = TRAP_KICK;
        return true;
    }
    trap_error(t, "kvm: the stub left by port %x; please report this", run->io.port);
    return true;
}

/* --- x87/MMX/SSE state ----------------------------------------------------------------------- */

/*
 * It travels in the layout of XSAVE (SDM vol. 1, 13.4): KVM_GET_FPU and KVM_SET_FPU have a field
 * for MXCSR but leave it alone. Taken over is what a 32-bit guest has: not the selectors at offsets
 * 12 and 20 (upper halves of pointers in long mode's layout), not MXCSR_MASK, not XMM8 to XMM15.
 */
static const struct {
    uint16_t at, len;
} fpu_parts[] = {{0, 12}, {16, 4}, {24, 4}, {32, 128}, {160, 128}};

enum {
    XSTATE_BV = 512 / 4
}; /* word in struct kvm_xsave: which parts are not in their initial state */

static void fpu_copy(void *to, const void *from)
{
    for (size_t i = 0; i < sizeof fpu_parts / sizeof *fpu_parts; i++)
        memcpy((uint8_t *)to + fpu_parts[i].at, (const uint8_t *)from + fpu_parts[i].at,
               fpu_parts[i].len);
}

int kvm_engine_fpu_fetch(struct engine *e)
{
    struct kvm_engine *k = kvm_of(e);
    struct kvm_xsave x;
    if (k->fpu != FPU_IN_VCPU) {
        k->fpu = FPU_IN_CPU;
        return 0;
    }
    k->fpu = FPU_IN_CPU;
    if (ioctl(k->m.vcpu_fd, KVM_GET_XSAVE, &x) < 0)
        return -errno;
    fpu_copy(e->env.cpu->fpu.fxsave, x.region);
    return 0;
}

static int fpu_store(struct engine *e)
{
    struct kvm_engine *k = kvm_of(e);
    struct kvm_xsave x = {.region = {[XSTATE_BV] = 3}}; /* x87 and SSE */
    fpu_copy(x.region, e->env.cpu->fpu.fxsave);
    return ioctl(k->m.vcpu_fd, KVM_SET_XSAVE, &x) < 0 ? -errno : 0;
}

/* --- engine operations ----------------------------------------------------------------------- */

static void run_engine(struct engine *e, struct trap *t)
{
    struct kvm_engine *k = kvm_of(e);

    if (!atomic_load_explicit(&k->running, memory_order_relaxed)) {
        k->thread = pthread_self();
        atomic_store(&k->running, true);
    }
    int rc = 0;
    if (k->stuck) {
        trap_error(t, "kvm: mappings changed while the vCPU waited for a port; please report this");
        return;
    }
    if (k->fpu == FPU_IN_CPU) {
        rc = fpu_store(e);
        if (rc < 0) {
            trap_error(t, "kvm: loading the FPU state: %s", strerror(-rc));
            return;
        }
    }
    load_cpu(k);
    k->fpu = FPU_IN_VCPU;
    k->m.run->immediate_exit = 0;
    if (atomic_exchange(&k->kicked, false)) {
        t->kind = TRAP_KICK;
        return;
    }
    drain_on_the_way(k);
    do
        rc = vcpu_enter(k);
    while (!handle_exit(k, rc, t));
    if (t->kind == TRAP_KICK)
        atomic_store(&k->kicked, false);
}

static bool seg_loadable(const struct seg *s)
{
    return (s->attr & (SA_P | SA_S)) == (SA_P | SA_S) && s->sel > 3 &&
           ((s->sel & 4) || s->sel < SEL_STUB_CS) &&
           (s->limit <= 0xfffff || (s->limit & 0xfff) == 0xfff);
}

static bool can_run(struct engine *e)
{
    const struct kvm_engine *k = kvm_of(e);
    const struct cpu *c = e->env.cpu;
    const struct seg *cs = &c->seg[SEG_CS], *ss = &c->seg[SEG_SS];

    if (!cpu_protected(c) || cpu_v86(c) || c->halted || (c->dr[7] & 0xff))
        return false;
    if (c->cpl != 3 && !(c->cpl == 0 && k->opts.native_ring0))
        return false;
    return seg_loadable(cs) && (cs->attr & SA_CODE) && seg_loadable(ss) &&
           (ss->attr & (SA_CODE | SA_RW)) == SA_RW && (cs->sel | 3) != (ss->sel | 3);
}

static void restricted(struct engine *e, uint32_t off, la_t la, spte_t old, spte_t now)
{
    struct kvm_engine *k = kvm_of(e);
    (void)old;
    (void)now;
    struct stub_queue *q = machine_queue(&k->m);
    if (q->count == QUEUE_MAX && drain(k) < 0)
        return; /* the vCPU is gone; the next run() reports it */
    q->entry[q->count].pte = WIN_LA + off;
    q->entry[q->count].la = la;
    q->count++;
}

static void flush(struct engine *e)
{
    machine_queue(&kvm_of(e)->m)->flush = 1;
}

static void sync_engine(struct engine *e)
{
    (void)drain(kvm_of(e));
}

static void kick(struct engine *e)
{
    struct kvm_engine *k = kvm_of(e);
    atomic_store(&k->kicked, true);
    k->m.run->immediate_exit = 1;
    if (atomic_load(&k->running) && !pthread_equal(k->thread, pthread_self()))
        pthread_kill(k->thread, KICK_SIGNAL);
}

static void intr_window(struct engine *e, bool wanted)
{
    kvm_of(e)->m.run->request_interrupt_window = wanted;
}

static void destroy(struct engine *e)
{
    struct kvm_engine *k = kvm_of(e);
    shadow_detach(e->env.shadow, e);
    machine_destroy(&k->m);
    free(k);
}

static const struct engine_ops kvm_ops = {
    .name = "kvm",
    .run = run_engine,
    .can_run = can_run,
    .restricted = restricted,
    .flush = flush,
    .sync = sync_engine,
    .kick = kick,
    .intr_window = intr_window,
    .destroy = destroy,
};

static void on_kick_signal(int sig)
{
    (void)sig; /* its work is to end KVM_RUN */
}

int kvm_engine_create(const struct kvm_host *h, const struct engine_env *env,
                      const struct kvm_engine_opts *opts, struct engine **out, struct errmsg *err)
{
    struct kvm_engine *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(err, -ENOMEM, "kvm: out of memory");
    k->e = (struct engine){
        .ops = &kvm_ops, .walks = true, .env = *env, .user_only = !opts->native_ring0};
    k->opts = *opts;
    const int rc = machine_create(h, env->pool, shadow_arena(env->shadow), &k->m, err);
    if (rc < 0) {
        free(k);
        return rc;
    }
    shadow_set_monitor_half(env->shadow, machine_monitor_half());
    sigaction(KICK_SIGNAL, &(struct sigaction){.sa_handler = on_kick_signal}, NULL);
    k->sregs_stale = true;
    k->cr4_base = CR4_PAE | (k->m.umip ? (unsigned)CR4_UMIP : 0u);
    k->fpu = FPU_IN_CPU;
    shadow_attach(env->shadow, &k->e);
    *out = &k->e;
    return 0;
}

uint64_t kvm_engine_tsc_offset(const struct engine *e)
{
    return ((const struct kvm_engine *)(const void *)e)->m.tsc_offset;
}

uint32_t kvm_engine_tsc_khz(const struct engine *e)
{
    return ((const struct kvm_engine *)(const void *)e)->m.tsc_khz;
}

bool kvm_engine_native_ring0(const struct engine *e)
{
    return ((const struct kvm_engine *)(const void *)e)->opts.native_ring0;
}

void kvm_engine_get_stats(const struct engine *e, struct kvm_engine_stats *out)
{
    *out = ((const struct kvm_engine *)(const void *)e)->stats;
}
