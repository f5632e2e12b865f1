/*
 * umbra run: boot an image, give it a console, and say at the end how it went.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mm/failpoint.h"
#include "mm/reclaim.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/drive.h"
#include "vmm/cmd/opts.h"
#include "vmm/cmd/qemu_opts.h"
#include "vmm/cmd/run_libvirt.h"
#include "vmm/cmd/run_pages.h"
#include "vmm/control/client.h"
#include "vmm/control/control.h"
#include "vmm/dev/screen.h"
#include "vmm/explain.h"
#include "vmm/gdb/gdb.h"
#include "vmm/pt_print.h"
#include "vmm/value.h"
#include "vmm/vm.h"
#include "vmm/vm_clock.h"
#include "vmm/vm_firmware.h"
#include "vmm/vm_report.h"

enum {
    O_MEM = 1,
    O_LIBVIRT,
    O_KERNEL,
    O_PANIC,
    O_POOL,
    O_ENGINE,
    O_RING0,
    O_APPEND,
    O_INITRD,
    O_STATS,
    O_PT,
    O_JSON,
    O_AUDIT,
    O_TIMEOUT,
    O_FLAT,
    O_OUTPUT,
    O_SHADOW,
    O_KVM,
    O_QUIET,
    O_HELD,
    O_CONTROL,
    O_EXPLAIN,
    O_GDB,
    O_GDB_S,
    O_TRACE,
    O_BREAK,
    O_SWAP,
    O_ZPOOL,
    O_SHARE,
    O_PAGES,
    O_PAGES_SIZE,
    O_DISPLAY,
    O_SCREEN,
    O_SERIAL,
    O_DRIVE,
    O_SNAPSHOT,
    O_CLOCK,
    O_STRICT,
    O_RTC,
    O_NO_APIC,
    O_BIOS,
    O_VGABIOS,
    O_BOOT,
    O_DEBUGCON,
    O_NO_REBOOT,
    O_LARGE,
};

/* clang-format off */
static const struct opt table[] = {
    {"m", O_MEM, OPT_VALUE},
    {"memory", O_MEM, OPT_VALUE},
    {"libvirt", O_LIBVIRT, OPT_VALUE},
    {"kernel", O_KERNEL, OPT_VALUE},
    {"panic-text", O_PANIC, OPT_MAYBE},
    {"pool", O_POOL, OPT_VALUE},
    {"engine", O_ENGINE, OPT_VALUE},
    {"ring0", O_RING0, OPT_VALUE},
    {"append", O_APPEND, OPT_VALUE},
    {"initrd", O_INITRD, OPT_MANY},
    {"stats", O_STATS, OPT_MAYBE},
    {"pt", O_PT, OPT_MAYBE_RANGE},
    {"json", O_JSON, OPT_NONE},
    {"audit", O_AUDIT, OPT_MAYBE},
    {"timeout", O_TIMEOUT, OPT_VALUE},
    {"flat", O_FLAT, OPT_MAYBE},
    {"o", O_OUTPUT, OPT_VALUE},
    {"output", O_OUTPUT, OPT_VALUE},
    {"shadow-pages", O_SHADOW, OPT_VALUE},
    {"kvm-device", O_KVM, OPT_VALUE},
    {"gdb", O_GDB, OPT_VALUE},
    {"s", O_GDB_S, OPT_NONE},
    {"S", O_HELD, OPT_NONE},
    {"paused", O_HELD, OPT_NONE},
    {"control", O_CONTROL, OPT_VALUE},
    {"explain", O_EXPLAIN, OPT_VALUE},
    {"q", O_QUIET, OPT_NONE},
    {"quiet", O_QUIET, OPT_NONE},
    {"trace-insn", O_TRACE, OPT_VALUE},
    {"break", O_BREAK, OPT_VALUE},
    {"swap", O_SWAP, OPT_VALUE},
    {"zpool", O_ZPOOL, OPT_VALUE},
    {"share", O_SHARE, OPT_MAYBE},
    {"trace", O_PAGES, OPT_VALUE},
    {"trace-size", O_PAGES_SIZE, OPT_VALUE},
    {"display", O_DISPLAY, OPT_VALUE},
    {"screen", O_SCREEN, OPT_VALUE},
    {"serial", O_SERIAL, OPT_VALUE},
    {"drive", O_DRIVE, OPT_VALUE},
    {"hda", O_DRIVE, OPT_VALUE},
    {"hdb", O_DRIVE, OPT_VALUE},
    {"hdc", O_DRIVE, OPT_VALUE},
    {"hdd", O_DRIVE, OPT_VALUE},
    {"cdrom", O_DRIVE, OPT_VALUE},
    {"fda", O_DRIVE, OPT_VALUE},
    {"fdb", O_DRIVE, OPT_VALUE},
    {"snapshot", O_SNAPSHOT, OPT_NONE},
    {"clock", O_CLOCK, OPT_VALUE},
    {"strict-tlb", O_STRICT, OPT_MAYBE},
    {"rtc", O_RTC, OPT_VALUE},
    {"no-apic", O_NO_APIC, OPT_NONE},
    {"bios", O_BIOS, OPT_VALUE},
    {"vgabios", O_VGABIOS, OPT_VALUE},
    {"boot", O_BOOT, OPT_VALUE},
    {"no-reboot", O_NO_REBOOT, OPT_NONE},
    {"large-pages", O_LARGE, OPT_VALUE},
    {"debugcon", O_DEBUGCON, OPT_VALUE},
    {NULL, 0, OPT_NONE},
};
/* clang-format on */

