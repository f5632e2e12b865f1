/*
 * A diskette controller, an 82077AA as PCs have it since the AT: ports 3F0-3F5 and 3F7, IRQ 6,
 * channel 2 of the DMA controller or bytes by the processor, and two drives with the bytes of
 * files.
 *
 * What takes a drive milliseconds takes some microseconds of guest time here, but is never done
 * before the instruction that asked for it. Motors are always at speed. What blocks is the disk's
 * file, on the vCPU's thread.
 */
#ifndef UMBRA_VMM_DEV_FDC_H
#define UMBRA_VMM_DEV_FDC_H

#include "vmm/dev/bus.h"
#include "vmm/dev/disk.h"
#include "vmm/dev/dma.h"
#include "vmm/dev/lines.h"

#define FDC_BASE        0x3f0u
#define FDC_IRQ         6u
#define FDC_DMA         2u
#define FDC_DRIVES      2
#define FDC_SECTOR      512u
#define FDC_MEDIA_BYTES 2949120u /* the largest: 2.88 MB */

/* How a diskette is laid out, and in which drive it lies. */
struct fdc_media {
    uint8_t tracks, heads, sectors; /* sectors of a track, of 512 bytes */
    uint8_t rates;                  /* bit n: can be read at data rate n of CCR */
    uint8_t drive;                  /* the drive's type as the CMOS has it, 1..5 */
};

struct fdc_drive {
    struct disk *disk; /* NULL: no such drive */
    struct fdc_media media;
    uint8_t track; /* where the heads are */
    bool changed;  /* no step since power on */
};

enum fdc_phase {
    FDC_IDLE,    /* takes a command's first byte */
    FDC_COMMAND, /* ... and its parameters */
    FDC_BUSY,    /* a data command is on its way; no byte moves */
    FDC_DATA,    /* the processor moves bytes: at..FDC_SECTOR-1 of buffer */
    FDC_RESULT,
};

struct fdc {
    struct clock clock;
    struct line irq;
    struct dma *dma;
    struct fdc_drive drive[FDC_DRIVES];

    uint8_t dor, tdr, rate;
    enum fdc_phase phase;
    uint8_t command[9], command_len, command_need;
    uint8_t result[10], result_len, result_at;
    bool intr, level; /* it asks; the line as it is */
    bool waits;       /* a result is to be read before intr falls */

    /* Interrupts of seeks and of a reset, for SENSE INTERRUPT STATUS: one bit for each drive. */
    uint8_t sense;
    uint8_t st0[4];
    uint8_t seeking; /* drives that are on their way */
    uint8_t pcn[4];  /* present cylinder numbers */

    uint8_t specify[2], config[2], perpendicular;
    bool lock;

    /* The data command: what comes next of it. */
    uint8_t c, h, r, left_to_format;
    uint8_t st1, st2;
    uint64_t due; /* guest time at which something is done; CLOCK_NEVER: nothing is */
    uint16_t at, filled;
    uint8_t buffer[FDC_SECTOR];
};

struct fdc_config {
    struct clock clock;
    struct line irq;
    struct dma *dma;
    struct disk *disk[FDC_DRIVES]; /* stay the caller's */
};

/* How a diskette of so many bytes is laid out: that of its size, else the smallest that holds it.
 * false: none does. */
bool fdc_media_of(uint64_t bytes, struct fdc_media *out);

/* Power on. Without any drive nothing is claimed and the ports float. 0, or bus_claim's error. */
int fdc_init(struct fdc *f, struct bus *bus, const struct fdc_config *c);

/* The reset line of the bus. */
void fdc_reset(struct fdc *f);

/* What the CMOS says of the drives: types, drive 0 in the upper half; 0: none. */
uint8_t fdc_cmos_types(const struct fdc *f);

void fdc_update(struct fdc *f);
uint64_t fdc_deadline(const struct fdc *f);

#endif
