/* Words for what a trace holds: kinds of records, classes of faults, states of pages. */
#ifndef UMBRA_VMM_TRACE_NAMES_H
#define UMBRA_VMM_TRACE_NAMES_H

#include "vmm/trace/ring.h"

/* Sorts of faults, coarse enough for a picture; colours and order of reports go by them. */
enum trace_class {
    CLASS_ZERO,   /* the zero page was mapped */
    CLASS_FRESH,  /* a new frame, zeroed */
    CLASS_COPY,   /* copied on write */
    CLASS_REUSE,  /* sole owner: made writable */
    CLASS_MEMORY, /* back from swap without I/O: cache, compressed, same-filled */
    CLASS_DISK,   /* back from swap or file with I/O */
    CLASS_FILE,   /* a file's or shared memory's page that was in memory */
    CLASS_AGAIN,  /* the entry allowed it: only the shadow had to be made */
    CLASS_OWN,    /* the guest's own #PF */
    CLASS_OTHER,  /* no RAM there, no frame, an I/O error */
    TRACE_CLASSES
};

/* States of a page as far as the trace has seen it. */
enum trace_state {
    STATE_UNSEEN,
    STATE_ZERO,      /* the shared zero page */
    STATE_OWN,       /* a frame of its own, writable */
    STATE_READ_ONLY, /* a frame that a write will have to look at: shared, clean, protected */
    STATE_MERGED,    /* shares another page's frame for equal content */
    STATE_SWAPPED,   /* its entry names a swap slot */
    STATE_EVICTED,   /* taken out; a file or an object has it */
    STATE_GONE,      /* unmapped by the guest */
    TRACE_STATES
};

/* Of TRACE_FAULT, TRACE_GUEST_FAULT and TRACE_MMIO; TRACE_MONITOR too. */
enum trace_class trace_class_of(const struct trace_rec *rec);
static inline bool trace_is_fault(const struct trace_rec *rec)
{
    return rec->kind == TRACE_FAULT || rec->kind == TRACE_GUEST_FAULT || rec->kind == TRACE_MMIO;
}

const char *trace_class_name(enum trace_class c);
const char *trace_state_name(enum trace_state s);
/* A few words: "swapped out". */
const char *trace_kind_name(enum trace_kind k);
/* One word of lower-case letters and underscores, for programs. */
const char *trace_kind_word(enum trace_kind k);

/* What a fault came to and by which path: "minor: zero frame". Written into buf. */
const char *trace_path_name(const struct trace_rec *rec, char *buf, size_t len);
/* "user write", "kernel read", ... */
const char *trace_access_name(const struct trace_rec *rec);

#endif
