/*
 * Reading a trace (ring.h): of a machine that has ended, was killed, or is running. Everything in
 * the file is checked before it is used; what is not there is said, and what is there is read.
 */
#ifndef UMBRA_VMM_TRACE_FILE_H
#define UMBRA_VMM_TRACE_FILE_H

#include "vmm/trace/ring.h"

struct trace_file {
    int fd;
    struct trace_head head; /* as it was when the file was opened; texts end in NUL */
    double ns_per_cycle;
    uint64_t first, end; /* records first .. end-1 are to be had */
    uint64_t lost;       /* records that were overwritten by later ones */
    uint64_t missing;    /* records that the file is too short for */
    uint64_t damaged;    /* records of no known kind, met by trace_file_read so far */
    uint64_t start_tsc;  /* time 0 of what is to be had: the first sound record's */
};

/* 0; -EBADMSG: no trace, another version, half a header; or an errno of the file. The message names
 * the file. */
int trace_file_open(const char *path, struct trace_file *f, struct errmsg *err);
void trace_file_close(struct trace_file *f);

/* "31 of 5000 records are missing: ...", for people; false: there is nothing to say. */
bool trace_file_note(const struct trace_file *f, char *buf, size_t len);

/*
 * Call emit for each sound record, oldest first, until it returns false. rec->tsc is never below
 * start_tsc. Records that the machine overwrites meanwhile are left out. 0 or an errno of the file.
 */
int trace_file_read(struct trace_file *f, bool (*emit)(void *ctx, const struct trace_rec *rec),
                    void *ctx);

/* Nanoseconds from the first record to a record's begin. */
static inline double trace_file_ns(const struct trace_file *f, uint64_t tsc)
{
    return (double)(tsc - f->start_tsc) * f->ns_per_cycle;
}

#endif
