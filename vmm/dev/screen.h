/*
 * A VGA's text screen for people: on a terminal by ANSI sequences, of which only what has changed
 * is sent, or printed as plain UTF-8 text. Code page 437 becomes Unicode.
 */
#ifndef UMBRA_VMM_DEV_SCREEN_H
#define UMBRA_VMM_DEV_SCREEN_H

#include <stdio.h>

#include "vmm/dev/chardev.h"
#include "vmm/dev/vga.h"

struct screen {
    const struct vga *vga;
    struct chardev *tty;
    unsigned rows, cols; /* of the terminal */
    unsigned top;        /* row of the screen that is its first */
    uint32_t changes;    /* vga->changes when it was drawn */
    bool drawn_all;      /* the terminal shows `drawn` */
    struct vga_text drawn;
};

/* Take the terminal behind tty, which stays the caller's. A terminal smaller than the screen shows
 * the rows around the cursor. */
void screen_enter(struct screen *s, const struct vga *vga, struct chardev *tty, unsigned rows,
                  unsigned cols);
/* Bring it up to date. */
void screen_refresh(struct screen *s);
/* The terminal has another size now. */
void screen_resize(struct screen *s, unsigned rows, unsigned cols);
/* Give it back as it was. */
void screen_leave(struct screen *s);

/* The screen as plain text, without the blanks at the ends of lines and of the whole. */
void screen_print(const struct vga *vga, FILE *out);
/* Is it a text screen with nothing on it? */
bool screen_blank(const struct vga *vga);

#endif
