/* What came of test guests, as TAP and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "vmm/cmd/test_guest.h"

/* --- TAP ------------------------------------------------------------------------------------- */

static void print_last(const struct test_guest *g)
{
    const unsigned from = g->lines > TEST_LAST ? g->lines - TEST_LAST : 0;
    for (unsigned i = from; i < g->lines; i++)
        printf("# | %s\n", g->last[i % TEST_LAST]);
}

unsigned test_report_tap(const struct test_guest *g, unsigned first, unsigned *points)
{
    unsigned n = first, failed = g->failed;
    char why[200];

    for (unsigned i = 0; i < g->points; i++) {
        const struct test_point *p = &g->point[i];
        printf("%sok %u - %s: %s\n", p->ok ? "" : "not ", n++, g->name, p->text ? p->text : "");
        if (p->notes)
            fputs(p->notes, stdout);
    }
    if (test_verdict(g, why, sizeof why)) {
        printf("not ok %u - %s: %s\n", n++, g->name, why);
        print_last(g);
        failed++;
    }
    *points = n - first;
    return failed;
}

/* --- JSON ------------------------------------------------------------------------------------ */

/* Lines are plain ASCII already, paths may be anything. */
static void json_string(const char *s)
{
    putchar('"');
    for (; s && *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void json_points(const struct test_guest *g)
{
    printf("\"tests\": [");
    for (unsigned i = 0; i < g->points; i++) {
        const struct test_point *p = &g->point[i];
        printf("%s\n     {\"ok\": %s, \"skipped\": %s, \"name\": ", i ? "," : "",
               p->ok ? "true" : "false", p->skip ? "true" : "false");
        json_string(p->text);
        if (p->notes) {
            printf(", \"notes\": ");
            json_string(p->notes);
        }
        putchar('}');
    }
    printf("]");
}

static void json_guest(const struct test_guest *g)
{
    char why[200];
    const char *verdict = test_verdict(g, why, sizeof why);

    printf("\n  {\"name\": ");
    json_string(g->name);
    printf(", \"image\": ");
    json_string(g->path);
    printf(", \"needs\": ");
    json_string(g->needs);
    printf(", \"passed\": %s, \"seconds\": %.3f, ", g->failed || verdict ? "false" : "true",
           (double)(g->ended - g->started) / 1e9);
    if (WIFEXITED(g->status))
        printf("\"exit_status\": %d, \"signal\": null, ", WEXITSTATUS(g->status));
    else
        printf("\"exit_status\": null, \"signal\": %d, ", WTERMSIG(g->status));
    printf("\"why\": ");
    if (verdict)
        json_string(verdict);
    else
        printf("null");
    printf(", \"last_lines\": [");
    for (unsigned i = g->lines > TEST_LAST ? g->lines - TEST_LAST : 0; verdict && i < g->lines;
         i++) {
        json_string(g->last[i % TEST_LAST]);
        if (i + 1 < g->lines)
            printf(", ");
    }
    printf("],\n   ");
    json_points(g);
    putchar('}');
}

void test_report_json(const struct test_guest *g, unsigned n, const struct test_opts *o)
{
    unsigned points = 0, failed = 0, skipped = 0;
    char why[200];

    printf("{\"version\": 1, \"engine\": ");
    json_string(o->engine ? o->engine : "auto");
    printf(", \"guests\": [");
    for (unsigned i = 0; i < n; i++) {
        const bool broken = test_verdict(&g[i], why, sizeof why) != NULL;
        if (i)
            putchar(',');
        json_guest(&g[i]);
        points += g[i].points + broken;
        failed += g[i].failed + broken;
        skipped += g[i].skipped;
    }
    printf("],\n \"results\": %u, \"failed\": %u, \"skipped\": %u}\n", points, failed, skipped);
}
