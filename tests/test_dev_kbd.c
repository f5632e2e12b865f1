/* The keyboard controller, A20, reset, the PCI ports; and all devices together. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/dev_pins.h"
#include "vmm/dev/board.h"

static struct board board;
static uint64_t ns;
static struct pin intr;
static bool a20;
static unsigned resets;
static int stopped;

static void on_a20(void *ctx, unsigned n, bool level)
{
    (void)ctx;
    (void)n;
    a20 = level;
}
static void on_reset(void *ctx, unsigned n, bool level)
{
    (void)ctx;
    (void)n;
    resets += level;
}
static void on_stop(void *ctx, int status)
{
    (void)ctx;
    stopped = status;
}
static void out(uint16_t port, uint32_t val)
{
    bus_out(&board.bus, port, val, 1);
}
static uint8_t in(uint16_t port)
{
    return (uint8_t)bus_in(&board.bus, port, 1);
}
static bool has_byte(void)
{
    return in(0x64) & 1;
}

static void start(void)
{
    ns = 0;
    resets = 0;
    intr.level = false;
    a20 = true;
    stopped = -1;
    cr_assert_eq(board_init(&board, &(struct board_config){.clock = {pin_clock, &ns},
                                                           .intr = {pin_drive, &intr, 0},
                                                           .a20 = {on_a20, NULL, 0},
                                                           .reset = {on_reset, NULL, 0},
                                                           .stop = {on_stop, NULL},
                                                           .wall_seconds = 1,
                                                           .ram_bytes = 16 << 20}),
                 0);
    const uint8_t icw[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1},   {0xa0, 0x11},
                              {0xa1, 0x28}, {0xa1, 2},    {0xa1, 1}, {0x21, 0x01}};
    for (size_t i = 0; i < sizeof icw / sizeof *icw; i++)
        out(icw[i][0], icw[i][1]);
}

TestSuite(kbd, .init = start);
TestSuite(board, .init = start);

Test(kbd, controller_self_test_and_interface_test)
{
    out(0x64, 0xaa);
    cr_assert(has_byte());
    cr_assert_eq(in(0x60), 0x55);
    out(0x64, 0xab);
    cr_assert_eq(in(0x60), 0x00);
    cr_assert(in(0x64) & 0x08, "the last write was a command");
}

Test(kbd, command_byte_is_kept)
{
    out(0x64, 0x60);
    out(0x60, 0x65);
    out(0x64, 0x20);
    cr_assert_eq(in(0x60), 0x65);
}

Test(kbd, keyboard_reset_and_identify)
{
    out(0x60, 0xff);
    cr_assert_eq(in(0x60), 0xfa);
    cr_assert_eq(in(0x60), 0xaa);
    cr_assert_not(has_byte());
    out(0x60, 0xf2);
    cr_assert_eq(in(0x60), 0xfa);
    cr_assert_eq(in(0x60), 0xab);
    cr_assert_eq(in(0x60), 0x41, "0x83, translated");
}

Test(kbd, arguments_are_acknowledged_and_unknown_commands_refused)
{
    out(0x60, 0xed);
    cr_assert_eq(in(0x60), 0xfa);
    out(0x60, 0x07);
    cr_assert_eq(in(0x60), 0xfa);
    out(0x60, 0x07);
    cr_assert_eq(in(0x60), 0xfe, "without its command it means nothing");
    cr_assert_eq((out(0x60, 0xee), in(0x60)), 0xee);
    out(0x60, 0xfe);
    cr_assert_eq(in(0x60), 0xee, "resend");
}

Test(kbd, scan_set_is_told_and_set)
{
    out(0x64, 0x60);
    out(0x60, 0x05); /* translation off */
    out(0x60, 0xf0);
    in(0x60);
    out(0x60, 0x00);
    cr_assert_eq(in(0x60), 0xfa);
    cr_assert_eq(in(0x60), 0x02);
    out(0x60, 0xf0);
    in(0x60);
    out(0x60, 0x01);
    cr_assert_eq(in(0x60), 0xfa);
    kbd_key(&board.kbd, 0x1e);
    cr_assert_eq(in(0x60), 0x1e);
}

