/*
 * Differential test: random i386 code on the soft engine and on the kvm engine (with the soft CPU
 * executing what traps there, as every machine has it), in two machines that are alike: what ended
 * the run, every register with its hidden part, every byte of memory, and the accessed and dirty
 * bits of the guest's page tables must be the same.
 *
 *   diff_engine [--seed N] [--count N] [--class int,string,fpu,mmx,sse|all] [--ring 0|3|both]
 *               [--case N] [--max-diffs N] [--kvm-device PATH] [--strict]
 *
 * A difference is shrunk and printed with the options that bring it back. --strict also runs what
 * is known to be inexact on this host (docs/kvm.md). Exit status: 0 none, 1 differences, 77 no kvm.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "tests/diff_case.h"
#include "tests/diff_known.h"
#include "vmm/shadow/shadow.h"

enum {
    LONG_RUN = 4000, /* instructions; more are not run on kvm, which may be an emulator */
    AUDIT_EACH = 512,
    TICK_US = 500,
    TICKS = 40,
};
enum { TOO_LONG = -1, KNOWN = -2 };

struct diff {
    struct diff_machine soft, kvm;
    struct known known;
    char first[2048]; /* what the first run of a case said */
    uint64_t n_done, n_long, n_known, n_diff, n_unsteady, n_insns, n_native, n_fault;
};

static struct diff_machine *running; /* for the watchdog */
static volatile sig_atomic_t run_number, run_seen, ticks;

/* --- comparing ---------------------------------------------------------------------------------
 */

static int differs(FILE *out, const char *what, uint64_t soft, uint64_t kvm)
{
    if (soft == kvm)
        return 0;
    if (out)
        fprintf(out, "  %-10s soft %016" PRIx64 "  kvm %016" PRIx64 "\n", what, soft, kvm);
    return 1;
}

static int compare_segments(const struct cpu *a, const struct cpu *b, FILE *out)
{
    static const char *const name[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};
    char text[16];
    int n = 0;
    for (int i = 0; i < SEG_COUNT; i++) {
        const struct seg *x = &a->seg[i], *y = &b->seg[i];
        n += differs(out, name[i], x->sel, y->sel);
        if (!(x->attr & SA_P) && !(y->attr & SA_P))
            continue; /* nothing of a NULL one counts but the selector */
        snprintf(text, sizeof text, "%s.attr", name[i]);
        n += differs(out, text, x->attr, y->attr);
        snprintf(text, sizeof text, "%s.base", name[i]);
        n += differs(out, text, x->base, y->base);
        snprintf(text, sizeof text, "%s.limit", name[i]);
        n += differs(out, text, x->limit, y->limit);
    }
    return n;
}

static int compare_cpu(const struct cpu *a, const struct cpu *b, uint32_t flags, FILE *out)
{
    static const char *const reg[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    int n = compare_segments(a, b, out);
    for (int i = 0; i < 8; i++)
        n += differs(out, reg[i], a->gpr[i], b->gpr[i]);
    n += differs(out, "eip", a->eip, b->eip);
    n += differs(out, "eflags", a->eflags & flags, b->eflags & flags);
    n += differs(out, "cpl", a->cpl, b->cpl);
    n += differs(out, "ldtr", a->ldtr.sel, b->ldtr.sel);
    n += differs(out, "tr", a->tr.sel, b->tr.sel);
    n += differs(out, "gdtr", (uint64_t)a->gdtr.base << 16 | a->gdtr.limit,
                 (uint64_t)b->gdtr.base << 16 | b->gdtr.limit);
    n += differs(out, "idtr", (uint64_t)a->idtr.base << 16 | a->idtr.limit,
                 (uint64_t)b->idtr.base << 16 | b->idtr.limit);
    n += differs(out, "cr0", a->cr0, b->cr0);
    n += differs(out, "cr2", a->cr2, b->cr2);
    n += differs(out, "cr3", a->cr3, b->cr3);
    n += differs(out, "cr4", a->cr4, b->cr4);
    n += differs(out, "dr6", a->dr[6], b->dr[6]);
    n += differs(out, "dr7", a->dr[7], b->dr[7]);
    n += differs(out, "efer", a->efer, b->efer);
    return n;
}

static int compare_fpu(const uint8_t *x, const uint8_t *y, FILE *out)
{
    char name[16];
    uint64_t u[2], v[2];
    int n = differs(out, "fcw.l", x[0], y[0]) + differs(out, "fcw.h", x[1], y[1]);
    n += differs(out, "fsw.l", x[2], y[2]) + differs(out, "fsw.h", x[3], y[3]);
    n += differs(out, "ftw", x[4], y[4]);
    memcpy(u, x + 24, 8);
    memcpy(v, y + 24, 8);
    n += differs(out, "mxcsr", (uint32_t)u[0], (uint32_t)v[0]);
    for (unsigned i = 0; i < 16; i++) {
        memset(u, 0, sizeof u);
        memset(v, 0, sizeof v);
        memcpy(u, x + 32 + 16 * i, i < 8 ? 10 : 16);
        memcpy(v, y + 32 + 16 * i, i < 8 ? 10 : 16);
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "%s%u.%c", i < 8 ? "st" : "xmm", i % 8, "lh"[k]);
            n += differs(out, name, u[k], v[k]);
        }
    }
    return n;
}

