/* See pt.h. */
#include <inttypes.h>
#include <string.h>

#include "vmm/pt.h"

static const struct {
    const char *word; /* for programs */
    const char *text; /* for people */
} verdicts[PT_VERDICTS] = {
    [PT_UNTOUCHED] = {"untouched", "never touched: nothing backs it yet"},
    [PT_ZERO] = {"zero", "zero page: read-only until the first write"},
    [PT_IN_STEP] = {"in-step", "in step: the CPU may do what the guest may"},
    [PT_NOT_FAULTED] = {"not-faulted", "backed, not yet faulted by the CPU"},
    [PT_COW] = {"cow", "copy-on-write: shared, a write copies"},
    [PT_CLEAN] = {"clean", "read-only until dirty"},
    [PT_SWAPPED] = {"swapped", "swapped out"},
    [PT_NO_RAM] = {"no-ram", "no RAM here: reads give ones, writes go nowhere"},
    [PT_STALE] = {"stale", "STALE: the shadow disagrees with the memory manager"},
};

const char *pt_verdict_text(enum pt_verdict v)
{
    return verdicts[v].text;
}

static enum pt_verdict judge(const struct pt_row *r)
{
    const bool mapped = spte_present(r->shadow);

    if (pte_none(r->backing))
        return mapped ? PT_STALE : PT_UNTOUCHED;
    if (pte_is_swap(r->backing))
        return mapped ? PT_STALE : PT_SWAPPED;
    if (mapped && (spte_frame(r->shadow) != r->frame ||
                   (spte_writable(r->shadow) && !pte_writable(r->backing))))
        return PT_STALE;
    if (r->frame == POOL_ZERO_FRAME)
        return mapped ? PT_ZERO : PT_NOT_FAULTED;
    if (!mapped)
        return PT_NOT_FAULTED;
    if (spte_writable(r->shadow))
        return PT_IN_STEP;
    return r->maps > 1 ? PT_COW : PT_CLEAN;
}

void pt_page(struct vm *vm, la_t la, struct pt_row *out)
{
    struct mm_page_info i = {.frame = FRAME_NONE};

    *out =
        (struct pt_row){.la = la & ~PAGE_MASK, .pages = 1, .frames_run = true, .frame = FRAME_NONE};
    out->shadow = shadow_lookup(vm->shadow, la);
    if (!gmem_valid(&vm->gmem, la, 1)) {
        out->verdict = PT_NO_RAM;
        return;
    }
    mm_page_info(vm->mm, gfn_of(la), &i);
    out->backing = i.pte;
    out->frame = pte_present(i.pte) ? i.frame : FRAME_NONE;
    out->refs = i.refs;
    out->maps = i.maps;
    out->verdict = judge(out);
}

/* --- folding --------------------------------------------------------------------------------- */

static bool alike(const struct pt_row *a, const struct pt_row *b)
{
    const uint64_t spte_bits = ~SPTE_ADDR;
    return a->verdict == b->verdict && a->refs == b->refs && a->maps == b->maps &&
           (a->backing.raw & PAGE_MASK) == (b->backing.raw & PAGE_MASK) &&
           (a->shadow.raw & spte_bits) == (b->shadow.raw & spte_bits) &&
           (a->frame == FRAME_NONE) == (b->frame == FRAME_NONE) &&
           (a->frame == POOL_ZERO_FRAME) == (b->frame == POOL_ZERO_FRAME);
}

static void fold(struct pt_row *a, const struct pt_row *b)
{
    if (b->frame != FRAME_NONE && b->frame != POOL_ZERO_FRAME && b->frame != a->frame + a->pages)
        a->frames_run = false;
    a->pages++;
}

void pt_walk(struct vm *vm, la_t first, la_t last, void (*emit)(void *ctx, const struct pt_row *),
             void *ctx)
{
    struct pt_row row, next;
    const uint64_t end = ((uint64_t)last >> PAGE_SHIFT) + 1;

    pt_page(vm, first, &row);
    for (uint64_t page = ((uint64_t)first >> PAGE_SHIFT) + 1; page < end; page++) {
        pt_page(vm, (la_t)(page << PAGE_SHIFT), &next);
        if (alike(&row, &next)) {
            fold(&row, &next);
            continue;
        }
        emit(ctx, &row);
        row = next;
    }
    emit(ctx, &row);
}

/* --- text ------------------------------------------------------------------------------------ */