struct run_args {
    struct vm_opts vm;
    struct image_opts image;
    struct vm_swap_opts swap;
    struct run_pages pages; /* --trace */
    struct drive_args drives;
    struct run_libvirt libvirt;
    struct vm_bios_opts bios; /* bios.bios NULL: there is an image instead */
    struct real_image real;   /* bios.real, if that is set */
    const char *modules[IMAGE_MODULES_MAX];
    bool stats, stats_json, pt, json, quiet, serial_given;
    struct value_range range;
    bool range_given;
    bool explains;
    uint64_t explain; /* linear address */
    struct failpoint fail;
    const char *output, *trace, *control, *screen, *serial;
    FILE *screen_file, *serial_file;
    const char *gdb; /* where to listen; NULL: nowhere */
    const char *debugcon;
};

/* --- command line ---------------------------------------------------------------------------- */

static int bad(const struct opts *o, const struct errmsg *e)
{
    return cmd_usage("run", "%s: %s", o->name, e->text);
}

/* ADDR[,N] */
static int take_break(struct run_args *a, const char *text)
{
    struct trace_insn_opts *t = &a->vm.trace;
    const char *comma = strchr(text, ',');
    const size_t len = comma ? (size_t)(comma - text) : strlen(text);
    uint64_t eip = 0, follow = 0;
    struct errmsg e;
    char addr[32];

    if (t->n_breaks == TRACE_BREAKS)
        return cmd_usage("run", "--break: more than %d", TRACE_BREAKS);
    snprintf(addr, sizeof addr, "%.*s", (int)(len < sizeof addr ? len : sizeof addr - 1), text);
    if (value_u64(addr, 0, UINT32_MAX, &eip, &e) < 0 ||
        (comma && value_u64(comma + 1, 0, UINT32_MAX, &follow, &e) < 0))
        return cmd_usage("run", "--break %s: %s", text, e.text);
    t->breaks[t->n_breaks++] = (struct trace_break){(uint32_t)eip, follow};
    return 0;
}

/* host, insn or insn=NS */
static int take_clock(struct run_args *a, const char *text)
{
    uint64_t ns = VM_CLOCK_INSN_NS;
    struct errmsg e;

    if (strcmp(text, "host") == 0)
        ns = 0;
    else if (strncmp(text, "insn=", 5) == 0 &&
             value_u64(text + 5, 1, VM_CLOCK_INSN_NS_MAX, &ns, &e) < 0)
        return cmd_usage("run", "--clock %s: %s", text, e.text);
    else if (strncmp(text, "insn", 4) != 0 || (text[4] && text[4] != '='))
        return cmd_usage("run", "--clock: '%s' is none of: host, insn, insn=NS", text);
    a->vm.insn_ns = (unsigned)ns;
    return 0;
}

/* base=utc or base=MOMENT */
static int take_rtc(struct run_args *a, const char *text)
{
    struct errmsg e;

    if (strncmp(text, "base=", 5) != 0)
        return cmd_usage("run", "-rtc %s: write base=utc or base=2026-01-31T23:59:59", text);
    a->vm.calendar_given = true;
    if (strcmp(text + 5, "utc") == 0)
        a->vm.calendar_s = (uint64_t)time(NULL);
    else if (value_time(text + 5, &a->vm.calendar_s, &e) < 0)
        return cmd_usage("run", "-rtc base: %s", e.text);
    return 0;
}

/* A size that may not be 0: what is not wanted is left out. */
static int take_size(const struct opts *o, uint64_t *out, struct errmsg *e)
{
    const int rc = value_size(o->value, out, e);
    if (!rc && *out == 0)
        return err_set(e, -EINVAL, "'%.80s' is no size; leave the option out instead", o->value);
    return rc;
}

