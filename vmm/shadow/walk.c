/* See walk.h. */
#include <errno.h>
#include <string.h>

#include "vmm/shadow/walk.h"

void gmode_of(const struct cpu *c, struct gmode *out)
{
    *out = (struct gmode){.fmt = GPAGING_OFF};
    if (!cpu_paging(c))
        return;
    out->wp = (c->cr0 & CR0_WP) != 0;
    if (c->cr4 & CR4_PAE) {
        out->fmt = GPAGING_PAE;
        out->pse = true;
        out->nx = (c->efer & EFER_NXE) != 0;
        memcpy(out->pdpte, c->pdpte, sizeof out->pdpte);
        out->root = c->cr3 & ~(uint32_t)31;
    } else {
        out->fmt = GPAGING_2LEVEL;
        out->pse = (c->cr4 & CR4_PSE) != 0;
        out->root = c->cr3 & ~(uint32_t)PAGE_MASK;
    }
}

bool gmode_same(const struct gmode *a, const struct gmode *b)
{
    return a->fmt == b->fmt && a->wp == b->wp && a->pse == b->pse && a->nx == b->nx &&
           a->root == b->root && memcmp(a->pdpte, b->pdpte, sizeof a->pdpte) == 0;
}

static unsigned entry_bytes(enum gpaging fmt)
{
    return fmt == GPAGING_PAE ? 8 : 4;
}

int walk_read(struct gmem *g, enum gpaging fmt, gpa_t at, gpte_t *out)
{
    out->raw = 0;
    const int rc = gmem_read(g, at, &out->raw, entry_bytes(fmt));
    if (rc != -EFAULT)
        return rc;
    out->raw = fmt == GPAGING_PAE ? UINT64_MAX : UINT32_MAX; /* the bus floats */
    return 0;
}

/* Set bits in the entry at a place, as the processor does: by a locked read-modify-write of what is
 * there now. Entries where no RAM is keep nothing. */
static int set_bits_at(struct gmem *g, gpa_t at, gpte_t *e, uint64_t bits)
{
    if ((e->raw & bits) == bits)
        return 0;
    /* A and D lie in the low half of both formats. */
    const int err = gmem_set_bits(g, at, (uint32_t)bits);
    if (err == -EFAULT)
        return 0;
    e->raw |= bits;
    return err;
}

bool gmode_pde_reserved(const struct gmode *m, gpte_t e)
{
    const bool large = m->pse && (e.raw & GPTE_PS);
    if (m->fmt == GPAGING_2LEVEL)
        return large && (e.raw & 0x003fe000); /* no PSE-36: bits 21..13 */
    uint64_t reserved = ~(GPTE_PHYS_MASK | PAGE_MASK) & ~GPTE_NX;
    if (large)
        reserved |= 0x001fe000;
    if (!m->nx)
        reserved |= GPTE_NX;
    return (e.raw & reserved) != 0;
}

bool gmode_pte_reserved(const struct gmode *m, gpte_t e)
{
    if (m->fmt == GPAGING_2LEVEL)
        return false;
    uint64_t reserved = ~(GPTE_PHYS_MASK | PAGE_MASK) & ~GPTE_NX;
    if (!m->nx)
        reserved |= GPTE_NX;
    return (e.raw & reserved) != 0;
}

static void fault(struct walk *w, const struct gmode *m, struct walk_access acc, uint32_t bits)
{
    w->status = WALK_FAULT;
    w->error =
        bits | (acc.write ? PF_W : 0u) | (acc.user ? PF_U : 0u) | (acc.fetch && m->nx ? PF_I : 0u);
}

static void failed(struct walk *w, int err)
{
    w->status = err == -ENOMEM ? WALK_NOMEM : WALK_IOERR;
}

/* SDM vol. 3, 4.6.1. */
static bool permitted(const struct walk *w, const struct gmode *m, struct walk_access acc)
{
    if (acc.user && !w->user)
        return false;
    if (acc.write && !w->writable && (acc.user || m->wp))
        return false;
    return !(acc.fetch && w->nx);
}

