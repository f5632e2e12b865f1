/* The last events of the pages that have most of them, for a report of bounded size. */
#ifndef UMBRA_VMM_TRACE_HISTORY_H
#define UMBRA_VMM_TRACE_HISTORY_H

#include "vmm/trace/summary.h"

#define HISTORY_EVENTS 80000u /* in all */
#define HISTORY_PAGES  20000u
#define HISTORY_EACH   48u /* of one page, where there is room */

struct history_page {
    const struct trace_page *page;
    uint32_t at;    /* its first place in event[] */
    uint32_t room;  /* places */
    uint32_t count; /* events so far; place count % room is next */
};

struct history {
    struct history_page *page; /* by key */
    uint32_t pages;
    struct trace_rec *event;
};

/* 0, -ENOMEM, or an errno of the trace. */
int history_make(struct trace_file *f, const struct summary *s, struct history *h);
void history_free(struct history *h);

static inline uint32_t history_kept(const struct history_page *p)
{
    return p->count < p->room ? p->count : p->room;
}
/* Event i of a page, 0 the oldest that is kept. */
static inline const struct trace_rec *history_event(const struct history *h,
                                                    const struct history_page *p, uint32_t i)
{
    const uint32_t first = p->count > p->room ? p->count % p->room : 0;
    return &h->event[p->at + (first + i) % p->room];
}

#endif
