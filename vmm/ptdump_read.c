/* Reading a dump back, believing nothing of it (ptdump.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "vmm/ptdump_format.h"

#define PTDUMP_MAX                                                                                 \
    (sizeof(struct ptdump_head) + PTDUMP_TABLES * sizeof(struct ptdump_table) +                    \
     (size_t)PTDUMP_ROWS * sizeof(struct ptdump_row))

static int check_head(const struct ptdump_head *h, size_t len, struct errmsg *err)
{
    if (len < sizeof h->magic || memcmp(h->magic, PTDUMP_MAGIC, sizeof h->magic) != 0)
        return err_set(err, -EMEDIUMTYPE, "no page table dump: it does not begin as one");
    if (len < sizeof *h)
        return err_set(err, -ENODATA, "cut off: %zu bytes are less than a header", len);
    if (h->version != PTDUMP_VERSION)
        return err_set(err, -EPROTONOSUPPORT, "version %u of the format; this umbra reads %d",
                       h->version, PTDUMP_VERSION);
    if (h->head_bytes != sizeof *h)
        return err_set(err, -ERANGE, "header of %u bytes, not %zu", h->head_bytes, sizeof *h);
    if (h->bytes > len)
        return err_set(err, -ENODATA, "cut off: %zu bytes of %llu", len,
                       (unsigned long long)h->bytes);
    if (h->bytes < len)
        return err_set(err, -ERANGE, "%llu bytes behind its end",
                       (unsigned long long)(len - h->bytes));
    if (h->sum != XXH64((const uint8_t *)h + PTDUMP_SUM_FROM, len - PTDUMP_SUM_FROM, 0))
        return err_set(err, -EBADMSG, "its checksum does not match: it has been changed");
    return 0;
}

static bool printable(const char *s)
{
    if (!memchr(s, 0, PTDUMP_SOURCE))
        return false;
    for (; *s; s++)
        if (*s < 0x20 || *s > 0x7e)
            return false;
    return true;
}

/* The counts are such that everything lies inside. */
static int check_fields(const struct ptdump_head *h, struct errmsg *err)
{
    if (h->flags & ~(uint32_t)PTDUMP_HAS_ROWS)
        return err_set(err, -ERANGE, "unknown flags %08x", h->flags);
    if (h->tables > PTDUMP_TABLES)
        return err_set(err, -ERANGE, "%u tables; no guest has so many", h->tables);
    if (h->rows > PTDUMP_ROWS || (h->rows && !(h->flags & PTDUMP_HAS_ROWS)))
        return err_set(err, -ERANGE, "%u rows cannot be", h->rows);
    const uint64_t want = sizeof *h + h->tables * (uint64_t)sizeof(struct ptdump_table) +
                          h->rows * (uint64_t)sizeof(struct ptdump_row);
    if (want != h->bytes)
        return err_set(err, -ERANGE, "%u tables and %u rows are not %llu bytes", h->tables, h->rows,
                       (unsigned long long)h->bytes);
    if ((h->cr0 & CR0_PG) && !(h->cr0 & CR0_PE))
        return err_set(err, -ERANGE, "CR0 %08x: paging without protected mode", h->cr0);
    if (h->efer & EFER_LMA)
        return err_set(err, -ERANGE, "EFER %llx: a 64-bit guest", (unsigned long long)h->efer);
    if (!(h->cr0 & CR0_PG) && h->tables)
        return err_set(err, -ERANGE, "page tables, but paging is off");
    if (!printable(h->source))
        return err_set(err, -ERANGE, "the name of its source is no text");
    return 0;
}

static int check_tables(const struct ptdump_head *h, const struct ptdump_table *t,
                        struct errmsg *err)
{
    for (uint32_t i = 0; i < h->tables; i++)
        if ((t[i].gpa & ~GPTE_PHYS_MASK) || (i && t[i].gpa <= t[i - 1].gpa))
            return err_set(err, -ERANGE, "table %u at %llx: no page, or out of order", i,
                           (unsigned long long)t[i].gpa);
    return 0;
}

static int unpack(const struct ptdump_row *r, struct pt_row *out, uint64_t from)
{
    const uint64_t end = (uint64_t)r->la + ((uint64_t)r->pages << PAGE_SHIFT);
    if (r->la & PAGE_MASK || r->la < from || !r->pages || end > (uint64_t)UINT32_MAX + 1 ||
        r->flags & ~ROW_FLAGS || r->verdict >= PT_VERDICTS || r->where > STORE_DISK ||
        r->reserved || (r->gpa & PAGE_MASK))
        return -ERANGE;
    *out = (struct pt_row){.la = r->la,
                           .pages = r->pages,
                           .guest_paging = r->flags & ROW_PAGING,
                           .guest_maps = r->flags & ROW_MAPS,
                           .large = r->flags & ROW_LARGE,
                           .guest = r->guest,
                           .writable = r->flags & ROW_WRITABLE,
                           .user = r->flags & ROW_USER,
                           .nx = r->flags & ROW_NX,
                           .gpa = r->gpa,
                           .backing = {r->backing},
                           .shadow = {r->shadow},
                           .shadow_user = {r->shadow_user},
                           .frame = r->frame,
                           .frames_run = r->flags & ROW_FRAMES_RUN,
                           .gpas_run = r->flags & ROW_GPAS_RUN,
                           .where = (enum store_where)r->where,
                           .slots_run = r->flags & ROW_SLOTS_RUN,
                           .refs = r->refs,
                           .maps = r->maps,
                           .since = {r->since_trap, r->since_ns},
                           .verdict = (enum pt_verdict)r->verdict};
    return 0;
}

