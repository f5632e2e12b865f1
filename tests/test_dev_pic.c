/* Two 8259As as the data sheet has them, driven as a kernel drives them. */
#include <criterion/criterion.h>

#include "vmm/dev/pic.h"

static struct bus bus;
static struct pic pic;
static bool intr;

static void on_intr(void *ctx, unsigned n, bool level)
{
    (void)ctx;
    (void)n;
    cr_assert_neq(intr, level, "the line is told of changes only");
    intr = level;
}

static void out(uint16_t port, uint8_t val)
{
    bus_out(&bus, port, val, 1);
}
static uint8_t in(uint16_t port)
{
    return (uint8_t)bus_in(&bus, port, 1);
}
static void pulse(unsigned n)
{
    pic_set(&pic, n, true);
    pic_set(&pic, n, false);
}

static uint8_t irr(uint16_t port)
{
    out(port, 0x0a);
    return in(port);
}
static uint8_t isr(uint16_t port)
{
    out(port, 0x0b);
    return in(port);
}

/* As Linux and everybody else does it: vectors 0x20 and 0x28, normal EOI; icw4 for both. */
static void init_with(uint8_t icw4)
{
    out(0x20, 0x11);
    out(0x21, 0x20);
    out(0x21, 0x04);
    out(0x21, icw4);
    out(0xa0, 0x11);
    out(0xa1, 0x28);
    out(0xa1, 0x02);
    out(0xa1, icw4);
}

static void start(void)
{
    intr = false;
    bus_init(&bus);
    cr_assert_eq(pic_init(&pic, &bus, (struct line){on_intr, NULL, 0}), 0);
    init_with(0x01);
}

TestSuite(pic, .init = start);

Test(pic, starts_masked_before_initialisation)
{
    struct bus b;
    struct pic p;
    bus_init(&b);
    cr_assert_eq(pic_init(&p, &b, (struct line){0}), 0);
    pic_set(&p, 0, true);
    cr_assert_not(pic_pending(&p));
    cr_assert_eq(bus_in(&b, 0x21, 1), 0xffu);
}

Test(pic, initialisation_clears_mask_and_sets_vectors)
{
    cr_assert_eq(in(0x21), 0);
    pulse(3);
    cr_assert(intr);
    cr_assert_eq(pic_ack(&pic), 0x23);
    cr_assert_not(intr);
    pulse(12);
    cr_assert(intr, "the cascade, input 2, ranks above input 3");
    cr_assert_eq(pic_ack(&pic), 0x2c);
}

Test(pic, mask_holds_back_but_keeps_the_request)
{
    out(0x21, 0x08);
    pulse(3);
    cr_assert_not(intr);
    cr_assert_eq(irr(0x20), 0x08);
    out(0x21, 0x00);
    cr_assert(intr);
}

Test(pic, higher_priority_nests_and_lower_waits_for_eoi)
{
    pulse(4);
    cr_assert_eq(pic_ack(&pic), 0x24);
    pulse(6);
    cr_assert_not(intr);
    pulse(1);
    cr_assert(intr);
    cr_assert_eq(pic_ack(&pic), 0x21);
    cr_assert_eq(isr(0x20), 0x12);
    out(0x20, 0x20);
    cr_assert_eq(isr(0x20), 0x10, "the EOI ends the innermost");
    cr_assert_not(intr);
    out(0x20, 0x20);
    cr_assert(intr);
    cr_assert_eq(pic_ack(&pic), 0x26);
}

Test(pic, same_input_waits_for_its_own_eoi)
{
    pulse(0);
    pic_ack(&pic);
    pulse(0);
    cr_assert_not(intr);
    out(0x20, 0x60);
    cr_assert(intr);
}

Test(pic, edge_needs_a_low_before_it)
{
    pic_set(&pic, 5, true);
    cr_assert_eq(pic_ack(&pic), 0x25);
    pic_set(&pic, 5, true);
    out(0x20, 0x20);
    cr_assert_not(intr);
    pic_set(&pic, 5, false);
    pic_set(&pic, 5, true);
    cr_assert(intr);
}

Test(pic, level_trigger_asks_again_while_the_line_is_high)
{
    out(0x4d0, 0x20);
    cr_assert_eq(in(0x4d0), 0x20);
    pic_set(&pic, 5, true);
    cr_assert_eq(pic_ack(&pic), 0x25);
    out(0x20, 0x20);
    cr_assert(intr);
    pic_set(&pic, 5, false);
    cr_assert_not(intr, "and not when it has fallen");
}

Test(pic, trigger_of_timer_keyboard_and_cascade_is_fixed)
{
    out(0x4d0, 0xff);
    out(0x4d1, 0xff);
    cr_assert_eq(in(0x4d0), 0xf8);
    cr_assert_eq(in(0x4d1), 0xde);
}

