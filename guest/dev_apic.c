/*
 * Local and I/O APIC from inside: the MultiProcessor tables that tell of them, the 8259s through
 * them as a BIOS leaves it, priorities, interprocessor interrupts to itself and to nobody, the
 * timer, edge and level at the I/O APIC, a halt that only they can end.
 */
#include "guest/rt/pic.h"
#include "guest/rt/trap.h"

#define MSR_BASE   0x1bu
#define CPUID_APIC (1u << 9)

enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    SVR = 0xf0,
    ISR = 0x100,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    LVT_ERROR = 0x370,
    COUNT = 0x380,
    COUNTED = 0x390,
    DIVIDE = 0x3e0,
};
enum { MASKED = 0x10000, PERIODIC = 0x20000, LEVEL = 0x8000, TO_SELF = 0x40000, BUSY = 0x1000 };
enum { V_PIC = 0x20, V_A = 0x51, V_B = 0x62, V_TIMER = 0x73, V_PIN = 0x84, V_SERIAL = 0x95 };

static uint32_t base = 0xfee00000, io_base = 0xfec00000;
static volatile unsigned count[256], order[8], taken;
static bool end_it = true; /* handlers send the EOI */

static uint32_t apic(uint32_t reg)
{
    return load32(base + reg);
}
static void set(uint32_t reg, uint32_t v)
{
    store32(base + reg, v);
}
static uint32_t io_apic(uint32_t reg)
{
    store32(io_base, reg);
    return load32(io_base + 0x10);
}
static void io_set(uint32_t reg, uint32_t v)
{
    store32(io_base, reg);
    store32(io_base + 0x10, v);
}
static void route(unsigned pin, uint32_t low)
{
    io_set(0x10 + 2 * pin, MASKED);
    io_set(0x11 + 2 * pin, apic(ID));
    io_set(0x10 + 2 * pin, low);
}

static bool on_apic(struct trap_frame *f)
{
    count[f->vector]++;
    if (taken < 8)
        order[taken++] = f->vector;
    if (f->vector == V_SERIAL && count[V_SERIAL] == 2) {
        (void)inb(0x3fa); /* what asked is taken back */
        outb(0x3f9, 0);
    }
    if (end_it)
        set(EOI, 0);
    return true;
}

static bool on_pic(struct trap_frame *f)
{
    count[f->vector]++;
    outb(0x20, 0x20);
    return true;
}

static bool on_nmi(struct trap_frame *f)
{
    count[f->vector]++;
    return true;
}

