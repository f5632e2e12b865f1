/* See stats.h. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "mm/mm.h"
#include "vmm/stats.h"

/* --- histogram ------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t v)
{
    if (v < 16)
        return (unsigned)v;
    const unsigned log = 63u - (unsigned)__builtin_clzll(v);
    return log * 8 - 16 + (unsigned)(v >> (log - 3) & 7);
}

uint64_t hist_bucket_value(unsigned b)
{
    if (b < 16)
        return b;
    const unsigned log = (b + 16) / 8, part = b % 8;
    return ((8ull + part) << (log - 3)) + (1ull << (log - 3)) / 2;
}

void hist_add(struct hist *h, uint64_t v)
{
    h->count++;
    h->sum += v;
    if (v > h->max)
        h->max = v;
    h->bucket[bucket_of(v)]++;
}

uint64_t hist_percentile(const struct hist *h, double p)
{
    const double want = p * (double)h->count;
    uint64_t seen = 0;
    for (unsigned b = 0; b < HIST_BUCKETS; b++) {
        seen += h->bucket[b];
        if (seen && (double)seen >= want)
            return hist_bucket_value(b) < h->max ? hist_bucket_value(b) : h->max;
    }
    return 0;
}

/* --- recording ------------------------------------------------------------------------------- */

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void stats_start(struct stats *s)
{
    memset(s, 0, sizeof *s);
    s->start_tsc = stats_now();
    s->start_ns = clock_ns();
}

double stats_ns_per_cycle(const struct stats *s)
{
    const uint64_t cycles = stats_now() - s->start_tsc;
    return cycles ? (double)(clock_ns() - s->start_ns) / (double)cycles : 0;
}

void stats_fault(struct stats *s, uint32_t result, uint32_t path, uint64_t cycles)
{
    unsigned i = 0;
    while (i < s->faults && (s->fault[i].result != result || s->fault[i].path != path))
        i++;
    if (i == STATS_PATHS)
        i--; /* more paths than rows: the last row takes the rest */
    if (i == s->faults) {
        s->fault[i] = (struct fault_stat){.result = result, .path = path};
        s->faults++;
    }
    hist_add(&s->fault[i].cost, cycles);
}

/* --- reporting ------------------------------------------------------------------------------- */

const char *trap_name(enum trap_kind kind)
{
    static const char *const names[TRAP_KINDS] = {
        [TRAP_PF] = "page fault",   [TRAP_EXCEPTION] = "exception",
        [TRAP_EMULATE] = "emulate", [TRAP_HLT] = "halt",
        [TRAP_KICK] = "kick",       [TRAP_INTWIN] = "interrupt window",
        [TRAP_BUDGET] = "slice",    [TRAP_SHUTDOWN] = "shutdown",
        [TRAP_ERROR] = "error",
    };
    return names[kind];
}

const char *call_name(enum stats_call call)
{
    static const char *const names[STATS_CALLS] = {
        [CALL_REFILL] = "TLB refill",
        [CALL_MMIO] = "memory-mapped I/O",
        [CALL_IN] = "IN",
        [CALL_OUT] = "OUT",
        [CALL_STRING_IO] = "INS, OUTS",
        [CALL_TSC] = "RDTSC",
        [CALL_CPUID] = "CPUID",
        [CALL_CR0] = "CR0 load",
        [CALL_CR3] = "CR3 load",
        [CALL_CR4] = "CR4 load",
        [CALL_INVLPG] = "INVLPG",
        [CALL_INTR] = "interrupt acknowledged",
    };
    return names[call];
}

const char *cause_name(enum stats_cause cause)
{
    static const char *const names[STATS_CAUSES] = {
        [CAUSE_GUEST] = "page fault: the guest's own",
        [CAUSE_MMIO] = "page fault: no RAM, or ROM",
        [CAUSE_MM] = "page fault: memory manager",
        [CAUSE_TABLE] = "page fault: guest table written",
        [CAUSE_WRITE] = "page fault: first write",
        [CAUSE_ENTRY] = "page fault: no shadow entry",
        [CAUSE_PATH] = "page fault: no shadow table",
        [CAUSE_OTHER] = "page fault: other",
    };
    return names[cause];
}

const char *fault_name(const struct fault_stat *f, char *buf, size_t len)
{
    static const char *const results[MM_RESULTS] = {
        [MM_MINOR] = "minor",       [MM_MAJOR] = "major",       [MM_SPURIOUS] = "spurious",
        [MM_OOM] = "out of memory", [MM_BADADDR] = "no region", [MM_PROT] = "protection",
        [MM_IOERR] = "I/O error",
    };
    static const struct {
        uint32_t bit;
        const char *name;
    } steps[] = {
        {MM_PATH_ZERO, "zero frame"},
        {MM_PATH_FRESH, "fresh frame"},
        {MM_PATH_UNZERO, "over zero"},
        {MM_PATH_COPY, "copied"},
        {MM_PATH_REUSE, "reused"},
        {MM_PATH_FILE, "file"},
        {MM_PATH_CACHE, "cache hit"},
        {MM_PATH_ZPOOL, "decompressed"},
        {MM_PATH_SAME, "same-filled"},
        {MM_PATH_READ, "read"},
        {MM_PATH_READAHEAD, "read-ahead"},
        {MM_PATH_RACE, "raced"},
        {MM_PATH_RECLAIM, "reclaimed first"},
    };
    int at = snprintf(buf, len, "%s", f->result < MM_RESULTS ? results[f->result] : "other");
    const char *sep = ": ";
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if ((f->path & steps[i].bit) && at > 0 && (size_t)at < len) {
            at += snprintf(buf + at, len - (size_t)at, "%s%s", sep, steps[i].name);
            sep = ", ";
        }
    return buf;
}