static int compare_memory(const struct diff *d, FILE *out)
{
    const struct diff_machine *a = &d->soft, *b = &d->kvm;
    int n = 0;
    for (unsigned i = 0; i < a->n_pages; i++) {
        const struct diff_watched *x = &a->page[i], *y = &b->page[i];
        if (memcmp(x->host, y->host, PAGE_SIZE) == 0 || (x->table && known_tables(&d->known, a)))
            continue;
        for (unsigned k = 0; k < PAGE_SIZE; k++) {
            char name[24];
            snprintf(name, sizeof name, "%s%08x", x->table ? "pt " : "", x->la + k);
            if (x->host[k] != y->host[k] && !known_byte(&d->known, a, x->la + k) && n++ < 20)
                differs(out, name, x->host[k], y->host[k]);
        }
    }
    return n;
}

/* Number of differences, each printed to out unless NULL. */
static int compare(const struct diff *d, FILE *out)
{
    const struct vm *a = d->soft.vm, *b = d->kvm.vm;
    int n = differs(out, "end", a->end, b->end);
    n += differs(out, "vector", (uint64_t)diff_machine_vector(&d->soft),
                 (uint64_t)diff_machine_vector(&d->kvm));
    if (strcmp(a->end_text, b->end_text) != 0) {
        n++;
        if (out)
            fprintf(out, "  soft: %s\n  kvm:  %s\n", a->end_text, b->end_text);
    }
    /* RF shows where it is pushed. A processor that shut down has not pushed it. */
    n += compare_cpu(&a->cpu, &b->cpu, a->end == VM_END_HALT ? ~0u : ~(uint32_t)FL_RF, out);
    if (!known_fpu(&d->known, &d->soft))
        n += compare_fpu(a->cpu.fpu.fxsave, b->cpu.fpu.fxsave, out);
    return n + compare_memory(d, out);
}

/* --- one case ----------------------------------------------------------------------------------
 */

static void run_on(struct diff_machine *m, const struct diff_case *c)
{
    running = m;
    run_number++;
    diff_machine_run(m, c, c->seed % 8 == 0);
    running = NULL;
}

/* The watchdog's tick: a run that was there too many ticks ago does not end. Ticks come much more
 * often than that needs, so that runs are interrupted wherever they can be. */
static void on_tick(int sig)
{
    (void)sig;
    ticks = run_seen == run_number ? ticks + 1 : 0;
    run_seen = run_number;
    if (running && ticks > TICKS)
        diff_machine_quit(running);
}

/* Run a case on both. Negative: nothing to compare. */
static int run_case(struct diff *d, const struct diff_case *c, FILE *out)
{
    int n = TOO_LONG;
    run_on(&d->soft, c);
    if (known_outcome(&d->known, c, &d->soft)) {
        n = KNOWN;
    } else if (!d->soft.quit && d->soft.insns <= LONG_RUN) {
        run_on(&d->kvm, c);
        n = d->kvm.quit ? TOO_LONG : compare(d, out);
        if (n > 0 && known_order(&d->known, &d->soft, &d->kvm))
            n = KNOWN;
        diff_machine_restore(&d->kvm);
    }
    diff_machine_restore(&d->soft);
    return n;
}

