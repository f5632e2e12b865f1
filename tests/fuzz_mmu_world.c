/* See fuzz_mmu_world.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/reclaim.h"
#include "mm/share.h"
#include "tests/fuzz_mmu_chance.h"

enum { RAM = 12 << 20, RAM_PAGES = RAM / PAGE_SIZE };

/* 4 MiB that are never tables, so that large entries of the shadow live there for a while. */
enum { CALM = 2048 };

/* Guest pages that entries lead to; any of them may be a table, and is data too. They are where the
 * linear pages below come out under large pages at 0 and 4 MiB (PAE: every 2 MiB). */
static const uint32_t gfns[] = {0,    1,    2,    511,  512,  513,  514,  1023,
                                1024, 1025, 1026, 1535, 1536, 1537, 1538, 2047};
#define GFNS (sizeof gfns / sizeof *gfns)

/* The first three are page directories most of the time. */
enum { ROOTS = 3 };

static const uint32_t slots[] = {0, 0x00400000, 0x40000000, 0xffc00000};
static const uint32_t places[] = {0, 1, 2, 511, 512, 1023};
#define SLOTS  (sizeof slots / sizeof *slots)
#define PLACES (sizeof places / sizeof *places)

/* --- telling --------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool differs(struct world *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->why, WORLD_WHY, fmt, ap);
    va_end(ap);
    return false;
}

__attribute__((format(printf, 2, 3))) static void tell(const struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (!w->tell)
        return;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fuzz_mmu: %s failed\n", what);
    exit(2);
}

/* --- the model's memory ---------------------------------------------------------------------- */

static uint64_t ram_load(void *ctx, uint64_t gpa, unsigned size)
{
    uint64_t v = size == 8 ? UINT64_MAX : UINT32_MAX;
    if (gpa + size <= RAM) {
        v = 0;
        memcpy(&v, (const uint8_t *)ctx + gpa, size);
    }
    return v;
}

static void ram_store(void *ctx, uint64_t gpa, uint64_t val, unsigned size)
{
    if (gpa + size <= RAM)
        memcpy((uint8_t *)ctx + gpa, &val, size);
}

static bool pae(const struct world *w)
{
    return (w->mmu.cr4 & CR4_PAE) != 0;
}

static unsigned entry_size(const struct world *w)
{
    return pae(w) ? 8 : 4;
}

/* What a kernel might put into a table, and what it had better not. */
static uint64_t random_entry(struct world *w)
{
    uint64_t gfn = gfns[rnd(w, GFNS)];
    const bool large = often(w, 15);
    uint64_t e = (often(w, 94) ? 1 : 0) | (often(w, 80) ? 2 : 0) | (often(w, 85) ? 4 : 0) |
                 (often(w, 50) ? 0x20 : 0) | (often(w, 50) ? 0x40 : 0) | (large ? 0x80 : 0) |
                 (often(w, 20) ? 0x100 : 0) | (often(w, 10) ? rnd(w, 8) << 9 : 0);
    if (large && often(w, 90))
        gfn &= pae(w) ? ~511u : ~1023u;
    if (w->large && large && often(w, 40))
        gfn = CALM | (pae(w) ? rnd(w, 2) * 512 : 0);
    if (often(w, 4))
        gfn = RAM_PAGES + rnd(w, 2) * 1024;
    e |= gfn << PAGE_SHIFT;
    if (pae(w) && often(w, 15))
        e |= (uint64_t)1 << 63;
    if (pae(w) && often(w, 2))
        e |= (uint64_t)1 << (33 + rnd(w, 25));
    return e;
}

/* --- the machine ----------------------------------------------------------------------------- */

/* Physical address of the host's copy of a guest page that is there; NULL: it is swapped out. */
static const uint8_t *peek_page(const struct world *w, gfn_t gfn)
{
    const pte_t pte = mm_pte(w->vm->mm, gfn);
    return pte_present(pte) ? pool_ptr(w->vm->pool, pte_frame(pte)) : NULL;
}

