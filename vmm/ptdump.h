/*
 * A saved page table: the guest's own table pages with the registers that say how they are read,
 * and what Umbra knew of each page beside them, if it was Umbra. docs/pt-dump.md describes the
 * bytes. Written from any source of guest-physical memory; read back with every field checked, for
 * a dump may come from anywhere.
 */
#ifndef UMBRA_VMM_PTDUMP_H
#define UMBRA_VMM_PTDUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/errmsg.h"
#include "vmm/pt.h"
#include "vmm/tables.h"

#define PTDUMP_VERSION 1
#define PTDUMP_ROWS    1048576u /* most rows */
#define PTDUMP_SOURCE  64       /* bytes of the source's name, NUL included */

/* Registers, and where they are from. */
struct ptdump_info {
    uint32_t cr0, cr3, cr4;
    uint64_t efer;
    /* PAE: the processor's own copies, where they are known; otherwise they are read at CR3. */
    uint64_t pdpte[4];
    bool have_pdpte;
    uint64_t ram;               /* bytes of guest memory; 0: not known */
    uint64_t time;              /* seconds since 1970 */
    char source[PTDUMP_SOURCE]; /* "umbra 0.1.0, soft": printable ASCII */
};

struct ptdump {
    struct ptdump_info info;
    struct gmode mode;
    uint32_t tables; /* page tables, by rising guest-physical address */
    const struct ptdump_table *table;
    uint32_t rows;
    struct pt_row *row; /* by rising linear address */
    bool has_rows;      /* it is Umbra's */
    void *bytes;        /* private */
};

/*
 * Make a dump: the tables that info's registers lead to are read by read(ctx, ...). rows (may be
 * NULL) are what Umbra knows beside. *out is malloc'ed, *len its bytes. 0; -EINVAL: info cannot be;
 * -ENOMEM; or the errno of read, with err naming the table.
 */
int ptdump_make(const struct ptdump_info *info, tables_read *read, void *ctx,
                const struct pt_row *rows, uint32_t n_rows, void **out, size_t *len,
                struct errmsg *err);
/* Write a dump's bytes to a file: whole or not at all. 0 or an errno with err filled. */
int ptdump_save(const char *path, const void *bytes, size_t len, struct errmsg *err);

/*
 * Read and check a dump. bytes must be malloc'ed and become the dump's, or are freed. 0; -ENODATA:
 * there is less than it says; -EMEDIUMTYPE: no dump; -EPROTONOSUPPORT: another version; -EBADMSG:
 * the checksum does not match; -ERANGE: a field that cannot be, named in err; -ENOMEM.
 */
int ptdump_parse(void *bytes, size_t len, struct ptdump **out, struct errmsg *err);
/* The same from a file; and an errno of it. */
int ptdump_load(const char *path, struct ptdump **out, struct errmsg *err);
void ptdump_free(struct ptdump *d);

/* For tables_walk(); d must outlive it. A table that is not in the dump is where no memory was. */
void ptdump_tables(const struct ptdump *d, struct tables *out);
/* The row that holds la; NULL: none does. */
const struct pt_row *ptdump_row(const struct ptdump *d, la_t la);

#endif
