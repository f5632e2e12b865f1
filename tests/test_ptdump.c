/*
 * Page table dumps: what is written is read back; whatever is wrong with one is refused and named;
 * and two are compared with differences of each kind planted in one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "vmm/ptcmp.h"
#include "vmm/ptdump_format.h"

enum { DIR = 0x1000, TABLE = 0x2000, OTHER = 0x3000, PAGES = 8 };

/* A guest's memory of eight pages, for two-level tables. */
struct world {
    uint32_t mem[PAGES][1024];
    struct ptdump_info info;
};

static int read_world(void *ctx, gpa_t gpa, void *buf, uint32_t len)
{
    struct world *w = ctx;
    if (gpa >> PAGE_SHIFT >= PAGES)
        return -EFAULT;
    memcpy(buf, (uint8_t *)w->mem[gpa >> PAGE_SHIFT] + (gpa & PAGE_MASK), len);
    return 0;
}

static int read_fails(void *ctx, gpa_t gpa, void *buf, uint32_t len)
{
    return gpa == TABLE ? -EIO : read_world(ctx, gpa, buf, len);
}

/* 0x400000: a table with pages 10, 11 and 12; 0x800000: a large page at 0x1400000; the rest empty.
 */
static void fill(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->info = (struct ptdump_info){.cr0 = CR0_PE | CR0_PG | CR0_WP,
                                   .cr3 = DIR,
                                   .cr4 = CR4_PSE,
                                   .ram = 1 << 20,
                                   .time = 1000000000,
                                   .source = "a test"};
    w->mem[1][1] = TABLE | 0x27;
    w->mem[1][2] = 0x1400000 | 0xa7;
    for (uint32_t i = 0; i < 3; i++)
        w->mem[2][i] = (10 + i) << 12 | 0x67;
    w->mem[2][9] = 0xabcd0; /* not present, with bits of the guest's own */
}

static void *make(struct world *w, size_t *len, const struct pt_row *rows, uint32_t n)
{
    struct errmsg err;
    void *out;
    cr_assert_eq(ptdump_make(&w->info, read_world, w, rows, n, &out, len, &err), 0, "%s", err.text);
    return out;
}

static struct ptdump *parsed(void *bytes, size_t len)
{
    struct errmsg err;
    struct ptdump *d;
    cr_assert_eq(ptdump_parse(bytes, len, &d, &err), 0, "%s", err.text);
    return d;
}

static struct ptdump *dump_of(struct world *w)
{
    size_t len;
    void *bytes = make(w, &len, NULL, 0);
    return parsed(bytes, len);
}

static const struct pt_row sample[2] = {
    {.la = 0x400000,
     .pages = 3,
     .guest_paging = true,
     .guest_maps = true,
     .guest = 0xa067,
     .writable = true,
     .user = true,
     .gpa = 0xa000,
     .frame = 5,
     .frames_run = true,
     .gpas_run = true,
     .slots_run = true,
     .refs = 1,
     .maps = 1,
     .verdict = PT_IN_STEP},
    {.la = 0x403000,
     .pages = 1,
     .guest_paging = true,
     .frame = FRAME_NONE,
     .verdict = PT_OUT_OF_STEP,
     .since = {7, 8}},
};

