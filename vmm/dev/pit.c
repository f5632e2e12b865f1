/*
 * After Intel's 82C54 data sheet (231244-006). A count is taken over by the counter at once rather
 * than with the next pulse, so that status never shows the null-count bit for it; everything else
 * is to the tick.
 */
#include "vmm/dev/pit.h"

#include <string.h>

#define NS_PER_S 1000000000ull

enum { RW_LATCH = 0, RW_LOW = 1, RW_HIGH = 2, RW_BOTH = 3 };
enum { READ_BACK = 3, READ_BACK_NO_COUNT = 0x20, READ_BACK_NO_STATUS = 0x10 };

static uint64_t ticks_at(uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * PIT_HZ / NS_PER_S);
}

/* The first nanosecond at which ticks_at() gives tick. */
static uint64_t ns_at(uint64_t tick)
{
    unsigned __int128 ns = ((unsigned __int128)tick * NS_PER_S + PIT_HZ - 1) / PIT_HZ;
    return ns > UINT64_MAX ? CLOCK_NEVER : (uint64_t)ns;
}

static bool periodic(const struct pit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool running(const struct pit_channel *c)
{
    return c->loaded && (c->triggered || (c->mode != 1 && c->mode != 5));
}

/* Ticks that the counter has counted since it held count. */
static uint64_t elapsed(const struct pit_channel *c, uint64_t now)
{
    if (c->paused)
        return c->start;
    return now > c->start ? now - c->start : 0;
}

/* Rising edges of OUT within the first e ticks. */
static uint64_t edges(const struct pit_channel *c, uint64_t e)
{
    if (!running(c))
        return 0;
    switch (c->mode) {
    case 2:
    case 3: return e / c->count;
    case 4:
    case 5: return e > c->count;
    default: return e >= c->count;
    }
}

static bool output(const struct pit_channel *c, uint64_t now)
{
    if (!running(c))
        return c->mode != 0;
    uint64_t e = elapsed(c, now);
    switch (c->mode) {
    case 2: return c->paused || e % c->count != c->count - 1;
    case 3: return c->paused || e % c->count < (c->count + 1) / 2;
    case 4:
    case 5: return e != c->count;
    default: return e >= c->count;
    }
}

/* The counting element as a read shows it. */
static uint16_t reading(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = running(c) ? elapsed(c, now) : 0;
    uint32_t span = c->bcd ? 10000 : 65536, val;
    if (c->mode == 2)
        val = c->count - (uint32_t)(e % c->count);
    else if (c->mode == 3) /* counts by two, once for each half of the wave */
        val = (c->count & ~1u) - 2 * (uint32_t)(e % c->count % ((c->count + 1) / 2));
    else
        val = (uint32_t)((c->count + span - e % span) % span);
    val %= span;
    if (c->bcd)
        val = val / 1000 << 12 | val / 100 % 10 << 8 | val / 10 % 10 << 4 | val % 10;
    return (uint16_t)val;
}

/* A new count of a periodic mode takes over when the present period is through. */
static void take_over(struct pit_channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);
    if (!c->next || c->paused)
        return;
    /* c->seen lies in the period in which the count was written. */
    uint64_t end = (c->seen / c->count + 1) * c->count;
    if (e < end)
        return;
    c->start += end;
    c->seen = 0;
    c->count = c->next;
    c->next = 0;
}

/* Look at a channel at tick now: were there rising edges since the last look? */
static bool sync(struct pit_channel *c, uint64_t now)
{
    uint64_t before = edges(c, c->seen), e = elapsed(c, now);
    bool rose = edges(c, e) > before;
    take_over(c, now);
    c->seen = elapsed(c, now);
    return rose;
}

static void start_counting(struct pit_channel *c, uint64_t now)
{
    c->start = c->paused ? 0 : now;
    c->seen = 0;
}

void pit_update(struct pit *p)
{
    uint64_t now = ticks_at(clock_now(&p->clock));
    if (sync(&p->ch[0], now)) {
        line_set(&p->irq0, false);
        line_set(&p->irq0, true);
    }
    line_set(&p->irq0, output(&p->ch[0], now));
}

uint64_t pit_deadline(const struct pit *p)
{
    const struct pit_channel *c = &p->ch[0];
    if (!running(c) || c->paused)
        return CLOCK_NEVER;
    uint64_t edge;
    if (periodic(c))
        edge = (c->seen / c->count + 1) * c->count;
    else
        edge = c->count + (c->mode == 4 || c->mode == 5);
    return edge <= c->seen ? CLOCK_NEVER : ns_at(c->start + edge);
}

bool pit_output(struct pit *p, unsigned channel)
{
    uint64_t now = ticks_at(clock_now(&p->clock));
    sync(&p->ch[channel], now);
    return output(&p->ch[channel], now);
}

static void set_count(struct pit_channel *c, uint32_t raw, uint64_t now)
{
    uint32_t count = raw;
    if (c->bcd)
        count = (raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15);
    if (count == 0)
        count = c->bcd ? 10000 : 65536;
    if (count == 1 && periodic(c))
        count = 2; /* 1 is illegal there; it must not stop the machine */
    if (c->loaded && periodic(c)) {
        c->next = count;
        return;
    }
    if (c->loaded && c->triggered && (c->mode == 1 || c->mode == 5)) {
        c->next = count; /* from the next trigger on */
        return;
    }
    c->count = count;
    c->loaded = true;
    start_counting(c, now);
}

