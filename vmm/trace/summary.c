/* See summary.h. */
#include "vmm/trace/summary.h"

#include <errno.h>
#include <stdlib.h>

#include "mm/mm.h"

struct making {
    struct trace_file *f;
    struct summary *s;
    double per_bucket; /* ns */
    int err;
};

/* --- the span -------------------------------------------------------------------------------- */

static bool find_end(void *ctx, const struct trace_rec *rec)
{
    struct making *m = ctx;
    const double ns = trace_file_ns(m->f, rec->tsc + (trace_is_fault(rec) ? rec->cost : 0));
    if (ns > m->s->ns)
        m->s->ns = ns;
    return true;
}

/* --- one record ------------------------------------------------------------------------------ */

static bool same_path(const struct trace_rec *a, const struct trace_rec *b)
{
    return a->kind == b->kind && a->result == b->result && a->info == b->info;
}

static void add_path(struct summary *s, const struct trace_rec *rec)
{
    unsigned i = 0;
    while (i < s->paths && !same_path(&s->path[i].like, rec))
        i++;
    if (i == SUMMARY_PATHS)
        i--;
    if (i == s->paths) {
        s->path[i].like = *rec;
        s->paths++;
    }
    hist_add(&s->path[i].cost, rec->cost);
}

static void add_fault(struct summary *s, struct summary_bucket *b, const struct trace_rec *rec)
{
    const enum trace_class c = trace_class_of(rec);
    s->faults++;
    add_path(s, rec);
    hist_add(&s->by_class[c], rec->cost);
    b->faults[c]++;
}

/* A page that faults counts once in each slice. */
static void count_page(struct summary *s, struct summary_bucket *b, const struct trace_rec *rec)
{
    struct trace_page *p =
        rec->kind == TRACE_FAULT ? trace_pages_find(&s->pages, rec->space, rec->gfn) : NULL;
    const uint32_t now = (uint32_t)(b - s->bucket) + 1;
    if (p && p->bucket != now) {
        p->bucket = now;
        b->pages++;
    }
}

static bool add(void *ctx, const struct trace_rec *rec)
{
    struct making *m = ctx;
    struct summary *s = m->s;
    const double at = trace_file_ns(m->f, rec->tsc) / m->per_bucket;
    struct summary_bucket *b =
        &s->bucket[at < SUMMARY_BUCKETS - 1 ? (unsigned)at : SUMMARY_BUCKETS - 1];

    s->records++;
    s->events[rec->kind]++;
    if (trace_is_fault(rec))
        add_fault(s, b, rec);
    if (rec->kind == TRACE_FAULT || rec->kind == TRACE_MONITOR)
        b->swap_in += trace_class_of(rec) == CLASS_MEMORY ||
                      (trace_class_of(rec) == CLASS_DISK && !(rec->info & MM_PATH_FILE));
    b->swap_out += rec->kind == TRACE_SWAP_OUT;
    if (rec->kind == TRACE_SAMPLE) {
        b->sampled = true;
        b->frames = rec->gfn;
        b->swapped = rec->info;
    }
    m->err = trace_pages_apply(&s->pages, rec);
    count_page(s, b, rec);
    return !m->err;
}

/* Slices without a sample have what the last one before them had. */
static void fill_samples(struct summary *s)
{
    const struct summary_bucket *last = NULL;
    for (unsigned i = 0; i < SUMMARY_BUCKETS; i++) {
        struct summary_bucket *b = &s->bucket[i];
        if (b->sampled) {
            last = b;
        } else if (last) {
            b->frames = last->frames;
            b->swapped = last->swapped;
        }
    }
}

int summary_make(struct trace_file *f, struct summary **out)
{
    struct summary *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    struct making m = {.f = f, .s = s};
    int rc = trace_file_read(f, find_end, &m);
    m.per_bucket = s->ns > 0 ? s->ns / SUMMARY_BUCKETS : 1;
    if (!rc)
        rc = trace_file_read(f, add, &m);
    if (!rc)
        rc = m.err;
    if (rc < 0) {
        summary_free(s);
        return rc;
    }
    fill_samples(s);
    *out = s;
    return 0;
}

void summary_free(struct summary *s)
{
    if (!s)
        return;
    trace_pages_free(&s->pages);
    free(s);
}

/* --- orders --------------------------------------------------------------------------- */

static bool hotter(const struct trace_page *a, const struct trace_page *b)
{
    return a->faults != b->faults   ? a->faults > b->faults
           : a->events != b->events ? a->events > b->events
                                    : a->key < b->key;
}

size_t summary_hottest(const struct summary *s, bool linear, const struct trace_page **out,
                       size_t n)
{
    size_t have = 0;
    for (uint32_t i = 0; i < s->pages.n; i++) {
        const struct trace_page *p = &s->pages.page[i];
        if ((trace_page_space(p) == PAGES_LINEAR) != linear || p->faults == 0)
            continue;
        if (have == n && (n == 0 || !hotter(p, out[n - 1])))
            continue;
        size_t at = have < n ? have++ : n - 1;
        for (; at > 0 && hotter(p, out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = p;
    }
    return have;
}

void summary_order(const struct summary *s, unsigned order[SUMMARY_PATHS])
{
    for (unsigned i = 0; i < s->paths; i++) {
        unsigned at = i;
        for (; at > 0 && s->path[order[at - 1]].cost.sum < s->path[i].cost.sum; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}
