/* umbra pt save, pt compare, and pt --dump: page tables in files. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/ctl_words.h"
#include "vmm/cmd/pt_words.h"
#include "vmm/control/client.h"
#include "vmm/pt_print.h"
#include "vmm/ptcmp.h"
#include "vmm/value.h"

/* --- save ------------------------------------------------------------------------------------ */

struct bytes {
    uint8_t *data;
    size_t len, room;
    bool bad;
};

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void on_part(void *ctx, const json_t *part)
{
    struct bytes *b = ctx;
    const char *s = json_string_value(part);
    const size_t len = s ? strlen(s) : 0;
    if (!s || len % 4 || b->len + len > b->room) {
        uint8_t *data = s && len % 4 == 0 ? realloc(b->data, 2 * b->room + len) : NULL;
        if (!data) {
            b->bad = true;
            return;
        }
        b->data = data;
        b->room = 2 * b->room + len;
    }
    for (size_t i = 0; i < len; i += 4) {
        uint32_t v = 0;
        int have = 0;
        for (; have < 4 && s[i + (size_t)have] != '='; have++) {
            const int d = digit(s[i + (size_t)have]);
            b->bad |= d < 0;
            v |= (uint32_t)(d & 63) << (18 - 6 * have);
        }
        for (int k = 0; k < have - 1; k++)
            b->data[b->len++] = (uint8_t)(v >> (16 - 8 * k));
    }
}

/* A dump from the running machine, malloc'ed. 0 or negative. */
static int fetch(const struct pt_args *a, struct bytes *b, struct errmsg *err)
{
    struct ctl_conn *c;
    int rc = ctl_open(a->socket, &c, err);
    if (rc < 0)
        return rc;
    ctl_patience(c, 60000);
    rc = ctl_ask(c, "dump", NULL, on_part, b, NULL, err);
    ctl_close(c);
    if (!rc && b->bad)
        rc = err_set(err, -EPROTO, "the machine's answer is no dump");
    return rc;
}

int pt_save(const struct pt_args *a)
{
    struct bytes b = {0};
    struct errmsg err;
    struct ptdump *d;
    if (a->words != 2)
        return cmd_usage("pt", a->words < 2 ? "save: to which file?" : "save: one file at a time");
    int rc = fetch(a, &b, &err);
    if (rc < 0) {
        free(b.data);
        return ctl_fail("pt", rc, &err);
    }
    const size_t len = b.len;
    rc = ptdump_save(a->word[1], b.data, len, &err);
    if (rc < 0) {
        free(b.data);
        return cmd_fail("pt", UMBRA_EXIT_HOST, "save: %s", err.text);
    }
    rc = ptdump_parse(b.data, len, &d, &err);
    if (rc < 0)
        return cmd_fail("pt", UMBRA_EXIT_HOST, "save: what the machine sent is wrong: %s",
                        err.text);
    printf("%s: %u page tables, %u rows, CR3 %08x, from %s\n", a->word[1], d->tables, d->rows,
           d->info.cr3, d->info.source);
    ptdump_free(d);
    return UMBRA_EXIT_OK;
}

/* --- show ------------------------------------------------------------------------------------ */

/* A dump without rows: what the guest's tables say, and nothing beside. */
static void row_of_walk(const struct tables_walk *w, la_t la, bool paging, struct pt_row *r)
{
    *r = (struct pt_row){.la = la,
                         .pages = 1,
                         .guest_paging = paging,
                         .guest_maps = w->end == TABLES_MAPPED,
                         .large = w->large,
                         .guest = w->large ? w->pde.raw : w->pte.raw,
                         .gpa = w->gpa & ~(gpa_t)PAGE_MASK,
                         .frame = FRAME_NONE,
                         .frames_run = true,
                         .gpas_run = true,
                         .slots_run = true,
                         .verdict = w->end == TABLES_MAPPED ? PT_UNKNOWN : PT_UNMAPPED};
    if (r->guest_maps) {
        r->writable = w->writable;
        r->user = w->user;
        r->nx = w->nx;
    }
}

static bool alike(const struct pt_row *a, const struct pt_row *b)
{
    return a->guest_maps == b->guest_maps && a->large == b->large && a->writable == b->writable &&
           a->user == b->user && a->nx == b->nx && ((a->guest ^ b->guest) & PAGE_MASK) == 0;
}

struct shower {
    const struct pt_args *a;
    const char *sep;
};

