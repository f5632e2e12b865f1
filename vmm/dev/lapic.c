#include "vmm/dev/lapic.h"

#include <string.h>

enum {
    REG_ID = 0x020,
    REG_VERSION = 0x030,
    REG_TPR = 0x080,
    REG_APR = 0x090,
    REG_PPR = 0x0a0,
    REG_EOI = 0x0b0,
    REG_RRD = 0x0c0,
    REG_LDR = 0x0d0,
    REG_DFR = 0x0e0,
    REG_SVR = 0x0f0,
    REG_ISR = 0x100,
    REG_TMR = 0x180,
    REG_IRR = 0x200,
    REG_ESR = 0x280,
    REG_ICR_LOW = 0x300,
    REG_ICR_HIGH = 0x310,
    REG_LVT_TIMER = 0x320,
    REG_LVT_ERROR = 0x370,
    REG_TIMER_INIT = 0x380,
    REG_TIMER_NOW = 0x390,
    REG_TIMER_DIV = 0x3e0,
};

#define VERSION     (0x14u | (LVT_COUNT - 1u) << 16)
#define SVR_ENABLED 0x100u
#define SVR_BITS    0x3ffu
#define LVT_MASKED  0x10000u
#define LVT_REPEAT  0x20000u /* timer: periodic */
#define ICR_BITS    0x000ccfffu
#define ICR_LOGICAL 0x800u
#define ICR_ASSERT  0x4000u
#define LINT_LEVEL  0x8000u

enum { ERR_SENT_VECTOR = 0x20, ERR_GOT_VECTOR = 0x40, ERR_REGISTER = 0x80 };
enum { TO_FIELD, TO_SELF, TO_ALL, TO_OTHERS };

/* A guest may ask for more interrupts than any processor takes: no more often than this. */
#define RING_NS 20000u

/* Writable bits of each LVT entry. */
static const uint32_t lvt_bits[LVT_COUNT] = {0x300ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};

/* --- sets of vectors ------------------------------------------------------------------------- */

static int highest(const uint32_t set[8])
{
    for (int i = 7; i >= 0; i--)
        if (set[i])
            return 32 * i + 31 - __builtin_clz(set[i]);
    return -1;
}

static bool has(const uint32_t set[8], uint8_t v)
{
    return set[v / 32] >> v % 32 & 1;
}

static void put(uint32_t set[8], uint8_t v, bool in)
{
    const uint32_t bit = 1u << v % 32;
    set[v / 32] = in ? set[v / 32] | bit : set[v / 32] & ~bit;
}

/* --- priorities ------------------------------------------------------------------------------ */

static void changed(const struct lapic *l)
{
    l->events.changed(l->events.ctx);
}

static bool enabled(const struct lapic *l)
{
    return l->on && (l->svr & SVR_ENABLED);
}

/* SDM vol. 3, 10.8.3.1. */
static uint8_t processor_priority(const struct lapic *l)
{
    const int serving = highest(l->isr);
    if (serving >= 0 && (serving & 0xf0) > (l->tpr & 0xf0))
        return (uint8_t)(serving & 0xf0);
    return l->tpr;
}

static int next_vector(const struct lapic *l)
{
    const int v = enabled(l) ? highest(l->irr) : -1;
    return v >= 0 && (v & 0xf0) > (processor_priority(l) & 0xf0) ? v : -1;
}

bool lapic_pending(const struct lapic *l)
{
    return next_vector(l) >= 0;
}

int lapic_ack(struct lapic *l)
{
    const int v = next_vector(l);
    if (v < 0)
        return -1;
    put(l->irr, (uint8_t)v, false);
    put(l->isr, (uint8_t)v, true);
    changed(l);
    return v;
}

bool lapic_open(const struct lapic *l)
{
    return enabled(l) && (processor_priority(l) & 0xf0) != 0xf0;
}

static void end_of_interrupt(struct lapic *l)
{
    const int v = highest(l->isr);
    if (v < 0)
        return;
    put(l->isr, (uint8_t)v, false);
    if (has(l->tmr, (uint8_t)v))
        l->events.eoi(l->events.ctx, (uint8_t)v);
    changed(l);
}

/* --- what comes in --------------------------------------------------------------------------- */

static void error(struct lapic *l, uint8_t bit)
{
    const uint32_t lvt = l->lvt[LVT_ERROR];
    const bool news = !(l->errors & bit);
    l->errors |= bit;
    /* An error LVT whose own vector is no vector would make errors for ever. */
    if (news && !(lvt & LVT_MASKED) && (lvt & 0xff) >= 16)
        lapic_accept(l, (uint8_t)lvt, false);
}

bool lapic_accept(struct lapic *l, uint8_t vector, bool level)
{
    if (!enabled(l))
        return false;
    if (vector < 16) {
        error(l, ERR_GOT_VECTOR);
        return true;
    }
    put(l->irr, vector, true);
    put(l->tmr, vector, level);
    changed(l);
    return true;
}

