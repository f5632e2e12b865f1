/* The MC146818: calendar, formats, alarms and periodic ticks. */
#include <criterion/criterion.h>
#include <time.h>

#include "tests/dev_pins.h"
#include "vmm/dev/rtc.h"

#define S 1000000000ull

static struct bus bus;
static struct rtc rtc;
static uint64_t ns;
static struct pin irq;

static uint8_t rd(uint8_t reg)
{
    bus_out(&bus, 0x70, reg, 1);
    return (uint8_t)bus_in(&bus, 0x71, 1);
}
static void wr(uint8_t reg, uint8_t val)
{
    bus_out(&bus, 0x70, reg, 1);
    bus_out(&bus, 0x71, val, 1);
}

static void power_on(uint64_t seconds, uint64_t ram)
{
    irq.level = false;
    ns = 5 * S;
    bus_init(&bus);
    cr_assert_eq(rtc_init(&rtc, &bus, (struct clock){pin_clock, &ns},
                          (struct line){pin_drive, &irq, 8}, seconds, ram),
                 0);
}

/* 2024-02-28 23:59:58 UTC, a Wednesday */
#define EVE 1709164798u
static void start(void)
{
    power_on(EVE, 64 << 20);
}
TestSuite(rtc, .init = start);

static uint16_t sum(void)
{
    uint16_t n = 0;
    for (uint8_t i = 0x10; i <= 0x2d; i++)
        n = (uint16_t)(n + rd(i));
    return n;
}

Test(rtc, setup_tells_of_drives)
{
    cr_assert_eq(rd(0x12), 0);
    cr_assert_eq(rd(0x10), 0);
    cr_assert_eq(rd(0x14) & 0xc1, 0);
    cr_assert_eq(rd(0x2e) << 8 | rd(0x2f), sum());
    rtc_set_disk(&rtc, 0, 20);
    cr_assert_eq(rd(0x12), 0xf0);
    cr_assert_eq(rd(0x19), 47);
    cr_assert(rd(0x1b) == 20 && rd(0x1c) == 0 && rd(0x1d) == 16 && rd(0x23) == 63);
    rtc_set_disk(&rtc, 1, 1025);
    cr_assert_eq(rd(0x12), 0xff);
    cr_assert_eq(rd(0x1a), 47);
    cr_assert(rd(0x24) == 1 && rd(0x25) == 4 && rd(0x26) == 16 && rd(0x2c) == 63);
    rtc_set_disk(&rtc, 3, 16383);
    cr_assert_eq(rd(0x39), 0x44, "the firmware translates for drives 1 and 3");
    rtc_set_floppies(&rtc, 0x42);
    cr_assert_eq(rd(0x10), 0x42);
    cr_assert_eq(rd(0x14) & 0xc1, 0x41, "two of them");
    cr_assert_eq(rd(0x2e) << 8 | rd(0x2f), sum());
}

static void expect(unsigned year, unsigned mon, unsigned day, unsigned h, unsigned m, unsigned s)
{
    cr_expect_eq(rd(0x32) * 100u + rd(9), year);
    cr_expect_eq(rd(8), mon);
    cr_expect_eq(rd(7), day);
    cr_expect_eq(rd(4), h);
    cr_expect_eq(rd(2), m);
    cr_expect_eq(rd(0), s);
}

Test(rtc, reset_state)
{
    cr_assert_eq(rd(10) & 0x7f, 0x26);
    cr_assert_eq(rd(11), 0x02);
    cr_assert_eq(rd(12), 0x00);
    cr_assert_eq(rd(13), 0x80);
}

Test(rtc, calendar_in_bcd_rolls_into_the_leap_day)
{
    cr_assert_eq(rd(0), 0x58);
    cr_assert_eq(rd(2), 0x59);
    cr_assert_eq(rd(4), 0x23);
    cr_assert_eq(rd(6), 4, "Wednesday");
    cr_assert_eq(rd(7), 0x28);
    cr_assert_eq(rd(8), 0x02);
    cr_assert_eq(rd(9), 0x24);
    cr_assert_eq(rd(0x32), 0x20);
    ns += 2 * S;
    cr_assert_eq(rd(7), 0x29);
    cr_assert_eq(rd(6), 5);
    cr_assert_eq(rd(4), 0x00);
}

Test(rtc, dates_agree_with_the_c_library)
{
    wr(11, 0x06); /* binary */
    const uint64_t probes[] = {0,          951782399,   951782400,  1078012800, 4107542399,
                               4107542400, 13574563200, 1000000000, 2147483648};
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        power_on(probes[i], 1 << 20);
        wr(11, 0x06);
        time_t t = (time_t)probes[i];
        struct tm tm;
        gmtime_r(&t, &tm);
        expect((unsigned)tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday,
               (unsigned)tm.tm_hour, (unsigned)tm.tm_min, (unsigned)tm.tm_sec);
        cr_expect_eq(rd(6), tm.tm_wday + 1);
    }
}

Test(rtc, twelve_hour_format)
{
    wr(11, 0x80 | 0x04); /* SET, binary, 12 hours */
    const struct {
        uint8_t reg;
        unsigned hour24;
    } cases[] = {{12, 0}, {1, 1}, {11, 11}, {0x8c, 12}, {0x81, 13}, {0x8b, 23}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wr(11, 0x84);
        wr(4, cases[i].reg);
        wr(11, 0x04);
        cr_expect_eq(rd(4), cases[i].reg);
        wr(11, 0x06);
        cr_expect_eq(rd(4), cases[i].hour24, "%#x", cases[i].reg);
    }
}

