/* What the files of the diskette controller share. */
#ifndef UMBRA_VMM_DEV_FDC_INT_H
#define UMBRA_VMM_DEV_FDC_INT_H

#include "vmm/dev/fdc.h"

/* Commands without their MT, MFM and SK bits (82077AA data sheet, table 5-1). */
enum {
    CMD_READ_TRACK = 0x02,
    CMD_SPECIFY = 0x03,
    CMD_SENSE_DRIVE = 0x04,
    CMD_WRITE = 0x05,
    CMD_READ = 0x06,
    CMD_RECALIBRATE = 0x07,
    CMD_SENSE_INTERRUPT = 0x08,
    CMD_WRITE_DELETED = 0x09,
    CMD_READ_ID = 0x0a,
    CMD_READ_DELETED = 0x0c,
    CMD_FORMAT = 0x0d,
    CMD_DUMPREG = 0x0e,
    CMD_SEEK = 0x0f,
    CMD_VERSION = 0x10,
    CMD_PERPENDICULAR = 0x12,
    CMD_CONFIGURE = 0x13,
    CMD_LOCK = 0x14,
    CMD_VERIFY = 0x16,
    CMD_BITS = 0x1f,
    CMD_MT = 0x80,
    CMD_MFM = 0x40,
};

enum {
    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_RESET = 0xc0,
    ST0_SEEK_END = 0x20,
    ST0_EC = 0x10
};
enum {
    ST1_END = 0x80,     /* beyond the last sector */
    ST1_DATA = 0x20,    /* the drive's file cannot be read or written */
    ST1_OVERRUN = 0x10, /* nobody took the data, or gave it */
    ST1_NO_DATA = 4,    /* no such sector */
    ST1_PROTECTED = 2,
    ST1_NO_MARK = 1, /* nothing that can be read at this data rate */
};
enum { ST2_DATA = 0x20, ST2_WRONG_CYLINDER = 0x10, ST2_CONTROL_MARK = 0x40 };
enum { CONFIG_IMPLIED_SEEK = 0x40 };

/* Parameters of the data commands, by their place behind the command's byte. */
enum { P_UNIT = 1, P_C, P_H, P_R, P_N, P_EOT, P_GAP, P_LENGTH };
enum { F_SIZE = 2, F_SECTORS, F_GAP, F_FILLER }; /* FORMAT's */

static inline unsigned fdc_unit(const struct fdc *f)
{
    return f->command[P_UNIT] & 3;
}
static inline unsigned fdc_head(const struct fdc *f)
{
    return f->command[P_UNIT] >> 2 & 1;
}
/* The drive, or NULL if there is none. */
static inline struct fdc_drive *fdc_drive_of(struct fdc *f, unsigned unit)
{
    return unit < FDC_DRIVES && f->drive[unit].disk ? &f->drive[unit] : NULL;
}

/* Let the interrupt line be what it is to be. */
void fdc_settle(struct fdc *f);
/* n bytes of result wait to be read. */
void fdc_answer(struct fdc *f, unsigned n);

/* A data command has all its parameters: begin. */
void fdc_exec(struct fdc *f);
/* Its time has come. */
void fdc_exec_due(struct fdc *f);
/* The processor has moved the last byte of the buffer. */
void fdc_exec_moved(struct fdc *f);

#endif
