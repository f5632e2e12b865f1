/* An ATA channel on a bus of its own, with disks of numbered sectors, for tests. */
#ifndef UMBRA_TESTS_IDE_WORLD_H
#define UMBRA_TESTS_IDE_WORLD_H

#include "mm/failpoint.h"
#include "vmm/dev/ide.h"

enum { BSY = 0x80, DRDY = 0x40, DF = 0x20, DSC = 0x10, DRQ = 8, ERR = 1, READY = DRDY | DSC };
enum { R_DATA, R_ERROR, R_COUNT, R_LOW, R_MID, R_HIGH, R_DEVICE, R_STATUS, R_FEATURE = R_ERROR };
enum { SLAVE = 0x10, LBA = 0x40 };

struct ide_world {
    struct bus bus;
    struct ide ide;
    struct disk *disk[2];
    struct failpoint fail;
    char path[2][64];
    bool irq;
    unsigned edges; /* rising ones */
};
extern struct ide_world w;

/* Power on with files of so many sectors; 0: no such drive. Each sector's 32-bit words hold its
 * number and the word's. master_opts may name everything but the path. */
void ide_world_start(uint64_t master, uint64_t slave, const struct disk_opts *master_opts);
/* A CD-ROM of so many frames as master. */
void ide_world_start_cd(uint32_t frames);
void ide_world_end(void);

uint8_t in(unsigned reg);
void out(unsigned reg, uint8_t val);
uint8_t alt(void);
void control(uint8_t val);
uint16_t in16(void);

/* Write the parameters of LBA28 and the command. */
void command(uint8_t cmd, uint32_t lba, uint8_t count);
/* ... of LBA48. */
void command48(uint8_t cmd, uint64_t lba, uint16_t count);
/* Move one sector by words. */
void read_sector(uint8_t *buf);
void write_sector(const uint8_t *buf);
/* What a sector of the file holds at first. */
void pattern(uint8_t *buf, uint32_t sector);
/* The file's sector as it is now. */
void file_sector(unsigned drive, uint32_t sector, uint8_t *buf);

#endif
