/* The 8254: counts, waves, latches and gates, tick by tick against the data sheet's diagrams. */
#include <criterion/criterion.h>

#include "tests/dev_pins.h"
#include "vmm/dev/pit.h"

static struct bus bus;
static struct pit pit;
static uint64_t ns;
static struct pin irq;

/* First nanosecond of a tick. */
static uint64_t tick_ns(uint64_t tick)
{
    return (uint64_t)(((unsigned __int128)tick * 1000000000u + PIT_HZ - 1) / PIT_HZ);
}

static uint64_t tick;
static void at(uint64_t t)
{
    tick = t;
    ns = tick_ns(t);
}
static void pass(uint64_t ticks)
{
    at(tick + ticks);
}

static void out(uint16_t port, uint8_t val)
{
    bus_out(&bus, port, val, 1);
}
static uint8_t in(uint16_t port)
{
    return (uint8_t)bus_in(&bus, port, 1);
}

static void program(unsigned ch, unsigned mode, unsigned bcd, uint16_t count)
{
    out(0x43, (uint8_t)(ch << 6 | 3 << 4 | mode << 1 | bcd));
    out((uint16_t)(0x40 + ch), (uint8_t)count);
    out((uint16_t)(0x40 + ch), (uint8_t)(count >> 8));
}

static uint16_t count_of(unsigned ch)
{
    out(0x43, (uint8_t)(ch << 6));
    uint8_t low = in((uint16_t)(0x40 + ch));
    return (uint16_t)(in((uint16_t)(0x40 + ch)) << 8 | low);
}

static void gate2(bool on)
{
    out(0x61, on);
}

static void start(void)
{
    at(1000);
    irq.level = false;
    bus_init(&bus);
    cr_assert_eq(
        pit_init(&pit, &bus, (struct clock){pin_clock, &ns}, (struct line){pin_drive, &irq, 0}), 0);
    pit_update(&pit);
    irq.rises = 0;
}

TestSuite(pit, .init = start);

Test(pit, firmware_leaves_channel_0_at_18_hertz)
{
    at(1000 + 65535);
    pit_update(&pit);
    cr_assert_eq(irq.rises, 0u);
    cr_assert_eq(pit_deadline(&pit), tick_ns(1000 + 65536));
    pass(1);
    pit_update(&pit);
    cr_assert_eq(irq.rises, 1u);
}

Test(pit, mode_0_goes_high_once_at_terminal_count_and_wraps)
{
    program(2, 0, 0, 100);
    gate2(true);
    cr_assert_not(pit_output(&pit, 2));
    cr_assert_eq(count_of(2), 100);
    pass(99);
    cr_assert_eq(count_of(2), 1);
    cr_assert_not(pit_output(&pit, 2));
    pass(1);
    cr_assert_eq(count_of(2), 0);
    cr_assert(pit_output(&pit, 2));
    pass(1);
    cr_assert_eq(count_of(2), 0xffff);
    cr_assert(pit_output(&pit, 2));
}

Test(pit, mode_0_gate_suspends)
{
    program(2, 0, 0, 100);
    gate2(true);
    pass(40);
    gate2(false);
    pass(1000);
    cr_assert_eq(count_of(2), 60);
    gate2(true);
    pass(59);
    cr_assert_not(pit_output(&pit, 2));
    pass(1);
    cr_assert(pit_output(&pit, 2));
}

Test(pit, mode_0_on_channel_0_interrupts_once)
{
    program(0, 0, 0, 50);
    irq.rises = 0;
    cr_assert_eq(pit_deadline(&pit), tick_ns(1050));
    pass(50);
    pit_update(&pit);
    cr_assert_eq(irq.rises, 1u);
    cr_assert_eq(pit_deadline(&pit), CLOCK_NEVER);
    pass(1000000);
    pit_update(&pit);
    cr_assert_eq(irq.rises, 1u);
    program(0, 0, 0, 50);
    cr_assert_not(irq.level, "a new count takes OUT low");
}

Test(pit, mode_1_is_started_and_restarted_by_the_gate)
{
    gate2(false);
    program(2, 1, 0, 10);
    pass(100);
    cr_assert(pit_output(&pit, 2), "high until triggered");
    gate2(true);
    cr_assert_not(pit_output(&pit, 2));
    pass(5);
    gate2(false);
    gate2(true);
    pass(9);
    cr_assert_not(pit_output(&pit, 2), "the second trigger began anew");
    pass(1);
    cr_assert(pit_output(&pit, 2));
}