/* Drive letters, as with QEMU: [order=]acd */
static int take_boot(struct run_args *a, const char *value)
{
    const char *order = strncmp(value, "order=", 6) == 0 ? value + 6 : value;
    const size_t len = strlen(order);
    if (len == 0 || len >= sizeof a->bios.order || strspn(order, "acd") != len)
        return cmd_usage(
            "run", "-boot %s: give a (floppy), c (disk), d (CD-ROM), or several of them", value);
    memcpy(a->bios.order, order, len + 1);
    return 0;
}

static int take_image(struct run_args *a, const char *path)
{
    if (a->image.path)
        return cmd_usage("run", "one image at a time: '%s' and '%s'", a->image.path, path);
    a->image.path = path;
    return 0;
}

static int take_option(struct run_args *a, struct opts *o, int id)
{
    static const char *const on_off[] = {"off", "on", NULL};
    static const char *const engines[] = {"auto", "kvm", "soft", NULL};
    static const char *const displays[] = {"none", "text", NULL};
    static const char *const rings[] = {"auto", "native", "soft", NULL};
    struct errmsg e;
    uint64_t n = 0;
    int choice = 0, rc = 0;

    switch (id) {
    case O_MEM:
        rc = qemu_memory(o->value, &a->vm.ram, &e);
        a->libvirt.ram_given = true;
        break;
    case O_LIBVIRT: a->libvirt.uri = o->value; break;
    case O_KERNEL: return take_image(a, o->value);
    case O_PANIC:
        a->vm.panic_text = o->value ? o->value : "Kernel panic - not syncing";
        if (!*a->vm.panic_text || strlen(a->vm.panic_text) > CHARDEV_WATCH_MAX ||
            strpbrk(a->vm.panic_text, "\r\n"))
            return cmd_usage("run", "--panic-text: give one line of 1 to %d bytes",
                             CHARDEV_WATCH_MAX);
        break;
    case O_POOL: rc = take_size(o, &a->vm.pool, &e); break;
    case O_SWAP:
        if (a->swap.file)
            return cmd_usage("run", "--swap: one file at a time: '%s' and '%s'", a->swap.file,
                             o->value);
        a->swap.file = o->value;
        break;
    case O_ZPOOL: rc = take_size(o, &a->swap.zpool, &e); break;
    case O_SHARE:
        n = VM_SHARE_DEFAULT;
        rc = o->value ? value_u64(o->value, 1, VM_SHARE_MAX, &n, &e) : 0;
        a->vm.share = (uint32_t)n;
        break;
    case O_STRICT:
        n = STRICT_REPORTS;
        rc = o->value ? value_u64(o->value, 0, STRICT_REPORTS_MAX, &n, &e) : 0;
        a->vm.strict_tlb = true;
        a->vm.strict_reports = (unsigned)n;
        break;
    case O_CLOCK: return take_clock(a, o->value);
    case O_RTC: return take_rtc(a, o->value);
    case O_ENGINE:
        rc = value_choice(o->value, engines, &choice, &e);
        a->vm.engine = (enum vm_engine)choice;
        break;
    case O_LARGE:
        rc = value_choice(o->value, on_off, &choice, &e);
        a->vm.large_pages = choice != 0;
        break;
    case O_RING0:
        rc = value_choice(o->value, rings, &choice, &e);
        a->vm.ring0 = (enum vm_ring0)choice;
        break;
    case O_DRIVE: rc = drive_take(&a->drives, o->name, o->value, &e); break;
    case O_BIOS: a->bios.bios = o->value; break;
    case O_VGABIOS: a->bios.vgabios = strcmp(o->value, "none") == 0 ? NULL : o->value; break;
    case O_DEBUGCON:
        rc = qemu_chardev(o->value, &a->debugcon, &e);
        if (!a->debugcon)
            a->debugcon = "/dev/stdout";
        break;
    case O_NO_REBOOT: a->vm.no_reboot = true; break;
    case O_BOOT: return take_boot(a, o->value);
    case O_SNAPSHOT: a->drives.snapshot = true; break;
    case O_APPEND: a->image.append = o->value; break;
    case O_INITRD:
        if (a->image.module_count == IMAGE_MODULES_MAX)
            return cmd_usage("run", "-initrd: more than %d modules", IMAGE_MODULES_MAX);
        a->modules[a->image.module_count++] = o->value;
        break;
    case O_STATS:
        if (o->value && strcmp(o->value, "json") != 0)
            return cmd_usage("run", "--stats=%s: give --stats or --stats=json", o->value);
        a->stats = a->vm.costs = true;
        a->stats_json = o->value != NULL;
        break;
    case O_PT:
        a->pt = true;
        if (o->value) {
            rc = value_range(o->value, &a->range, &e);
            if (!rc && a->range.last > UINT32_MAX)
                return cmd_usage("run", "--pt: '%s' ends above 4 GiB", o->value);
            a->range_given = true;
        }
        break;
    case O_JSON: a->json = true; break;
    case O_AUDIT:
        n = 1;
        rc = o->value ? value_u64(o->value, 1, UINT32_MAX, &n, &e) : 0;
        a->vm.audit = (uint32_t)n;
        break;
    case O_TIMEOUT:
        rc = value_u64(o->value, 1, 1000000, &n, &e);
        a->vm.timeout_s = (unsigned)n;
        break;
    case O_FLAT:
        a->image.flat = true;
        if (o->value) {
            rc = value_u64(o->value, 0, UINT32_MAX, &n, &e);
            a->image.flat_addr = n;
        }
        break;
    case O_OUTPUT: a->output = o->value; break;
    case O_SHADOW:
        rc = value_u64(o->value, SHADOW_MIN_PAGES, 1u << 18, &n, &e);
        a->vm.shadow_quota = (uint32_t)n;
        break;
    case O_KVM: a->vm.kvm_path = o->value; break;
    case O_HELD: a->vm.held = true; break;
    case O_CONTROL:
        a->control = o->value;
        a->vm.fail = a->swap.fail = &a->fail;
        break;
    case O_EXPLAIN:
        rc = value_u64(o->value, 0, UINT32_MAX, &a->explain, &e);
        a->explains = true;
        break;
    case O_GDB: a->gdb = o->value; break;
    case O_GDB_S: a->gdb = GDB_DEFAULT; break;
    case O_QUIET: a->quiet = true; break;
    case O_TRACE: a->trace = o->value; break;
    case O_PAGES: a->pages.path = o->value; break;
    case O_PAGES_SIZE: rc = take_size(o, &a->pages.size, &e); break;
    case O_DISPLAY:
        rc = value_choice(o->value, displays, &choice, &e);
        a->vm.display = (enum vm_display_kind)choice;
        break;
    case O_NO_APIC: a->vm.no_apic = true; break;
    case O_SCREEN: a->screen = o->value; break;
    case O_SERIAL:
        if (a->serial_given)
            return cmd_usage("run", "%s %s: COM1 is the only serial port", o->name, o->value);
        a->serial_given = true;
        rc = qemu_chardev(o->value, &a->serial, &e);
        break;
    case QEMU_OPT: rc = qemu_opt_take(o->name, o->value, &a->vm.engine, &e); break;
    case O_BREAK: return take_break(a, o->value);
    default: return cmd_usage("run", "option %s", o->name);
    }
    return rc < 0 ? bad(o, &e) : 0;
}

