/*
 * umbra pt: the page table of a running machine, row by row; saved to a file; two of them compared.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/ctl_words.h"
#include "vmm/cmd/opts.h"
#include "vmm/cmd/pt_words.h"
#include "vmm/control/client.h"
#include "vmm/pt_print.h"
#include "vmm/value.h"

enum { O_SOCKET = 1, O_DUMP, O_CR3, O_VIEW, O_DIFF, O_JSON, O_FOLLOW, O_ALLOW, O_ALL, O_LIBVIRT };

static const struct opt table[] = {
    {"socket", O_SOCKET, OPT_VALUE},   {"control", O_SOCKET, OPT_VALUE},
    {"cr3", O_CR3, OPT_VALUE},         {"view", O_VIEW, OPT_VALUE},
    {"diff", O_DIFF, OPT_NONE},        {"json", O_JSON, OPT_NONE},
    {"follow", O_FOLLOW, OPT_MAYBE},   {"dump", O_DUMP, OPT_VALUE},
    {"libvirt", O_LIBVIRT, OPT_VALUE}, {"allow", O_ALLOW, OPT_VALUE},
    {"all", O_ALL, OPT_NONE},          {NULL, 0, OPT_NONE},
};

/* --- asking the machine ---------------------------------------------------------------------- */

/* The lines of one answer. */
struct lines {
    char **line;
    size_t n, room;
};

static void lines_add(struct lines *l, char *text)
{
    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 256;
        char **line = realloc(l->line, room * sizeof *line);
        if (!line) {
            free(text);
            return;
        }
        l->line = line;
        l->room = room;
    }
    l->line[l->n++] = text;
}

static void lines_free(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->line[i]);
    free(l->line);
    *l = (struct lines){0};
}

static void on_part(void *ctx, const json_t *part)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)part, i, row)
    {
        char *text =
            json_is_string(row) ? strdup(json_string_value(row)) : json_dumps(row, JSON_COMPACT);
        if (text)
            lines_add(ctx, text);
    }
}

static json_t *request(const struct pt_args *a)
{
    static const char *const views[] = {"both", "kernel", "user"};
    json_t *o = json_pack("{s:I, s:I, s:s, s:b, s:b}", "first", (json_int_t)a->range.first, "last",
                          (json_int_t)a->range.last, "view", views[a->view], "diff", a->diff,
                          "text", !a->json);
    if (a->cr3_given)
        json_object_set_new(o, "cr3", json_integer((json_int_t)a->cr3));
    return o;
}

static int fetch(struct ctl_conn *c, const struct pt_args *a, struct lines *l, json_t **ret,
                 struct errmsg *err)
{
    return ctl_ask(c, "pt", request(a), on_part, l, ret, err);
}

