/* The summary of a trace as tables and as JSON (summary.h). */
#include <inttypes.h>
#include <stdlib.h>

#include "vmm/trace/json.h"
#include "vmm/trace/summary.h"

enum { ROWS = 12 }; /* of what is shown over time */

static double mean(const struct hist *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0;
}

/* --- for people ------------------------------------------------------------------------------ */

static void print_head(const struct trace_file *f, const struct summary *s, FILE *out)
{
    const struct trace_head *h = &f->head;
    char clean[1024];
    fprintf(out, "image:   %s", text_clean(h->image, clean, sizeof clean));
    if (h->append[0])
        fprintf(out, " \"%s\"", text_clean(h->append, clean, sizeof clean));
    fprintf(out, "\nmachine: %" PRIu64 " MiB RAM, frame pool %" PRIu64 " KiB, engine %s\n",
            h->ram >> 20, h->pool >> 10, text_clean(h->engine, clean, sizeof clean));
    if (h->closed)
        fprintf(out, "end:     %s (status %" PRId32 ")\n", text_clean(h->end, clean, sizeof clean),
                h->exit_status);
    else
        fprintf(out, "end:     the trace has none: the machine runs, or was killed\n");
    fprintf(out, "trace:   %" PRIu64 " records over %.3f ms", s->records, s->ns / 1e6);
    if (f->lost)
        fprintf(out, "; %" PRIu64 " before them were overwritten (--trace-size)", f->lost);
    fprintf(out, "\n");
}

static void print_paths(const struct trace_file *f, const struct summary *s, FILE *out)
{
    unsigned order[SUMMARY_PATHS];
    const double us = f->ns_per_cycle / 1000;
    char name[160];

    summary_order(s, order);
    fprintf(out, "\n%-44s %10s %10s %9s %9s %9s\n", "faults by path", "count", "total us",
            "mean us", "p50 us", "p99 us");
    for (unsigned i = 0; i < s->paths; i++) {
        const struct summary_path *p = &s->path[order[i]];
        fprintf(out, "  %-42s %10" PRIu64 " %10.0f %9.2f %9.2f %9.2f\n",
                trace_path_name(&p->like, name, sizeof name), p->cost.count,
                (double)p->cost.sum * us, mean(&p->cost) * us,
                (double)hist_percentile(&p->cost, 0.5) * us,
                (double)hist_percentile(&p->cost, 0.99) * us);
    }
    fprintf(out, "  %-42s %10" PRIu64 "\n", "all", s->faults);
}

static void print_events(const struct summary *s, FILE *out)
{
    fprintf(out, "\n%-44s %10s\n", "changes of pages", "count");
    for (int k = TRACE_MONITOR; k < TRACE_SAMPLE; k++)
        if (s->events[k])
            fprintf(out, "  %-42s %10" PRIu64 "\n", trace_kind_name((enum trace_kind)k),
                    s->events[k]);
}

static const char *page_where(const struct trace_page *p, char *buf, size_t len)
{
    if (trace_page_space(p) == PAGES_LINEAR)
        snprintf(buf, len, "la  %08" PRIx32, trace_page_number(p) << PAGE_SHIFT);
    else
        snprintf(buf, len, "gpa %08" PRIx32 "  space %" PRIu32, trace_page_number(p) << PAGE_SHIFT,
                 trace_page_space(p));
    return buf;
}

static void print_hottest(const struct summary *s, size_t n, FILE *out)
{
    const struct trace_page **hot = calloc(n ? n : 1, sizeof(struct trace_page *));
    char where[64];
    const size_t have = hot ? summary_hottest(s, false, hot, n) : 0;
    if (have)
        fprintf(out, "\n%-44s %10s %10s %9s %9s  %s\n", "hottest guest-physical pages", "faults",
                "swap-ins", "out", "copies", "at the end");
    for (size_t i = 0; i < have; i++)
        fprintf(out, "  %-42s %10" PRIu32 " %10" PRIu32 " %9" PRIu32 " %9" PRIu32 "  %s\n",
                page_where(hot[i], where, sizeof where), hot[i]->faults, hot[i]->swap_ins,
                hot[i]->swap_outs, hot[i]->copies,
                trace_state_name((enum trace_state)hot[i]->state));
    free(hot);
}

static uint64_t bucket_faults(const struct summary_bucket *b)
{
    uint64_t n = 0;
    for (int c = 0; c < TRACE_CLASSES; c++)
        n += b->faults[c];
    return n;
}

static void print_over_time(const struct summary *s, FILE *out)
{
    const unsigned each = SUMMARY_BUCKETS / ROWS;
    fprintf(out, "\n%-24s %10s %10s %10s %10s %10s %10s\n", "over time, from ms", "faults",
            "pages used", "swap out", "swap in", "frames", "swapped");
    for (unsigned i = 0; i < SUMMARY_BUCKETS; i += each) {
        uint64_t faults = 0, in = 0, gone = 0, pages = 0;
        for (unsigned k = i; k < i + each; k++) {
            faults += bucket_faults(&s->bucket[k]);
            in += s->bucket[k].swap_in;
            gone += s->bucket[k].swap_out;
            if (s->bucket[k].pages > pages)
                pages = s->bucket[k].pages;
        }
        fprintf(out,
                "  %-22.3f %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu32
                " %10" PRIu32 "\n",
                s->ns / 1e6 * i / SUMMARY_BUCKETS, faults, pages, gone, in,
                s->bucket[i + each - 1].frames, s->bucket[i + each - 1].swapped);
    }
    fprintf(out, "  (pages used: the most different pages that faulted within %.3f ms of it)\n",
            s->ns / 1e6 / SUMMARY_BUCKETS);
}

