/*
 * clock: everything that a guest can see of time. It counts how far it comes between two ticks of
 * the PIT, where each tick interrupts it, and what PIT, RTC and TSC show on the way, and prints it.
 * Where time is counted (--clock insn), two runs print the same; nowhere else need they.
 *
 *   ticks=N  ticks of the PIT, at 1000 Hz (50)
 */
#include "guest/rt/trap.h"

enum { PIC1 = 0x20, PIC2 = 0xa0, PIT = 0x40, CMOS = 0x70, IRQ_BASE = 0x20, COUNT = 1193 };

static volatile uint32_t ticks, sum;

static inline uint32_t tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low;
}

static void mix(uint32_t v)
{
    sum = (sum << 5 | sum >> 27) * 2654435761u ^ v;
}

static bool on_tick(struct trap_frame *f)
{
    ticks++;
    mix(f->eip);
    mix(f->ecx);
    mix(f->esi);
    mix(tsc());
    outb(PIC1, 0x20);
    return true;
}

static bool on_rtc(struct trap_frame *f)
{
    mix(f->eip);
    outb(CMOS, 0x0c);
    mix(inb(CMOS + 1));
    outb(PIC2, 0x20);
    outb(PIC1, 0x20);
    return true;
}

static void pic_init(void)
{
    static const uint8_t words[2][4] = {{0x11, IRQ_BASE, 4, 1}, {0x11, IRQ_BASE + 8, 2, 1}};

    for (unsigned p = 0; p < 2; p++)
        for (unsigned i = 0; i < 4; i++)
            outb((uint16_t)((p ? PIC2 : PIC1) + (i != 0)), words[p][i]);
    outb(PIC1 + 1, 0xff & ~(1 | 4)); /* PIT, slave */
    outb(PIC2 + 1, 0xff & ~1);       /* RTC */
}

static uint8_t cmos(uint8_t reg)
{
    outb(CMOS, reg);
    return inb(CMOS + 1);
}

static uint32_t pit_count(void)
{
    outb(PIT + 3, 0);
    const uint32_t low = inb(PIT);
    return low | (uint32_t)inb(PIT) << 8;
}

/* Work of several kinds: loops, a REP over pages, port reads; until the given tick. */
static uint32_t work(uint32_t until)
{
    static uint8_t buf[5 * PAGE_SIZE];
    uint32_t rounds = 0;

    while (ticks < until) {
        void *to = buf;
        uint32_t n = sizeof buf - (rounds & 63);
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(rounds) : "memory");
        for (uint32_t i = 0; i < (rounds & 31); i++)
            mix(i);
        if (rounds % 64 == 0)
            mix(pit_count());
        rounds++;
    }
    return rounds;
}

int main(void)
{
    const uint32_t last = rt_option("ticks", 50);

    trap_init();
    trap_handle(IRQ_BASE, on_tick);
    trap_handle(IRQ_BASE + 8, on_rtc);
    pic_init();
    rt_printf("calendar: %02x%02x-%02x-%02x %02x:%02x:%02x\n", cmos(0x32), cmos(9), cmos(8),
              cmos(7), cmos(4), cmos(2), cmos(0));
    outb(CMOS, 0x0b);
    outb(CMOS + 1, 0x42); /* periodic interrupts at 1024 Hz, 24 hours */
    outb(PIT + 3, 0x34);
    outb(PIT, COUNT & 0xff);
    outb(PIT, COUNT >> 8);
    uint32_t then = tsc();
    __asm__ volatile("sti");
    for (uint32_t until = 1; until <= last; until++) {
        const uint32_t rounds = work(until), now = tsc();
        if (until % 10 == 0)
            rt_printf("tick %u: %u rounds, %u cycles, sum %08x\n", until, rounds, now - then, sum);
        then = now;
    }
    /* A halt is ended by the next tick; a busy loop's length against the TSC. */
    then = tsc();
    for (uint32_t until = ticks + 5; ticks < until;)
        __asm__ volatile("hlt");
    rt_printf("five halts: %u cycles\n", tsc() - then);
    then = tsc();
    for (volatile uint32_t i = 0; i < 10000; i++)
        ;
    rt_printf("a loop: %u cycles\n", tsc() - then);
    __asm__ volatile("cli");
    rt_printf("calendar: %02x%02x-%02x-%02x %02x:%02x:%02x\n", cmos(0x32), cmos(9), cmos(8),
              cmos(7), cmos(4), cmos(2), cmos(0));
    rt_printf("ticks %u, sum %08x\n", ticks, sum);
    return 0;
}
