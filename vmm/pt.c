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
    [PT_WATCHED] = {"watched", "a guest page table: read-only until its next write"},
    [PT_SWAPPED] = {"swapped", "swapped out"},
    [PT_NO_RAM] = {"no-ram", "no RAM here: reads give ones, writes go nowhere"},
    [PT_UNMAPPED] = {"unmapped", "the guest maps nothing here"},
    [PT_OUT_OF_STEP] = {"out-of-step",
                        "out of step: the guest changed its PTE and has not flushed"},
    [PT_STALE] = {"stale", "STALE: the shadow disagrees with the memory manager"},
};

const char *pt_verdict_text(enum pt_verdict v)
{
    return verdicts[v].text;
}

/* Why the shadow of one page is as it is, given the better (more permissive) of both views. */
static enum pt_verdict judge(struct vm *vm, const struct pt_row *r, gfn_t shadowed)
{
    const spte_t s = spte_present(r->shadow) ? r->shadow : r->shadow_user;
    const bool mapped = spte_present(s);
    const bool write = spte_writable(r->shadow) || spte_writable(r->shadow_user);

    if (mapped && r->guest_paging && (!r->guest_maps || shadowed != gfn_of(r->gpa)))
        return PT_OUT_OF_STEP;
    if (r->guest_paging && !r->guest_maps)
        return PT_UNMAPPED;
    if (!space_has(vm, r->gpa))
        return space_rules(vm) ? PT_UNMAPPED : PT_NO_RAM;
    if (pte_none(r->backing))
        return mapped ? PT_STALE : PT_UNTOUCHED;
    if (pte_is_swap(r->backing))
        return mapped ? PT_STALE : PT_SWAPPED;
    if (mapped && (spte_frame(s) != r->frame || (write && !pte_writable(r->backing))))
        return PT_STALE;
    if (r->frame == POOL_ZERO_FRAME)
        return mapped ? PT_ZERO : PT_NOT_FAULTED;
    if (!mapped)
        return PT_NOT_FAULTED;
    if (write == r->writable)
        return PT_IN_STEP;
    if (shadow_table_protected(vm->shadow, gfn_of(r->gpa)))
        return PT_WATCHED;
    return r->maps > 1 ? PT_COW : write ? PT_IN_STEP : PT_CLEAN;
}

static void look_at_guest(struct vm *vm, la_t la, struct pt_row *out)
{
    const struct walk_access look = {0};
    struct walk w;

    out->guest_paging = shadow_mode(vm->shadow)->fmt != GPAGING_OFF;
    walk_guest(vm->as, shadow_mode(vm->shadow), la, look, false, &w);
    out->guest_maps = w.status == WALK_OK;
    out->large = w.large;
    out->guest = w.large ? w.pde.raw : w.pte.raw;
    out->writable = w.writable;
    out->user = w.user;
    out->nx = w.nx;
    out->gpa = w.gpa & ~(gpa_t)PAGE_MASK;
}

void pt_page(struct vm *vm, la_t la, struct pt_row *out)
{
    struct mm_page_info i = {.frame = FRAME_NONE};
    gfn_t gfn = 0;

    la &= ~(la_t)PAGE_MASK;
    *out = (struct pt_row){.la = la,
                           .pages = 1,
                           .frames_run = true,
                           .gpas_run = true,
                           .slots_run = true,
                           .frame = FRAME_NONE};
    look_at_guest(vm, la, out);
    out->shadow_user = shadow_lookup(vm->shadow, la, true, &gfn);
    const spte_t kernel = shadow_lookup(vm->shadow, la, false, NULL);
    if (spte_present(kernel))
        (void)shadow_lookup(vm->shadow, la, false, &gfn);
    out->shadow = kernel;
    if (out->guest_maps && space_has(vm, out->gpa)) {
        mm_page_info(vm->as->mm, gfn_of(out->gpa), &i);
        out->backing = i.pte;
        out->frame = pte_present(i.pte) ? i.frame : FRAME_NONE;
        out->refs = i.refs;
        out->maps = i.maps;
        if (pte_is_swap(i.pte) && vm->opts.store)
            out->where = store_where(vm->opts.store, pte_swap_slot(i.pte));
    }
    out->verdict = judge(vm, out, gfn);
}