static bool counted(const struct hist *h, int n)
{
    while (n > 0 && !h[n - 1].count)
        n--;
    return n > 0;
}

static void print_row(FILE *out, const char *name, const struct hist *h, double ns)
{
    if (h->count)
        fprintf(out, "  %-36s %10" PRIu64 " %10.2f %10.2f %10.2f\n", name, h->count,
                (double)h->sum / (double)h->count * ns / 1000,
                (double)hist_percentile(h, 0.5) * ns / 1000,
                (double)hist_percentile(h, 0.99) * ns / 1000);
}

void stats_print(const struct stats *s, const char *engine, const struct stats_extra *extra,
                 size_t n, FILE *out)
{
    const double ns = stats_ns_per_cycle(s);
    char name[160];

    fprintf(out, "engine: %s\n%-38s %10s %10s %10s %10s\n", engine, "traps, monitor's time",
            "count", "mean us", "p50 us", "p99 us");
    for (int k = 0; k < TRAP_KINDS; k++)
        print_row(out, trap_name((enum trap_kind)k), &s->trap[k], ns);
    fprintf(out, "between two traps\n");
    print_row(out, "engine and guest", &s->guest, ns);
    fprintf(out, "faults by path, memory manager's and shadow's time\n");
    for (unsigned i = 0; i < s->faults; i++)
        print_row(out, fault_name(&s->fault[i], name, sizeof name), &s->fault[i].cost, ns);
    if (counted(s->cause, STATS_CAUSES))
        fprintf(out, "page faults by cause, without the trap loop's time\n");
    for (int k = 0; k < STATS_CAUSES; k++)
        print_row(out, cause_name((enum stats_cause)k), &s->cause[k], ns);
    if (counted(s->call, STATS_CALLS))
        fprintf(out, "calls of the soft CPU, within its time\n");
    for (int k = 0; k < STATS_CALLS; k++)
        print_row(out, call_name((enum stats_call)k), &s->call[k], ns);
    fprintf(out, "counters\n");
    fprintf(out, "  %-50s %14" PRIu64 "\n", "instructions emulated", s->emulated);
    fprintf(out, "  %-50s %14" PRIu64 "\n", "accesses where no RAM is", s->mmio);
    fprintf(out, "  %-50s %14" PRIu64 "\n", "exceptions delivered", s->delivered);
    fprintf(out, "  %-50s %14" PRIu64 "\n", "hypercalls", s->hypercalls);
    if (s->resets)
        fprintf(out, "  %-50s %14" PRIu64 "\n", "resets", s->resets);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-50s %14" PRIu64 "\n", extra[i].name, extra[i].value);
}

static void json_row(FILE *out, const char **sep, const char *name, const struct hist *h, double ns)
{
    if (!h->count)
        return;
    fprintf(out,
            "%s{\"name\": \"%s\", \"count\": %" PRIu64
            ", \"mean_ns\": %.0f, \"p50_ns\": %.0f, \"p99_ns\": %.0f, \"max_ns\": %.0f}",
            *sep, name, h->count, (double)h->sum / (double)h->count * ns,
            (double)hist_percentile(h, 0.5) * ns, (double)hist_percentile(h, 0.99) * ns,
            (double)h->max * ns);
    *sep = ", ";
}

void stats_print_json(const struct stats *s, const char *engine, const struct stats_extra *extra,
                      size_t n, FILE *out)
{
    const double ns = stats_ns_per_cycle(s);
    char name[160];
    const char *sep = "";

    fprintf(out, "{\"engine\": \"%s\", \"traps\": [", engine);
    for (int k = 0; k < TRAP_KINDS; k++)
        json_row(out, &sep, trap_name((enum trap_kind)k), &s->trap[k], ns);
    fprintf(out, "], \"guest\": [");
    sep = "";
    json_row(out, &sep, "engine and guest", &s->guest, ns);
    fprintf(out, "], \"causes\": [");
    sep = "";
    for (int k = 0; k < STATS_CAUSES; k++)
        json_row(out, &sep, cause_name((enum stats_cause)k), &s->cause[k], ns);
    fprintf(out, "], \"calls\": [");
    sep = "";
    for (int k = 0; k < STATS_CALLS; k++)
        json_row(out, &sep, call_name((enum stats_call)k), &s->call[k], ns);
    fprintf(out, "], \"faults\": [");
    sep = "";
    for (unsigned i = 0; i < s->faults; i++)
        json_row(out, &sep, fault_name(&s->fault[i], name, sizeof name), &s->fault[i].cost, ns);
    fprintf(out,
            "], \"counters\": {\"instructions emulated\": %" PRIu64
            ", \"accesses where no RAM is\": %" PRIu64 ", \"exceptions delivered\": %" PRIu64
            ", \"hypercalls\": %" PRIu64 ", \"resets\": %" PRIu64,
            s->emulated, s->mmio, s->delivered, s->hypercalls, s->resets);
    for (size_t i = 0; i < n; i++)
        fprintf(out, ", \"%s\": %" PRIu64, extra[i].name, extra[i].value);
    fprintf(out, "}}\n");
}
