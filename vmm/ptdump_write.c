/* Making a dump (ptdump.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "vmm/ptdump_format.h"

/* --- which pages are tables ------------------------------------------------------------------ */

struct gather {
    struct gmode mode;
    gpa_t gpa[PTDUMP_TABLES];
    uint32_t n;
};

static void add_table(struct gather *g, gpa_t at)
{
    if (g->n < PTDUMP_TABLES)
        g->gpa[g->n++] = at & ~(gpa_t)PAGE_MASK;
}

/* The tables that one directory points to; where it lies there may be no memory: then its entries
 * are ones, and lead nowhere. */
static int gather_directory(struct gather *g, gpa_t dir, tables_read *read, void *ctx)
{
    const bool pae = g->mode.fmt == GPAGING_PAE;
    uint8_t bytes[PAGE_SIZE];
    add_table(g, dir);
    const int rc = read(ctx, dir, bytes, sizeof bytes);
    if (rc == -EFAULT)
        return 0;
    for (unsigned at = 0; !rc && at < PAGE_SIZE; at += pae ? 8 : 4) {
        gpte_t e = {0};
        memcpy(&e.raw, bytes + at, pae ? 8 : 4);
        if (gpte_present(e) && !gmode_pde_reserved(&g->mode, e) &&
            !(g->mode.pse && (e.raw & GPTE_PS)))
            add_table(g, gpte_table(e, g->mode.fmt));
    }
    return rc;
}

