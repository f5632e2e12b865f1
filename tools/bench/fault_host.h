/*
 * What the host offers to a program that wants to serve page faults itself, measured: SIGSEGV with
 * mprotect, and userfaultfd with a thread that answers. Times are ns per page, negative on failure.
 */
#ifndef UMBRA_TOOLS_BENCH_FAULT_HOST_H
#define UMBRA_TOOLS_BENCH_FAULT_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* Touch pages that are PROT_NONE, in order; the handler allows what was wanted of one page. */
double bench_host_sigsegv(size_t pages, bool write);

/* 0, or the negative errno with which this host refuses userfaultfd. */
int bench_host_uffd_allowed(void);

/* Touch pages that a second thread fills: by UFFDIO_ZEROPAGE for reads, UFFDIO_COPY for writes.
 * spin: the thread asks without end instead of sleeping until a fault comes. */
double bench_host_uffd(size_t pages, bool write, bool spin);

#endif
