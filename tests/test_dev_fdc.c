/* The diskette controller with the DMA controller beside it, driven through their ports as a PC's
 * processor drives them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mm/failpoint.h"
#include "vmm/dev/fdc.h"

enum { HEADS = 2, SECTORS = 18 };
enum { DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, CCR = 0x3f7 };
enum { READY = 0x80, TO_HOST = 0x40, BYTES = 0x20, BUSY = 0x10 };
enum { TO_MEMORY = 0x46, FROM_MEMORY = 0x4a, VERIFY_ONLY = 0x42 };

static struct bus bus;
static struct dma dma;
static struct fdc fdc;
static struct disk *disk[2];
static struct failpoint fault;
static char path[2][32];
static uint8_t ram[0x30000];
static uint64_t now;
static bool level;
static unsigned edges;
static uint8_t res[10];

/* --- the world ------------------------------------------------------------------------------- */

static uint64_t get_now(void *ctx)
{
    (void)ctx;
    return now;
}
static void on_irq(void *ctx, unsigned n, bool l)
{
    (void)ctx;
    cr_assert_eq(n, 6);
    cr_assert_neq(level, l, "the line is told of changes only");
    edges += l;
    level = l;
}
static void mem_read(void *ctx, uint32_t gpa, void *buf, uint32_t len)
{
    (void)ctx;
    cr_assert(gpa <= sizeof ram && len <= sizeof ram - gpa);
    memcpy(buf, ram + gpa, len);
}
static void mem_write(void *ctx, uint32_t gpa, const void *buf, uint32_t len)
{
    (void)ctx;
    cr_assert(gpa <= sizeof ram && len <= sizeof ram - gpa);
    memcpy(ram + gpa, buf, len);
}

static void pattern(uint8_t *buf, uint32_t sector)
{
    for (uint32_t i = 0; i < 128; i++)
        memcpy(buf + 4 * i, &(uint32_t){sector << 8 | i}, 4);
}

static void insert(unsigned n, uint32_t sectors, bool readonly)
{
    struct errmsg err = {{0}};
    uint8_t buf[512];
    snprintf(path[n], sizeof path[n], "/tmp/umbra-fdc-XXXXXX");
    const int fd = mkstemp(path[n]);
    cr_assert_geq(fd, 0);
    for (uint32_t s = 0; s < sectors; s++) {
        pattern(buf, s);
        cr_assert_eq(pwrite(fd, buf, 512, (off_t)s * 512), 512);
    }
    close(fd);
    const struct disk_opts o = {.path = path[n], .readonly = readonly, .fail = &fault};
    cr_assert_eq(disk_open(&o, &disk[n], &err), 0, "%s", err.text);
}

static void power_on(void)
{
    bus_init(&bus);
    cr_assert_eq(dma_init(&dma, &bus, (struct dma_memory){mem_read, mem_write, NULL}), 0);
    cr_assert_eq(fdc_init(&fdc, &bus,
                          &(struct fdc_config){.clock = {get_now, NULL},
                                               .irq = {on_irq, NULL, 6},
                                               .dma = &dma,
                                               .disk = {disk[0], disk[1]}}),
                 0);
}

static void out(uint16_t port, unsigned val)
{
    bus_out(&bus, port, val, 1);
}
static uint8_t in(uint16_t port)
{
    return (uint8_t)bus_in(&bus, port, 1);
}

/* Let time pass until the controller has nothing more to do by itself. */
static void wait(void)
{
    for (unsigned i = 0; fdc_deadline(&fdc) != CLOCK_NEVER; i++) {
        cr_assert_lt(i, 100u);
        now = fdc_deadline(&fdc);
        fdc_update(&fdc);
    }
}

static void say(unsigned byte)
{
    cr_assert_eq(in(MSR) & (READY | TO_HOST), READY, "it takes a byte");
    out(FIFO, byte);
}
static unsigned hear(void)
{
    unsigned n = 0;
    while ((in(MSR) & (READY | TO_HOST | BUSY)) == (READY | TO_HOST | BUSY)) {
        cr_assert_lt(n, sizeof res);
        res[n++] = in(FIFO);
    }
    return n;
}

static void sense(uint8_t st0, uint8_t cylinder)
{
    say(0x08);
    cr_assert_eq(hear(), 2);
    cr_assert_eq(res[0], st0, "%02x", res[0]);
    cr_assert_eq(res[1], cylinder);
}