static struct cached *cached_at(struct world_engine *e, uint32_t la, bool user)
{
    for (unsigned i = 0; i < TLB_PAGES; i++)
        if (e->tlb->page[i].la / PAGE_SIZE == la / PAGE_SIZE)
            return &e->at[i][user];
    return NULL;
}

static void engine_drop(struct world_engine *e, la_t la)
{
    for (int user = 0; user < 2; user++) {
        struct cached *c = cached_at(e, la, user);
        if (c)
            *c = (struct cached){0};
    }
}

static void on_restricted(struct engine *e, uint32_t off, la_t la, spte_t old, spte_t now)
{
    (void)off, (void)old, (void)now;
    engine_drop((struct world_engine *)(void *)e, la);
}
static void on_flush(struct engine *e)
{
    struct world_engine *we = (struct world_engine *)(void *)e;
    memset(we->at, 0, sizeof we->at);
}
static void on_sync(struct engine *e)
{
    (void)e;
}

static const struct engine_ops engine_ops = {
    .name = "cache", .restricted = on_restricted, .flush = on_flush, .sync = on_sync};

static void flush_all(struct world *w)
{
    struct cpu *c = &w->vm->cpu;
    c->cr0 = w->mmu.cr0;
    c->cr3 = w->mmu.cr3;
    c->cr4 = w->mmu.cr4;
    c->efer = w->mmu.nxe ? EFER_NXE : 0;
    memcpy(c->pdpte, w->mmu.pdpte, sizeof c->pdpte);
    shadow_load_mode(w->vm->shadow, c);
    w->vm->soft->ops->flush(w->vm->soft);
    on_flush(&w->engine.e);
    tlb_flush(&w->tlb);
}

/* Registers become these, and everything is flushed, unless that would be #GP. */
static void load_registers(struct world *w, uint32_t cr0, uint32_t cr3, uint32_t cr4, bool nxe)
{
    struct refmmu now = w->mmu;
    now.cr0 = cr0;
    now.cr3 = cr3;
    now.cr4 = cr4;
    now.nxe = nxe;
    if ((cr0 & CR0_PG) && (cr4 & CR4_PAE) && !refmmu_load_pdptes(&now)) {
        tell(w, "    #GP: reserved bits in a PDPTE");
        return;
    }
    w->mmu = now;
    flush_all(w);
}

/* --- accesses -------------------------------------------------------------------------------- */

static const char *const kind_name[] = {"read", "write", "fetch"};

static bool usable(spte_t e, enum refmmu_kind kind)
{
    return shadow_entry_used(e) && (kind != REF_WRITE || spte_writable(e)) &&
           (kind != REF_FETCH || !spte_nx(e));
}

/* What the engine has cached, or the shadow's entry. */
static spte_t translate(struct world *w, uint32_t la, enum refmmu_kind kind, bool user,
                        uint64_t *page)
{
    struct cached *c = cached_at(&w->engine, la, user);
    gfn_t gfn = 0;
    if (!usable(c->entry, kind)) {
        c->entry = shadow_lookup(w->vm->shadow, la, user, &gfn);
        c->page = spte_is_mmio(c->entry) ? spte_addr(c->entry) : gpa_of(gfn);
    }
    *page = c->page;
    return c->entry;
}

/* Entries of a walk, in the machine's memory and in the model's. */
static bool same_entries(struct world *w, const struct refmmu_walk *walk)
{
    for (unsigned i = 0; i < walk->steps; i++) {
        const uint64_t at = walk->step[i].gpa;
        const unsigned size = entry_size(w);
        if (at + size > RAM)
            continue;
        const uint8_t *page = peek_page(w, gfn_of(at));
        if (page && memcmp(page + (at & PAGE_MASK), w->ram + at, size))
            return differs(w,
                           "the entry at %" PRIx64 " is %08x after the walk, the model says %08x",
                           at, *(const uint32_t *)(const void *)(page + (at & PAGE_MASK)),
                           *(const uint32_t *)(const void *)(w->ram + at));
    }
    return true;
}

