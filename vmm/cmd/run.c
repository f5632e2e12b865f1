/*
 * umbra run: boot an image, give it a console, and say at the end how it went.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/kvm/kvm.h"
#include "vmm/pt.h"
#include "vmm/soft_engine.h"
#include "vmm/vm.h"

enum {
    O_MEM = 1,
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
    O_TRACE,
    O_BREAK,
};

static const struct opt table[] = {
    {"m", O_MEM, OPT_VALUE},          {"memory", O_MEM, OPT_VALUE},
    {"pool", O_POOL, OPT_VALUE},      {"engine", O_ENGINE, OPT_VALUE},
    {"ring0", O_RING0, OPT_VALUE},    {"append", O_APPEND, OPT_VALUE},
    {"initrd", O_INITRD, OPT_MANY},   {"stats", O_STATS, OPT_MAYBE},
    {"pt", O_PT, OPT_MAYBE_RANGE},    {"json", O_JSON, OPT_NONE},
    {"audit", O_AUDIT, OPT_NONE},     {"timeout", O_TIMEOUT, OPT_VALUE},
    {"flat", O_FLAT, OPT_MAYBE},      {"o", O_OUTPUT, OPT_VALUE},
    {"output", O_OUTPUT, OPT_VALUE},  {"shadow-pages", O_SHADOW, OPT_VALUE},
    {"kvm-device", O_KVM, OPT_VALUE}, {"q", O_QUIET, OPT_NONE},
    {"quiet", O_QUIET, OPT_NONE},     {"trace-insn", O_TRACE, OPT_VALUE},
    {"break", O_BREAK, OPT_VALUE},    {NULL, 0, OPT_NONE},
};

struct run_args {
    struct vm_opts vm;
    struct image_opts image;
    const char *modules[IMAGE_MODULES_MAX];
    bool stats, stats_json, pt, json, quiet;
    struct opt_range range;
    bool range_given;
    const char *output, *trace;
};

/* --- command line ---------------------------------------------------------------------------- */

static int bad(const struct opts *o, const struct errmsg *e)
{
    return cmd_usage("run", "--%s: %s", o->name, e->text);
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
    if (opt_u64(addr, 0, UINT32_MAX, &eip, &e) < 0 ||
        (comma && opt_u64(comma + 1, 0, UINT32_MAX, &follow, &e) < 0))
        return cmd_usage("run", "--break %s: %s", text, e.text);
    t->breaks[t->n_breaks++] = (struct trace_break){(uint32_t)eip, follow};
    return 0;
}

static int take_option(struct run_args *a, struct opts *o, int id)
{
    static const char *const engines[] = {"auto", "kvm", "soft", NULL};
    static const char *const rings[] = {"auto", "native", "soft", NULL};
    struct errmsg e;
    uint64_t n = 0;
    int choice = 0, rc = 0;

    switch (id) {
    case O_MEM: rc = opt_size(o->value, &a->vm.ram, &e); break;
    case O_POOL: rc = opt_size(o->value, &a->vm.pool, &e); break;
    case O_ENGINE:
        rc = opt_choice(o->value, engines, &choice, &e);
        a->vm.engine = (enum vm_engine)choice;
        break;
    case O_RING0:
        rc = opt_choice(o->value, rings, &choice, &e);
        a->vm.ring0 = (enum vm_ring0)choice;
        break;
    case O_APPEND: a->image.append = o->value; break;
    case O_INITRD:
        if (a->image.module_count == IMAGE_MODULES_MAX)
            return cmd_usage("run", "-initrd: more than %d modules", IMAGE_MODULES_MAX);
        a->modules[a->image.module_count++] = o->value;
        break;
    case O_STATS:
        if (o->value && strcmp(o->value, "json") != 0)
            return cmd_usage("run", "--stats=%s: give --stats or --stats=json", o->value);
        a->stats = true;
        a->stats_json = o->value != NULL;
        break;
    case O_PT:
        a->pt = true;
        if (o->value) {
            rc = opt_range(o->value, &a->range, &e);
            if (!rc && a->range.last > UINT32_MAX)
                return cmd_usage("run", "--pt: '%s' ends above 4 GiB", o->value);
            a->range_given = true;
        }
        break;
    case O_JSON: a->json = true; break;
    case O_AUDIT: a->vm.audit = true; break;
    case O_TIMEOUT:
        rc = opt_u64(o->value, 1, 1000000, &n, &e);
        a->vm.timeout_s = (unsigned)n;
        break;
    case O_FLAT:
        a->image.flat = true;
        if (o->value) {
            rc = opt_u64(o->value, 0, UINT32_MAX, &n, &e);
            a->image.flat_addr = n;
        }
        break;
    case O_OUTPUT: a->output = o->value; break;
    case O_SHADOW:
        rc = opt_u64(o->value, SHADOW_MIN_PAGES, 1u << 18, &n, &e);
        a->vm.shadow_quota = (uint32_t)n;
        break;
    case O_KVM: a->vm.kvm_path = o->value; break;
    case O_QUIET: a->quiet = true; break;
    case O_TRACE: a->trace = o->value; break;
    case O_BREAK: return take_break(a, o->value);
    default: return cmd_usage("run", "option %s", o->name);
    }
    return rc < 0 ? bad(o, &e) : 0;
}

