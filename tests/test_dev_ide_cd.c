/* The CD-ROM: packets, how their data is handed over, what is refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "ide_world.h"

enum { FRAMES = 100 };
static uint8_t data[70000];

static void start(void)
{
    ide_world_start_cd(FRAMES);
}
TestSuite(cd, .init = start, .fini = ide_world_end);

/* Bytes that came, or -1: it failed; -2: the hand-over was not as it must be. */
static int packet(const uint8_t *p, uint16_t limit)
{
    int got = 0;
    out(R_FEATURE, 0);
    out(R_MID, (uint8_t)limit);
    out(R_HIGH, (uint8_t)(limit >> 8));
    w.edges = 0;
    out(R_STATUS, 0xa0);
    if (alt() != (READY | DRQ) || in(R_COUNT) != 1 || w.edges)
        return -2;
    for (unsigned i = 0; i < 6; i++)
        bus_out(&w.bus, 0x1f0, p[2 * i] | (uint32_t)p[2 * i + 1] << 8, 2);
    for (;;) {
        if (!w.irq)
            return -2;
        const uint8_t s = in(R_STATUS);
        if (s & ERR)
            return in(R_COUNT) == 3 && !(s & DRQ) ? -1 : -2;
        if (!(s & DRQ))
            return in(R_COUNT) == 3 ? got : -2;
        const unsigned n = in(R_MID) | in(R_HIGH) << 8;
        if (in(R_COUNT) != 2 || n == 0 || n > limit || (n & 1))
            return -2;
        for (unsigned i = 0; i < n; i += 2) {
            const uint16_t v = in16();
            memcpy(data + got, &v, 2);
            got += 2;
        }
    }
}

static void expect_sense(uint8_t key, uint8_t code)
{
    cr_assert_eq(packet((uint8_t[12]){0x03, 0, 0, 0, 18}, 18), 18);
    cr_assert_eq(data[2], key);
    cr_assert_eq(data[12], code);
}

static void expect_frames(uint32_t first, uint32_t n)
{
    uint8_t want[512];
    for (uint32_t s = 0; s < n * 4; s++) {
        pattern(want, first * 4 + s);
        cr_assert_arr_eq(data + 512 * s, want, 512);
    }
}

Test(cd, signature_and_what_a_disk_would_answer)
{
    cr_assert_eq(alt(), 0);
    cr_assert_eq(in(R_MID), 0x14);
    cr_assert_eq(in(R_HIGH), 0xeb);
    out(R_MID, 0);
    out(R_STATUS, 0xec);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    cr_assert_eq(in(R_ERROR), 4);
    cr_assert_eq(in(R_MID), 0x14);
    out(R_STATUS, 0xa1);
    cr_assert_eq(in(R_STATUS), READY | DRQ);
    cr_assert_eq(in16(), 0x85c0);
    out(R_STATUS, 0x08); /* DEVICE RESET, in the middle of it */
    cr_assert_eq(in(R_STATUS), 0);
    cr_assert_eq(in(R_HIGH), 0xeb);
    cr_assert_not(w.irq);
}

Test(cd, reading_in_pieces_of_every_size)
{
    static const uint16_t limits[] = {2, 512, 2048, 2050, 4096, 30000, 0x8000, 0xfffe};
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        cr_assert_eq(packet((uint8_t[12]){0x28, 0, 0, 0, 0, 7, 0, 0, 20}, limits[i]), 20 * 2048,
                     "%u", limits[i]);
        expect_frames(7, 20);
    }
    cr_assert_eq(packet((uint8_t[12]){0xa8, 0, 0, 0, 0, 99, 0, 0, 0, 1}, 2048), 2048);
    expect_frames(99, 1);
    cr_assert_eq(packet((uint8_t[12]){0xbe, 0, 0, 0, 0, 3, 0, 0, 2, 0x10}, 2048), 4096);
    expect_frames(3, 2);
    cr_assert_eq(packet((uint8_t[12]){0x28, 0, 0, 0, 0, 100, 0, 0, 0}, 2048), 0);
}

