/* The ATA channel and its disks, driven through the ports as a host drives them. */
#include <criterion/criterion.h>
#include <string.h>

#include "ide_world.h"

static uint8_t buf[512], want[512];

static void start(void)
{
    ide_world_start(600, 0, NULL);
}
TestSuite(ide, .init = start, .fini = ide_world_end);

static void expect_sector(uint32_t sector)
{
    read_sector(buf);
    pattern(want, sector);
    cr_assert_arr_eq(buf, want, 512, "sector %u", sector);
}

static uint32_t lba(void)
{
    return in(R_LOW) | in(R_MID) << 8 | in(R_HIGH) << 16 | (in(R_DEVICE)&15u) << 24;
}

static uint16_t word(unsigned n)
{
    return (uint16_t)(buf[2 * n] | buf[2 * n + 1] << 8);
}

Test(ide, after_power_on_the_signature_is_a_disks)
{
    cr_assert_eq(alt(), READY);
    cr_assert_eq(in(R_ERROR), 1);
    cr_assert_eq(in(R_COUNT), 1);
    cr_assert_eq(in(R_LOW), 1);
    cr_assert_eq(in(R_MID), 0);
    cr_assert_eq(in(R_HIGH), 0);
    cr_assert_eq(in(R_DEVICE) & ~0xa0, 0);
    cr_assert_not(w.irq);
}

Test(ide, identify_tells_size_geometry_and_what_is_offered)
{
    command(0xec, 0, 0);
    cr_assert_eq(alt(), READY | DRQ);
    cr_assert(w.irq);
    read_sector(buf);
    cr_assert_eq(alt(), READY);
    cr_assert_eq(word(0) & 0x8080, 0, "ATA, not removable");
    cr_assert_eq(word(1), 1, "at least one cylinder");
    cr_assert_eq(word(3), 16);
    cr_assert_eq(word(6), 63);
    cr_assert_eq(word(49) & 0x300, 0x200, "LBA and no DMA");
    cr_assert_eq(word(60) | word(61) << 16, 600);
    cr_assert_eq(word(100), 600);
    cr_assert_eq(word(83) & 0xc400, 0x4400, "LBA48");
    cr_assert_eq(word(63), 0);
    cr_assert_eq(word(88), 0);
    cr_assert_eq(memcmp(buf + 54, "MURB AIDKS", 10), 0, "text is swapped by pairs");
}

Test(ide, reading_interrupts_once_for_each_sector_and_not_at_the_end)
{
    command(0x20, 5, 3);
    for (unsigned s = 5; s < 8; s++) {
        cr_assert_eq(w.edges, s - 4);
        cr_assert(w.irq);
        cr_assert_eq(in(R_STATUS), READY | DRQ);
        cr_assert_not(w.irq, "reading Status acknowledges");
        expect_sector(s);
    }
    cr_assert_eq(w.edges, 3);
    cr_assert_eq(in(R_STATUS), READY);
    cr_assert_eq(lba(), 7);
    cr_assert_eq(in(R_COUNT), 0);
}

Test(ide, alternate_status_acknowledges_nothing)
{
    command(0x20, 0, 1);
    cr_assert_eq(alt(), READY | DRQ);
    cr_assert(w.irq);
    in(R_STATUS);
    cr_assert_not(w.irq);
}

Test(ide, nien_holds_the_line_and_lets_a_pending_interrupt_out_again)
{
    control(2);
    command(0x20, 0, 1);
    cr_assert_not(w.irq);
    control(0);
    cr_assert(w.irq);
    control(2);
    in(R_STATUS);
    control(0);
    cr_assert_not(w.irq);
}

Test(ide, a_command_acknowledges_the_one_before)
{
    command(0x20, 0, 1);
    cr_assert(w.irq);
    command(0x30, 0, 1);
    cr_assert_not(w.irq, "a write asks for its first block without an interrupt");
}

Test(ide, writing_interrupts_after_each_sector)
{
    command(0x30, 9, 2);
    cr_assert_eq(alt(), READY | DRQ);
    cr_assert_eq(w.edges, 0);
    pattern(want, 1009);
    write_sector(want);
    cr_assert_eq(w.edges, 1);
    cr_assert_eq(in(R_STATUS), READY | DRQ);
    write_sector(want);
    cr_assert_eq(w.edges, 2);
    cr_assert_eq(in(R_STATUS), READY);
    for (unsigned s = 9; s < 11; s++) {
        file_sector(0, s, buf);
        cr_assert_arr_eq(buf, want, 512);
    }
    file_sector(0, 11, buf);
    pattern(want, 11);
    cr_assert_arr_eq(buf, want, 512);
}

