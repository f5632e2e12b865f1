/*
 * fuzz_mmu: random page-table writes, flushes, mode changes, accesses, swap, forks and quota
 * reclaim on the shadow MMU, against the reference MMU and a model of what a TLB may hold
 * (tlb_model.h). Every access must do what the tables say now or what a TLB may have kept; after a
 * flush there is only the former. The audits run after every event, or after each N-th.
 *
 *   fuzz_mmu [--seed N] [--events N] [--audit N] [--quota N] [--length N] [--large 0|1]
 * [--no-shrink] fuzz_mmu --seed N --only I,I,...
 *
 * Events come in worlds of --length, each made anew and lived in a child process, so that a crash
 * is a finding like any other. What fails is shrunk by leaving events out for as long as it still
 * fails, and printed, with the command that lives it again. Exit 0: nothing found; 1: found;
 * 2: usage.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz_mmu_world.h"

struct opts {
    uint64_t seed, events;
    uint32_t audit, quota, length;
    bool no_shrink, large;
    const char *only;
};

/* What a child tells: shared memory. */
struct report {
    uint64_t events, accesses, faults, stale, installs, reclaims, unsyncs, roots;
    uint64_t collapses, splits;
    uint64_t at; /* event that was being lived */
    char why[WORLD_WHY];
};

static struct report *report;

static void live_list(const struct opts *o, uint64_t seed, const uint64_t *list, size_t n,
                      bool tell)
{
    struct world w = {.audit = o->audit, .tell = tell, .why = report->why};
    struct shadow_stats s;
    bool good = true;

    world_open(&w, seed, o->quota, o->large);
    for (size_t i = 0; good && i < n; i++) {
        report->at = list[i];
        good = world_event(&w, seed, list[i]);
    }
    good = good && world_same(&w);
    shadow_get_stats(w.vm->shadow, &s);
    report->events += w.events;
    report->accesses += w.accesses;
    report->faults += w.faults;
    report->stale += w.stale;
    report->installs += s.installs;
    report->reclaims += s.reclaims;
    report->unsyncs += s.unsyncs;
    report->roots += s.roots;
    report->collapses += s.collapses;
    report->splits += s.splits;
    if (good)
        world_close(&w);
    _exit(good ? 0 : 1);
}

/* false: it failed, and report says how. */
static bool lived(const struct opts *o, uint64_t seed, const uint64_t *list, size_t n, bool tell)
{
    report->why[0] = 0;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0)
        live_list(o, seed, list, n, tell);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("fuzz_mmu: fork");
        exit(2);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        exit(2);
    if (WIFSIGNALED(status))
        snprintf(report->why, sizeof report->why, "killed by signal %d", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Leave out ever smaller parts for as long as the rest still fails. */
static size_t shrink(const struct opts *o, uint64_t seed, uint64_t *list, size_t n)
{
    uint64_t *less = malloc(n * sizeof *less);
    if (!less)
        return n;
    for (size_t part = n / 2; part > 0; part = part == 1 ? 0 : (part + 1) / 2)
        for (size_t from = 0; from < n;) {
            const size_t gone = n - from < part ? n - from : part;
            memcpy(less, list, from * sizeof *less);
            memcpy(less + from, list + from + gone, (n - from - gone) * sizeof *less);
            if (lived(o, seed, less, n - gone, false)) {
                from += gone;
            } else {
                n -= gone;
                memcpy(list, less, n * sizeof *list);
            }
        }
    free(less);
    return n;
}

static void found(const struct opts *o, uint64_t seed, uint64_t *list, size_t n)
{
    struct opts every = *o;
    printf("seed %" PRIu64 ", event %" PRIu64 ": %s\n", seed, report->at, report->why);
    while (n > 1 && list[n - 1] > report->at)
        n--;
    every.audit = 1;
    if (!o->no_shrink && !lived(&every, seed, list, n, false))
        n = shrink(&every, seed, list, n);
    printf("shrunk to %zu events:\n", n);
    lived(&every, seed, list, n, true);
    printf("%s\nagain: fuzz_mmu --audit 1 --quota %u --large %d --seed %" PRIu64 " --only ",
           report->why, o->quota, o->large, seed);
    for (size_t i = 0; i < n; i++)
        printf("%s%" PRIu64, i ? "," : "", list[i]);
    putchar('\n');
}

static bool number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 0);
    return *text && !*end;
}

static bool take(struct opts *o, const char *name, const char *value)
{
    uint64_t v = 0;
    if (!strcmp(name, "--only")) {
        o->only = value;
        return true;
    }
    if (!number(value, &v))
        return false;
    if (!strcmp(name, "--seed"))
        o->seed = v;
    else if (!strcmp(name, "--events"))
        o->events = v;
    else if (!strcmp(name, "--audit"))
        o->audit = (uint32_t)v;
    else if (!strcmp(name, "--quota") && v >= SHADOW_MIN_PAGES && v <= 4096)
        o->quota = (uint32_t)v;
    else if (!strcmp(name, "--length") && v > 0 && v <= 1000000)
        o->length = (uint32_t)v;
    else if (!strcmp(name, "--large") && v <= 1)
        o->large = v != 0;
    else
        return false;
    return true;
}

static bool parse(int argc, char **argv, struct opts *o)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-shrink"))
            o->no_shrink = true;
        else if (i + 1 >= argc || !take(o, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

static int only(const struct opts *o)
{
    static uint64_t list[100000];
    size_t n = 0;
    for (const char *p = o->only; *p && n < sizeof list / sizeof *list;) {
        char *end;
        list[n++] = strtoull(p, &end, 0);
        if (end == p)
            return 2;
        p = *end == ',' ? end + 1 : end;
    }
    if (lived(o, o->seed, list, n, true)) {
        puts("nothing found");
        return 0;
    }
    puts(report->why);
    return 1;
}

int main(int argc, char **argv)
{
    struct opts o = {
        .seed = 1, .events = 100000, .audit = 1, .quota = SHADOW_MIN_PAGES, .length = 2000};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: fuzz_mmu [--seed N] [--events N] [--audit N] [--quota N] "
                        "[--length N] [--large 0|1] [--no-shrink] [--only I,I,...]\n");
        return 2;
    }
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        perror("fuzz_mmu");
        return 2;
    }
    if (o.only)
        return only(&o);
    uint64_t *list = malloc(o.length * sizeof *list);
    if (!list) {
        perror("fuzz_mmu");
        return 2;
    }
    for (uint64_t done = 0, seed = o.seed; done < o.events; seed++) {
        const size_t n = o.events - done < o.length ? (size_t)(o.events - done) : o.length;
        for (size_t i = 0; i < n; i++)
            list[i] = i;
        if (!lived(&o, seed, list, n, false)) {
            found(&o, seed, list, n);
            free(list);
            return 1;
        }
        done += n;
    }
    printf("%" PRIu64 " events from seed %" PRIu64 ": %" PRIu64 " accesses, %" PRIu64
           " of them guest faults, %" PRIu64 " by what the tables no longer say; %" PRIu64
           " entries made, %" PRIu64 " roots, %" PRIu64 " tables out of step, %" PRIu64
           " taken back for the quota, %" PRIu64 " collapsed, %" PRIu64 " split\n",
           report->events, o.seed, report->accesses, report->faults, report->stale,
           report->installs, report->roots, report->unsyncs, report->reclaims, report->collapses,
           report->splits);
    free(list);
    return 0;
}