static void bring_up(void)
{
    out(DOR, 0);
    out(DOR, 0x1c);
    cr_assert_eq(in(MSR), 0, "not yet");
    wait();
    cr_assert(level);
    for (uint8_t unit = 0; unit < 4; unit++)
        sense((uint8_t)(0xc0 | unit), 0);
    cr_assert_not(level);
    say(0x03); /* SPECIFY: DMA */
    say(0xdf);
    say(0x02);
    out(CCR, 0);
    edges = 0;
}

static void seek_to(unsigned unit, unsigned cylinder)
{
    say(0x0f);
    say(unit);
    say(cylinder);
    cr_assert_eq(in(MSR), READY | 1u << unit);
    cr_assert_not(level);
    wait();
    cr_assert(level);
    sense((uint8_t)(0x20 | unit), (uint8_t)cylinder);
    cr_assert_not(level);
}

static void program_dma(unsigned mode, uint32_t at, uint32_t len)
{
    out(0x0a, 6);
    out(0x0c, 0);
    out(0x0b, mode);
    out(0x04, at & 0xff);
    out(0x04, at >> 8 & 0xff);
    out(0x81, at >> 16);
    out(0x05, (len - 1) & 0xff);
    out(0x05, (len - 1) >> 8);
    out(0x0a, 2);
}

static void begin(unsigned code, unsigned unit, unsigned c, unsigned h, unsigned r, unsigned eot)
{
    const unsigned bytes[] = {code, unit | h << 2, c, h, r, 2, eot, 0x1b, 0xff};
    for (unsigned i = 0; i < 9; i++)
        say(bytes[i]);
}

static void result(uint8_t st0, uint8_t st1, uint8_t st2)
{
    wait();
    cr_assert(level, "an interrupt at the end");
    cr_assert_eq(in(MSR), READY | TO_HOST | BUSY);
    res[0] = in(FIFO);
    cr_assert_not(level, "reading the first byte acknowledges");
    for (unsigned i = 1; i < 7; i++)
        res[i] = in(FIFO);
    cr_assert_eq(in(MSR), READY);
    cr_assert(res[0] == st0 && res[1] == st1 && res[2] == st2, "%02x %02x %02x", res[0], res[1],
              res[2]);
}

static void result_at(unsigned c, unsigned h, unsigned r)
{
    cr_assert(res[3] == c && res[4] == h && res[5] == r && res[6] == 2, "%u %u %u %u", res[3],
              res[4], res[5], res[6]);
}

static void expect(uint32_t at, uint32_t sector, unsigned n)
{
    uint8_t want[512];
    for (unsigned i = 0; i < n; i++) {
        pattern(want, sector + i);
        cr_assert_arr_eq(ram + at + 512 * i, want, 512, "sector %u", sector + i);
    }
}

static void expect_file(uint32_t sector, const uint8_t *want)
{
    uint8_t buf[512];
    const int fd = open(path[0], O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(fd, buf, 512, (off_t)sector * 512), 512);
    close(fd);
    cr_assert_arr_eq(buf, want, 512);
}

static void start_with(uint32_t sectors, bool readonly)
{
    insert(0, sectors, readonly);
    power_on();
    bring_up();
    seek_to(0, 1);
    seek_to(0, 0);
}
static void start(void)
{
    start_with(2880, false);
}
static void finish(void)
{
    for (unsigned i = 0; i < 2; i++) {
        disk_close(disk[i]);
        if (path[i][0])
            unlink(path[i]);
    }
}
TestSuite(fdc, .init = start, .fini = finish);
TestSuite(fdc_other, .fini = finish);

/* --- without data ---------------------------------------------------------------------------- */

Test(fdc_other, a_layout_for_every_size)
{
    struct fdc_media m;
    static const struct {
        uint32_t bytes;
        uint8_t tracks, heads, sectors, type;
    } sizes[] = {{163840, 40, 1, 8, 1},   {184320, 40, 1, 9, 1},   {327680, 40, 2, 8, 1},
                 {368640, 40, 2, 9, 1},   {737280, 80, 2, 9, 3},   {1228800, 80, 2, 15, 2},
                 {1474560, 80, 2, 18, 4}, {1720320, 80, 2, 21, 4}, {1763328, 82, 2, 21, 4},
                 {2949120, 80, 2, 36, 5}, {512, 80, 2, 18, 4},     {1474561, 80, 2, 20, 4},
                 {2000000, 80, 2, 36, 5}};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert(fdc_media_of(sizes[i].bytes, &m));
        cr_assert(m.tracks == sizes[i].tracks && m.heads == sizes[i].heads &&
                      m.sectors == sizes[i].sectors && m.drive == sizes[i].type,
                  "%u bytes", sizes[i].bytes);
    }
    cr_assert_not(fdc_media_of(FDC_MEDIA_BYTES + 1, &m));
}