Test(ptdump, round_trip)
{
    static struct world w;
    size_t len;
    fill(&w);
    void *bytes = make(&w, &len, sample, 2);
    struct ptdump *d = parsed(bytes, len);
    cr_assert_eq(d->tables, 2);
    cr_assert_eq(d->rows, 2);
    cr_assert(d->has_rows);
    cr_assert_eq(d->info.cr3, DIR);
    cr_assert_eq(d->info.ram, 1 << 20);
    cr_assert_str_eq(d->info.source, "a test");
    const struct pt_row *r = ptdump_row(d, 0x402fff);
    cr_assert_eq(r->frame, 5);
    cr_assert_eq(r->gpa, 0xa000);
    cr_assert(r->writable && r->user && !r->nx && !r->large);
    cr_assert_eq(ptdump_row(d, 0x403000)->since.trap, 7);
    cr_assert_null(ptdump_row(d, 0x404000));
    struct tables t;
    struct tables_walk walk;
    ptdump_tables(d, &t);
    tables_walk(&t, 0x401234, &walk);
    cr_assert(walk.end == TABLES_MAPPED && walk.gpa == 0xb234 && walk.writable && walk.user);
    tables_walk(&t, 0x812345, &walk);
    cr_assert(walk.end == TABLES_MAPPED && walk.large && walk.gpa == 0x1412345);
    tables_walk(&t, 0xc0000000, &walk);
    cr_assert(walk.end == TABLES_NO_PDE && walk.next == 0xc0400000);
    ptdump_free(d);
}

Test(ptdump, paging_off_pae_and_tables_where_nothing_is)
{
    static struct world w;
    fill(&w);
    w.info.cr0 = CR0_PE;
    struct ptdump *d = dump_of(&w);
    cr_assert_eq(d->tables, 0);
    cr_assert_eq(d->mode.fmt, GPAGING_OFF);
    ptdump_free(d);

    fill(&w);
    w.mem[1][3] = 0x70000027; /* a table beyond memory: its entries read as ones */
    d = dump_of(&w);
    cr_assert_eq(d->tables, 2);
    ptdump_free(d);

    fill(&w);
    w.info.cr4 = CR4_PAE;
    w.info.efer = EFER_NXE;
    w.info.cr3 = 0x5020; /* not at the beginning of its page */
    w.mem[5][8] = DIR | 1;
    memset(w.mem[1], 0, PAGE_SIZE);
    w.mem[1][2] = TABLE | 7; /* 0x200000 */
    w.mem[2][1] = 1u << 31;  /* the first entry, 0xa067, has NX */
    d = dump_of(&w);
    struct tables t;
    struct tables_walk walk;
    cr_assert_eq(d->tables, 2);
    ptdump_tables(d, &t);
    tables_walk(&t, 0x200000, &walk);
    cr_assert(walk.end == TABLES_MAPPED && walk.nx && walk.gpa == 0xa000);
    tables_walk(&t, 0x40000000, &walk);
    cr_assert(walk.end == TABLES_NO_PDPTE && walk.next == 0x80000000);
    ptdump_free(d);
}

Test(ptdump, a_table_that_cannot_be_read_is_named)
{
    static struct world w;
    struct errmsg err;
    void *out;
    size_t len;
    fill(&w);
    cr_assert_eq(ptdump_make(&w.info, read_fails, &w, NULL, 0, &out, &len, &err), -EIO);
    cr_assert(strstr(err.text, "000002000"), "%s", err.text);
}