static void write_count(struct pit_channel *c, uint8_t val, uint64_t now)
{
    switch (c->rw) {
    case RW_LOW: set_count(c, val, now); break;
    case RW_HIGH: set_count(c, (uint32_t)val << 8, now); break;
    default:
        if (c->write_high) {
            set_count(c, (uint32_t)val << 8 | c->low, now);
        } else {
            c->low = val;
            if (c->mode == 0)
                c->loaded = false; /* the first byte stops the count and takes OUT low */
        }
        c->write_high = !c->write_high;
        break;
    }
}

static uint8_t read_count(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    uint16_t val = c->count_latched ? c->latch : reading(c, now);
    bool high = c->rw == RW_HIGH || (c->rw == RW_BOTH && c->read_high);
    if (c->rw == RW_BOTH)
        c->read_high = !c->read_high;
    if (c->rw != RW_BOTH || high)
        c->count_latched = false;
    return (uint8_t)(high ? val >> 8 : val);
}

static void latch_count(struct pit_channel *c, uint64_t now)
{
    if (c->count_latched)
        return; /* the first one holds until it is read */
    c->latch = reading(c, now);
    c->count_latched = true;
}

static void latch_status(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    bool null_count = !c->loaded || c->next;
    c->status =
        (uint8_t)(output(c, now) << 7 | null_count << 6 | c->rw << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void read_back(struct pit *p, uint8_t val, uint64_t now)
{
    for (unsigned i = 0; i < 3; i++) {
        if (!(val & 2u << i))
            continue;
        if (!(val & READ_BACK_NO_COUNT))
            latch_count(&p->ch[i], now);
        if (!(val & READ_BACK_NO_STATUS))
            latch_status(&p->ch[i], now);
    }
}

static void write_control(struct pit *p, uint8_t val, uint64_t now)
{
    if (val >> 6 == READ_BACK) {
        read_back(p, val, now);
        return;
    }
    struct pit_channel *c = &p->ch[val >> 6];
    if ((val >> 4 & 3) == RW_LATCH) {
        latch_count(c, now);
        return;
    }
    bool gate = c->gate;
    memset(c, 0, sizeof *c);
    c->gate = gate;
    c->rw = val >> 4 & 3;
    c->mode = val >> 1 & 7;
    if (c->mode > 5)
        c->mode &= 3; /* 6 and 7 are 2 and 3 */
    c->bcd = val & 1;
    c->count = c->bcd ? 10000 : 65536;
    c->paused = !gate && c->mode != 1 && c->mode != 5;
}

/* The gate pin moves: a level in modes 0, 2, 3 and 4; its rising edge starts modes 1, 2, 3 and 5.
 */
static void set_gate(struct pit_channel *c, bool gate, uint64_t now)
{
    bool rise = gate && !c->gate;
    sync(c, now);
    if (gate == c->gate)
        return;
    c->gate = gate;
    if (c->mode == 1 || c->mode == 5) {
        if (!rise)
            return;
        if (c->next)
            c->count = c->next;
        c->next = 0;
        c->triggered = true;
        start_counting(c, now);
        return;
    }
    uint64_t e = elapsed(c, now);
    c->paused = !gate;
    if (periodic(c) && rise) {
        if (c->next)
            c->count = c->next;
        c->next = 0;
        start_counting(c, now);
    } else {
        c->start = gate ? now - e : e;
    }
}

static void pit_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)size;
    struct pit *p = ctx;
    pit_update(p);
    uint64_t now = ticks_at(clock_now(&p->clock));
    if (port == 0x43) {
        write_control(p, (uint8_t)val, now);
    } else {
        struct pit_channel *c = &p->ch[port - 0x40];
        sync(c, now);
        write_count(c, (uint8_t)val, now);
    }
    line_set(&p->irq0, output(&p->ch[0], now));
}

static uint32_t pit_in(void *ctx, uint16_t port, unsigned size)
{
    (void)size;
    struct pit *p = ctx;
    if (port == 0x43)
        return 0xff; /* the control word cannot be read */
    pit_update(p);
    uint64_t now = ticks_at(clock_now(&p->clock));
    struct pit_channel *c = &p->ch[port - 0x40];
    sync(c, now);
    return read_count(c, now);
}

static void speaker_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)port;
    (void)size;
    struct pit *p = ctx;
    p->speaker = val & 3;
    set_gate(&p->ch[2], val & 1, ticks_at(clock_now(&p->clock)));
}

static uint32_t speaker_in(void *ctx, uint16_t port, unsigned size)
{
    (void)port;
    (void)size;
    struct pit *p = ctx;
    /* Bit 4 turns over with each refresh of the memory, every 15.085 us. */
    uint32_t refresh = ticks_at(clock_now(&p->clock)) / 18 & 1;
    return p->speaker | refresh << 4 | (uint32_t)pit_output(p, 2) << 5;
}

int pit_init(struct pit *p, struct bus *bus, struct clock clock, struct line irq0)
{
    memset(p, 0, sizeof *p);
    p->clock = clock;
    p->irq0 = irq0;
    uint64_t now = ticks_at(clock_now(&clock));
    for (unsigned i = 0; i < 3; i++) {
        p->ch[i].gate = i != 2; /* channel 2's is port 0x61's */
        write_control(p, (uint8_t)(i << 6 | RW_BOTH << 4 | (i == 0 ? 2u : 3u) << 1), now);
    }
    set_count(&p->ch[0], 0, now);
    int err = bus_claim(
        bus,
        &(struct bus_range){
            .name = "pit", .first = 0x40, .last = 0x43, .in = pit_in, .out = pit_out, .ctx = p});
    if (!err)
        err = bus_claim(bus, &(struct bus_range){.name = "speaker",
                                                 .first = 0x61,
                                                 .last = 0x61,
                                                 .in = speaker_in,
                                                 .out = speaker_out,
                                                 .ctx = p});
    return err;
}
