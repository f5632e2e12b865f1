/* The whole board under random accesses: ports of every width, addresses, time, keys. Nothing
 * crashes, and the processor's pin says what an acknowledge gives. And the DMA controllers'
 * flip-flop. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/dev_pins.h"
#include "vmm/dev/board.h"

static struct board board;
static struct chardev_mem line;
static uint64_t now;
static struct pin intr;

static struct pin offs;
static void fresh(void)
{
    static const char input[] = "some input";
    const struct board_config c = {.clock = {pin_clock, &now},
                                   .com1 = &line.c,
                                   .intr = {pin_drive, &intr, 0},
                                   .off = {pin_pulse, &offs, 0},
                                   .ram_bytes = 16 << 20};
    chardev_mem_init(&line, input, sizeof input);
    now = 0;
    intr.level = false;
    cr_assert_eq(board_init(&board, &c), 0);
}

TestSuite(board, .init = fresh);

Test(board, dma_registers_are_written_and_read_by_halves)
{
    bus_out(&board.bus, 0x0c, 0, 1);
    bus_out(&board.bus, 0x04, 0x34, 1);
    bus_out(&board.bus, 0x04, 0x12, 1);
    bus_out(&board.bus, 0x05, 0x78, 1);
    cr_assert_eq(bus_in(&board.bus, 0x05, 1), 0u, "the high byte's turn");
    cr_assert_eq(bus_in(&board.bus, 0x04, 1), 0x34u);
    cr_assert_eq(bus_in(&board.bus, 0x04, 1), 0x12u);
    bus_out(&board.bus, 0xd0 + 2 * 5, 0, 1); /* the other's master clear */
    cr_assert_eq(bus_in(&board.bus, 0xde, 1) & 15, 15u);
    bus_out(&board.bus, 0xd4, 2, 1);
    cr_assert_eq(bus_in(&board.bus, 0xde, 1) & 15, 11u);
}

Test(board, ways_to_switch_off)
{
    bus_out(&board.bus, 0x604, 0x2000, 2);
    cr_assert_eq(offs.rises, 1);
    bus_out(&board.bus, 0xb004, 0x3c00, 2);
    cr_assert_eq(offs.rises, 2);
    bus_out(&board.bus, 0x4004, 0x3400, 2);
    cr_assert_eq(offs.rises, 3);
    bus_out(&board.bus, 0x604, 0x0001, 2); /* not that bit */
    bus_out(&board.bus, 0x604, 0xff, 1);
    bus_out(&board.bus, 0x605, 0xff, 1);
    for (const char *c = "Shutdow Shutdown"; *c; c++) {
        cr_assert_eq(offs.rises, 3);
        bus_out(&board.bus, 0x8900, (uint8_t)*c, 1);
    }
    cr_assert_eq(offs.rises, 4);
    for (const char *c = "ShuShutdown"; *c; c++)
        bus_out(&board.bus, 0x8900, (uint8_t)*c, 1);
    cr_assert_eq(offs.rises, 5);
    cr_assert_eq(bus_in(&board.bus, 0x604, 2), 0xffff);
}

static bool fpu_line;
static void on_fpu_line(void *ctx, unsigned n, bool level)
{
    (void)ctx;
    cr_assert_eq(n, 13);
    fpu_line = level;
}

Test(board, a_numeric_exception_is_latched_until_f0_is_written)
{
    struct bus bus;
    struct ferr f;
    bus_init(&bus);
    cr_assert_eq(ferr_init(&f, &bus, (struct line){on_fpu_line, NULL, 13}), 0);
    bus_out(&bus, 0xf0, 0, 1);
    cr_assert(ferr_set(&f, true), "nothing was latched, so nothing is ignored");
    cr_assert(fpu_line);
    cr_assert_not(ferr_set(&f, true));
    cr_assert_not(ferr_set(&f, false));
    cr_assert(fpu_line, "the latch holds it");
    cr_assert_not(ferr_set(&f, true));
    bus_out(&bus, 0xf0, 0, 1);
    cr_assert_not(fpu_line);
    cr_assert_not(ferr_set(&f, true), "IGNNE#");
    cr_assert_not(ferr_set(&f, false));
    cr_assert(ferr_set(&f, true));
    ferr_reset(&f);
    cr_assert_not(fpu_line);
}

static char said[8];
static void say(void *ctx, uint8_t byte)
{
    (void)ctx;
    said[strlen(said)] = (char)byte;
}

Test(board, messages_go_where_somebody_listens)
{
    struct bus bus;
    struct debugcon d;
    bus_init(&bus);
    cr_assert_eq(debugcon_init(&d, &bus, NULL, NULL), 0);
    cr_assert_eq(bus_in(&bus, 0xe9, 1), 0xff);
    cr_assert_eq(debugcon_init(&d, &bus, say, NULL), 0);
    cr_assert_eq(bus_in(&bus, 0xe9, 1), 0xe9);
    cr_assert_eq(bus_in(&bus, 0x402, 1), 0xe9);
    bus_out(&bus, 0xe9, 'a', 1);
    bus_out(&bus, 0x402, 'b', 1);
    cr_assert_str_eq(said, "ab");
}

static uint16_t some_port(unsigned r)
{
    static const uint16_t places[] = {0x000, 0x020, 0x040, 0x060, 0x070, 0x080,
                                      0x0a0, 0x0c0, 0x170, 0x1f0, 0x370, 0x3b0,
                                      0x3c0, 0x3d0, 0x3f0, 0x4d0, 0xcf0, 0x0f0};
    const uint16_t first = places[(r >> 5) % (sizeof places / sizeof *places)];
    return (uint16_t)(first + r % 24);
}

Test(board, random_accesses)
{
    unsigned seed = 11;

    for (unsigned i = 0; i < 1000000; i++) {
        const unsigned r = (unsigned)rand_r(&seed), v = (unsigned)rand_r(&seed) ^ r << 16;
        const unsigned size = 1u << r % 3;
        const gpa_t at = (r & 0x100 ? 0xa0000 : r & 0x200 ? LAPIC_BASE : IOAPIC_BASE) + (v & 0xfff);
        now += v & 0x3fff;
        switch (r >> 24 & 7) {
        case 0:
        case 1: bus_out(&board.bus, some_port(r >> 4), v, size); break;
        case 2:
        case 3: bus_in(&board.bus, some_port(r >> 4), size); break;
        case 4: mmio_write(&board.mmio, at, v, size); break;
        case 5: mmio_read(&board.mmio, at, size); break;
        case 6:
            kbd_key(&board.kbd, (uint8_t)v);
            board_update(&board);
            break;
        default: {
            const bool was = intr.level;
            const int vector = apic_ack(&board.apic);
            cr_assert_eq(was, vector >= 0, "access %u", i);
        }
        }
        (void)board_deadline(&board);
        if (line.out_len > 1 << 16)
            line.out_len = 0;
    }
    chardev_close(&line.c);
}
