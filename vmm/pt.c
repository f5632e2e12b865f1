/* See pt.h. */
#include "vmm/pt.h"
#include "vmm/peek.h"

static const struct {
    const char *word; /* for programs */
    const char *text; /* for people */
} verdicts[PT_VERDICTS] = {
    [PT_UNTOUCHED] = {"untouched", "never touched: nothing backs it yet"},
    [PT_ZERO] = {"zero", "zero page: read-only until the first write"},
    [PT_IN_STEP] = {"in-step", "in step: the CPU may do what the guest may"},
    [PT_NOT_FAULTED] = {"not-faulted", "backed, not yet faulted by the CPU"},
    [PT_COW] = {"cow", "copy-on-write: shared, a write copies"},
    [PT_LAST] = {"last-owner", "the last owner: its next write is in place"},
    [PT_CLEAN] = {"clean", "read-only until dirty"},
    [PT_WATCHED] = {"watched", "a guest page table: read-only until its next write"},
    [PT_SWAPPED] = {"swapped", "swapped out"},
    [PT_NO_RAM] = {"no-ram", "no RAM here: a device answers, or nobody"},
    [PT_UNMAPPED] = {"unmapped", "the guest maps nothing here"},
    [PT_SUPERVISOR] = {"supervisor", "for supervisor accesses only"},
    [PT_UNKNOWN] = {"unknown", "not known: the dump has the guest's tables alone"},
    [PT_OUT_OF_STEP] = {"out-of-step", "the guest changed its PTE and has not flushed"},
    [PT_STALE] = {"stale", "STALE: the shadow disagrees with what it was made from"},
};

const char *pt_verdict_word(enum pt_verdict v)
{
    return verdicts[v].word;
}

const char *pt_verdict_text(enum pt_verdict v)
{
    return verdicts[v].text;
}

/* Why the shadow of one page is as it is. step: the worse of both views; shadowed: the page that
 * they map. */
static enum pt_verdict judge(struct vm *vm, const struct pt_row *r, enum pt_view view,
                             enum shadow_step step, gfn_t shadowed)
{
    const spte_t s = spte_present(r->shadow) ? r->shadow : r->shadow_user;
    const bool mapped = spte_present(s);
    const bool write = spte_writable(r->shadow) || spte_writable(r->shadow_user);

    if (step == SHADOW_OUT_OF_STEP)
        return PT_OUT_OF_STEP;
    if (step == SHADOW_BROKEN || (mapped && (!r->guest_maps || shadowed != gfn_of(r->gpa))))
        return PT_STALE;
    if (r->guest_paging && !r->guest_maps)
        return PT_UNMAPPED;
    if (view == PT_VIEW_USER && !r->user)
        return PT_SUPERVISOR;
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
    if (r->maps > 1)
        return PT_COW;
    if (write)
        return PT_IN_STEP;
    return pte_dirty(r->backing) && !pte_writable(r->backing) ? PT_LAST : PT_CLEAN;
}

bool pt_differs(enum pt_verdict v)
{
    switch (v) {
    case PT_UNTOUCHED:
    case PT_IN_STEP:
    case PT_NO_RAM:
    case PT_UNMAPPED:
    case PT_SUPERVISOR:
    case PT_UNKNOWN: return false;
    default: return true;
    }
}

static void look_at_guest(struct vm *vm, const struct tables_walk *w, struct pt_row *out)
{
    out->guest_paging = shadow_mode(vm->shadow)->fmt != GPAGING_OFF;
    out->guest_maps = w->end == TABLES_MAPPED;
    out->large = w->large;
    out->guest = w->large ? w->pde.raw : w->pte.raw;
    out->writable = out->guest_maps && w->writable;
    out->user = out->guest_maps && w->user;
    out->nx = out->guest_maps && w->nx;
    out->gpa = w->gpa & ~(gpa_t)PAGE_MASK;
}

/* What the CPU has for la; with PS, as what a 2 MiB entry says of the page. */
static spte_t shadow_at(const struct vm *vm, la_t la, bool user, gfn_t *gfn)
{
    spte_t s = shadow_lookup(vm->shadow, la, user, gfn);
    if (shadow_is_large(vm->shadow, la, user))
        s.raw |= SPTE_PS;
    return s;
}

/* The shadow's side of the page, in the views that are looked at. The worse step of them. */
static enum shadow_step look_at_shadow(struct vm *vm, enum pt_view view, struct pt_row *out,
                                       gfn_t *gfn)
{
    enum shadow_step step = SHADOW_IN_STEP;
    if (view != PT_VIEW_KERNEL) {
        out->shadow_user = shadow_at(vm, out->la, true, gfn);
        step = shadow_step(vm->shadow, out->la, true, &out->since);
    }
    if (view != PT_VIEW_USER) {
        gfn_t kernel = 0;
        out->shadow = shadow_at(vm, out->la, false, &kernel);
        if (spte_present(out->shadow))
            *gfn = kernel;
        if (step == SHADOW_IN_STEP)
            step = shadow_step(vm->shadow, out->la, false, &out->since);
    }
    return step;
}

static void look_at_backing(struct vm *vm, struct pt_row *out)
{
    struct mm_page_info i;
    mm_page_info(vm->as->mm, gfn_of(out->gpa), &i);
    out->backing = i.pte;
    out->frame = pte_present(i.pte) ? i.frame : FRAME_NONE;
    out->refs = i.refs;
    out->maps = i.maps;
    if (pte_is_swap(i.pte) && vm->opts.store)
        out->where = store_where(vm->opts.store, pte_swap_slot(i.pte));
}

