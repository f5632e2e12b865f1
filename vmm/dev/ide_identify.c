/* What IDENTIFY DEVICE and IDENTIFY PACKET DEVICE say (8.15, 8.16). */
#include <stdio.h>
#include <string.h>

#include "vmm/dev/ide_int.h"

#define LBA28_SECTORS ((1u << 28) - 1)

static void put(struct ide_drive *d, unsigned word, uint32_t val)
{
    d->buffer[word * 2] = (uint8_t)val;
    d->buffer[word * 2 + 1] = (uint8_t)(val >> 8);
}

static void put32(struct ide_drive *d, unsigned word, uint32_t val)
{
    put(d, word, val);
    put(d, word + 1, val >> 16);
}

/* Text: padded with spaces, the first character of each pair in the upper byte. */
static void put_text(struct ide_drive *d, unsigned word, unsigned words, const char *text)
{
    const size_t len = strlen(text);
    for (unsigned i = 0; i < words * 2; i++)
        d->buffer[word * 2 + (i ^ 1)] = (uint8_t)(i < len ? text[i] : ' ');
}

uint32_t ide_cylinders(const struct ide_drive *d, uint32_t heads, uint32_t track_sectors,
                       uint32_t most)
{
    const uint64_t n = disk_sectors(d->disk) / ((uint64_t)heads * track_sectors);
    return n < 1 ? 1 : n > most ? most : (uint32_t)n;
}

static void names(struct ide_drive *d, const char *model)
{
    char serial[21];
    snprintf(serial, sizeof serial, "UMBRA-%u", d->number);
    memset(d->buffer, 0, DISK_SECTOR);
    put_text(d, 10, 10, serial);
    put_text(d, 23, 4, "1.0");
    put_text(d, 27, 20, model);
}

/* PIO modes 3 and 4, with the cycle times that they have. */
static void pio_modes(struct ide_drive *d)
{
    put(d, 51, 0x0200);
    put(d, 64, 3);
    put(d, 67, 120);
    put(d, 68, 120);
    put(d, 80, 0x7e); /* ATA-1 to ATA/ATAPI-6 */
}

void ide_identify_disk(struct ide_drive *d)
{
    const uint64_t sectors = disk_sectors(d->disk);
    const uint32_t cylinders = ide_cylinders(d, d->heads, d->track_sectors, 65535);

    names(d, "UMBRA DISK");
    put(d, 0, 0x0040); /* not removable */
    put(d, 1, ide_cylinders(d, 16, 63, 16383));
    put(d, 3, 16);
    put(d, 4, 63 * DISK_SECTOR);
    put(d, 5, DISK_SECTOR);
    put(d, 6, 63);
    put(d, 20, 3); /* dual ported buffer with read-ahead */
    put(d, 21, IDE_BUFFER / DISK_SECTOR);
    put(d, 22, 4);
    put(d, 47, 0x8000 | IDE_MULTIPLE);
    put(d, 48, 1);      /* double words may be moved */
    put(d, 49, 0x0a00); /* LBA, IORDY; no DMA */
    put(d, 50, 0x4000);
    put(d, 53, 3); /* words 54 to 58 and 64 to 70 are there */
    put(d, 54, cylinders);
    put(d, 55, d->heads);
    put(d, 56, d->track_sectors);
    put32(d, 57, cylinders * d->heads * d->track_sectors);
    put(d, 59, d->multiple ? 0x100u | d->multiple : 0);
    put32(d, 60, sectors > LBA28_SECTORS ? LBA28_SECTORS : (uint32_t)sectors);
    pio_modes(d);
    put(d, 82, 0x0068); /* look-ahead, write cache, power management */
    put(d, 83, 0x7400); /* FLUSH CACHE (EXT), LBA48 */
    put(d, 84, 0x4000);
    put(d, 85, d->write_through ? 0x0048 : 0x0068);
    put(d, 86, 0x3400);
    put(d, 87, 0x4000);
    put32(d, 100, (uint32_t)sectors);
    put32(d, 102, (uint32_t)(sectors >> 32));
}

void ide_identify_cd(struct ide_drive *d)
{
    names(d, "UMBRA CD-ROM");
    put(d, 0, 0x85c0);  /* CD-ROM, removable, 12-byte packets, DRQ at once */
    put(d, 48, 1);      /* double words may be moved */
    put(d, 49, 0x0a00); /* LBA, IORDY; no DMA */
    put(d, 53, 2);
    pio_modes(d);
    put(d, 82, 0x0218); /* DEVICE RESET, PACKET, power management */
    put(d, 83, 0x4000);
    put(d, 84, 0x4000);
    put(d, 85, 0x0218);
    put(d, 87, 0x4000);
}
