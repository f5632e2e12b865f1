/*
 * bench_trace [--json] [--rounds N] [--file FILE]: what the page trace adds to a whole guest fault.
 * One machine, the same passes in turn with the trace off and on. The ratio is the median of the
 * rounds' ratios, as what else the host does hits both halves of a round alike; the time with the
 * trace on is that ratio times the median without. The record alone, in a loop, stands beside it.
 *
 * Exit status 0, also when the aim is missed (the table says so); 1 when a part could not run; 2
 * usage.
 */
#include <errno.h>
#include <getopt.h>

#include "tools/bench/bench.h"
#include "tools/bench/fault_pass.h"

enum { MAX_ROUNDS = 201 };

enum pass { PASS_READ, PASS_AFTER_READ, PASS_WRITE, PASSES };

static const char *const pass_name[PASSES] = {"read, zero frame", "write after a read",
                                              "write, fresh frame"};

struct measured {
    double off[PASSES][MAX_ROUNDS], on[PASSES][MAX_ROUNDS];
    double record[MAX_ROUNDS];
};

/* One round of the three passes. 0 or negative. */
static int run_round(struct vm *vm, double ns[PASSES])
{
    int rc = fault_pass_forget(vm);
    if (rc)
        return rc;
    ns[PASS_READ] = fault_pass(vm, false);
    ns[PASS_AFTER_READ] = fault_pass(vm, true);
    rc = fault_pass_forget(vm);
    if (rc)
        return rc;
    ns[PASS_WRITE] = fault_pass(vm, true);
    for (int p = 0; p < PASSES; p++)
        if (ns[p] < 0)
            return -EIO;
    return 0;
}

static int run_off_and_on(struct vm *vm, struct trace_ring *ring, struct measured *m, unsigned r)
{
    double ns[PASSES];
    /* which of them comes first changes from round to round */
    for (unsigned half = 0; half < 2; half++) {
        const bool on = (half ^ r) & 1;
        vm->opts.ring = on ? ring : NULL;
        vm_trace_begin(vm);
        const int rc = run_round(vm, ns);
        vm_trace_end(vm);
        if (rc)
            return rc;
        for (int p = 0; p < PASSES; p++)
            (on ? m->on : m->off)[p][r] = ns[p];
    }
    return 0;
}

/* ns for one record. */
static double run_records(struct trace_ring *ring)
{
    enum { N = 1 << 18 };
    struct trace_rec rec = {.kind = TRACE_FAULT};
    const uint64_t t = bench_now();
    for (uint32_t i = 0; i < N; i++) {
        rec.la = i;
        trace_ring_put(ring, rec);
    }
    return (double)(bench_now() - t) / N;
}

static int measure(struct vm *vm, struct trace_ring *ring, struct measured *m, unsigned rounds)
{
    int rc = run_off_and_on(vm, ring, m, 0); /* warm */
    for (unsigned r = 0; r < rounds && !rc; r++) {
        rc = run_off_and_on(vm, ring, m, r);
        m->record[r] = run_records(ring);
    }
    return rc;
}

static void print(struct bench_table *t, struct measured *m, unsigned rounds)
{
    char name[64];
    bench_begin(t, "a guest's page fault on the soft engine with the page trace on, ns, medians");
    for (int p = 0; p < PASSES; p++) {
        for (unsigned r = 0; r < rounds; r++)
            m->on[p][r] /= m->off[p][r];
        const double off = bench_median(m->off[p], rounds);
        snprintf(name, sizeof name, "trace on: %s", pass_name[p]);
        bench_row(t, name, bench_median(m->on[p], rounds) * off, "trace off", off, 1.03);
    }
    bench_row(t, "one record", bench_median(m->record, rounds), "", 0, 0);
    bench_end(t);
}

static int run(struct bench_table *t, const char *file, unsigned rounds)
{
    static struct measured m;
    const struct vm_opts o = {
        .ram = FAULT_PASS_RAM, .shadow_quota = VM_SHADOW_QUOTA, .engine = VM_ENGINE_SOFT};
    struct trace_ring *ring = NULL;
    struct vm *vm = NULL;
    struct errmsg err = {0};
    int rc = trace_ring_open(file, TRACE_SIZE_DEFAULT, &ring, &err);
    if (!rc)
        rc = vm_create(&o, &vm, &err);
    if (!rc)
        rc = measure(vm, ring, &m, rounds);
    if (rc)
        fprintf(stderr, "bench_trace: %s\n", err.text[0] ? err.text : strerror(-rc));
    else
        print(t, &m, rounds);
    vm_destroy(vm);
    trace_ring_close(ring, "bench", 0);
    return rc;
}

static int usage(void)
{
    fprintf(stderr, "usage: bench_trace [--json] [--rounds 1..%d] [--file FILE]\n", MAX_ROUNDS);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option opts[] = {
        {"json", 0, NULL, 'j'}, {"rounds", 1, NULL, 'r'}, {"file", 1, NULL, 'f'}, {0}};
    struct bench_table t = {0};
    const char *file = "bench.trace";
    unsigned long rounds = 101;
    char *end;

    for (int o; (o = getopt_long(argc, argv, "", opts, NULL)) != -1;) {
        switch (o) {
        case 'j': t.json = true; break;
        case 'f': file = optarg; break;
        case 'r':
            rounds = strtoul(optarg, &end, 10);
            if (*optarg < '0' || *optarg > '9' || *end || rounds < 1 || rounds > MAX_ROUNDS)
                return usage();
            break;
        default: return usage();
        }
    }
    if (optind < argc)
        return usage();
    if (run(&t, file, (unsigned)rounds))
        return 1;
    if (!t.json)
        printf("  ratio: on / off. %s\n",
               t.missed ? "NOT every aim is met" : "The aim, 3 %, is met");
    return 0;
}