/* The shadow translates la for this access: find out whether it may. fresh: no translation was
 * there before, so it must be what the tables say now. */
static bool check_hit(struct world *w, uint32_t la, enum refmmu_kind kind, bool user, uint64_t gpa,
                      bool fresh, const struct refmmu_walk *want)
{
    if (fresh && (want->fault || want->gpa / PAGE_SIZE != gpa / PAGE_SIZE))
        return differs(w, "%s %s of %08x went to %" PRIx64 ", the model says %s %" PRIx64,
                       user ? "user" : "supervisor", kind_name[kind], la, gpa,
                       want->fault ? "fault" : "to",
                       want->fault ? (uint64_t)want->error : want->gpa);
    if (!fresh && !tlb_allows(&w->tlb, la, gpa, kind, user))
        return differs(w,
                       "%s %s of %08x used a translation to %" PRIx64
                       " that nothing can have kept; the tables say %s %" PRIx64,
                       user ? "user" : "supervisor", kind_name[kind], la, gpa,
                       want->fault ? "fault" : "to",
                       want->fault ? (uint64_t)want->error : want->gpa);
    return true;
}

/* What became of the fault that an access took. */
enum taken { TAKEN_AGAIN, TAKEN_GUEST, TAKEN_WRONG };

static enum taken take_fault(struct world *w, uint32_t la, enum refmmu_kind kind, bool user,
                             const struct refmmu_walk *want)
{
    const uint32_t error =
        (kind == REF_WRITE ? PF_W : 0u) | (kind == REF_FETCH ? PF_I : 0u) | (user ? PF_U : 0u);
    switch (fault_handle(w->vm, la, error)) {
    case FAULT_GUEST:
        w->faults++;
        if (want->fault && want->error == w->vm->guest_error)
            return same_entries(w, want) ? TAKEN_GUEST : TAKEN_WRONG;
        differs(w, "%s %s of %08x faults with %x, the model says %s %" PRIx64,
                user ? "user" : "supervisor", kind_name[kind], la, w->vm->guest_error,
                want->fault ? "fault" : "to", want->fault ? (uint64_t)want->error : want->gpa);
        return TAKEN_WRONG;
    case FAULT_ENDED: differs(w, "%s", w->vm->end_text); return TAKEN_WRONG;
    case FAULT_RETRY:
    case FAULT_EMULATE: break;
    }
    return TAKEN_AGAIN;
}

/* The bytes themselves, on both sides. */
static bool move_bytes(struct world *w, spte_t e, uint64_t gpa, bool write, uint32_t val,
                       unsigned size)
{
    if (spte_is_mmio(e))
        return gpa >= RAM || differs(w, "RAM at %" PRIx64 " is taken for a device", gpa);
    uint8_t *host = pool_ptr(w->vm->pool, spte_frame(e)) + (gpa & PAGE_MASK);
    if (gpa >= RAM)
        return differs(w, "%" PRIx64 " is no RAM, but frame %u backs it", gpa, spte_frame(e));
    if (write) {
        memcpy(host, &val, size);
        memcpy(w->ram + gpa, &val, size);
        tlb_written(&w->tlb, gpa);
    } else if (memcmp(host, w->ram + gpa, size)) {
        return differs(w, "a read at %" PRIx64 " gives other bytes than the model has", gpa);
    }
    return true;
}

