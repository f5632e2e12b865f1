/*
 * What a file is that is not served as it is, by the bytes at its start, so that whoever names it
 * in the wrong place hears what to do instead. Users: vmm/load and vmm/dev/disk.
 */
#ifndef UMBRA_VMM_FILEKIND_H
#define UMBRA_VMM_FILEKIND_H

#include <stdbool.h>

struct filekind {
    const char *what;   /* "a gzip file" */
    const char *remedy; /* "unpack it with gunzip"; for an image that is to be run */
    bool disk_format;   /* an image of a disk whose bytes are not the disk's in order */
};

/* What fd's file is; NULL: nothing that is known here. Blocks for reads of a few bytes; a read
 * error counts as not known. */
const struct filekind *filekind_of(int fd);

#endif
