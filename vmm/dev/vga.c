#include "vmm/dev/vga.h"

#include <string.h>

enum { MISC_COLOUR = 1, MISC_RAM = 2 };
enum {
    CRTC_PROTECT_AT = 0x11,
    CRTC_PROTECT = 0x80,
    CRTC_OVERFLOW = 7,
    OVERFLOW_LINE_COMPARE = 0x10
};
enum { ATTR_ON = 0x20 };

/* Lines of 31.8 us: 400 are shown, 449 make a frame (70 Hz). */
#define LINE_NS     31778u
#define LINE_SHOWN  25422u
#define LINES       449u
#define LINES_SHOWN 400u
/* The vertical retrace proper is 2 lines long; for those who look seldom it lasts for most of the
 * time in which nothing is shown. */
#define RETRACE_FIRST 412u
#define RETRACE_LAST  446u

/* Mode 3, 720 x 400, as IBM's BIOS sets it (Video Subsystem, "VGA register values"). */
static const uint8_t mode3_seq[5] = {0x03, 0x00, 0x03, 0x00, 0x02};
static const uint8_t mode3_crtc[0x19] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                         0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                         0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
static const uint8_t mode3_gc[9] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff};
static const uint8_t mode3_attr[0x15] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14,
                                         0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d,
                                         0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};

/* --- registers by index ---------------------------------------------------------------------- */

/* Bits that each register has; others read as 0. */
static const uint8_t seq_bits[5] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t gc_bits[9] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

static void seq_write(struct vga *v, uint8_t val)
{
    if (v->seq_index < sizeof seq_bits)
        v->seq[v->seq_index] = val & seq_bits[v->seq_index];
}

static void gc_write(struct vga *v, uint8_t val)
{
    if (v->gc_index < sizeof gc_bits)
        v->gc[v->gc_index] = val & gc_bits[v->gc_index];
}

static void crtc_write(struct vga *v, uint8_t val)
{
    const uint8_t i = v->crtc_index;
    if (i >= sizeof v->crtc)
        return;
    if (i <= CRTC_OVERFLOW && (v->crtc[CRTC_PROTECT_AT] & CRTC_PROTECT)) {
        if (i == CRTC_OVERFLOW) /* the one bit that protection leaves open */
            v->crtc[i] =
                (uint8_t)((v->crtc[i] & ~OVERFLOW_LINE_COMPARE) | (val & OVERFLOW_LINE_COMPARE));
        return;
    }
    v->crtc[i] = val;
}

static void attr_write(struct vga *v, uint8_t val)
{
    const uint8_t i = v->attr_index & 0x1f;
    if (!v->attr_data)
        v->attr_index = val & 0x3f;
    else if (i < 0x10 &&
             !(v->attr_index & ATTR_ON)) /* the palette is the screen's while it is on */
        v->attr[i] = val & 0x3f;
    else if (i >= 0x10 && i < sizeof v->attr)
        v->attr[i] = val;
    v->attr_data = !v->attr_data;
}

/* --- palette --------------------------------------------------------------------------------- */

static void dac_step(struct vga *v)
{
    if (++v->dac_part == 3) {
        v->dac_part = 0;
        v->dac_index++;
    }
}

static uint8_t dac_read(struct vga *v)
{
    const uint8_t val = v->dac[v->dac_index][v->dac_part];
    dac_step(v);
    return val;
}

static void dac_write(struct vga *v, uint8_t val)
{
    v->dac[v->dac_index][v->dac_part] = val & 0x3f;
    dac_step(v);
}

/* --- status ---------------------------------------------------------------------------------- */

enum { STATUS_DARK = 1, STATUS_RETRACE = 8 };

static uint8_t status(const struct vga *v)
{
    const uint64_t now = clock_now(&v->clock);
    const uint64_t line = now / LINE_NS % LINES;
    const bool dark = line >= LINES_SHOWN || now % LINE_NS >= LINE_SHOWN;
    return (uint8_t)((dark ? STATUS_DARK : 0) |
                     (line >= RETRACE_FIRST && line <= RETRACE_LAST ? STATUS_RETRACE : 0));
}

/* --- ports ----------------------------------------------------------------------------------- */

/* CRTC and status answer at 3Dx for a colour monitor, at 3Bx for a monochrome one. */
static bool silent(const struct vga *v, uint16_t port)
{
    if (port >= 0x3c0 && port <= 0x3cf)
        return false;
    return ((port & 0xf0) == 0xd0) != ((v->misc & MISC_COLOUR) != 0);
}