static bool access_la(struct world *w, uint32_t la, enum refmmu_kind kind, bool user, uint32_t val,
                      unsigned size)
{
    struct refmmu_walk want;
    bool fresh = false;

    tlb_peek(&w->tlb, la, kind, user, &want);
    w->accesses++;
    for (int i = 0; i < 4; i++) {
        uint64_t page;
        const spte_t e = translate(w, la, kind, user, &page);
        if (usable(e, kind)) {
            if (!check_hit(w, la, kind, user, page, fresh, &want))
                return false;
            w->stale += !fresh && (want.fault || want.gpa / PAGE_SIZE != page / PAGE_SIZE);
            if (fresh) {
                refmmu_access(&w->mmu, la, kind, user, &want);
                for (unsigned k = 0; k < want.steps; k++)
                    tlb_written(&w->tlb, want.step[k].gpa);
            }
            return same_entries(w, &want) &&
                   move_bytes(w, e, page | (la & PAGE_MASK), kind == REF_WRITE, val, size);
        }
        /* Code where nothing is would end the machine. */
        if (!want.fault && want.gpa >= RAM && kind == REF_FETCH)
            return true;
        switch (take_fault(w, la, kind, user, &want)) {
        case TAKEN_GUEST: return true;
        case TAKEN_WRONG: return false;
        case TAKEN_AGAIN: break;
        }
        fresh = true;
    }
    return differs(w, "%s of %08x faults without end", kind_name[kind], la);
}

/* --- events of the guest --------------------------------------------------------------------- */

static uint32_t random_la(struct world *w)
{
    return w->tlb.page[rnd(w, w->tlb.pages)].la | rnd(w, PAGE_SIZE / 4) * 4;
}

static bool event_access(struct world *w)
{
    const uint32_t la = random_la(w), val = (uint32_t)random_entry(w);
    const enum refmmu_kind kind = (enum refmmu_kind)rnd(w, 3);
    const bool user = often(w, 50);
    /* Writes at random would wear the tables down: mostly where no entry that counts is. */
    const uint32_t at = often(w, 80) ? (la & ~PAGE_MASK) | 0x500 : la;
    tell(w, "%s %s of %08x", user ? "user" : "supervisor", kind_name[kind], at);
    return access_la(w, at, kind, user, val, 4);
}

/* Where the entry lies that translates some page: at either level, or in a page that might become a
 * table. */
static uint64_t entry_place(struct world *w)
{
    const struct tlb_page *p = &w->tlb.page[rnd(w, w->tlb.pages)];
    struct refmmu_walk walk;

    tlb_peek(&w->tlb, p->la, REF_READ, false, &walk);
    if (walk.steps && often(w, 85))
        return walk.step[rnd(w, walk.steps)].gpa;
    const uint64_t page = gpa_of(gfns[rnd(w, GFNS)]);
    const unsigned size = entry_size(w);
    if (often(w, 30)) /* PDPTEs, or a directory */
        return page + (pae(w) ? rnd(w, 4) : p->la >> 22) * size;
    return page + (p->la >> PAGE_SHIFT) * size % PAGE_SIZE;
}

static uint64_t changed_entry(struct world *w, uint64_t old)
{
    switch (rnd(w, 6)) {
    case 0: return 0;
    case 1: return old & ~(uint64_t)0x60;
    case 2: return old ^ (uint64_t)1 << rnd(w, 9);
    case 3: return old ^ (uint64_t)1 << rnd(w, 9) ^ (uint64_t)gfns[rnd(w, GFNS)] << PAGE_SHIFT;
    default: return random_entry(w);
    }
}

/* A linear page through which the guest can write a guest page; false: none of ours. */
static bool way_to(struct world *w, uint64_t gpa, uint32_t *la)
{
    const unsigned first = rnd(w, w->tlb.pages);
    for (unsigned i = 0; i < w->tlb.pages; i++) {
        const struct tlb_page *p = &w->tlb.page[(first + i) % w->tlb.pages];
        struct refmmu_walk walk;
        tlb_peek(&w->tlb, p->la, REF_WRITE, false, &walk);
        if (walk.fault || walk.gpa / PAGE_SIZE != gpa / PAGE_SIZE)
            continue;
        *la = p->la | ((uint32_t)gpa & PAGE_MASK);
        return true;
    }
    return false;
}

/* What a device or a hypercall writes. */
static bool write_from_outside(struct world *w, uint64_t gpa, uint32_t val, unsigned size)
{
    if (gpa + size > RAM)
        return true;
    if (gmem_write(&w->vm->gmem, gpa, &val, size) != 0)
        return differs(w, "gmem_write fails at %" PRIx64, gpa);
    memcpy(w->ram + gpa, &val, size);
    tlb_written(&w->tlb, gpa);
    return true;
}