Test(ide, multiple_moves_blocks_and_the_rest)
{
    command(0xc6, 0, 8);
    in(R_STATUS);
    w.edges = 0;
    command(0xc4, 100, 20);
    for (unsigned s = 100; s < 120; s++) {
        if ((s - 100) % 8 == 0)
            cr_assert_eq(in(R_STATUS), READY | DRQ);
        expect_sector(s);
    }
    cr_assert_eq(w.edges, 3, "8, 8 and 4 sectors");
    cr_assert_eq(in(R_STATUS), READY);
    w.edges = 0;
    command(0xc5, 100, 9);
    for (unsigned s = 0; s < 9; s++)
        write_sector(want);
    cr_assert_eq(w.edges, 1, "Status was not read between the two");
    cr_assert_eq(in(R_STATUS), READY);
}

Test(ide, multiple_must_be_set_to_a_power_of_two_first)
{
    command(0xc4, 0, 1);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    cr_assert_eq(in(R_ERROR), 4);
    for (unsigned n = 0; n < 256; n++) {
        const bool good = n <= IDE_MULTIPLE && (n & (n - 1)) == 0;
        command(0xc6, 0, (uint8_t)n);
        cr_assert_eq(in(R_STATUS), good ? READY : READY | ERR, "%u", n);
    }
    command(0xc4, 0, 1);
    cr_assert_eq(in(R_STATUS), READY | ERR, "a refused value turns it off");
}

Test(ide, lba48_takes_both_halves_and_shows_them)
{
    command48(0x24, 300, 2);
    expect_sector(300);
    expect_sector(301);
    command48(0x24, 0x123456789abcull, 1);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    cr_assert_eq(in(R_ERROR), 0x10);
    cr_assert_eq(in(R_LOW), 0xbc);
    control(0x80);
    cr_assert_eq(in(R_LOW), 0x56);
    cr_assert_eq(in(R_MID), 0x34);
    cr_assert_eq(in(R_HIGH), 0x12);
    out(R_LOW, 1);
    cr_assert_eq(in(R_LOW), 1, "a write to the Command block ends HOB");
    command48(0x34, 3, 1);
    pattern(want, 77);
    write_sector(want);
    file_sector(0, 3, buf);
    cr_assert_arr_eq(buf, want, 512);
    command48(0x27, 0, 0);
    cr_assert_eq(in(R_STATUS), READY);
    cr_assert_eq(in(R_LOW) | in(R_MID) << 8, 599);
}

Test(ide, a_count_of_zero_is_the_most)
{
    command(0x40, 0, 0);
    cr_assert_eq(in(R_STATUS), READY);
    cr_assert_eq(lba(), 255);
    command48(0x42, 0, 0);
    cr_assert_eq(in(R_STATUS), READY | ERR, "65536 sectors are more than there are");
    cr_assert_eq(lba(), 600);
}

Test(ide, cylinders_heads_and_sectors)
{
    out(R_DEVICE, 0xa0 | 9); /* 2 * 10 heads of 15 sectors; */
    out(R_COUNT, 15);
    out(R_STATUS, 0x91);
    cr_assert_eq(in(R_STATUS), READY);
    out(R_DEVICE, 0xa0 | 3);
    out(R_COUNT, 2);
    out(R_LOW, 15);
    out(R_MID, 2);
    out(R_HIGH, 0);
    out(R_STATUS, 0x20);
    expect_sector((2 * 10 + 3) * 15 + 14);
    expect_sector((2 * 10 + 4) * 15);
    cr_assert_eq(in(R_LOW), 1);
    cr_assert_eq(in(R_MID), 2);
    cr_assert_eq(in(R_DEVICE)&15, 4);
    out(R_DEVICE, 0xa0);
    out(R_LOW, 0); /* there is no sector 0 */
    out(R_COUNT, 1);
    out(R_STATUS, 0x20);
    cr_assert_eq(in(R_ERROR), 0x10);
    out(R_LOW, 16);
    out(R_STATUS, 0x20);
    cr_assert_eq(in(R_ERROR), 0x10);
    out(R_LOW, 1);
    out(R_DEVICE, 0xa0 | 10);
    out(R_STATUS, 0x20);
    cr_assert_eq(in(R_ERROR), 0x10);
    out(R_DEVICE, 0xa0);
    out(R_MID, 0xff);
    out(R_HIGH, 0xff);
    out(R_STATUS, 0x20);
    cr_assert_eq(in(R_ERROR), 0x10);
    out(R_COUNT, 0);
    out(R_STATUS, 0x91);
    cr_assert_eq(in(R_ERROR), 4, "a track of no sectors");
}