static int parse(struct run_args *a, int argc, char **argv)
{
    struct opts o;
    opts_init(&o, argc, argv, table);
    o.more = qemu_opts;
    for (;;) {
        const int id = opts_next(&o);
        if (id == OPTS_END)
            break;
        if (id == OPTS_BAD)
            return cmd_usage("run", "%s", o.err.text);
        if (id == OPTS_WORD) {
            const int rc = take_image(a, o.value);
            if (rc)
                return rc;
            continue;
        }
        const int rc = take_option(a, &o, id);
        if (rc)
            return rc;
    }
    if (!a->image.path && !a->bios.bios && !drives_any(&a->drives) && !a->bios.order[0])
        return cmd_usage("run", "which image?");
    if (a->pages.size && !a->pages.path)
        return cmd_usage("run", "--trace-size: of which trace? Give --trace FILE too");
    if (a->vm.held && !a->gdb && !a->control)
        return cmd_usage("run",
                         "-S: nobody could resume the machine; give --gdb ADDR or --control PATH");
    a->image.modules = a->modules;
    return 0;
}

/* Through a BIOS: without an image, if a BIOS is named, or where the image has no other way. */
static int choose_bios(struct run_args *a)
{
    struct errmsg err;
    const bool real =
        a->image.path && !a->image.flat && (a->bios.bios || real_wanted(a->image.path));
    if (a->image.path && !real && (a->bios.bios || a->bios.order[0]))
        return cmd_usage("run",
                         "--bios and -boot start from a drive, or an image in real mode: not '%s'",
                         a->image.path);
    if (real && real_load(&a->image, a->vm.ram, &a->real, &err) < 0)
        return cmd_fail("run", UMBRA_EXIT_IMAGE, "%s", err.text);
    if (real)
        a->bios.real = &a->real;
    if ((real || !a->image.path) && !a->bios.bios)
        a->bios.bios = BIOS_DEFAULT;
    a->vm.no_pci = a->bios.bios != NULL;
    if (!a->bios.order[0])
        memcpy(a->bios.order, a->drives.floppy[0].file[0] ? "acd" : "cd",
               a->drives.floppy[0].file[0] ? 4 : 3);
    return UMBRA_EXIT_OK;
}

/* --- reports --------------------------------------------------------------------------------- */