static int parse(struct run_args *a, int argc, char **argv)
{
    struct opts o;
    opts_init(&o, argc, argv, table);
    for (;;) {
        const int id = opts_next(&o);
        if (id == OPTS_END)
            break;
        if (id == OPTS_BAD)
            return cmd_usage("run", "%s", o.err.text);
        if (id == OPTS_WORD) {
            if (a->image.path)
                return cmd_usage("run", "one image at a time: '%s' and '%s'", a->image.path,
                                 o.value);
            a->image.path = o.value;
            continue;
        }
        const int rc = take_option(a, &o, id);
        if (rc)
            return rc;
    }
    if (!a->image.path)
        return cmd_usage("run", "which image?");
    a->image.modules = a->modules;
    return 0;
}

/* --- reports --------------------------------------------------------------------------------- */

static void print_stats(const struct run_args *a, struct vm *vm, FILE *out)
{
    struct stats_extra x[24];
    size_t n = 0;
    struct shadow_stats sh;
    struct pool_stats po;
    struct mm_stats mm;

    shadow_get_stats(vm->shadow, &sh);
    pool_get_stats(vm->pool, &po);
    mm_get_stats(vm->mm, &mm);
    x[n++] = (struct stats_extra){"pages resident", mm.resident};
    x[n++] = (struct stats_extra){"pool frames, most", po.frames_max};
    x[n++] = (struct stats_extra){"pool frames, grown to", po.frames_grown};
    x[n++] = (struct stats_extra){"pool growth steps", po.grows};
    x[n++] = (struct stats_extra){"shadow table pages", sh.pages};
    x[n++] = (struct stats_extra){"shadow leaf entries", sh.leaves};
    x[n++] = (struct stats_extra){"shadow entries restricted", sh.restricts};
    x[n++] = (struct stats_extra){"shadow tables reclaimed", sh.reclaims};
    x[n++] = (struct stats_extra){"soft CPU instructions", soft_engine_insns(vm->soft)};
    if (vm->kvm) {
        struct kvm_engine_stats k;
        kvm_engine_get_stats(vm->kvm, &k);
        x[n++] = (struct stats_extra){"KVM_RUN calls", k.runs};
        x[n++] = (struct stats_extra){"KVM_RUN calls to drain the queue", k.drains};
        x[n++] = (struct stats_extra){"... drained on the way in", k.drains_on_the_way};
        x[n++] = (struct stats_extra){"KVM entries with new segments", k.sregs};
        x[n++] = (struct stats_extra){"port I/O exits of guest code", k.io};
    }
    if (a->stats_json || a->json)
        stats_print_json(&vm->stats, vm_engine_name(vm), x, n, out);
    else
        stats_print(&vm->stats, vm_engine_name(vm), x, n, out);
}

static void print_oom(struct vm *vm, FILE *out)
{
    struct mm_holder h[16];
    struct pool_stats po;
    struct mm_stats mm;
    const size_t n = mm_holders(vm->pool, h, sizeof h / sizeof *h);

    pool_get_stats(vm->pool, &po);
    mm_get_stats(vm->mm, &mm);
    fprintf(out,
            "frame pool: %" PRIu64 " frames (%" PRIu64 " KiB), %" PRIu64 " grown, %" PRIu64
            " free\n",
            po.frames_max, po.frames_max * 4, po.frames_grown, po.frames_free);
    fprintf(out, "who holds what:\n");
    for (size_t i = 0; i < n && i < sizeof h / sizeof *h; i++)
        fprintf(out,
                "  %-24s %10" PRIu64 " pages resident (%" PRIu64 " KiB), %" PRIu64 " swapped out\n",
                h[i].name, h[i].resident, h[i].resident * 4, h[i].swapped);
    fprintf(out, "give the machine a larger pool (--pool), or less memory (-m)\n");
}

static void print_end(const struct run_args *a, struct vm *vm)
{
    const bool failed = vm->end != VM_END_HALT && vm->end != VM_END_EXIT && vm->end != VM_END_QUIT;
    if (!failed && a->quiet)
        return;
    fprintf(stderr, "umbra: %s\n", vm->end_text);
    if (vm->end == VM_END_OOM)
        print_oom(vm, stderr);
    if (vm->end_dump)
        cpu_dump(&vm->cpu, stderr);
}

