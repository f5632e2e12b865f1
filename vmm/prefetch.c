/*
 * After a fault that was resolved: the neighbours of the page, as far as they would come to nothing
 * but an entry in the shadow. The guest has used them before (their accessed bits are set: nothing
 * is set here), their pages are there and were used lately, so that a mapping says nothing new to
 * reclaim. A processor may load such translations into its TLB as well (SDM vol. 3, 4.10.2.3).
 *
 * It pays where a table's shadow has gone as a whole: after the quota took it, or a flood was
 * detected (shadow_sync.c), or in the other view.
 */
#include "vmm/vm.h"
#include "vmm/vm_rom.h"

/* The last entries of the pages around la, from the guest's table. */
static bool read_entries(struct vm *vm, const struct walk *w, la_t la, gpte_t out[SHADOW_NEAR])
{
    const bool pae = shadow_mode(vm->shadow)->fmt == GPAGING_PAE;
    const uint32_t size = pae ? 8 : 4, mine = la >> PAGE_SHIFT & (SHADOW_NEAR - 1);
    uint64_t raw[SHADOW_NEAR];

    if (w->large)
        return true;
    if (gmem_read(vm->as, w->pte_at - mine * size, raw, SHADOW_NEAR * size) < 0)
        return false;
    for (unsigned i = 0; i < SHADOW_NEAR; i++)
        out[i].raw = pae ? raw[i] : ((const uint32_t *)(const void *)raw)[i];
    return true;
}

/* May the page be mapped, and with the right to write, by what the mm has for it now? */
static bool backed(const struct vm *vm, gpa_t gpa, frame_t *frame, bool *writable)
{
    if (!gmem_valid(vm->as, gpa, 1))
        return false;
    const pte_t pte = mm_pte(vm->as->mm, gfn_of(gpa));
    if (!pte_present(pte) || !pte_young(pte))
        return false;
    *frame = pte_frame(pte);
    *writable = pte_writable(pte) && pte_dirty(pte) && *frame != POOL_ZERO_FRAME &&
                !(vm->code_frame && vm->code_frame[*frame]) && !vm_rom_locked(vm, gpa);
    return true;
}

/* Is what backs the 512 pages from first on one aligned run of frames, with the same rights, all of
 * it used lately? */
static bool backed_as_one(const struct vm *vm, gpa_t first, uint32_t mine, frame_t *run,
                          bool *writable)
{
    frame_t frame;
    bool w;
    if (!backed(vm, first, run, writable) || *run % SHADOW_LARGE_PAGES != 0)
        return false;
    /* from the page that was asked for on: in a run that is being filled, the next one is missing
     */
    for (uint32_t i = 1; i < SHADOW_LARGE_PAGES; i++) {
        const uint32_t k = (mine + i) % SHADOW_LARGE_PAGES;
        if (!backed(vm, first + ((gpa_t)k << PAGE_SHIFT), &frame, &w) || frame != *run + k ||
            w != *writable)
            return false;
    }
    return true;
}

void prefetch_large(struct vm *vm, la_t la, bool user, const struct walk *w)
{
    const uint32_t mine = la >> PAGE_SHIFT & (SHADOW_LARGE_PAGES - 1);
    const la_t first = la & ~(la_t)(SHADOW_LARGE_PAGES * PAGE_SIZE - 1);
    struct walk each = *w;
    bool writable;
    frame_t run;

    if (!shadow_large_missing(vm->shadow, la, user))
        return;
    const gpa_t gpa = w->gpa & ~(gpa_t)(SHADOW_LARGE_PAGES * PAGE_SIZE - 1);
    if (!backed_as_one(vm, gpa, mine, &run, &writable))
        return;
    for (uint32_t i = 0; i < SHADOW_LARGE_PAGES; i++) {
        each.gpa = gpa + ((gpa_t)i << PAGE_SHIFT);
        if (i == mine)
            continue;
        if (shadow_map(vm->shadow, first + i * PAGE_SIZE, user, &each, run + i, writable) < 0)
            return;
        vm->stats.prefetched++;
    }
}

void prefetch_near(struct vm *vm, la_t la, bool user, const struct walk *w)
{
    const struct gmode *m = shadow_mode(vm->shadow);
    const la_t first = la & ~(la_t)(SHADOW_NEAR * PAGE_SIZE - 1);
    gpte_t pte[SHADOW_NEAR] = {{0}};
    unsigned missing;

    if (m->fmt == GPAGING_OFF || (missing = shadow_near(vm->shadow, la, user)) == 0 ||
        !read_entries(vm, w, la, pte))
        return;
    for (; missing; missing &= missing - 1) {
        const unsigned i = (unsigned)__builtin_ctz(missing);
        const la_t at = first + i * PAGE_SIZE;
        struct walk near;
        frame_t frame;
        bool writable;
        if (walk_sibling(m, w, at, user, pte[i], &near) &&
            backed(vm, near.gpa, &frame, &writable) &&
            shadow_map(vm->shadow, at, user, &near, frame, writable) == 0)
            vm->stats.prefetched++;
    }
}