bool lapic_is(const struct lapic *l, uint8_t destination, bool logical)
{
    const uint8_t mine = (uint8_t)(l->ldr >> 24);
    if (!logical)
        return destination == l->id || destination == 0xff;
    if (l->dfr >> 28 == 0xf)
        return destination & mine;
    /* Clusters: the upper half names one (15: all), the lower half members. */
    return (destination >> 4 == 0xf || destination >> 4 == mine >> 4) && (destination & mine & 0xf);
}

/* What an unmasked LVT entry does when its source asks. */
static void lvt_event(struct lapic *l, enum lapic_lvt which)
{
    const uint32_t lvt = l->lvt[which];
    if (!l->on || (lvt & LVT_MASKED))
        return;
    switch (lvt >> 8 & 7) {
    case APIC_FIXED: lapic_accept(l, (uint8_t)lvt, false); break;
    case APIC_NMI: l->events.nmi(l->events.ctx); break;
    default: break; /* ExtINT: lapic_extint_open(); no SMI and no INIT */
    }
}

void lapic_set_lint0(struct lapic *l, bool level)
{
    const bool rises = level && !l->lint0;
    l->lint0 = level;
    if (rises)
        lvt_event(l, LVT_LINT0);
}

bool lapic_extint_open(const struct lapic *l)
{
    const uint32_t lvt = l->lvt[LVT_LINT0];
    return !l->on || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == APIC_EXTINT);
}

/* --- interprocessor interrupts --------------------------------------------------------------- */

static void send(struct lapic *l)
{
    const uint32_t icr = l->icr[0];
    const unsigned mode = icr >> 8 & 7, to = icr >> 18 & 3;
    const bool me = to == TO_FIELD
                        ? lapic_is(l, (uint8_t)(l->icr[1] >> 24), (icr & ICR_LOGICAL) != 0)
                        : to != TO_OTHERS;

    if (mode <= APIC_LOWEST && (icr & 0xff) < 16)
        error(l, ERR_SENT_VECTOR);
    if (!me) /* nobody is there: sent, and nothing comes of it */
        return;
    if (mode <= APIC_LOWEST)
        lapic_accept(l, (uint8_t)icr, false);
    else if (mode == APIC_NMI)
        l->events.nmi(l->events.ctx);
}

/* --- timer ----------------------------------------------------------------------------------- */

static uint64_t tick_ns(const struct lapic *l)
{
    const unsigned n = (l->div & 3u) | (l->div & 8u) >> 1;
    return (uint64_t)LAPIC_TICK << (n == 7 ? 0 : n + 1);
}

bool lapic_timer_runs(const struct lapic *l)
{
    return l->timer_due != CLOCK_NEVER && enabled(l) && !(l->lvt[LVT_TIMER] & LVT_MASKED);
}

void lapic_update(struct lapic *l)
{
    const uint64_t now = clock_now(&l->clock);
    if (now < l->timer_due)
        return;
    const uint64_t period = l->timer_init * tick_ns(l);
    if ((l->lvt[LVT_TIMER] & LVT_REPEAT) && period)
        l->timer_due += ((now - l->timer_due) / period + 1) * period;
    else
        l->timer_due = CLOCK_NEVER;
    l->timer_rung = now;
    lvt_event(l, LVT_TIMER);
}

uint64_t lapic_deadline(const struct lapic *l)
{
    if (!lapic_timer_runs(l))
        return CLOCK_NEVER;
    const uint64_t soonest = l->timer_rung + RING_NS;
    return (l->lvt[LVT_TIMER] & LVT_REPEAT) && l->timer_due < soonest ? soonest : l->timer_due;
}

static uint32_t timer_count(const struct lapic *l)
{
    const uint64_t now = clock_now(&l->clock), tick = tick_ns(l);
    if (l->timer_due == CLOCK_NEVER || l->timer_due <= now)
        return 0;
    return (uint32_t)((l->timer_due - now + tick - 1) / tick);
}

static void timer_start(struct lapic *l, uint32_t count)
{
    l->timer_due = count ? clock_now(&l->clock) + count * tick_ns(l) : CLOCK_NEVER;
}

static void timer_divide(struct lapic *l, uint32_t val)
{
    const uint32_t left = timer_count(l);
    l->div = val & 0xb;
    timer_start(l, left);
}

/* --- registers ------------------------------------------------------------------------------- */

