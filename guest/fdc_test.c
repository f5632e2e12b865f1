/* fdc_test: a diskette drive as an operating system's driver uses it: IRQ 6, channel 2 of the DMA
 * controller. The diskette (1.44 MB) holds sectors that are their own numbers in decimal digits,
 * with zeros before and a newline behind. Sectors 100 to 103 are written, and on our machine
 * cylinder 79's first track: QEMU formats without a filler, and finds sectors that are not there.
 *
 * And what DMA may change behind the processor's back: code that has run, a page table in use.
 * Runs on any PC with such a drive. */
#include "guest/rt/paging.h"
#include "guest/rt/pic.h"

enum { DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, CCR = 0x3f7 };
enum { READY = 0x80, TO_HOST = 0x40 };
enum { FIRST_VECTOR = 0x20, IRQ = 6, SECTORS = 18 };
enum { READ = 0xe6, WRITE = 0xc5 };

static volatile unsigned irqs;
static uint8_t *const buf = (uint8_t *)0x20000; /* below 16 MiB, in one 64 KiB */
static uint8_t want[512], res[10];

/* --- a driver -------------------------------------------------------------------------------- */

static bool on_irq(struct trap_frame *f)
{
    (void)f;
    irqs++;
    outb(0x20, 0x20);
    return true;
}

static void start_interrupts(void)
{
    trap_handle(FIRST_VECTOR + IRQ, on_irq);
    pic_init(FIRST_VECTOR, 0xffff & ~(1 << IRQ));
    __asm__ volatile("sti");
}

static void wait_irq(unsigned before)
{
    for (uint32_t i = 0; i < 400000000 && irqs == before; i++)
        __asm__ volatile("pause");
    if (irqs == before)
        rt_panic("no interrupt");
}

static uint8_t status(void)
{
    for (uint32_t i = 0; i < 10000000; i++) {
        const uint8_t s = inb(MSR);
        if (s & READY)
            return s;
    }
    rt_panic("not ready");
}

static void say(uint32_t byte)
{
    if (status() & TO_HOST)
        rt_panic("it has something to say first");
    outb(FIFO, (uint8_t)byte);
}

static unsigned hear(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!(status() & TO_HOST))
            return i;
        res[i] = inb(FIFO);
    }
    return n;
}

static bool seek(uint8_t cylinder)
{
    const unsigned before = irqs;
    say(cylinder ? 0x0f : 0x07);
    say(0);
    if (cylinder)
        say(cylinder);
    wait_irq(before);
    say(0x08);
    return hear(2) == 2 && res[0] == 0x20 && res[1] == cylinder;
}

static void program_dma(bool write, const void *at, uint32_t len)
{
    const uint32_t a = (uint32_t)at;
    outb(0x0a, 6);
    outb(0x0c, 0);
    outb(0x0b, write ? 0x4a : 0x46);
    outb(0x04, (uint8_t)a);
    outb(0x04, (uint8_t)(a >> 8));
    outb(0x81, (uint8_t)(a >> 16));
    outb(0x05, (uint8_t)(len - 1));
    outb(0x05, (uint8_t)((len - 1) >> 8));
    outb(0x0a, 2);
}

/* One transfer within a cylinder; the results are in res. */
static bool transfer(uint8_t code, uint32_t sector, uint32_t n, void *at)
{
    const uint32_t c = sector / (2 * SECTORS), h = sector / SECTORS % 2, r = sector % SECTORS + 1;
    const uint8_t bytes[] = {code, (uint8_t)(h << 2), (uint8_t)c, (uint8_t)h, (uint8_t)r,
                             2,    SECTORS,           0x1b,       0xff};
    if (!seek((uint8_t)c))
        return false;
    program_dma(code == WRITE, at, n * 512);
    const unsigned before = irqs;
    for (unsigned i = 0; i < sizeof bytes; i++)
        say(bytes[i]);
    wait_irq(before);
    return hear(7) == 7 && (res[0] & 0xc0) == 0;
}

/* --- content --------------------------------------------------------------------------------- */

static void number(uint32_t n)
{
    for (unsigned i = 0; i < 511; i++)
        want[i] = '0';
    want[511] = '\n';
    for (unsigned i = 511; n; n /= 10)
        want[--i] = (uint8_t)('0' + n % 10);
}

static bool is_number(const uint8_t *at, uint32_t n)
{
    number(n);
    for (unsigned i = 0; i < 512; i++)
        if (at[i] != want[i])
            return false;
    return true;
}

static bool numbers_from(uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!is_number(buf + 512 * i, first + i))
            return false;
    return true;
}

static void fill(uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        number(first + i);
        for (unsigned k = 0; k < 512; k++)
            buf[512 * i + k] = want[k];
    }
}

/* --- tests ----------------------------------------------------------------------------------- */