Test(ide, the_end_of_the_disk_is_an_error_at_the_first_sector_beyond)
{
    command(0x20, 598, 4);
    expect_sector(598);
    expect_sector(599);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    cr_assert_eq(in(R_ERROR), 0x10);
    cr_assert_eq(lba(), 600);
    cr_assert_eq(in(R_COUNT), 2, "what was left");
    command(0x30, 600, 1);
    write_sector(want);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    cr_assert_eq(in(R_ERROR), 0x10);
    command(0x20, 0x0fffffff, 1);
    cr_assert_eq(in(R_ERROR), 0x10);
}

Test(ide, read_errors_of_the_host_are_uncorrectable_data)
{
    fail_arm(&w.fail, FAIL_READ, 2, true);
    command(0x20, 10, 3);
    expect_sector(10);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    cr_assert_eq(in(R_ERROR), 0x40);
    cr_assert_eq(lba(), 11);
    fail_arm(&w.fail, 0, 0, false);
    struct disk_stats s;
    disk_get_stats(w.disk[0], &s);
    cr_assert_gt(s.read_errors, 0);
    command(0x20, 11, 1);
    expect_sector(11);
}

Test(ide, write_errors_of_the_host_are_a_device_fault)
{
    fail_arm(&w.fail, FAIL_WRITE, 1, false);
    command(0x30, 10, 2);
    write_sector(want);
    cr_assert_eq(in(R_STATUS), READY | DF | ERR);
    cr_assert_eq(in(R_ERROR), 4);
    cr_assert_eq(lba(), 10);
    fail_arm(&w.fail, FAIL_WRITE, 1, false);
    command(0xe7, 0, 0);
    cr_assert_eq(in(R_STATUS), READY | DF | ERR, "a flush that fails");
    command(0xe7, 0, 0);
    cr_assert_eq(in(R_STATUS), READY);
}

Test(ide, without_a_write_cache_each_write_is_flushed)
{
    struct disk_stats before, after;
    out(R_FEATURE, 0x82);
    out(R_STATUS, 0xef);
    cr_assert_eq(in(R_STATUS), READY);
    disk_get_stats(w.disk[0], &before);
    command(0x30, 1, 1);
    write_sector(want);
    disk_get_stats(w.disk[0], &after);
    cr_assert_eq(after.flushes, before.flushes + 1);
}

Test(ide, set_features_knows_pio_modes_only)
{
    for (unsigned mode = 0; mode < 256; mode++) {
        const bool pio = mode <= 1 || (mode >= 8 && mode <= 12);
        out(R_FEATURE, 3);
        out(R_COUNT, (uint8_t)mode);
        out(R_STATUS, 0xef);
        cr_assert_eq(in(R_STATUS), pio ? READY : READY | ERR, "%x", mode);
    }
    out(R_FEATURE, 0x99);
    out(R_STATUS, 0xef);
    cr_assert_eq(in(R_ERROR), 4);
}

Test(ide, commands_without_data)
{
    static const uint8_t good[] = {0x10, 0x1f, 0x70, 0x7f, 0xe0, 0xe1, 0xe2, 0xe3, 0x94,
                                   0x95, 0x96, 0x97, 0xe7, 0xea, 0xf8, 0x40, 0x41};
    static const uint8_t unknown[] = {0x00, 0x08, 0x22, 0x32, 0x50, 0xa0, 0xa1, 0xb0,
                                      0xc8, 0xca, 0x25, 0x35, 0xf1, 0xff, 0x92};
    for (unsigned i = 0; i < sizeof good; i++) {
        w.edges = 0;
        command(good[i], 1, 1);
        cr_assert_eq(w.edges, 1, "%x", good[i]);
        cr_assert_eq(in(R_STATUS), READY, "%x", good[i]);
    }
    for (unsigned i = 0; i < sizeof unknown; i++) {
        w.edges = 0;
        command(unknown[i], 1, 1);
        cr_assert_eq(w.edges, 1, "%x", unknown[i]);
        cr_assert_eq(in(R_STATUS), READY | ERR, "%x", unknown[i]);
        cr_assert_eq(in(R_ERROR), 4, "%x", unknown[i]);
    }
    command(0x70, 600, 0);
    cr_assert_eq(in(R_ERROR), 0x10, "a seek beyond the end");
}

