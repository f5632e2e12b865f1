#include "vmm/dev/screen.h"

#include <string.h>

/* Code page 437, the font of a PC's display, in Unicode. 0 and 255 are blanks. */
static const uint16_t unicode_of[256] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9, 0x2642,
    0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
    0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc, 0x0020, 0x0021, 0x0022, 0x0023,
    0x0024, 0x0025, 0x0026, 0x0027, 0x0028, 0x0029, 0x002a, 0x002b, 0x002c, 0x002d, 0x002e, 0x002f,
    0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037, 0x0038, 0x0039, 0x003a, 0x003b,
    0x003c, 0x003d, 0x003e, 0x003f, 0x0040, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047,
    0x0048, 0x0049, 0x004a, 0x004b, 0x004c, 0x004d, 0x004e, 0x004f, 0x0050, 0x0051, 0x0052, 0x0053,
    0x0054, 0x0055, 0x0056, 0x0057, 0x0058, 0x0059, 0x005a, 0x005b, 0x005c, 0x005d, 0x005e, 0x005f,
    0x0060, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067, 0x0068, 0x0069, 0x006a, 0x006b,
    0x006c, 0x006d, 0x006e, 0x006f, 0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077,
    0x0078, 0x0079, 0x007a, 0x007b, 0x007c, 0x007d, 0x007e, 0x2302, 0x00c7, 0x00fc, 0x00e9, 0x00e2,
    0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
    0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2,
    0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
    0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502,
    0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
    0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566,
    0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0,
    0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
    0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a,
    0x207f, 0x00b2, 0x25a0, 0x0020,
};

/* A VGA's colours have their bits as blue, green, red; ANSI's as red, green, blue. */
static const uint8_t ansi_of[8] = {0, 4, 2, 6, 1, 5, 3, 7};

