/*
 * An ATA channel with up to two drives, master and slave, as a PC has two of: hard disks by PIO
 * (ATA/ATAPI-6 with what older hosts use), CD-ROMs by PACKET. No DMA.
 *
 * A command is done when the write to the Command register returns: BSY is only seen while the host
 * holds the channel in reset. What blocks is the disk's file, on the vCPU's thread.
 */
#ifndef UMBRA_VMM_DEV_IDE_H
#define UMBRA_VMM_DEV_IDE_H

#include "vmm/dev/bus.h"
#include "vmm/dev/disk.h"
#include "vmm/dev/lines.h"

#define IDE_CHANNELS 2
#define IDE_MULTIPLE 16u          /* most sectors in one block of READ and WRITE MULTIPLE */
#define IDE_BUFFER   (16u * 2048) /* bytes of a data transfer that are at hand at once */

/* Registers that commands take their parameters from; "previous" ones are LBA48's upper halves. */
struct ide_regs {
    uint8_t feature, count, lba[3];
};

struct ide;

struct ide_drive {
    struct ide *ide;
    struct disk *disk; /* NULL: nothing is connected */
    bool cd;
    unsigned number; /* 0..3, for the serial number */

    struct ide_regs now, before;
    uint8_t device, status, error;
    bool intrq;

    /* The data block that the host is moving: bytes at..len of buffer. */
    uint32_t at, len;
    bool to_host;
    void (*moved)(struct ide_drive *d); /* called when the block is through */
    uint8_t buffer[IDE_BUFFER];

    /* A command on sectors. */
    uint64_t sector; /* next one, on the disk */
    uint32_t left;   /* sectors that remain */
    uint32_t block;  /* sectors to a data block */
    bool ext;        /* LBA48 */

    uint8_t multiple; /* sectors of SET MULTIPLE; 0: not set */
    uint8_t heads, track_sectors;
    bool write_through, asleep, standby;

    /* CD-ROM: what REQUEST SENSE is to say, and how much the host takes at a time. */
    uint8_t sense_key, sense_code, sense_qualifier;
    uint32_t limit;
    uint32_t reply; /* bytes of the buffer that belong to the answer */
};

struct ide {
    struct ide_drive drive[2];
    struct line irq;
    uint8_t control; /* Device Control register */
    bool level;      /* of the interrupt line */
    uint16_t base;
};

struct ide_config {
    uint16_t base, control_port; /* Command block, Device Control register */
    struct line irq;
    unsigned first; /* number of the master: 0, or 2 on the secondary channel */
    struct disk *disk[2];
    bool cd[2];
};

/*
 * Power on. With no drive at all nothing is claimed, and the bus floats; otherwise an absent drive
 * answers as the present one does for it. The disks stay the caller's. 0, or bus_claim's error.
 */
int ide_init(struct ide *ide, struct bus *bus, const struct ide_config *c);

/* The reset line of the bus: as at power on. */
void ide_reset(struct ide *ide);

#endif