static bool still(void *ctx, const struct diff_case *c)
{
    return !known_case(&((struct diff *)ctx)->known, c) && run_case(ctx, c, NULL) > 0;
}

static void report(struct diff *d, struct diff_case *c)
{
    diff_shrink(c, still, d);
    printf("difference: --ring %u --class %s --case %" PRIu64 "\n", d->known.ring,
           diff_class_name[c->cls], c->seed);
    diff_show(c);
    run_case(d, c, stdout);
    fflush(stdout);
}

static bool audit(struct diff *d)
{
    char msg[200];
    struct diff_machine *const m[] = {&d->soft, &d->kvm};
    for (int i = 0; i < 2; i++)
        if (mm_audit(m[i]->vm->pool, msg, sizeof msg) < 0 ||
            shadow_audit(m[i]->vm->shadow, msg, sizeof msg) < 0) {
            printf("audit of the %s machine: %s\n", i ? "kvm" : "soft", msg);
            return false;
        }
    return true;
}

static void one(struct diff *d, uint64_t seed, enum diff_class cls)
{
    static struct diff_case c;
    diff_generate(&c, seed, cls);
    if (known_case(&d->known, &c)) {
        d->n_known++;
        return;
    }
    FILE *first = fmemopen(d->first, sizeof d->first, "w");
    const int n = run_case(d, &c, first);
    if (first)
        fclose(first);
    if (n < 0) {
        d->n_long += n == TOO_LONG;
        d->n_known += n == KNOWN;
        return;
    }
    d->n_done++;
    d->n_insns += d->soft.insns;
    d->n_native += d->soft.insns > d->kvm.insns ? d->soft.insns - d->kvm.insns : 0;
    d->n_fault += diff_machine_vector(&d->soft) != DIFF_END_VECTOR;
    if (n > 0 && still(d, &c)) {
        d->n_diff++;
        report(d, &c);
    } else if (n > 0) {
        /* A KVM that emulates tears stores that cross into a page that it does not know yet. */
        d->n_unsteady++;
        d->n_diff += !d->known.emulates;
        printf("not steady: --ring %u --class %s --case %" PRIu64 "\n%s", d->known.ring,
               diff_class_name[c.cls], c.seed, d->first);
    }
    if (d->n_done % AUDIT_EACH == 0 && !audit(d))
        d->n_diff++;
}

/* --- many --------------------------------------------------------------------------------------
 */

