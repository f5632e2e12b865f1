/* ide_test: the ATA channels as an operating system's driver uses them, with interrupts. Drive 0 is
 * a disk and drive 2 a CD-ROM whose sectors are their own numbers in decimal digits, with zeros
 * before and a newline behind. Sectors 100 to 139 of the disk are written.
 *
 * Runs on any PC with such drives. */
#include "guest/rt/pic.h"
#include "guest/rt/trap.h"

enum { PRIMARY = 0x1f0, SECONDARY = 0x170 };
enum { DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS, FEATURE = ERROR };
enum { ALTERNATE = 0x206 }; /* from the Command block */
enum { BSY = 0x80, DRDY = 0x40, DRQ = 8, ERR = 1 };
enum { SLAVE = 0x10, LBA = 0x40 };
enum { FIRST_VECTOR = 0x20 };

static volatile unsigned irqs[2]; /* of IRQ 14 and 15 */
static uint8_t buf[65536], want[4096];

/* --- interrupts ------------------------------------------------------------------------------ */

static bool on_irq(struct trap_frame *f)
{
    const unsigned channel = f->vector - (FIRST_VECTOR + 14);
    irqs[channel]++;
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    return true;
}

static void start_interrupts(void)
{
    trap_init();
    trap_handle(FIRST_VECTOR + 14, on_irq);
    trap_handle(FIRST_VECTOR + 15, on_irq);
    pic_init(FIRST_VECTOR, 0x3ffb);
    __asm__ volatile("sti");
}

/* --- a driver -------------------------------------------------------------------------------- */

static uint16_t base = PRIMARY;

static uint8_t in(unsigned reg)
{
    return inb((uint16_t)(base + reg));
}

static void out(unsigned reg, uint32_t val)
{
    outb((uint16_t)(base + reg), (uint8_t)val);
}

static uint8_t alternate(void)
{
    return inb((uint16_t)(base + ALTERNATE));
}

static void control(uint8_t val)
{
    outb((uint16_t)(base + ALTERNATE), val);
}

/* Status when it is no longer busy; the wait is for machines whose disks take time. */
static uint8_t ready(void)
{
    for (uint32_t i = 0; i < 100000000; i++) {
        const uint8_t s = alternate();
        if (!(s & BSY))
            return s;
    }
    rt_panic("busy without end");
}

static void delay(void)
{
    for (int i = 0; i < 4; i++)
        alternate();
}

/* Wait until n interrupts of this channel have come since they were last counted, and read Status.
 */
static bool interrupted(unsigned n)
{
    volatile unsigned *seen = &irqs[base == SECONDARY];
    for (uint32_t i = 0; i < 100000000 && *seen < n; i++)
        __asm__ volatile("pause");
    const bool ok = *seen == n;
    in(STATUS);
    return ok;
}

static void select(uint8_t device)
{
    out(DEVICE, device | 0xa0u);
    delay();
}

static void command(uint8_t cmd, uint32_t lba, uint32_t count)
{
    irqs[0] = irqs[1] = 0;
    out(DEVICE, 0xa0u | LBA | (lba >> 24 & 15));
    out(COUNT, count);
    out(LOW, lba);
    out(MID, lba >> 8);
    out(HIGH, lba >> 16);
    out(STATUS, cmd);
}

static void command48(uint8_t cmd, uint32_t lba, uint32_t count)
{
    out(DEVICE, 0xa0u | LBA);
    out(COUNT, count >> 8);
    out(LOW, lba >> 24);
    out(MID, 0);
    out(HIGH, 0);
    command(cmd, lba & 0xffffff, count);
}

static void read_words(void *to, uint32_t n)
{
    __asm__ volatile("cld; rep insw" : "+D"(to), "+c"(n) : "d"(base) : "memory");
}

static void read_longs(void *to, uint32_t n)
{
    __asm__ volatile("cld; rep insl" : "+D"(to), "+c"(n) : "d"(base) : "memory");
}

