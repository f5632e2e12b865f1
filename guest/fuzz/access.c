/* See access.h. */
#include "guest/fuzz/access.h"

static const char *const kind_name[] = {"read", "write", "fetch"};

/* Does a root keep the guest's own memory with these bytes? */
bool fuzz_kept(unsigned page, uint32_t offset)
{
    return page < FUZZ_ROOTS && (offset < 4 || (offset >= FUZZ_PDPT && offset < FUZZ_PDPT + 8));
}

/* May an access end there without harm? */
static bool harmless(uint64_t gpa, enum refmmu_kind kind)
{
    const int page = fuzz_page_of(gpa);
    if (page < 0)
        return fuzz.exact && kind != REF_FETCH && fuzz_nothing_there(gpa);
    return kind != REF_WRITE || !fuzz_kept((unsigned)page, (uint32_t)gpa & (PAGE_SIZE - 4));
}

static bool known_table(uint64_t gpa)
{
    return fuzz_page_of(gpa) >= 0 || (fuzz.exact && fuzz_nothing_there(gpa));
}

static const struct tlb_page *tlb_page_of(uint32_t la)
{
    for (unsigned i = 0; i < fuzz.tlb.pages; i++)
        if (fuzz.tlb.page[i].la / PAGE_SIZE == la / PAGE_SIZE)
            return &fuzz.tlb.page[i];
    return NULL;
}

/* Whichever way it goes, by the tables or by what may have been kept of them. */
static bool safe(uint32_t la, enum refmmu_kind kind, const struct refmmu_walk *want)
{
    const struct tlb_page *p = tlb_page_of(la);
    const uint32_t offset = la & (PAGE_SIZE - 1);

    for (unsigned i = 0; i < want->steps; i++)
        if (!known_table(want->step[i].gpa))
            return false;
    if (!want->fault && !harmless(want->gpa, kind))
        return false;
    for (unsigned i = 0; p && i < p->dirs; i++)
        if (p->dir[i].table != ~(uint64_t)0 && !known_table(p->dir[i].table))
            return false;
    for (unsigned i = 0; p && i < p->entries; i++)
        if (!harmless(p->entry[i].gpa | offset, kind))
            return false;
    return true;
}

/* Store in one of several ways; the address of the instruction is where it must fault. */
#define STORE(insn)                                                                                \
    __asm__ volatile("movl $0, %0\n1:\t" insn "\n\tmovl $1, %0\n2:\n" TRAP_FIX("1b", "2b")         \
                     : "=&m"(ok), "+D"(at), "+c"(n), "+a"(v)                                       \
                     :                                                                             \
                     : "memory", "cc")

bool fuzz_store(uint32_t la, uint32_t v, unsigned size)
{
    uint32_t ok, at = la, n = 1;

    if (size == 1)
        STORE("movb %%al, (%%edi)");
    else if (size == 2)
        STORE("movw %%ax, (%%edi)");
    else
        switch (fuzz_rnd(fuzz.exact ? 4 : 1) + 1) {
        case 4:
            if (fuzz.xchg)
                STORE("xchgl %%eax, (%%edi)");
            else
                STORE("movl %%eax, (%%edi)");
            break;
        case 3: STORE("rep stosl"); break;
        default: STORE("movl %%eax, (%%edi)"); break;
        }
    return ok != 0;
}

static bool perform(struct fuzz_access *a)
{
    trap_forget();
    switch (a->kind) {
    case REF_READ: return a->user ? user_read(a->la, &a->v) : try_read(a->la, &a->v);
    case REF_WRITE: return a->user ? user_write(a->la, a->v) : fuzz_store(a->la, a->v, a->size);
    case REF_FETCH: break;
    }
    return a->user ? user_fetch(a->la) : try_fetch(a->la);
}

/* The words of real memory that an access can have changed, against the model. */
static bool as_left(const struct fuzz_access *a, const struct refmmu_walk *want)
{
    const struct tlb_page *p = tlb_page_of(a->la);
    const uint32_t offset = a->la & (PAGE_SIZE - 4);

    for (unsigned i = 0; i < want->steps; i++) {
        const int page = fuzz_page_of(want->step[i].gpa);
        const uint32_t at = (uint32_t)want->step[i].gpa & (PAGE_SIZE - 1);
        for (unsigned k = 0; page >= 0 && k < fuzz_entry_size(); k += 4)
            if (fuzz_real_dword((unsigned)page, at + k) != fuzz.model[page][(at + k) / 4])
                return false;
    }
    if (a->kind != REF_WRITE)
        return true;
    const int now = want->fault ? -1 : fuzz_page_of(want->gpa);
    if (now >= 0 && fuzz_real_dword((unsigned)now, offset) != fuzz.model[now][offset / 4])
        return false;
    for (unsigned i = 0; p && i < p->entries; i++) {
        const int page = fuzz_page_of(p->entry[i].gpa);
        if (page >= 0 && fuzz_real_dword((unsigned)page, offset) != fuzz.model[page][offset / 4])
            return false;
    }
    return true;
}

/* The access in the model; walked: by the tables, not by what was kept of them. learn: the model of
 * the TLB sees it too, first what the walk leaves, then what is written, maybe over just that. */
