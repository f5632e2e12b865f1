#include "ide_world.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ide_world w;

static void on_irq(void *ctx, unsigned n, bool level)
{
    (void)ctx;
    (void)n;
    cr_assert_neq(w.irq, level, "the line is told of changes only");
    w.edges += level;
    w.irq = level;
}

void pattern(uint8_t *buf, uint32_t sector)
{
    for (uint32_t i = 0; i < 128; i++) {
        const uint32_t v = sector << 8 | i;
        memcpy(buf + 4 * i, &v, 4);
    }
}

static void make_file(unsigned drive, uint64_t sectors)
{
    uint8_t buf[512];
    snprintf(w.path[drive], sizeof w.path[drive], "/tmp/umbra-ide-XXXXXX");
    const int fd = mkstemp(w.path[drive]);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, (off_t)(sectors * 512)), 0);
    for (uint32_t s = 0; s < sectors && s < 600; s++) {
        pattern(buf, s);
        cr_assert_eq(pwrite(fd, buf, 512, (off_t)s * 512), 512);
    }
    close(fd);
}

static void power_on(bool cd)
{
    w.irq = false;
    w.edges = 0;
    bus_init(&w.bus);
    cr_assert_eq(ide_init(&w.ide, &w.bus,
                          &(struct ide_config){.base = 0x1f0,
                                               .control_port = 0x3f6,
                                               .irq = {on_irq, NULL, 14},
                                               .disk = {w.disk[0], w.disk[1]},
                                               .cd = {cd, false}}),
                 0);
}

static void start(uint64_t master, uint64_t slave, const struct disk_opts *opts, bool cd)
{
    const uint64_t sectors[2] = {master, slave};
    struct errmsg err = {{0}};
    memset(&w, 0, sizeof w);
    for (unsigned i = 0; i < 2; i++) {
        struct disk_opts o = i == 0 && opts ? *opts : (struct disk_opts){0};
        if (!sectors[i])
            continue;
        make_file(i, sectors[i]);
        o.path = w.path[i];
        o.fail = &w.fail;
        cr_assert_eq(disk_open(&o, &w.disk[i], &err), 0, "%s", err.text);
    }
    power_on(cd);
}

void ide_world_start(uint64_t master, uint64_t slave, const struct disk_opts *master_opts)
{
    start(master, slave, master_opts, false);
}

void ide_world_start_cd(uint32_t frames)
{
    start(frames * 4u, 0, &(struct disk_opts){.readonly = true, .unit = DISK_CD_SECTOR}, true);
}

void ide_world_end(void)
{
    for (unsigned i = 0; i < 2; i++) {
        disk_close(w.disk[i]);
        if (w.path[i][0])
            unlink(w.path[i]);
    }
}

uint8_t in(unsigned reg)
{
    return (uint8_t)bus_in(&w.bus, (uint16_t)(0x1f0 + reg), 1);
}
void out(unsigned reg, uint8_t val)
{
    bus_out(&w.bus, (uint16_t)(0x1f0 + reg), val, 1);
}
uint8_t alt(void)
{
    return (uint8_t)bus_in(&w.bus, 0x3f6, 1);
}
void control(uint8_t val)
{
    bus_out(&w.bus, 0x3f6, val, 1);
}
uint16_t in16(void)
{
    return (uint16_t)bus_in(&w.bus, 0x1f0, 2);
}

void command(uint8_t cmd, uint32_t lba, uint8_t count)
{
    out(R_DEVICE, (uint8_t)((in(R_DEVICE)&SLAVE) | 0xa0 | LBA | (lba >> 24 & 15)));
    out(R_COUNT, count);
    out(R_LOW, (uint8_t)lba);
    out(R_MID, (uint8_t)(lba >> 8));
    out(R_HIGH, (uint8_t)(lba >> 16));
    out(R_STATUS, cmd);
}

void command48(uint8_t cmd, uint64_t lba, uint16_t count)
{
    out(R_DEVICE, (uint8_t)((in(R_DEVICE)&SLAVE) | 0xa0 | LBA));
    for (int high = 1; high >= 0; high--) {
        out(R_COUNT, (uint8_t)(count >> 8 * high));
        for (int i = 0; i < 3; i++)
            out(R_LOW + (unsigned)i, (uint8_t)(lba >> (8 * i + 24 * high)));
    }
    out(R_STATUS, cmd);
}

void read_sector(uint8_t *buf)
{
    for (int i = 0; i < 256; i++) {
        const uint16_t v = in16();
        memcpy(buf + 2 * i, &v, 2);
    }
}

void write_sector(const uint8_t *buf)
{
    for (int i = 0; i < 256; i++) {
        uint16_t v;
        memcpy(&v, buf + 2 * i, 2);
        bus_out(&w.bus, 0x1f0, v, 2);
    }
}

void file_sector(unsigned drive, uint32_t sector, uint8_t *buf)
{
    const int fd = open(w.path[drive], O_RDONLY);
    cr_assert_eq(pread(fd, buf, 512, (off_t)sector * 512), 512);
    close(fd);
}