/* --- folding --------------------------------------------------------------------------------- */

static bool same_bits(spte_t a, spte_t b)
{
    return (a.raw & ~SPTE_ADDR) == (b.raw & ~SPTE_ADDR);
}

/* The backing entries' bits beside frame or slot. */
static bool same_backing(const struct pt_row *a, const struct pt_row *b)
{
    if (pte_is_swap(a->backing) != pte_is_swap(b->backing))
        return false;
    if (pte_is_swap(a->backing))
        return a->where == b->where && pte_swap_area(a->backing) == pte_swap_area(b->backing);
    return ((a->backing.raw ^ b->backing.raw) & PAGE_MASK) == 0;
}

static bool alike(const struct pt_row *a, const struct pt_row *b)
{
    return a->verdict == b->verdict && a->refs == b->refs && a->maps == b->maps &&
           a->guest_maps == b->guest_maps && a->large == b->large && a->writable == b->writable &&
           a->user == b->user && a->nx == b->nx &&
           ((a->guest ^ b->guest) & (PAGE_MASK | GPTE_NX)) == 0 && same_backing(a, b) &&
           same_bits(a->shadow, b->shadow) && same_bits(a->shadow_user, b->shadow_user) &&
           (a->frame == FRAME_NONE) == (b->frame == FRAME_NONE) &&
           (a->frame == POOL_ZERO_FRAME) == (b->frame == POOL_ZERO_FRAME);
}

static void fold(struct pt_row *a, const struct pt_row *b)
{
    if (b->frame != FRAME_NONE && b->frame != POOL_ZERO_FRAME && b->frame != a->frame + a->pages)
        a->frames_run = false;
    if (pte_is_swap(b->backing) &&
        pte_swap_slot(b->backing) != pte_swap_slot(a->backing) + a->pages)
        a->slots_run = false;
    if (b->gpa != a->gpa + gpa_of(a->pages))
        a->gpas_run = false;
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
    if (pte_none(r->backing))
        snprintf(buf, len, "none");
    else if (pte_is_swap(r->backing))
        snprintf(buf, len, "swap");
    else
        snprintf(buf, len, "P%c%c%c", pte_writable(r->backing) ? 'W' : '-',
                 pte_young(r->backing) ? 'A' : '-', pte_dirty(r->backing) ? 'D' : '-');
    return buf;
}

static const char *shadow_text(spte_t e, char *buf, size_t len)
{
    if (spte_is_mmio(e))
        snprintf(buf, len, "I/O");
    else if (!spte_present(e))
        snprintf(buf, len, "-");
    else
        snprintf(buf, len, "P%c%s", spte_writable(e) ? 'W' : '-', spte_nx(e) ? "N" : "");
    return buf;
}

static const char *guest_text(const struct pt_row *r, char *buf, size_t len)
{
    const gpte_t g = {r->guest};
    if (!r->guest_paging)
        snprintf(buf, len, "none");
    else if (!r->guest_maps)
        snprintf(buf, len, "-");
    else
        snprintf(buf, len, "%09llx P%c%c%c%c%s%s%s", (unsigned long long)r->gpa,
                 r->writable ? 'W' : '-', r->user ? 'U' : '-', (g.raw & GPTE_A) ? 'A' : '-',
                 (g.raw & GPTE_D) ? 'D' : '-', (g.raw & GPTE_G) ? "G" : "", r->nx ? "N" : "",
                 r->large ? " L" : "");
    return buf;
}

