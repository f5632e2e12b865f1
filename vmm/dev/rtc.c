/*
 * After Motorola's MC146818A data sheet. The time base is the PC's 32,768 Hz. Simplified: the
 * divider always runs (register A's bits 6..4 are stored only), and setting the clock keeps the
 * phase of the second.
 */
#include "vmm/dev/rtc.h"

#include <string.h>

#define NS_PER_S 1000000000ull
#define UIP_NS   244141u /* update-in-progress shows this long before the second ends */

enum { SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR };
enum { REG_A = 10, REG_B = 11, REG_C = 12, REG_D = 13 };
enum { EQUIPMENT = 0x14, CENTURY = 0x32 };
enum { A_UIP = 0x80, B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10 };
enum { B_BINARY = 4, B_24H = 2, C_IRQF = 0x80, C_FLAGS = 0x70, D_VALID = 0x80 };

/* ------------------------------------------------------------------ the calendar */

struct date {
    unsigned year, month, day, hour, min, sec, weekday; /* month, day from 1; Sunday is 1 */
};

static bool leap(unsigned y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static unsigned month_days(unsigned y, unsigned m)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && leap(y) ? 29 : days[(m - 1) % 12];
}

static unsigned leaps_before(unsigned y)
{
    return (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400;
}

static uint64_t days_before_year(unsigned y)
{
    return (uint64_t)(y - 1970) * 365 + leaps_before(y) - leaps_before(1970);
}

static struct date date_of(uint64_t seconds)
{
    uint64_t days = seconds / 86400, left = days;
    unsigned rest = (unsigned)(seconds % 86400);
    struct date d = {.hour = rest / 3600, .min = rest / 60 % 60, .sec = rest % 60};
    d.weekday = (unsigned)((days + 4) % 7) + 1; /* 1 January 1970 was a Thursday */
    d.year = 1970 + (unsigned)(days / 366);
    while (days_before_year(d.year + 1) <= days)
        d.year++;
    left -= days_before_year(d.year);
    d.month = 1;
    while (left >= month_days(d.year, d.month))
        left -= month_days(d.year, d.month++);
    d.day = (unsigned)left + 1;
    return d;
}

/* The guest sets any date it likes: what no calendar holds is brought into range first. */
static uint64_t seconds_of(struct date d)
{
    d.year = d.year < 1970 ? 1970 : d.year;
    d.month = d.month < 1 ? 1 : d.month > 12 ? 12 : d.month;
    unsigned last = month_days(d.year, d.month);
    d.day = d.day < 1 ? 1 : d.day > last ? last : d.day;
    uint64_t days = days_before_year(d.year) + d.day - 1;
    for (unsigned m = 1; m < d.month; m++)
        days += month_days(d.year, m);
    return days * 86400 + (uint64_t)(d.hour % 24 * 3600 + d.min % 60 * 60 + d.sec % 60);
}

/* Seconds and nanoseconds apart: a guest may set years that 64 bits of nanoseconds do not reach. */
static uint64_t elapsed_ns(const struct rtc *r)
{
    return clock_now(&r->clock) - r->zero_ns;
}

static uint64_t calendar_second(const struct rtc *r)
{
    return r->offset_s + elapsed_ns(r) / NS_PER_S;
}

/* ------------------------------------------------------------------ registers */

static uint8_t encode(const struct rtc *r, unsigned val)
{
    return (uint8_t)(r->reg[REG_B] & B_BINARY ? val : val / 10 << 4 | val % 10);
}

static unsigned decode(const struct rtc *r, uint8_t val)
{
    return r->reg[REG_B] & B_BINARY ? val : (val >> 4) * 10u + (val & 15);
}

static uint8_t encode_hour(const struct rtc *r, unsigned hour)
{
    if (r->reg[REG_B] & B_24H)
        return encode(r, hour);
    return (uint8_t)(encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? 0x80 : 0));
}

