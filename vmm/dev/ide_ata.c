/* Hard disks: the commands of the general feature set, LBA48 and power management (clause 8), and
 * of ATA-1 those that hosts of its time use. What is not here ends with ABRT. */
#include <errno.h>
#include <string.h>

#include "vmm/dev/ide_int.h"

enum {
    RECALIBRATE = 0x10, /* .. 0x1f */
    READ = 0x20,
    READ_ONCE = 0x21, /* without retries */
    READ_EXT = 0x24,
    READ_NATIVE_MAX_EXT = 0x27,
    READ_MULTIPLE_EXT = 0x29,
    WRITE = 0x30,
    WRITE_ONCE = 0x31,
    WRITE_EXT = 0x34,
    WRITE_MULTIPLE_EXT = 0x39,
    VERIFY = 0x40,
    VERIFY_ONCE = 0x41,
    VERIFY_EXT = 0x42,
    SEEK = 0x70, /* .. 0x7f */
    INIT_PARAMETERS = 0x91,
    READ_MULTIPLE = 0xc4,
    WRITE_MULTIPLE = 0xc5,
    SET_MULTIPLE = 0xc6,
    STANDBY_NOW = 0xe0,
    IDLE_NOW = 0xe1,
    STANDBY = 0xe2,
    IDLE = 0xe3,
    CHECK_POWER = 0xe5,
    SLEEP = 0xe6,
    FLUSH = 0xe7,
    FLUSH_EXT = 0xea,
    IDENTIFY = 0xec,
    SET_FEATURES = 0xef,
    READ_NATIVE_MAX = 0xf8,
};

#define LBA28_MAX ((uint64_t)1 << 28)

void ide_ata_defaults(struct ide_drive *d)
{
    d->multiple = 0;
    d->heads = 16;
    d->track_sectors = 63;
    d->write_through = false;
}

/* --- addresses ------------------------------------------------------------------------------- */

/* Not on this disk, whatever its size. */
#define NOWHERE UINT64_MAX

static uint64_t address_lba48(const struct ide_drive *d)
{
    const uint8_t *lo = d->now.lba, *hi = d->before.lba;
    return (uint64_t)hi[2] << 40 | (uint64_t)hi[1] << 32 | (uint64_t)hi[0] << 24 |
           (uint64_t)lo[2] << 16 | (uint64_t)lo[1] << 8 | lo[0];
}

static uint64_t address_chs(const struct ide_drive *d)
{
    const uint32_t cylinder = d->now.lba[1] | (uint32_t)d->now.lba[2] << 8;
    const uint32_t head = d->device & DEV_HEAD, sector = d->now.lba[0];
    if (sector == 0 || sector > d->track_sectors || head >= d->heads)
        return NOWHERE;
    return ((uint64_t)cylinder * d->heads + head) * d->track_sectors + sector - 1;
}

static uint64_t address(const struct ide_drive *d, bool ext)
{
    if (ext)
        return address_lba48(d);
    if (!(d->device & DEV_LBA))
        return address_chs(d);
    return (uint64_t)(d->device & DEV_HEAD) << 24 | (uint64_t)d->now.lba[2] << 16 |
           (uint64_t)d->now.lba[1] << 8 | d->now.lba[0];
}

static void set_lba_bytes(struct ide_drive *d, uint64_t lba)
{
    for (int i = 0; i < 3; i++)
        d->now.lba[i] = (uint8_t)(lba >> 8 * i);
}

/* The registers name this sector, in the form that the command had. */
static void set_address(struct ide_drive *d, uint64_t lba)
{
    if (!d->ext && !(d->device & DEV_LBA)) {
        const uint64_t track = lba / d->track_sectors, cylinder = track / d->heads;
        d->now.lba[0] = (uint8_t)(lba % d->track_sectors + 1);
        d->now.lba[1] = (uint8_t)cylinder;
        d->now.lba[2] = (uint8_t)(cylinder >> 8);
        d->device = (uint8_t)((d->device & 0xf0u) | (track % d->heads));
        return;
    }
    set_lba_bytes(d, lba);
    if (d->ext) {
        for (int i = 0; i < 3; i++)
            d->before.lba[i] = (uint8_t)(lba >> (24 + 8 * i));
    } else {
        d->device = (uint8_t)((d->device & 0xf0u) | (lba >> 24 & DEV_HEAD));
    }
}

static void set_count(struct ide_drive *d)
{
    d->now.count = (uint8_t)d->left;
    d->before.count = (uint8_t)(d->left >> 8);
}

/* The sector counts of a command: 0 stands for the most. */
static uint32_t count_of(const struct ide_drive *d, bool ext)
{
    if (ext) {
        const uint32_t n = (uint32_t)d->before.count << 8 | d->now.count;
        return n ? n : 65536;
    }
    return d->now.count ? d->now.count : 256;
}

/* --- reading and writing --------------------------------------------------------------------- */

static void abort_command(struct ide_drive *d)
{
    ide_fail(d, ERR_ABRT, 0);
}