static uint32_t reg_read(struct lapic *l, uint32_t reg)
{
    if (reg >= REG_ISR && reg < REG_ESR) {
        const uint32_t *set = reg < REG_TMR ? l->isr : reg < REG_IRR ? l->tmr : l->irr;
        return set[reg >> 4 & 7];
    }
    if (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR)
        return l->lvt[(reg - REG_LVT_TIMER) >> 4];
    switch (reg) {
    case REG_ID: return (uint32_t)l->id << 24;
    case REG_VERSION: return VERSION;
    case REG_TPR: return l->tpr;
    case REG_APR:
    case REG_PPR: return processor_priority(l);
    case REG_EOI:
    case REG_RRD: return 0;
    case REG_LDR: return l->ldr;
    case REG_DFR: return l->dfr;
    case REG_SVR: return l->svr;
    case REG_ESR: return l->esr;
    case REG_ICR_LOW: return l->icr[0]; /* delivery status: idle */
    case REG_ICR_HIGH: return l->icr[1];
    case REG_TIMER_INIT: return l->timer_init;
    case REG_TIMER_NOW: return timer_count(l);
    case REG_TIMER_DIV: return l->div;
    default: error(l, ERR_REGISTER); return 0;
    }
}

static void set_svr(struct lapic *l, uint32_t val)
{
    l->svr = val & SVR_BITS;
    for (unsigned i = 0; i < LVT_COUNT && !(l->svr & SVR_ENABLED); i++)
        l->lvt[i] |= LVT_MASKED;
}

static void set_lvt(struct lapic *l, unsigned i, uint32_t val)
{
    l->lvt[i] = val & lvt_bits[i];
    if (!(l->svr & SVR_ENABLED))
        l->lvt[i] |= LVT_MASKED;
    /* A pin that waits for its level to be seen. */
    if (i == LVT_LINT0 && l->lint0 && (l->lvt[i] & LINT_LEVEL))
        lvt_event(l, LVT_LINT0);
}

static void reg_write(struct lapic *l, uint32_t reg, uint32_t val)
{
    if (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR) {
        set_lvt(l, (reg - REG_LVT_TIMER) >> 4, val);
        return;
    }
    switch (reg) {
    case REG_ID: l->id = (uint8_t)(val >> 24); break;
    case REG_TPR: l->tpr = (uint8_t)val; break;
    case REG_EOI: end_of_interrupt(l); break;
    case REG_LDR: l->ldr = val & 0xff000000; break;
    case REG_DFR: l->dfr = val | 0x0fffffff; break;
    case REG_SVR: set_svr(l, val); break;
    case REG_ESR: /* a write makes what has happened readable */
        l->esr = l->errors;
        l->errors = 0;
        break;
    case REG_ICR_LOW:
        l->icr[0] = val & ICR_BITS;
        send(l);
        break;
    case REG_ICR_HIGH: l->icr[1] = val & 0xff000000; break;
    case REG_TIMER_INIT:
        l->timer_init = val;
        timer_start(l, val);
        break;
    case REG_TIMER_DIV: timer_divide(l, val); break;
    case REG_VERSION:
    case REG_APR:
    case REG_PPR:
    case REG_RRD:
    case REG_TIMER_NOW: break; /* read-only */
    default:
        if (reg < REG_ISR || reg >= REG_ESR)
            error(l, ERR_REGISTER);
    }
}

uint32_t lapic_read(void *lapic, uint32_t off, unsigned size)
{
    struct lapic *l = lapic;
    const unsigned at = off & 15;
    if (!l->on)
        return UINT32_MAX;
    if (at + size > 4) /* between registers */
        return 0;
    lapic_update(l);
    return reg_read(l, off & 0xff0) >> 8 * at;
}

/* Registers are written whole (10.4.1); anything else is undefined, and here nothing. */
void lapic_write(void *lapic, uint32_t off, uint32_t val, unsigned size)
{
    struct lapic *l = lapic;
    if (!l->on || size != 4 || off & 15)
        return;
    lapic_update(l);
    reg_write(l, off, val);
    changed(l);
}

/* --- life ------------------------------------------------------------------------------------ */

static void reset(struct lapic *l)
{
    *l = (struct lapic){.clock = l->clock,
                        .events = l->events,
                        .lint0 = l->lint0,
                        .dfr = UINT32_MAX,
                        .svr = 0xff,
                        .timer_due = CLOCK_NEVER};
    for (unsigned i = 0; i < LVT_COUNT; i++)
        l->lvt[i] = LVT_MASKED;
}

void lapic_switch(struct lapic *l, bool on)
{
    if (on == l->on)
        return;
    reset(l);
    l->on = on;
    changed(l);
}

void lapic_init(struct lapic *l, struct clock clock, struct lapic_events events)
{
    memset(l, 0, sizeof *l);
    l->clock = clock;
    l->events = events;
    reset(l);
    l->on = true;
    l->svr |= SVR_ENABLED;
    l->lvt[LVT_LINT0] = APIC_EXTINT << 8 | LINT_LEVEL;
    l->lvt[LVT_LINT1] = APIC_NMI << 8 | LINT_LEVEL;
}
