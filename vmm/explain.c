/* See explain.h: finding out. Saying it is explain_print.c's. */
#include "vmm/explain.h"
#include "mm/forecast.h"
#include "vmm/peek.h"

/* The guest's own fault of an access, by SDM vol. 3, 4.6 and 4.7; false: it has none. */
static bool guest_faults(const struct gmode *m, const struct tables_walk *w, bool write, bool user,
                         uint32_t *error)
{
    const bool bad = w->end == TABLES_BAD_PDE || w->end == TABLES_BAD_PTE;
    *error = (write ? PF_W : 0u) | (user ? PF_U : 0u);
    if (bad)
        *error |= PF_P | PF_RSVD;
    if (w->end != TABLES_MAPPED)
        return true;
    if ((user && !w->user) || (write && !w->writable && (user || m->wp))) {
        *error |= PF_P;
        return true;
    }
    return false;
}

/* As violation() of fault.c. */
static void managed_violation(struct vm *vm, la_t la, struct explain_use *u)
{
    const bool present = la >= SPACE_WINDOW || (space_guest_pte(vm, la >> PAGE_SHIFT) & PTE_P);
    u->what = EXPLAIN_GUEST_FAULT;
    u->error = (present ? PF_P : 0u) | (u->write ? PF_W : 0u) | (u->user ? PF_U : 0u);
}

/* The guest lets the access through, to gpa; the shadow does not. As handle() of fault.c. */
static void predict_backing(struct vm *vm, la_t la, gpa_t gpa, struct explain_use *u)
{
    if (space_rules(vm) && la >= SPACE_WINDOW) {
        if (u->write)
            managed_violation(vm, la, u);
        else
            u->what = EXPLAIN_MMIO;
        return;
    }
    if (!space_has(vm, gpa) && (!space_rules(vm) || mmio_find(&vm->board.mmio, gpa))) {
        u->what = EXPLAIN_MMIO;
        return;
    }
    if (u->write && vm_rom_locked(vm, gpa)) {
        u->what = EXPLAIN_MMIO;
        return;
    }
    const struct mm_forecast f =
        mm_forecast(vm->as->mm, gfn_of(gpa), u->write ? MM_ACCESS_WRITE : MM_ACCESS_READ);
    if ((f.result == MM_BADADDR || f.result == MM_PROT) && space_rules(vm)) {
        managed_violation(vm, la, u);
        return;
    }
    u->what = f.result > MM_SPURIOUS ? EXPLAIN_ENDS : EXPLAIN_FAULT;
    u->result = f.result;
    u->path = f.path;
    u->exact = f.exact;
}

static void predict(struct vm *vm, la_t la, const struct tables_walk *w, struct explain_use *u)
{
    const spte_t s = shadow_lookup(vm->shadow, la, u->user, NULL);
    u->exact = true;
    if (spte_present(s) && (!u->write || spte_writable(s)))
        u->what = EXPLAIN_NO_TRAP; /* also where the guest's tables say otherwise by now: a TLB */
    else if (guest_faults(shadow_mode(vm->shadow), w, u->write, u->user, &u->error))
        u->what = EXPLAIN_GUEST_FAULT;
    else
        predict_backing(vm, la, w->gpa, u);
}

void explain_predict(struct vm *vm, la_t la, bool write, bool user, struct explain_use *out)
{
    static _Thread_local struct tables t;
    struct tables_walk w;
    *out = (struct explain_use){.write = write, .user = user};
    peek_tables(vm, &t);
    tables_walk(&t, la, &w);
    predict(vm, la, &w, out);
}

static void look_at_last_fault(struct vm *vm, struct explanation *x)
{
    const gfn_t gfn = gfn_of(x->walk.gpa);
    if (x->walk.end != TABLES_MAPPED || !vm->marks || vm->spaces.managed ||
        x->walk.gpa >= vm->opts.ram)
        return;
    const struct fault_mark m = vm->marks[gfn];
    if (!m.when)
        return;
    const uint64_t now = (stats_now() - vm->stats.start_tsc) >> FAULT_MARK_SHIFT;
    x->faulted = true;
    x->faulted_ago_s = (double)(uint32_t)((uint32_t)now + 1 - m.when) *
                       (double)(1u << FAULT_MARK_SHIFT) * stats_ns_per_cycle(&vm->stats) / 1e9;
    x->faulted_result = m.result;
    x->faulted_path = m.path;
}

void explain_page(struct vm *vm, la_t la, struct explanation *out)
{
    static _Thread_local struct tables t;
    struct mm_page_info i;
    *out = (struct explanation){
        .la = la, .live = true, .mode = *shadow_mode(vm->shadow), .cr3 = vm->cpu.cr3};
    pt_page(vm, la, &out->row);
    peek_tables(vm, &t);
    tables_walk(&t, la, &out->walk);
    if (out->walk.end == TABLES_MAPPED && space_has(vm, out->walk.gpa)) {
        mm_page_info(vm->as->mm, gfn_of(out->walk.gpa), &i);
        out->in_region = i.in_region;
        out->prot = i.prot;
    }
    look_at_last_fault(vm, out);
    for (int k = 0; k < 4; k++) {
        out->use[k] = (struct explain_use){.write = k & 1, .user = k >> 1};
        predict(vm, la, &out->walk, &out->use[k]);
    }
}

void explain_dumped(const struct ptdump *d, la_t la, struct explanation *out)
{
    static _Thread_local struct tables t;
    *out = (struct explanation){.la = la, .mode = d->mode, .cr3 = d->info.cr3};
    ptdump_tables(d, &t);
    tables_walk(&t, la, &out->walk);
    const struct pt_row *r = ptdump_row(d, la);
    if (r) {
        out->row = *r;
        pt_row_clip(&out->row, la, la);
    } else {
        out->row =
            (struct pt_row){.la = la & ~(la_t)PAGE_MASK,
                            .pages = 1,
                            .guest_paging = d->mode.fmt != GPAGING_OFF,
                            .frame = FRAME_NONE,
                            .verdict = out->walk.end == TABLES_MAPPED ? PT_UNKNOWN : PT_UNMAPPED};
    }
    for (int k = 0; k < 4; k++) {
        struct explain_use *u = &out->use[k];
        *u = (struct explain_use){.write = k & 1, .user = k >> 1, .exact = true};
        const spte_t s = u->user ? out->row.shadow_user : out->row.shadow;
        if (spte_present(s) && (!u->write || spte_writable(s)))
            u->what = EXPLAIN_NO_TRAP;
        else if (guest_faults(&d->mode, &out->walk, u->write, u->user, &u->error))
            u->what = EXPLAIN_GUEST_FAULT;
        else
            u->what = EXPLAIN_TRAP;
    }
}
