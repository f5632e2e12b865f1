/*
 * The pages that a trace speaks of, each with what is known of it, by space and number: a growing
 * hash table. The linear addresses of faults are one more "space".
 */
#ifndef UMBRA_VMM_TRACE_PAGES_H
#define UMBRA_VMM_TRACE_PAGES_H

#include "vmm/trace/names.h"

#define PAGES_LINEAR 64u /* the space of linear addresses; 0 .. 63 are the guest's */
#define PAGES_SPACES 65u

struct trace_page {
    uint32_t key; /* space << 20 | number */
    uint32_t faults;
    uint32_t events; /* records of it, faults among them */
    uint32_t swap_ins, swap_outs, copies;
    uint32_t bucket;  /* the last slice of time in which it faulted, + 1 */
    uint32_t history; /* html.c: where its events are */
    uint8_t state;    /* enum trace_state; of linear pages: enum trace_class of the last fault */
};

struct trace_pages {
    struct trace_page *page; /* n of them, in the order in which they were first seen */
    uint32_t n, room;
    uint32_t *slot; /* index + 1 */
    uint32_t slots; /* a power of two */
};

/* The page, made if need be; NULL: no memory. */
struct trace_page *trace_pages_get(struct trace_pages *t, uint32_t space, uint32_t number);
/* NULL: the trace has not spoken of it. */
struct trace_page *trace_pages_find(const struct trace_pages *t, uint32_t space, uint32_t number);
void trace_pages_free(struct trace_pages *t);

static inline uint32_t trace_page_space(const struct trace_page *p)
{
    return p->key >> 20;
}
static inline uint32_t trace_page_number(const struct trace_page *p)
{
    return p->key & 0xfffff;
}

/*
 * Let a record change the states of the pages that it is about. 0 or -ENOMEM. The record is sound
 * (file.h). A space that was forked begins with its parent's states.
 */
int trace_pages_apply(struct trace_pages *t, const struct trace_rec *rec);

#endif
