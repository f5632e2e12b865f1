/* The VGA's registers and memory, what its text screen shows, and random accesses to all of it. The
 * guest dev_vga checks the planes on our machine and on another. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/dev/screen.h"
#include "vmm/dev/vga.h"

static struct bus bus;
static struct mmio mmio;
static struct vga vga;
static uint64_t now;

static uint64_t get_now(void *ctx)
{
    (void)ctx;
    return now;
}

static void fresh(void)
{
    bus_init(&bus);
    mmio_init(&mmio);
    now = 0;
    cr_assert_eq(vga_init(&vga, &bus, &mmio, (struct clock){get_now, NULL}), 0);
}

TestSuite(vga, .init = fresh);

static void out(uint16_t port, unsigned val)
{
    bus_out(&bus, port, val, 1);
}
static unsigned in(uint16_t port)
{
    return bus_in(&bus, port, 1);
}
static void set(uint16_t port, unsigned index, unsigned val)
{
    bus_out(&bus, port, index | val << 8, 2);
}
static void write_at(unsigned cell, const char *s, unsigned attr)
{
    for (; *s; s++, cell++)
        mmio_write(&mmio, 0xb8000 + 2 * cell, (uint8_t)*s | attr << 8, 2);
}

static char printed[65536];

static const char *print(void)
{
    FILE *f = fmemopen(printed, sizeof printed, "w");
    screen_print(&vga, f);
    fclose(f);
    return printed;
}

Test(vga, comes_up_in_mode_3_with_a_blank_screen)
{
    struct vga_text t;
    vga_text(&vga, &t);
    cr_assert(!t.graphics && t.cols == 80 && t.rows == 25);
    cr_assert_eq(t.width, 720u / 9 * 8);
    cr_assert_eq(t.height, 400u);
    cr_assert_eq(t.cell[0], 0x0720);
    cr_assert_eq(t.cursor, 0);
    cr_assert_str_eq(print(), "");
}

Test(vga, text_is_where_the_start_address_says)
{
    struct vga_text t;
    write_at(0, "first", 0x1e);
    write_at(80, "second", 0x07);
    cr_assert_str_eq(print(), "first\nsecond\n");
    set(0x3d4, 0x0d, 80);
    set(0x3d4, 0x0f, 82);
    cr_assert_str_eq(print(), "second\n");
    vga_text(&vga, &t);
    cr_assert_eq(t.cursor, 2);
    set(0x3d4, 0x0a, 0x20);
    vga_text(&vga, &t);
    cr_assert_eq(t.cursor, -1);
}

Test(vga, fifty_rows_with_a_font_of_eight_lines)
{
    struct vga_text t;
    out(0x3d4, 9);
    out(0x3d5, 7);
    vga_text(&vga, &t);
    cr_assert_eq(t.rows, 50);
}

Test(vga, characters_become_unicode)
{
    write_at(0, "\xc9\xcd\xbb \x01\xe1\x80", 0x07);
    cr_assert_str_eq(print(), "╔═╗ ☺ßÇ\n");
}

Test(vga, graphics_modes_are_named_and_not_drawn)
{
    set(0x3ce, 6, 5);
    set(0x3d4, 9, 0x40);
    cr_assert(strstr(print(), "graphics mode of 640 x 400"), "%s", printed);
}

Test(vga, a_monochrome_crtc_answers_at_3bx)
{
    cr_assert_eq(in(0x3b4), 0xffu);
    out(0x3c2, 0x66);
    cr_assert_eq(in(0x3d4), 0xffu);
    cr_assert_eq(in(0x3da), 0xffu);
    set(0x3b4, 0x0f, 7);
    out(0x3b4, 0x0f);
    cr_assert_eq(in(0x3b5), 7u);
    cr_assert(in(0x3ba) != 0xff);
}

Test(vga, window_follows_its_register)
{
    static const struct {
        unsigned map;
        gpa_t in, out;
    } cases[] = {{0, 0xa0000, 0xc0000},
                 {0, 0xbffff, 0xc0000},
                 {1, 0xaffff, 0xb0000},
                 {2, 0xb0000, 0xb8000},
                 {3, 0xb8000, 0xa0000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(0x3ce, 6, cases[i].map << 2);
        mmio_write(&mmio, cases[i].in, 0x5a, 1);
        cr_expect_eq(mmio_read(&mmio, cases[i].in, 1), 0x5au, "%zu", i);
        mmio_write(&mmio, cases[i].out, 0x5a, 1);
        cr_expect_eq(mmio_read(&mmio, cases[i].out, 1), 0xffu, "%zu", i);
    }
    out(0x3c2, 0x65); /* display memory off */
    cr_assert_eq(mmio_read(&mmio, 0xb8000, 1), 0xffu);
}

