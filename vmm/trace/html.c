/* See html.h: the data of page.html, as JSON. */
#include "vmm/trace/html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/trace/history.h"
#include "vmm/trace/json.h"

enum {
    PAGES_OF_SPACE = 1 << 20,
    RUNS_MAX = 60000, /* of pages alike, in all pictures; beyond, cells get coarser */
    COARSEST = 10,    /* log2 of the pages of a cell */
    NAMES_MAX = 512,  /* of paths and kinds in histories; the last takes the rest */
    HOT = 24,
};

struct writing {
    struct trace_file *f;
    const struct summary *s;
    struct history h;
    FILE *out;
    uint8_t *state;              /* of one space's pages */
    unsigned coarse;             /* log2 of the pages of a cell */
    uint32_t seen[PAGES_SPACES]; /* pages of each space that the trace speaks of */
    struct trace_rec like[NAMES_MAX];
    unsigned names;
};

/* page.S */
extern const char trace_page_html[];
extern const uint64_t trace_page_html_bytes;

/* --- pictures of spaces ---------------------------------------------------------------------- */

/* The state that most of a cell's pages have, those apart that were not seen. */
static uint8_t cell_state(const uint8_t *state, unsigned n)
{
    unsigned count[16] = {0}, best = 0;
    for (unsigned i = 0; i < n; i++)
        count[state[i] & 15]++;
    for (unsigned k = 1; k < 16; k++)
        if (count[k] > (best ? count[best] : 0))
            best = k;
    return (uint8_t)best;
}

/* Into w->state; false: the trace speaks of no page of it. */
static bool load_space(struct writing *w, uint32_t space)
{
    const unsigned cell = 1u << w->coarse;
    if (!w->seen[space])
        return false;
    memset(w->state, 0, PAGES_OF_SPACE);
    for (uint32_t i = 0; i < w->s->pages.n; i++) {
        const struct trace_page *p = &w->s->pages.page[i];
        if (trace_page_space(p) == space)
            w->state[trace_page_number(p)] = p->state;
    }
    for (uint32_t at = 0; cell > 1 && at < PAGES_OF_SPACE; at += cell)
        memset(w->state + at, cell_state(w->state + at, cell), cell);
    return true;
}

/* Runs of seen pages that are alike: "gap,length,state" each. out NULL: only count them. */
static uint32_t put_runs(const struct writing *w, FILE *out)
{
    uint32_t runs = 0, behind = 0;
    for (uint32_t at = 0; at < PAGES_OF_SPACE;) {
        const uint8_t st = w->state[at];
        uint32_t n = 1;
        while (at + n < PAGES_OF_SPACE && w->state[at + n] == st)
            n++;
        if (st) {
            if (out)
                fprintf(out, "%s%" PRIu32 ",%" PRIu32 ",%u", runs ? "," : "", at - behind, n, st);
            behind = at + n;
            runs++;
        }
        at += n;
    }
    return runs;
}

/* The finest cells with which all pictures together are small enough. */
static void choose_coarse(struct writing *w)
{
    for (w->coarse = 0; w->coarse < COARSEST; w->coarse++) {
        uint64_t runs = 0;
        for (uint32_t space = 0; space < PAGES_SPACES; space++)
            if (load_space(w, space))
                runs += put_runs(w, NULL);
        if (runs <= RUNS_MAX)
            return;
    }
}

/* --- histories ------------------------------------------------------------------------------- */

static unsigned name_of(struct writing *w, const struct trace_rec *rec)
{
    const bool path = rec->kind == TRACE_FAULT || rec->kind == TRACE_MONITOR;
    for (unsigned i = 0; i < w->names; i++)
        if (w->like[i].kind == rec->kind &&
            (!path || (w->like[i].info == rec->info && w->like[i].result == rec->result)))
            return i;
    if (w->names == NAMES_MAX)
        return NAMES_MAX - 1;
    w->like[w->names] = *rec;
    return w->names++;
}