/* Refuse bytes that were changed; sum: with a checksum that matches again. */
static void refused(void (*change)(uint8_t *bytes), bool sum, int rc, const char *words)
{
    static struct world w;
    struct errmsg err;
    struct ptdump *d;
    size_t len;
    fill(&w);
    uint8_t *bytes = make(&w, &len, sample, 2);
    change(bytes);
    struct ptdump_head *h = (struct ptdump_head *)bytes;
    if (sum)
        h->sum = XXH64(bytes + PTDUMP_SUM_FROM, len - PTDUMP_SUM_FROM, 0);
    const int got = ptdump_parse(bytes, len, &d, &err);
    cr_expect_eq(got, rc, "%s: %d", words, got);
    cr_expect(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
}

#define FIRST_TABLE(b) ((struct ptdump_table *)((b) + sizeof(struct ptdump_head)))
#define FIRST_ROW(b)   ((struct ptdump_row *)(FIRST_TABLE(b) + 2))
#define CHANGE(name, what)                                                                         \
    static void name(uint8_t *b)                                                                   \
    {                                                                                              \
        struct ptdump_head *h = (struct ptdump_head *)b;                                           \
        (void)h;                                                                                   \
        what;                                                                                      \
    }
CHANGE(magic, b[0] = 'X')
CHANGE(version, h->version = 2)
CHANGE(head, h->head_bytes = 100)
CHANGE(longer, h->bytes++)
CHANGE(shorter, h->bytes--)
CHANGE(flipped, b[500] ^= 1)
CHANGE(flags, h->flags |= 2)
CHANGE(tables, h->tables = 5000)
CHANGE(fewer, h->tables = 1)
CHANGE(many_rows, h->rows = UINT32_MAX)
CHANGE(rows_unsaid, h->flags = 0)
CHANGE(cr0, h->cr0 = CR0_PG)
CHANGE(lma, h->efer = EFER_LMA)
CHANGE(off, h->cr0 = CR0_PE)
CHANGE(name_end, memset(h->source, 'x', sizeof h->source))
CHANGE(name_text, h->source[0] = 27)
CHANGE(odd, FIRST_TABLE(b)->gpa = 0x1001)
CHANGE(high, FIRST_TABLE(b)[1].gpa = (uint64_t)1 << 40)
CHANGE(order, FIRST_TABLE(b)->gpa = 0x2000)
CHANGE(row_odd, FIRST_ROW(b)->la = 0x400001)
CHANGE(row_order, FIRST_ROW(b)->la = 0x500000)
CHANGE(row_empty, FIRST_ROW(b)->pages = 0)
CHANGE(row_far, FIRST_ROW(b)[1].pages = UINT32_MAX)
CHANGE(row_verdict, FIRST_ROW(b)->verdict = 200)
CHANGE(row_where, FIRST_ROW(b)->where = 99)
CHANGE(row_flags, FIRST_ROW(b)->flags = 0xffff)
CHANGE(row_reserved, FIRST_ROW(b)->reserved = 1)

Test(ptdump, each_field_is_checked)
{
    refused(magic, true, -EMEDIUMTYPE, "no page table dump");
    refused(version, true, -EPROTONOSUPPORT, "version 2");
    refused(head, true, -ERANGE, "header");
    refused(longer, true, -ENODATA, "cut off");
    refused(shorter, true, -ERANGE, "behind its end");
    refused(flipped, false, -EBADMSG, "checksum");
    refused(flags, true, -ERANGE, "flags");
    refused(tables, true, -ERANGE, "5000 tables");
    refused(fewer, true, -ERANGE, "1 tables and 2 rows");
    refused(many_rows, true, -ERANGE, "rows");
    refused(rows_unsaid, true, -ERANGE, "rows");
    refused(cr0, true, -ERANGE, "CR0");
    refused(lma, true, -ERANGE, "64-bit");
    refused(off, true, -ERANGE, "paging is off");
    refused(name_end, true, -ERANGE, "no text");
    refused(name_text, true, -ERANGE, "no text");
    refused(odd, true, -ERANGE, "table 0");
    refused(high, true, -ERANGE, "table 1");
    refused(order, true, -ERANGE, "table 1");
    refused(row_odd, true, -ERANGE, "row 0");
    refused(row_order, true, -ERANGE, "row 1");
    refused(row_empty, true, -ERANGE, "row 0");
    refused(row_far, true, -ERANGE, "row 1");
    refused(row_verdict, true, -ERANGE, "row 0");
    refused(row_where, true, -ERANGE, "row 0");
    refused(row_flags, true, -ERANGE, "row 0");
    refused(row_reserved, true, -ERANGE, "row 0");
}

Test(ptdump, every_length_is_refused_but_the_right_one)
{
    static struct world w;
    struct errmsg err;
    struct ptdump *d;
    size_t len;
    fill(&w);
    uint8_t *bytes = make(&w, &len, sample, 2);
    for (size_t n = 0; n < len; n += n < 200 ? 1 : 97) {
        uint8_t *half = malloc(n + 1);
        memcpy(half, bytes, n);
        cr_assert_lt(ptdump_parse(half, n, &d, &err), 0, "%zu bytes were taken", n);
    }
    /* And any single byte that is changed. */
    for (size_t at = 0; at < len; at += at < 200 ? 1 : 61) {
        uint8_t *bad = malloc(len);
        memcpy(bad, bytes, len);
        bad[at] ^= 0x10;
        cr_assert_lt(ptdump_parse(bad, len, &d, &err), 0, "a change of byte %zu was taken", at);
    }
    free(bytes);
}

Test(ptdump, files)
{
    static struct world w;
    struct errmsg err;
    struct ptdump *d;
    size_t len;
    char path[] = "/tmp/test_ptdump.XXXXXX";
    fill(&w);
    void *bytes = make(&w, &len, sample, 2);
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ptdump_save(path, bytes, len, &err), 0);
    cr_assert_eq(ptdump_load(path, &d, &err), 0, "%s", err.text);
    ptdump_free(d);
    cr_assert_eq(ptdump_load("/tmp", &d, &err), -EMEDIUMTYPE);
    cr_assert_eq(ptdump_load("/dev/zero", &d, &err), -EMEDIUMTYPE);
    cr_assert_eq(ptdump_load("/nonexistent/dump", &d, &err), -ENOENT);
    cr_assert_eq(ptdump_save("/nonexistent/dump", bytes, len, &err), -ENOENT);
    close(fd);
    unlink(path);
    free(bytes);
}