static void print_oom(struct vm *vm, FILE *out)
{
    static char report[16384]; /* a line for each address space */

    mm_report(vm->pool, report, sizeof report);
    fprintf(out, "who holds what:\n%s", report);
    fprintf(out, "give the machine a larger pool (--pool), room for pages to go (--swap, --zpool), "
                 "or less memory (-m)\n");
}

static void print_end(const struct run_args *a, struct vm *vm)
{
    const bool failed = vm->end != VM_END_HALT && vm->end != VM_END_EXIT && vm->end != VM_END_QUIT;
    if (!failed && a->quiet)
        return;
    fprintf(stderr, "umbra: %s\n", vm->end_text);
    if (!a->vm.display && !a->screen_file && !a->quiet && !vm->board.com1.sent &&
        !screen_blank(&vm->board.vga))
        fprintf(stderr, "umbra: the guest has written to its VGA screen and not to COM1: --display "
                        "text shows it, and gives the guest a keyboard\n");
    if (vm->shutdown.count)
        fprintf(stderr,
                "umbra: %" PRIu64 " times the processor shut down and was reset, at last: %s "
                "(--no-reboot ends the machine there)\n",
                vm->shutdown.count, vm->shutdown.why);
    if (vm->end == VM_END_OOM)
        print_oom(vm, stderr);
    if (vm->end_dump)
        cpu_dump(&vm->cpu, stderr);
}

static void print_screen(const struct run_args *a, struct vm *vm)
{
    if (a->vm.display == VM_DISPLAY_TEXT) {
        screen_print(&vm->board.vga, stdout);
        fflush(stdout);
    }
    if (a->screen_file)
        screen_print(&vm->board.vga, a->screen_file);
}

static void print_reports(const struct run_args *a, struct vm *vm, FILE *out)
{
    if (a->pt) {
        const la_t last = a->range_given ? (la_t)a->range.last : (la_t)(vm->opts.ram - 1);
        const la_t first = a->range_given ? (la_t)a->range.first : 0;
        if (a->json)
            pt_print_json(vm, first, last, out);
        else
            pt_print(vm, first, last, out);
    }
    if (a->explains) {
        struct explanation x;
        explain_page(vm, (la_t)a->explain, &x);
        if (a->json)
            explain_print_json(&x, out);
        else
            explain_print(&x, out);
    }
    if (vm->strict && a->json)
        strict_tlb_print_json(vm->strict, out);
    else if (vm->strict)
        strict_tlb_print(vm->strict, out);
    if (a->stats)
        vm_report_stats(vm, a->stats_json || a->json, out);
}

/* --- the run --------------------------------------------------------------------------------- */

static struct vm *interrupted; /* for the signal handler: the one machine of this process */

static void on_terminate(int sig)
{
    (void)sig;
    if (interrupted)
        vm_ask(interrupted, VM_ASK_QUIT);
}

