/*
 * A VGA (IBM PS/2 Hardware Interface Technical Reference, Video Subsystem): its registers, 256 KiB
 * of display memory in four planes behind the window at A0000-BFFFF, and what a text screen shows.
 * Graphics modes keep their pixels, and nobody draws them. It comes up in mode 3 (80 x 25, colour)
 * with a blank screen, as a BIOS leaves it, but for the font, which only a BIOS has.
 */
#ifndef UMBRA_VMM_DEV_VGA_H
#define UMBRA_VMM_DEV_VGA_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"
#include "vmm/dev/mmio.h"

#define VGA_PLANE    0x10000u /* bytes in each of four planes */
#define VGA_WINDOW   0xa0000u
#define VGA_COLS_MAX 132
#define VGA_ROWS_MAX 60

struct vga {
    struct clock clock;
    uint8_t vram[4 * VGA_PLANE]; /* plane p at offset o: vram[4 * o + p] */
    uint8_t latch[4];
    uint8_t misc, feature, enable;
    uint8_t seq_index, seq[8];
    uint8_t crtc_index, crtc[0x19];
    uint8_t gc_index, gc[9];
    uint8_t attr_index, attr[0x15];
    bool attr_data; /* the next write to 3C0 is data */
    uint8_t dac[256][3], dac_mask, dac_index, dac_part;
    bool dac_reading;
    uint32_t changes; /* counts what may change the picture; wraps */
};

/* Claim the ports 3B4, 3B5, 3BA, 3C0-3CF, 3D4, 3D5, 3DA and the window. 0 or the buses' error. */
int vga_init(struct vga *v, struct bus *bus, struct mmio *mmio, struct clock clock);

/* --- vga_mem.c: the window, off from VGA_WINDOW, one byte --- */
uint32_t vga_mem_read(struct vga *v, uint32_t off);
void vga_mem_write(struct vga *v, uint32_t off, uint8_t val);

/* --- vga_text.c --- */
/* What stands on a text screen. */
struct vga_text {
    bool graphics; /* it is no text screen: no cells; width and height are pixels */
    unsigned width, height;
    unsigned cols, rows;
    int cursor;    /* cell that the cursor is at; -1: not shown */
    bool blinking; /* attribute bit 7 is blinking, not a bright background */
    uint16_t cell[VGA_COLS_MAX * VGA_ROWS_MAX]; /* character, attribute << 8; cols in each row */
};
void vga_text(const struct vga *v, struct vga_text *out);

#endif