static bool store_part(struct world *w, uint64_t gpa, uint32_t val, unsigned size)
{
    uint32_t la;
    const bool linear = often(w, 95) && way_to(w, gpa, &la);
    tell(w, "store %0*x at %" PRIx64 " %s %08x", (int)size * 2, val, gpa,
         linear ? "by way of" : "from outside", linear ? la : 0);
    return linear ? access_la(w, la, REF_WRITE, false, val, size)
                  : write_from_outside(w, gpa, val, size);
}

static bool event_entry(struct world *w)
{
    const uint64_t at = entry_place(w);
    const unsigned size = entry_size(w);
    if (at + size > RAM)
        return true;
    const uint64_t old = w->mmu.mem.load(w->ram, at, size), now = changed_entry(w, old);
    if (often(w, 15)) /* one byte or two of it */ {
        const unsigned part = 1 + rnd(w, 2), off = rnd(w, size / part) * part;
        return store_part(w, at + off, (uint32_t)(now >> 8 * off), part);
    }
    return store_part(w, at, (uint32_t)now, 4) &&
           (size == 4 || store_part(w, at + 4, (uint32_t)(now >> 32), 4));
}

static bool event_invlpg(struct world *w)
{
    const uint32_t la = random_la(w);
    tell(w, "INVLPG %08x", la);
    shadow_invlpg(w->vm->shadow, la);
    engine_drop(&w->engine, la);
    tlb_invlpg(&w->tlb, la);
    return true;
}

/* Four entries that a load of CR3 accepts, at the place that it names. */
static bool put_pdpt(struct world *w, uint32_t cr3)
{
    const uint64_t at = cr3 & ~31u;
    for (unsigned i = 0; i < 4; i++) {
        const uint32_t e = gfns[rnd(w, GFNS)] << PAGE_SHIFT | often(w, 90);
        if (!write_from_outside(w, at + 8 * i, e, 4) ||
            !write_from_outside(w, at + 8 * i + 4, 0, 4))
            return false;
    }
    return true;
}

static bool event_cr3(struct world *w)
{
    uint32_t cr3 = w->mmu.cr3;
    if (often(w, 60))
        cr3 = gfns[often(w, 95) ? rnd(w, ROOTS) : rnd(w, GFNS)] << PAGE_SHIFT |
              (often(w, pae(w) ? 50 : 5) ? 0xfe0 : 0);
    if (pae(w) && often(w, 20) && !put_pdpt(w, cr3))
        return false;
    tell(w, "CR3 = %08x", cr3);
    load_registers(w, w->mmu.cr0, cr3, w->mmu.cr4, w->mmu.nxe);
    return true;
}

static bool event_mode(struct world *w)
{
    struct refmmu m = w->mmu;
    switch (rnd(w, 8)) {
    case 0: m.cr0 ^= CR0_PG; break;
    case 1: m.cr4 ^= CR4_PSE; break;
    case 2: m.cr4 ^= CR4_PGE; break;
    case 3: m.cr4 ^= CR4_PAE; break;
    case 4: m.nxe = !m.nxe; break;
    default: m.cr0 ^= CR0_WP; break;
    }
    if (!(m.cr0 & CR0_PG) && often(w, 70))
        m.cr0 |= CR0_PG;
    if ((m.cr4 & ~w->mmu.cr4 & CR4_PAE) && !put_pdpt(w, m.cr3))
        return false;
    tell(w, "CR0 = %08x, CR4 = %03x, NXE %d", m.cr0, m.cr4, m.nxe);
    load_registers(w, m.cr0, m.cr3, m.cr4, m.nxe);
    return true;
}

