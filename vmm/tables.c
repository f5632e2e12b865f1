/* See tables.h. */
#include <errno.h>
#include <string.h>

#include "vmm/tables.h"

void tables_init(struct tables *t, const struct gmode *m, tables_read *read, void *ctx)
{
    t->mode = *m;
    t->read = read;
    t->ctx = ctx;
    t->dir.have = t->table.have = false;
}

static int entry(struct tables *t, struct tables_page *p, gpa_t at, gpte_t *out)
{
    const gpa_t page = at & ~(gpa_t)PAGE_MASK;
    if (!p->have || p->gpa != page) {
        p->rc = t->read(t->ctx, page, p->bytes, PAGE_SIZE);
        p->have = true;
        p->gpa = page;
        if (p->rc == -EFAULT) {
            memset(p->bytes, 0xff, PAGE_SIZE); /* the bus floats */
            p->rc = 0;
        }
    }
    out->raw = 0;
    memcpy(&out->raw, p->bytes + (at & PAGE_MASK), t->mode.fmt == GPAGING_PAE ? 8 : 4);
    return p->rc;
}

/* The directory entry for la. */
static enum tables_end directory(struct tables *t, la_t la, struct tables_walk *w)
{
    const struct gmode *m = &t->mode;
    if (m->fmt == GPAGING_PAE) {
        w->pdpte.raw = m->pdpte[la >> 30];
        w->next = ((uint64_t)la | 0x3fffffff) + 1;
        if (!gpte_present(w->pdpte))
            return TABLES_NO_PDPTE;
        w->pde_at = gpte_table(w->pdpte, m->fmt) + (la >> 21 & 511) * 8;
    } else {
        w->pde_at = m->root + (la >> 22) * 4;
    }
    w->next = ((uint64_t)la | (gpte_large_size(m->fmt) - 1)) + 1;
    if (entry(t, &t->dir, w->pde_at, &w->pde) < 0)
        return TABLES_UNREADABLE;
    if (!gpte_present(w->pde))
        return TABLES_NO_PDE;
    return gmode_pde_reserved(m, w->pde) ? TABLES_BAD_PDE : TABLES_MAPPED;
}

static enum tables_end leaf(struct tables *t, la_t la, struct tables_walk *w)
{
    const struct gmode *m = &t->mode;
    const uint32_t large = gpte_large_size(m->fmt);
    w->writable = (w->pde.raw & GPTE_W) != 0;
    w->user = (w->pde.raw & GPTE_U) != 0;
    w->nx = m->nx && (w->pde.raw & GPTE_NX);
    w->large = m->pse && (w->pde.raw & GPTE_PS);
    if (w->large) {
        w->gpa = (gpte_table(w->pde, m->fmt) & ~(gpa_t)(large - 1)) | (la & (large - 1));
        return TABLES_MAPPED;
    }
    w->pte_at =
        gpte_table(w->pde, m->fmt) +
        (m->fmt == GPAGING_PAE ? (la >> PAGE_SHIFT & 511) * 8 : (la >> PAGE_SHIFT & 1023) * 4);
    if (entry(t, &t->table, w->pte_at, &w->pte) < 0)
        return TABLES_UNREADABLE; /* all of the table: next stays */
    w->next = ((uint64_t)la | PAGE_MASK) + 1;
    if (!gpte_present(w->pte))
        return TABLES_NO_PTE;
    if (gmode_pte_reserved(m, w->pte))
        return TABLES_BAD_PTE;
    w->writable = w->writable && (w->pte.raw & GPTE_W);
    w->user = w->user && (w->pte.raw & GPTE_U);
    w->nx = w->nx || (m->nx && (w->pte.raw & GPTE_NX));
    w->gpa = gpte_table(w->pte, m->fmt) | (la & PAGE_MASK);
    return TABLES_MAPPED;
}

void tables_walk(struct tables *t, la_t la, struct tables_walk *w)
{
    *w = (struct tables_walk){.next = ((uint64_t)la | PAGE_MASK) + 1};
    if (t->mode.fmt == GPAGING_OFF) {
        w->writable = w->user = true;
        w->gpa = la;
        return;
    }
    w->end = directory(t, la, w);
    if (w->end == TABLES_MAPPED)
        w->end = leaf(t, la, w);
}
