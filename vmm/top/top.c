/* See top.h: asking, and what came of it since the last time. */
#include "vmm/top/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Whatever the machine sends, numbers are not below 0. */
static uint64_t number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    const double d = json_number_value(v);
    if (json_is_integer(v))
        return json_integer_value(v) < 0 ? 0 : (uint64_t)json_integer_value(v);
    return d > 0 && d < 1e18 ? (uint64_t)d : 0;
}

/* A text for the terminal: printable ASCII. */
static void text(char *to, size_t len, const char *from)
{
    size_t n = 0;
    for (; from && from[n] && n + 1 < len; n++)
        to[n] = from[n] >= 0x20 && from[n] < 0x7f ? from[n] : '?';
    to[n] = 0;
}

static double rate(const struct top *t, uint64_t now, uint64_t was)
{
    return t->seconds > 0 && now > was ? (double)(now - was) / t->seconds : 0;
}

/* --- status and stats ------------------------------------------------------------------------ */

static void take_status(struct top *t, const json_t *o)
{
    const uint64_t now = now_ns();
    text(t->state, sizeof t->state, json_string_value(json_object_get(o, "state")));
    text(t->engine, sizeof t->engine, json_string_value(json_object_get(o, "engine")));
    t->paging = json_is_true(json_object_get(o, "paging"));
    t->eip = number(o, "eip");
    t->cr3 = number(o, "cr3");
    t->uptime_ns = number(o, "uptime_ns");
    t->ram = number(o, "ram");
    t->pool = number(o, "pool");
    t->resident = number(o, "resident");
    t->swapped = number(o, "swapped");
    t->faults = number(o, "faults");
    t->seconds = (double)(t->looks ? now - t->at_ns : t->uptime_ns) / 1e9;
    t->at_ns = now;
}

static int by_rate(const void *a, const void *b)
{
    const struct top_path *x = a, *y = b;
    if (x->rate != y->rate)
        return x->rate < y->rate ? 1 : -1;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->name, y->name);
}

static uint64_t path_was(const struct top *t, const char *name)
{
    for (unsigned i = 0; i < t->was_paths; i++)
        if (strcmp(t->was_path[i].name, name) == 0)
            return t->was_path[i].count;
    return 0;
}

static void take_stats(struct top *t, const json_t *o)
{
    const json_t *counters = json_object_get(o, "counters");
    const json_t *row;
    size_t i;
    t->paths = 0;
    json_array_foreach(json_object_get(o, "faults"), i, row)
    {
        if (t->paths == TOP_PATHS)
            break;
        struct top_path *p = &t->path[t->paths++];
        text(p->name, sizeof p->name, json_string_value(json_object_get(row, "name")));
        p->count = number(row, "count");
        p->mean_ns = (double)number(row, "mean_ns");
        p->rate = rate(t, p->count, path_was(t, p->name));
    }
    memcpy(t->was_path, t->path, sizeof t->path);
    t->was_paths = t->paths;
    qsort(t->path, t->paths, sizeof *t->path, by_rate);
    t->out = number(counters, "pages written out");
    t->in = number(counters, "pages read back");
    t->out_rate = rate(t, t->out, t->was_out);
    t->in_rate = rate(t, t->in, t->was_in);
    t->fault_rate = rate(t, t->faults, t->was_faults);
    t->was_out = t->out;
    t->was_in = t->in;
    t->was_faults = t->faults;
}

static int by_region_rate(const void *a, const void *b)
{
    const struct top_region *x = a, *y = b;
    if (x->rate != y->rate)
        return x->rate < y->rate ? 1 : -1;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* [[region, faults], ...] */
static void take_regions(struct top *t, const json_t *o)
{
    const json_t *row;
    size_t i;
    t->regions = 0;
    json_array_foreach(json_object_get(o, "faults"), i, row)
    {
        const json_int_t index = json_integer_value(json_array_get(row, 0));
        const json_int_t count = json_integer_value(json_array_get(row, 1));
        if (index < 0 || index >= (json_int_t)TOP_REGIONS || count <= 0 ||
            t->regions == TOP_REGIONS)
            continue;
        struct top_region *r = &t->region[t->regions++];
        *r = (struct top_region){(uint32_t)index, (uint64_t)count,
                                 rate(t, (uint64_t)count, t->was_region[index])};
        t->was_region[index] = r->count;
    }
    qsort(t->region, t->regions, sizeof *t->region, by_region_rate);
}

int top_look(struct top *t, struct errmsg *err)
{
    static const struct {
        const char *command;
        void (*take)(struct top *t, const json_t *o);
    } asks[] = {{"status", take_status}, {"stats", take_stats}, {"regions", take_regions}};
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
        json_t *ret = NULL;
        const int rc = ctl_ask(t->conn, asks[i].command, NULL, NULL, NULL, &ret, err);
        if (rc < 0)
            return rc;
        asks[i].take(t, ret);
        json_decref(ret);
    }
    t->looks++;
    return 0;
}