/* One table is written again and again, and CR3 loaded each time. */
static bool event_flood(struct world *w)
{
    const uint64_t at = entry_place(w);
    const uint32_t was = (uint32_t)w->mmu.mem.load(w->ram, at, 4);
    if (at + 4 > RAM)
        return true;
    tell(w, "a flood:");
    for (unsigned i = 0; i < 20; i++) {
        if (!store_part(w, at, was ^ (i & 1) << 9, 4))
            return false;
        load_registers(w, w->mmu.cr0, w->mmu.cr3, w->mmu.cr4, w->mmu.nxe);
    }
    return true;
}

/* --- events that the guest must not see ------------------------------------------------------- */

static bool fork_or_end(struct world *w)
{
    if (w->child) {
        tell(w, "the child of the fork ends");
        mm_destroy(w->child);
        w->child = NULL;
        return true;
    }
    tell(w, "fork");
    return mm_fork(w->vm->mm, "child", &w->child) == 0 || differs(w, "mm_fork fails");
}

static void page_out(struct world *w, gfn_t gfn)
{
    tell(w, "page %x goes out", gfn);
    must(mm_pageout(w->vm->mm, gfn, 1) == 0, "mm_pageout");
}

/* The page, a table, or the directory that some address uses. */
static gfn_t page_in_use(struct world *w)
{
    struct refmmu_walk walk;
    tlb_peek(&w->tlb, random_la(w), REF_READ, false, &walk);
    const uint64_t at = !walk.fault && often(w, 40) ? walk.gpa
                        : walk.steps                ? walk.step[rnd(w, walk.steps)].gpa
                                                    : 0;
    return at < RAM ? gfn_of(at) : gfns[rnd(w, GFNS)];
}

static bool event_host(struct world *w)
{
    struct shadow *sh = w->vm->shadow;
    const gfn_t gfn = page_in_use(w);

    switch (rnd(w, 12)) {
    case 0:
    case 1:
    case 2: page_out(w, gfn); break;
    case 3:
        for (unsigned i = 0; i < GFNS; i++)
            page_out(w, gfns[i]);
        break;
    case 4:
    case 5: return fork_or_end(w);
    case 6:
        tell(w, "page %x is write-protected", gfn);
        shadow_write_protect(sh, gfn, 1);
        break;
    case 7:
        tell(w, "mappings of page %x go", gfn);
        shadow_zap(sh, gfn, 1);
        break;
    case 8:
        tell(w, "all tables go");
        shadow_zap_all(sh);
        break;
    case 9:
        tell(w, "pages of equal content are shared");
        pool_share_scan(w->vm->pool, 64);
        break;
    case 10:
        if (w->child) {
            tell(w, "the child writes page %x", gfn);
            must(mm_fault(w->child, gfn, MM_ACCESS_WRITE).result <= MM_SPURIOUS, "child's fault");
        }
        break;
    default:
        tell(w, "page %x is read from outside", gfn);
        uint32_t v;
        must(gmem_read(&w->vm->gmem, gpa_of(gfn), &v, 4) == 0, "gmem_read");
        break;
    }
    return true;
}

/* --- life ------------------------------------------------------------------------------------ */

/* Every page of RAM is there, so that runs are whole, but for the first 2 MiB, with their hole. */
static void fill_ram(struct world *w)
{
    for (uint32_t gfn = 512; gfn < RAM_PAGES; gfn++) {
        const uint32_t v = gfn * 2654435761u;
        const uint64_t at = gpa_of(gfn) + 0x700;
        must(gmem_write(&w->vm->gmem, at, &v, sizeof v) == 0, "gmem_write");
        memcpy(w->ram + at, &v, sizeof v);
    }
}

