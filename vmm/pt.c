/* See pt.h. */
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
    [PT_LAST] = {"last-owner", "the last owner: its next write is in place"},
    [PT_CLEAN] = {"clean", "read-only until dirty"},
    [PT_WATCHED] = {"watched", "a guest page table: read-only until its next write"},
    [PT_SWAPPED] = {"swapped", "swapped out"},
    [PT_NO_RAM] = {"no-ram", "no RAM here: a device answers, or nobody"},
    [PT_UNMAPPED] = {"unmapped", "the guest maps nothing here"},
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
static enum pt_verdict judge(struct vm *vm, const struct pt_row *r, enum shadow_step step,
                             gfn_t shadowed)
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
    enum shadow_step step = shadow_step(vm->shadow, la, false, &out->since);
    if (step == SHADOW_IN_STEP)
        step = shadow_step(vm->shadow, la, true, &out->since);
    if (out->guest_maps && space_has(vm, out->gpa)) {
        mm_page_info(vm->as->mm, gfn_of(out->gpa), &i);
        out->backing = i.pte;
        out->frame = pte_present(i.pte) ? i.frame : FRAME_NONE;
        out->refs = i.refs;
        out->maps = i.maps;
        if (pte_is_swap(i.pte) && vm->opts.store)
            out->where = store_where(vm->opts.store, pte_swap_slot(i.pte));
    }
    out->verdict = judge(vm, out, step, gfn);
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

void pt_begin(struct pt_iter *it, struct vm *vm, la_t first, la_t last)
{
    *it = (struct pt_iter){
        .vm = vm, .next = first >> PAGE_SHIFT, .end = ((uint64_t)last >> PAGE_SHIFT) + 1};
}

/* The next page by itself; false: there is none. */
static bool next_page(struct pt_iter *it, struct pt_row *out)
{
    if (it->next >= it->end)
        return false;
    pt_page(it->vm, (la_t)(it->next++ << PAGE_SHIFT), out);
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
