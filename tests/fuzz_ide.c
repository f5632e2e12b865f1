/* Random register accesses, of commands that exist more than others, on both kinds of drive:
 * nothing may be touched outside of the device, and it must answer IDENTIFY afterwards. fuzz_ide
 * FIRST_SEED RUNS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/plain_assert.h"
#include "vmm/dev/ide.h"

static uint64_t state;
static uint32_t rnd(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static const uint8_t commands[] = {0x20, 0x24, 0x29, 0x30, 0x34, 0x39, 0x40, 0x42, 0xc4,
                                   0xc5, 0xc6, 0x91, 0xa0, 0xa0, 0xa0, 0xa1, 0xec, 0xef,
                                   0xe7, 0x27, 0xf8, 0x08, 0x90, 0xe5, 0x70, 0x10};
static const uint8_t packets[] = {0x03, 0x12, 0x1b, 0x25, 0x28, 0x28, 0x2b, 0x43,
                                  0x46, 0x4a, 0x51, 0x5a, 0xa8, 0xbd, 0xbe, 0x00};

static struct bus bus;
static struct ide ide;

static void one_step(void)
{
    static uint8_t block[8192];
    const unsigned size = 1u << rnd(3);
    const uint16_t base = 0x1f0;

    switch (rnd(12)) {
    case 0: bus_out(&bus, (uint16_t)(base + 7), commands[rnd(sizeof commands)], 1); break;
    case 1: bus_out(&bus, (uint16_t)(base + 7), rnd(256), 1); break;
    case 2: bus_out(&bus, 0x3f6, rnd(20) ? rnd(2) * 2 : rnd(256), 1); break;
    case 3:
        bus_out(&bus, (uint16_t)(base + 6), 0xa0 | rnd(2) << 4 | rnd(2) << 6 | rnd(2), 1);
        break;
    case 4: /* a likely command: device, address, count, then all of its data */
        bus_out(&bus, 0x3f6, 0, 1);
        bus_out(&bus, (uint16_t)(base + 6), rnd(8) ? 0xe0 : 0xf0, 1);
        bus_out(&bus, (uint16_t)(base + 2), rnd(2) ? 1 + rnd(20) : rnd(256), 1);
        bus_out(&bus, (uint16_t)(base + 3), rnd(256), 1);
        bus_out(&bus, (uint16_t)(base + 4), rnd(6), 1);
        bus_out(&bus, (uint16_t)(base + 5), 0, 1);
        bus_out(&bus, (uint16_t)(base + 7), commands[rnd(sizeof commands)], 1);
        for (uint32_t n = rnd(20); n > 0; n--) {
            bus_in_many(&bus, base, 2, 1 + rnd(2000), block);
            bus_out_many(&bus, base, 2, 1 + rnd(2000), block);
        }
        break;
    case 5: bus_out(&bus, (uint16_t)(base + rnd(8)), rnd(1u << 31), size); break;
    case 6: bus_in(&bus, (uint16_t)(base + rnd(8)), size); break;
    case 7: bus_in_many(&bus, base, 1u << (1 + rnd(2)), 1 + rnd(2000), block); break;
    case 8: bus_out_many(&bus, base, 1u << (1 + rnd(2)), 1 + rnd(2000), block); break;
    case 9: bus_in(&bus, 0x3f6, 1); break;
    case 10: /* a packet, most of it likely */
        bus_out(&bus, (uint16_t)(base + 4), rnd(256), 1);
        bus_out(&bus, (uint16_t)(base + 5), rnd(256), 1);
        bus_out(&bus, (uint16_t)(base + 7), 0xa0, 1);
        bus_out(&bus, base, packets[rnd(sizeof packets)], 2);
        for (int i = 0; i < 5; i++)
            bus_out(&bus, base, rnd(5) ? rnd(3) << 8 * (i & 1) : rnd(65536), 2);
        break;
    default: bus_in(&bus, base, size); break;
    }
    for (int i = 0; i < 2; i++) {
        cr_assert(ide.drive[i].at <= ide.drive[i].len);
        cr_assert(ide.drive[i].len <= IDE_BUFFER);
        cr_assert(ide.drive[i].reply <= IDE_BUFFER);
    }
}

int main(int argc, char **argv)
{
    const uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
    char path[] = "/tmp/umbra-fuzz-ide-XXXXXX";
    const int fd = mkstemp(path);
    struct errmsg err;

    cr_assert(fd >= 0 && ftruncate(fd, 300 * 2048) == 0);
    for (uint64_t seed = first; seed < first + runs; seed++) {
        struct disk *disk, *cd;
        state = seed * 0x9e3779b97f4a7c15u + 1;
        cr_assert(disk_open(&(struct disk_opts){.path = path, .snapshot = true}, &disk, &err) == 0);
        cr_assert(disk_open(&(struct disk_opts){.path = path, .readonly = true, .unit = 2048}, &cd,
                            &err) == 0);
        bus_init(&bus);
        cr_assert(ide_init(&ide, &bus,
                           &(struct ide_config){.base = 0x1f0,
                                                .control_port = 0x3f6,
                                                .disk = {disk, cd},
                                                .cd = {false, true}}) == 0);
        for (int step = 0; step < 3000; step++)
            one_step();
        bus_out(&bus, 0x3f6, 4, 1);
        bus_out(&bus, 0x3f6, 0, 1);
        bus_out(&bus, 0x1f6, 0xa0, 1);
        bus_out(&bus, 0x1f7, 0xec, 1);
        cr_assert(bus_in(&bus, 0x1f7, 1) == 0x58);
        disk_close(disk);
        disk_close(cd);
    }
    close(fd);
    unlink(path);
    return 0;
}
