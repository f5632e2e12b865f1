/*
 * A guest's page tables as plain data: walked from a mode (CR0, CR3, CR4, EFER) and a way to read
 * guest-physical memory, which may be a machine, a saved dump, or another hypervisor. No right is
 * asked and nothing is changed; who asks wants to know what is there.
 */
#ifndef UMBRA_VMM_TABLES_H
#define UMBRA_VMM_TABLES_H

#include "vmm/shadow/walk.h"

/* Read len bytes at gpa, inside one page. 0; -EFAULT: no memory is there (a table there reads as
 * ones, as on a PC's bus); other negative: it cannot be read. */
typedef int tables_read(void *ctx, gpa_t gpa, void *buf, uint32_t len);

struct tables_page {
    bool have;
    int rc; /* of reading it: 0, or it cannot be read */
    gpa_t gpa;
    uint8_t bytes[PAGE_SIZE];
};

struct tables {
    struct gmode mode;
    tables_read *read;
    void *ctx;
    struct tables_page dir, table; /* read last */
};

enum tables_end {
    TABLES_MAPPED,
    TABLES_NO_PDPTE, /* PAE: the processor's own entry is not present */
    TABLES_NO_PDE,
    TABLES_NO_PTE,
    TABLES_BAD_PDE, /* present, with reserved bits set: a use gives #PF with RSVD */
    TABLES_BAD_PTE,
    TABLES_UNREADABLE, /* a table is in memory that cannot be read */
};

struct tables_walk {
    enum tables_end end;
    gpte_t pdpte, pde, pte;  /* as far as the walk came; pte is 0 if large */
    gpa_t pde_at, pte_at;    /* where they lie */
    bool large;              /* the directory entry maps */
    bool writable, user, nx; /* of the whole chain */
    gpa_t gpa;               /* of the byte; TABLES_MAPPED */
    uint64_t next;           /* what ends the walk ends it for all linear addresses below this; for
                                TABLES_MAPPED, the end of the page (large: of the large page) */
};

void tables_init(struct tables *t, const struct gmode *m, tables_read *read, void *ctx);
/* The tables are read once for neighbouring addresses: make t anew when memory may have changed. */
void tables_walk(struct tables *t, la_t la, struct tables_walk *out);
/* The entry that maps, or ends the walk. */
static inline gpte_t tables_leaf(const struct tables_walk *w)
{
    switch (w->end) {
    case TABLES_NO_PDPTE: return w->pdpte;
    case TABLES_NO_PDE:
    case TABLES_BAD_PDE: return w->pde;
    default: return w->large ? w->pde : w->pte;
    }
}

#endif