static int take_rows(const struct ptdump_head *h, const struct ptdump_row *r, struct ptdump *d,
                     struct errmsg *err)
{
    uint64_t from = 0;
    if (h->rows && !(d->row = malloc(h->rows * sizeof *d->row)))
        return err_set(err, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < h->rows; i++) {
        if (unpack(&r[i], &d->row[i], from) < 0)
            return err_set(err, -ERANGE, "row %u at %08x cannot be", i, r[i].la);
        from = (uint64_t)r[i].la + ((uint64_t)r[i].pages << PAGE_SHIFT);
    }
    d->rows = h->rows;
    d->has_rows = h->flags & PTDUMP_HAS_ROWS;
    return 0;
}

static void take_info(const struct ptdump_head *h, struct ptdump *d)
{
    struct cpu c = {.cr0 = h->cr0, .cr3 = h->cr3, .cr4 = h->cr4, .efer = h->efer};
    memcpy(c.pdpte, h->pdpte, sizeof c.pdpte);
    gmode_of(&c, &d->mode);
    d->info = (struct ptdump_info){.cr0 = h->cr0,
                                   .cr3 = h->cr3,
                                   .cr4 = h->cr4,
                                   .efer = h->efer,
                                   .have_pdpte = true,
                                   .ram = h->ram,
                                   .time = h->time};
    memcpy(d->info.pdpte, h->pdpte, sizeof h->pdpte);
    memcpy(d->info.source, h->source, sizeof h->source);
}

int ptdump_parse(void *bytes, size_t len, struct ptdump **out, struct errmsg *err)
{
    const struct ptdump_head *h = bytes;
    struct ptdump *d = calloc(1, sizeof *d);
    if (!d) {
        free(bytes);
        return err_set(err, -ENOMEM, "out of memory");
    }
    d->bytes = bytes;
    int rc = check_head(h, len, err);
    if (!rc)
        rc = check_fields(h, err);
    if (!rc) {
        d->table = (const struct ptdump_table *)(h + 1);
        d->tables = h->tables;
        rc = check_tables(h, d->table, err);
    }
    if (!rc)
        rc = take_rows(h, (const struct ptdump_row *)(d->table + h->tables), d, err);
    if (rc < 0) {
        ptdump_free(d);
        return rc;
    }
    take_info(h, d);
    *out = d;
    return 0;
}

void ptdump_free(struct ptdump *d)
{
    if (!d)
        return;
    free(d->row);
    free(d->bytes);
    free(d);
}

/* All of an open file; 0 or negative with err filled. */
static int read_all(int fd, uint8_t *to, size_t *len, struct errmsg *err)
{
    for (size_t at = 0; at < *len;) {
        const ssize_t n = read(fd, to + at, *len - at);
        if (n > 0)
            at += (size_t)n;
        else if (n == 0)
            *len = at; /* it has become shorter meanwhile */
        else if (errno != EINTR)
            return err_set(err, -errno, "%s", strerror(errno));
    }
    return 0;
}

/* All of a file, malloc'ed; NULL with *rc and err. */
static void *slurp(const char *path, size_t *len, int *rc, struct errmsg *err)
{
    struct stat st;
    void *bytes = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *rc = 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        *rc = err_set(err, -errno, "%s", strerror(errno));
    else if (!S_ISREG(st.st_mode))
        *rc = err_set(err, -EMEDIUMTYPE, "no page table dump: not a regular file");
    else if ((uint64_t)st.st_size > PTDUMP_MAX)
        *rc = err_set(err, -EMEDIUMTYPE, "no page table dump: too large");
    else if (!(bytes = calloc(1, (size_t)st.st_size + 1)))
        *rc = err_set(err, -ENOMEM, "out of memory");
    if (bytes) {
        *len = (size_t)st.st_size;
        *rc = read_all(fd, bytes, len, err);
    }
    if (fd >= 0)
        close(fd);
    if (bytes && *rc < 0) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

int ptdump_load(const char *path, struct ptdump **out, struct errmsg *err)
{
    struct errmsg why = {{0}};
    size_t len = 0;
    int rc = 0;
    void *bytes = slurp(path, &len, &rc, &why);
    if (bytes)
        rc = ptdump_parse(bytes, len, out, &why);
    return rc < 0 ? err_set(err, rc, "%.120s: %.190s", path, why.text) : 0;
}

static int read_table(void *ctx, gpa_t gpa, void *buf, uint32_t len)
{
    const struct ptdump *d = ctx;
    uint32_t low = 0, high = d->tables;
    const gpa_t page = gpa & ~(gpa_t)PAGE_MASK;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (d->table[mid].gpa == page) {
            memcpy(buf, d->table[mid].bytes + (gpa & PAGE_MASK), len);
            return 0;
        }
        if (d->table[mid].gpa < page)
            low = mid + 1;
        else
            high = mid;
    }
    return -EFAULT;
}

void ptdump_tables(const struct ptdump *d, struct tables *out)
{
    tables_init(out, &d->mode, read_table, (void *)d);
}

const struct pt_row *ptdump_row(const struct ptdump *d, la_t la)
{
    for (uint32_t i = 0; i < d->rows; i++) /* few enough */
        if (la - d->row[i].la < (uint64_t)d->row[i].pages << PAGE_SHIFT && la >= d->row[i].la)
            return &d->row[i];
    return NULL;
}
