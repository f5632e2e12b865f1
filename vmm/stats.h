/*
 * What a run cost: traps by kind, faults by path, each with count, mean and percentiles. Times are
 * cycles of the host's time-stamp counter, turned into nanoseconds when reported.
 */
#ifndef UMBRA_VMM_STATS_H
#define UMBRA_VMM_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/engine.h"

/* Log-linear histogram: 8 buckets for each power of two, so a percentile is true to 1/8. */
#define HIST_BUCKETS (64 * 8)

struct hist {
    uint64_t count, sum, max;
    uint32_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t v);
/* The middle of what falls into bucket b. */
uint64_t hist_bucket_value(unsigned b);
/* The value below which the fraction p (0..1) of all lies; 0 if there is none. */
uint64_t hist_percentile(const struct hist *h, double p);

/* What the soft CPU asks the machine in the middle of its run, which is no trap of the trap loop.
 */
enum stats_call {
    CALL_REFILL, /* a page that the software TLB does not hold, and the shadow tables do */
    CALL_MMIO,
    CALL_IN,
    CALL_OUT,
    CALL_STRING_IO,
    CALL_TSC,
    CALL_CPUID,
    CALL_CR0,
    CALL_CR3,
    CALL_CR4,
    CALL_INVLPG,
    CALL_INTR, /* an interrupt is acknowledged */
    STATS_CALLS
};

/* What a page fault was for. */
enum stats_cause {
    CAUSE_GUEST, /* the guest's own: it is delivered */
    CAUSE_MMIO,  /* where no RAM is, or ROM that is written */
    CAUSE_MM,    /* the memory manager had to act */
    CAUSE_TABLE, /* the first write to a guest table in step */
    CAUSE_WRITE, /* the first write to a page that is mapped for reading */
    CAUSE_ENTRY, /* the shadow table has no entry for the page */
    CAUSE_PATH,  /* ... and there is no shadow table either, or none of this root */
    CAUSE_OTHER,
    STATS_CAUSES
};

#define STATS_PATHS   24
#define STATS_REGIONS 1024 /* of 4 MiB of linear addresses */

/* One sort of fault: what mm answered and which way it went. */
struct fault_stat {
    uint32_t result; /* enum mm_result */
    uint32_t path;   /* enum mm_path bits */
    struct hist cost;
};

struct stats {
    uint64_t start_tsc, start_ns;
    uint64_t emulated;   /* instructions run by the soft CPU on the kvm engine's behalf */
    uint64_t mmio;       /* accesses to where no RAM is */
    uint64_t delivered;  /* exceptions delivered to the guest */
    uint64_t prefetched; /* neighbours of a page that were mapped with it */
    uint64_t hypercalls;
    uint64_t resets;
    struct hist trap[TRAP_KINDS]; /* the monitor's own time for it, without the guest's */
    struct hist guest;            /* engine time between two traps */
    /* These two only where vm_opts.costs asks for them, since they cost reads of the clock. */
    struct hist call[STATS_CALLS];
    struct hist cause[STATS_CAUSES]; /* page faults, fault_handle()'s time */
    struct fault_stat fault[STATS_PATHS];
    uint64_t region[STATS_REGIONS]; /* faults of whatever kind, by linear address */
    unsigned faults;                /* rows of fault[] in use */
};

static inline uint64_t stats_now(void)
{
    return __builtin_ia32_rdtsc();
}

void stats_start(struct stats *s);
void stats_fault(struct stats *s, uint32_t result, uint32_t path, uint64_t cycles);
/* Nanoseconds of a cycle count, by what both clocks have done since stats_start(). */
double stats_ns_per_cycle(const struct stats *s);

const char *trap_name(enum trap_kind kind);
const char *call_name(enum stats_call call);
const char *cause_name(enum stats_cause cause);
/* "minor: zero frame", written into buf. */
const char *fault_name(const struct fault_stat *f, char *buf, size_t len);

/* engine: name of what ran. extra: counters that only the caller knows, may be NULL. */
#define STATS_EXTRAS 112 /* room for a caller's rows */
struct stats_extra {
    const char *name;
    uint64_t value;
};
void stats_print(const struct stats *s, const char *engine, const struct stats_extra *extra,
                 size_t n, FILE *out);
void stats_print_json(const struct stats *s, const char *engine, const struct stats_extra *extra,
                      size_t n, FILE *out);

#endif
