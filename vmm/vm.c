/* See vm.h: putting a machine together and taking it apart. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest/abi.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/probe.h"
#include "vmm/soft_engine.h"
#include "vmm/vm.h"
#include "vmm/vm_clock.h"

/* --- what the engines ask -------------------------------------------------------------------- */

#define VM_TSC_KHZ 1000000u

_Static_assert(CPUID_CRYSTAL_HZ == 1000000000u / LAPIC_TICK, "CPUID tells the APIC timer's clock");

/* Beside kvm the TSC is the hardware's, for guest code reads it there. Without, it is the devices'
 * clock, in ns: what a guest measures with one of them it measures with the other. */
static uint64_t on_tsc(void *ctx)
{
    const struct vm *vm = ctx;
    const uint64_t ticks = vm->kvm ? stats_now() + vm->tsc_base : vm_board_now(vm);
    return ticks + vm->cpu.tsc_offset;
}

/* Load the four page-directory-pointer entries that PAE keeps in the processor (SDM vol. 3, 4.4.1).
 * false: a present one has reserved bits set. */
static bool load_pdptes(struct vm *vm)
{
    const uint64_t reserved = 0x1e6 | ~(GPTE_PHYS_MASK | PAGE_MASK);
    uint64_t p[4];
    for (int i = 0; i < 4; i++) {
        gpte_t e;
        const gpa_t at = (vm->cpu.cr3 & ~(uint32_t)31) + (uint32_t)i * 8;
        const int rc = walk_read(vm->as, GPAGING_PAE, at, &e);
        if (rc < 0) {
            fault_no_page(vm, rc, "the page directory pointers in page", at);
            return true;
        }
        if (gpte_present(e) && (e.raw & reserved))
            return false;
        p[i] = e.raw;
    }
    memcpy(vm->cpu.pdpte, p, sizeof p);
    return true;
}

/* Does this load of a control register load the PDPTEs? */
static bool loads_pdptes(const struct vm *vm, int reg, uint32_t old)
{
    const struct cpu *c = &vm->cpu;
    if (!cpu_paging(c) || !(c->cr4 & CR4_PAE))
        return false;
    switch (reg) {
    case 0: return ((old ^ c->cr0) & (CR0_PG | CR0_CD | CR0_NW)) != 0;
    case 3: return true;
    case 4: return ((old ^ c->cr4) & (CR4_PAE | CR4_PGE | CR4_PSE)) != 0;
    default: return false;
    }
}

/* Bits whose change flushes translations (SDM vol. 3, 4.10.4.1); CR3 always does. */
static bool changes_translation(const struct vm *vm, int reg, uint32_t old)
{
    switch (reg) {
    case 0: return ((old ^ vm->cpu.cr0) & (CR0_PG | CR0_WP)) != 0;
    case 4: return ((old ^ vm->cpu.cr4) & (CR4_PAE | CR4_PGE | CR4_PSE)) != 0;
    default: return true;
    }
}

static bool on_cr_written(void *ctx, int reg, uint32_t old)
{
    struct vm *vm = ctx;
    if (loads_pdptes(vm, reg, old) && !load_pdptes(vm))
        return false;
    if (changes_translation(vm, reg, old)) {
        /* In the same tables, the soft CPU was told of each entry that has changed. */
        const bool others = shadow_load_mode(vm->shadow, &vm->cpu);
        if (vm->soft && (others || reg != 3))
            vm->soft->ops->flush(vm->soft);
    }
    if (vm->strict)
        strict_tlb_cr_written(vm->strict, reg, old);
    return true;
}

static void on_invlpg(void *ctx, la_t la)
{
    struct vm *vm = ctx;
    if (vm->strict)
        strict_tlb_invlpg(vm->strict, la);
    shadow_invlpg(vm->shadow, la);
}

static void on_used(void *ctx, la_t la, enum soft_access acc, bool user,
                    const struct soft_page *page)
{
    const struct vm *vm = ctx;
    strict_tlb_used(vm->strict, la, acc, user, page);
}

static uint64_t on_budget(void *ctx)
{
    return vm_clock_budget(ctx);
}

static void on_apic_base(void *ctx)
{
    struct vm *vm = ctx;
    apic_set_base(&vm->board.apic, vm->cpu.apic_base);
}

static int on_intr_ack(void *ctx)
{
    return vm_board_ack(ctx);
}