static void catch_signals(struct vm *vm)
{
    interrupted = vm;
    const struct sigaction sa = {.sa_handler = vm ? on_terminate : SIG_DFL};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

/* What the code means to the caller of the command. */
static int code_of(int rc)
{
    return rc == -EINVAL ? UMBRA_EXIT_USAGE : UMBRA_EXIT_HOST;
}

static void print_swap(const struct vm *vm)
{
    char text[400];
    if (!vm->opts.store)
        return;
    store_describe(vm->opts.store, text, sizeof text);
    fprintf(stderr, "umbra: swap: %s\n", text);
}

/* --control: clients may look at the machine and steer it while it runs. */
static int open_control(const struct run_args *a, struct vm *vm, struct control **out)
{
    char path[120];
    struct errmsg err;
    *out = NULL;
    if (!a->control)
        return UMBRA_EXIT_OK;
    if (strcmp(a->control, "auto") == 0)
        ctl_default_path(path, sizeof path);
    else
        snprintf(path, sizeof path, "%s", a->control);
    const int rc = control_start(vm, path, out, &err);
    if (rc < 0)
        return cmd_fail("run", code_of(rc), "--control: %s", err.text);
    if (!a->quiet)
        fprintf(stderr, "umbra: control socket %s\n", path);
    return UMBRA_EXIT_OK;
}

static int open_gdb(const struct run_args *a, struct vm *vm, struct gdb **out)
{
    struct errmsg err;
    *out = NULL;
    if (!a->gdb)
        return UMBRA_EXIT_OK;
    const int rc = gdb_start(vm, a->gdb, out, &err);
    if (rc < 0)
        return cmd_fail("run", code_of(rc), "%s", err.text);
    if (!a->quiet)
        fprintf(stderr, "umbra: gdb: target remote %s\n", gdb_where(*out));
    return UMBRA_EXIT_OK;
}

static int load_image(const struct run_args *a, struct vm *vm)
{
    static struct image image; /* too large for the stack */
    struct errmsg err;

    if (vm_firmware_leave(vm, &err) < 0 || image_load(&vm->gmem, &a->image, &image, &err) < 0)
        return cmd_fail("run", UMBRA_EXIT_IMAGE, "%s", err.text);
    for (size_t i = 0; i < a->image.module_count; i++)
        if (space_add_module(vm, a->image.modules[i], &err) < 0)
            return cmd_fail("run", UMBRA_EXIT_IMAGE, "%s", err.text);
    vm->cpu = image.cpu;
    if (!a->quiet)
        fprintf(stderr, "umbra: %s: %s, entry %08" PRIx32 "; engine %s\n", a->image.path,
                image.kind, image.entry, vm->engine_why);
    return UMBRA_EXIT_OK;
}

static int load_firmware(const struct run_args *a, struct vm *vm)
{
    struct errmsg err;
    struct vm_bios_opts o = a->bios;
    o.serial_text = a->vm.display == VM_DISPLAY_NONE;
    const int rc = vm_bios_install(vm, &o, &err);
    if (rc < 0)
        return cmd_fail("run", rc == -ENOMEM ? UMBRA_EXIT_HOST : UMBRA_EXIT_IMAGE, "%s", err.text);
    if (!a->quiet && o.real)
        fprintf(stderr, "umbra: %s: %s, through %s; engine %s\n", a->image.path, o.real->kind,
                o.bios, vm->engine_why);
    else if (!a->quiet)
        fprintf(stderr, "umbra: %s: PC firmware, from reset; engine %s\n", o.bios, vm->engine_why);
    return UMBRA_EXIT_OK;
}

static int run_vm(const struct run_args *a, struct vm *vm, FILE *out)
{
    struct control *control;
    struct gdb *gdb;

    int rc = a->bios.bios ? load_firmware(a, vm) : load_image(a, vm);
    if (rc != UMBRA_EXIT_OK)
        return rc;
    if (!a->quiet) {
        print_swap(vm);
        drives_describe(vm->opts.drive, vm->opts.floppy, stderr);
    }
    rc = open_control(a, vm, &control);
    if (rc != UMBRA_EXIT_OK)
        return rc;
    rc = open_gdb(a, vm, &gdb);
    if (rc != UMBRA_EXIT_OK) {
        control_stop(control);
        return rc;
    }
    catch_signals(vm);
    stats_start(&vm->stats);
    vm_run(vm);
    catch_signals(NULL);
    gdb_stop(gdb);
    control_stop(control);
    vm_display_close(vm);
    print_screen(a, vm);
    print_end(a, vm);
    print_reports(a, vm, out);
    return vm_exit_code(vm);
}

/* Files that a display's options name, opened before anything runs. */
static int open_screen_files(struct run_args *a)
{
    if (a->screen && !(a->screen_file = fopen(a->screen, "we")))
        return cmd_fail("run", UMBRA_EXIT_HOST, "--screen %s: %s", a->screen, strerror(errno));
    if (a->serial && !(a->serial_file = fopen(a->serial, "we")))
        return cmd_fail("run", UMBRA_EXIT_HOST, "--serial %s: %s", a->serial, strerror(errno));
    if (a->debugcon && !(a->vm.debugcon = fopen(a->debugcon, "we")))
        return cmd_fail("run", UMBRA_EXIT_HOST, "--debugcon %s: %s", a->debugcon, strerror(errno));
    if (a->serial_file)
        a->vm.serial_fd = fileno(a->serial_file);
    return UMBRA_EXIT_OK;
}

/* A swap file that is not as it should be is bad input, like an image. */
static int open_store(struct run_args *a)
{
    struct errmsg err;
    if (!a->swap.file && !a->swap.zpool)
        return UMBRA_EXIT_OK;
    const int rc = vm_swap_open(&a->swap, &a->vm.store, &err);
    a->vm.swap_name = a->swap.file;
    if (rc < 0)
        return cmd_fail("run",
                        rc == -EINVAL   ? UMBRA_EXIT_USAGE
                        : rc == -ENOMEM ? UMBRA_EXIT_HOST
                                        : UMBRA_EXIT_IMAGE,
                        "%s", err.text);
    return UMBRA_EXIT_OK;
}

/* So is a disk that cannot be used. */
static int open_drives(struct run_args *a)
{
    struct errmsg err;
    const int rc = drives_open(&a->drives, a->vm.drive, a->vm.floppy, &err);
    if (rc < 0)
        return cmd_fail("run", rc == -ENOMEM ? UMBRA_EXIT_HOST : UMBRA_EXIT_IMAGE, "%s", err.text);
    return UMBRA_EXIT_OK;
}

/* A file that did not take all that was written is a failure, whatever the guest came to. */
static int close_file(FILE *f, const char *option, const char *path, int rc)
{
    const bool failed = ferror(f) != 0;
    errno = 0;
    if ((fclose(f) == 0 && !failed) || rc == UMBRA_EXIT_HOST)
        return rc;
    return cmd_fail("run", UMBRA_EXIT_HOST, "%s %s: %s", option, path,
                    errno ? strerror(errno) : "not everything could be written");
}

static int cmd_run_main(int argc, char **argv)
{
    struct run_args a = {
        .vm = {.ram = VM_RAM_DEFAULT, .shadow_quota = VM_SHADOW_QUOTA, .console = true},
        .image.flat_addr = IMAGE_FLAT_DEFAULT,
        .bios.vgabios = VGABIOS_DEFAULT};
    struct vm *vm;
    struct errmsg err;
    FILE *out = stderr;

    int rc = parse(&a, argc, argv);
    if (!rc && a.libvirt.uri)
        rc = run_libvirt_take(&a.libvirt, &a.image, a.modules, &a.vm.ram);
    if (!rc)
        rc = choose_bios(&a);
    if (rc) {
        real_free(&a.real);
        run_libvirt_free(&a.libvirt);
        return rc;
    }
    if (a.output && !(out = fopen(a.output, "we")))
        return cmd_fail("run", UMBRA_EXIT_HOST, "--output %s: %s", a.output, strerror(errno));
    if (a.trace && !(a.vm.trace.lines = fopen(a.trace, "we")))
        rc = cmd_fail("run", UMBRA_EXIT_HOST, "--trace-insn %s: %s", a.trace, strerror(errno));
    if (!rc)
        rc = open_screen_files(&a);
    a.vm.trace.dumps = a.vm.trace.lines ? a.vm.trace.lines : stderr;
    if (!rc)
        rc = open_store(&a);
    if (!rc)
        rc = open_drives(&a);
    if (!rc)
        rc = run_pages_open(&a.pages, &a.vm);
    if (!rc) {
        rc = vm_create(&a.vm, &vm, &err);
        if (rc < 0) {
            rc = cmd_fail("run", code_of(rc), "%s", err.text);
            trace_ring_close(a.vm.ring, err.text, rc);
        } else {
            run_pages_begin(vm, &a.image);
            rc = run_vm(&a, vm, out);
            run_pages_end(vm, rc);
            vm_destroy(vm);
        }
    }
    store_close(a.vm.store);
    if (a.screen_file)
        rc = close_file(a.screen_file, "--screen", a.screen, rc);
    if (a.vm.debugcon)
        rc = close_file(a.vm.debugcon, "--debugcon", a.debugcon, rc);
    if (a.serial_file)
        rc = close_file(a.serial_file, "--serial", a.serial, rc);
    drives_close(a.vm.drive, a.vm.floppy);
    if (a.vm.trace.lines)
        rc = close_file(a.vm.trace.lines, "--trace-insn", a.trace, rc);
    if (out != stderr)
        rc = close_file(out, "--output", a.output, rc);
    run_libvirt_free(&a.libvirt);
    real_free(&a.real);
    return rc;
}

const struct cmd cmd_run = {
    .name = "run",
    .args = "[IMAGE] [options]",
    .summary = "boot an image and give it a serial console",
    .help =
        "IMAGE is a Linux kernel (bzImage or vmlinux), a Multiboot 1 or 2 kernel, one with a PVH\n"
        "entry, another ELF32 executable, or with --flat any bytes. The guest's COM1 is this\n"
        "terminal (or with --display text its keyboard and screen); Ctrl-A x ends the machine,\n"
        "Ctrl-A h shows more keys.\n"
        "\n"
        "Machine\n"
        "  --libvirt URI          IMAGE is a domain of libvirt's: memory size, kernel, initrd and "
        "command\n"
        "                         line are its, where no option says otherwise ('' is the default "
        "URI)\n"
        "  -m SIZE                guest memory (128M); a number alone below 4096 is MiB\n"
        "  --pool SIZE            host memory that may back it (as much as -m and 1M)\n"
        "  --swap FILE            where pages go that do not fit the pool; made by umbra mkswap\n"
        "  --zpool SIZE           memory for them, compressed, before the file or without one\n"
        "  --share[=N]            let pages with equal content share a frame; N are looked at "
        "after\n"
        "                         each trap (4)\n"
        "  --engine auto|kvm|soft what runs the guest's code (auto: kvm where it is faster)\n"
        "  --ring0 auto|native|soft\n"
        "                         where ring 0 runs under kvm (auto: as the probe finds it exact)\n"
        "  --large-pages off|on   map aligned 2 MiB by one entry where they lie together (off)\n"
        "  --clock host|insn[=NS] whose time the guest sees; insn: NS (4) for each instruction, so "
        "that\n"
        "                         a run repeats bit for bit (soft engine)\n"
        "  -rtc base=utc|MOMENT   what the calendar shows at the start, as 2026-01-31T23:59:59\n"
        "  -kernel FILE           the same as IMAGE\n"
        "  -append STRING         command line\n"
        "  -initrd FILE...        modules; 'FILE ARGS' gives one a string of its own\n"
        "  --display none|text    text: standard input is the keyboard; a terminal shows the VGA's "
        "text\n"
        "                         screen, and not COM1; at the end the screen is printed (none)\n"
        "  --no-apic              neither local nor I/O APIC, and no tables that tell of them\n"
        "  --serial FILE          COM1's output goes to FILE, and COM1 has no input; stdio: as "
        "without\n"
        "  --flat[=ADDR]          load IMAGE as it is at ADDR (0x100000) and enter its first byte\n"
        "  -drive file=FILE[,index=0..3][,media=disk|cdrom][,if=ide|floppy][,snapshot=on]\n"
        "         [,readonly=on]  an IDE drive with the file's bytes (format=raw)\n"
        "  -hda, -hdb, -hdc, -hdd, -cdrom FILE\n"
        "                         the same in short; -cdrom is drive 2\n"
        "  -fda, -fdb FILE        a floppy drive with the file's bytes, 160 KB to 2.88 MB\n"
        "  -snapshot              no drive's file is written: changes last as long as the machine\n"
        "  -boot LETTERS          without IMAGE: start from a floppy (a), a disk (c) or a CD-ROM "
        "(d), the\n"
        "                         first that can be (with -fda acd, else cd)\n"
        "  --bios FILE            ... through this BIOS (" BIOS_DEFAULT "); with a "
        "Linux\n"
        "                         IMAGE: enter it in real mode\n"
        "  --vgabios FILE|none    ... and this video BIOS\n"
        "  --debugcon FILE        what is written to ports 0x402 (the BIOS's log) and 0xe9 goes to "
        "FILE\n"
        "  --no-reboot            a reset ends the machine, also with a BIOS\n"
        "  --panic-text[=TEXT]    a line with TEXT on COM1 ends the machine, exit code 5 (Linux's "
        "panic)\n"
        "  --timeout SECONDS      end a guest that does not end by itself (exit code 7)\n"
        "  --shadow-pages N       quota of shadow table pages (4096)\n"
        "  --kvm-device PATH      instead of /dev/kvm\n"
        "\n"
        "Looking\n"
        "  --pt [RANGE]           at the end: guest PTE, backing PTE and shadow PTE of each page "
        "and\n"
        "                         why they differ; RANGE is START-END or START+LEN\n"
        "  --explain ADDRESS      at the end: one page in words, as umbra explain\n"
        "  --stats[=json]         at the end: traps by kind, faults by path, with mean and p99\n"
        "  --json                 tables as JSON\n"
        "  --strict-tlb[=N]       tell of uses of translations that the guest has changed and not "
        "flushed,\n"
        "                         the first N (20) of them; soft engine, slow\n"
        "  --audit[=N]            check every invariant after every trap, or every N-th (slow)\n"
        "  --trace-insn FILE      write each instruction, and the registers that it changes (soft "
        "engine)\n"
        "  --control PATH         listen at this socket for umbra ctl, pt, explain, top; auto:\n"
        "                         $XDG_RUNTIME_DIR/umbra-PID.sock\n"
        "  -s, --gdb ADDR         serve gdb at ADDR: tcp:HOST:PORT, PORT or unix:PATH (-s: port "
        "1234)\n"
        "  -S, --paused           do not begin before a client resumes the machine\n"
        "  --break ADDR[,N]       when EIP is ADDR, dump the registers, before N more instructions "
        "too\n"
        "                         (soft engine; up to 16 times; to --trace-insn's file, else "
        "stderr)\n"
        "  --screen FILE          write what the VGA's text screen shows at the end to FILE\n"
        "  --trace FILE           record each fault and each change of a page's state (umbra help "
        "trace)\n"
        "  --trace-size SIZE      of that file: the last records are kept (64M, 32 bytes each)\n"
        "  -o, --output FILE      tables go to FILE, not to standard error\n"
        "  -q, --quiet            say nothing when all is well\n"
        "\n"
        "Exit codes: 0 the guest is done (HLT with interrupts off, power off) or the user ended "
        "it; 1 bad\n"
        "command line; 2 bad image, module, disk or swap file; 3 the host lacks something, or a "
        "page\n"
        "cannot be read back; 4 the guest ran wild; 5 it reported its own panic; 6 the frame pool "
        "is\n"
        "used up; 7 --timeout; 8 --audit. A guest that writes v to port 0xf4 gives (v << 1) | 1.\n",
    .run = cmd_run_main,
};