/* End a command whose next sector is the bad one: its address and what was left are in the
 * registers (8.34.6). */
static void fail_here(struct ide_drive *d, uint8_t error, uint8_t status)
{
    set_address(d, d->sector);
    set_count(d);
    ide_fail(d, error, status);
}

static uint32_t next_block(const struct ide_drive *d)
{
    return d->left < d->block ? d->left : d->block;
}

/* n sectors are through. */
static void advance(struct ide_drive *d, uint32_t n)
{
    d->sector += n;
    d->left -= n;
}

static void finish(struct ide_drive *d)
{
    set_address(d, d->sector - 1); /* of the last sector, as ATA-1 has it */
    set_count(d);
    ide_done(d);
}

/* Read up to n sectors, and stop before the first that cannot be. Returns how many, with the bits
 * of the Error register. */
static uint32_t read_some(struct ide_drive *d, uint32_t n, uint8_t *buf, uint8_t *error)
{
    int rc = disk_read(d->disk, d->sector, n, buf);
    uint32_t good;
    *error = 0;
    if (rc == 0)
        return n;
    for (good = 0; good < n; good++) {
        rc = disk_read(d->disk, d->sector + good, 1, buf + good * DISK_SECTOR);
        if (rc < 0)
            break;
    }
    if (rc < 0)
        *error = rc == -ERANGE ? ERR_IDNF : ERR_UNC;
    return good;
}

static void read_block(struct ide_drive *d);

static void block_read(struct ide_drive *d)
{
    advance(d, next_block(d));
    if (d->left == 0) { /* no interrupt: the host has seen the last one */
        set_address(d, d->sector - 1);
        set_count(d);
        d->status = ST_DRDY | ST_DSC;
        return;
    }
    read_block(d);
}

static void read_block(struct ide_drive *d)
{
    uint8_t error;
    const uint32_t n = next_block(d), good = read_some(d, n, d->buffer, &error);
    if (good < n) {
        advance(d, good);
        fail_here(d, error, 0);
        return;
    }
    ide_offer(d, n * DISK_SECTOR, true, block_read);
    ide_raise(d);
}

static void want_block(struct ide_drive *d);

static void block_written(struct ide_drive *d)
{
    const uint32_t n = next_block(d);
    int rc = disk_write(d->disk, d->sector, n, d->buffer);
    if (rc == 0 && d->left == n && d->write_through)
        rc = disk_flush(d->disk);
    if (rc == -EROFS) {
        fail_here(d, ERR_ABRT | ERR_WP, 0);
    } else if (rc == -ERANGE) {
        const uint64_t end = disk_sectors(d->disk);
        advance(d, d->sector < end ? (uint32_t)(end - d->sector) : 0);
        fail_here(d, ERR_IDNF, 0);
    } else if (rc < 0) {
        fail_here(d, ERR_ABRT, ST_DF);
    } else if (advance(d, n), d->left == 0) {
        finish(d);
    } else {
        want_block(d);
        ide_raise(d);
    }
}

static void want_block(struct ide_drive *d)
{
    ide_offer(d, next_block(d) * DISK_SECTOR, false, block_written);
}

static void verify(struct ide_drive *d)
{
    while (d->left > 0) {
        uint8_t error;
        const uint32_t n = next_block(d), good = read_some(d, n, d->buffer, &error);
        advance(d, good);
        if (good < n) {
            fail_here(d, error, 0);
            return;
        }
    }
    finish(d);
}

/* Where and how much. */
static void set_up(struct ide_drive *d, bool ext, uint32_t block)
{
    d->ext = ext;
    d->sector = address(d, ext);
    d->left = count_of(d, ext);
    d->block = block;
}

/* A place that no sector can have: what the host wrote stays in the registers. */
static bool nowhere(struct ide_drive *d)
{
    if (d->sector != NOWHERE)
        return false;
    ide_fail(d, ERR_IDNF, 0);
    return true;
}

static void read_sectors(struct ide_drive *d, bool ext, uint32_t block)
{
    set_up(d, ext, block);
    if (block == 0)
        abort_command(d);
    else if (!nowhere(d))
        read_block(d);
}

static void write_sectors(struct ide_drive *d, bool ext, uint32_t block)
{
    set_up(d, ext, block);
    if (block == 0)
        abort_command(d);
    else if (!nowhere(d))
        want_block(d); /* the first block is asked for without an interrupt (9.6) */
}

static void verify_sectors(struct ide_drive *d, bool ext)
{
    set_up(d, ext, IDE_BUFFER / DISK_SECTOR);
    if (!nowhere(d))
        verify(d);
}

static void seek(struct ide_drive *d)
{
    d->ext = false;
    d->sector = address(d, false);
    if (d->sector >= disk_sectors(d->disk))
        ide_fail(d, ERR_IDNF, 0);
    else
        ide_done(d);
}

/* --- settings -------------------------------------------------------------------------------- */

static void set_multiple(struct ide_drive *d)
{
    const uint8_t n = d->now.count;
    if (n > IDE_MULTIPLE || (n & (n - 1))) {
        d->multiple = 0;
        abort_command(d);
        return;
    }
    d->multiple = n;
    ide_done(d);
}