static const char *backing_text(const struct pt_row *r, char *buf, size_t len)
{
    if (r->verdict == PT_NO_RAM || pte_none(r->backing))
        snprintf(buf, len, "none");
    else if (pte_is_swap(r->backing))
        snprintf(buf, len, "swap %u", pte_swap_slot(r->backing));
    else
        snprintf(buf, len, "P%c%c%c", pte_writable(r->backing) ? 'W' : '-',
                 pte_young(r->backing) ? 'A' : '-', pte_dirty(r->backing) ? 'D' : '-');
    return buf;
}

static const char *shadow_text(const struct pt_row *r, char *buf, size_t len)
{
    if (spte_is_mmio(r->shadow))
        snprintf(buf, len, "I/O hole");
    else if (!spte_present(r->shadow))
        snprintf(buf, len, "none");
    else
        snprintf(buf, len, "P%c%c%s", spte_writable(r->shadow) ? 'W' : '-',
                 (r->shadow.raw & SPTE_U) ? 'U' : '-', spte_nx(r->shadow) ? " NX" : "");
    return buf;
}

static const char *frame_text(const struct pt_row *r, char *buf, size_t len)
{
    if (r->frame == FRAME_NONE)
        snprintf(buf, len, "-");
    else if (r->frame == POOL_ZERO_FRAME)
        snprintf(buf, len, "zero");
    else if (r->pages == 1)
        snprintf(buf, len, "%05x", r->frame);
    else if (r->frames_run)
        snprintf(buf, len, "%05x-%05x", r->frame, r->frame + r->pages - 1);
    else
        snprintf(buf, len, "%05x ...", r->frame);
    return buf;
}

static void print_row(void *ctx, const struct pt_row *r)
{
    FILE *out = ctx;
    char backing[32], shadow[32], frame[32], counts[32] = "-";
    const la_t last = r->la + ((la_t)(r->pages - 1) << PAGE_SHIFT) + PAGE_MASK;

    if (r->frame != FRAME_NONE && r->frame != POOL_ZERO_FRAME)
        snprintf(counts, sizeof counts, "%u/%u", r->refs, r->maps);
    fprintf(out, "%08" PRIx32 "-%08" PRIx32 " %8u  %-6s %-9s %-9s %-12s %-6s %s\n", r->la, last,
            r->pages, "none", backing_text(r, backing, sizeof backing),
            shadow_text(r, shadow, sizeof shadow), frame_text(r, frame, sizeof frame), counts,
            pt_verdict_text(r->verdict));
}

void pt_print(struct vm *vm, la_t first, la_t last, FILE *out)
{
    fprintf(out, "%-17s %8s  %-6s %-9s %-9s %-12s %-6s %s\n", "linear", "pages", "guest", "backing",
            "shadow", "frame", "refs/m", "why");
    pt_walk(vm, first, last, print_row, out);
    fprintf(
        out,
        "guest: its own PTE (none: paging is off, linear = guest-physical). backing: the memory "
        "manager's entry.\nshadow: what the CPU walks. Bits: P present, W writable, A accessed, "
        "D dirty, U user. refs/m: references/mappings.\n");
}

/* --- JSON ------------------------------------------------------------------------------------ */

struct json_out {
    FILE *out;
    const char *sep;
};

static void json_row(void *ctx, const struct pt_row *r)
{
    struct json_out *j = ctx;
    fprintf(j->out, "%s\n  {\"linear\": %" PRIu32 ", \"pages\": %" PRIu32 ", \"guest_pte\": null, ",
            j->sep, r->la, r->pages);
    fprintf(j->out, "\"backing_pte\": %" PRIu32 ", \"shadow_pte\": %" PRIu64 ", ", r->backing.raw,
            spte_present(r->shadow) ? r->shadow.raw : 0);
    if (r->frame == FRAME_NONE)
        fprintf(j->out, "\"frame\": null, ");
    else
        fprintf(j->out, "\"frame\": %" PRIu32 ", ", r->frame);
    fprintf(j->out,
            "\"frames_consecutive\": %s, \"refs\": %" PRIu32 ", \"maps\": %" PRIu32
            ", \"verdict\": \"%s\"}",
            r->frames_run ? "true" : "false", r->refs, r->maps, verdicts[r->verdict].word);
    j->sep = ",";
}

void pt_print_json(struct vm *vm, la_t first, la_t last, FILE *out)
{
    struct json_out j = {out, ""};
    fprintf(out, "{\"version\": 1, \"page_size\": 4096, \"rows\": [");
    pt_walk(vm, first, last, json_row, &j);
    fprintf(out, "\n]}\n");
}