Test(pic, slave_goes_through_the_cascade_and_needs_two_eois)
{
    pulse(8);
    cr_assert_eq(pic_ack(&pic), 0x28);
    cr_assert_eq(isr(0x20), 0x04);
    cr_assert_eq(isr(0xa0), 0x01);
    pulse(14);
    cr_assert_not(intr);
    out(0xa0, 0x20);
    cr_assert_not(intr, "the master still serves its input 2");
    out(0x20, 0x20);
    cr_assert(intr);
    cr_assert_eq(pic_ack(&pic), 0x2e);
}

Test(pic, special_fully_nested_lets_the_slave_interrupt_itself)
{
    init_with(0x11);
    pulse(14);
    cr_assert_eq(pic_ack(&pic), 0x2e);
    pulse(8);
    cr_assert(intr);
    cr_assert_eq(pic_ack(&pic), 0x28);
}

Test(pic, request_that_vanishes_is_spurious_seven_with_no_bit_in_service)
{
    out(0x4d0, 0x20);
    pic_set(&pic, 5, true);
    pic_set(&pic, 5, false);
    cr_assert_eq(pic_ack(&pic), 0x27);
    cr_assert_eq(isr(0x20), 0);
}

Test(pic, auto_eoi_leaves_nothing_in_service)
{
    init_with(0x03);
    pulse(3);
    cr_assert_eq(pic_ack(&pic), 0x23);
    cr_assert_eq(isr(0x20), 0);
    pulse(6);
    cr_assert(intr);
}

Test(pic, auto_eoi_with_rotation_makes_the_served_one_lowest)
{
    init_with(0x03);
    out(0x20, 0x80);
    pulse(3);
    pic_ack(&pic);
    pulse(3);
    pulse(7);
    cr_assert_eq(pic_ack(&pic), 0x27, "4 is highest now, so 7 goes before 3");
    out(0x20, 0x00);
}

Test(pic, rotating_eoi_gives_the_served_one_lowest_priority)
{
    pulse(0);
    pic_ack(&pic);
    out(0x20, 0xa0);
    pulse(0);
    pulse(7);
    cr_assert_eq(pic_ack(&pic), 0x27);
}

Test(pic, specific_rotation_and_set_priority)
{
    out(0x20, 0xc5);
    pulse(0);
    pulse(6);
    cr_assert_eq(pic_ack(&pic), 0x26, "5 lowest means 6 highest");
    out(0x20, 0xe6);
    cr_assert_eq(isr(0x20), 0);
    cr_assert_eq(pic_ack(&pic), 0x20);
}

Test(pic, specific_eoi_ends_the_named_one)
{
    pulse(4);
    pic_ack(&pic);
    pulse(1);
    pic_ack(&pic);
    out(0x20, 0x64);
    cr_assert_eq(isr(0x20), 0x02);
}

Test(pic, special_mask_lets_lower_ones_through)
{
    pulse(1);
    pic_ack(&pic);
    pulse(6);
    cr_assert_not(intr);
    out(0x21, 0x02);
    cr_assert_not(intr);
    out(0x20, 0x68);
    cr_assert(intr, "the masked input in service no longer holds others back");
    out(0x20, 0x20);
    cr_assert_eq(isr(0x20), 0x02, "and a plain EOI does not see it");
}

Test(pic, poll_acknowledges_by_reading)
{
    out(0x20, 0x0c);
    cr_assert_eq(in(0x20), 0x00);
    pulse(3);
    out(0x20, 0x0c);
    cr_assert_eq(in(0x20), 0x83);
    cr_assert_not(intr);
    cr_assert_eq(isr(0x20), 0x08);
}

Test(pic, reinitialisation_forgets_requests_but_not_line_levels)
{
    pic_set(&pic, 3, true);
    init_with(0x01);
    cr_assert_not(intr);
    pic_set(&pic, 3, true);
    cr_assert_not(intr, "no edge");
    pic_set(&pic, 3, false);
    pic_set(&pic, 3, true);
    cr_assert(intr);
}

Test(pic, short_initialisation_without_icw4)
{
    out(0x20, 0x12); /* single, no ICW4 */
    out(0x21, 0x45);
    out(0x21, 0xf7);
    cr_assert_eq(in(0x21), 0xf7, "the next write is the mask again");
    pulse(3);
    cr_assert_eq(pic_ack(&pic), 0x43, "vector's low bits are the input");
}

Test(pic, cascade_input_and_wild_numbers_cannot_be_driven)
{
    pic_set(&pic, 2, true);
    pic_set(&pic, 16, true);
    pic_set(&pic, 1000, true);
    cr_assert_not(intr);
}