void summary_print(const struct trace_file *f, const struct summary *s, size_t hottest, FILE *out)
{
    print_head(f, s, out);
    if (!s->records) {
        fprintf(out, "\nno records\n");
        return;
    }
    print_paths(f, s, out);
    print_events(s, out);
    print_hottest(s, hottest, out);
    print_over_time(s, out);
}

/* --- for programs ---------------------------------------------------------------------------- */

static void json_paths(const struct trace_file *f, const struct summary *s, FILE *out)
{
    unsigned order[SUMMARY_PATHS];
    const double ns = f->ns_per_cycle;
    char name[160];
    summary_order(s, order);
    for (unsigned i = 0; i < s->paths; i++) {
        const struct summary_path *p = &s->path[order[i]];
        fprintf(out, "%s{\"name\": ", i ? ", " : "");
        json_quote(trace_path_name(&p->like, name, sizeof name), out);
        fprintf(out,
                ", \"class\": \"%s\", \"count\": %" PRIu64
                ", \"mean_ns\": %.0f, \"p50_ns\": %.0f, \"p99_ns\": %.0f, \"max_ns\": %.0f}",
                trace_class_name(trace_class_of(&p->like)), p->cost.count, mean(&p->cost) * ns,
                (double)hist_percentile(&p->cost, 0.5) * ns,
                (double)hist_percentile(&p->cost, 0.99) * ns, (double)p->cost.max * ns);
    }
}

static void json_pages(const struct summary *s, size_t n, FILE *out)
{
    const struct trace_page **hot = calloc(n ? n : 1, sizeof(struct trace_page *));
    const size_t have = hot ? summary_hottest(s, false, hot, n) : 0;
    for (size_t i = 0; i < have; i++)
        fprintf(out,
                "%s{\"space\": %" PRIu32 ", \"gpa\": %" PRIu64 ", \"faults\": %" PRIu32
                ", \"swap_ins\": %" PRIu32 ", \"swap_outs\": %" PRIu32 ", \"copies\": %" PRIu32
                ", \"state\": \"%s\"}",
                i ? ", " : "", trace_page_space(hot[i]), gpa_of(trace_page_number(hot[i])),
                hot[i]->faults, hot[i]->swap_ins, hot[i]->swap_outs, hot[i]->copies,
                trace_state_name((enum trace_state)hot[i]->state));
    free(hot);
}

static void json_over_time(const struct summary *s, FILE *out)
{
    for (unsigned i = 0; i < SUMMARY_BUCKETS; i++) {
        const struct summary_bucket *b = &s->bucket[i];
        fprintf(out,
                "%s{\"ns\": %.0f, \"faults\": %" PRIu64 ", \"pages\": %" PRIu32
                ", \"swap_out\": %" PRIu32 ", \"swap_in\": %" PRIu32 ", \"frames\": %" PRIu32
                ", \"swapped\": %" PRIu32 "}",
                i ? ", " : "", s->ns * i / SUMMARY_BUCKETS, bucket_faults(b), b->pages, b->swap_out,
                b->swap_in, b->frames, b->swapped);
    }
}

void summary_print_json(const struct trace_file *f, const struct summary *s, size_t hottest,
                        FILE *out)
{
    const struct trace_head *h = &f->head;
    fprintf(out, "{\"image\": ");
    json_quote(h->image, out);
    fprintf(out, ", \"append\": ");
    json_quote(h->append, out);
    fprintf(out, ", \"engine\": ");
    json_quote(h->engine, out);
    fprintf(out, ", \"ram\": %" PRIu64 ", \"pool\": %" PRIu64 ", \"ended\": %s, \"end\": ", h->ram,
            h->pool, h->closed ? "true" : "false");
    json_quote(h->closed ? h->end : "", out);
    fprintf(out, ", \"status\": ");
    if (h->closed)
        fprintf(out, "%" PRId32, h->exit_status);
    else
        fprintf(out, "null");
    fprintf(out,
            ", \"records\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"missing\": %" PRIu64
            ", \"damaged\": %" PRIu64 ", \"ns\": %.0f, \"faults\": %" PRIu64 ", \"paths\": [",
            s->records, f->lost, f->missing, f->damaged, s->ns, s->faults);
    json_paths(f, s, out);
    fprintf(out, "], \"events\": {");
    const char *sep = "";
    for (int k = TRACE_FAULT; k < TRACE_KINDS; k++) {
        fprintf(out, "%s\"%s\": %" PRIu64, sep, trace_kind_word((enum trace_kind)k), s->events[k]);
        sep = ", ";
    }
    fprintf(out, "}, \"hottest\": [");
    json_pages(s, hottest, out);
    fprintf(out, "], \"over_time\": [");
    json_over_time(s, out);
    fprintf(out, "]}\n");
}