void world_open(struct world *w, uint64_t seed, uint32_t quota, bool large)
{
    const struct vm_swap_opts so = {.zpool = 256u << 10};
    uint32_t la[TLB_PAGES];
    struct errmsg err;

    must(vm_swap_open(&so, &w->store, &err) == 0, "vm_swap_open");
    const struct vm_opts o = {.ram = RAM,
                              .pool = large ? RAM + (4u << 20) : 512u << 10,
                              .large_pages = large,
                              .shadow_quota = quota,
                              .engine = VM_ENGINE_SOFT,
                              .store = w->store};
    must(vm_create(&o, &w->vm, &err) == 0, "vm_create");
    w->vm->cpu.eip = 0x12345678;
    w->engine = (struct world_engine){.e = {.ops = &engine_ops}, .tlb = &w->tlb};
    w->ram = calloc(1, RAM);
    must(w->ram != NULL, "calloc");
    w->child = NULL;
    w->large = large;
    w->events = w->accesses = w->faults = w->stale = 0;
    w->rng = mix(seed);
    w->mmu = (struct refmmu){.mem = {w->ram, ram_load, ram_store},
                             .cr0 = CR0_PE | CR0_PG | CR0_WP,
                             .cr4 = seed & 1 ? CR4_PAE : CR4_PSE,
                             .nxe = often(w, 70),
                             .maxphyaddr = 36};
    for (unsigned i = 0; i < TLB_PAGES; i++)
        la[i] = slots[i / PLACES] | places[i % PLACES] << PAGE_SHIFT;
    if (large)
        fill_ram(w);
    tlb_init(&w->tlb, &w->mmu, la, TLB_PAGES);
    for (unsigned i = 0; i < 4000; i++) {
        const uint64_t at =
            gpa_of(gfns[rnd(w, GFNS)]) + places[rnd(w, PLACES)] * entry_size(w) % PAGE_SIZE;
        const uint64_t e = random_entry(w);
        must(gmem_write(&w->vm->gmem, at, &e, entry_size(w)) == 0, "gmem_write");
        memcpy(w->ram + at, &e, entry_size(w));
    }
    if (pae(w))
        must(put_pdpt(w, 0) && refmmu_load_pdptes(&w->mmu), "the first PDPTEs");
    shadow_attach(w->vm->shadow, &w->engine.e);
    flush_all(w);
}

void world_close(struct world *w)
{
    shadow_detach(w->vm->shadow, &w->engine.e);
    if (w->child)
        mm_destroy(w->child);
    vm_destroy(w->vm);
    store_close(w->store);
    free(w->ram);
}

bool world_same(struct world *w)
{
    uint8_t page[PAGE_SIZE];
    for (unsigned i = 0; i < GFNS; i++) {
        must(gmem_read(&w->vm->gmem, gpa_of(gfns[i]), page, PAGE_SIZE) == 0, "gmem_read");
        const uint8_t *want = w->ram + gpa_of(gfns[i]);
        for (unsigned k = 0; k < PAGE_SIZE; k++)
            if (page[k] != want[k])
                return differs(w, "the byte at %" PRIx64 " is %02x, the model says %02x",
                               gpa_of(gfns[i]) + k, page[k], want[k]);
    }
    return true;
}

static bool audited(struct world *w)
{
    char msg[200];
    if (shadow_audit(w->vm->shadow, msg, sizeof msg) == 0 &&
        mm_audit(w->vm->pool, msg, sizeof msg) == 0)
        return true;
    return differs(w, "audit: %s", msg);
}

static bool live(struct world *w)
{
    const uint32_t what = rnd(w, 100);
    if (what < 50)
        return event_access(w);
    if (what < 76)
        return event_entry(w);
    if (what < 83)
        return event_invlpg(w);
    if (what < 90)
        return event_cr3(w);
    if (what < 93)
        return event_mode(w);
    if (what == 93 && often(w, 20))
        return event_flood(w);
    return event_host(w);
}

bool world_event(struct world *w, uint64_t seed, uint64_t i)
{
    w->rng = mix(seed) ^ mix(i);
    if (w->tlb.full) {
        tell(w, "CR3 is loaded again");
        flush_all(w);
    }
    if (!live(w))
        return false;
    vm_swap_balance(w->vm);
    w->events++;
    if (w->audit && w->events % w->audit == 0 && !audited(w))
        return false;
    return w->events % 512 || world_same(w);
}
