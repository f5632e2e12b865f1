/*
 * The machine's devices, its time and its interrupts: the PC board joined to processor, console and
 * clock. Device time is host time since the machine's start, or counted (vm_clock.h). A thread
 * sleeps on a timerfd and asks the vCPU to look at the board when a device has something to do; a
 * halted vCPU sleeps by itself.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/soft_engine.h"
#include "vmm/vm.h"
#include "vmm/vm_clock.h"

/* --- what devices tell the machine ----------------------------------------------------------- */

static void on_exit_port(void *ctx, int status)
{
    struct vm *vm = ctx;
    if (vm->end == VM_RUNNING)
        vm->exit_status = status;
    vm_finish(vm, VM_END_EXIT, "the guest wrote the exit port: status %d", status);
}

static void on_off(void *ctx, unsigned n, bool level)
{
    (void)n;
    if (level)
        vm_finish(ctx, VM_END_HALT, "the guest has switched the machine off");
}

static void on_panic(void *ctx, const char *line)
{
    vm_finish(ctx, VM_END_PANIC, "the guest panicked: %s", line);
}

static void on_console_input(void *ctx)
{
    vm_ask(ctx, VM_ASK_INPUT);
}
static void on_console_quit(void *ctx)
{
    vm_ask(ctx, VM_ASK_QUIT);
}

static void on_intr(void *ctx, unsigned n, bool level)
{
    struct vm *vm = ctx;
    (void)n;
    vm->intr = level;
    soft_set_intr(soft_engine_cpu(vm->soft), level);
}

static void on_nmi(void *ctx, unsigned n, bool level)
{
    struct vm *vm = ctx;
    (void)n;
    if (!level)
        return;
    vm->nmi = true;
    soft_kick(soft_engine_cpu(vm->soft));
}

static void on_debugcon(void *ctx, uint8_t byte)
{
    putc(byte, ctx);
}

static void on_reset(void *ctx, unsigned n, bool level)
{
    struct vm *vm = ctx;
    (void)n;
    if (!level)
        return;
    if (vm_bios_restarts(vm))
        vm->reset_due = true;
    else
        vm_finish(vm, VM_END_RESET, "the guest asked for a reset");
}

/* --- DMA: RAM only --------------------------------------------------------------------------- */

/* One transfer, page by page; one of in and out is NULL. What is not RAM drives nothing and takes
 * nothing. */
static void dma_each(struct vm *vm, gpa_t gpa, uint8_t *in, const uint8_t *out, uint32_t len)
{
    for (uint32_t n, at = 0; at < len && vm->end == VM_RUNNING; at += n, gpa += n) {
        const uint32_t room = PAGE_SIZE - ((uint32_t)gpa & PAGE_MASK);
        int rc = 0;
        n = len - at < room ? len - at : room;
        if (in)
            rc = gmem_read(&vm->gmem, gpa, in + at, n);
        else if (!vm_rom_locked(vm, gpa))
            rc = gmem_write(&vm->gmem, gpa, out + at, n);
        if (rc == -EFAULT && in)
            memset(in + at, 0xff, n);
        else if (rc < 0 && rc != -EFAULT)
            fault_no_page(vm, rc, "for DMA, guest page", gpa);
    }
}

static void dma_read(void *ctx, uint32_t gpa, void *buf, uint32_t len)
{
    dma_each(ctx, gpa, buf, NULL, len);
}

static void dma_write(void *ctx, uint32_t gpa, const void *buf, uint32_t len)
{
    dma_each(ctx, gpa, NULL, buf, len);
}

/* --- time ------------------------------------------------------------------------------------ */

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t vm_board_now(const struct vm *vm)
{
    return vm_clock_counts(vm) ? vm_clock_now(vm) : monotonic_ns() - vm->start_ns;
}

static uint64_t now_ns(void *ctx)
{
    return vm_board_now(ctx);
}

static void *alarm_thread(void *ctx)
{
    struct vm *vm = ctx;
    struct pollfd p = {.fd = vm->alarm_fd, .events = POLLIN};
    uint64_t n;

    for (;;) {
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return NULL;
        if (atomic_load(&vm->closing))
            return NULL;
        if (read(vm->alarm_fd, &n, sizeof n) == sizeof n)
            vm_ask(vm, VM_ASK_TIME);
    }
}