Test(cd, a_byte_count_of_zero_is_the_most)
{
    out(R_MID, 0);
    out(R_HIGH, 0);
    out(R_STATUS, 0xa0);
    const uint8_t p[12] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};
    for (unsigned i = 0; i < 6; i++)
        bus_out(&w.bus, 0x1f0, p[2 * i] | (uint32_t)p[2 * i + 1] << 8, 2);
    cr_assert_eq(in(R_MID) | in(R_HIGH) << 8, 2048);
}

Test(cd, behind_the_end)
{
    cr_assert_eq(packet((uint8_t[12]){0x28, 0, 0, 0, 0, 100, 0, 0, 1}, 2048), -1);
    expect_sense(5, 0x21);
    expect_sense(0, 0);
    cr_assert_eq(packet((uint8_t[12]){0x28, 0, 0, 0, 0, 99, 0, 0, 2}, 2048), -1);
    cr_assert_eq(
        packet((uint8_t[12]){0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 2048), -1);
    expect_sense(5, 0x21);
}

Test(cd, a_read_error_of_the_host)
{
    fail_arm(&w.fail, FAIL_READ, 2, false);
    cr_assert_eq(packet((uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 40}, 2048), -1);
    expect_sense(3, 0x11);
}

Test(cd, answers_are_cut_to_what_is_asked_for)
{
    cr_assert_eq(packet((uint8_t[12]){0x12, 0, 0, 0, 36}, 100), 36);
    cr_assert_eq(data[0], 5);
    cr_assert_eq(memcmp(data + 8, "UMBRA   CD-ROM", 14), 0);
    cr_assert_eq(packet((uint8_t[12]){0x12, 0, 0, 0, 5}, 100), 6, "words");
    cr_assert_eq(packet((uint8_t[12]){0x12, 0, 0, 0, 0}, 100), 0);
    cr_assert_eq(packet((uint8_t[12]){0x12, 1, 0, 0, 36}, 100), -1);
    cr_assert_eq(packet((uint8_t[12]){0x25}, 8), 8);
    cr_assert_eq(data[3], FRAMES - 1);
    cr_assert_eq(data[6], 8);
    cr_assert_eq(packet((uint8_t[12]){0x43, 2, 0, 0, 0, 0, 0, 0, 100}, 100), 20);
    cr_assert_eq(data[10], 2, "00:02.00");
    cr_assert_eq(packet((uint8_t[12]){0x43, 0, 1, 0, 0, 0, 0, 0, 100}, 100), 12);
    cr_assert_eq(packet((uint8_t[12]){0x43, 0, 0, 0, 0, 0, 2, 0, 100}, 100), -1);
    cr_assert_eq(packet((uint8_t[12]){0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 100}, 100), 28);
    cr_assert_eq(packet((uint8_t[12]){0x5a, 0, 0x01, 0, 0, 0, 0, 0, 100}, 100), -1);
    cr_assert_eq(packet((uint8_t[12]){0x46, 0, 0, 0, 0, 0, 0, 0, 100}, 100), 16);
    cr_assert_eq(packet((uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 100}, 100), 8);
    cr_assert_eq(packet((uint8_t[12]){0x4a, 0, 0, 0, 0x10, 0, 0, 0, 100}, 100), -1);
    cr_assert_eq(packet((uint8_t[12]){0x51, 0, 0, 0, 0, 0, 0, 0, 100}, 100), 34);
    cr_assert_eq(packet((uint8_t[12]){0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8}, 100), 8);
}

Test(cd, unknown_packets_and_commands)
{
    cr_assert_eq(packet((uint8_t[12]){0xff}, 100), -1);
    expect_sense(5, 0x20);
    cr_assert_eq(packet((uint8_t[12]){0x1b, 0, 0, 0, 2}, 100), -1, "the tray stays shut");
    cr_assert_eq(packet((uint8_t[12]){0x1b, 0, 0, 0, 3}, 100), 0);
    cr_assert_eq(packet((uint8_t[12]){0x00}, 100), 0);
    out(R_FEATURE, 1); /* by DMA */
    out(R_STATUS, 0xa0);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    out(R_STATUS, 0x30);
    cr_assert_eq(in(R_ERROR), 4);
}