Test(pit, mode_2_is_low_for_the_last_tick_of_each_period)
{
    gate2(true);
    program(2, 2, 0, 4);
    const bool wave[] = {1, 1, 1, 0, 1, 1, 1, 0, 1};
    const uint16_t count[] = {4, 3, 2, 1, 4, 3, 2, 1, 4};
    for (unsigned i = 0; i < 9; i++) {
        cr_assert_eq(pit_output(&pit, 2), wave[i], "tick %u", i);
        cr_assert_eq(count_of(2), count[i], "tick %u", i);
        pass(1);
    }
}

Test(pit, mode_2_new_count_waits_for_the_period_to_end)
{
    program(0, 2, 0, 100);
    irq.rises = 0;
    pass(30);
    out(0x40, 10);
    out(0x40, 0);
    cr_assert_eq(pit_deadline(&pit), tick_ns(1100));
    pass(70);
    pit_update(&pit);
    cr_assert_eq(irq.rises, 1u);
    cr_assert_eq(pit_deadline(&pit), tick_ns(1110));
    pass(10);
    pit_update(&pit);
    cr_assert_eq(irq.rises, 2u);
}

Test(pit, missed_periods_make_one_edge_and_keep_the_phase)
{
    program(0, 2, 0, 100);
    irq.rises = 0;
    pass(1050);
    pit_update(&pit);
    cr_assert_eq(irq.rises, 1u);
    cr_assert_eq(pit_deadline(&pit), tick_ns(1000 + 1100));
}

Test(pit, deadlines_met_give_every_edge)
{
    program(0, 2, 0, 1193);
    irq.rises = 0;
    for (unsigned i = 0; i < 1000; i++) {
        ns = pit_deadline(&pit);
        pit_update(&pit);
    }
    cr_assert_eq(irq.rises, 1000u);
    cr_assert_eq(ns, tick_ns(1000 + 1193000));
}

Test(pit, mode_3_is_a_square_wave_that_counts_by_two)
{
    gate2(true);
    program(2, 3, 0, 6);
    const bool wave[] = {1, 1, 1, 0, 0, 0, 1};
    const uint16_t count[] = {6, 4, 2, 6, 4, 2, 6};
    for (unsigned i = 0; i < 7; i++) {
        cr_assert_eq(pit_output(&pit, 2), wave[i], "tick %u", i);
        cr_assert_eq(count_of(2), count[i], "tick %u", i);
        pass(1);
    }
    program(2, 3, 0, 5);
    pass(6); /* the old wave of 6 ends first: it began anew with the control word's count */
    unsigned high = 0;
    for (unsigned i = 0; i < 50; i++, pass(1))
        high += pit_output(&pit, 2);
    cr_assert_eq(high, 30u, "odd counts: high for one tick more than low");
}

Test(pit, mode_3_gate_low_forces_output_high_and_gate_high_restarts)
{
    gate2(true);
    program(2, 3, 0, 10);
    pass(7);
    cr_assert_not(pit_output(&pit, 2));
    gate2(false);
    cr_assert(pit_output(&pit, 2));
    pass(33);
    gate2(true);
    cr_assert_eq(count_of(2), 10);
    pass(5);
    cr_assert_not(pit_output(&pit, 2));
}

Test(pit, mode_4_strobes_for_one_tick)
{
    gate2(true);
    program(2, 4, 0, 8);
    cr_assert(pit_output(&pit, 2));
    pass(8);
    cr_assert_not(pit_output(&pit, 2));
    pass(1);
    cr_assert(pit_output(&pit, 2));
}

Test(pit, mode_5_strobes_after_the_gates_edge)
{
    gate2(false);
    program(2, 5, 0, 8);
    pass(50);
    cr_assert(pit_output(&pit, 2));
    gate2(true);
    pass(8);
    cr_assert_not(pit_output(&pit, 2));
    pass(1);
    cr_assert(pit_output(&pit, 2));
}

Test(pit, modes_6_and_7_are_2_and_3)
{
    program(2, 6, 0, 10);
    out(0x43, 0xe8); /* status of channel 2 */
    cr_assert_eq(in(0x42) >> 1 & 7, 2);
    program(2, 7, 0, 10);
    out(0x43, 0xe8);
    cr_assert_eq(in(0x42) >> 1 & 7, 3);
}