static void print_reports(const struct run_args *a, struct vm *vm, FILE *out)
{
    if (a->pt) {
        const la_t last = a->range_given ? (la_t)a->range.last : (la_t)(vm->gmem.bytes - 1);
        const la_t first = a->range_given ? (la_t)a->range.first : 0;
        if (a->json)
            pt_print_json(vm, first, last, out);
        else
            pt_print(vm, first, last, out);
    }
    if (a->stats)
        print_stats(a, vm, out);
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

static int run_vm(const struct run_args *a, struct vm *vm, FILE *out)
{
    static struct image image; /* too large for the stack */
    struct errmsg err;

    if (image_load(&vm->gmem, &a->image, &image, &err) < 0)
        return cmd_fail("run", UMBRA_EXIT_IMAGE, "%s", err.text);
    vm->cpu = image.cpu;
    if (!a->quiet)
        fprintf(stderr, "umbra: %s: %s, entry %08" PRIx32 "; engine %s\n", a->image.path,
                image.kind, image.entry, vm->engine_why);
    catch_signals(vm);
    stats_start(&vm->stats);
    vm_run(vm);
    catch_signals(NULL);
    print_end(a, vm);
    print_reports(a, vm, out);
    return vm_exit_code(vm);
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
        .image.flat_addr = IMAGE_FLAT_DEFAULT};
    struct vm *vm;
    struct errmsg err;
    FILE *out = stderr;

    int rc = parse(&a, argc, argv);
    if (rc)
        return rc;
    if (a.output && !(out = fopen(a.output, "we")))
        return cmd_fail("run", UMBRA_EXIT_HOST, "--output %s: %s", a.output, strerror(errno));
    if (a.trace && !(a.vm.trace.lines = fopen(a.trace, "we")))
        rc = cmd_fail("run", UMBRA_EXIT_HOST, "--trace-insn %s: %s", a.trace, strerror(errno));
    a.vm.trace.dumps = a.vm.trace.lines ? a.vm.trace.lines : stderr;
    if (!rc) {
        rc = vm_create(&a.vm, &vm, &err);
        if (rc < 0) {
            rc = cmd_fail("run", code_of(rc), "%s", err.text);
        } else {
            rc = run_vm(&a, vm, out);
            vm_destroy(vm);
        }
    }
    if (a.vm.trace.lines)
        rc = close_file(a.vm.trace.lines, "--trace-insn", a.trace, rc);
    if (out != stderr)
        rc = close_file(out, "--output", a.output, rc);
    return rc;
}

const struct cmd cmd_run = {
    .name = "run",
    .args = "IMAGE [options]",
    .summary = "boot an image and give it a serial console",
    .help =
        "IMAGE is a Multiboot 1 kernel, an ELF32 executable, or with --flat any bytes.\n"
        "The guest's COM1 is this terminal; Ctrl-A x ends the machine, Ctrl-A h shows more keys.\n"
        "\n"
        "Machine\n"
        "  -m SIZE                guest memory (128M)\n"
        "  --pool SIZE            host memory that may back it (as much as -m and 1M)\n"
        "  --engine auto|kvm|soft what runs the guest's code (auto: kvm where it is faster)\n"
        "  --ring0 auto|native|soft\n"
        "                         where ring 0 runs under kvm (auto: as the probe finds it exact)\n"
        "  -append STRING         command line\n"
        "  -initrd FILE...        modules; 'FILE ARGS' gives one a string of its own\n"
        "  --flat[=ADDR]          load IMAGE as it is at ADDR (0x100000) and enter its first byte\n"
        "  --timeout SECONDS      end a guest that does not end by itself (exit code 7)\n"
        "  --shadow-pages N       quota of shadow table pages (4096)\n"
        "  --kvm-device PATH      instead of /dev/kvm\n"
        "\n"
        "Looking\n"
        "  --pt [RANGE]           at the end: guest PTE, backing PTE and shadow PTE of each page "
        "and\n"
        "                         why they differ; RANGE is START-END or START+LEN\n"
        "  --stats[=json]         at the end: traps by kind, faults by path, with mean and p99\n"
        "  --json                 tables as JSON\n"
        "  --audit                check every invariant after every trap (slow)\n"
        "  --trace-insn FILE      write each instruction, and the registers that it changes (soft "
        "engine)\n"
        "  --break ADDR[,N]       when EIP is ADDR, dump the registers, before N more instructions "
        "too\n"
        "                         (soft engine; up to 16 times; to --trace-insn's file, else "
        "stderr)\n"
        "  -o, --output FILE      tables go to FILE, not to standard error\n"
        "  -q, --quiet            say nothing when all is well\n"
        "\n"
        "Exit codes: 0 the guest is done (HLT with interrupts off) or the user ended it; 1 bad "
        "command\n"
        "line; 2 bad image or module; 3 the host lacks something; 4 the guest ran wild; 6 the "
        "frame pool\n"
        "is used up; 7 --timeout; 8 --audit. A guest that writes v to port 0xf4 gives (v << 1) | "
        "1.\n",
    .run = cmd_run_main,
};