Test(fdc_other, without_a_drive_the_ports_float)
{
    power_on();
    for (uint16_t port = 0x3f0; port < 0x3f8; port++)
        cr_assert_eq(in(port), 0xff);
    cr_assert_eq(fdc_cmos_types(&fdc), 0);
}

Test(fdc, registers_that_say_what_it_is)
{
    say(0x10);
    cr_assert_eq(hear(), 1);
    cr_assert_eq(res[0], 0x90, "VERSION: an 82077AA");
    cr_assert_eq(in(DOR), 0x1c);
    out(0x3f3, 2);
    cr_assert_eq(in(0x3f3) & 3, 2, "tape drive register");
    cr_assert_eq(fdc_cmos_types(&fdc), 0x40);
    cr_assert_eq(in(0x3f6), 0xff, "a hard disk's");
}

Test(fdc, commands_that_are_none_are_told_and_interrupt_nothing)
{
    static const uint8_t bad[] = {0x00, 0x01, 0x0b, 0x1f, 0x18, 0x48, 0x83, 0x90};
    for (unsigned i = 0; i < sizeof bad; i++) {
        say(bad[i]);
        cr_assert_eq(hear(), 1);
        cr_assert_eq(res[0], 0x80);
    }
    say(0x08); /* nothing to sense */
    cr_assert_eq(hear(), 1);
    cr_assert_eq(res[0], 0x80);
    cr_assert_eq(edges, 2u, "those of the seeks");
}

Test(fdc, seek_recalibrate_and_sense_drive)
{
    seek_to(0, 40);
    say(0x04);
    say(0x04);
    cr_assert_eq(hear(), 1);
    cr_assert_eq(res[0], 0x2c, "two sides, ready, head 1; not on track 0, not protected");
    say(0x07);
    say(0);
    wait();
    sense(0x20, 0);
    say(0x04);
    say(0);
    hear();
    cr_assert_eq(res[0], 0x38, "on track 0");
    say(0xcf); /* relative, inwards */
    say(0);
    say(3);
    wait();
    sense(0x20, 3);
    say(0x8f);
    say(0);
    say(1);
    wait();
    sense(0x20, 2);
}

Test(fdc, a_drive_that_is_absent_never_finds_track_0)
{
    say(0x07);
    say(1);
    wait();
    sense(0x71, 0);
    out(DOR, 0x2d);
    cr_assert_eq(in(CCR), 0x80, "no diskette: as if it was changed");
    begin(0xe6, 1, 0, 0, 1, 18);
    result(0x41, 0x01, 0);
}

Test(fdc, the_change_line_falls_with_a_step_that_is_made)
{
    fdc_reset(&fdc);
    bring_up();
    cr_assert_eq(in(CCR), 0x80);
    seek_to(0, 0);
    cr_assert_eq(in(CCR), 0x80, "no step was needed");
    seek_to(0, 1);
    cr_assert_eq(in(CCR), 0);
    out(DOR, 0x0c);
    cr_assert_eq(in(CCR), 0, "motor off: not told");
}

Test(fdc, configure_lock_and_dumpreg)
{
    say(0x13);
    say(0);
    say(0x57); /* implied seek, FIFO, no polling, threshold 8 */
    say(0x10);
    seek_to(0, 7);
    say(0x0e);
    cr_assert_eq(hear(), 10);
    cr_assert(res[0] == 7 && res[4] == 0xdf && res[5] == 0x02 && res[8] == 0x57 && res[9] == 0x10);
    say(0x94);
    cr_assert_eq(hear(), 1);
    cr_assert_eq(res[0], 0x10);
    out(MSR, 0x80); /* DSR: a reset that ends by itself */
    wait();
    cr_assert(level, "polling is on again");
    for (uint8_t unit = 0; unit < 4; unit++)
        sense((uint8_t)(0xc0 | unit), 0);
    say(0x0e);
    hear();
    cr_assert_eq(res[8], 0x07, "the FIFO is as it was locked");
    cr_assert_eq(res[9], 0x10);
    cr_assert_eq(res[4], 0xdf, "and SPECIFY's always stay");
    say(0x14);
    hear();
    cr_assert_eq(res[0], 0);
    out(DOR, 0x18);
    out(DOR, 0x1c);
    wait();
    for (uint8_t unit = 0; unit < 4; unit++)
        sense((uint8_t)(0xc0 | unit), 0);
    say(0x0e);
    hear();
    cr_assert_eq(res[8], 0x20, "not locked: no FIFO");
}

