/* The bytes of a page table dump, little-endian (docs/pt-dump.md). For ptdump*.c only. */
#ifndef UMBRA_VMM_PTDUMP_FORMAT_H
#define UMBRA_VMM_PTDUMP_FORMAT_H

#include <stdint.h>

#include "vmm/ptdump.h"

#define PTDUMP_MAGIC "UMBRAPT\n"

enum { PTDUMP_HAS_ROWS = 1 };

struct ptdump_head {
    char magic[8];
    uint32_t version, head_bytes;
    uint64_t bytes; /* of the whole dump */
    uint64_t sum;   /* XXH64, seed 0, of everything behind this field */
    uint32_t flags, cr0, cr3, cr4;
    uint64_t efer;
    uint64_t pdpte[4];
    uint64_t ram, time;
    uint32_t tables, rows;
    char source[PTDUMP_SOURCE];
};
_Static_assert(sizeof(struct ptdump_head) == 176, "the header has no holes");
#define PTDUMP_SUM_FROM 32 /* the first byte that the checksum covers */

struct ptdump_table {
    uint64_t gpa;
    uint8_t bytes[4096];
};

enum {
    ROW_PAGING = 1,
    ROW_MAPS = 2,
    ROW_LARGE = 4,
    ROW_WRITABLE = 8,
    ROW_USER = 16,
    ROW_NX = 32,
    ROW_FRAMES_RUN = 64,
    ROW_GPAS_RUN = 128,
    ROW_SLOTS_RUN = 256,
    ROW_FLAGS = 511,
};

struct ptdump_row {
    uint32_t la, pages;
    uint64_t guest, gpa, shadow, shadow_user;
    uint32_t backing, frame, refs, maps;
    uint16_t flags;
    uint8_t verdict, where;
    uint32_t reserved;
    uint64_t since_trap, since_ns;
};
_Static_assert(sizeof(struct ptdump_row) == 80, "a row has no holes");

/* Most table pages: PAE has four directories of 512 tables. */
#define PTDUMP_TABLES (4u + 4 * 512)

#endif