Test(pit, latched_count_holds_until_both_bytes_are_read)
{
    gate2(true);
    program(2, 0, 0, 0x1234);
    out(0x43, 0x80);
    pass(100);
    out(0x43, 0x80); /* ignored: one is latched */
    cr_assert_eq(in(0x42), 0x34);
    cr_assert_eq(in(0x42), 0x12);
    cr_assert_eq(count_of(2), 0x1234 - 100);
}

Test(pit, unlatched_reads_alternate_and_one_byte_modes_do_not)
{
    program(2, 0, 0, 0x1234);
    cr_assert_eq(in(0x42), 0x34);
    cr_assert_eq(in(0x42), 0x12);
    out(0x43, 0xa0); /* high byte only, mode 0 */
    out(0x42, 0x56);
    cr_assert_eq(in(0x42), 0x56);
    cr_assert_eq(in(0x42), 0x56);
    out(0x43, 0x90); /* low byte only */
    out(0x42, 0x78);
    cr_assert_eq(in(0x42), 0x78);
    cr_assert_eq(in(0x42), 0x78);
}

Test(pit, read_back_gives_status_then_count_of_several_channels)
{
    program(0, 2, 0, 0x100);
    program(2, 0, 0, 0x200);
    out(0x43, 0xca); /* count and status of channels 0 and 2 */
    pass(17);
    cr_assert_eq(in(0x40), 0x80 | 3 << 4 | 2 << 1);
    cr_assert_eq(in(0x42), 3 << 4);
    cr_assert_eq(in(0x40), 0x00);
    cr_assert_eq(in(0x40), 0x01);
    cr_assert_eq(in(0x42), 0x00);
    cr_assert_eq(in(0x42), 0x02);
}

Test(pit, status_shows_the_null_count_until_one_is_written)
{
    out(0x43, 0xb4);
    out(0x43, 0xe8);
    cr_assert(in(0x42) & 0x40);
    out(0x42, 1);
    out(0x42, 1);
    out(0x43, 0xe8);
    cr_assert_not(in(0x42) & 0x40);
}

Test(pit, bcd_counts_in_decimal)
{
    gate2(true);
    program(2, 0, 1, 0x1000);
    pass(1);
    cr_assert_eq(count_of(2), 0x0999);
    program(2, 0, 1, 0);
    pass(1);
    cr_assert_eq(count_of(2), 0x9999);
    pass(9999);
    cr_assert(pit_output(&pit, 2));
    cr_assert_eq(count_of(2), 0);
}

Test(pit, count_zero_is_the_longest)
{
    gate2(true);
    program(2, 0, 0, 0);
    pass(65535);
    cr_assert_not(pit_output(&pit, 2));
    pass(1);
    cr_assert(pit_output(&pit, 2));
}

Test(pit, no_count_can_stop_the_machine)
{
    for (unsigned mode = 0; mode < 8; mode++)
        for (unsigned bcd = 0; bcd < 2; bcd++)
            for (unsigned raw = 0; raw < 0x10000; raw += 0x1111) { /* 0xAAAA.. are no BCD numbers */
                program(0, mode, bcd, (uint16_t)raw);
                pass(3);
                pit_update(&pit);
                count_of(0);
                uint64_t due = pit_deadline(&pit);
                cr_assert(due > ns, "a deadline lies ahead (mode %u count %#x)", mode, raw);
            }
    program(0, 2, 0, 1);
    cr_assert_gt(pit_deadline(&pit), ns);
}

Test(pit, mode_0_first_byte_of_two_stops_the_count)
{
    gate2(true);
    program(2, 0, 0, 100);
    pass(200);
    cr_assert(pit_output(&pit, 2));
    out(0x42, 50);
    cr_assert_not(pit_output(&pit, 2));
    pass(1000);
    cr_assert_not(pit_output(&pit, 2));
    out(0x42, 0);
    pass(50);
    cr_assert(pit_output(&pit, 2));
}

Test(pit, port_61_shows_gate_output_and_refresh)
{
    gate2(false);
    program(2, 0, 0, 100);
    out(0x61, 0x01);
    cr_assert_eq(in(0x61) & 0x23, 0x01);
    pass(100);
    cr_assert_eq(in(0x61) & 0x23, 0x21);
    unsigned turns = 0;
    uint8_t last = in(0x61) & 0x10;
    for (unsigned i = 0; i < 1800; i++, pass(1)) {
        uint8_t now = in(0x61) & 0x10;
        turns += now != last;
        last = now;
    }
    cr_assert_eq(turns, 100u, "refresh turns over every 18 ticks");
}
