/* A trace record by record: as lines for people, and as a Chrome trace for Perfetto. */
#ifndef UMBRA_VMM_TRACE_EXPORT_H
#define UMBRA_VMM_TRACE_EXPORT_H

#include "vmm/trace/file.h"

/* 0 or an errno of the file; what out did not take is ferror's matter. */
int trace_dump(struct trace_file *f, FILE *out);
/* One JSON object per line. */
int trace_dump_json(struct trace_file *f, FILE *out);

/*
 * "Trace Event Format" JSON: process 1 is the machine; track 1 has faults as slices with their
 * cost, track 2 what the memory manager did, track 3 what the shadow tables lost, and there are
 * counters of frames and swapped pages. Times are microseconds from the first record on.
 */
int trace_export_chrome(struct trace_file *f, FILE *out);

#endif
