/*
 * What a trace comes to: faults by path with their cost, counts of events, pages, and how all of it
 * went over time. One pass over the records.
 */
#ifndef UMBRA_VMM_TRACE_SUMMARY_H
#define UMBRA_VMM_TRACE_SUMMARY_H

#include "vmm/stats.h"
#include "vmm/trace/file.h"
#include "vmm/trace/pages.h"

#define SUMMARY_PATHS   40
#define SUMMARY_BUCKETS 120

struct summary_path {
    struct trace_rec like; /* the first of them: kind, result, path */
    struct hist cost;      /* cycles */
};

/* One slice of time. */
struct summary_bucket {
    uint32_t faults[TRACE_CLASSES];
    uint32_t swap_out, swap_in; /* pages whose entry came to name a slot; that came back */
    uint32_t pages;             /* different pages that faulted */
    uint32_t frames, swapped;   /* of the last sample up to the end of the slice */
    bool sampled;
};

struct summary {
    uint64_t records, faults;
    uint64_t events[TRACE_KINDS];
    double ns; /* from the first record to the end of the last */
    struct summary_path path[SUMMARY_PATHS];
    unsigned paths; /* when all rows are in use the last takes the rest */
    struct hist by_class[TRACE_CLASSES];
    struct summary_bucket bucket[SUMMARY_BUCKETS];
    struct trace_pages pages;
};

/* 0, -ENOMEM, or an errno of the file. *out is large; the caller's until summary_free. */
int summary_make(struct trace_file *f, struct summary **out);
void summary_free(struct summary *s);

/* Rows of path[] by the time that they took in all, most first. */
void summary_order(const struct summary *s, unsigned order[SUMMARY_PATHS]);

/* The n pages of the guest's spaces (linear false) or of the linear addresses with the most faults,
 * most first; returns how many there are. */
size_t summary_hottest(const struct summary *s, bool linear, const struct trace_page **out,
                       size_t n);

/* Write it for people, and for programs. */
void summary_print(const struct trace_file *f, const struct summary *s, size_t hottest, FILE *out);
void summary_print_json(const struct trace_file *f, const struct summary *s, size_t hottest,
                        FILE *out);

#endif