static unsigned utf8(uint8_t c, char out[4])
{
    const unsigned u = unicode_of[c];
    if (u < 0x80) {
        out[0] = (char)u;
        return 1;
    }
    if (u < 0x800) {
        out[0] = (char)(0xc0 | u >> 6);
        out[1] = (char)(0x80 | (u & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | u >> 12);
    out[1] = (char)(0x80 | (u >> 6 & 0x3f));
    out[2] = (char)(0x80 | (u & 0x3f));
    return 3;
}

/* --- as plain text --------------------------------------------------------------------------- */

static bool blank(uint16_t cell)
{
    return unicode_of[cell & 0xff] == ' ';
}

/* Cells up to the last that is not blank. */
static unsigned row_length(const struct vga_text *t, unsigned row)
{
    unsigned n = t->cols;
    while (n > 0 && blank(t->cell[row * t->cols + n - 1]))
        n--;
    return n;
}

void screen_print(const struct vga *vga, FILE *out)
{
    struct vga_text t;
    unsigned rows;

    vga_text(vga, &t);
    if (t.graphics) {
        fprintf(out, "(a graphics mode of %u x %u: its picture is not shown)\n", t.width, t.height);
        return;
    }
    for (rows = t.rows; rows > 0 && row_length(&t, rows - 1) == 0;)
        rows--;
    for (unsigned r = 0; r < rows; r++) {
        const unsigned n = row_length(&t, r);
        for (unsigned c = 0; c < n; c++) {
            char u[4] = "";
            const unsigned len = utf8((uint8_t)t.cell[r * t.cols + c], u);
            fwrite(u, 1, len, out);
        }
        fputc('\n', out);
    }
}

/* --- on a terminal --------------------------------------------------------------------------- */

static void put(struct screen *s, const char *text)
{
    for (; *text; text++)
        chardev_put(s->tty, (uint8_t)*text);
}

static void go_to(struct screen *s, unsigned row, unsigned col)
{
    char text[32];
    snprintf(text, sizeof text, "\033[%u;%uH", row + 1, col + 1);
    put(s, text);
}

static void set_colours(struct screen *s, uint8_t attr, bool blinking)
{
    const unsigned fore = (attr & 8 ? 90u : 30u) + ansi_of[attr & 7];
    const bool bright = (attr & 0x80) && !blinking;
    const unsigned back = (bright ? 100u : 40u) + ansi_of[attr >> 4 & 7];
    char text[40];
    snprintf(text, sizeof text, "\033[0;%u;%u%sm", fore, back,
             (attr & 0x80) && blinking ? ";5" : "");
    put(s, text);
}

static void clear(struct screen *s)
{
    put(s, "\033[0m\033[2J");
    s->drawn_all = false;
}

/* The first row shown where the terminal has fewer than the screen: the cursor's is always seen. */
static unsigned first_row(const struct screen *s, const struct vga_text *t)
{
    const unsigned row = t->cursor < 0 ? 0 : (unsigned)t->cursor / t->cols;
    return row < s->rows ? 0 : row - s->rows + 1;
}

static void draw_row(struct screen *s, const struct vga_text *t, unsigned row, unsigned top)
{
    const unsigned cols = t->cols < s->cols ? t->cols : s->cols;
    const uint16_t *now = t->cell + row * t->cols, *was = s->drawn.cell + row * t->cols;
    unsigned at = UINT32_MAX; /* where the terminal's cursor is, in this row */
    int attr = -1;

    for (unsigned c = 0; c < cols; c++) {
        char u[4];
        if (s->drawn_all && now[c] == was[c])
            continue;
        if (c != at)
            go_to(s, row - top, c);
        if (attr != now[c] >> 8)
            set_colours(s, (uint8_t)(attr = now[c] >> 8), t->blinking);
        const unsigned n = utf8((uint8_t)now[c], u);
        for (unsigned i = 0; i < n; i++)
            chardev_put(s->tty, (uint8_t)u[i]);
        at = c + 1;
    }
}

static void draw_graphics(struct screen *s, const struct vga_text *t)
{
    char text[80];
    snprintf(text, sizeof text, "A graphics mode of %u x %u: its picture is not shown.", t->width,
             t->height);
    go_to(s, 0, 0);
    put(s, text);
}

static void draw_cursor(struct screen *s, const struct vga_text *t, unsigned top)
{
    const unsigned row = t->cursor < 0 ? 0 : (unsigned)t->cursor / t->cols;
    const unsigned col = t->cursor < 0 ? 0 : (unsigned)t->cursor % t->cols;
    if (t->cursor < 0 || row < top || row - top >= s->rows || col >= s->cols) {
        put(s, "\033[?25l");
        return;
    }
    go_to(s, row - top, col);
    put(s, "\033[?25h");
}

static void draw(struct screen *s, const struct vga_text *t)
{
    const unsigned top = t->graphics ? 0 : first_row(s, t);

    if (t->graphics != s->drawn.graphics || t->cols != s->drawn.cols || t->rows != s->drawn.rows ||
        t->width != s->drawn.width || t->height != s->drawn.height ||
        t->blinking != s->drawn.blinking || top != s->top)
        clear(s);
    put(s, "\033[?25l");
    if (t->graphics && !s->drawn_all)
        draw_graphics(s, t);
    for (unsigned r = top; !t->graphics && r < t->rows && r - top < s->rows; r++)
        draw_row(s, t, r, top);
    if (!t->graphics)
        draw_cursor(s, t, top);
    s->drawn = *t;
    s->drawn_all = true;
    s->top = top;
}

void screen_refresh(struct screen *s)
{
    struct vga_text t;

    if (s->drawn_all && s->changes == s->vga->changes)
        return;
    s->changes = s->vga->changes;
    vga_text(s->vga, &t);
    draw(s, &t);
}

void screen_resize(struct screen *s, unsigned rows, unsigned cols)
{
    if (rows == s->rows && cols == s->cols)
        return;
    s->rows = rows;
    s->cols = cols;
    clear(s);
}

void screen_enter(struct screen *s, const struct vga *vga, struct chardev *tty, unsigned rows,
                  unsigned cols)
{
    memset(s, 0, sizeof *s);
    s->vga = vga;
    s->tty = tty;
    s->rows = rows;
    s->cols = cols;
    put(s, "\033[?1049h"); /* the alternate screen: what was there comes back */
    clear(s);
}

void screen_leave(struct screen *s)
{
    put(s, "\033[0m\033[?25h\033[?1049l");
}

bool screen_blank(const struct vga *vga)
{
    struct vga_text t;
    vga_text(vga, &t);
    for (unsigned i = 0; !t.graphics && i < t.cols * t.rows; i++) {
        const uint8_t c = (uint8_t)t.cell[i];
        if (c != ' ' && c != 0 && c != 0xff)
            return false;
    }
    return !t.graphics;
}