/* Interrupts on for a little while: long enough for what is pending. */
static void let_in(void)
{
    for (unsigned i = 0; i < 50; i++)
        __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

/* Halt until count[v] is at least n. */
static bool wait_for(unsigned v, unsigned n)
{
    for (unsigned i = 0; i < 1000 && count[v] < n; i++)
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    return count[v] >= n;
}

static void forget(void)
{
    for (unsigned i = 0; i < 256; i++)
        count[i] = 0;
    taken = 0;
}

/* --- what the tables say --- */

static uint8_t sum(uint32_t at, uint32_t n)
{
    uint8_t s = 0;
    while (n--)
        s = (uint8_t)(s + *(volatile uint8_t *)at++);
    return s;
}

static void tables(void)
{
    uint32_t at = 0xf0000, cpus = 0, apics = 0, ints = 0, timer = 99;

    while (at < 0x100000 && !(load32(at) == 0x5f504d5f && sum(at, 16) == 0))
        at += 16;
    if (!tap_ok(at < 0x100000, "an MP floating pointer with a good sum"))
        return;
    const uint32_t t = load32(at + 4), length = load32(t + 4) & 0xffff;
    tap_ok(load32(t) == 0x504d4350 && sum(t, length) == 0, "an MP table with a good sum");
    base = load32(t + 36);
    const volatile uint8_t *e = (const volatile uint8_t *)t + 44;
    for (uint32_t n = load32(t + 34) & 0xffff; n > 0; n--) {
        if (e[0] == 0)
            cpus += e[3] & 1;
        if (e[0] == 2) {
            apics++;
            io_base = *(const volatile uint32_t *)(e + 4);
        }
        if (e[0] == 3) {
            ints++;
            if (e[1] == 0 && e[5] == 0)
                timer = e[7];
        }
        e += e[0] == 0 ? 20 : 8;
    }
    tap_ok((uint32_t)e == t + length, "its entries end where it does");
    tap_ok(cpus == 1 && apics == 1 && ints >= 12, "one processor, one I/O APIC, %u interrupts",
           ints);
    tap_ok(timer == 2, "the timer's at input 2");
    uint32_t bda = 0x400;
    __asm__("" : "+r"(bda)); /* no array of nothing, for the compiler */
    tap_ok((load32(bda + 0x13) & 0xffff) == 639 && (load32(bda + 0x0e) & 0xffff) == 0x9fc0,
           "the BIOS data area: 639 KiB of low memory, the extended area behind it");
}

/* --- as a BIOS leaves it --- */

static void pit_rate(unsigned divisor)
{
    outb(0x43, 0x34);
    outb(0x40, (uint8_t)divisor);
    outb(0x40, (uint8_t)(divisor >> 8));
}

static void init_pic(void)
{
    pic_init(V_PIC, 0xffff);
}

static void virtual_wire(void)
{
    init_pic();
    pit_rate(1193);
    outb(0x21, 0xfe);
    tap_ok(wait_for(V_PIC, 3), "the 8259 reaches the processor with nothing programmed");
    set(TPR, 0xff);
    forget();
    tap_ok(wait_for(V_PIC, 1), "whatever the task priority");
    set(TPR, 0);
    outb(0x21, 0xff);
    let_in();
}

/* --- local --- */

static void identity(void)
{
    uint32_t r[4];

    cpuid(1, r);
    tap_ok(r[3] & CPUID_APIC, "CPUID tells of a local APIC");
    tap_ok((rdmsr(MSR_BASE) & 0xffffff00u) >> 8 == (base | 0x900) >> 8,
           "IA32_APIC_BASE: enabled, boot processor, where the table says");
    tap_ok((apic(VERSION) & 0xf0) == 0x10 && (apic(VERSION) >> 16 & 0xff) >= 3, "version %08x",
           apic(VERSION));
    set(SVR, 0x1ff);
    set(0xd0, 0x01000000);
    set(0xe0, 0xffffffff);
    tap_ok(apic(0xd0) == 0x01000000 && apic(0xe0) == 0xffffffff, "logical destination registers");
}

static void priorities(void)
{
    forget();
    set(ICR, TO_SELF | V_A);
    set(ICR, TO_SELF | V_B);
    tap_ok((apic(IRR + 16 * (V_A / 32)) >> V_A % 32 & 1) &&
               (apic(IRR + 16 * (V_B / 32)) >> V_B % 32 & 1),
           "interrupts to itself wait in IRR");
    tap_ok(!(apic(ICR) & BUSY), "and count as delivered");
    let_in();
    tap_ok(taken == 2 && order[0] == V_B && order[1] == V_A, "the higher vector comes first");

    forget();
    set(TPR, 0x50);
    set(ICR, TO_SELF | V_A);
    let_in();
    tap_ok(count[V_A] == 0 && apic(PPR) == 0x50, "a task priority of its class holds one back");
    set(TPR, 0x4f);
    let_in();
    tap_ok(count[V_A] == 1, "a lower one does not");
    set(TPR, 0);

    forget();
    end_it = false;
    set(ICR, TO_SELF | V_B);
    let_in();
    set(ICR, TO_SELF | V_A);
    let_in();
    tap_ok(count[V_B] == 1 && count[V_A] == 0 && apic(PPR) == (V_B & 0xf0) &&
               (apic(ISR + 16 * (V_B / 32)) >> V_B % 32 & 1),
           "one in service holds back lower ones");
    set(ICR, TO_SELF | (V_B + 0x10));
    end_it = true;
    trap_handle(V_B + 0x10, on_apic);
    let_in();
    tap_ok(count[V_B + 0x10] == 1 && count[V_A] == 0, "and not higher ones");
    set(EOI, 0);
    let_in();
    tap_ok(count[V_A] == 1 && apic(PPR) == 0, "its end lets them in");
}

static void nobody(void)
{
    forget();
    set(ICR_HIGH, 0x07000000);
    set(ICR, 0x4000 | V_A);
    unsigned n = 0;
    while ((apic(ICR) & BUSY) && n < 1000000)
        n++;
    set(ICR, 0xc4500); /* INIT to all others */
    set(ICR, 0xc4608); /* and where they are to start */
    let_in();
    tap_ok(!(apic(ICR) & BUSY) && count[V_A] == 0, "what is sent to nobody is gone");
    set(ICR_HIGH, apic(ID));
    set(ICR, 0x4000 | V_A);
    set(ICR, 0x80000 | 0x4000 | V_B); /* all, itself included */
    let_in();
    tap_ok(count[V_A] == 1 && count[V_B] == 1, "by its own number, and to all");
    set(ICR_HIGH, 0x01000000);
    set(ICR, 0x4800 | V_A);
    let_in();
    tap_ok(count[V_A] == 2, "by its logical destination");
    set(ICR, TO_SELF | 0x400);
    let_in();
    set(ICR_HIGH, apic(ID));
    set(ICR, 0x4400);
    let_in();
    tap_ok(count[2] >= 1, "an NMI to itself");
}

static void errors(void)
{
    set(ESR, 0);
    set(ESR, 0);
    tap_ok(apic(ESR) == 0, "no error yet");
    set(ICR, TO_SELF | 5);
    set(ESR, 0);
    tap_ok(apic(ESR) == 0x60, "vector 5, sent and received, is an error: %x", apic(ESR));
    set(LVT_ERROR, V_A);
    forget();
    set(ESR, 0);
    (void)apic(0x40);
    let_in();
    set(ESR, 0);
    tap_ok(count[V_A] == 1 && apic(ESR) == 0x80, "a register that is none: an interrupt");
    set(LVT_ERROR, MASKED);
}

/* --- timer --- */

static void timer(void)
{
    forget();
    set(DIVIDE, 0xb); /* by 1 */
    set(LVT_TIMER, V_TIMER);
    set(COUNT, 50000000);
    const uint32_t first = apic(COUNTED);
    tap_ok(first > 0 && first <= 50000000, "it counts down from what it was given");
    tap_ok(wait_for(V_TIMER, 1) && apic(COUNTED) == 0, "once: an interrupt, and 0 at the end");
    let_in();
    tap_ok(count[V_TIMER] == 1, "and no other");
    set(LVT_TIMER, V_TIMER | PERIODIC);
    set(DIVIDE, 0); /* by 2 */
    set(COUNT, 500000);
    tap_ok(wait_for(V_TIMER, 5), "again and again");
    set(LVT_TIMER, V_TIMER | PERIODIC | MASKED);
    let_in();
    forget();
    const uint32_t a = apic(COUNTED);
    for (unsigned i = 0; i < 1000000 && apic(COUNTED) == a; i++)
        ;
    let_in();
    tap_ok(apic(COUNTED) != a && count[V_TIMER] == 0, "masked it counts and says nothing");
    set(COUNT, 0);
    tap_ok(apic(COUNTED) == 0, "a count of 0 stops it");
}

/* --- I/O APIC --- */

/* So many turns of the refresh bit, of 15 us each. */
static void pass_time(unsigned turns)
{
    for (uint8_t was = inb(0x61); turns > 0; turns--) {
        while (((inb(0x61) ^ was) & 0x10) == 0)
            ;
        was ^= 0x10;
    }
}

static void io(void)
{
    tap_ok((io_apic(1) & 0xff) >= 0x11 && (io_apic(1) >> 16 & 0xff) == 23, "24 inputs");
    tap_ok(io_apic(0x10 + 2 * 7) & MASKED, "masked at first");
    io_set(0x10 + 2 * 7, MASKED | 0x77);
    io_set(0x11 + 2 * 7, 0x12345678);
    tap_ok(io_apic(0x10 + 2 * 7) == (MASKED | 0x77) && io_apic(0x11 + 2 * 7) >> 24 == 0x12,
           "an entry keeps what it is given");

    forget();
    set(LVT_LINT0, MASKED);
    outb(0x21, 0xff);
    route(2, V_PIN);
    tap_ok(wait_for(V_PIN, 3) && count[V_PIC] == 0, "the timer by way of input 2 ends a halt");
    route(2, MASKED | V_PIN);
    let_in();
    forget();
    pass_time(400);
    route(2, V_PIN);
    route(2, MASKED | V_PIN);
    let_in();
    tap_ok(count[V_PIN] <= 1, "edges that come while it is masked do not wait");
}

/* A level that its handler has not taken back asks again after the EOI. */
static void io_level(void)
{
    forget();
    route(4, V_SERIAL | LEVEL);
    const uint8_t mcr = inb(0x3fc);
    outb(0x3fc, mcr | 8);
    outb(0x3f9, 2); /* transmitter empty */
    for (unsigned i = 0; i < 100 && count[V_SERIAL] < 2; i++)
        let_in();
    let_in();
    outb(0x3fc, mcr);
    const uint32_t e = io_apic(0x10 + 2 * 4);
    route(4, MASKED);
    tap_ok(count[V_SERIAL] == 2, "a level asks until it is gone: %u times", count[V_SERIAL]);
    tap_ok(!(e & 0x4000), "remote IRR is clear after the last EOI");
}

static void lint0_fixed(void)
{
    forget();
    set(LVT_LINT0, V_PIN);
    outb(0x21, 0xfe);
    for (unsigned i = 0; i < 100000 && count[V_PIN] < 1; i++)
        let_in();
    outb(0x21, 0xff);
    tap_ok(count[V_PIN] >= 1 && count[V_PIC] == 0, "LINT0 as a fixed interrupt of its own");
    outb(0x20, 0x20);
}

static void off(void)
{
    set(SVR, 0xff);
    set(LVT_TIMER, V_TIMER);
    tap_ok((apic(LVT_TIMER) & MASKED) && (apic(LVT_LINT0) & MASKED),
           "disabled by software: all local entries are masked, and stay so");
    forget();
    set(ICR, TO_SELF | V_A);
    set(SVR, 0x1ff);
    let_in();
    tap_ok(count[V_A] == 0, "and nothing is taken");
    set(LVT_LINT0, 0x700);
}

/* The page goes where the register says; off, the 8259s have the processor's pin. */
static void moved(void)
{
    const uint32_t there = base;

    wrmsr(MSR_BASE, 0xfed00900);
    base = 0xfed00000;
    tap_ok((apic(VERSION) & 0xff) == 0x14 && load32(there + VERSION) == 0xffffffff,
           "the page moves");
    wrmsr(MSR_BASE, there | 0x100);
    base = there;
    uint32_t r[4];
    cpuid(1, r);
    tap_ok(apic(VERSION) == 0xffffffff && !(r[3] & CPUID_APIC), "switched off, it is gone");
    forget();
    outb(0x21, 0xfe);
    tap_ok(wait_for(V_PIC, 2), "and the 8259s reach the processor");
    outb(0x21, 0xff);
    wrmsr(MSR_BASE, there | 0x900);
    tap_ok(apic(SVR) == 0xff && (apic(LVT_LINT0) & MASKED), "on again, it is as after a reset");
}

int main(void)
{
    static const uint8_t vectors[] = {V_A, V_B, V_TIMER, V_PIN, V_SERIAL};

    trap_init();
    for (unsigned i = 0; i < sizeof vectors; i++)
        trap_handle(vectors[i], on_apic);
    trap_handle(V_PIC, on_pic);
    trap_handle(2, on_nmi);
    tables();
    virtual_wire();
    identity();
    priorities();
    nobody();
    if (rt_monitor_present()) /* these, and those below, QEMU does not have */
        errors();
    timer();
    io();
    io_level();
    if (rt_monitor_present()) {
        lint0_fixed();
        off();
        moved();
    }
    return tap_done();
}
