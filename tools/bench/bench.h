/*
 * Small things that the benches share: the clock, medians, and a table in which each of our numbers
 * stands beside the host's own, with the ratio and the aim. Times are in nanoseconds.
 */
#ifndef UMBRA_TOOLS_BENCH_H
#define UMBRA_TOOLS_BENCH_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int bench_cmp(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v. */
static inline double bench_median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), bench_cmp);
    return n == 0 ? 0 : v[n / 2];
}

struct bench_table {
    bool json; /* one object per row instead of columns */
    unsigned rows;
    unsigned missed; /* rows over their aim */
};

static inline void bench_begin(struct bench_table *t, const char *title)
{
    t->rows = 0;
    if (t->json)
        printf("{\"bench\":\"%s\",\"rows\":[", title);
    else
        printf("%s\n  %-34s %11s   %-30s %11s %7s %6s\n", title, "ours", "ns", "host", "ns",
               "ratio", "aim");
}

/* host_ns 0: nothing to compare with. aim 0: none set. */
static inline void bench_row(struct bench_table *t, const char *ours, double ns, const char *host,
                             double host_ns, double aim)
{
    double ratio = host_ns > 0 ? ns / host_ns : 0;
    bool over = aim > 0 && ratio > aim;
    t->missed += over;
    if (t->json) {
        printf("%s{\"ours\":\"%s\",\"ns\":%.1f,\"host\":\"%s\",\"host_ns\":%.1f,\"ratio\":%.3f,"
               "\"aim\":%.2f}",
               t->rows ? "," : "", ours, ns, host, host_ns, ratio, aim);
    } else {
        printf("  %-34s %11.1f   %-30s", ours, ns, host);
        if (host_ns > 0)
            printf(" %11.1f %7.3f", host_ns, ratio);
        if (aim > 0)
            printf(" %6.2f%s", aim, over ? "  over" : "");
        printf("\n");
    }
    t->rows++;
}

/* A remark for people, on stderr where the table is for programs. */
__attribute__((format(printf, 2, 3))) static inline void bench_note(struct bench_table *t,
                                                                    const char *fmt, ...)
{
    FILE *to = t->json ? stderr : stdout;
    va_list ap;
    va_start(ap, fmt);
    fputs("  # ", to);
    vfprintf(to, fmt, ap);
    fputc('\n', to);
    va_end(ap);
}

static inline void bench_end(struct bench_table *t)
{
    if (t->json)
        printf("]}\n");
    fflush(stdout);
}

#endif