Test(rtc, set_freezes_the_registers_and_the_clock_goes_on_from_them)
{
    wr(11, 0x86);
    wr(0, 59);
    wr(2, 59);
    wr(4, 23);
    wr(7, 31);
    wr(8, 12);
    wr(9, 99);
    wr(0x32, 19);
    ns += 100 * S;
    expect(1999, 12, 31, 23, 59, 59);
    wr(11, 0x06);
    expect(1999, 12, 31, 23, 59, 59);
    ns += S;
    expect(2000, 1, 1, 0, 0, 0);
}

Test(rtc, single_registers_can_be_set_while_it_runs)
{
    wr(11, 0x06);
    wr(4, 7);
    expect(2024, 2, 28, 7, 59, 58);
    ns += 2 * S;
    expect(2024, 2, 28, 8, 0, 0);
}

Test(rtc, impossible_dates_become_possible_ones)
{
    wr(11, 0x86);
    wr(8, 0xff);
    wr(7, 0xff);
    wr(4, 0xff);
    wr(2, 0xff);
    wr(0, 0xff);
    wr(9, 0xff);
    wr(0x32, 0xff);
    wr(11, 0x06);
    cr_assert_leq(rd(8), 12);
    cr_assert_leq(rd(7), 31);
    cr_assert_lt(rd(4), 24);
    cr_assert_lt(rd(2), 60);
    wr(0x32, 200);
    wr(9, 99);
    ns += 3 * S;
    cr_assert_eq(rd(0x32), 200, "years far ahead do not wrap");
    wr(8, 0);
    wr(7, 0);
    wr(0x32, 0);
    cr_assert_geq(rd(8), 1);
    cr_assert_geq(rd(7), 1);
}

Test(rtc, update_in_progress_shows_before_the_second_ends)
{
    cr_assert_not(rd(10) & 0x80);
    ns += S - 244000;
    cr_assert(rd(10) & 0x80);
    ns += 244000;
    cr_assert_not(rd(10) & 0x80);
}

Test(rtc, update_ended_interrupts_each_second_until_c_is_read)
{
    wr(11, 0x12);
    cr_assert_eq(rtc_deadline(&rtc), 6 * S);
    ns = 6 * S;
    rtc_update(&rtc);
    cr_assert(irq.level);
    cr_assert_eq(rtc_deadline(&rtc), CLOCK_NEVER);
    cr_assert_eq(rd(12) & 0x90, 0x90);
    cr_assert_not(irq.level);
    cr_assert_eq(rd(12) & 0x90, 0);
    cr_assert_eq(rtc_deadline(&rtc), 7 * S);
}

Test(rtc, periodic_rates)
{
    for (unsigned rate = 3; rate < 16; rate++) {
        power_on(EVE, 1 << 20);
        wr(10, (uint8_t)(0x20 | rate));
        wr(11, 0x42);
        unsigned ticks = 0;
        for (uint64_t due; (due = rtc_deadline(&rtc)) <= 6 * S; ticks++) {
            ns = due;
            rtc_update(&rtc);
            cr_assert(irq.level, "a deadline brings its interrupt");
            cr_assert_eq(rd(12) & 0xc0, 0xc0);
        }
        cr_assert_eq(ticks, 32768u >> (rate - 1), "rate %u", rate);
    }
}

Test(rtc, rate_zero_never_ticks)
{
    wr(10, 0x20);
    wr(11, 0x42);
    cr_assert_eq(rtc_deadline(&rtc), CLOCK_NEVER);
}

Test(rtc, alarm_matches_exactly_or_by_wildcard)
{
    wr(1, 0x03);
    wr(3, 0x00);
    wr(5, 0x00);
    wr(11, 0x22);
    for (unsigned i = 0; i < 4; i++) {
        ns += S;
        rtc_update(&rtc);
        cr_assert_not(irq.level, "second %u", i);
    }
    ns += S; /* 00:00:03 */
    rtc_update(&rtc);
    cr_assert(irq.level);
    cr_assert_eq(rd(12) & 0xa0, 0xa0);
    wr(3, 0xc0);
    wr(5, 0xff);
    ns += 60 * S;
    rtc_update(&rtc);
    cr_assert(irq.level, "every minute's third second");
}

Test(rtc, flags_come_without_their_enables_but_no_interrupt)
{
    ns += 2 * S;
    rtc_update(&rtc);
    cr_assert_not(irq.level);
    cr_assert_eq(rd(12) & 0xd0, 0x50);
}

Test(rtc, cmos_keeps_bytes_and_tells_memory)
{
    wr(0x40, 0xa5);
    cr_assert_eq(rd(0x40), 0xa5);
    cr_assert_eq(rd(0x15) | rd(0x16) << 8, 640);
    cr_assert_eq(rd(0x30) | rd(0x31) << 8, 63 * 1024);
    cr_assert_eq(rd(0x34) | rd(0x35) << 8, 48 * 16);
    power_on(EVE, 4ull << 30);
    cr_assert_eq(rd(0x30) | rd(0x31) << 8, 0xffff);
    cr_assert_eq(rd(0x80 | 0x0d), 0x80, "bit 7 of the index is the NMI mask");
}