static void show_row(struct shower *s, const struct pt_row *r)
{
    if (s->a->diff && !pt_differs(r->verdict))
        return;
    if (!s->a->json) {
        pt_row_print(r, stdout);
        return;
    }
    printf("%s\n  ", s->sep);
    pt_row_print_json(r, stdout);
    s->sep = ",";
}

static void show_tables(struct shower *s, const struct ptdump *d)
{
    const struct value_range *range = &s->a->range;
    struct tables t;
    struct pt_row open = {.pages = 0}, r;
    ptdump_tables(d, &t);
    for (uint64_t la = range->first & ~(uint64_t)PAGE_MASK, next; la <= range->last; la = next) {
        struct tables_walk w;
        tables_walk(&t, (la_t)la, &w);
        next = w.end == TABLES_MAPPED ? la + PAGE_SIZE : w.next;
        if (next > range->last)
            next = (range->last | PAGE_MASK) + 1;
        row_of_walk(&w, (la_t)la, d->mode.fmt != GPAGING_OFF, &r);
        r.pages = (uint32_t)((next - la) >> PAGE_SHIFT);
        if (open.pages && alike(&open, &r)) {
            open.gpas_run &= r.gpa == open.gpa + gpa_of(open.pages);
            open.pages += r.pages;
            continue;
        }
        if (open.pages)
            show_row(s, &open);
        open = r;
    }
    show_row(s, &open);
}

int pt_show_dump(const struct pt_args *a)
{
    struct shower s = {a, ""};
    struct ptdump *d;
    struct errmsg err;
    int rc = ptdump_load(a->dump, &d, &err);
    if (rc < 0)
        return cmd_fail("pt", rc == -ENOMEM ? UMBRA_EXIT_HOST : UMBRA_EXIT_IMAGE, "%s", err.text);
    const bool paging = d->mode.fmt != GPAGING_OFF;
    if (a->json)
        printf("{\"version\": 1, \"page_size\": 4096, \"rows\": [");
    else
        pt_print_heading(paging, stdout);
    if (d->has_rows) {
        for (uint32_t i = 0; i < d->rows; i++) {
            struct pt_row r = d->row[i];
            if (pt_row_clip(&r, (la_t)a->range.first, (la_t)a->range.last))
                show_row(&s, &r);
        }
    } else {
        show_tables(&s, d);
    }
    if (a->json)
        printf("\n]}\n");
    else
        pt_print_legend(paging, stdout);
    ptdump_free(d);
    return UMBRA_EXIT_OK;
}

/* --- compare --------------------------------------------------------------------------------- */

static const char *const kind_text[PTCMP_KINDS] = {
    "accessed or dirty",
    "mapped in the first only",
    "mapped in the second only",
    "another guest-physical page",
    "other rights",
    "other bits of the entry",
    "large page or table against none",
    "the table is another page",
    "entries that map nothing differ",
    "reserved bits set in one only",
    "paging modes differ (CR0, CR4, EFER)",
    "CR3 differs",
};

static int parse_allow(const char *text, unsigned *out)
{
    *out = PTCMP_MAY;
    while (text && *text) {
        const size_t len = strcspn(text, ",");
        unsigned kind = 0;
        for (unsigned i = 0; i < PTCMP_KINDS; i++) {
            const char *word = ptcmp_word(1u << i);
            if (strlen(word) == len && strncmp(word, text, len) == 0)
                kind = 1u << i;
        }
        if (!kind)
            return cmd_usage("pt", "--allow: there is no kind of difference '%.*s'",
                             (int)(len < 40 ? len : 40), text);
        *out |= kind;
        text += len + (text[len] == ',');
    }
    return 0;
}

struct comparing {
    const struct pt_args *a;
    unsigned allow;
    uint64_t shown;
};

static const char *kinds_text(unsigned kinds, char *buf, size_t len)
{
    size_t at = 0;
    buf[0] = 0;
    for (unsigned i = 0; i < PTCMP_KINDS && at < len; i++)
        if (kinds & 1u << i)
            at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? "," : "", ptcmp_word(1u << i));
    return buf;
}

static const char *entry_text(const struct tables_walk *w, char *buf, size_t len)
{
    if (w->end == TABLES_MAPPED)
        snprintf(buf, len, "%09llx P%c%c%c%c%s%s%s", (unsigned long long)w->gpa,
                 w->writable ? 'W' : '-', w->user ? 'U' : '-',
                 tables_leaf(w).raw & GPTE_A ? 'A' : '-', tables_leaf(w).raw & GPTE_D ? 'D' : '-',
                 tables_leaf(w).raw & GPTE_G ? "G" : "", w->nx ? "N" : "", w->large ? " L" : "");
    else
        snprintf(buf, len, "- (%llx)", (unsigned long long)tables_leaf(w).raw);
    return buf;
}