static bool on_ferr(void *ctx, bool level)
{
    struct vm *vm = ctx;
    return ferr_set(&vm->board.ferr, level) && vm->intr && (vm->cpu.eflags & FL_IF);
}

static void on_fpu_use(void *ctx)
{
    struct vm *vm = ctx;
    const int rc = kvm_engine_fpu_fetch(vm->kvm);
    if (rc < 0)
        vm_finish(vm, VM_END_HOST, "kvm: reading the FPU state: %s", strerror(-rc));
}

/* Where ring 0 runs on the soft CPU, which knows its own stores to code byte by byte, kvm walks
 * nothing but what serves user rights. */
bool vm_kvm_walks(const struct vm *vm, bool user)
{
    return vm->kvm && (kvm_engine_native_ring0(vm->kvm) || shadow_serves_user(vm->shadow, user));
}

static void watch_code(struct vm *vm, frame_t f, gfn_t gfn)
{
    struct mm_page_info i;
    if (vm->code_frame[f] != VM_CODE_NEW)
        return; /* its code has gone again */
    vm->code_frame[f] = VM_CODE_WATCHED;
    const bool user_only = !kvm_engine_native_ring0(vm->kvm);
    shadow_write_protect_code(vm->shadow, gfn, user_only);
    mm_page_info(vm->as->mm, gfn, &i);
    if (i.maps > 1) /* shared memory may be writable elsewhere */
        shadow_write_protect_frame(vm->shadow, f, user_only);
}

void vm_watch_code(struct vm *vm)
{
    for (unsigned k = 0; k < vm->code_news; k++)
        watch_code(vm, vm->code_new[k].frame, vm->code_new[k].gfn);
    vm->code_news = 0;
}

static void on_code_frame(void *ctx, frame_t f, gfn_t gfn, bool cached)
{
    struct vm *vm = ctx;
    if (!cached) {
        vm->code_frame[f] = VM_CODE_NONE;
        return;
    }
    /* Not with the newest among them: an instruction that writes beside itself must get on. */
    if (vm->code_news == VM_CODE_NEW_MAX)
        vm_watch_code(vm);
    vm->code_frame[f] = VM_CODE_NEW;
    vm->code_new[vm->code_news].frame = f;
    vm->code_new[vm->code_news++].gfn = gfn;
}

static void on_guest_memory_written(void *ctx, gpa_t gpa, frame_t f, uint32_t len, bool by_walk)
{
    struct vm *vm = ctx;
    if (vm->soft)
        soft_code_written(soft_engine_cpu(vm->soft), f, (uint32_t)gpa & PAGE_MASK, len);
    if (vm->strict && !by_walk)
        strict_tlb_written(vm->strict, gfn_of(gpa));
    if (vm->shadow && !by_walk)
        shadow_table_written(vm->shadow, gfn_of(gpa));
}

static void on_moment(void *ctx, struct shadow_when *out)
{
    const struct vm *vm = ctx;
    *out = (struct shadow_when){vm->traps, vm_board_now(vm)};
}

/* --- engines --------------------------------------------------------------------------------- */