static const char *frame_text(const struct pt_row *r, char *buf, size_t len)
{
    const slot_t slot = pte_is_swap(r->backing) ? pte_swap_slot(r->backing) : 0;
    if (slot && r->pages == 1)
        snprintf(buf, len, "s%u", slot);
    else if (slot && r->slots_run)
        snprintf(buf, len, "s%u-%u", slot, slot + r->pages - 1);
    else if (slot)
        snprintf(buf, len, "s%u ...", slot);
    else if (r->frame == FRAME_NONE)
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

static const char *why_text(const struct pt_row *r, char *buf, size_t len)
{
    static const char *const where[] = {
        [STORE_SAME] = "as one value",     [STORE_ZPOOL] = "to the compressed pool",
        [STORE_DISK] = "to the swap area", [STORE_WRITING] = "being written to the swap area",
        [STORE_EMPTY] = "still in memory", [STORE_BAD] = "its slot has gone bad",
        [STORE_FREE] = "its slot is FREE",
    };
    if (r->verdict == PT_SWAPPED)
        snprintf(buf, len, "%s: %s", pt_verdict_text(r->verdict), where[r->where]);
    else
        snprintf(buf, len, "%s", pt_verdict_text(r->verdict));
    return buf;
}

static void print_row(void *ctx, const struct pt_row *r)
{
    FILE *out = ctx;
    char guest[48], backing[32], kernel[16], user[16], frame[32], counts[32] = "-";
    char why[96];
    const la_t last = r->la + ((la_t)(r->pages - 1) << PAGE_SHIFT) + PAGE_MASK;

    if (r->frame != FRAME_NONE && r->frame != POOL_ZERO_FRAME)
        snprintf(counts, sizeof counts, "%u/%u", r->refs, r->maps);
    fprintf(out, "%08" PRIx32 "-%08" PRIx32 " %8u  %-*s %-9s %-6s %-4s %-12s %-6s %s\n", r->la,
            last, r->pages, r->guest_paging ? 19 : 6, guest_text(r, guest, sizeof guest),
            backing_text(r, backing, sizeof backing), shadow_text(r->shadow, kernel, sizeof kernel),
            shadow_text(r->shadow_user, user, sizeof user), frame_text(r, frame, sizeof frame),
            counts, why_text(r, why, sizeof why));
}

void pt_print(struct vm *vm, la_t first, la_t last, FILE *out)
{
    const bool paging = shadow_mode(vm->shadow)->fmt != GPAGING_OFF;

    fprintf(out, "%-17s %8s  %-*s %-9s %-6s %-4s %-12s %-6s %s\n", "linear", "pages",
            paging ? 19 : 6, "guest", "backing", "shadow", "user", "frame", "refs/m", "why");
    pt_walk(vm, first, last, print_row, out);
    if (paging)
        fprintf(out,
                "guest: guest-physical address and rights of its own tables (L: a large page). ");
    else
        fprintf(out, "guest: its own PTE (none: paging is off, linear = guest-physical). ");
    fprintf(
        out,
        "backing: the memory\nmanager's entry. shadow, user: what the CPU walks for supervisor and "
        "for user accesses. Bits: P present,\nW writable, U user, A accessed, D dirty, G global, "
        "N no-execute. refs/m: references/mappings. A frame s1 is slot 1 of swap.\n");
}

/* --- JSON ------------------------------------------------------------------------------------ */

struct json_out {
    FILE *out;
    const char *sep;
};

static void json_row(void *ctx, const struct pt_row *r)
{
    struct json_out *j = ctx;
    fprintf(j->out, "%s\n  {\"linear\": %" PRIu32 ", \"pages\": %" PRIu32 ", ", j->sep, r->la,
            r->pages);
    if (r->guest_paging)
        fprintf(j->out,
                "\"guest_pte\": %" PRIu64 ", \"guest_maps\": %s, \"large\": %s, \"gpa\": %" PRIu64
                ", ",
                r->guest, r->guest_maps ? "true" : "false", r->large ? "true" : "false", r->gpa);
    else
        fprintf(j->out, "\"guest_pte\": null, ");
    fprintf(j->out,
            "\"backing_pte\": %" PRIu32 ", \"shadow_pte\": %" PRIu64
            ", \"shadow_pte_user\": %" PRIu64 ", ",
            r->backing.raw, spte_present(r->shadow) ? r->shadow.raw : 0,
            spte_present(r->shadow_user) ? r->shadow_user.raw : 0);
    if (r->frame == FRAME_NONE)
        fprintf(j->out, "\"frame\": null, ");
    else
        fprintf(j->out, "\"frame\": %" PRIu32 ", ", r->frame);
    if (pte_is_swap(r->backing))
        fprintf(j->out, "\"slot\": %" PRIu32 ", \"slots_consecutive\": %s, \"where\": \"%s\", ",
                pte_swap_slot(r->backing), r->slots_run ? "true" : "false", vm_swap_word(r->where));
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