/* --- the map --------------------------------------------------------------------------------- */

static enum top_kind kind_of(const char *verdict)
{
    static const struct {
        const char *word;
        enum top_kind kind;
    } kinds[] = {
        {"no-ram", TOP_NOTHING},     {"unmapped", TOP_NOTHING}, {"untouched", TOP_UNTOUCHED},
        {"zero", TOP_ZERO},          {"in-step", TOP_MAPPED},   {"supervisor", TOP_MAPPED},
        {"not-faulted", TOP_BACKED}, {"cow", TOP_COPY},         {"last-owner", TOP_COPY},
        {"clean", TOP_READ},         {"watched", TOP_TABLE},    {"swapped", TOP_SWAPPED},
    };
    for (size_t i = 0; verdict && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].word, verdict) == 0)
            return kinds[i].kind;
    return TOP_OTHER;
}

/* Pages that are alike. */
struct run {
    uint32_t page, pages;
    enum top_kind kind;
};

enum { RUNS_MAX = 1 << 20, ALL_PAGES = 1 << 20 };

struct mapping {
    struct run *run;
    size_t runs, room;
    bool failed;
    uint32_t pages[TOP_CELLS][TOP_KINDS];
};

static void take_rows(void *ctx, const json_t *value)
{
    struct mapping *m = ctx;
    const json_t *row;
    size_t i;
    json_array_foreach(value, i, row)
    {
        const enum top_kind k = kind_of(json_string_value(json_object_get(row, "verdict")));
        const uint64_t page = number(row, "linear") >> 12, pages = number(row, "pages");
        if (k == TOP_NOTHING || page >= ALL_PAGES || pages > ALL_PAGES - page || m->failed)
            continue;
        if (m->runs == m->room) {
            const size_t room = m->room ? 2 * m->room : 1024;
            struct run *more = room > RUNS_MAX ? NULL : realloc(m->run, room * sizeof *more);
            if (!more) {
                m->failed = true;
                continue;
            }
            m->run = more;
            m->room = room;
        }
        m->run[m->runs++] = (struct run){(uint32_t)page, (uint32_t)pages, k};
    }
}

/* The smallest cells with which all that is there fits. */
static uint64_t cell_pages(const struct mapping *m)
{
    uint64_t end = 0, pages = 1;
    for (size_t i = 0; i < m->runs; i++)
        if (m->run[i].page + m->run[i].pages > end)
            end = m->run[i].page + m->run[i].pages;
    while (pages * TOP_CELLS < end)
        pages *= 2;
    return pages;
}

static void fill_cells(struct top *t, struct mapping *m)
{
    const uint64_t each = t->cell_pages;
    for (size_t i = 0; i < m->runs; i++) {
        uint64_t page = m->run[i].page, left = m->run[i].pages;
        while (left > 0) {
            const uint64_t room = each - page % each, n = left < room ? left : room;
            m->pages[page / each][m->run[i].kind] += (uint32_t)n;
            page += n;
            left -= n;
        }
    }
}

/* What is there counts, however little it is; then what could be there. */
static enum top_kind most_of(const uint32_t pages[TOP_KINDS])
{
    int best = TOP_ZERO;
    for (int k = TOP_ZERO; k < TOP_KINDS; k++)
        if (pages[k] > pages[best])
            best = k;
    if (pages[best])
        return (enum top_kind)best;
    return pages[TOP_UNTOUCHED] ? TOP_UNTOUCHED : TOP_NOTHING;
}

int top_map(struct top *t, struct errmsg *err)
{
    struct mapping *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(err, -ENOMEM, "out of memory");
    const uint64_t start = now_ns();
    int rc = ctl_ask(t->conn, "pt", json_pack("{s:s}", "view", "kernel"), take_rows, m, NULL, err);
    if (!rc && m->failed)
        rc = err_set(err, -ENOMEM, "the machine's map has too many rows");
    if (!rc) {
        t->cell_pages = t->whole ? ALL_PAGES / TOP_CELLS : cell_pages(m);
        fill_cells(t, m);
        for (uint32_t i = 0; i < TOP_CELLS; i++)
            t->cell[i] = most_of(m->pages[i]);
        t->mapped = true;
        t->map_seconds = (double)(now_ns() - start) / 1e9;
    }
    free(m->run);
    free(m);
    return rc;
}

char top_kind_letter(enum top_kind k)
{
    return " .zobcrtS!"[k];
}

const char *top_kind_name(enum top_kind k)
{
    static const char *const names[TOP_KINDS] = {"",     "untouched", "zero",  "mapped",  "backed",
                                                 "copy", "read-only", "table", "swapped", "other"};
    return names[k];
}