static void go(const struct fuzz_access *a, uint64_t gpa, bool walked, bool learn)
{
    struct refmmu_walk w = {0};
    if (walked)
        refmmu_access(&fuzz.mmu, a->la, a->kind, a->user, &w);
    for (unsigned i = 0; learn && i < w.steps; i++)
        if (w.step[i].now != w.step[i].old)
            tlb_written(&fuzz.tlb, w.step[i].gpa);
    if (a->kind != REF_WRITE)
        return;
    fuzz_write_model(gpa, a->v, a->size);
    if (learn && fuzz_page_of(gpa) >= 0)
        tlb_written(&fuzz.tlb, gpa);
}

/* Is this how it went? If so, the model has gone the same way. */
static bool went_to(const struct fuzz_access *a, uint64_t gpa, bool walked,
                    const struct refmmu_walk *want)
{
    fuzz_undo_none();
    go(a, gpa, walked, false);
    const bool good = (a->kind != REF_READ || a->v == fuzz_read_model(gpa)) && as_left(a, want);
    fuzz_roll_back();
    if (good)
        go(a, gpa, walked, true);
    return good;
}

static bool succeeded(const struct fuzz_access *a, const struct refmmu_walk *want)
{
    const struct tlb_page *p = tlb_page_of(a->la);
    const uint32_t offset = a->la & (PAGE_SIZE - 1);

    if (!want->fault && went_to(a, want->gpa, true, want))
        return true;
    for (unsigned i = 0; p && i < p->entries; i++) {
        const uint64_t page = p->entry[i].gpa;
        if (tlb_allows(&fuzz.tlb, a->la, page, a->kind, a->user) &&
            went_to(a, page | offset, false, want)) {
            fuzz.did.stale++;
            return true;
        }
    }
    fuzz_wrong("%s %s of %08x (%08x) succeeds; the tables say %s %08x",
               a->user ? "user" : "supervisor", kind_name[a->kind], a->la, a->v,
               want->fault ? "fault" : "it is", want->fault ? want->error : (uint32_t)want->gpa);
    for (unsigned i = 0; i < want->steps; i++) {
        const int page = fuzz_page_of(want->step[i].gpa);
        rt_printf("# entry at %08x: %08x before, now %08x\n", (uint32_t)want->step[i].gpa,
                  (uint32_t)want->step[i].old,
                  page < 0 ? 0
                           : fuzz_real_dword((unsigned)page, (uint32_t)want->step[i].gpa & 0xfff));
    }
    for (unsigned i = 0; p && i < p->entries; i++)
        rt_printf("# kept may be: %08x%s%s%s%s\n", (uint32_t)p->entry[i].gpa,
                  p->entry[i].writable ? " W" : "", p->entry[i].user ? " U" : "",
                  p->entry[i].dirty ? " D" : "", p->entry[i].nx ? " NX" : "");
    return false;
}

/* Other processors may have set the accessed bit of the directory entry. */
static void accept_accessed(const struct refmmu_walk *want)
{
    if (!want->steps || fuzz_page_of(want->step[0].gpa) < 0)
        return;
    const unsigned page = (unsigned)fuzz_page_of(want->step[0].gpa);
    const uint32_t at = (uint32_t)want->step[0].gpa & (PAGE_SIZE - 1);
    if (fuzz_real_dword(page, at) == (fuzz.model[page][at / 4] | PTE_A)) {
        fuzz.model[page][at / 4] |= PTE_A;
        tlb_written(&fuzz.tlb, want->step[0].gpa);
    }
}

static bool faulted(const struct fuzz_access *a, const struct refmmu_walk *want)
{
    const struct fault *f = trap_last();
    uint32_t error = f->at.error;

    fuzz.did.faults++;
    FUZZ_TELL("  faults: %x", error);
    if (!fuzz.exact) {
        accept_accessed(want);
        error |= error & PF_RSVD ? want->error & PF_P : 0;
    }
    if (f->at.vector != V_PF || !want->fault || error != want->error || f->cr2 != a->la)
        return fuzz_wrong("%s %s of %08x: trap %u error %x CR2 %08x; the tables say %s %08x",
                          a->user ? "user" : "supervisor", kind_name[a->kind], a->la, f->at.vector,
                          f->at.error, f->cr2, want->fault ? "fault" : "it is",
                          want->fault ? want->error : (uint32_t)want->gpa);
    return as_left(a, want) || fuzz_wrong("%s of %08x faults with %x and leaves a change behind",
                                          kind_name[a->kind], a->la, error);
}

bool fuzz_access_la(struct fuzz_access *a)
{
    struct refmmu_walk want;

    tlb_peek(&fuzz.tlb, a->la, a->kind, a->user, &want);
    if (!safe(a->la, a->kind, &want)) {
        fuzz.did.left_out++;
        return true;
    }
    fuzz.did.accesses++;
    FUZZ_TELL("%s %s of %08x", a->user ? "user" : "supervisor", kind_name[a->kind], a->la);
    return perform(a) ? succeeded(a, &want) : faulted(a, &want);
}