/* --- comparing ------------------------------------------------------------------------------- */

struct found {
    struct ptcmp r;
    struct ptcmp_run run[16];
    unsigned runs;
};

static void on_run(void *ctx, const struct ptcmp_run *r)
{
    struct found *f = ctx;
    if (f->runs < 16)
        f->run[f->runs++] = *r;
}

/* Compare the world with what change makes of it. */
static struct found planted(void (*change)(struct world *w))
{
    static struct world a, b;
    struct found f = {.runs = 0};
    fill(&a);
    fill(&b);
    change(&b);
    struct ptdump *da = dump_of(&a), *db = dump_of(&b);
    ptcmp_dumps(da, db, 0, UINT32_MAX, on_run, &f, &f.r);
    ptdump_free(da);
    ptdump_free(db);
    return f;
}

static void one_kind(void (*change)(struct world *w), unsigned kinds, la_t la, uint32_t pages)
{
    const struct found f = planted(change);
    const char *word = ptcmp_word(kinds & -kinds);
    cr_expect_eq(f.r.kinds, kinds, "%s: %x, not %x", word, f.r.kinds, kinds);
    cr_expect_eq(f.runs, pages != 0, "%s: %u runs", word, f.runs);
    if (pages && f.runs) {
        cr_expect_eq(f.run[0].la, la, "%s: at %x", word, f.run[0].la);
        cr_expect_eq(f.run[0].pages, pages, "%s: %u pages", word, f.run[0].pages);
    }
}

#define PLANT(name, what)                                                                          \
    static void name(struct world *w)                                                              \
    {                                                                                              \
        what;                                                                                      \
    }