static void print_once(const struct pt_args *a, const struct lines *l, const json_t *ret)
{
    const bool paging = json_is_true(json_object_get(ret, "paging"));
    if (a->json) {
        printf("{\"version\": 1, \"page_size\": 4096, \"rows\": [");
        for (size_t i = 0; i < l->n; i++)
            printf("%s\n  %s", i ? "," : "", l->line[i]);
        printf("\n]}\n");
        return;
    }
    pt_print_heading(paging, stdout);
    for (size_t i = 0; i < l->n; i++)
        puts(l->line[i]);
    pt_print_legend(paging, stdout);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has(const struct lines *sorted, const char *line)
{
    return sorted->n && bsearch(&line, sorted->line, sorted->n, sizeof *sorted->line, by_text);
}

static void print_change(const struct pt_args *a, char sign, const char *line)
{
    if (a->json)
        printf("{\"change\": \"%s\", \"row\": %s}\n", sign == '+' ? "new" : "gone", line);
    else
        printf("%c %s\n", sign, line);
}

/* What has changed since the answer before: rows that are gone, then those that are new. */
static void print_changes(const struct pt_args *a, const struct lines *was, const struct lines *now)
{
    struct lines sorted = {.n = now->n};
    sorted.line = malloc((now->n + 1) * sizeof *sorted.line);
    if (!sorted.line)
        return;
    memcpy(sorted.line, now->line, now->n * sizeof *now->line);
    qsort(sorted.line, sorted.n, sizeof *sorted.line, by_text);
    for (size_t i = 0; i < was->n; i++)
        if (!has(&sorted, was->line[i]))
            print_change(a, '-', was->line[i]);
    /* was is not needed in its order any more */
    qsort(was->line, was->n, sizeof *was->line, by_text);
    for (size_t i = 0; i < now->n; i++)
        if (!has(was, now->line[i]))
            print_change(a, '+', now->line[i]);
    free(sorted.line);
    fflush(stdout);
}

static int follow(struct ctl_conn *c, const struct pt_args *a, struct lines *was)
{
    struct errmsg err;
    int rc = 0;
    while (!rc && !ferror(stdout)) {
        const struct timespec t = {(time_t)(a->follow_ms / 1000),
                                   (long)(a->follow_ms % 1000) * 1000000};
        struct lines now = {0};
        nanosleep(&t, NULL);
        rc = fetch(c, a, &now, NULL, &err);
        if (!rc)
            print_changes(a, was, &now);
        lines_free(was);
        *was = now;
    }
    /* The machine's end is what --follow waits for. */
    return rc == -ENOTCONN || rc == -EREMOTEIO || rc == -ECONNRESET || rc == -EPIPE
               ? UMBRA_EXIT_OK
               : ctl_fail("pt", rc, &err);
}

static int show_live(const struct pt_args *a)
{
    struct ctl_conn *c;
    struct errmsg err;
    struct lines l = {0};
    json_t *ret = NULL;
    int rc = ctl_open(a->socket, &c, &err);
    if (rc < 0)
        return ctl_fail("pt", rc, &err);
    ctl_patience(c, 60000);
    rc = fetch(c, a, &l, &ret, &err);
    if (rc < 0) {
        rc = ctl_fail("pt", rc, &err);
    } else {
        print_once(a, &l, ret);
        fflush(stdout);
        if (a->follow_ms)
            rc = follow(c, a, &l);
    }
    json_decref(ret);
    lines_free(&l);
    ctl_close(c);
    return rc;
}

/* --- command line ---------------------------------------------------------------------------- */

static int take_option(struct pt_args *a, const struct opts *o, int id)
{
    static const char *const views[] = {"both", "kernel", "user", NULL};
    struct errmsg e;
    int rc = 0;
    switch (id) {
    case O_SOCKET: a->socket = o->value; break;
    case O_LIBVIRT: a->libvirt = o->value; break;
    case O_DUMP: a->dump = o->value; break;
    case O_ALLOW: a->allow = o->value; break;
    case O_ALL: a->all = true; break;
    case O_CR3:
        rc = value_u64(o->value, 0, UINT32_MAX, &a->cr3, &e);
        a->cr3_given = true;
        break;
    case O_VIEW: rc = value_choice(o->value, views, &a->view, &e); break;
    case O_DIFF: a->diff = true; break;
    case O_JSON: a->json = true; break;
    default:
        a->follow_ms = 1000;
        rc = o->value ? value_u64(o->value, 10, 3600000, &a->follow_ms, &e) : 0;
        break;
    }
    return rc < 0 ? cmd_usage("pt", "%s: %s", o->name, e.text) : 0;
}

static int parse(struct pt_args *a, int argc, char **argv)
{
    struct opts o;
    opts_init(&o, argc, argv, table);
    for (int id; (id = opts_next(&o)) != OPTS_END;) {
        if (id == OPTS_BAD)
            return cmd_usage("pt", "%s", o.err.text);
        if (id != OPTS_WORD) {
            const int rc = take_option(a, &o, id);
            if (rc)
                return rc;
        } else if (a->words < (int)(sizeof a->word / sizeof *a->word)) {
            a->word[a->words++] = o.value;
        } else {
            return cmd_usage("pt", "too many words: '%.80s'", o.value);
        }
    }
    return 0;
}

/* A range, if one is given, in a place of the words. */
static int take_range(struct pt_args *a, int at)
{
    struct errmsg e;
    if (a->words > at + 1)
        return cmd_usage("pt", "one range at a time: '%.80s' and '%.80s'", a->word[at],
                         a->word[at + 1]);
    if (a->words > at && value_range(a->word[at], &a->range, &e) < 0)
        return cmd_usage("pt", "%s", e.text);
    if (a->range.last > UINT32_MAX)
        return cmd_usage("pt", "'%.80s' ends above 4 GiB", a->word[at]);
    return 0;
}

static int cmd_pt_main(int argc, char **argv)
{
    struct pt_args a = {.range = {0, UINT32_MAX}};
    const bool compares = argc > 1 && strcmp(argv[1], "compare") == 0;
    int rc = parse(&a, argc, argv);
    const bool saves = a.words && strcmp(a.word[0], "save") == 0;
    if (!rc && !saves)
        rc = take_range(&a, compares ? 3 : 0);
    if (rc)
        return compares ? 2 : rc; /* 1 would say that they differ */
    if (compares)
        return pt_compare(&a);
    if (saves)
        return a.libvirt ? pt_save_libvirt(&a) : pt_save(&a);
    if (a.dump && (a.cr3_given || a.follow_ms || a.view))
        return cmd_usage("pt", "--dump goes without --cr3, --view and --follow");
    return a.dump ? pt_show_dump(&a) : show_live(&a);
}

const struct cmd cmd_pt = {
    .name = "pt",
    .args = "[RANGE] | save FILE | compare FILE FILE [RANGE]",
    .summary = "show the page table of a running machine, save it, compare two",
    .help =
        "Guest PTE, backing PTE and shadow PTE of each page of RANGE (all 4 GiB), and why they "
        "differ.\n"
        "RANGE is START-END (END is the last byte), START+LENGTH, or one address:\n"
        "0xc0000000+4M. The machine is stopped only while the rows are gathered.\n"
        "\n"
        "  --socket PATH          the machine's socket (also --control; see umbra help ctl)\n"
        "  --dump FILE            what was saved, instead of a machine's\n"
        "  --cr3 N                the tables that N points to, not the processor's CR3\n"
        "  --view both|kernel|user\n"
        "                         whose accesses: with one, the other's shadow is left out\n"
        "  --diff                 only rows where the CPU may not do what the guest's tables say, "
        "or\n"
        "                         does something else\n"
        "  --follow[=MS]          go on: each second (or MS milliseconds) the rows that have "
        "changed\n"
        "  --json                 as JSON\n"
        "\n"
        "save keeps the guest's page tables, and the rows, in FILE. compare holds two such files\n"
        "against each other as the guest sees its tables, entry by entry.\n"
        "\n"
        "  --libvirt URI          save DOMAIN FILE: from a domain of libvirt's, of QEMU's driver; "
        "it is\n"
        "                         stopped meanwhile ('' is the default URI)\n"
        "  --allow KIND,...       differences that may be; ad (accessed and dirty bits) always "
        "may.\n"
        "                         only-a, only-b, page, rights, bits, shape, table, absent, "
        "reserved,\n"
        "                         mode, cr3\n"
        "  --all                  show those, too\n"
        "\n"
        "Exit codes: 0 done; 1 bad command line; 2 the machine refused, or FILE is no dump; 3 no\n"
        "machine answers. compare, like diff(1): 0 no difference but those that may be; 1 they\n"
        "differ; 2 trouble.\n",
    .run = cmd_pt_main,
};
