/* umbra top on a terminal (top.h), by ncurses. Everything is drawn for 80x24 first and uses what a
 * larger terminal gives; what does not fit a smaller one is cut off. */
#define NCURSES_NOMACROS 1
#include <curses.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/top/top.h"

enum { MAP_COLUMNS = 64, MAP_LEAST = 2 /* seconds between two maps */ };

struct view {
    double delay;
    bool help, by_count;
    uint64_t map_ns; /* when the map was asked for */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- drawing --------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void put(int y, int x, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    if (y < 0 || y >= LINES || x >= COLS)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    mvaddnstr(y, x, line, COLS - x);
}

static void title(int y, int x, int width, const char *text)
{
    attron(A_REVERSE);
    put(y, x, "%-*.*s", width, width, text);
    attroff(A_REVERSE);
}

/* 1234567 as 1.2M, so that columns hold. */
static const char *shorter(double v, char buf[16])
{
    if (v >= 1e9)
        snprintf(buf, 16, "%.1fG", v / 1e9);
    else if (v >= 1e6)
        snprintf(buf, 16, "%.1fM", v / 1e6);
    else if (v >= 1e5)
        snprintf(buf, 16, "%.0fk", v / 1e3);
    else
        snprintf(buf, 16, "%.0f", v);
    return buf;
}

static void draw_head(const struct top *t)
{
    char a[16], b[16], c[16];
    attron(A_BOLD);
    put(0, 0, "umbra top");
    attroff(A_BOLD);
    put(0, 11, "%s, engine %s, up %.1f s, eip %08" PRIx64 ", paging %s", t->state, t->engine,
        (double)t->uptime_ns / 1e9, t->eip, t->paging ? "on" : "off");
    put(1, 0,
        "faults   %8s/s   resident %8" PRIu64 " pages   RAM %" PRIu64 " MiB, pool %" PRIu64 " KiB",
        shorter(t->fault_rate, a), t->resident, t->ram >> 20, t->pool >> 10);
    put(2, 0, "swap out %8s/s   swapped  %8" PRIu64 " pages   swap in %s/s",
        shorter(t->out_rate, b), t->swapped, shorter(t->in_rate, c));
}

/* Columns: the left table takes 46, the right one the rest. */
static void draw_tables(const struct top *t, int y, int rows)
{
    char a[16], b[16];
    title(y, 0, 46, "faults by path                 /s   count   us");
    title(y, 48, 32, "region (4 MiB)      /s    faults");
    for (int i = 0; i < rows; i++) {
        if (i < (int)t->paths) {
            const struct top_path *p = &t->path[i];
            put(y + 1 + i, 0, "%-26.26s %6s %7s %4.*f", p->name, shorter(p->rate, a),
                shorter((double)p->count, b), p->mean_ns < 1e4 ? 1 : 0, p->mean_ns / 1000);
        }
        if (i < (int)t->regions)
            put(y + 1 + i, 48, "%08" PRIx32 "+4M %10s %9s", t->region[i].index << 22,
                shorter(t->region[i].rate, a), shorter((double)t->region[i].count, b));
    }
}

static int colour_of(enum top_kind c)
{
    static const short pair[TOP_KINDS] = {0, 0, 1, 2, 3, 4, 4, 5, 6, 7};
    return has_colors() ? (int)COLOR_PAIR(pair[c]) : 0;
}

/* Of `each` regions that share a letter the one that says most. */
static enum top_kind joined(const struct top *t, unsigned first, unsigned each)
{
    enum top_kind best = TOP_NOTHING;
    for (unsigned i = first; i < first + each; i++)
        if (t->cell[i] > best)
            best = t->cell[i];
    return best;
}

static void draw_map(const struct top *t, int y, int rows)
{
    const unsigned lines = rows >= 16 ? 16 : 8, each = TOP_CELLS / MAP_COLUMNS / lines;
    const uint64_t bytes = t->cell_pages * each * 4096;
    char head[80];
    snprintf(head, sizeof head, "address space: %" PRIu64 " %s, %" PRIu64 " KiB to a letter",
             bytes * MAP_COLUMNS * lines >> (t->cell_pages < 1024 ? 20 : 30),
             t->cell_pages < 1024 ? "MiB" : "GiB", bytes >> 10);
    title(y, 0, 80, head);
    for (unsigned l = 0; l < lines; l++) {
        const unsigned first = l * MAP_COLUMNS * each;
        put(y + 1 + (int)l, 0, "%08" PRIx32 " ", (uint32_t)(first * t->cell_pages * 4096));
        for (unsigned k = 0; k < MAP_COLUMNS; k++) {
            const enum top_kind c = joined(t, first + k * each, each);
            attron(colour_of(c));
            put(y + 1 + (int)l, 9 + (int)k, "%c", top_kind_letter(c));
            attroff(colour_of(c));
        }
        put(y + 1 + (int)l, 9 + MAP_COLUMNS, "|");
    }
    int x = 0;
    for (int c = TOP_UNTOUCHED; c < TOP_KINDS; c++) {
        attron(colour_of((enum top_kind)c));
        put(y + 1 + (int)lines, x, "%c", top_kind_letter((enum top_kind)c));
        attroff(colour_of((enum top_kind)c));
        put(y + 1 + (int)lines, x + 1, " %s", top_kind_name((enum top_kind)c));
        x += (int)strlen(top_kind_name((enum top_kind)c)) + 3;
    }
}

static void draw_help(const struct view *v)
{
    static const char *const lines[] = {
        "q          leave; the machine goes on",
        "h, ?       this",
        "space      look now",
        "z          the map: all 4 GiB, or as far as there is something",
        "+, -       look less or more often",
        "",
        "faults by path: what the memory manager did; us is its mean time, shadow included",
        "region: 4 MiB of linear addresses, which is one page table",
        "the map stops the machine for the moment that it takes; no more than every 2 s",
        "",
        "any key goes back",
    };
    put(1, 0, "umbra top, a look every %.1f s", v->delay);
    for (int i = 0; i < (int)(sizeof lines / sizeof *lines); i++)
        put(3 + i, 2, "%s", lines[i]);
}

static void draw(const struct top *t, const struct view *v)
{
    erase();
    if (v->help) {
        draw_help(v);
    } else {
        /* head 4, titles 2, map 8 or 16 and its key 1, last line 1; tables have the rest */
        const int map = LINES >= 36 ? 16 : 8, rows = LINES - 4 - 2 - map - 1 - 1;
        draw_head(t);
        draw_tables(t, 4, rows < 3 ? 3 : rows);
        draw_map(t, 4 + 1 + (rows < 3 ? 3 : rows), map);
        put(LINES - 1, 0, "q quit  h help  space now  z map  +/- every %.1f s", v->delay);
    }
    refresh();
}

/* --- life ------------------------------------------------------------------------------------ */

static int look(struct top *t, struct view *v, struct errmsg *err)
{
    int rc = top_look(t, err);
    /* a map that takes long is asked for less often */
    const double pause = t->map_seconds * 10 > MAP_LEAST ? t->map_seconds * 10 : MAP_LEAST;
    if (!rc && (!v->map_ns || (double)(now_ns() - v->map_ns) / 1e9 >= pause)) {
        rc = top_map(t, err);
        v->map_ns = now_ns();
    }
    return rc;
}

/* false: enough. *now: do not wait. */
static bool key(struct top *t, struct view *v, int k, bool *now)
{
    *now = false;
    if (k == ERR || k == KEY_RESIZE)
        return true;
    if (v->help) {
        v->help = false;
        return k != 'q';
    }
    switch (k) {
    case 'q':
    case 'Q': return false;
    case 'h':
    case '?': v->help = true; break;
    case ' ': *now = true; break;
    case 'z':
        t->whole = !t->whole;
        v->map_ns = 0;
        *now = true;
        break;
    case '+': v->delay = v->delay * 2 > 60 ? 60 : v->delay * 2; break;
    case '-': v->delay = v->delay / 2 < 0.1 ? 0.1 : v->delay / 2; break;
    default: break;
    }
    return true;
}

static int run(struct top *t, struct view *v, struct errmsg *err)
{
    for (;;) {
        const int rc = look(t, v, err);
        if (rc < 0)
            return rc;
        const uint64_t until = now_ns() + (uint64_t)(v->delay * 1e9);
        bool now = false;
        for (uint64_t at = now_ns(); !now && at < until; at = now_ns()) {
            draw(t, v);
            timeout((int)((until - at) / 1000000) + 1);
            if (!key(t, v, getch(), &now))
                return 0;
        }
    }
}

int top_screen(struct top *t, double delay, struct errmsg *err)
{
    struct view v = {.delay = delay};
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        return err_set(err, -ENOTSUP, "this is no terminal; give --batch");
    SCREEN *s = newterm(NULL, stdout, stdin);
    if (!s)
        return err_set(err, -ENOTSUP, "this terminal is unknown (TERM); give --batch");
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    if (has_colors()) {
        static const short colours[] = {COLOR_CYAN,    COLOR_BLUE, COLOR_WHITE, COLOR_YELLOW,
                                        COLOR_MAGENTA, COLOR_RED,  COLOR_GREEN};
        start_color();
        use_default_colors();
        for (short i = 0; i < (short)(sizeof colours / sizeof *colours); i++)
            init_pair((short)(i + 1), colours[i], -1);
    }
    const int rc = run(t, &v, err);
    endwin();
    delscreen(s);
    return rc;
}