static void show_difference(void *ctx, const struct ptcmp_run *r)
{
    struct comparing *c = ctx;
    char a[64], b[64], kinds[120];
    const bool explained = !(r->kinds & ~c->allow);
    if (explained && !c->a->all)
        return;
    c->shown++;
    const la_t last = r->la + ((la_t)(r->pages - 1) << PAGE_SHIFT) + PAGE_MASK;
    if (c->a->json)
        printf("%s\n  {\"linear\": %" PRIu32 ", \"pages\": %" PRIu32
               ", \"kinds\": \"%s\", \"explained\": %s, \"a\": \"%s\", \"b\": \"%s\"}",
               c->shown > 1 ? "," : "", r->la, r->pages, kinds_text(r->kinds, kinds, sizeof kinds),
               explained ? "true" : "false", entry_text(&r->a, a, sizeof a),
               entry_text(&r->b, b, sizeof b));
    else
        printf("%08" PRIx32 "-%08" PRIx32 " %8u  %-21s %-21s %s%s\n", r->la, last, r->pages,
               entry_text(&r->a, a, sizeof a), entry_text(&r->b, b, sizeof b),
               kinds_text(r->kinds, kinds, sizeof kinds), explained ? " (may differ)" : "");
}

static void print_side(char name, const char *path, const struct ptdump *d)
{
    char when[40] = "at an unknown time";
    const time_t t = (time_t)d->info.time;
    struct tm tm;
    if (t && gmtime_r(&t, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
    printf("%c: %s: %s, %s, CR3 %08x, %u page tables\n", name, path, d->info.source, when,
           d->info.cr3, d->tables);
}

static uint64_t print_summary(const struct comparing *c, const struct ptcmp *r)
{
    uint64_t bad = 0;
    for (unsigned i = 0; i < PTCMP_KINDS; i++) {
        const bool may = c->allow & 1u << i;
        bad += may ? 0 : r->count[i];
        if (!r->count[i])
            continue;
        if (c->a->json)
            printf(", \"%s\": %" PRIu64, ptcmp_word(1u << i), r->count[i]);
        else if (1u << i == PTCMP_MODE || 1u << i == PTCMP_CR3)
            printf("  %s%s\n", kind_text[i], may ? " (may differ)" : "");
        else
            printf("  %10" PRIu64 " pages: %s%s\n", r->count[i], kind_text[i],
                   may ? " (may differ)" : "");
    }
    return bad;
}

static int compare(const struct pt_args *a, struct comparing *c, const struct ptdump *x,
                   const struct ptdump *y)
{
    struct ptcmp r;
    if (a->json) {
        printf("{\"version\": 1, \"differences\": [");
    } else {
        print_side('A', a->word[1], x);
        print_side('B', a->word[2], y);
    }
    ptcmp_dumps(x, y, (la_t)a->range.first, (la_t)a->range.last, show_difference, c, &r);
    if (a->json)
        printf("\n], \"pages\": %" PRIu64, r.pages);
    else
        printf("%" PRIu64 " pages are mapped in either\n", r.pages);
    const bool differs = print_summary(c, &r) != 0;
    if (a->json)
        printf(", \"unexplained\": %s}\n", differs ? "true" : "false");
    else
        printf(differs ? "they differ\n" : r.kinds ? "no unexplained differences\n" : "the same\n");
    return differs ? 1 : UMBRA_EXIT_OK;
}

/* As diff(1): 0 the same, 1 they differ, 2 trouble. */
int pt_compare(const struct pt_args *a)
{
    struct comparing c = {.a = a};
    struct ptdump *x, *y;
    struct errmsg err;
    if (a->words < 3 || a->words > 4) {
        cmd_usage("pt", "compare: which two dumps?");
        return 2;
    }
    if (parse_allow(a->allow, &c.allow))
        return 2;
    if (ptdump_load(a->word[1], &x, &err) < 0)
        return cmd_fail("pt", 2, "compare: %s", err.text);
    if (ptdump_load(a->word[2], &y, &err) < 0) {
        ptdump_free(x);
        return cmd_fail("pt", 2, "compare: %s", err.text);
    }
    const int rc = compare(a, &c, x, y);
    ptdump_free(x);
    ptdump_free(y);
    return rc;
}