static void write_words(const void *from, uint32_t n)
{
    __asm__ volatile("cld; rep outsw" : "+S"(from), "+c"(n) : "d"(base) : "memory");
}

/* --- what sectors hold ----------------------------------------------------------------------- */

static const uint8_t *numbered(uint32_t n, uint32_t size)
{
    uint8_t *p = want + size;
    *--p = '\n';
    while (p > want) {
        *--p = (uint8_t)('0' + n % 10);
        n /= 10;
    }
    return want;
}

static bool holds(const uint8_t *p, uint32_t n, uint32_t size)
{
    return memcmp(p, numbered(n, size), size) == 0;
}

static bool all_hold(uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!holds(buf + 512 * i, first + i, 512))
            return false;
    return true;
}

static uint32_t word(unsigned n)
{
    return buf[2 * n] | (uint32_t)buf[2 * n + 1] << 8;
}

static uint32_t words(unsigned n)
{
    return word(n) | word(n + 1) << 16;
}

/* --- the disk -------------------------------------------------------------------------------- */

static uint32_t sectors;

static void reset(void)
{
    select(0); /* QEMU's reset leaves a slave selected */
    control(4);
    delay();
    control(0);
    delay();
    for (int i = 0; i < 1000000 && !(ready() & DRDY); i++)
        ;
    tap_ok((ready() & (BSY | DRDY)) == DRDY, "ready after a reset");
    tap_ok(in(COUNT) == 1 && in(LOW) == 1 && in(MID) == 0 && in(HIGH) == 0 && in(ERROR) == 1,
           "a disk's signature");
}

static void absent_slave(void)
{
    select(SLAVE);
    tap_ok(alternate() == 0 && in(STATUS) == 0, "an absent slave answers 0");
    out(STATUS, 0xec);
    delay();
    tap_ok(alternate() == 0, "... and to a command");
    select(0);
    tap_ok(ready() & DRDY, "the master is there still");
}

static void identify(void)
{
    command(0xec, 0, 0);
    tap_ok(interrupted(1) && ready() & DRQ, "IDENTIFY interrupts and has data");
    read_words(buf, 256);
    tap_ok(!(ready() & DRQ), "256 words of it");
    sectors = words(60);
    tap_ok(sectors == words(100), "LBA28 and LBA48 sizes are the same");
    tap_ok((word(0) & 0x8000) == 0 && word(49) & 0x200, "an ATA device that knows LBA");
    tap_note("%u sectors, %u/%u/%u", sectors, word(1), word(3), word(6));
}

/* n sectors by a command that interrupts for each block of so many. */
static bool read_blocks(uint8_t cmd, uint32_t lba, uint32_t n, uint32_t block, bool longs)
{
    if (cmd == 0x24 || cmd == 0x29)
        command48(cmd, lba, n);
    else
        command(cmd, lba, n);
    for (uint32_t i = 0, k = 1; i < n; i += block, k++) {
        const uint32_t now = n - i < block ? n - i : block;
        if (!interrupted(k) || !(ready() & DRQ))
            return false;
        if (longs)
            read_longs(buf + 512 * i, now * 128);
        else
            read_words(buf + 512 * i, now * 256);
    }
    return !(ready() & (DRQ | ERR)) && all_hold(lba, n);
}

static bool write_blocks(uint8_t cmd, uint32_t lba, uint32_t n, uint32_t block)
{
    for (uint32_t i = 0; i < n; i++)
        memcpy(buf + 512 * i, numbered(1000 + lba + i, 512), 512);
    if (cmd == 0x34 || cmd == 0x39)
        command48(cmd, lba, n);
    else
        command(cmd, lba, n);
    for (uint32_t i = 0, k = 1; i < n; i += block, k++) {
        if (!(ready() & DRQ))
            return false;
        write_words(buf + 512 * i, (n - i < block ? n - i : block) * 256);
        if (!interrupted(k))
            return false;
    }
    return !(ready() & (DRQ | ERR));
}