static unsigned decode_hour(const struct rtc *r, uint8_t val)
{
    if (r->reg[REG_B] & B_24H)
        return decode(r, val);
    return decode(r, val & 0x7f) % 12 + (val & 0x80 ? 12 : 0);
}

static void registers_from(struct rtc *r, uint64_t seconds)
{
    struct date d = date_of(seconds);
    r->reg[SEC] = encode(r, d.sec);
    r->reg[MIN] = encode(r, d.min);
    r->reg[HOUR] = encode_hour(r, d.hour);
    r->reg[WEEKDAY] = encode(r, d.weekday);
    r->reg[DAY] = encode(r, d.day);
    r->reg[MONTH] = encode(r, d.month);
    r->reg[YEAR] = encode(r, d.year % 100);
    r->reg[CENTURY] = encode(r, d.year / 100);
}

/* The clock goes on from what the registers say. */
static void set_from_registers(struct rtc *r)
{
    struct date d = {.year = decode(r, r->reg[CENTURY]) * 100 + decode(r, r->reg[YEAR]),
                     .month = decode(r, r->reg[MONTH]),
                     .day = decode(r, r->reg[DAY]),
                     .hour = decode_hour(r, r->reg[HOUR]),
                     .min = decode(r, r->reg[MIN]),
                     .sec = decode(r, r->reg[SEC])};
    r->second = seconds_of(d);
    r->offset_s = r->second - elapsed_ns(r) / NS_PER_S; /* may wrap, and back with the next sum */
}

static bool is_time(unsigned index)
{
    return index == SEC || index == MIN || index == HOUR || (index >= WEEKDAY && index <= YEAR) ||
           index == CENTURY;
}

/* ------------------------------------------------------------------ interrupts */

static uint64_t period_ns_x32768(const struct rtc *r)
{
    unsigned rate = r->reg[REG_A] & 15;
    if (rate == 0)
        return 0;
    if (rate < 3)
        rate += 7;
    return (1ull << (rate - 1)) * NS_PER_S;
}

/* Periodic ticks since the machine's start. */
static uint64_t periods_at(const struct rtc *r, uint64_t ns)
{
    uint64_t period = period_ns_x32768(r);
    return period ? (uint64_t)((unsigned __int128)ns * 32768 / period) : 0;
}

static bool alarm_matches(const struct rtc *r, uint64_t second)
{
    unsigned rest = (unsigned)(second % 86400);
    const uint8_t *a = r->reg; /* an alarm byte of 11xxxxxx matches always */
    return (a[SEC_ALARM] >= 0xc0 || a[SEC_ALARM] == encode(r, rest % 60)) &&
           (a[MIN_ALARM] >= 0xc0 || a[MIN_ALARM] == encode(r, rest / 60 % 60)) &&
           (a[HOUR_ALARM] >= 0xc0 || a[HOUR_ALARM] == encode_hour(r, rest / 3600));
}

static void set_line(struct rtc *r)
{
    bool level = r->reg[REG_C] & r->reg[REG_B] & C_FLAGS;
    r->reg[REG_C] = (uint8_t)((r->reg[REG_C] & C_FLAGS) | (level ? C_IRQF : 0));
    line_follow(&r->irq8, &r->irq_level, level);
}

void rtc_update(struct rtc *r)
{
    uint64_t periods = periods_at(r, clock_now(&r->clock));
    if (periods > r->periods)
        r->reg[REG_C] |= B_PIE;
    r->periods = periods;
    uint64_t second = calendar_second(r);
    if (!(r->reg[REG_B] & B_SET) && second > r->second) {
        r->reg[REG_C] |= B_UIE;
        /* After more than a day every alarm has matched. */
        uint64_t s = second - r->second > 86400 ? second - 86400 : r->second;
        while (s < second && !(r->reg[REG_C] & B_AIE))
            if (alarm_matches(r, ++s))
                r->reg[REG_C] |= B_AIE;
    }
    r->second = second;
    set_line(r);
}

