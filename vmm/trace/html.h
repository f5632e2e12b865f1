/*
 * A trace as one page for a browser: the address space, faults over time, what they cost. It loads
 * nothing from anywhere. page.html is the page; its data is written here. Whatever the trace's
 * size, the page stays below about 5 MB: what is too much is made coarser, and the page says so.
 */
#ifndef UMBRA_VMM_TRACE_HTML_H
#define UMBRA_VMM_TRACE_HTML_H

#include "vmm/trace/summary.h"

/* 0, -ENOMEM, or an errno of the trace; what out did not take is ferror's matter. */
int trace_html(struct trace_file *f, const struct summary *s, FILE *out);

#endif