Test(fdc, the_gate_of_the_dor_holds_the_line)
{
    out(DOR, 0x14);
    say(0x0f);
    say(0);
    say(5);
    wait();
    cr_assert_not(level);
    out(DOR, 0x1c);
    cr_assert(level);
    out(DOR, 0x18);
    cr_assert_not(level, "reset takes the interrupt away");
}

/* --- reading --------------------------------------------------------------------------------- */

Test(fdc, a_read_ends_with_the_count)
{
    program_dma(TO_MEMORY, 0x10200, 3 * 512);
    begin(0xe6, 0, 0, 1, 4, 18);
    cr_assert_eq(in(MSR), BUSY);
    cr_assert_not(level, "not before time has passed");
    result(0x04, 0, 0);
    result_at(0, 1, 7);
    expect(0x10200, SECTORS + 3, 3);
    cr_assert_eq(in(0x08) & 0xf, 4, "terminal count on channel 2");
    cr_assert_eq(in(0x08) & 0xf, 0, "told once");
    cr_assert_eq(in(0x0f) & 4, 4, "and masked");
}

Test(fdc, across_both_heads_with_mt)
{
    seek_to(0, 3);
    program_dma(TO_MEMORY, 0x8000, 36 * 512);
    begin(0xe6, 0, 3, 0, 1, 18);
    result(0x04, 0, 0);
    result_at(4, 0, 1);
    expect(0x8000, 3 * 36, 36);
}

Test(fdc, without_mt_it_ends_behind_the_track)
{
    program_dma(TO_MEMORY, 0x8000, 0x6000);
    begin(0x66, 0, 0, 0, 17, 18);
    result(0x40, 0x80, 0);
    result_at(1, 0, 1);
    expect(0x8000, 16, 2);
    cr_assert_eq(in(0x08) & 0xf, 0);
}

Test(fdc, a_count_within_a_sector)
{
    memset(ram, 0xee, sizeof ram);
    program_dma(TO_MEMORY, 0x8000, 100);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0, 0, 0);
    uint8_t want[512];
    pattern(want, 0);
    cr_assert_arr_eq(ram + 0x8000, want, 100);
    cr_assert_eq(ram[0x8064], 0xee);
}

Test(fdc, the_page_register_does_not_count)
{
    program_dma(TO_MEMORY, 0x1fe00, 1024);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0, 0, 0);
    expect(0x1fe00, 0, 1);
    expect(0x10000, 1, 1);
}

Test(fdc, what_is_not_there)
{
    program_dma(TO_MEMORY, 0x8000, 512);
    begin(0xe6, 0, 5, 0, 1, 18);
    result(0x40, 0x04, 0x10);
    begin(0xe6, 0, 0, 0, 19, 20);
    result(0x40, 0x04, 0);
    begin(0xe6, 0, 0, 0, 0, 18);
    result(0x40, 0x04, 0);
    begin(0xa6, 0, 0, 0, 1, 18);
    result(0x40, 0x01, 0);
    out(CCR, 2);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0x40, 0x01, 0);
    out(CCR, 0);
    seek_to(0, 81);
    begin(0xe6, 0, 81, 0, 1, 18);
    result(0x40, 0x01, 0);
}

Test(fdc, nobody_takes_the_bytes)
{
    program_dma(TO_MEMORY, 0x8000, 512);
    out(0x0a, 6);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0x40, 0x10, 0);
    program_dma(TO_MEMORY, 0x8000, 512);
    out(0xd4, 4); /* the cascade is closed */
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0x40, 0x10, 0);
    out(0xd4, 0);
    out(0x08, 4); /* the controller is off */
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0x40, 0x10, 0);
    out(0x08, 0);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0, 0, 0);
    expect(0x8000, 0, 1);
}

Test(fdc, dma_that_verifies_or_goes_the_other_way_leaves_memory_alone)
{
    memset(ram, 0xee, sizeof ram);
    program_dma(VERIFY_ONLY, 0x8000, 512);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0, 0, 0);
    program_dma(FROM_MEMORY, 0x8000, 512);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0, 0, 0);
    for (unsigned i = 0; i < 1024; i++)
        cr_assert_eq(ram[0x7f00 + i], 0xee);
}