uint64_t rtc_deadline(const struct rtc *r)
{
    uint64_t due = CLOCK_NEVER, period = period_ns_x32768(r);
    if (r->irq_level)
        return CLOCK_NEVER; /* nothing more can happen before register C is read */
    if ((r->reg[REG_B] & B_PIE) && period)
        due = (uint64_t)(((unsigned __int128)(r->periods + 1) * period + 32767) / 32768);
    if ((r->reg[REG_B] & (B_AIE | B_UIE)) && !(r->reg[REG_B] & B_SET)) {
        uint64_t next = (r->second + 1 - r->offset_s) * NS_PER_S + r->zero_ns;
        due = next < due ? next : due;
    }
    return due;
}

/* ------------------------------------------------------------------ ports */

static uint8_t read_reg(struct rtc *r)
{
    uint8_t val;
    rtc_update(r);
    switch (r->index) {
    case REG_A: {
        bool soon = elapsed_ns(r) % NS_PER_S >= NS_PER_S - UIP_NS;
        return (uint8_t)(r->reg[REG_A] | (soon && !(r->reg[REG_B] & B_SET) ? A_UIP : 0));
    }
    case REG_C:
        val = r->reg[REG_C];
        r->reg[REG_C] = 0;
        set_line(r);
        return val;
    case REG_D: return D_VALID;
    default:
        if (is_time(r->index) && !(r->reg[REG_B] & B_SET))
            registers_from(r, r->second);
        return r->reg[r->index];
    }
}

static void write_b(struct rtc *r, uint8_t val)
{
    uint8_t old = r->reg[REG_B];
    if (!(old & B_SET))
        registers_from(r,
                       r->second); /* in the old format: a change of format alone alters the time */
    if (val & B_SET)
        val &= (uint8_t)~B_UIE;
    r->reg[REG_B] = val;
    if ((old & B_SET) && !(val & B_SET))
        set_from_registers(r);
    set_line(r);
}

static void write_reg(struct rtc *r, uint8_t val)
{
    rtc_update(r);
    switch (r->index) {
    case REG_A:
        r->reg[REG_A] = val & 0x7f;
        r->periods = periods_at(r, clock_now(&r->clock));
        break;
    case REG_B: write_b(r, val); break;
    case REG_C:
    case REG_D: break; /* read-only */
    default:
        if (is_time(r->index) && !(r->reg[REG_B] & B_SET)) {
            registers_from(r, r->second);
            r->reg[r->index] = val;
            set_from_registers(r);
        } else {
            r->reg[r->index] = val;
        }
        break;
    }
}

static void rtc_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)size;
    struct rtc *r = ctx;
    if (port & 1)
        write_reg(r, (uint8_t)val);
    else
        r->index = val & 0x7f; /* bit 7 would mask NMI, and there is none */
}

static uint32_t rtc_in(void *ctx, uint16_t port, unsigned size)
{
    (void)size;
    return port & 1 ? read_reg(ctx) : 0xff; /* the index is write-only */
}

static void set_word(struct rtc *r, unsigned index, uint64_t val)
{
    r->reg[index] = (uint8_t)val;
    r->reg[index + 1] = (uint8_t)(val >> 8);
}

/* What a PC's firmware leaves in the CMOS of its memory's size. */
static void set_memory_size(struct rtc *r, uint64_t bytes)
{
    uint64_t above_1m = bytes > 1u << 20 ? (bytes - (1u << 20)) >> 10 : 0;
    uint64_t above_16m = bytes > 16u << 20 ? (bytes - (16u << 20)) >> 16 : 0;
    set_word(r, 0x15, 640);
    set_word(r, 0x17, above_1m > 0xffff ? 0xffff : above_1m);
    set_word(r, 0x30, above_1m > 0xffff ? 0xffff : above_1m);
    set_word(r, 0x34, above_16m > 0xffff ? 0xffff : above_16m);
}