static void init_parameters(struct ide_drive *d)
{
    const uint8_t heads = (uint8_t)((d->device & DEV_HEAD) + 1), sectors = d->now.count;
    if (sectors == 0) {
        abort_command(d);
        return;
    }
    d->heads = heads;
    d->track_sectors = sectors;
    ide_done(d);
}

/* Transfer modes: the default of PIO, and PIO modes up to 4 with flow control. */
static bool knows_mode(uint8_t mode)
{
    return mode <= 1 || (mode >= 0x08 && mode <= 0x0c);
}

static void set_features(struct ide_drive *d)
{
    switch (d->now.feature) {
    case 0x02: d->write_through = false; break;
    case 0x82:
        d->write_through = true;
        if (disk_flush(d->disk) < 0) {
            ide_fail(d, ERR_ABRT, ST_DF);
            return;
        }
        break;
    case 0x03:
        if (!knows_mode(d->now.count)) {
            abort_command(d);
            return;
        }
        break;
    case 0x55: /* look-ahead off, */
    case 0xaa: /* on: the host's kernel does as it likes */
    case 0x66: /* settings survive a software reset, as they do anyway, */
    case 0xcc: /* or need not */ break;
    default: abort_command(d); return;
    }
    ide_done(d);
}

static void flush_cache(struct ide_drive *d)
{
    if (disk_flush(d->disk) < 0)
        ide_fail(d, ERR_ABRT, ST_DF);
    else
        ide_done(d);
}

static void native_max(struct ide_drive *d, bool ext)
{
    const uint64_t sectors = disk_sectors(d->disk);
    d->ext = ext;
    if (!ext && !(d->device & DEV_LBA)) {
        abort_command(d);
        return;
    }
    set_address(d, !ext && sectors > LBA28_MAX ? LBA28_MAX - 1 : sectors - 1);
    ide_done(d);
}

static void power(struct ide_drive *d, uint8_t command)
{
    switch (command) {
    case STANDBY_NOW:
    case STANDBY: d->standby = true; break;
    case IDLE_NOW:
    case IDLE: d->standby = false; break;
    case CHECK_POWER: d->now.count = d->standby ? 0x00 : 0xff; break;
    default: d->asleep = true; break;
    }
    ide_done(d);
}

static void identify(struct ide_drive *d)
{
    ide_identify_disk(d);
    ide_offer(d, DISK_SECTOR, true, NULL);
    ide_raise(d);
}

/* --- the command ----------------------------------------------------------------------------- */

/* The power commands' numbers of ATA-1, and today's for them. */
static uint8_t modern(uint8_t command)
{
    switch (command) {
    case 0x94: return STANDBY_NOW;
    case 0x95: return IDLE_NOW;
    case 0x96: return STANDBY;
    case 0x97: return IDLE;
    case 0x98: return CHECK_POWER;
    case 0x99: return SLEEP;
    default: return command;
    }
}

static bool media_command(struct ide_drive *d, uint8_t command)
{
    switch (command) {
    case READ:
    case READ_ONCE: read_sectors(d, false, 1); break;
    case READ_EXT: read_sectors(d, true, 1); break;
    case READ_MULTIPLE: read_sectors(d, false, d->multiple); break;
    case READ_MULTIPLE_EXT: read_sectors(d, true, d->multiple); break;
    case WRITE:
    case WRITE_ONCE: write_sectors(d, false, 1); break;
    case WRITE_EXT: write_sectors(d, true, 1); break;
    case WRITE_MULTIPLE: write_sectors(d, false, d->multiple); break;
    case WRITE_MULTIPLE_EXT: write_sectors(d, true, d->multiple); break;
    case VERIFY:
    case VERIFY_ONCE: verify_sectors(d, false); break;
    case VERIFY_EXT: verify_sectors(d, true); break;
    default: return false;
    }
    d->standby = false; /* the disk spins up */
    return true;
}

void ide_ata_command(struct ide_drive *d, uint8_t command)
{
    command = modern(command);
    if (media_command(d, command))
        return;
    if ((command & 0xf0) == SEEK) {
        seek(d);
        return;
    }
    if ((command & 0xf0) == RECALIBRATE) {
        ide_done(d);
        return;
    }
    switch (command) {
    case INIT_PARAMETERS: init_parameters(d); break;
    case SET_MULTIPLE: set_multiple(d); break;
    case SET_FEATURES: set_features(d); break;
    case FLUSH:
    case FLUSH_EXT: flush_cache(d); break;
    case READ_NATIVE_MAX: native_max(d, false); break;
    case READ_NATIVE_MAX_EXT: native_max(d, true); break;
    case STANDBY_NOW:
    case STANDBY:
    case IDLE_NOW:
    case IDLE:
    case CHECK_POWER:
    case SLEEP: power(d, command); break;
    case IDENTIFY: identify(d); break;
    default: abort_command(d); break;
    }
}