Test(kbd, keys_interrupt_one_by_one)
{
    kbd_key(&board.kbd, 0x1e);
    kbd_key(&board.kbd, 0x9e);
    cr_assert(intr.level);
    cr_assert_eq(pic_ack(&board.pic), 0x21);
    out(0x20, 0x20);
    cr_assert_not(intr.level, "one byte, one interrupt");
    cr_assert_eq(in(0x60), 0x1e);
    cr_assert(intr.level, "the next byte makes its own edge");
    cr_assert_eq(pic_ack(&board.pic), 0x21);
    cr_assert_eq(in(0x60), 0x9e);
    cr_assert_not(has_byte());
}

Test(kbd, untranslated_keys_are_set_2)
{
    out(0x64, 0x60);
    out(0x60, 0x05);
    kbd_key(&board.kbd, 0x1e);
    kbd_key(&board.kbd, 0x9e);
    kbd_key(&board.kbd, 0xe0);
    kbd_key(&board.kbd, 0x48);
    const uint8_t want[] = {0x1c, 0xf0, 0x1c, 0xe0, 0x75};
    for (size_t i = 0; i < sizeof want; i++)
        cr_assert_eq(in(0x60), want[i], "byte %zu", i);
}

Test(kbd, disabled_scanning_and_disabled_line)
{
    out(0x60, 0xf5);
    in(0x60);
    kbd_key(&board.kbd, 0x1e);
    cr_assert_not(has_byte());
    out(0x60, 0xf4);
    in(0x60);
    out(0x64, 0xad);
    kbd_key(&board.kbd, 0x1e);
    cr_assert_not(has_byte(), "the byte waits in the keyboard");
    out(0x64, 0xae);
    cr_assert_eq(in(0x60), 0x1e);
}

Test(kbd, flood_of_keys_is_bounded)
{
    for (unsigned i = 0; i < 1000; i++)
        kbd_key(&board.kbd, 0x1e);
    unsigned n = 0;
    while (has_byte() && n < 1000) {
        in(0x60);
        n++;
    }
    cr_assert_leq(n, KBD_QUEUE + 1u);
    cr_assert_gt(n, 8u);
}

Test(kbd, output_port_moves_a20_and_reset)
{
    out(0x92, 0x00); /* port 0x92 no longer asks for A20 */
    cr_assert(a20);
    out(0x64, 0xd1);
    out(0x60, 0xdd);
    cr_assert_not(a20);
    out(0x64, 0xd0);
    cr_assert_eq(in(0x60) & 0x03, 0x01);
    out(0x64, 0xdf);
    cr_assert(a20);
    out(0x64, 0xdd);
    cr_assert_not(a20);
    out(0x92, 0x02);
    cr_assert(a20);
    cr_assert_eq(in(0x92), 0x02);
    cr_assert_eq(resets, 0u);
    out(0x64, 0xd1);
    out(0x60, 0xde);
    cr_assert_eq(resets, 1u);
}

Test(kbd, every_way_to_reset)
{
    out(0x64, 0xfe);
    cr_assert_eq(resets, 1u);
    out(0x64, 0xff); /* pulses nothing */
    cr_assert_eq(resets, 1u);
    out(0x92, 0x03);
    cr_assert_eq(resets, 2u);
    out(0xcf9, 0x02);
    cr_assert_eq(resets, 2u);
    out(0xcf9, 0x06);
    cr_assert_eq(resets, 3u);
}

Test(kbd, every_byte_to_both_ports_is_survived)
{
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            out(0x64, a);
            out(0x60, b);
            out(0x60, a);
            in(0x60);
            in(0x64);
        }
    cr_assert_leq(board.kbd.count, (unsigned)KBD_QUEUE);
}