Test(fdc, dma_downwards_and_again_and_again)
{
    uint8_t want[512];
    program_dma(TO_MEMORY | 0x20, 0x8000, 512);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0, 0, 0);
    pattern(want, 0);
    for (unsigned i = 0; i < 512; i++)
        cr_assert_eq(ram[0x8000 - i], want[i]);
    program_dma(TO_MEMORY | 0x10, 0x9000, 512);
    for (unsigned i = 1; i < 4; i++) { /* not programmed anew */
        begin(0xe6, 0, 0, 0, i, 18);
        result(0, 0, 0);
        expect(0x9000, i - 1, 1);
    }
}

Test(fdc, read_id_tells_where_the_heads_are)
{
    seek_to(0, 9);
    say(0x4a);
    say(4);
    result(0x04, 0, 0);
    cr_assert(res[3] == 9 && res[4] == 1 && res[5] >= 1 && res[5] <= 18 && res[6] == 2);
}

Test(fdc, an_implied_seek)
{
    say(0x13);
    say(0);
    say(0x40);
    say(0);
    program_dma(TO_MEMORY, 0x8000, 512);
    begin(0xe6, 0, 20, 0, 1, 18);
    result(0, 0, 0);
    expect(0x8000, 20 * 36, 1);
}

Test(fdc, by_the_processor_byte_for_byte)
{
    uint8_t want[512];
    say(0x03);
    say(0xdf);
    say(0x03); /* no DMA */
    begin(0x66, 0, 0, 0, 17, 18);
    for (uint32_t s = 16; s < 18; s++) {
        wait();
        pattern(want, s);
        for (unsigned i = 0; i < 512; i++) {
            cr_assert(level);
            cr_assert_eq(in(MSR), READY | TO_HOST | BYTES | BUSY);
            cr_assert_eq(in(FIFO), want[i], "sector %u byte %u", s, i);
        }
    }
    result(0x40, 0x80, 0); /* nobody could say that it is enough */
}

Test(fdc_other, beyond_a_short_image_are_zeros)
{
    start_with(5, false);
    memset(ram, 0xee, sizeof ram);
    program_dma(TO_MEMORY, 0x8000, 1024);
    begin(0xe6, 0, 0, 0, 5, 18);
    result(0, 0, 0);
    expect(0x8000, 4, 1);
    for (unsigned i = 0; i < 512; i++)
        cr_assert_eq(ram[0x8200 + i], 0);
    program_dma(FROM_MEMORY, 0x8000, 512);
    begin(0xc5, 0, 0, 0, 6, 18);
    result(0x40, 0x20, 0x20);
}

Test(fdc_other, data_rates)
{
    insert(0, 720, false);
    insert(1, 1440, false);
    power_on();
    bring_up();
    cr_assert_eq(fdc_cmos_types(&fdc), 0x13);
    for (unsigned rate = 0; rate < 4; rate++) {
        out(CCR, rate);
        say(0x4a);
        say(0);
        result(rate == 1 || rate == 2 ? 0 : 0x40, rate == 1 || rate == 2 ? 0 : 1, 0);
        say(0x4a);
        say(1);
        result(rate == 2 ? 0x01 : 0x41, rate == 2 ? 0 : 1, 0);
    }
}

Test(fdc, an_error_of_the_host_is_a_bad_sector)
{
    program_dma(TO_MEMORY, 0x8000, 1024);
    fail_arm(&fault, FAIL_READ, 2, false);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0x40, 0x20, 0x20);
    result_at(0, 0, 2);
    program_dma(FROM_MEMORY, 0x8000, 1024);
    fail_arm(&fault, FAIL_WRITE, 1, false);
    begin(0xc5, 0, 0, 0, 1, 18);
    result(0x40, 0x20, 0x20);
    result_at(0, 0, 1);
}

Test(fdc, verify_moves_nothing)
{
    begin(0xf6, 0, 0, 0, 1, 18);
    result(0x04, 0, 0);
    begin(0xf6, 0, 0, 0, 1, 30);
    result(0x40, 0x04, 0);
}

/* --- writing --------------------------------------------------------------------------------- */