PLANT(nothing, (void)w)
PLANT(accessed, w->mem[2][1] ^= 0x20)
PLANT(dirty, w->mem[2][1] ^= 0x40)
PLANT(table_accessed, w->mem[1][1] ^= 0x20)
PLANT(gone, w->mem[2][1] = 0)
PLANT(more, w->mem[2][5] = 0xf067)
PLANT(page, w->mem[2][1] ^= 0x10000)
PLANT(large_page, w->mem[1][2] ^= 0x400000)
PLANT(writable, w->mem[2][1] ^= 2)
PLANT(supervisor, w->mem[1][1] ^= 4)
PLANT(global, w->mem[2][1] ^= 0x100)
PLANT(avail, w->mem[2][1] ^= 0x800)
PLANT(moved, w->mem[1][1] = OTHER | 0x27; memcpy(w->mem[3], w->mem[2], PAGE_SIZE))
PLANT(absent, w->mem[2][9] ^= 0x1000)
PLANT(absent_dir, w->mem[1][7] = 0x10)
PLANT(empty_table, w->mem[1][8] = 0x4027)
PLANT(small, w->mem[1][2] = 0x6027;
      for (uint32_t i = 0; i < 1024; i++) w->mem[6][i] = (0x1400000 + (i << 12)) | 0x67)
PLANT(wp, w->info.cr0 ^= CR0_WP)
PLANT(cr3, w->info.cr3 = 0x7000; memcpy(w->mem[7], w->mem[1], PAGE_SIZE))
PLANT(reserved, w->mem[1][2] |= 0x2000)

Test(ptcmp, each_kind_is_told)
{
    one_kind(nothing, 0, 0, 0);
    one_kind(accessed, PTCMP_AD, 0x401000, 1);
    one_kind(dirty, PTCMP_AD, 0x401000, 1);
    one_kind(table_accessed, PTCMP_AD, 0x400000, 3);
    one_kind(gone, PTCMP_ONLY_A, 0x401000, 1);
    one_kind(more, PTCMP_ONLY_B, 0x405000, 1);
    one_kind(page, PTCMP_PAGE, 0x401000, 1);
    one_kind(large_page, PTCMP_PAGE, 0x800000, 1024);
    one_kind(writable, PTCMP_RIGHTS, 0x401000, 1);
    one_kind(supervisor, PTCMP_RIGHTS, 0x400000, 3);
    one_kind(global, PTCMP_BITS, 0x401000, 1);
    one_kind(avail, PTCMP_BITS, 0x401000, 1);
    one_kind(moved, PTCMP_TABLE, 0x400000, 1024);
    one_kind(absent, PTCMP_ABSENT, 0x409000, 1);
    one_kind(absent_dir, PTCMP_ABSENT, 0x1c00000, 1024);
    one_kind(empty_table, PTCMP_SHAPE, 0x2000000, 1024);
    one_kind(small, PTCMP_SHAPE, 0x800000, 1024);
    one_kind(wp, PTCMP_MODE, 0, 0);
    one_kind(cr3, PTCMP_CR3, 0, 0);
    one_kind(reserved, PTCMP_ONLY_A | PTCMP_RESERVED, 0x800000, 1024);
}

PLANT(several, w->mem[2][0] ^= 0x10000; w->mem[2][1] ^= 0x10020; w->mem[2][2] ^= 2)

Test(ptcmp, several_at_once_are_told_apart)
{
    const struct found f = planted(several);
    cr_assert_eq(f.runs, 3);
    cr_assert_eq(f.run[0].kinds, PTCMP_PAGE);
    cr_assert_eq(f.run[1].kinds, PTCMP_PAGE | PTCMP_AD);
    cr_assert_eq(f.run[2].kinds, PTCMP_RIGHTS);
    cr_assert_eq(f.r.pages, 3 + 1024);
}

Test(ptcmp, formats_are_compared_by_what_they_translate)
{
    static struct world a, b;
    struct found f = {.runs = 0};
    fill(&a);
    fill(&b);
    b.info.cr0 &= ~CR0_PG;
    struct ptdump *da = dump_of(&a), *db = dump_of(&b);
    ptcmp_dumps(da, db, 0x400000, 0x402fff, on_run, &f, &f.r);
    cr_assert_eq(f.r.kinds, PTCMP_PAGE | PTCMP_MODE);
    cr_assert_eq(f.runs, 1);
    cr_assert_eq(f.run[0].pages, 3);
    ptdump_free(da);
    ptdump_free(db);
}