struct plan {
    uint64_t seed, count, max_diffs, only;
    unsigned classes;
    bool one_case, strict;
    const char *kvm_path;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int start(struct diff *d, const struct plan *p, struct errmsg *err)
{
    const struct vm_opts soft = {
        .ram = VM_RAM_MIN, .shadow_quota = VM_SHADOW_QUOTA, .engine = VM_ENGINE_SOFT};
    struct vm_opts kvm = soft;
    kvm.engine = VM_ENGINE_KVM;
    kvm.ring0 = d->known.ring == 0 ? VM_RING0_NATIVE : VM_RING0_SOFT;
    kvm.kvm_path = p->kvm_path;
    const int rc = diff_machine_create(&soft, d->known.ring, &d->soft, err);
    return rc < 0 ? rc : diff_machine_create(&kvm, d->known.ring, &d->kvm, err);
}

static void set_ticking(bool on)
{
    const struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    const struct itimerval every = {{0, on ? TICK_US : 0}, {0, on ? TICK_US : 0}};
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

/* Returns the number of differences, or a negative errno. */
static int run_ring(const struct plan *p, unsigned ring, const struct kvm_findings *host)
{
    static struct diff d;
    struct errmsg err = {0};
    d = (struct diff){0};
    known_init(&d.known, ring, p->strict, host);
    const int rc = start(&d, p, &err);
    if (rc < 0) {
        fprintf(stderr, "diff_engine: %s\n", err.text);
        return rc;
    }
    set_ticking(true);
    const double t0 = now();
    for (uint64_t i = 0; i < (p->one_case ? 1 : p->count) && d.n_diff < p->max_diffs;)
        for (unsigned k = 0; k < DIFF_CLASSES; k++)
            if (p->classes >> k & 1) {
                one(&d, p->one_case ? p->only : p->seed * 1000000007u + i, (enum diff_class)k);
                i++;
            }
    if (!audit(&d))
        d.n_diff++;
    printf("diff_engine: ring %u, seed %" PRIu64 ": %" PRIu64 " cases, %" PRIu64
           " instructions (%" PRIu64 " of them natively on kvm), %" PRIu64
           " ended in a fault, %" PRIu64 " too long, %" PRIu64
           " known to be inexact not run, %" PRIu64 " differences (%.1f s, %.0f/s)\n",
           ring, p->seed, d.n_done, d.n_insns, d.n_native, d.n_fault, d.n_long, d.n_known, d.n_diff,
           now() - t0, (double)d.n_done / (now() - t0));
    if (d.n_unsteady)
        printf("diff_engine: %" PRIu64 " were gone when run again\n", d.n_unsteady);
    set_ticking(false);
    diff_machine_destroy(&d.soft);
    diff_machine_destroy(&d.kvm);
    return (int)d.n_diff;
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: diff_engine [--seed N] [--count N] [--max-diffs N] [--ring 0|3|both]\n"
                    "                   [--class int,string,fpu,mmx,sse|all] [--case N]\n"
                    "                   [--kvm-device PATH] [--strict]\n");
    exit(2);
}

static unsigned class_mask(char *names)
{
    unsigned mask = 0;
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        unsigned one = 0;
        for (unsigned i = 0; i < DIFF_CLASSES; i++)
            if (!strcmp(name, diff_class_name[i]))
                one = 1u << i;
        if (!strcmp(name, "all"))
            one = (1u << DIFF_CLASSES) - 1;
        if (!one)
            usage();
        mask |= one;
    }
    return mask;
}

static int probe(const struct plan *p, struct kvm_findings *found)
{
    struct kvm_host h;
    struct errmsg err = {0};
    int rc = kvm_host_open(p->kvm_path, &h, &err);
    if (rc == 0) {
        rc = kvm_probe(&h, found, &err);
        kvm_host_close(&h);
    }
    if (rc < 0)
        printf("diff_engine: SKIPPED: %s\n", err.text);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct option opts[] = {
        {"seed", 1, NULL, 's'},       {"count", 1, NULL, 'n'},  {"class", 1, NULL, 'c'},
        {"case", 1, NULL, 'k'},       {"ring", 1, NULL, 'r'},   {"max-diffs", 1, NULL, 'm'},
        {"kvm-device", 1, NULL, 'd'}, {"strict", 0, NULL, 'x'}, {0}};
    struct plan p = {
        .seed = 1, .count = 20000, .max_diffs = 10, .classes = (1u << DIFF_CLASSES) - 1};
    struct kvm_findings found;
    bool ring[4] = {[0] = true, [3] = true};
    int diffs = 0;

    for (int o; (o = getopt_long(argc, argv, "", opts, NULL)) != -1;) {
        switch (o) {
        case 's': p.seed = strtoull(optarg, NULL, 0); break;
        case 'n': p.count = strtoull(optarg, NULL, 0); break;
        case 'm': p.max_diffs = strtoull(optarg, NULL, 0); break;
        case 'k': p.only = strtoull(optarg, NULL, 0), p.one_case = true; break;
        case 'c': p.classes = class_mask(optarg); break;
        case 'd': p.kvm_path = optarg; break;
        case 'x': p.strict = true; break;
        case 'r':
            ring[0] = !strcmp(optarg, "0") || !strcmp(optarg, "both");
            ring[3] = !strcmp(optarg, "3") || !strcmp(optarg, "both");
            if (ring[0] || ring[3])
                break;
            usage();
        default: usage();
        }
    }
    if (probe(&p, &found) < 0)
        return 77;
    for (unsigned r = 0; r < 4; r += 3)
        if (ring[r]) {
            const int n = run_ring(&p, r, &found);
            if (n < 0)
                return 2;
            diffs += n;
        }
    return diffs ? 1 : 0;
}