Test(fdc, a_write_reaches_the_file)
{
    memset(ram + 0x8000, 0x5a, 512);
    memset(ram + 0x8200, 0xa5, 100);
    program_dma(FROM_MEMORY, 0x8000, 612);
    begin(0xc5, 0, 0, 1, 18, 18);
    result(0x44, 0x80, 0); /* head 1's last sector */
    expect_file(35, ram + 0x8000);
    program_dma(FROM_MEMORY, 0x8000, 612);
    begin(0xc5, 0, 0, 0, 3, 18);
    result(0, 0, 0);
    expect_file(2, ram + 0x8000);
    memset(ram + 0x8264, 0, 412); /* what the count did not reach is zeros */
    expect_file(3, ram + 0x8200);
}

Test(fdc, a_write_by_the_processor)
{
    uint8_t want[512];
    say(0x03);
    say(0xdf);
    say(0x03);
    begin(0x45, 0, 0, 0, 18, 18);
    wait();
    for (unsigned i = 0; i < 512; i++) {
        want[i] = (uint8_t)(i * 7);
        cr_assert_eq(in(MSR), READY | BYTES | BUSY);
        cr_assert(level);
        out(FIFO, want[i]);
    }
    result(0x40, 0x80, 0);
    expect_file(17, want);
}

Test(fdc_other, a_protected_diskette)
{
    start_with(2880, true);
    say(0x04);
    say(0);
    hear();
    cr_assert_eq(res[0] & 0x40, 0x40);
    program_dma(FROM_MEMORY, 0x8000, 512);
    begin(0xc5, 0, 0, 0, 1, 18);
    result(0x40, 0x02, 0);
    program_dma(TO_MEMORY, 0x8000, 512);
    begin(0xe6, 0, 0, 0, 1, 18);
    result(0, 0, 0);
}

Test(fdc, formatting_fills_the_track)
{
    uint8_t want[512];
    for (unsigned i = 0; i < 18; i++)
        memcpy(ram + 0x8000 + 4 * i, (uint8_t[]){2, 1, (uint8_t)(i + 1), 2}, 4);
    seek_to(0, 2);
    program_dma(FROM_MEMORY, 0x8000, 72);
    static const uint8_t format[] = {0x4d, 4, 2, 18, 0x54, 0xf6};
    for (unsigned i = 0; i < sizeof format; i++)
        say(format[i]);
    result(0x04, 0, 0);
    memset(want, 0xf6, 512);
    for (uint32_t s = 0; s < 18; s++)
        expect_file(2 * 36 + 18 + s, want);
    pattern(want, 2 * 36 + 17);
    expect_file(2 * 36 + 17, want);
    ram[0x8002] = 40; /* no such sector in this layout */
    program_dma(FROM_MEMORY, 0x8000, 72);
    for (unsigned i = 0; i < sizeof format; i++)
        say(format[i]);
    result(0x44, 0x04, 0);
}

/* --- anything -------------------------------------------------------------------------------- */

Test(fdc, random_accesses)
{
    static const uint8_t codes[] = {0xe6, 0x66, 0x45, 0xc5, 0x4a, 0x4d, 0x0f, 0x07,
                                    0x08, 0x03, 0x13, 0xf6, 0x42, 0x6c, 0x94, 0x0e};
    unsigned seed = 5;
    for (unsigned i = 0; i < 300000; i++) {
        const unsigned r = (unsigned)rand_r(&seed), v = (unsigned)rand_r(&seed);
        switch (r >> 8 & 15) {
        case 0: out(DOR, v % 8 ? 0x1cu | (v >> 4 & 1) : v); break;
        case 1: out((uint16_t)(0x3f0 + (r >> 16) % 8), v); break;
        case 2: in((uint16_t)(0x3f0 + (r >> 16) % 8)); break;
        case 3: program_dma(0x42u | (v & 0x3c), v % 0x20000, 1 + (v >> 8) % 4096); break;
        case 4: out((uint16_t)((r >> 16) % 16), v); break;
        case 5: now += v % 100000; break;
        case 6: fdc_update(&fdc); break;
        case 7: out(FIFO, codes[v % sizeof codes]); break;
        default:
            if (in(MSR)&TO_HOST)
                in(FIFO);
            else
                out(FIFO, r & 0x10000 ? v & 3 : r & 0x20000 ? v % 20 : v & 0xff);
        }
        if (r % 4096 == 0)
            out(0x81, 0);
        dma.page[1] &= 1; /* RAM of this world */
    }
    dma_reset(&dma);
    bring_up();
    seek_to(0, 1);
    seek_to(0, 0);
    say(0x4a);
    say(0);
    result(0, 0, 0);
}
