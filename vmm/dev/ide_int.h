/* What the parts of the ATA device share. Section numbers are those of ATA/ATAPI-6 (T13/1410D). */
#ifndef UMBRA_VMM_DEV_IDE_INT_H
#define UMBRA_VMM_DEV_IDE_INT_H

#include "vmm/dev/ide.h"

enum { ST_ERR = 1, ST_DRQ = 8, ST_DSC = 0x10, ST_DF = 0x20, ST_DRDY = 0x40, ST_BSY = 0x80 };
enum { ERR_ABRT = 4, ERR_IDNF = 0x10, ERR_UNC = 0x40, ERR_WP = 0x40 };
enum { IDE_DEVICE_RESET = 0x08 }; /* the command; packet devices only */
enum { DEV_HEAD = 0x0f, DEV_SELECT = 0x10, DEV_LBA = 0x40, DEV_OBSOLETE = 0xa0 };

/* --- ide.c: the channel --- */
void ide_raise(struct ide_drive *d); /* set INTRQ */
/* Show the host len bytes of the buffer, or have it fill them; moved() is called at their end. */
void ide_offer(struct ide_drive *d, uint32_t len, bool to_host, void (*moved)(struct ide_drive *d));
/* A command has ended well: interrupt. */
void ide_done(struct ide_drive *d);
/* ... with ERR and these bits of the Error register, and more in Status. */
void ide_fail(struct ide_drive *d, uint8_t error, uint8_t status);
/* Registers as after a reset: what kind of device this is (9.12). */
void ide_signature(struct ide_drive *d);
/* Everything that a reset of the drive stops. */
void ide_stop(struct ide_drive *d);

/* --- commands --- */
void ide_ata_command(struct ide_drive *d, uint8_t command);
void ide_ata_defaults(struct ide_drive *d);
void ide_cd_command(struct ide_drive *d, uint8_t command);

/* --- ide_identify.c: 512 bytes of IDENTIFY (PACKET) DEVICE to the buffer --- */
void ide_identify_disk(struct ide_drive *d);
void ide_identify_cd(struct ide_drive *d);
/* Cylinders by this translation, as IDENTIFY shows them. */
uint32_t ide_cylinders(const struct ide_drive *d, uint32_t heads, uint32_t track_sectors,
                       uint32_t most);

#endif
