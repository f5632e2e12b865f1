/* What the CRTC would fetch in a text mode. */
#include "vmm/dev/vga.h"

enum {
    CRTC_COLS = 0x01,
    CRTC_OVERFLOW = 0x07,
    CRTC_SCAN = 0x09,
    CRTC_CURSOR = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START = 0x0c,
    CRTC_CURSOR_AT = 0x0e,
    CRTC_END = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
};
enum {
    CURSOR_OFF = 0x20,
    SCAN_LINES = 0x1f,
    SCAN_DOUBLE = 0x80,
    UNDERLINE_DOUBLEWORD = 0x40,
    MODE_BYTE = 0x40
};
enum { GC_MISC = 6, GRAPHICS = 1, ATTR_MODE = 0x10, ATTR_BLINK = 8, ATTR_WIDE = 0x40 };

static unsigned pair(const struct vga *v, unsigned high)
{
    return (unsigned)v->crtc[high] << 8 | v->crtc[high + 1];
}

/* The CRTC's counter to an address in the planes. */
static uint32_t address(const struct vga *v, uint32_t count)
{
    const unsigned shift = v->crtc[CRTC_UNDERLINE] & UNDERLINE_DOUBLEWORD ? 2
                           : v->crtc[CRTC_MODE] & MODE_BYTE               ? 0
                                                                          : 1;
    return count << shift & (VGA_PLANE - 1);
}

static unsigned at_most(unsigned n, unsigned most)
{
    return n < most ? n : most;
}

void vga_text(const struct vga *v, struct vga_text *out)
{
    const unsigned overflow = v->crtc[CRTC_OVERFLOW];
    const unsigned lines =
        1 + (v->crtc[CRTC_END] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3);
    const unsigned columns = v->crtc[CRTC_COLS] + 1u;
    unsigned each = (v->crtc[CRTC_SCAN] & SCAN_LINES) + 1u;
    const unsigned start = pair(v, CRTC_START), cursor = pair(v, CRTC_CURSOR_AT);
    const unsigned pitch = v->crtc[CRTC_OFFSET] * 2u;

    *out = (struct vga_text){.cursor = -1};
    out->graphics = (v->gc[GC_MISC] & GRAPHICS) != 0;
    if (v->crtc[CRTC_SCAN] & SCAN_DOUBLE)
        each *= 2;
    /* With 8 bits for each pixel two of the CRTC's make one. */
    out->width = columns * (out->graphics && (v->attr[ATTR_MODE] & ATTR_WIDE) ? 4 : 8);
    out->height = lines / (out->graphics ? each : 1);
    if (out->graphics)
        return;
    out->cols = at_most(columns, VGA_COLS_MAX);
    out->rows = at_most(lines / each ? lines / each : 1, VGA_ROWS_MAX);
    out->blinking = (v->attr[ATTR_MODE] & ATTR_BLINK) != 0;
    const bool shown =
        !(v->crtc[CRTC_CURSOR] & CURSOR_OFF) &&
        (v->crtc[CRTC_CURSOR] & SCAN_LINES) <= (v->crtc[CRTC_CURSOR_END] & SCAN_LINES);
    for (unsigned r = 0; r < out->rows; r++)
        for (unsigned c = 0; c < out->cols; c++) {
            const uint32_t count = (start + r * pitch + c) & 0xffff;
            const uint32_t at = address(v, count);
            out->cell[r * out->cols + c] = (uint16_t)(v->vram[4 * at] | v->vram[4 * at + 1] << 8);
            if (shown && count == cursor)
                out->cursor = (int)(r * out->cols + c);
        }
}
