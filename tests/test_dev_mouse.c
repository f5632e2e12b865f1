/* The keyboard controller's second port and the mouse on it. */
#include <criterion/criterion.h>

#include "vmm/dev/kbd.h"

static struct bus bus;
static struct a20 a20;
static struct kbd kbd;
static bool level[2]; /* IRQ 1 and 12 */
static unsigned edges[2];

static void on_irq(void *ctx, unsigned n, bool l)
{
    (void)ctx;
    cr_assert_neq(level[n], l, "the line is told of changes only");
    level[n] = l;
    edges[n] += l;
}
static void out(uint16_t port, uint32_t val)
{
    bus_out(&bus, port, val, 1);
}
static uint8_t in(uint16_t port)
{
    return (uint8_t)bus_in(&bus, port, 1);
}

static void start(void)
{
    bus_init(&bus);
    level[0] = level[1] = false;
    edges[0] = edges[1] = 0;
    cr_assert_eq(a20_init(&a20, &bus, (struct line){0}, (struct line){0}), 0);
    cr_assert_eq(
        kbd_init(&kbd, &bus, &a20, (struct line){on_irq, NULL, 0}, (struct line){on_irq, NULL, 1}),
        0);
}
TestSuite(mouse, .init = start);

/* The next byte, which must be the mouse's. */
static uint8_t hear(void)
{
    cr_assert_eq(in(0x64) & 0x21, 0x21, "a byte of the mouse's");
    return in(0x60);
}

/* n bytes of the mouse's, one after the other. */
static bool hears(const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (hear() != bytes[i])
            return false;
    return true;
}
#define HEARS(...) hears((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void tell(uint8_t byte)
{
    out(0x64, 0xd4);
    out(0x60, byte);
}

static void acked(uint8_t byte)
{
    tell(byte);
    cr_assert_eq(hear(), 0xfa, "%02x", byte);
}

static void enable(void)
{
    out(0x64, 0xa8);
    out(0x64, 0x60);
    out(0x60, 0x47);
}

Test(mouse, it_is_switched_off_at_first)
{
    out(0x64, 0x20);
    cr_assert_eq(in(0x64) & 0x21, 0x01, "the controller's own");
    cr_assert_eq(in(0x60), 0x65);
    tell(0xf2);
    cr_assert_eq(in(0x64) & 1, 0);
    out(0x64, 0xa8);
    cr_assert_eq(hear(), 0xfa);
    cr_assert_eq(hear(), 0x00);
    out(0x64, 0x20);
    cr_assert_eq(in(0x60), 0x45, "the bit shows that there is such a port");
    out(0x64, 0xa7);
    out(0x64, 0x20);
    cr_assert_eq(in(0x60), 0x65);
}

Test(mouse, the_controller_tests_and_loops_back)
{
    out(0x64, 0xa9);
    cr_assert_eq(in(0x60), 0);
    enable();
    out(0x64, 0xd3);
    out(0x60, 0x5a);
    cr_assert(level[1] && !level[0]);
    out(0x64, 0xd0);
    cr_assert_eq(in(0x64) & 0x21, 0x01, "an answer goes before");
    in(0x60);
    out(0x64, 0xd3);
    out(0x60, 0xa5);
    cr_assert_eq(hear(), 0xa5);
    cr_assert_not(level[1]);
}

Test(mouse, each_byte_makes_an_edge_of_irq_12)
{
    const unsigned keys = edges[0];
    enable();
    tell(0xff);
    cr_assert_eq(edges[1], 1);
    cr_assert_eq(hear(), 0xfa);
    cr_assert_eq(edges[1], 2);
    cr_assert_eq(hear(), 0xaa);
    cr_assert_eq(hear(), 0x00);
    cr_assert_eq(edges[1], 3);
    cr_assert_eq(edges[0], keys);
    out(0x64, 0x60);
    out(0x60, 0x45); /* no interrupt */
    acked(0xf4);
    cr_assert_eq(edges[1], 3);
}

Test(mouse, keys_and_answers_take_turns)
{
    enable();
    kbd_key(&kbd, 0x1e);
    tell(0xf2);
    cr_assert_eq(in(0x64) & 0x21, 0x01);
    cr_assert(level[0] && !level[1]);
    cr_assert_eq(in(0x60), 0x1e);
    cr_assert(!level[0] && level[1]);
    cr_assert_eq(hear(), 0xfa);
    cr_assert_eq(hear(), 0x00);
    kbd_key(&kbd, 0x9e);
    cr_assert_eq(in(0x64) & 0x21, 0x01);
}

Test(mouse, settings_and_status)
{
    enable();
    tell(0xe9);
    cr_assert(HEARS(0xfa, 0x00, 2, 100));
    acked(0xf3);
    acked(200);
    acked(0xe8);
    acked(3);
    acked(0xe7);
    acked(0xf4);
    acked(0xf0);
    tell(0xe9);
    cr_assert(HEARS(0xfa, 0x70, 3, 200));
    acked(0xf3);
    tell(33); /* no such rate: once more */
    cr_assert_eq(hear(), 0xfe);
    acked(40);
    tell(0xeb);
    cr_assert(HEARS(0xfa, 0x08, 0, 0));
    acked(0xf6);
    tell(0xe9);
    cr_assert(HEARS(0xfa, 0x00, 2, 100));
    tell(0xfe);
    cr_assert(HEARS(0xfa, 0x00, 2, 100), "once more");
    tell(0xe1);
    cr_assert_eq(hear(), 0xfe, "no such command");
}

Test(mouse, wrap_mode_gives_back_what_it_gets)
{
    enable();
    acked(0xee);
    tell(0xf4);
    cr_assert_eq(hear(), 0xf4);
    acked(0xec);
    acked(0xee);
    tell(0xff);
    cr_assert(HEARS(0xfa, 0xaa, 0x00));
    for (unsigned i = 0; i < 100; i++) /* more than anybody reads */
        tell(i % 2 ? 0xeb : 0xee);
}

Test(mouse, the_self_test_switches_both_ports_off)
{
    enable();
    out(0x64, 0xaa);
    cr_assert_eq(in(0x60), 0x55);
    out(0x64, 0x20);
    cr_assert_eq(in(0x60) & 0x30, 0x30);
}