static void bring_up(void)
{
    const unsigned before = irqs;
    outb(DOR, 0);
    outb(DOR, 0x1c);
    wait_irq(before);
    bool good = true;
    for (uint8_t unit = 0; unit < 4; unit++) {
        say(0x08);
        good = good && hear(2) == 2 && res[0] == (0xc0 | unit);
    }
    tap_ok(good, "a reset interrupts, and four drives are told of");
    say(0x10);
    tap_ok(hear(1) == 1 && res[0] == 0x90, "VERSION is an 82077's");
    say(0x03);
    say(0xdf);
    say(0x02);
    outb(CCR, 0);
    tap_ok(seek(0) && seek(5) && seek(0), "recalibrate and seek");
}

static void reading(void)
{
    tap_ok(transfer(READ, 0, 1, buf) && numbers_from(0, 1), "the first sector");
    tap_ok(res[3] == 0 && res[4] == 0 && res[5] == 2, "the result names the next one");
    tap_ok(transfer(READ, 1440, 36, buf) && numbers_from(1440, 36), "a cylinder, both heads");
    tap_ok(inb(0x08) & 4, "the DMA controller has counted down");
    tap_ok(transfer(READ, 2879, 1, buf) && numbers_from(2879, 1), "the last sector");
    if (!rt_monitor_present())
        return;
    seek(3);
    program_dma(false, buf, 512);
    static const uint8_t wrong[] = {READ, 0, 3, 0, 19, 2, 19, 0x1b, 0xff};
    const unsigned before = irqs;
    for (unsigned i = 0; i < sizeof wrong; i++)
        say(wrong[i]);
    wait_irq(before);
    tap_ok(hear(7) == 7 && (res[0] & 0xc0) == 0x40 && (res[1] & 4), "sector 19 is not found");
}

static void writing(void)
{
    fill(1100, 4);
    tap_ok(transfer(WRITE, 100, 4, buf), "four sectors are written");
    fill(0, 4);
    tap_ok(transfer(READ, 100, 4, buf) && numbers_from(1100, 4), "and read");
    if (!rt_monitor_present())
        return;
    /* The last cylinder's first track, formatted. */
    for (uint8_t i = 0; i < SECTORS; i++) {
        buf[4 * i] = 79;
        buf[4 * i + 1] = 0;
        buf[4 * i + 2] = (uint8_t)(i + 1);
        buf[4 * i + 3] = 2;
    }
    seek(79);
    program_dma(true, buf, 4 * SECTORS);
    static const uint8_t format[] = {0x4d, 0, 2, SECTORS, 0x54, 'F'};
    const unsigned before = irqs;
    for (unsigned i = 0; i < sizeof format; i++)
        say(format[i]);
    wait_irq(before);
    tap_ok(hear(7) == 7 && (res[0] & 0xc0) == 0, "a track is formatted");
    tap_ok(transfer(READ, 79 * 36 + 17, 1, buf) && buf[0] == 'F' && buf[511] == 'F',
           "and holds what it was filled with");
}

/* Code that has run many times is replaced; and runs as what it is then. */
static void code(void)
{
    static _Alignas(512) uint8_t area[512];
    unsigned (*fn)(void) = (unsigned (*)(void))area;
    unsigned sum = 0;

    buf[0] = 0xb8; /* mov eax, 2; ret */
    buf[1] = 2;
    buf[2] = buf[3] = buf[4] = 0;
    buf[5] = 0xc3;
    transfer(WRITE, 103, 1, buf);
    for (unsigned i = 0; i < 6; i++)
        area[i] = buf[i];
    area[1] = 1;
    for (unsigned i = 0; i < 1000; i++)
        sum += fn();
    const bool read = transfer(READ, 103, 1, area);
    for (unsigned i = 0; i < 1000; i++)
        sum += fn();
    tap_ok(read && sum == 3000, "code that DMA has replaced (%u)", sum);
}

static void page_table(uint32_t pd)
{
    const uint32_t la = PG_TEST(1), a = pg_alloc(), b = pg_alloc();
    uint32_t *pte = pg_pte(pd, la);

    pg_map(pd, la, a, PTE_P | PTE_W);
    *(volatile uint32_t *)la = 0xaaaa;
    *(volatile uint32_t *)b = 0xbbbb;
    for (unsigned i = 0; i < 512; i++)
        buf[i] = ((const uint8_t *)pte)[i];
    *(uint32_t *)buf = b | PTE_P | PTE_W;
    transfer(WRITE, 103, 1, buf);
    const bool before = *(volatile uint32_t *)la == 0xaaaa;
    const bool read = transfer(READ, 103, 1, pte);
    __asm__ volatile("mov %%cr3, %%eax; mov %%eax, %%cr3" : : : "eax", "memory");
    tap_ok(before && read && *(volatile uint32_t *)la == 0xbbbb,
           "a page table that DMA has written");
}

int main(void)
{
    const uint32_t pd = pg_identity();
    pg_start(pd, true, 0);
    start_interrupts();
    bring_up();
    reading();
    writing();
    code();
    page_table(pd);
    fill(1103, 1);
    transfer(WRITE, 103, 1, buf);
    return tap_done();
}