static void put_event(struct writing *w, const struct trace_rec *rec, const char *sep)
{
    const unsigned name = name_of(w, rec);
    fprintf(w->out, "%s%.0f,%u,", sep, trace_file_ns(w->f, rec->tsc) / 100, name);
    if (trace_is_fault(rec))
        fprintf(w->out, "%u,%" PRIu32 ",%" PRIu32 ",%.0f",
                (rec->error & PF_U ? 3u : 0u) + (rec->error & PF_W   ? 1u
                                                 : rec->error & PF_I ? 2u
                                                                     : 0u),
                rec->la, rec->eip, (double)rec->cost * w->f->ns_per_cycle);
    else
        fprintf(w->out, "6,%" PRIu32, rec->kind == TRACE_MONITOR ? 0 : rec->info);
}

/* [page, faults, swap-ins, swap-outs, copies, [events], how many are not kept] */
static void put_history(struct writing *w, const struct history_page *p, const char *sep)
{
    const uint32_t kept = history_kept(p);
    fprintf(w->out, "%s[%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",[", sep,
            trace_page_number(p->page), p->page->faults, p->page->swap_ins, p->page->swap_outs,
            p->page->copies);
    for (uint32_t i = 0; i < kept; i++)
        put_event(w, history_event(&w->h, p, i), i ? "," : "");
    fprintf(w->out, "],%" PRIu32 "]", p->count - kept);
}

/* The page to show first: the one with the most faults. */
static uint32_t hottest_of(const struct summary *s, uint32_t space)
{
    const struct trace_page *best = NULL;
    for (uint32_t i = 0; i < s->pages.n; i++) {
        const struct trace_page *p = &s->pages.page[i];
        if (trace_page_space(p) == space && (!best || p->faults > best->faults))
            best = p;
    }
    return best ? trace_page_number(best) : 0;
}

static void put_map(struct writing *w, uint32_t space, const char *sep)
{
    const bool linear = space == PAGES_LINEAR;
    if (linear)
        fprintf(w->out, "%s{\"name\":\"linear addresses\"", sep);
    else
        fprintf(w->out, "%s{\"name\":\"guest-physical memory%s%.0" PRIu32 "\"", sep,
                space ? ", space " : "", space);
    fprintf(w->out, ",\"linear\":%s,\"hot\":%" PRIu32 ",\"runs\":[", linear ? "true" : "false",
            hottest_of(w->s, space));
    put_runs(w, w->out);
    fprintf(w->out, "],\"detail\":[");
    const char *comma = "";
    for (uint32_t i = 0; i < w->h.pages; i++) {
        if (trace_page_space(w->h.page[i].page) != space)
            continue;
        put_history(w, &w->h.page[i], comma);
        comma = ",\n";
    }
    fprintf(w->out, "]}");
}

/* Which picture a space became; spaces without pages have none. */
static void put_maps(struct writing *w, uint32_t map_of[PAGES_SPACES])
{
    uint32_t n = 0;
    fprintf(w->out, ",\n\"maps\":[");
    for (uint32_t space = 0; space < PAGES_SPACES; space++) {
        if (!load_space(w, space))
            continue;
        map_of[space] = n;
        put_map(w, space, n++ ? ",\n" : "");
    }
    if (!n) { /* an empty trace has an empty picture */
        memset(w->state, 0, PAGES_OF_SPACE);
        put_map(w, 0, "");
    }
    fprintf(w->out, "]");
}

/* --- names ----------------------------------------------------------------------------------- */

static const char *detail_name(unsigned kind)
{
    switch (kind) {
    case TRACE_MERGED: return "frame";
    case TRACE_WRITE_PROTECT:
    case TRACE_MAPPED:
    case TRACE_UNMAPPED:
    case TRACE_PROTECTED: return "pages:";
    default: return "slot";
    }
}

static void put_names(struct writing *w)
{
    char name[160];
    fprintf(w->out, ",\n\"names\":[");
    for (unsigned i = 0; i < w->names; i++) {
        fprintf(w->out, "%s\"%s%s\"", i ? "," : "",
                w->like[i].kind == TRACE_MONITOR ? "monitor, " : "",
                trace_path_name(&w->like[i], name, sizeof name));
    }
    fprintf(w->out, "],\"detail\":[");
    for (unsigned i = 0; i < w->names; i++)
        fprintf(w->out, "%s\"%s\"", i ? "," : "", detail_name(w->like[i].kind));
    fprintf(w->out, "]");
}

static void put_head(const struct writing *w)
{
    const struct trace_head *h = &w->f->head;
    fprintf(w->out, "{\"head\":{\"image\":");
    json_quote(h->image, w->out);
    fprintf(w->out, ",\"append\":");
    json_quote(h->append, w->out);
    fprintf(w->out, ",\"engine\":");
    json_quote(h->engine, w->out);
    fprintf(w->out, ",\"end\":");
    json_quote(h->closed ? h->end : "", w->out);
    fprintf(w->out,
            ",\"closed\":%s,\"status\":%" PRId32 ",\"ram\":%" PRIu64 ",\"pool\":%" PRIu64
            ",\"faults\":%" PRIu64 ",\"ns\":%.0f,\"lost\":%" PRIu64 ",\"missing\":%" PRIu64
            ",\"damaged\":%" PRIu64 ",\"coarse\":%s}",
            h->closed ? "true" : "false", h->exit_status, h->ram, h->pool, w->s->faults, w->s->ns,
            w->f->lost, w->f->missing, w->f->damaged, w->coarse ? "true" : "false");
    fprintf(w->out, ",\n\"classes\":[");
    for (int c = 0; c < TRACE_CLASSES; c++)
        fprintf(w->out, "%s\"%s\"", c ? "," : "", trace_class_name((enum trace_class)c));
    fprintf(w->out, "],\"states\":[");
    for (int c = 0; c < TRACE_STATES; c++)
        fprintf(w->out, "%s\"%s\"", c ? "," : "", trace_state_name((enum trace_state)c));
    fprintf(w->out, "]");
}

/* --- figures --------------------------------------------------------------------------------- */

#define PUT_SERIES(w, name, member)                                                                \
    do {                                                                                           \
        fprintf((w)->out, "%s", name);                                                             \
        for (unsigned i = 0; i < SUMMARY_BUCKETS; i++)                                             \
            fprintf((w)->out, "%s%" PRIu32, i ? "," : "[", (w)->s->bucket[i].member);              \
        fprintf((w)->out, "]");                                                                    \
    } while (0)

static void put_time(const struct writing *w)
{
    fprintf(w->out, ",\n\"time\":{\"n\":%d,\"faults\":[", SUMMARY_BUCKETS);
    for (int c = 0; c < TRACE_CLASSES; c++)
        PUT_SERIES(w, c ? "," : "", faults[c]);
    PUT_SERIES(w, "],\"swap_out\":", swap_out);
    PUT_SERIES(w, ",\"swap_in\":", swap_in);
    PUT_SERIES(w, ",\"pages\":", pages);
    PUT_SERIES(w, ",\"frames\":", frames);
    PUT_SERIES(w, ",\"swapped\":", swapped);
    fprintf(w->out, "}");
}

static void put_cost(const struct writing *w, const struct hist *h)
{
    const double ns = w->f->ns_per_cycle;
    fprintf(w->out,
            "\"count\":%" PRIu64
            ",\"total\":%.0f,\"mean\":%.0f,\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f",
            h->count, (double)h->sum * ns, h->count ? (double)h->sum / (double)h->count * ns : 0,
            (double)hist_percentile(h, 0.5) * ns, (double)hist_percentile(h, 0.99) * ns,
            (double)h->max * ns);
}

static void put_costs(const struct writing *w)
{
    const char *sep = "";
    fprintf(w->out, ",\n\"costs\":[");
    for (int c = 0; c < TRACE_CLASSES; c++) {
        const struct hist *h = &w->s->by_class[c];
        if (!h->count)
            continue;
        fprintf(w->out, "%s{\"cls\":%d,", sep, c);
        put_cost(w, h);
        fprintf(w->out, ",\"hist\":[");
        const char *comma = "";
        for (unsigned b = 0; b < HIST_BUCKETS; b++)
            if (h->bucket[b]) {
                fprintf(w->out, "%s[%.0f,%" PRIu32 "]", comma,
                        (double)hist_bucket_value(b) * w->f->ns_per_cycle, h->bucket[b]);
                comma = ",";
            }
        fprintf(w->out, "]}");
        sep = ",";
    }
    fprintf(w->out, "]");
}

static void put_paths(const struct writing *w)
{
    unsigned order[SUMMARY_PATHS];
    char name[160];
    summary_order(w->s, order);
    fprintf(w->out, ",\n\"paths\":[");
    for (unsigned i = 0; i < w->s->paths; i++) {
        const struct summary_path *p = &w->s->path[order[i]];
        fprintf(w->out, "%s{\"name\":\"%s\",\"cls\":%d,", i ? ",\n" : "",
                trace_path_name(&p->like, name, sizeof name), (int)trace_class_of(&p->like));
        put_cost(w, &p->cost);
        fprintf(w->out, "}");
    }
    fprintf(w->out, "],\n\"events\":[");
    const char *sep = "";
    for (int k = TRACE_MONITOR; k < TRACE_SAMPLE; k++) {
        if (!w->s->events[k])
            continue;
        fprintf(w->out, "%s[\"%s\",%" PRIu64 "]", sep, trace_kind_name((enum trace_kind)k),
                w->s->events[k]);
        sep = ",";
    }
    fprintf(w->out, "]");
}

static void put_hot(const struct writing *w, const uint32_t map_of[PAGES_SPACES])
{
    const struct trace_page *hot[HOT];
    const size_t n = summary_hottest(w->s, false, hot, HOT);
    fprintf(w->out, ",\n\"hot\":[");
    for (size_t i = 0; i < n; i++)
        fprintf(w->out,
                "%s{\"map\":%" PRIu32 ",\"page\":%" PRIu32 ",\"faults\":%" PRIu32
                ",\"ins\":%" PRIu32 ",\"outs\":%" PRIu32 ",\"copies\":%" PRIu32 ",\"state\":%u}",
                i ? ",\n" : "", map_of[trace_page_space(hot[i])], trace_page_number(hot[i]),
                hot[i]->faults, hot[i]->swap_ins, hot[i]->swap_outs, hot[i]->copies, hot[i]->state);
    fprintf(w->out, "]");
}

/* --- the page -------------------------------------------------------------------------------- */

static void put_page(struct writing *w)
{
    static const char mark[] = "@DATA@";
    const size_t len = trace_page_html_bytes;
    const char *at = memmem(trace_page_html, len, mark, sizeof mark - 1);
    uint32_t map_of[PAGES_SPACES] = {0};

    fwrite(trace_page_html, 1, (size_t)(at - trace_page_html), w->out);
    for (uint32_t i = 0; i < w->s->pages.n; i++)
        w->seen[trace_page_space(&w->s->pages.page[i])]++;
    choose_coarse(w);
    put_head(w);
    put_time(w);
    put_costs(w);
    put_paths(w);
    put_maps(w, map_of);
    put_names(w);
    put_hot(w, map_of);
    fprintf(w->out, "}");
    at += sizeof mark - 1;
    fwrite(at, 1, len - (size_t)(at - trace_page_html), w->out);
}

int trace_html(struct trace_file *f, const struct summary *s, FILE *out)
{
    struct writing *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->f = f;
    w->s = s;
    w->out = out;
    w->state = malloc(PAGES_OF_SPACE);
    int rc = w->state ? history_make(f, s, &w->h) : -ENOMEM;
    if (!rc) {
        put_page(w);
        history_free(&w->h);
    }
    free(w->state);
    free(w);
    return rc;
}
