/*
 * What else is on a PC's board, from inside: DMA controllers, the refresh bit, level control, what
 * is absent, the FPU's interrupt, the ROM below 1 MiB, which no kind of write changes.
 */
#include "guest/rt/pic.h"
#include "guest/rt/trap.h"

static void dma_chip(uint16_t base, unsigned step, const char *name)
{
    const uint16_t address = base, length = (uint16_t)(base + step),
                   clear = (uint16_t)(base + 12 * step), mask = (uint16_t)(base + 15 * step);

    outb((uint16_t)(base + 13 * step), 0); /* master clear */
    outb(clear, 0);
    outb(address, 0x34);
    outb(address, 0x12);
    outb(length, 0x78);
    outb(length, 0x56);
    outb(clear, 0);
    const unsigned a = inb(address), b = inb(address), c = inb(length), d = inb(length);
    tap_ok((a | b << 8) == 0x1234 && (c | d << 8) == 0x5678,
           "%s: address and count, low byte first", name);
    outb(clear, 0);
    (void)inb(address);
    outb(clear, 0);
    tap_ok(inb(address) == 0x34, "%s: the flip-flop is cleared", name);
    tap_ok((inb((uint16_t)(base + 8 * step)) & 0xf) == 0, "%s: no count has run out", name);
    outb(mask, 0xf);
}

static void dma(void)
{
    dma_chip(0x00, 1, "first DMA controller");
    dma_chip(0xc0, 2, "second");
    outb(0x87, 0xab);
    outb(0x83, 0xcd);
    tap_ok(inb(0x87) == 0xab && inb(0x83) == 0xcd, "page registers");
    outb(0x87, 0);
    outb(0x83, 0);
    outb(0x80, 0x55);
    outb(0xed, 0x55);
    outb(0xf0, 0);
    outb(0xf1, 0);
    tap_ok(true, "ports that are written to pass time, and the FPU's");
}

static void port61(void)
{
    unsigned turns = 0;
    uint8_t was = inb(0x61);

    for (unsigned i = 0; i < 1000000 && turns < 10; i++) {
        const uint8_t is = inb(0x61);
        turns += ((is ^ was) & 0x10) != 0;
        was = is;
    }
    tap_ok(turns == 10, "the refresh bit turns over");
    outb(0x61, 0);
    outb(0x43, 0xb0); /* channel 2 counts once */
    outb(0x42, 0xff);
    outb(0x42, 0x00);
    tap_ok(!(inb(0x61) & 0x20), "channel 2 has not counted down while its gate is closed");
    outb(0x61, 1);
    unsigned n = 0;
    while (!(inb(0x61) & 0x20) && n < 10000000)
        n++;
    tap_ok(inb(0x61) & 0x20, "its output rises when it has");
    outb(0x61, 0);
}

static void level_control(void)
{
    outb(0x4d0, 0x20);
    outb(0x4d1, 0x08);
    tap_ok(inb(0x4d0) == 0x20 && inb(0x4d1) == 0x08, "edge/level control registers");
    outb(0x4d0, 0xff);
    outb(0x4d1, 0xff);
    tap_ok(inb(0x4d0) == 0xf8 && inb(0x4d1) == 0xde, "timer, keyboard, cascade, clock and FPU stay "
                                                     "edges");
    outb(0x4d0, 0);
    outb(0x4d1, 0);
}

static void absent(void)
{
    static const uint16_t ports[] = {0x2f8, 0x3e8, 0x2e8, 0x278, 0x378, 0x3bc, 0x201, 0x5678};
    bool good = true;

    for (unsigned i = 0; i < sizeof ports / sizeof *ports; i++) {
        outb(ports[i], 0x5a);
        good = good && inb(ports[i]) == 0xff;
    }
    if (rt_monitor_present()) {
        outw(0x1ce, 0);
        tap_ok(inw(0x1cf) == 0xffff && inb(0x3f4) == 0xff, "absent: Bochs' VBE, a floppy drive");
    }
    tap_ok(good, "absent: further serial ports, parallel ports, a joystick");
    outw(0x510, 5);
    const unsigned cpus = inb(0x511);
    tap_ok(cpus == 1 && inb(0x511) == 0, "fw_cfg: one processor");
    outb(0xcf8, 0); /* as one looks for the other way into PCI's configuration */
    outb(0xcfa, 0);
    tap_ok(inb(0xcf8) != 0 || inb(0xcfa) != 0, "PCI: no mechanism 2");
    outl(0xcf8, 0x8000f800);
    tap_ok(inl(0xcf8) == 0x8000f800 && inl(0xcfc) == 0xffffffff, "PCI: nothing in slot 31");
    if (rt_monitor_present())
        tap_ok(load32(0xc0000) == 0xffffffff && load32(0xe8000) == 0xffffffff, "no option ROM");
}