Test(ide, power_modes)
{
    command(0xe5, 0, 7);
    cr_assert_eq(in(R_COUNT), 0xff);
    command(0xe0, 0, 7);
    command(0xe5, 0, 7);
    cr_assert_eq(in(R_COUNT), 0x00);
    command(0x20, 0, 1);
    expect_sector(0);
    command(0x98, 0, 7);
    cr_assert_eq(in(R_COUNT), 0xff, "reading has woken it");
    command(0xe6, 0, 0);
    cr_assert_eq(in(R_STATUS), READY);
    w.edges = 0;
    command(0x20, 0, 1);
    cr_assert_eq(alt(), READY, "asleep it hears no command");
    cr_assert_eq(w.edges, 0);
    control(4);
    control(0);
    command(0x20, 0, 1);
    expect_sector(0);
}

Test(ide, software_reset_shows_busy_and_ends_what_was_going_on)
{
    command(0x20, 0, 1);
    control(4);
    cr_assert_eq(alt(), BSY);
    cr_assert_not(w.irq);
    out(R_LOW, 0x77);
    control(0);
    cr_assert_eq(alt(), READY);
    cr_assert_eq(in(R_LOW), 1);
    cr_assert_eq(in(R_ERROR), 1);
    cr_assert_not(w.irq, "a reset does not interrupt");
}

Test(ide, diagnostic_leaves_the_signature_and_interrupts)
{
    command(0x90, 5, 5);
    cr_assert(w.irq);
    cr_assert_eq(in(R_STATUS), READY);
    cr_assert_eq(in(R_ERROR), 1);
    cr_assert_eq(in(R_COUNT), 1);
}

Test(ide, double_words_bytes_and_other_widths)
{
    command(0x20, 4, 1);
    for (uint32_t i = 0; i < 128; i++)
        cr_assert_eq(bus_in(&w.bus, 0x1f0, 4), 4u << 8 | i);
    cr_assert_eq(alt(), READY);
    bus_out(&w.bus, 0x1f2, 0x3412, 2); /* other registers are bytes: two of them */
    cr_assert_eq(in(R_COUNT), 0x12);
    cr_assert_eq(in(R_LOW), 0x34);
    command(0x20, 4, 1);
    for (uint32_t i = 0; i < 256; i++)
        bus_in(&w.bus, 0x1f0, 1);
    cr_assert_eq(alt(), READY, "a byte access takes a word");
}

static void in_many(unsigned size, uint32_t count, uint8_t *to)
{
    while (count > 0) {
        const uint32_t n = bus_in_many(&w.bus, 0x1f0, size, count, to);
        cr_assert_gt(n, 0);
        to += n * size;
        count -= n;
    }
}

Test(ide, many_at_once_are_the_same_as_one_by_one)
{
    uint8_t many[3 * 512];
    command(0x20, 7, 3);
    in_many(2, 3 * 256, many);
    for (unsigned s = 0; s < 3; s++) {
        pattern(want, 7 + s);
        cr_assert_arr_eq(many + 512 * s, want, 512);
    }
    cr_assert_eq(alt(), READY);
    memset(many, 0, sizeof many);
    command(0x20, 7, 1);
    cr_assert_eq(bus_in_many(&w.bus, 0x1f0, 4, 256, many), 128, "what there is");
    cr_assert_eq(bus_in_many(&w.bus, 0x1f0, 4, 1, many), 0);
    pattern(want, 7);
    cr_assert_arr_eq(many, want, 512);
    command(0x30, 20, 2);
    pattern(many, 120);
    pattern(many + 512, 121);
    for (uint32_t n, done = 0; done < 512; done += n) {
        n = bus_out_many(&w.bus, 0x1f0, 2, 512 - done, many + 2 * done);
        cr_assert_gt(n, 0);
    }
    file_sector(0, 21, buf);
    cr_assert_arr_eq(buf, many + 512, 512);
}

