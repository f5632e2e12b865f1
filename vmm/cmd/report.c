/*
 * umbra report: a trace as one HTML page.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/cmd/output.h"
#include "vmm/trace/html.h"

enum { O_OUTPUT = 1 };

static const struct opt table[] = {
    {"o", O_OUTPUT, OPT_VALUE},
    {"output", O_OUTPUT, OPT_VALUE},
    {NULL, 0, OPT_NONE},
};

static int parse(int argc, char **argv, const char **path, const char **output)
{
    struct opts o;
    opts_init(&o, argc, argv, table);
    for (int id; (id = opts_next(&o)) != OPTS_END;) {
        if (id == O_OUTPUT)
            *output = o.value;
        else if (id == OPTS_BAD)
            return cmd_usage("report", "%s", o.err.text);
        else if (*path)
            return cmd_usage("report", "'%.80s' is one word too many", o.value);
        else
            *path = o.value;
    }
    if (!*path)
        return cmd_usage("report", "of which trace?");
    if (!*output)
        return cmd_usage("report", "where to? Give -o FILE.html");
    return 0;
}

static int cmd_report_main(int argc, char **argv)
{
    const char *path = NULL, *to = NULL;
    struct trace_file f;
    struct summary *s = NULL;
    struct errmsg err;
    struct output out;
    char note[200];
    int rc = parse(argc, argv, &path, &to);
    if (rc)
        return rc;
    rc = trace_file_open(path, &f, &err);
    if (rc < 0)
        return cmd_fail("report", UMBRA_EXIT_IMAGE, "%s", err.text);
    int failed = summary_make(&f, &s);
    if (!failed && !(rc = output_open(&out, "report", to))) {
        failed = trace_html(&f, s, out.file);
        rc = output_close(&out, "report");
    }
    if (failed < 0)
        rc = cmd_fail("report", failed == -ENOMEM ? UMBRA_EXIT_HOST : UMBRA_EXIT_IMAGE, "%s: %s",
                      path, strerror(-failed));
    if (trace_file_note(&f, note, sizeof note))
        fprintf(stderr, "umbra report: %s: %s\n", path, note);
    summary_free(s);
    trace_file_close(&f);
    return rc;
}

const struct cmd cmd_report = {
    .name = "report",
    .args = "FILE -o OUT.html",
    .summary = "make a page for a browser of what run --trace has recorded",
    .help = "FILE was made by \"umbra run IMAGE --trace FILE\". The page shows the address space "
            "(4 GiB at a\n"
            "glance, 4 MiB, one page with its history), faults over time by path, and what they "
            "cost. It\n"
            "is one file, needs no network, and stays below about 5 MB: of long traces the pages "
            "with\n"
            "the most events keep their history.\n"
            "\n"
            "  -o, --output OUT.html  where to\n"
            "\n"
            "Exit codes: 0 done, also if records are missing (standard error says so); 1 bad "
            "command line;\n"
            "2 FILE is no trace, of another version, or cannot be read; 3 the page cannot be "
            "written.\n",
    .run = cmd_report_main,
};
