/*
 * umbra run: boot an image, give it a console, and say at the end how it went.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "mm/reclaim.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/run_args.h"
#include "vmm/control/client.h"
#include "vmm/control/control.h"
#include "vmm/dev/screen.h"
#include "vmm/explain.h"
#include "vmm/gdb/gdb.h"
#include "vmm/pt_print.h"
#include "vmm/vm_firmware.h"
#include "vmm/vm_report.h"

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

    int rc = run_args_take(&a, argc, argv);
    if (rc) {
        run_args_free(&a);
        return rc;
    }
    if (a.output && !(out = fopen(a.output, "we"))) {
        rc = cmd_fail("run", UMBRA_EXIT_HOST, "--output %s: %s", a.output, strerror(errno));
        run_args_free(&a);
        return rc;
    }
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
    run_args_free(&a);
    return rc;
}

const struct cmd cmd_run = {
    .name = "run",
    .args = "[IMAGE] [options]",
    .summary = "boot an image and give it a serial console",
    .help = run_help,
    .run = cmd_run_main,
};