Test(ide, no_drive_answers_for_an_absent_slave)
{
    out(R_DEVICE, 0xa0 | SLAVE);
    cr_assert_eq(in(R_STATUS), 0);
    cr_assert_eq(alt(), 0);
    out(R_COUNT, 0x55);
    cr_assert_eq(in(R_COUNT), 0x55, "the master's registers");
    out(R_STATUS, 0xec);
    cr_assert_eq(in(R_STATUS), 0);
    cr_assert_not(w.irq);
    for (int i = 0; i < 256; i++)
        in16();
    out(R_STATUS, 0x90); /* but this the master does */
    cr_assert(w.irq);
    cr_assert_eq(in(R_STATUS), READY);
}

TestSuite(ide_two, .fini = ide_world_end);

Test(ide_two, each_has_its_own_content_state_and_interrupt)
{
    ide_world_start(600, 50, NULL);
    out(R_DEVICE, 0xa0 | SLAVE);
    command(0x20, 2, 1);
    cr_assert(w.irq);
    out(R_DEVICE, 0xa0);
    cr_assert_not(w.irq, "only the selected drive interrupts");
    cr_assert_eq(alt(), READY);
    out(R_DEVICE, 0xa0 | SLAVE);
    cr_assert(w.irq);
    expect_sector(2);
    command(0x20, 50, 1);
    cr_assert_eq(in(R_ERROR), 0x10);
    out(R_DEVICE, 0xa0);
    cr_assert_eq(in(R_ERROR), 1);
}

Test(ide_two, no_drives_leave_the_ports_to_the_bus)
{
    ide_world_start(0, 0, NULL);
    cr_assert_eq(in(R_STATUS), 0xff);
    cr_assert_eq(alt(), 0xff);
}

Test(ide_two, a_slave_alone)
{
    ide_world_start(0, 50, NULL);
    cr_assert_eq(in(R_STATUS), 0);
    out(R_DEVICE, 0xa0 | SLAVE);
    cr_assert_eq(in(R_STATUS), READY);
    command(0x20, 2, 1);
    expect_sector(2);
}

Test(ide_two, a_disk_that_may_not_be_written)
{
    ide_world_start(50, 0, &(struct disk_opts){.readonly = true});
    command(0x30, 2, 1);
    write_sector(want);
    cr_assert_eq(in(R_STATUS), READY | ERR);
    cr_assert_eq(in(R_ERROR), 0x44);
    command(0x20, 2, 1);
    expect_sector(2);
}

Test(ide_two, an_overlay_takes_writes_and_leaves_the_file)
{
    struct disk_stats s;
    ide_world_start(50, 0, &(struct disk_opts){.snapshot = true});
    command(0x30, 2, 2);
    pattern(buf, 99);
    write_sector(buf);
    write_sector(buf);
    command(0x20, 1, 4);
    expect_sector(1);
    expect_sector(99);
    read_sector(buf);
    expect_sector(4);
    file_sector(0, 2, buf);
    pattern(want, 2);
    cr_assert_arr_eq(buf, want, 512);
    disk_get_stats(w.disk[0], &s);
    cr_assert_eq(s.overlay_sectors, 2);
    fail_arm(&w.fail, FAIL_WRITE, 1, false); /* no room for it */
    command(0x30, 4, 1);
    write_sector(buf);
    cr_assert_eq(in(R_STATUS), READY | DF | ERR);
    command(0x20, 4, 1);
    expect_sector(4);
}

Test(ide_two, large_disks_are_cut_for_lba28)
{
    ide_world_start(0x12345678, 0, NULL);
    command(0xec, 0, 0);
    read_sector(buf);
    cr_assert_eq(word(1), 16383);
    cr_assert_eq((uint32_t)word(60) | (uint32_t)word(61) << 16, 0x0fffffffu);
    cr_assert_eq((uint32_t)word(100) | (uint32_t)word(101) << 16, 0x12345678u);
    command48(0x24, 0x12345677, 1);
    read_sector(buf);
    cr_assert_eq(in(R_STATUS), READY);
    command(0xf8, 0, 0);
    cr_assert_eq(lba(), 0x0fffffffu);
}