Test(vga, status_follows_the_beam)
{
    cr_assert_eq(in(0x3da) & 9, 0u);
    now = 31000; /* behind the first line */
    cr_assert_eq(in(0x3da) & 9, 1u);
    now = 31778ull * 420;
    cr_assert_eq(in(0x3da) & 9, 9u);
    now = 31778ull * 449;
    cr_assert_eq(in(0x3da) & 9, 0u);
}

Test(vga, only_what_has_changed_is_drawn)
{
    static struct screen s;
    struct chardev_mem tty;
    chardev_mem_init(&tty, NULL, 0);
    write_at(0, "hello", 0x17);
    screen_enter(&s, &vga, &tty.c, 24, 80);
    screen_refresh(&s);
    const size_t first = tty.out_len;
    cr_assert_gt(first, 80 * 24u);
    screen_refresh(&s);
    cr_assert_eq(tty.out_len, first, "nothing changed");
    write_at(80 * 3 + 5, "x", 0x4f);
    screen_refresh(&s);
    chardev_put(&tty.c, 0);
    cr_assert(strstr((char *)tty.out + first, "\033[4;6H\033[0;97;41mx"), "%s",
              (char *)tty.out + first);
    cr_assert_lt(tty.out_len - first, 80u);
    /* The cursor in row 25 of a terminal with 24: the first row goes. */
    set(0x3d4, 0x0e, 1920 >> 8);
    set(0x3d4, 0x0f, 1920 & 0xff);
    write_at(1920, "last", 0x07);
    screen_refresh(&s);
    cr_assert_eq(s.top, 1u);
    screen_leave(&s);
    chardev_put(&tty.c, 0);
    cr_assert(memmem(tty.out, tty.out_len, "\033[24;1H", 7));
    cr_assert(memmem(tty.out, tty.out_len, "\033[?1049l", 8));
    chardev_close(&tty.c);
}

/* Whatever a guest writes: no access leaves the device, and every picture can be told. */
Test(vga, random_accesses)
{
    static struct screen s;
    static struct vga_text t;
    struct chardev_mem tty;
    unsigned seed = 1;

    chardev_mem_init(&tty, NULL, 0);
    screen_enter(&s, &vga, &tty.c, 30, 100);
    for (unsigned i = 0; i < 300000; i++) {
        const unsigned r = (unsigned)rand_r(&seed), v = (unsigned)rand_r(&seed);
        const unsigned size = 1u << r % 3;
        now += v & 0xffff;
        switch (r >> 4 & 3) {
        case 0: bus_out(&bus, (uint16_t)(0x3b0 + (r >> 8) % 0x30), v, size); break;
        case 1: bus_in(&bus, (uint16_t)(0x3b0 + (r >> 8) % 0x30), size); break;
        case 2: mmio_write(&mmio, 0x9fffc + (r >> 8) % 0x20008, v, size); break;
        default: mmio_read(&mmio, 0x9fffc + (r >> 8) % 0x20008, size); break;
        }
        if (i % 1000 == 0) {
            vga_text(&vga, &t);
            cr_assert(t.cols <= VGA_COLS_MAX && t.rows <= VGA_ROWS_MAX);
            cr_assert(t.cursor < (int)(t.cols * t.rows));
            tty.out_len = 0;
            screen_refresh(&s);
            print();
        }
    }
    chardev_close(&tty.c);
}