static void read_all_ways(void)
{
    tap_ok(read_blocks(0x20, 0, 1, 1, false), "READ SECTORS, one");
    tap_ok(read_blocks(0x20, 3, 64, 1, false), "READ SECTORS, 64 with an interrupt each");
    tap_ok(read_blocks(0x20, 7, 5, 1, true), "READ SECTORS by double words");
    tap_ok(read_blocks(0x24, 11, 3, 1, false), "READ SECTORS EXT");
    command(0xc6, 0, 16);
    tap_ok(interrupted(1) && !(ready() & ERR), "SET MULTIPLE");
    tap_ok(read_blocks(0xc4, 20, 40, 16, false), "READ MULTIPLE");
    tap_ok(read_blocks(0x29, 20, 40, 16, true), "READ MULTIPLE EXT");
}

static void write_all_ways(void)
{
    tap_ok(write_blocks(0x30, 100, 3, 1), "WRITE SECTORS");
    tap_ok(write_blocks(0xc5, 103, 20, 16), "WRITE MULTIPLE");
    tap_ok(write_blocks(0x34, 123, 1, 1), "WRITE SECTORS EXT");
    tap_ok(write_blocks(0x39, 124, 16, 16), "WRITE MULTIPLE EXT");
    command(0xe7, 0, 0);
    tap_ok(interrupted(1) && !(ready() & ERR), "FLUSH CACHE");
    command(0x20, 99, 42);
    bool same = true;
    for (uint32_t s = 99; s < 141; s++) {
        if (!(ready() & DRQ))
            break;
        read_words(buf, 256);
        same &= holds(buf, s < 100 || s > 139 ? s : 1000 + s, 512);
    }
    tap_ok(same, "all that was written is there, and nothing else has changed");
    in(STATUS);
}

static void by_cylinder(void)
{
    command(0xec, 0, 0);
    ready();
    read_words(buf, 256);
    const uint32_t heads = word(55), track = word(56);
    irqs[0] = 0;
    out(COUNT, 1);
    out(LOW, 5);
    out(MID, 0);
    out(HIGH, 0);
    out(DEVICE, 0xa0 | 1);
    out(STATUS, 0x20);
    bool ok = ready() & DRQ;
    read_words(buf, 256);
    ok &= holds(buf, track + 4, 512);
    tap_ok(ok, "cylinder 0, head 1, sector 5 of %u heads and %u sectors", heads, track);
    in(STATUS);
}

static void refuse(void)
{
    command(0x20, sectors, 1);
    tap_ok(interrupted(1) && ready() & ERR, "reading behind the end is an error");
    command(0xff, 0, 0);
    tap_ok(interrupted(1) && ready() & ERR && in(ERROR)&4, "an unknown command is aborted");
    tap_ok(read_blocks(0x20, 1, 1, 1, false), "... and the next one is not");
}

static void no_interrupts(void)
{
    control(2);
    command(0x20, 2, 1);
    ready();
    for (int i = 0; i < 1000; i++)
        alternate();
    tap_ok(irqs[0] == 0, "no interrupt with nIEN");
    read_words(buf, 256);
    tap_ok(all_hold(2, 1), "... but data");
    in(STATUS);
    control(0);
}

/* --- the CD-ROM ------------------------------------------------------------------------------ */

/* A packet of 12 bytes; its data to buf, at most limit bytes at a time. Returns how many came, or
 * -1. */