static void describe(struct vm *vm, enum pt_view view, la_t la, const struct tables_walk *w,
                     struct pt_row *out)
{
    gfn_t gfn = 0;
    *out = (struct pt_row){.la = la,
                           .pages = 1,
                           .frames_run = true,
                           .gpas_run = true,
                           .slots_run = true,
                           .frame = FRAME_NONE};
    look_at_guest(vm, w, out);
    const enum shadow_step step = look_at_shadow(vm, view, out, &gfn);
    if (out->guest_maps && space_has(vm, out->gpa))
        look_at_backing(vm, out);
    out->verdict = judge(vm, out, view, step, gfn);
}

void pt_page(struct vm *vm, la_t la, struct pt_row *out)
{
    struct pt_iter it;
    la &= ~(la_t)PAGE_MASK;
    pt_begin(&it, vm, la, la);
    (void)pt_next(&it, out);
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
           a->user == b->user && a->nx == b->nx && a->since.trap == b->since.trap &&
           ((a->guest ^ b->guest) & (PAGE_MASK | GPTE_NX)) == 0 && same_backing(a, b) &&
           same_bits(a->shadow, b->shadow) && same_bits(a->shadow_user, b->shadow_user) &&
           (a->frame == FRAME_NONE) == (b->frame == FRAME_NONE) &&
           (a->frame == POOL_ZERO_FRAME) == (b->frame == POOL_ZERO_FRAME);
}

/* b stands behind a and is like it. */
static void fold(struct pt_row *a, const struct pt_row *b)
{
    if (b->frame != FRAME_NONE && b->frame != POOL_ZERO_FRAME && b->frame != a->frame + a->pages)
        a->frames_run = false;
    if (pte_is_swap(b->backing) &&
        pte_swap_slot(b->backing) != pte_swap_slot(a->backing) + a->pages)
        a->slots_run = false;
    if (b->gpa != a->gpa + gpa_of(a->pages))
        a->gpas_run = false;
    a->pages += b->pages;
}

bool pt_row_clip(struct pt_row *r, la_t first, la_t last)
{
    const uint64_t from = first & ~(la_t)PAGE_MASK, to = last | PAGE_MASK;
    const uint64_t end = (uint64_t)r->la + ((uint64_t)r->pages << PAGE_SHIFT) - 1;
    if (end < from || r->la > to)
        return false;
    const uint32_t cut = r->la < from ? (uint32_t)((from - r->la) >> PAGE_SHIFT) : 0;
    r->la += cut << PAGE_SHIFT;
    r->pages = (uint32_t)(((end < to ? end : to) + 1 - r->la) >> PAGE_SHIFT);
    if (cut && r->guest_maps)
        r->gpa = r->gpas_run ? r->gpa + gpa_of(cut) : 0;
    if (cut && r->frame != FRAME_NONE && r->frame != POOL_ZERO_FRAME) {
        const frame_t f = r->frames_run ? r->frame + cut : FRAME_NONE;
        const uint32_t bits = r->backing.raw & PAGE_MASK;
        r->frame = f;
        r->backing.raw = (f != FRAME_NONE ? f << PAGE_SHIFT : 0) | bits;
    }
    if (cut && pte_is_swap(r->backing))
        r->backing = pte_make_swap(pte_swap_area(r->backing),
                                   r->slots_run ? pte_swap_slot(r->backing) + cut : 0);
    return true;
}

void pt_begin(struct pt_iter *it, struct vm *vm, la_t first, la_t last)
{
    it->vm = vm;
    it->view = PT_VIEW_BOTH;
    it->next = first >> PAGE_SHIFT;
    it->end = ((uint64_t)last >> PAGE_SHIFT) + 1;
    it->pending = false;
    peek_tables(vm, &it->tables);
}

/* How many pages from la on translate nothing for the same reason as la, with nothing in the
 * shadow: they need not be looked at one by one. 0: look. */
static uint64_t dull_pages(const struct pt_iter *it, la_t la, const struct tables_walk *w)
{
    const struct vm *vm = it->vm;
    uint64_t until = w->next;
    if (w->end == TABLES_MAPPED) {
        /* Paging off: nothing but empty bus from the end of RAM on. */
        if (it->tables.mode.fmt != GPAGING_OFF || vm->spaces.managed || la < vm->as->bytes)
            return 0;
        until = (uint64_t)UINT32_MAX + 1;
    }
    for (int user = 0; user < 2; user++) {
        const uint64_t empty = shadow_empty_until(vm->shadow, la, user);
        until = empty < until ? empty : until;
    }
    until >>= PAGE_SHIFT;
    return (until < it->end ? until : it->end) - (la >> PAGE_SHIFT);
}

/* The next page, or pages that are alike; false: there is none. */
static bool next_page(struct pt_iter *it, struct pt_row *out)
{
    struct tables_walk w;
    if (it->next >= it->end)
        return false;
    const la_t la = (la_t)(it->next << PAGE_SHIFT);
    tables_walk(&it->tables, la, &w);
    describe(it->vm, it->view, la, &w, out);
    const uint64_t dull = dull_pages(it, la, &w);
    if (dull > 1)
        out->pages = (uint32_t)dull;
    it->next += out->pages;
    return true;
}

bool pt_next(struct pt_iter *it, struct pt_row *out)
{
    if (it->pending)
        *out = it->ahead;
    else if (!next_page(it, out))
        return false;
    while ((it->pending = next_page(it, &it->ahead)) && alike(out, &it->ahead))
        fold(out, &it->ahead);
    return true;
}