static int add_kvm(struct vm *vm, const struct engine_env *env, const struct kvm_host *host,
                   const struct kvm_findings *found, struct errmsg *err)
{
    const bool native = vm->opts.ring0 == VM_RING0_NATIVE ||
                        (vm->opts.ring0 == VM_RING0_AUTO && found->ring0_exact);
    const struct kvm_engine_opts o = {.native_ring0 = native};
    const int rc = kvm_engine_create(host, env, &o, &vm->kvm, err);
    if (rc < 0)
        return rc;
    snprintf(vm->engine_why + strlen(vm->engine_why),
             sizeof vm->engine_why - strlen(vm->engine_why), "; ring 0 on %s (%s)",
             native ? "kvm" : "soft",
             vm->opts.ring0 != VM_RING0_AUTO ? "as asked"
             : native                        ? "the probe found it exact here"
                                             : found->ring0_why);
    vm->code_frame = mmap(NULL, pool_bytes(vm->pool) >> PAGE_SHIFT, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (vm->code_frame == MAP_FAILED) {
        vm->code_frame = NULL;
        return err_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static bool tracing(const struct vm *vm)
{
    return vm->opts.trace.lines || vm->opts.trace.n_breaks;
}

/* The options that only the soft CPU can serve; NULL: none is given. */
static const char *needs_soft(const struct vm *vm)
{
    return tracing(vm)           ? "--trace-insn and --break need"
           : vm_clock_counts(vm) ? "--clock insn needs"
           : vm->opts.strict_tlb ? "--strict-tlb needs"
                                 : NULL;
}

/* 2 MiB entries are for hosts on which they are found to work. */
static int large_on_kvm(struct vm *vm, const struct kvm_host *host, struct errmsg *err)
{
    struct kvm_finding found = {0};
    const int rc = vm->opts.large_pages ? kvm_probe_large(host, &found, err) : 0;
    if (rc < 0 || !vm->opts.large_pages || found.native)
        return rc;
    shadow_set_large(vm->shadow, false);
    snprintf(vm->engine_why + strlen(vm->engine_why),
             sizeof vm->engine_why - strlen(vm->engine_why), "; no 2 MiB entries (this KVM: %s)",
             found.how);
    return 0;
}

/* Decide between kvm and soft, and say why. */
static int choose_kvm(struct vm *vm, const struct engine_env *env, struct errmsg *err)
{
    struct kvm_host host;
    struct kvm_findings found = {0};
    struct errmsg why = {{0}};
    const bool ask = vm->opts.engine == VM_ENGINE_AUTO || vm->opts.ring0 == VM_RING0_AUTO;

    const char *const needs = needs_soft(vm);
    if (vm->opts.engine != VM_ENGINE_SOFT && needs) {
        if (vm->opts.engine == VM_ENGINE_KVM)
            return err_set(err, -EINVAL, "%s the soft CPU: not with --engine kvm", needs);
        snprintf(vm->engine_why, sizeof vm->engine_why, "soft: %s the soft CPU", needs);
        return 0;
    }
    if (vm->opts.engine == VM_ENGINE_SOFT) {
        snprintf(vm->engine_why, sizeof vm->engine_why, "soft, as asked");
        return 0;
    }
    int rc = kvm_host_open(vm->opts.kvm_path, &host, &why);
    if (rc < 0) {
        if (vm->opts.engine == VM_ENGINE_KVM)
            return err_set(err, rc, "%s", why.text);
        snprintf(vm->engine_why, sizeof vm->engine_why, "soft: %.200s", why.text);
        return 0;
    }
    rc = ask ? kvm_probe(&host, &found, &why) : 0;
    const bool fit = found.faster_than_soft && !found.tears;
    if (rc < 0 || (vm->opts.engine == VM_ENGINE_AUTO && !fit)) {
        kvm_host_close(&host);
        if (vm->opts.engine == VM_ENGINE_KVM)
            return err_set(err, rc, "%s", why.text);
        snprintf(vm->engine_why, sizeof vm->engine_why, "soft: %.200s",
                 rc < 0        ? why.text
                 : found.tears ? "this KVM stores a part of an operand before a fault"
                               : found.speed_why);
        return 0;
    }
    snprintf(vm->engine_why, sizeof vm->engine_why, "kvm: %s",
             vm->opts.engine == VM_ENGINE_KVM ? "as asked" : found.speed_why);
    rc = add_kvm(vm, env, &host, &found, err);
    if (!rc)
        rc = large_on_kvm(vm, &host, err);
    kvm_host_close(&host);
    return rc;
}

/* Code bytes as the CPU would fetch them, as far as the shadow tables reach. */
static size_t read_code(void *ctx, la_t la, uint8_t *buf, size_t len)
{
    const struct vm *vm = ctx;
    for (size_t i = 0; i < len; i++) {
        const la_t at = la + (la_t)i;
        const spte_t e = shadow_lookup(vm->shadow, at, vm->cpu.cpl == 3, NULL);
        if (!spte_present(e))
            return i;
        buf[i] = pool_ptr(vm->pool, spte_frame(e))[at & PAGE_MASK];
    }
    return len;
}

static void on_trace_failed(void *ctx, int err)
{
    struct vm *vm = ctx;
    vm_finish(vm, VM_END_HOST, "--trace-insn: writing failed: %s", strerror(err));
    vm->soft->ops->kick(vm->soft);
}

static int add_trace(struct vm *vm, struct errmsg *err)
{
    struct trace_insn_opts o = vm->opts.trace;
    o.read = read_code;
    o.failed = on_trace_failed;
    o.ctx = vm;
    if (trace_insn_create(&o, &vm->trace) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    soft_set_trace(soft_engine_cpu(vm->soft), trace_insn_hook, vm->trace);
    return 0;
}

static int add_engines(struct vm *vm, struct errmsg *err)
{
    const struct engine_env env = {
        .cpu = &vm->cpu, .pool = vm->pool, .shadow = vm->shadow, .ctx = vm, .io = vm_board_io};
    int rc = choose_kvm(vm, &env, err);
    if (rc < 0)
        return rc;
    if (vm->opts.strict_tlb && strict_tlb_create(vm, vm->opts.strict_reports, &vm->strict) < 0)
        return err_set(err, -ENOMEM, "--strict-tlb: out of memory");
    vm->tsc_base = vm->kvm ? kvm_engine_tsc_offset(vm->kvm) : 0;
    const struct soft_engine_env senv = {
        .ctx = vm,
        .costs = vm->opts.costs ? vm->stats.call : NULL,
        .cpuid = {.pae = true,
                  .nx = true,
                  .apic = !vm->opts.no_apic,
                  .hypervisor = true,
                  .tsc_khz = vm->kvm ? kvm_engine_tsc_khz(vm->kvm) : VM_TSC_KHZ},
        .mmio_read = vm_board_mmio_read,
        .mmio_write = vm_board_mmio_write,
        .io_many = vm_board_io_many,
        .tsc = on_tsc,
        .cr_written = on_cr_written,
        .invlpg = on_invlpg,
        .apic_base = on_apic_base,
        .intr_ack = on_intr_ack,
        .used = vm->strict ? on_used : NULL,
        .budget = vm_clock_counts(vm) ? on_budget : NULL,
        .code_frame = vm->kvm ? on_code_frame : NULL,
        .ferr = on_ferr,
        .fpu_use = vm->kvm ? on_fpu_use : NULL};
    rc = soft_engine_create(&env, &senv, &vm->soft);
    if (rc < 0)
        return err_set(err, rc, "soft CPU: %s", strerror(-rc));
    return tracing(vm) ? add_trace(vm, err) : 0;
}

const char *vm_engine_name(const struct vm *vm)
{
    if (!vm->kvm)
        return "soft";
    return kvm_engine_native_ring0(vm->kvm) ? "kvm" : "kvm, ring 0 on soft";
}

/* --- time-out -------------------------------------------------------------------------------- */

static void on_timer(union sigval v)
{
    vm_ask(v.sival_ptr, VM_ASK_TIMEOUT);
}

static int arm_timeout(struct vm *vm, struct errmsg *err)
{
    if (!vm->opts.timeout_s)
        return 0;
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD,
                          .sigev_notify_function = on_timer,
                          .sigev_value.sival_ptr = vm};
    const struct itimerspec t = {.it_value.tv_sec = (time_t)vm->opts.timeout_s};
    timer_t id;
    if (timer_create(CLOCK_MONOTONIC, &ev, &id) < 0 || timer_settime(id, 0, &t, NULL) < 0)
        return err_set(err, -errno, "--timeout: %s", strerror(errno));
    vm->timer = id;
    vm->timer_armed = true;
    return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static size_t marks_bytes(const struct vm *vm)
{
    return (size_t)(vm->opts.ram >> PAGE_SHIFT) * sizeof *vm->marks;
}

static int add_memory(struct vm *vm, struct errmsg *err)
{
    const uint64_t ram = vm->opts.ram;
    if (ram < VM_RAM_MIN || ram > VM_RAM_MAX || ram % PAGE_SIZE)
        return err_set(
            err, -EINVAL,
            "guest memory of %llu bytes: give a multiple of 4 KiB from 1 MiB to 3584 MiB "
            "with -m",
            (unsigned long long)ram);
    /* all of RAM, the zero frame, and a little for what is in flight */
    const uint64_t pool = vm->opts.pool ? vm->opts.pool : ram + (1u << 20);
    const struct pool_opts po = {
        .bytes = pool, .step = VM_POOL_STEP, .runs = vm->opts.large_pages, .fail = vm->opts.fail};
    int rc = pool_create(&po, &vm->pool);
    if (rc < 0)
        return err_set(err, rc,
                       "frame pool of %llu bytes: %s; give a multiple of 4 KiB up to 4 GiB with "
                       "--pool",
                       (unsigned long long)pool, strerror(-rc));
    rc = vm_swap_attach(vm, err);
    if (rc < 0)
        return rc;
    rc = mm_create(vm->pool, "guest RAM", &vm->mm);
    if (!rc)
        rc = vm_rom_map_ram(vm);
    if (rc < 0)
        return err_set(err, rc, "guest memory: %s", strerror(-rc));
    vm->marks = mmap(NULL, marks_bytes(vm), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (vm->marks == MAP_FAILED)
        vm->marks = NULL; /* for reports only */
    vm->gmem =
        (struct gmem){.mm = vm->mm, .bytes = ram, .written = on_guest_memory_written, .ctx = vm};
    space_init(vm);
    rc = shadow_create(&vm->gmem, vm->opts.shadow_quota, &vm->shadow);
    if (rc < 0)
        return err_set(err, rc, "shadow tables: %s", strerror(-rc));
    shadow_set_clock(vm->shadow, on_moment, vm);
    shadow_set_large(vm->shadow, vm->opts.large_pages);
    vm_trace_begin(vm);
    return 0;
}

int vm_create(const struct vm_opts *o, struct vm **out, struct errmsg *err)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return err_set(err, -ENOMEM, "out of memory");
    vm->opts = *o;
    vm->alarm_fd = vm->wake_fd = -1;
    cpu_set_flat(&vm->cpu, 0);
    stats_start(&vm->stats);
    int rc = vm_calls_init(&vm->calls);
    if (rc < 0) {
        free(vm);
        return err_set(err, rc, "locks: %s", strerror(-rc));
    }
    rc = add_memory(vm, err);
    if (!rc)
        rc = add_engines(vm, err);
    if (!rc)
        rc = vm_board_create(vm, err);
    if (!rc)
        rc = arm_timeout(vm, err);
    if (rc < 0) {
        vm_destroy(vm);
        return rc;
    }
    *out = vm;
    return 0;
}

void vm_destroy(struct vm *vm)
{
    if (!vm)
        return;
    vm_trace_end(vm);
    if (vm->timer_armed)
        timer_delete(vm->timer);
    vm_board_destroy(vm);
    if (vm->kvm)
        vm->kvm->ops->destroy(vm->kvm);
    if (vm->soft)
        vm->soft->ops->destroy(vm->soft);
    trace_insn_destroy(vm->trace);
    if (vm->marks)
        munmap(vm->marks, marks_bytes(vm));
    strict_tlb_destroy(vm->strict);
    if (vm->code_frame)
        munmap(vm->code_frame, pool_bytes(vm->pool) >> PAGE_SHIFT);
    if (vm->shadow)
        space_destroy(vm);
    shadow_destroy(vm->shadow);
    if (vm->mm)
        mm_destroy(vm->mm);
    if (vm->pool)
        pool_destroy(vm->pool);
    vm_rom_destroy(vm);
    vm_bios_destroy(vm);
    vm_calls_destroy(&vm->calls);
    free(vm);
}

void vm_ask(struct vm *vm, enum vm_asked what)
{
    atomic_fetch_or(&vm->asked, (uint32_t)what);
    if (vm->kvm)
        vm->kvm->ops->kick(vm->kvm);
    if (vm->soft)
        vm->soft->ops->kick(vm->soft);
    vm_board_wake(vm);
}

void vm_finish(struct vm *vm, enum vm_end end, const char *fmt, ...)
{
    va_list ap;
    if (vm->end != VM_RUNNING)
        return;
    vm->end = end;
    va_start(ap, fmt);
    vsnprintf(vm->end_text, sizeof vm->end_text, fmt, ap);
    va_end(ap);
}

int vm_exit_code(const struct vm *vm)
{
    switch (vm->end) {
    case VM_END_HALT:
    case VM_END_RESET:
    case VM_END_QUIT: return UMBRA_EXIT_OK;
    case VM_END_EXIT: return vm->exit_status & 0xff;
    case VM_END_TIMEOUT: return UMBRA_EXIT_TIMEOUT;
    case VM_END_OOM: return UMBRA_EXIT_OOM;
    case VM_END_PANIC: return UMBRA_EXIT_PANIC;
    case VM_END_AUDIT: return UMBRA_EXIT_AUDIT;
    case VM_END_HOST: return UMBRA_EXIT_HOST;
    case VM_END_WILD:
    case VM_RUNNING: break;
    }
    return UMBRA_EXIT_GUEST;
}
