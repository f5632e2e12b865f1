/*
 * bench_fault [--json] [--rounds N]: what a page fault costs here, beside what it costs the host's
 * kernel and beside what the host offers to programs that serve faults themselves. One run, all
 * side by side: times drift from machine to machine and from minute to minute, ratios much less.
 *
 * Exit status 0, also when an aim is missed (the table says so); 1 when a part could not run; 2
 * usage.
 */
#include <getopt.h>

#include "tools/bench/fault_guest.h"
#include "tools/bench/fault_mm.h"

static int usage(void)
{
    fprintf(stderr, "usage: bench_fault [--json] [--rounds 1..31]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option opts[] = {{"json", 0, NULL, 'j'}, {"rounds", 1, NULL, 'r'}, {0}};
    struct bench_table t = {0};
    unsigned long rounds = 7;
    char *end;

    for (int o; (o = getopt_long(argc, argv, "", opts, NULL)) != -1;) {
        switch (o) {
        case 'j': t.json = true; break;
        case 'r':
            rounds = strtoul(optarg, &end, 10);
            if (*optarg < '0' || *optarg > '9' || *end || rounds < 1 || rounds > 31)
                return usage();
            break;
        default: return usage();
        }
    }
    if (optind < argc)
        return usage();
    bench_begin(&t, "page fault, ns each, medians");
    int rc = bench_fault_mm(&t);
    if (!rc)
        rc = bench_fault_guest(&t, (unsigned)rounds);
    bench_end(&t);
    if (rc) {
        fprintf(stderr, "bench_fault: %s\n", strerror(-rc));
        return 1;
    }
    if (!t.json)
        printf("  ratio: ours / host's. %s\n",
               t.missed ? "NOT every aim is met" : "Both aims are met");
    return 0;
}