/* Where the directory entry for la lies; false: the PDPTE is not present. */
static bool directory_entry(const struct gmode *m, la_t la, gpa_t *at)
{
    if (m->fmt == GPAGING_2LEVEL) {
        *at = m->root + (la >> 22) * 4;
        return true;
    }
    const gpte_t p = {m->pdpte[la >> 30]};
    if (!gpte_present(p))
        return false;
    *at = gpte_table(p, m->fmt) + (la >> 21 & 511) * 8;
    return true;
}

void walk_guest(struct gmem *g, const struct gmode *m, la_t la, struct walk_access acc,
                bool set_bits, struct walk *w)
{
    int err;
    *w = (struct walk){.status = WALK_OK, .writable = true, .user = true, .dirty = true, .gpa = la};
    if (m->fmt == GPAGING_OFF)
        return;
    if (!directory_entry(m, la, &w->pde_at)) {
        fault(w, m, acc, 0);
        return;
    }
    if ((err = walk_read(g, m->fmt, w->pde_at, &w->pde)) < 0) {
        failed(w, err);
        return;
    }
    if (!gpte_present(w->pde) || gmode_pde_reserved(m, w->pde)) {
        fault(w, m, acc, gpte_present(w->pde) ? PF_P | PF_RSVD : 0);
        return;
    }
    gpte_t leaf = w->pde;
    w->large = m->pse && (w->pde.raw & GPTE_PS);
    if (!w->large) {
        const unsigned size = entry_bytes(m->fmt);
        const la_t index = la >> PAGE_SHIFT & (m->fmt == GPAGING_PAE ? 511 : 1023);
        w->pte_at = gpte_table(w->pde, m->fmt) + index * size;
        if ((err = walk_read(g, m->fmt, w->pte_at, &w->pte)) < 0) {
            failed(w, err);
            return;
        }
        if (!gpte_present(w->pte) || gmode_pte_reserved(m, w->pte)) {
            fault(w, m, acc, gpte_present(w->pte) ? PF_P | PF_RSVD : 0);
            return;
        }
        leaf.raw = w->pte.raw & (w->pde.raw | ~(GPTE_W | GPTE_U));
        leaf.raw |= w->pde.raw & GPTE_NX;
    }
    w->writable = (leaf.raw & GPTE_W) != 0;
    w->user = (leaf.raw & GPTE_U) != 0;
    w->nx = m->nx && (leaf.raw & GPTE_NX);
    if (!permitted(w, m, acc)) {
        fault(w, m, acc, PF_P);
        return;
    }
    if (w->large) {
        const uint32_t size = gpte_large_size(m->fmt);
        w->gpa = (gpte_table(w->pde, m->fmt) & ~(gpa_t)(size - 1)) | (la & (size - 1));
    } else {
        w->gpa = gpte_table(w->pte, m->fmt) | (la & PAGE_MASK);
    }
    if (set_bits) {
        const uint64_t last = GPTE_A | (acc.write ? GPTE_D : 0);
        err = set_bits_at(g, w->pde_at, &w->pde, w->large ? last : GPTE_A);
        if (!err && !w->large)
            err = set_bits_at(g, w->pte_at, &w->pte, last);
        if (err < 0) {
            failed(w, err);
            return;
        }
    }
    w->dirty = gpte_dirty(w->large ? w->pde : w->pte);
}

bool walk_sibling(const struct gmode *m, const struct walk *w, la_t la, bool user, gpte_t pte,
                  struct walk *out)
{
    *out = *w;
    if (w->large) {
        const uint32_t size = gpte_large_size(m->fmt);
        out->gpa = (w->gpa & ~(gpa_t)(size - 1)) | (la & (size - 1));
        return true;
    }
    if (!gpte_present(pte) || !(pte.raw & GPTE_A) || gmode_pte_reserved(m, pte))
        return false;
    const uint64_t both = pte.raw & w->pde.raw;
    out->pte = pte;
    out->pte_at = 0; /* not looked up */
    out->gpa = gpte_table(pte, m->fmt) | (la & PAGE_MASK);
    out->writable = (both & GPTE_W) != 0;
    out->user = (both & GPTE_U) != 0;
    out->nx = m->nx && ((pte.raw | w->pde.raw) & GPTE_NX);
    out->dirty = gpte_dirty(pte);
    return out->user || !user;
}