/* Over 10 to 2D, where a PC's setup keeps what it knows. */
static void set_checksum(struct rtc *r)
{
    uint16_t sum = 0;
    for (unsigned i = 0x10; i <= 0x2d; i++)
        sum = (uint16_t)(sum + r->reg[i]);
    r->reg[0x2e] = (uint8_t)(sum >> 8);
    r->reg[0x2f] = (uint8_t)sum;
}

void rtc_reset(struct rtc *r)
{
    r->reg[REG_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE);
    r->reg[REG_C] = 0;
    set_line(r);
}

/* Two nibbles in 0x3d and one in 0x38, as Bochs' firmware has it and those after it. */
void rtc_set_boot_order(struct rtc *r, const char *order)
{
    uint8_t nibble[3] = {0};
    for (unsigned i = 0; i < 3 && order[i]; i++)
        nibble[i] = order[i] == 'a' ? 1 : order[i] == 'c' ? 2 : order[i] == 'd' ? 3 : 0;
    r->reg[0x3d] = (uint8_t)(nibble[1] << 4 | nibble[0]);
    r->reg[0x38] = (uint8_t)(nibble[2] << 4 | 1); /* 1: no check for a floppy's signature */
}

uint8_t rtc_equipment(const struct rtc *r)
{
    return r->reg[EQUIPMENT];
}

void rtc_set_floppies(struct rtc *r, uint8_t types)
{
    const unsigned n = (types >> 4 ? 1u : 0) + (types & 15 ? 1u : 0);
    r->reg[0x10] = types;
    r->reg[EQUIPMENT] &= (uint8_t)~EQUIPMENT_FLOPPIES;
    if (n)
        r->reg[EQUIPMENT] |= (uint8_t)(1u | (n - 1) << 6);
    set_checksum(r);
}

/* Two bits for each drive in 39, as QEMU has them: 1: addressed through LBA. Type 47 in 19 and 1A
 * means that the setup's user gave the geometry, which lies behind it (IBM PC AT's CMOS map and the
 * later makers' additions). */
void rtc_set_disk(struct rtc *r, unsigned n, unsigned cylinders)
{
    if (cylinders > 1024)
        r->reg[0x39] |= (uint8_t)(1u << 2 * n);
    if (n > 1)
        return;
    uint8_t *g = &r->reg[n ? 0x24 : 0x1b];
    r->reg[0x12] |= n ? 0x0f : 0xf0;
    r->reg[n ? 0x1a : 0x19] = 47;
    g[0] = g[6] = (uint8_t)cylinders; /* and the landing zone */
    g[1] = g[7] = (uint8_t)(cylinders >> 8);
    g[2] = 16;
    g[3] = g[4] = 0xff; /* no write precompensation */
    g[5] = 0xc8;        /* more than eight heads, no retries */
    g[8] = 63;
    set_checksum(r);
}

int rtc_init(struct rtc *r, struct bus *bus, struct clock clock, struct line irq8, uint64_t seconds,
             uint64_t ram_bytes)
{
    memset(r, 0, sizeof *r);
    r->clock = clock;
    r->irq8 = irq8;
    r->reg[REG_A] = 0x26; /* 32,768 Hz base, 1024 Hz periodic */
    r->reg[REG_B] = B_24H;
    r->zero_ns = clock_now(&clock);
    r->offset_s = r->second = seconds;
    r->periods = periods_at(r, clock_now(&clock));
    r->reg[EQUIPMENT] = 0x06; /* FPU, PS/2 port */
    set_memory_size(r, ram_bytes);
    set_checksum(r);
    return bus_claim(
        bus,
        &(struct bus_range){
            .name = "rtc", .first = 0x70, .last = 0x71, .in = rtc_in, .out = rtc_out, .ctx = r});
}
