/*
 * The walk of a guest's page tables, as the processor does it: translate, check rights, set A and D
 * (SDM vol. 3, 4.3, 4.4, 4.6, 4.7, 4.8). Reads guest memory as it is now; remembers nothing.
 */
#ifndef UMBRA_VMM_SHADOW_WALK_H
#define UMBRA_VMM_SHADOW_WALK_H

#include "vmm/cpu/cpu.h"
#include "vmm/gmem.h"
#include "vmm/shadow/gpte.h"

/* What of the processor's state decides about translations. */
struct gmode {
    enum gpaging fmt;
    bool wp;           /* CR0.WP */
    bool pse;          /* CR4.PSE; always on with PAE */
    bool nx;           /* EFER.NXE with PAE */
    gpa_t root;        /* page directory (two-level) */
    uint64_t pdpte[4]; /* PAE, as loaded with CR3 */
};

void gmode_of(const struct cpu *cpu, struct gmode *out);
bool gmode_same(const struct gmode *a, const struct gmode *b);
/* Has a present entry reserved bits set (SDM vol. 3, 4.3 and 4.4.2)? */
bool gmode_pde_reserved(const struct gmode *m, gpte_t e);
bool gmode_pte_reserved(const struct gmode *m, gpte_t e);

enum walk_status {
    WALK_OK,
    WALK_FAULT, /* the guest's own page fault: error is its code */
    WALK_NOMEM, /* the frame pool is used up */
    WALK_IOERR, /* a table cannot be read back */
};

struct walk {
    enum walk_status status;
    uint32_t error; /* WALK_FAULT: enum pf_error */
    gpa_t gpa;      /* of the byte */
    bool large;     /* a directory entry maps it */
    bool writable;  /* rights of the whole chain */
    bool user;
    bool nx;
    bool dirty;           /* the entry that maps it has D */
    gpte_t pde, pte;      /* as they stand after A and D were set; pte is 0 if large */
    gpa_t pde_at, pte_at; /* where they lie */
};

struct walk_access {
    bool write, user, fetch;
};

/* set_bits: set A and, for a write, D as the access would; without it nothing in guest memory
 * changes. */
void walk_guest(struct gmem *g, const struct gmode *m, la_t la, struct walk_access acc,
                bool set_bits, struct walk *out);

/* What the walk for la would find that goes by the same table as w (or by the same large page,
 * where pte counts for nothing) and whose last entry is pte. false: it would fault in this view, or
 * would have to set A. */
bool walk_sibling(const struct gmode *m, const struct walk *w, la_t la, bool user, gpte_t pte,
                  struct walk *out);

/* Read one entry of a table that lies at gpa (anywhere: where no RAM is, reads give ones). 0 or
 * negative as gmem_read. */
int walk_read(struct gmem *g, enum gpaging fmt, gpa_t at, gpte_t *out);

#endif
