/*
 * umbra trace: what umbra run --trace has recorded, as a summary, as lines, or for other programs.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/cmd/output.h"
#include "vmm/trace/export.h"
#include "vmm/trace/summary.h"
#include "vmm/value.h"

enum { O_JSON = 1, O_TOP, O_OUTPUT, O_CHROME };
enum { HOTTEST = 10, HOTTEST_MAX = 10000 };

static const struct opt table[] = {
    {"json", O_JSON, OPT_NONE},      {"top", O_TOP, OPT_VALUE},      {"o", O_OUTPUT, OPT_VALUE},
    {"output", O_OUTPUT, OPT_VALUE}, {"chrome", O_CHROME, OPT_NONE}, {NULL, 0, OPT_NONE},
};

struct trace_args {
    const char *word, *path, *output;
    enum what { REPORT, DUMP, EXPORT } what;
    bool json, chrome, top_given;
    size_t top;
};

static int take(struct trace_args *a, struct opts *o, int id)
{
    struct errmsg e;
    uint64_t n = 0;
    switch (id) {
    case O_JSON: a->json = true; break;
    case O_CHROME: a->chrome = true; break;
    case O_OUTPUT: a->output = o->value; break;
    case O_TOP:
        if (value_u64(o->value, 0, HOTTEST_MAX, &n, &e) < 0)
            return cmd_usage("trace", "--top: %s", e.text);
        a->top = (size_t)n;
        a->top_given = true;
        break;
    case OPTS_WORD:
        if (!a->word)
            a->word = o->value;
        else if (!a->path)
            a->path = o->value;
        else
            return cmd_usage("trace", "'%.80s' is one word too many", o->value);
        break;
    default: return cmd_usage("trace", "%s", o->err.text);
    }
    return 0;
}

static int parse(struct trace_args *a, int argc, char **argv)
{
    static const char *const whats[] = {"report", "dump", "export", NULL};
    struct opts o;
    struct errmsg e;
    int rc = 0, choice;
    opts_init(&o, argc, argv, table);
    for (int id; !rc && (id = opts_next(&o)) != OPTS_END;)
        rc = take(a, &o, id);
    if (rc)
        return rc;
    if (!a->word)
        return cmd_usage("trace", "report, dump, or export?");
    if (value_choice(a->word, whats, &choice, &e) < 0)
        return cmd_usage("trace", "%s", e.text);
    a->what = (enum what)choice;
    if (!a->path)
        return cmd_usage("trace", "%s of which file?", a->word);
    if (a->chrome != (a->what == EXPORT))
        return cmd_usage("trace", a->chrome ? "--chrome is for export" : "export needs --chrome");
    if (a->top_given && a->what != REPORT)
        return cmd_usage("trace", "--top is for report");
    if (a->json && a->what == EXPORT)
        return cmd_usage("trace", "--json is for report and dump; --chrome is JSON already");
    return 0;
}

static int report(const struct trace_args *a, struct trace_file *f, FILE *out)
{
    struct summary *s;
    const int rc = summary_make(f, &s);
    if (rc < 0)
        return rc;
    if (a->json)
        summary_print_json(f, s, a->top, out);
    else
        summary_print(f, s, a->top, out);
    summary_free(s);
    return 0;
}

static int work(const struct trace_args *a, struct trace_file *f, FILE *out)
{
    switch (a->what) {
    case REPORT: return report(a, f, out);
    case DUMP: return a->json ? trace_dump_json(f, out) : trace_dump(f, out);
    default: return trace_export_chrome(f, out);
    }
}

static int cmd_trace_main(int argc, char **argv)
{
    struct trace_args a = {.top = HOTTEST};
    struct trace_file f;
    struct errmsg err;
    char note[200];
    int rc = parse(&a, argc, argv);
    if (rc)
        return rc;
    rc = trace_file_open(a.path, &f, &err);
    if (rc < 0)
        return cmd_fail("trace", UMBRA_EXIT_IMAGE, "%s", err.text);
    struct output out;
    rc = output_open(&out, "trace", a.output);
    if (!rc) {
        const int failed = work(&a, &f, out.file);
        rc = output_close(&out, "trace");
        if (failed < 0)
            rc = cmd_fail("trace", failed == -ENOMEM ? UMBRA_EXIT_HOST : UMBRA_EXIT_IMAGE, "%s: %s",
                          a.path, strerror(-failed));
        if (trace_file_note(&f, note, sizeof note))
            fprintf(stderr, "umbra trace: %s: %s\n", a.path, note);
    }
    trace_file_close(&f);
    return rc;
}

const struct cmd cmd_trace = {
    .name = "trace",
    .args = "report|dump|export FILE [options]",
    .summary = "summarize, list or convert what run --trace has recorded",
    .help =
        "FILE was made by \"umbra run IMAGE --trace FILE\": every fault and every change of a "
        "page's\n"
        "state, the last --trace-size of them. The machine may have ended, been killed, or run "
        "still.\n"
        "\n"
        "  report                 faults by path with mean, p50 and p99; changes of pages; the "
        "hottest\n"
        "                         pages; faults, swap traffic and pages used over time\n"
        "  dump                   a line for each record\n"
        "  export --chrome        a Chrome trace, for Perfetto (ui.perfetto.dev)\n"
        "\n"
        "  --json                 report: one object; dump: one object in each line\n"
        "  --top N                report: so many of the hottest pages (10)\n"
        "  -o, --output FILE      write to FILE, not to standard output\n"
        "\n"
        "\"umbra report\" makes a page for a browser of it.\n"
        "\n"
        "Exit codes: 0 done, also if records are missing (standard error says so); 1 bad command "
        "line;\n"
        "2 FILE is no trace, of another version, or cannot be read; 3 the output cannot be "
        "written.\n",
    .run = cmd_trace_main,
};