static int packet(const uint8_t *p, uint32_t limit)
{
    int got = 0;
    irqs[0] = irqs[1] = 0;
    out(FEATURE, 0);
    out(MID, limit);
    out(HIGH, limit >> 8);
    out(STATUS, 0xa0);
    if (!(ready() & DRQ) || (in(COUNT)&3) != 1)
        return -1;
    write_words(p, 6);
    for (unsigned k = 1;; k++) {
        if (!interrupted(k))
            return -1;
        const uint8_t s = ready();
        if (s & ERR)
            return -1;
        if (!(s & DRQ))
            return (in(COUNT)&3) == 3 ? got : -1;
        const uint32_t n = in(MID) | (uint32_t)in(HIGH) << 8;
        if ((in(COUNT)&3) != 2 || n > limit || n == 0)
            return -1;
        read_words(buf + got, (n + 1) / 2);
        got += (int)n;
    }
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void find_cd(void)
{
    base = SECONDARY;
    control(4);
    delay();
    control(0);
    /* Where the reset takes time, device 1 may still be the selected one, which is not there, is
     * never busy and does not heed a selection yet: the drive is there when its signature is. */
    for (int i = 0; i < 1000000; i++) {
        select(0);
        if (!(alternate() & BSY) && in(MID) == 0x14)
            break;
    }
    tap_ok(in(COUNT) == 1 && in(LOW) == 1 && in(MID) == 0x14 && in(HIGH) == 0xeb,
           "a packet device's signature");
    out(STATUS, 0xec);
    tap_ok(ready() & ERR && in(MID) == 0x14 && in(HIGH) == 0xeb, "IDENTIFY DEVICE is refused");
    in(STATUS);
    irqs[1] = 0;
    out(STATUS, 0xa1);
    tap_ok(interrupted(1) && ready() & DRQ, "IDENTIFY PACKET DEVICE has data");
    read_words(buf, 256);
    tap_ok((word(0) & 0xdf80) == 0x8580, "a removable CD-ROM");
}

static void read_cd(void)
{
    packet((uint8_t[12]){0}, 8); /* there may be a unit attention */
    tap_ok(packet((uint8_t[12]){0}, 8) == 0, "TEST UNIT READY");
    tap_ok(packet((uint8_t[12]){0x12, 0, 0, 0, 36}, 36) == 36 && (buf[0] & 0x1f) == 5, "INQUIRY");
    tap_ok(packet((uint8_t[12]){0x25}, 8) == 8 && be32(buf) == 39 && be32(buf + 4) == 2048,
           "READ CAPACITY");
    tap_ok(packet((uint8_t[12]){0x28, 0, 0, 0, 0, 5, 0, 0, 1}, 2048) == 2048 && holds(buf, 5, 2048),
           "READ(10), one frame");
    bool same = packet((uint8_t[12]){0x28, 0, 0, 0, 0, 9, 0, 0, 20}, 2048) == 20 * 2048;
    for (uint32_t i = 0; i < 20; i++)
        same &= holds(buf + 2048 * i, 9 + i, 2048);
    tap_ok(same, "READ(10), 20 frames, one at a time");
    same = packet((uint8_t[12]){0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 20}, 0xfffe) == 20 * 2048;
    for (uint32_t i = 0; i < 20; i++)
        same &= holds(buf + 2048 * i, 9 + i, 2048);
    tap_ok(same, "READ(12), 20 frames, as many at a time as it likes");
    tap_ok(packet((uint8_t[12]){0x43, 0, 0, 0, 0, 0, 0, 0, 20}, 20) == 20 && buf[6] == 1 &&
               buf[14] == 0xaa && be32(buf + 16) == 40,
           "READ TOC: one track and the lead-out");
    tap_ok(packet((uint8_t[12]){0x28, 0, 0, 0, 0, 40, 0, 0, 1}, 2048) == -1, "behind the end");
    tap_ok(packet((uint8_t[12]){0x03, 0, 0, 0, 18}, 18) == 18 && (buf[2] & 15) == 5 &&
               buf[12] == 0x21,
           "REQUEST SENSE says so");
}

int main(void)
{
    start_interrupts();
    reset();
    absent_slave();
    identify();
    read_all_ways();
    write_all_ways();
    by_cylinder();
    refuse();
    no_interrupts();
    find_cd();
    read_cd();
    return tap_done();
}