static uint32_t vga_in(void *ctx, uint16_t port, unsigned size)
{
    struct vga *v = ctx;
    (void)size;
    if (silent(v, port))
        return 0xff;
    switch (port) {
    case 0x3c0: return v->attr_index;
    case 0x3c1: {
        const uint8_t i = v->attr_index & 0x1f;
        return i < sizeof v->attr ? v->attr[i] : 0;
    }
    case 0x3c2: return 0x10; /* the monitor is there */
    case 0x3c3: return v->enable;
    case 0x3c4: return v->seq_index;
    case 0x3c5: return v->seq_index < sizeof v->seq ? v->seq[v->seq_index] : 0;
    case 0x3c6: return v->dac_mask;
    case 0x3c7: return v->dac_reading ? 3 : 0;
    case 0x3c8: return v->dac_index;
    case 0x3c9: return dac_read(v);
    case 0x3ca: return v->feature;
    case 0x3cc: return v->misc;
    case 0x3ce: return v->gc_index;
    case 0x3cf: return v->gc_index < sizeof v->gc ? v->gc[v->gc_index] : 0;
    case 0x3b4:
    case 0x3d4: return v->crtc_index;
    case 0x3b5:
    case 0x3d5: return v->crtc_index < sizeof v->crtc ? v->crtc[v->crtc_index] : 0;
    case 0x3ba:
    case 0x3da: v->attr_data = false; return status(v);
    default: return 0xff;
    }
}

static void vga_out(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
    struct vga *v = ctx;
    const uint8_t val = (uint8_t)value;
    (void)size;
    if (silent(v, port))
        return;
    v->changes++;
    switch (port) {
    case 0x3c0: attr_write(v, val); break;
    case 0x3c2: v->misc = val & 0xef; break;
    case 0x3c3: v->enable = val & 1; break;
    case 0x3c4: v->seq_index = val & 7; break;
    case 0x3c5: seq_write(v, val); break;
    case 0x3c6: v->dac_mask = val; break;
    case 0x3c7:
    case 0x3c8:
        v->dac_reading = port == 0x3c7;
        v->dac_index = val;
        v->dac_part = 0;
        break;
    case 0x3c9: dac_write(v, val); break;
    case 0x3ce: v->gc_index = val & 15; break;
    case 0x3cf: gc_write(v, val); break;
    case 0x3b4:
    case 0x3d4: v->crtc_index = val & 0x3f; break;
    case 0x3b5:
    case 0x3d5: crtc_write(v, val); break;
    case 0x3ba:
    case 0x3da: v->feature = val & 0x0b; break;
    default: break;
    }
}

/* --- the window ------------------------------------------------------------------------------ */

static uint32_t window_read(void *ctx, uint32_t off, unsigned size)
{
    uint32_t val = 0;
    for (unsigned i = 0; i < size; i++)
        val |= vga_mem_read(ctx, off + i) << 8 * i;
    return val;
}

static void window_write(void *ctx, uint32_t off, uint32_t val, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        vga_mem_write(ctx, off + i, (uint8_t)(val >> 8 * i));
}

/* --- life ------------------------------------------------------------------------------------ */

static void mode3(struct vga *v)
{
    v->misc = 0x67;
    v->enable = 1;
    memcpy(v->seq, mode3_seq, sizeof mode3_seq);
    memcpy(v->crtc, mode3_crtc, sizeof mode3_crtc);
    memcpy(v->gc, mode3_gc, sizeof mode3_gc);
    memcpy(v->attr, mode3_attr, sizeof mode3_attr);
    v->attr_index = ATTR_ON;
    v->dac_mask = 0xff;
    /* The first 64 colours: a bit pair of each primary, as the palette registers name them. */
    for (unsigned i = 0; i < 64; i++)
        for (unsigned c = 0; c < 3; c++)
            v->dac[i][c] = (uint8_t)(((i >> (2 - c) & 1) * 42) + ((i >> (5 - c) & 1) * 21));
    for (uint32_t o = 0; o < 0x8000; o += 2) {
        v->vram[4 * o] = ' ';
        v->vram[4 * o + 1] = 0x07;
    }
}

int vga_init(struct vga *v, struct bus *bus, struct mmio *mmio, struct clock clock)
{
    static const uint16_t ports[][2] = {
        {0x3b4, 0x3b5}, {0x3ba, 0x3ba}, {0x3c0, 0x3cf}, {0x3d4, 0x3d5}, {0x3da, 0x3da}};
    int err = 0;

    memset(v, 0, sizeof *v);
    v->clock = clock;
    mode3(v);
    for (size_t i = 0; !err && i < sizeof ports / sizeof *ports; i++)
        err = bus_claim(bus, &(struct bus_range){.name = "vga",
                                                 .first = ports[i][0],
                                                 .last = ports[i][1],
                                                 .in = vga_in,
                                                 .out = vga_out,
                                                 .ctx = v});
    if (err)
        return err;
    err = mmio_claim(mmio, &(struct mmio_range){.name = "display memory",
                                                .first = VGA_WINDOW,
                                                .last = 0xbffff,
                                                .sizes = 7,
                                                .read = window_read,
                                                .write = window_write,
                                                .ctx = v});
    return err < 0 ? err : 0;
}
