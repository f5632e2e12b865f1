/* See run_args.h. */
#include "vmm/cmd/run_args.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/cmd/qemu_opts.h"
#include "vmm/gdb/gdb.h"
#include "vmm/vm_clock.h"
#include "vmm/vm_firmware.h"

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

static int take_all(struct run_args *a, int argc, char **argv)
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

int run_args_take(struct run_args *a, int argc, char **argv)
{
    int rc = take_all(a, argc, argv);
    if (!rc && a->libvirt.uri)
        rc = run_libvirt_take(&a->libvirt, &a->image, a->modules, &a->vm.ram);
    return rc ? rc : choose_bios(a);
}

void run_args_free(struct run_args *a)
{
    run_libvirt_free(&a->libvirt);
    real_free(&a->real);
}
