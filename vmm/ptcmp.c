/* See ptcmp.h. */
#include <string.h>

#include "vmm/ptcmp.h"

static const char *const words[PTCMP_KINDS] = {"ad",     "only-a",   "only-b", "page",
                                               "rights", "bits",     "shape",  "table",
                                               "absent", "reserved", "mode",   "cr3"};

const char *ptcmp_word(unsigned kind)
{
    for (unsigned i = 0; i < PTCMP_KINDS; i++)
        if (kind == 1u << i)
            return words[i];
    return NULL;
}

static bool bad(const struct tables_walk *w)
{
    return w->end == TABLES_BAD_PDE || w->end == TABLES_BAD_PTE;
}

/* Has the walk met a table below the directory? */
static bool has_table(const struct tables_walk *w)
{
    return !w->large &&
           (w->end == TABLES_MAPPED || w->end == TABLES_NO_PTE || w->end == TABLES_BAD_PTE);
}

/* Bits that are neither an address, nor rights, nor accessed and dirty. */
static uint64_t other_bits(gpte_t e)
{
    return e.raw & PAGE_MASK & ~(GPTE_P | GPTE_W | GPTE_U | GPTE_A | GPTE_D);
}

static unsigned compare_entries(const struct tables_walk *a, const struct tables_walk *b,
                                enum gpaging fmt)
{
    const uint64_t ad = GPTE_A | GPTE_D;
    unsigned kinds = 0;
    /* D of an entry that points to a table is set where a directory maps itself. */
    if ((a->pde.raw ^ b->pde.raw) & ad || (tables_leaf(a).raw ^ tables_leaf(b).raw) & ad)
        kinds |= PTCMP_AD;
    if (other_bits(tables_leaf(a)) != other_bits(tables_leaf(b)) ||
        other_bits(a->pde) != other_bits(b->pde))
        kinds |= PTCMP_BITS;
    if (!a->large && gpte_table(a->pde, fmt) != gpte_table(b->pde, fmt))
        kinds |= PTCMP_TABLE;
    return kinds;
}

static unsigned compare_mapped(const struct tables_walk *a, const struct tables_walk *b,
                               enum gpaging fa, enum gpaging fb)
{
    unsigned kinds = 0;
    if (a->gpa != b->gpa)
        kinds |= PTCMP_PAGE;
    if (a->writable != b->writable || a->user != b->user || a->nx != b->nx)
        kinds |= PTCMP_RIGHTS;
    if (fa != fb || fa == GPAGING_OFF) /* entries of other formats: what they say is compared */
        return kinds;
    if (a->large != b->large)
        return kinds | PTCMP_SHAPE;
    return kinds | compare_entries(a, b, fa);
}

static unsigned compare_absent(const struct tables_walk *a, const struct tables_walk *b,
                               enum gpaging fa, enum gpaging fb)
{
    if (bad(a) != bad(b))
        return PTCMP_RESERVED;
    if (fa != fb)
        return 0;
    if (has_table(a) != has_table(b))
        return PTCMP_SHAPE;
    unsigned kinds = tables_leaf(a).raw != tables_leaf(b).raw ? (unsigned)PTCMP_ABSENT : 0u;
    if (has_table(a) && gpte_table(a->pde, fa) != gpte_table(b->pde, fa))
        kinds |= PTCMP_TABLE;
    return kinds;
}

static unsigned compare_page(const struct tables_walk *a, const struct tables_walk *b,
                             enum gpaging fa, enum gpaging fb)
{
    const bool ma = a->end == TABLES_MAPPED, mb = b->end == TABLES_MAPPED;
    if (ma && mb)
        return compare_mapped(a, b, fa, fb);
    if (ma != mb) /* with a reserved bit it would fault otherwise, too */
        return (ma ? PTCMP_ONLY_A : PTCMP_ONLY_B) | (bad(a) != bad(b) ? PTCMP_RESERVED : 0u);
    return compare_absent(a, b, fa, fb);
}

static unsigned compare_registers(const struct ptdump *a, const struct ptdump *b)
{
    const struct ptdump_info *x = &a->info, *y = &b->info;
    const uint32_t cr0 = CR0_PG | CR0_WP, cr4 = CR4_PSE | CR4_PAE | CR4_PGE;
    unsigned kinds = 0;
    if ((x->cr0 ^ y->cr0) & cr0 || (x->cr4 ^ y->cr4) & cr4 || (x->efer ^ y->efer) & EFER_NXE)
        kinds |= PTCMP_MODE;
    if ((a->mode.fmt != GPAGING_OFF || b->mode.fmt != GPAGING_OFF) && x->cr3 != y->cr3)
        kinds |= PTCMP_CR3;
    return kinds;
}

static void count(struct ptcmp *out, unsigned kinds, uint64_t pages)
{
    out->kinds |= kinds;
    for (unsigned i = 0; i < PTCMP_KINDS; i++)
        if (kinds & 1u << i)
            out->count[i] += pages;
}

void ptcmp_dumps(const struct ptdump *a, const struct ptdump *b, la_t first, la_t last,
                 void (*run)(void *ctx, const struct ptcmp_run *r), void *ctx, struct ptcmp *out)
{
    struct tables ta, tb;
    struct ptcmp_run open = {.pages = 0};

    *out = (struct ptcmp){0};
    count(out, compare_registers(a, b), 1);
    ptdump_tables(a, &ta);
    ptdump_tables(b, &tb);
    for (uint64_t la = first & ~(uint64_t)PAGE_MASK, next; la <= last; la = next) {
        struct tables_walk wa, wb;
        tables_walk(&ta, (la_t)la, &wa);
        tables_walk(&tb, (la_t)la, &wb);
        const bool ma = wa.end == TABLES_MAPPED, mb = wb.end == TABLES_MAPPED;
        next = ma || mb ? la + PAGE_SIZE : wa.next < wb.next ? wa.next : wb.next;
        if (next > (uint64_t)last + 1)
            next = ((uint64_t)last | PAGE_MASK) + 1;
        const uint32_t pages = (uint32_t)((next - la) >> PAGE_SHIFT);
        const unsigned kinds = compare_page(&wa, &wb, a->mode.fmt, b->mode.fmt);
        out->pages += ma || mb ? pages : 0;
        count(out, kinds, pages);
        if (open.pages &&
            (kinds != open.kinds || open.la + ((uint64_t)open.pages << PAGE_SHIFT) != la)) {
            if (run)
                run(ctx, &open);
            open.pages = 0;
        }
        if (kinds && !open.pages)
            open = (struct ptcmp_run){(la_t)la, 0, kinds, wa, wb};
        open.pages += kinds ? pages : 0;
    }
    if (open.pages && run)
        run(ctx, &open);
}