/* --- an exception of the FPU, the AT's way -----------------------------------------------------
 */

enum { FIRST_VECTOR = 0x20, FPU_VECTOR = FIRST_VECTOR + 13 };

static volatile unsigned fpu_irqs, fpu_eip;

static bool on_fpu(struct trap_frame *f)
{
    fpu_irqs++;
    fpu_eip = f->eip;
    outb(0xf0, 0);
    __asm__ volatile("fnclex");
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    return true;
}

static uint32_t divide_by_zero(void)
{
    uint32_t at;
    __asm__ volatile("fld1; fldz; fdivrp\n\tmovl $1f, %0\n1:\tfwait\n\tfnclex\n\tfninit"
                     : "=r"(at));
    return at;
}

__asm__(".pushsection .user, \"ax\"\n"
        "user_fpu: fninit; fldcw (%edx); fld1; fldz; fdivrp\n\tnop\n\tfwait\n\tint $0x80\n"
        ".popsection");
extern char user_fpu[];

static void fpu(void)
{
    static const uint16_t unmasked = 0x37b;
    uint32_t cr0, at;

    trap_handle(FPU_VECTOR, on_fpu);
    pic_init(FIRST_VECTOR, 0xdffb);
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~0x2cu)); /* no EM, TS, NE */
    __asm__ volatile("fninit; fldcw %0; sti" : : "m"(unmasked));
    at = divide_by_zero();
    tap_ok(fpu_irqs == 1, "CR0.NE clear: a numeric exception is IRQ 13 (%u)", fpu_irqs);
    tap_ok(fpu_eip == at, "before the next waiting instruction");
    __asm__ volatile("fldcw %0" : : "m"(unmasked));
    divide_by_zero();
    tap_ok(fpu_irqs == 2, "and once more (%u)", fpu_irqs);
    struct ring3 r = {
        .edx = (uint32_t)&unmasked, .eip = (uint32_t)user_fpu, .eflags = EFLAGS_ONE | EFLAGS_IF};
    const unsigned vector = ring3_run(&r);
    tap_ok(vector == VEC_SYSCALL && fpu_irqs == 3, "from ring 3 too (vector %u, %u)", vector,
           fpu_irqs);
    __asm__ volatile("cli; fninit; mov %0, %%cr0" : : "r"(cr0));
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

/* A word of the BIOS data area; the address is kept from the compiler, which takes it for a null
 * pointer's neighbour. */
static uint32_t bda(uint32_t off)
{
    static volatile uint32_t at = 0x400;
    return load32(at + off) & 0xffff;
}

/* What firmware leaves, or would have left. */
static void data_area(void)
{
    const uint32_t ebda = bda(0x0e) << 4;
    if (!rt_monitor_present()) /* -kernel of QEMU comes behind a BIOS, which has used it */
        return;
    tap_ok(bda(0) == 0x3f8, "the data area names COM1");
    tap_ok(bda(0x13) == 639 && ebda == 639 * 1024, "and 639 KiB of low memory");
    tap_ok((bda(0x10) & 0xfff) == 0x226, "one serial port, colour, mouse, FPU, no floppy");
    tap_ok(bda(0x63) == 0x3d4 && (bda(0x49) & 0xff) == 3, "and the display");
}

static void rom(void)
{
    const uint32_t last = 0xffff0, before = load32(last), early = load32(0xf0000);
    uint32_t n = 16, at = last;

    tap_ok((load32(0xffffc) >> 16 & 0xff) == 0xfc, "the model byte of an AT");
    store32(last, 0x12345678);
    *(volatile uint8_t *)(last + 1) = 0x77;
    __asm__ volatile("lock addl $1, (%0)" : : "r"(last) : "memory");
    __asm__ volatile("notl (%0)" : : "r"(last) : "memory");
    __asm__ volatile("cld; rep stosb" : "+D"(at), "+c"(n) : "a"(0x5a) : "memory");
    tap_ok(n == 0 && at == last + 16, "a string is stored to its end");
    store32(0xf0000, ~early);
    tap_ok(load32(last) == before && load32(0xf0000) == early, "and a ROM is what it was");
}

int main(void)
{
    trap_init();
    dma();
    port61();
    level_control();
    absent();
    if (rt_monitor_present()) /* QEMU 7.2 ends with an assertion where IRQ 13 is raised */
        fpu();
    data_area();
    rom();
    return tap_done();
}
