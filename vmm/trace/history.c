/* See history.h. */
#include "vmm/trace/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- which pages, and how much of each ------------------------------------------------------- */

static int by_events(const void *a, const void *b)
{
    const struct trace_page *x = *(const struct trace_page *const *)a;
    const struct trace_page *y = *(const struct trace_page *const *)b;
    if (x->events != y->events)
        return x->events < y->events ? 1 : -1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int by_key(const void *a, const void *b)
{
    const struct history_page *x = a, *y = b;
    return x->page->key < y->page->key ? -1 : x->page->key > y->page->key;
}

static uint32_t at_most(uint32_t v, uint32_t most)
{
    return v < most ? v : most;
}

/* So many events of each page that all fit, at least 4. */
static uint32_t events_of_each(const struct trace_page *const *page, uint32_t n)
{
    uint32_t each = HISTORY_EACH;
    for (; each > 4; each /= 2) {
        uint64_t all = 0;
        for (uint32_t i = 0; i < n; i++)
            all += at_most(page[i]->events, each);
        if (all <= HISTORY_EVENTS)
            break;
    }
    return each;
}

static int choose(const struct summary *s, struct history *h)
{
    const uint32_t n = s->pages.n;
    const struct trace_page **list = calloc(n ? n : 1, sizeof(struct trace_page *));
    h->page = calloc(HISTORY_PAGES, sizeof *h->page);
    h->event = calloc(HISTORY_EVENTS, sizeof *h->event);
    if (!list || !h->page || !h->event) {
        free(list);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++)
        list[i] = &s->pages.page[i];
    qsort(list, n, sizeof(struct trace_page *), by_events);
    const uint32_t each = events_of_each(list, at_most(n, HISTORY_PAGES));
    uint32_t used = 0;
    while (h->pages < at_most(n, HISTORY_PAGES) && list[h->pages]->events > 0) {
        const struct trace_page *p = list[h->pages];
        const uint32_t room = at_most(p->events, each);
        if (room > HISTORY_EVENTS - used)
            break;
        h->page[h->pages++] = (struct history_page){.page = p, .at = used, .room = room};
        used += room;
    }
    free(list);
    qsort(h->page, h->pages, sizeof *h->page, by_key);
    return 0;
}

/* --- gathering ------------------------------------------------------------------------------- */

struct gathering {
    struct history *h;
};

/* The first page whose key is not below. */
static uint32_t lower_bound(const struct history *h, uint32_t key)
{
    uint32_t lo = 0, hi = h->pages;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (h->page[mid].page->key < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The event is one of pages number .. number+n-1. */
static void note(struct history *h, uint32_t space, uint32_t number, uint32_t n,
                 const struct trace_rec *rec)
{
    const uint32_t key = space << 20 | number;
    for (uint32_t i = lower_bound(h, key); i < h->pages && h->page[i].page->key - key < n; i++) {
        struct history_page *p = &h->page[i];
        h->event[p->at + p->count++ % p->room] = *rec;
    }
}

static bool gather(void *ctx, const struct trace_rec *rec)
{
    struct history *h = ((struct gathering *)ctx)->h;
    switch (rec->kind) {
    case TRACE_FAULT:
    case TRACE_GUEST_FAULT:
    case TRACE_MMIO:
        note(h, PAGES_LINEAR, rec->la >> PAGE_SHIFT, 1, rec);
        if (rec->kind == TRACE_FAULT)
            note(h, rec->space, rec->gfn, 1, rec);
        break;
    case TRACE_WRITE_PROTECT:
    case TRACE_MAPPED:
    case TRACE_UNMAPPED:
    case TRACE_PROTECTED: note(h, rec->space, rec->gfn, rec->info, rec); break;
    case TRACE_READ_AHEAD:
    case TRACE_SHADOW_TABLE:
    case TRACE_FORK:
    case TRACE_SWITCH:
    case TRACE_EXIT:
    case TRACE_SAMPLE: break;
    default:
        if (rec->space != TRACE_NO_SPACE)
            note(h, rec->space, rec->gfn, 1, rec);
    }
    return true;
}

int history_make(struct trace_file *f, const struct summary *s, struct history *h)
{
    memset(h, 0, sizeof *h);
    int rc = choose(s, h);
    if (!rc)
        rc = trace_file_read(f, gather, &(struct gathering){h});
    if (rc < 0)
        history_free(h);
    return rc;
}

void history_free(struct history *h)
{
    free(h->page);
    free(h->event);
}
