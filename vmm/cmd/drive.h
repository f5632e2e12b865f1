/*
 * The drives of a machine as the command line names them: -drive, -hda to -hdd, -cdrom, -fda, -fdb,
 * -snapshot.
 */
#ifndef UMBRA_VMM_CMD_DRIVE_H
#define UMBRA_VMM_CMD_DRIVE_H

#include <stdio.h>

#include "vmm/dev/board.h"
#include "vmm/errmsg.h"

struct drive_args {
    struct drive_arg {
        char file[1024]; /* "": nothing */
        bool cd, readonly, snapshot;
        bool raw; /* format=raw was said */
    } drive[BOARD_DRIVES], floppy[FDC_DRIVES];
    bool snapshot; /* of all of them */
};

/* Take one option. option: the word as it was typed ("-hda", "--drive=..."); value: its value. 0,
 * or -EINVAL with err filled. */
int drive_take(struct drive_args *a, const char *option, const char *value, struct errmsg *err);

/* Open the files, into out and floppy. 0, disk_open's error, or -EFBIG: no diskette is so large;
 * then nothing is open. */
int drives_open(const struct drive_args *a, struct board_drive out[BOARD_DRIVES],
                struct disk *floppy[FDC_DRIVES], struct errmsg *err);
void drives_close(struct board_drive drive[BOARD_DRIVES], struct disk *floppy[FDC_DRIVES]);

/* Is there a disk that a machine can be started from? */
bool drives_any(const struct drive_args *a);

/* One line for each drive that needs a remark. */
void drives_describe(const struct board_drive drive[BOARD_DRIVES],
                     struct disk *const floppy[FDC_DRIVES], FILE *out);

#endif