/* Have the alarm ring when the board is next due. */
static void arm_alarm(struct vm *vm)
{
    /* With every interrupt masked nothing that a timer does can be seen before somebody reads its
     * port. */
    const bool matters = apic_may_interrupt(&vm->board.apic) || uart_busy(&vm->board.com1);
    const uint64_t due = matters ? board_deadline(&vm->board) : CLOCK_NEVER;
    if (vm_clock_counts(vm)) {
        vm->alarm_ns = due;
        vm_clock_limit(vm);
        return;
    }
    if (due == vm->alarm_ns)
        return;
    vm->alarm_ns = due;
    struct itimerspec t = {0};
    if (due != CLOCK_NEVER) {
        const uint64_t at = vm->start_ns + due;
        t.it_value.tv_sec = (time_t)(at / 1000000000u);
        t.it_value.tv_nsec = (long)(at % 1000000000u);
        if (!t.it_value.tv_sec && !t.it_value.tv_nsec)
            t.it_value.tv_nsec = 1;
    }
    timerfd_settime(vm->alarm_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

void vm_board_update(struct vm *vm)
{
    vm->alarm_ns = 0; /* it may have rung: arm it anew even for the same time */
    board_update(&vm->board);
    arm_alarm(vm);
}

uint64_t vm_board_freeze(struct vm *vm)
{
    (void)vm;
    return monotonic_ns();
}

void vm_board_thaw(struct vm *vm, uint64_t frozen)
{
    const uint64_t ns = monotonic_ns() - frozen;
    if (vm_clock_counts(vm))
        return;
    vm->start_ns += ns;
    vm->tsc_base -= (uint64_t)((double)ns / stats_ns_per_cycle(&vm->stats));
    vm_board_update(vm);
}

/* --- port I/O -------------------------------------------------------------------------------- */

/* May the engine go on behind the instruction? Code ahead may be another space's. Interrupts: the
 * soft CPU takes them by itself. */
static bool may_go_on(struct vm *vm)
{
    return vm->end == VM_RUNNING && !vm->reset_due && !space_moved(vm) && !(vm->intr && vm->kvm);
}

static void one_access(struct vm *vm, uint16_t port, unsigned size, bool in, void *data)
{
    uint32_t val = 0;
    if (in) {
        val = bus_in(&vm->board.bus, port, size);
        memcpy(data, &val, size);
    } else {
        memcpy(&val, data, size);
        bus_out(&vm->board.bus, port, val, size);
    }
}

static uint32_t many(struct vm *vm, uint16_t port, unsigned size, bool in, uint32_t count,
                     void *data)
{
    return in ? bus_in_many(&vm->board.bus, port, size, count, data)
              : bus_out_many(&vm->board.bus, port, size, count, data);
}

bool vm_board_io(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count, void *data)
{
    struct vm *vm = ctx;
    uint8_t *p = data;
    while (count > 0 && vm->end == VM_RUNNING && !vm->reset_due) {
        uint32_t n = count > 1 ? many(vm, port, size, in, count, p) : 0;
        if (n == 0) {
            one_access(vm, port, size, in, p);
            n = 1;
        }
        p += (size_t)n * size;
        count -= n;
    }
    /* A timer may have been programmed; and a read may let one go on. */
    if (!in || vm_clock_counts(vm))
        arm_alarm(vm);
    return may_go_on(vm);
}

uint32_t vm_board_io_many(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count,
                          void *data, bool *go_on)
{
    struct vm *vm = ctx;
    const uint32_t n = many(vm, port, size, in, count, data);
    *go_on = may_go_on(vm);
    return n;
}

/* --- accesses where no RAM is ----------------------------------------------------------------- */

uint32_t vm_board_mmio_read(void *ctx, gpa_t gpa, unsigned size)
{
    struct vm *vm = ctx;
    uint32_t val = 0;
    if (space_rules(vm) && gpa >= SPACE_WINDOW)
        return space_window_read(vm, gpa, size);
    if (!vm_rom_locked(vm, gpa))
        return mmio_read(&vm->board.mmio, gpa, size);
    const int rc = gmem_read(&vm->gmem, gpa, &val, size);
    if (rc < 0)
        fault_no_page(vm, rc, "a ROM's page", gpa);
    return val;
}

void vm_board_mmio_write(void *ctx, gpa_t gpa, uint32_t val, unsigned size)
{
    struct vm *vm = ctx;
    if ((space_rules(vm) && gpa >= SPACE_WINDOW) || vm_rom_locked(vm, gpa))
        return;
    mmio_write(&vm->board.mmio, gpa, val, size);
    arm_alarm(vm); /* a timer may have been programmed */
}

/* --- interrupts ------------------------------------------------------------------------------ */

int vm_board_ack(struct vm *vm)
{
    return apic_ack(&vm->board.apic);
}

/* Can any device ever raise an interrupt as the controllers are programmed now? */
static bool may_wake(const struct vm *vm)
{
    return apic_may_interrupt(&vm->board.apic);
}

void vm_board_halt(struct vm *vm)
{
    struct cpu *c = &vm->cpu;
    if (!(c->eflags & FL_IF)) {
        vm_finish(vm, VM_END_HALT, "the guest halted with interrupts off: it is done");
        return;
    }
    if (!may_wake(vm)) {
        vm_finish(
            vm, VM_END_WILD,
            "the guest halted with interrupts on, and the interrupt controllers let none through");
        vm->end_dump = true;
        return;
    }
    chardev_flush(vm->console);
    while (vm->end == VM_RUNNING && !vm->intr && !atomic_load(&vm->asked))
        if (vm_clock_counts(vm) && vm_clock_skip(vm))
            vm_board_update(vm);
        else
            vm_board_sleep(vm, UINT32_MAX);
}

void vm_board_sleep(struct vm *vm, uint32_t asked)
{
    uint64_t n;
    struct pollfd p = {.fd = vm->wake_fd, .events = POLLIN};
    atomic_store(&vm->sleeping, true);
    if (!(atomic_load(&vm->asked) & asked))
        (void)poll(&p, 1, -1);
    atomic_store(&vm->sleeping, false);
    (void)!read(vm->wake_fd, &n, sizeof n);
}

void vm_board_wake(struct vm *vm)
{
    const uint64_t one = 1;
    if (atomic_load(&vm->sleeping))
        (void)!write(vm->wake_fd, &one, sizeof one);
}

/* --- life ------------------------------------------------------------------------------------ */

static uint64_t calendar(const struct vm *vm)
{
    if (vm->opts.calendar_given)
        return vm->opts.calendar_s;
    return vm_clock_counts(vm) ? VM_CLOCK_CALENDAR : (uint64_t)time(NULL);
}

/* COM1's far end. With a display standard input is the keyboard's, and a terminal the screen's. */
static int open_console(struct vm *vm)
{
    const struct chardev_events ev = {on_console_input, on_console_quit, vm};
    const bool file = vm->opts.serial_fd > 0;
    const int in = file || vm->opts.display ? -1 : STDIN_FILENO;
    if (!file && vm_display_takes_stdout(vm))
        return 0;
    return chardev_fds_open(&vm->console, in, file ? vm->opts.serial_fd : STDOUT_FILENO, ev);
}

int vm_board_create(struct vm *vm, struct errmsg *err)
{
    int rc = 0;

    vm->start_ns = monotonic_ns();
    vm->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    vm->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vm->alarm_fd < 0 || vm->wake_fd < 0)
        return err_set(err, -errno, "timer: %s", strerror(errno));
    if (vm->opts.console)
        rc = open_console(vm);
    struct chardev *line = vm->console;
    if (!rc && vm->opts.panic_text) {
        rc = chardev_watch_open(&vm->console, line, vm->opts.panic_text, on_panic, vm);
        line = vm->console;
    }
    if (!rc && line && vm_clock_counts(vm))
        rc = chardev_patient_open(&vm->console, line);
    if (rc < 0)
        return err_set(err, rc, "console: %s", strerror(-rc));
    struct board_config c = {.clock = {now_ns, vm},
                             .com1 = vm->console,
                             .intr = {on_intr, vm, 0},
                             .nmi = {on_nmi, vm, 0},
                             .no_apic = vm->opts.no_apic,
                             .reset = {on_reset, vm, 0},
                             .off = {on_off, vm, 0},
                             .stop = {on_exit_port, vm},
                             .wall_seconds = calendar(vm),
                             .ram_bytes = vm->opts.ram};
    if (vm->opts.debugcon) {
        c.debugcon = on_debugcon;
        c.debugcon_ctx = vm->opts.debugcon;
    }
    c.no_pci = vm->opts.no_pci;
    memcpy(c.drive, vm->opts.drive, sizeof c.drive);
    memcpy(c.floppy, vm->opts.floppy, sizeof c.floppy);
    c.memory = (struct dma_memory){dma_read, dma_write, vm};
    rc = board_init(&vm->board, &c);
    if (!rc)
        rc = hypercall_init(vm);
    if (rc < 0)
        return err_set(err, rc, "devices: %s", strerror(-rc));
    if (vm->opts.console)
        rc = vm_display_open(vm, err);
    if (rc < 0)
        return rc;
    if (vm_clock_counts(vm))
        return 0;
    rc = -pthread_create(&vm->alarm, NULL, alarm_thread, vm);
    if (rc < 0)
        return err_set(err, rc, "timer thread: %s", strerror(-rc));
    vm->alarm_runs = true;
    return 0;
}

void vm_board_destroy(struct vm *vm)
{
    if (vm->alarm_runs) {
        const struct itimerspec now = {.it_value.tv_nsec = 1};
        atomic_store(&vm->closing, true);
        timerfd_settime(vm->alarm_fd, 0, &now, NULL);
        pthread_join(vm->alarm, NULL);
    }
    vm_display_close(vm);
    chardev_close(vm->console);
    if (vm->alarm_fd >= 0)
        close(vm->alarm_fd);
    if (vm->wake_fd >= 0)
        close(vm->wake_fd);
}