Test(board, pci_scan_finds_the_host_bridge_and_nothing_else)
{
    bus_out(&board.bus, 0xcf8, 0x80000000, 4);
    cr_assert_eq(bus_in(&board.bus, 0xcf8, 4), 0x80000000u, "mechanism 1 is there");
    cr_expect_eq(bus_in(&board.bus, 0xcfc, 4), 0x10001234u);
    cr_expect_eq(bus_in(&board.bus, 0xcfc, 2), 0x1234u);
    cr_expect_eq(bus_in(&board.bus, 0xcff, 1), 0x10u);
    bus_out(&board.bus, 0xcf8, 0x80000008, 4);
    cr_expect_eq(bus_in(&board.bus, 0xcfe, 2), 0x0600u, "class: host bridge");
    bus_out(&board.bus, 0xcf8, 0x8000000c, 4);
    cr_expect_eq(bus_in(&board.bus, 0xcfe, 1), 0u, "one function, header of type 0");
    for (uint32_t reg = 0x10; reg < 0x100; reg += 4) {
        bus_out(&board.bus, 0xcf8, 0x80000000 | reg, 4);
        bus_out(&board.bus, 0xcfc, UINT32_MAX, 4);
        cr_expect_eq(bus_in(&board.bus, 0xcfc, 4), 0u, "no BAR, no capability");
    }
    bus_out(&board.bus, 0xcf8, 0, 4);
    cr_expect_eq(bus_in(&board.bus, 0xcfc, 4), UINT32_MAX, "not enabled");
    for (uint32_t fn = 1; fn < 0x10000; fn++) {
        bus_out(&board.bus, 0xcf8, 0x80000000 | fn << 8, 4);
        cr_assert_eq(bus_in(&board.bus, 0xcfc, 4), 0xffffffffu);
        cr_assert_eq(bus_in(&board.bus, 0xcfe, 2), 0xffffu);
        bus_out(&board.bus, 0xcfc, 0x12345678, 4);
    }
}

Test(board, timer_interrupts_through_the_pic)
{
    out(0x21, 0xfe);
    out(0x43, 0x34);
    out(0x40, 0xa9);
    out(0x40, 0x04); /* 1193: about 1 kHz */
    pic_ack(&board.pic);
    out(0x20, 0x20);
    unsigned ticks = 0;
    while (ns < 1000000000) {
        ns = board_deadline(&board);
        board_update(&board);
        if (intr.level) {
            cr_assert_eq(pic_ack(&board.pic), 0x20);
            out(0x20, 0x20);
            ticks++;
        }
    }
    cr_assert(ticks >= 999 && ticks <= 1001, "%u ticks in a second", ticks);
}

Test(board, clock_interrupts_through_the_slave)
{
    out(0x21, 0xfb);
    out(0xa1, 0xfe);
    out(0x70, 0x0b);
    out(0x71, 0x12);
    ns = 1000000000;
    board_update(&board);
    cr_assert(intr.level);
    cr_assert_eq(pic_ack(&board.pic), 0x28);
}

Test(board, serial_interrupts_and_the_exit_port_stops)
{
    out(0x21, 0xef);
    out(0x3fc, 0x08);
    out(0x3f9, 0x02);
    cr_assert(intr.level);
    cr_assert_eq(pic_ack(&board.pic), 0x24);
    out(0xf4, 0x10);
    cr_assert_eq(stopped, 33);
}

Test(board, random_port_traffic_is_survived)
{
    uint32_t x = 12345;
    for (unsigned i = 0; i < 300000; i++) {
        x = x * 1664525 + 1013904223;
        static const uint16_t ports[] = {0x20,  0x21,  0xa0,  0xa1,  0x4d0, 0x4d1, 0x40,  0x41,
                                         0x42,  0x43,  0x60,  0x61,  0x64,  0x70,  0x71,  0x92,
                                         0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0xcf8, 0xcfc};
        uint16_t port = ports[(x >> 24) % (sizeof ports / sizeof *ports)];
        unsigned size = 1u << (x >> 22 & 3) % 3;
        if (x & 0x100000)
            bus_out(&board.bus, port, x ^ x >> 13, size);
        else
            bus_in(&board.bus, port, size);
        ns += x >> 12 & 0xffff;
        if ((x & 0x70000) == 0) {
            board_update(&board);
            cr_assert(board_deadline(&board) > ns || intr.level || board.rtc.irq_level,
                      "time goes on");
        }
        if (intr.level && (x & 0x8000))
            pic_ack(&board.pic);
    }
}