static int by_gpa(const void *a, const void *b)
{
    const gpa_t x = *(const gpa_t *)a, y = *(const gpa_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_unique(struct gather *g)
{
    uint32_t kept = 0;
    qsort(g->gpa, g->n, sizeof *g->gpa, by_gpa);
    for (uint32_t i = 0; i < g->n; i++)
        if (!kept || g->gpa[kept - 1] != g->gpa[i])
            g->gpa[kept++] = g->gpa[i];
    g->n = kept;
}

static int gather_all(struct gather *g, tables_read *read, void *ctx)
{
    int rc = 0;
    if (g->mode.fmt == GPAGING_2LEVEL)
        rc = gather_directory(g, g->mode.root, read, ctx);
    for (int i = 0; g->mode.fmt == GPAGING_PAE && i < 4 && !rc; i++) {
        const gpte_t p = {g->mode.pdpte[i]};
        if (gpte_present(p))
            rc = gather_directory(g, gpte_table(p, g->mode.fmt), read, ctx);
    }
    sort_unique(g);
    return rc;
}

/* --- the bytes ------------------------------------------------------------------------------- */

static struct ptdump_row pack(const struct pt_row *r)
{
    return (struct ptdump_row){
        .la = r->la,
        .pages = r->pages,
        .guest = r->guest,
        .gpa = r->gpa,
        .shadow = r->shadow.raw,
        .shadow_user = r->shadow_user.raw,
        .backing = r->backing.raw,
        .frame = r->frame,
        .refs = r->refs,
        .maps = r->maps,
        .flags = (uint16_t)((r->guest_paging ? ROW_PAGING : 0) | (r->guest_maps ? ROW_MAPS : 0) |
                            (r->large ? ROW_LARGE : 0) | (r->writable ? ROW_WRITABLE : 0) |
                            (r->user ? ROW_USER : 0) | (r->nx ? ROW_NX : 0) |
                            (r->frames_run ? ROW_FRAMES_RUN : 0) |
                            (r->gpas_run ? ROW_GPAS_RUN : 0) | (r->slots_run ? ROW_SLOTS_RUN : 0)),
        .verdict = (uint8_t)r->verdict,
        .where = (uint8_t)r->where,
        .since_trap = r->since.trap,
        .since_ns = r->since.ns};
}

static int read_pdptes(struct ptdump_info *i, tables_read *read, void *ctx)
{
    const bool pae = (i->cr0 & CR0_PG) && (i->cr4 & CR4_PAE);
    uint8_t page[PAGE_SIZE];
    if (!pae || i->have_pdpte)
        return 0;
    const int rc = read(ctx, i->cr3 & ~(uint32_t)PAGE_MASK, page, sizeof page);
    if (!rc)
        memcpy(i->pdpte, page + (i->cr3 & PAGE_MASK & ~31u), sizeof i->pdpte);
    return rc;
}

static struct gmode mode_of(const struct ptdump_info *i)
{
    struct cpu c = {.cr0 = i->cr0, .cr3 = i->cr3, .cr4 = i->cr4, .efer = i->efer};
    struct gmode m;
    memcpy(c.pdpte, i->pdpte, sizeof c.pdpte);
    gmode_of(&c, &m);
    return m;
}

/* Tables for which there is memory, one behind the other; returns how many. */
static int copy_tables(const struct gather *g, struct ptdump_table *to, uint32_t *n,
                       tables_read *read, void *ctx, struct errmsg *err)
{
    *n = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        to[*n].gpa = g->gpa[i];
        const int rc = read(ctx, g->gpa[i], to[*n].bytes, PAGE_SIZE);
        if (rc < 0 && rc != -EFAULT)
            return err_set(err, rc, "the page table at guest-physical %09llx: %s",
                           (unsigned long long)g->gpa[i], strerror(-rc));
        *n += rc == 0;
    }
    return 0;
}

int ptdump_make(const struct ptdump_info *given, tables_read *read, void *ctx,
                const struct pt_row *rows, uint32_t n_rows, void **out, size_t *len,
                struct errmsg *err)
{
    struct ptdump_info info = *given;
    struct gather *g = calloc(1, sizeof *g);
    struct ptdump_head *h = NULL;
    int rc = g && n_rows <= PTDUMP_ROWS ? read_pdptes(&info, read, ctx) : -ENOMEM;
    if (!rc) {
        g->mode = mode_of(&info);
        rc = gather_all(g, read, ctx);
    }
    if (rc < 0)
        err_set(err, rc, "the page tables at CR3 %08x: %s", info.cr3, strerror(-rc));
    if (!rc && g &&
        !(h = calloc(1, sizeof *h + g->n * sizeof(struct ptdump_table) +
                            n_rows * sizeof(struct ptdump_row))))
        rc = err_set(err, -ENOMEM, "out of memory");
    if (h)
        rc = copy_tables(g, (struct ptdump_table *)(h + 1), &h->tables, read, ctx, err);
    free(g);
    if (rc < 0 || !h) {
        free(h);
        return rc;
    }
    struct ptdump_row *r = (struct ptdump_row *)((struct ptdump_table *)(h + 1) + h->tables);
    for (uint32_t i = 0; i < n_rows; i++)
        r[i] = pack(&rows[i]);
    memcpy(h->magic, PTDUMP_MAGIC, sizeof h->magic);
    h->version = PTDUMP_VERSION;
    h->head_bytes = sizeof *h;
    h->flags = rows ? PTDUMP_HAS_ROWS : 0;
    h->cr0 = info.cr0;
    h->cr3 = info.cr3;
    h->cr4 = info.cr4;
    h->efer = info.efer;
    memcpy(h->pdpte, info.pdpte, sizeof h->pdpte);
    h->ram = info.ram;
    h->time = info.time;
    h->rows = n_rows;
    memcpy(h->source, info.source, sizeof h->source);
    h->source[sizeof h->source - 1] = 0;
    *len = (size_t)((const uint8_t *)(r + n_rows) - (const uint8_t *)h);
    h->bytes = *len;
    h->sum = XXH64((const uint8_t *)h + PTDUMP_SUM_FROM, *len - PTDUMP_SUM_FROM, 0);
    *out = h;
    return 0;
}

/* --- the file -------------------------------------------------------------------------------- */

int ptdump_save(const char *path, const void *bytes, size_t len, struct errmsg *err)
{
    char temp[4200];
    int rc = 0;
    if (snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= (int)sizeof temp)
        return err_set(err, -ENAMETOOLONG, "%.80s...: %s", path, strerror(ENAMETOOLONG));
    const int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", path, strerror(errno));
    FILE *f = fdopen(fd, "w");
    if (!f) {
        rc = -errno;
        close(fd);
    } else {
        errno = EIO;
        if (fwrite(bytes, 1, len, f) != len)
            rc = -errno;
        if (fclose(f) != 0 && !rc)
            rc = -errno;
    }
    if (!rc && rename(temp, path) < 0)
        rc = -errno;
    if (rc < 0) {
        unlink(temp);
        err_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    return rc;
}
