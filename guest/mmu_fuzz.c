/*
 * mmu_fuzz: random page-table stores, INVLPG, CR0, CR3, CR4 and EFER, accesses from ring 0 and ring
 * 3, by real instructions on whatever machine this is, held against the reference MMU and the model
 * of what a TLB may hold, both compiled in. Each access must fault, or not, with the error code and
 * CR2 that the tables call for; read what the memory holds that it may reach; and leave the
 * accessed and dirty bits as that access would. An access that succeeds may also have gone by a
 * translation that a TLB may have kept: then nothing but the byte itself has changed.
 *
 *   seed=N events=N  which events, and how many (1, 2000)
 *   length=N         events in one world, after which all of it is made anew (500)
 *   pages=N          pages that a bout of memory pressure writes to (64): swaps, where the pool is
 *                    small
 *   whole            write to all of the 12 MiB that the fuzzed pages lie in, so that 2 MiB runs of
 *                    frames may back it
 *   xchg=0           no XCHG among the stores: a processor in software under the monitor's KVM may
 *                    do it as a read, which sets the accessed bit, and then a write, which faults
 *   tell=N           print the events of world N
 *
 * The guest's own memory is mapped one to one in the first 4 MiB of every address space, with the
 * fuzzed pages seen once more at its end. What keeps it there must stay: an event that might write
 * there, by any translation of today or before, is left out.
 *
 * Other machines than our own monitor get what is the same on all: two-level tables, no tables or
 * pages where no RAM is, nothing in the bits of a 4 MiB page that are PSE-36's or reserved; and
 * whether the PDE of an access that faults gets its accessed bit is theirs to choose.
 */
#include "guest/fuzz/access.h"

TEST_NEEDS("m=16M");

static const uint32_t slots[] = {0x40000000, 0x40400000, 0x80000000, 0xffc00000};
static const uint16_t places[] = {0, 1, 512, 1023};
#define PLACES (sizeof places / sizeof *places)

enum {
    PRESSURE = 0x200000, /* memory that is written to make frames scarce: up to the window */
    ALL = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D,
};

static bool has_pae, has_nx, has_pge;

/* The tables of the guest's own 4 MiB, of both formats. */
static uint32_t own_table[1024] __attribute__((aligned(4096)));
static uint64_t own_pd[512] __attribute__((aligned(4096)));
static uint64_t own_tables[2][512] __attribute__((aligned(4096)));

/* --- events ---------------------------------------------------------------------------------- */

static uint32_t random_page_la(void)
{
    return fuzz_paging() ? fuzz.tlb.page[fuzz_rnd(fuzz.tlb.pages)].la
                         : fuzz_gpa_of_page(fuzz_rnd(FUZZ_TABLES));
}

static uint64_t random_entry(void)
{
    uint32_t page = fuzz_gpa_of_page(fuzz_rnd(FUZZ_TABLES)) / PAGE_SIZE;
    const bool large = fuzz_often(15);
    uint64_t e = (fuzz_often(94) ? PTE_P : 0) | (fuzz_often(80) ? PTE_W : 0) |
                 (fuzz_often(85) ? PTE_U : 0) | (fuzz_often(50) ? PTE_A : 0) |
                 (fuzz_often(50) ? PTE_D : 0) | (large ? PTE_PS : 0) |
                 (fuzz_often(20) ? PTE_G : 0) | (fuzz_often(10) ? fuzz_rnd(8) << 9 : 0);
    if (large && (!fuzz.exact || fuzz_often(90)))
        page &= fuzz_pae() ? ~511u : ~1023u;
    if (large && fuzz_often(40))
        page = FUZZ_BASE / PAGE_SIZE + FUZZ_CALM + (fuzz_pae() ? fuzz_rnd(2) * 512 : 0);
    if (fuzz.exact && fuzz_often(4))
        page = fuzz.beyond + fuzz_rnd(2) * 1024;
    e |= (uint64_t)page * PAGE_SIZE;
    if (fuzz_pae() && fuzz_often(15))
        e |= (uint64_t)1 << 63;
    if (fuzz_pae() && fuzz_often(2))
        e |= (uint64_t)1 << (33 + fuzz_rnd(25));
    return e;
}

/* Some access of a page. */
static bool touch(uint32_t page)
{
    struct fuzz_access a = {.la = page,
                            .kind = (enum refmmu_kind)fuzz_rnd(3),
                            .user = fuzz_often(50),
                            .size = 4,
                            .v = (uint32_t)random_entry()};

    if (a.kind == REF_FETCH)
        a.la |= FUZZ_CODE;
    else if (a.kind == REF_READ)
        a.la |=
            fuzz_often(50) ? FUZZ_TAG : places[fuzz_rnd(PLACES)] * fuzz_entry_size() % PAGE_SIZE;
    else
        a.la |= FUZZ_DATA;
    return fuzz_access_la(&a);
}

static bool event_access(void)
{
    return touch(random_page_la());
}

/* Where la's entry is in a table, or in a directory. */
static uint32_t entry_offset(uint32_t la, bool directory)
{
    return (la >> (!directory ? 12 : fuzz_pae() ? 21 : 22)) * fuzz_entry_size() % PAGE_SIZE;
}

/* Where the entry lies that translates some page, or one in a page that might become a table. */
static uint32_t entry_place(void)
{
    const struct tlb_page *p = &fuzz.tlb.page[fuzz_rnd(fuzz.tlb.pages)];
    struct refmmu_walk walk;

    tlb_peek(&fuzz.tlb, p->la, REF_READ, false, &walk);
    if (walk.steps && fuzz_often(85)) {
        const uint64_t at = walk.step[fuzz_rnd(walk.steps)].gpa;
        if (fuzz_page_of(at) >= 0)
            return (uint32_t)at;
    }
    const uint32_t page = fuzz_gpa_of_page(fuzz_rnd(FUZZ_TABLES));
    return page + entry_offset(p->la, fuzz_often(30));
}

/* Only whole page numbers change, so that entries lead to what is fuzzed. */
static uint64_t changed_entry(uint64_t old)
{
    if (!(old & PTE_P) && fuzz_often(80)) /* or soon there would be none */
        return random_entry();
    switch (fuzz_rnd(6)) {
    case 0: return 0;
    case 1: return old & ~(uint64_t)(PTE_A | PTE_D);
    case 2: return old ^ (uint64_t)1 << fuzz_rnd(fuzz.exact ? 9 : 7);
    case 3: return (random_entry() & ~(uint64_t)0x7f) | ((old ^ 1u << fuzz_rnd(7)) & 0x7f);
    default: return random_entry();
    }
}

/* A linear page through which ring 0 can write a page; false: none of ours. */
static bool way_to(uint32_t gpa, uint32_t *la)
{
    const unsigned first = fuzz_rnd(fuzz.tlb.pages);
    for (unsigned i = 0; fuzz_paging() && i < fuzz.tlb.pages; i++) {
        const struct tlb_page *p = &fuzz.tlb.page[(first + i) % fuzz.tlb.pages];
        struct refmmu_walk walk;
        tlb_peek(&fuzz.tlb, p->la, REF_WRITE, false, &walk);
        if (walk.fault || walk.gpa / PAGE_SIZE != gpa / PAGE_SIZE)
            continue;
        *la = p->la | (gpa & (PAGE_SIZE - 1));
        return true;
    }
    return false;
}

static bool store_part(uint32_t gpa, uint32_t v, unsigned size)
{
    struct fuzz_access a = {.kind = REF_WRITE, .size = size, .v = v};
    const unsigned page = (unsigned)fuzz_page_of(gpa);

    if (fuzz_kept(page, gpa & (PAGE_SIZE - 4)))
        return true;
    if (fuzz_often(70) && way_to(gpa, &a.la)) {
        FUZZ_TELL("store %x (%u bytes) at %08x by way of %08x", v, size, gpa, a.la);
        return fuzz_access_la(&a);
    }
    FUZZ_TELL("store %x (%u bytes) at %08x through the window", v, size, gpa);
    if (!fuzz_store((uint32_t)fuzz_real(page) + (gpa & (PAGE_SIZE - 1)), v, size))
        return fuzz_wrong("a store to the window at %08x faults", trap_last()->cr2);
    fuzz_undo_none();
    fuzz_write_model(gpa, v, size);
    tlb_written(&fuzz.tlb, gpa);
    return true;
}

static bool change_entry(uint32_t at)
{
    const unsigned size = fuzz_entry_size();
    const uint64_t now = changed_entry(fuzz_model_load(NULL, at, size));

    if (fuzz.exact && fuzz_often(15)) {
        const unsigned part = 1 + fuzz_rnd(2), off = fuzz_rnd(size / part) * part;
        return store_part(at + off, (uint32_t)(now >> 8 * off) & (part == 1 ? 0xff : 0xffff), part);
    }
    return store_part(at, (uint32_t)now, 4) &&
           (size == 4 || store_part(at + 4, (uint32_t)(now >> 32), 4));
}

static bool event_entry(void)
{
    return change_entry(entry_place());
}

static void flush_page(uint32_t la)
{
    FUZZ_TELL("INVLPG %08x", la);
    invlpg(la);
    tlb_invlpg(&fuzz.tlb, la);
}

static bool event_invlpg(void)
{
    flush_page(random_page_la() | fuzz_rnd(PAGE_SIZE));
    return true;
}

/* What a kernel does most: a page that is in use is mapped anew, flushed or not, and used again. */
static bool event_remap(void)
{
    const uint32_t la = random_page_la();
    struct refmmu_walk walk;

    if (!touch(la) || (fuzz_often(50) && !touch(la)))
        return false;
    tlb_peek(&fuzz.tlb, la, REF_READ, false, &walk);
    if (walk.steps) {
        const uint64_t at = walk.step[walk.steps > 1 && fuzz_often(70)].gpa;
        if (fuzz_page_of(at) >= 0 && !change_entry((uint32_t)at))
            return false;
    }
    if (fuzz_often(70))
        flush_page(la);
    return touch(la) && touch(la);
}

/* MOV to a control register; false: #GP(0). */
#define SET_CR(n)                                                                                  \
    static bool set_cr##n(uint32_t v)                                                              \
    {                                                                                              \
        uint32_t ok;                                                                               \
        trap_forget();                                                                             \
        __asm__ volatile("movl $0, %0\n1:\tmovl %1, %%cr" #n                                       \
                         "\n\tmovl $1, %0\n2:\n" TRAP_FIX("1b", "2b")                              \
                         : "=&m"(ok)                                                               \
                         : "r"(v)                                                                  \
                         : "memory");                                                              \
        return ok != 0;                                                                            \
    }
SET_CR(0)
SET_CR(3)
SET_CR(4)

/* Registers become those of m by one instruction, which has said ok. pdptes: it reads them, and
 * refuses reserved bits (SDM vol. 3, 4.4.1). flush: the TLB is empty then. */
static bool registers_are(struct refmmu m, bool ok, bool pdptes, bool flush)
{
    const bool due = !pdptes || !(m.cr0 & CR0_PG) || !(m.cr4 & CR4_PAE) || refmmu_load_pdptes(&m);

    if (ok != due)
        return fuzz_wrong("a MOV to a control register for CR0 %08x CR3 %08x CR4 %03x: %s", m.cr0,
                          m.cr3, m.cr4,
                          ok ? "reserved bits in a PDPTE are let through" : "is refused");
    if (!ok) {
        const struct trap_frame *f = &trap_last()->at;
        fuzz.did.refused++;
        return (f->vector == V_GP && f->error == 0) ||
               fuzz_wrong("trap %u (%x) instead of #GP(0)", f->vector, f->error);
    }
    fuzz.mmu = m;
    if (flush)
        tlb_flush(&fuzz.tlb);
    return true;
}

static void put_pdptes(unsigned root)
{
    for (unsigned i = 1; i < 4; i++) {
        fuzz_put(root, FUZZ_PDPT + 8 * i,
                 fuzz_gpa_of_page(fuzz_rnd(FUZZ_TABLES)) | (fuzz_often(90) ? PTE_P : 0));
        fuzz_put(root, FUZZ_PDPT + 8 * i + 4, 0);
    }
}

static unsigned current_root(void)
{
    return (unsigned)fuzz_page_of(fuzz.mmu.cr3);
}

static bool load_cr3(uint32_t cr3)
{
    struct refmmu m = fuzz.mmu;
    m.cr3 = cr3;
    return registers_are(m, set_cr3(cr3), true, true);
}

/* By a load that cannot be refused. */
static bool flush_now(void)
{
    if (fuzz_pae())
        put_pdptes(current_root());
    return load_cr3(fuzz.mmu.cr3);
}

static bool event_cr3(void)
{
    const unsigned root = fuzz_often(60) ? fuzz_rnd(FUZZ_ROOTS) : current_root();
    const uint32_t cr3 = fuzz_gpa_of_page(root) + FUZZ_PDPT;

    if (fuzz_pae() && fuzz_often(25))
        put_pdptes(root);
    FUZZ_TELL("CR3 = %08x", cr3);
    return load_cr3(cr3);
}

static uint32_t cr0_with(const struct refmmu *m)
{
    return (read_cr0() & ~(CR0_PG | CR0_WP)) | (m->cr0 & (CR0_PG | CR0_WP));
}

static bool event_paging(void)
{
    struct refmmu m = fuzz.mmu;
    m.cr0 ^= CR0_PG;
    FUZZ_TELL("CR0 = %08x", m.cr0);
    return registers_are(m, set_cr0(cr0_with(&m)), true, true);
}

/* Only PG 1 to 0 flushes, says the manual (4.10.4.1). */
static bool event_wp(void)
{
    struct refmmu m = fuzz.mmu;
    m.cr0 ^= CR0_WP;
    FUZZ_TELL("CR0 = %08x", m.cr0);
    return registers_are(m, set_cr0(cr0_with(&m)), false, false);
}

static bool event_cr4(uint32_t bit)
{
    struct refmmu m = fuzz.mmu;
    m.cr4 ^= bit;
    if (m.cr4 & CR4_PAE)
        put_pdptes(current_root());
    FUZZ_TELL("CR4 = %03x", m.cr4);
    /* The manual names PGE and PAE; after PSE a guest flushes for itself. */
    return registers_are(m, set_cr4(m.cr4), true, bit != CR4_PSE) &&
           (bit != CR4_PSE || load_cr3(fuzz.mmu.cr3));
}

static bool event_nxe(void)
{
    fuzz.mmu.nxe = !fuzz.mmu.nxe;
    FUZZ_TELL("NXE %u", fuzz.mmu.nxe);
    wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~(uint64_t)EFER_NXE) | (fuzz.mmu.nxe ? EFER_NXE : 0));
    return flush_now();
}

static bool event_mode(void)
{
    switch (fuzz_rnd(8)) {
    case 0: return event_paging();
    case 1: return event_cr4(CR4_PSE);
    case 2: return !has_pge || event_cr4(CR4_PGE);
    case 3: return !has_pae || event_cr4(CR4_PAE);
    case 4: return !has_nx || event_nxe();
    default: return event_wp();
    }
}

static bool event_flood(void)
{
    const uint32_t at = entry_place(), was = (uint32_t)fuzz_model_load(NULL, at, 4);
    FUZZ_TELL("a flood:");
    for (unsigned i = 0; i < 20; i++)
        if (!store_part(at, was ^ (i & 1) << 9, 4) || !load_cr3(fuzz.mmu.cr3))
            return false;
    return true;
}

/* Other memory is written, so that a machine with few frames has to take some away; and read, for
 * it may have been given to somebody else. Some pages are alike, and may come to share a frame. */
static bool event_pressure(uint32_t pages)
{
    static uint32_t at, last[(FUZZ_WINDOW - PRESSURE) / PAGE_SIZE]; /* 0: not written yet */

    FUZZ_TELL("pressure");
    for (uint32_t i = 0; i < pages; i++) {
        const uint32_t la = PRESSURE + at * PAGE_SIZE, was = load32(la);
        if (last[at] && was != last[at])
            return fuzz_wrong("memory at %08x is %08x, and should be %08x", la, was, last[at]);
        last[at] = fuzz_often(50) ? 1 + fuzz_rnd(4) : fuzz_rnd(UINT32_MAX) | 1;
        store32(la, last[at]);
        at = (at + 1) % (sizeof last / sizeof *last);
    }
    return true;
}

static bool live(uint32_t pressure)
{
    const uint32_t what = fuzz_rnd(100);

    if (fuzz.tlb.full && !flush_now())
        return false;
    if (!fuzz_paging() && fuzz_often(30))
        return event_paging();
    if (what < 40)
        return event_access();
    if (what < 60)
        return event_entry();
    if (what < 78)
        return event_remap();
    if (what < 85)
        return event_invlpg();
    if (what < 93)
        return event_cr3();
    if (what < 98)
        return event_mode();
    if (what == 98)
        return fuzz_often(20) ? event_flood() : event_cr3();
    return event_pressure(pressure);
}

/* --- worlds ---------------------------------------------------------------------------------- */

extern char rt_user_start[], rt_user_end[];

static void map_own(void)
{
    for (uint32_t i = 0; i < 1024; i++) {
        const uint32_t la = i * PAGE_SIZE;
        const uint32_t seen = (la - FUZZ_WINDOW) / PAGE_SIZE;
        const uint32_t gpa = seen < FUZZ_PAGES ? fuzz_gpa_of_page(seen) : la;
        const bool user = la >= (uint32_t)rt_user_start && la < (uint32_t)rt_user_end;
        own_table[i] = gpa | (user ? ALL : ALL & ~PTE_U);
        own_tables[i / 512][i % 512] = own_table[i];
    }
    for (unsigned i = 0; i < 2; i++)
        own_pd[i] = (uint32_t)own_tables[i] | ALL;
}

/* Paging is off. */
static void fill_span(void)
{
    for (uint32_t i = 0; i < FUZZ_SPAN; i++)
        store32(FUZZ_BASE + i * PAGE_SIZE + FUZZ_FILL, 0);
}

/* Paging is off. */
static void new_memory(void)
{
    for (unsigned i = 0; i < FUZZ_PAGES; i++) {
        memset(fuzz.model[i], 0, PAGE_SIZE);
        fuzz.model[i][FUZZ_CODE / 4] = TRY_FETCH_CODE;
        fuzz.model[i][FUZZ_TAG / 4] = 0x7a600000 + i;
    }
    for (unsigned i = 0; i < FUZZ_TABLES; i++)
        for (unsigned k = 0; k < 2 * fuzz.tlb.pages; k++) {
            const uint32_t la = fuzz.tlb.page[k / 2].la;
            const uint32_t at = entry_offset(la, k % 2 != 0);
            const uint64_t e = random_entry();
            if (fuzz_often(15))
                continue;
            fuzz.model[i][at / 4] = (uint32_t)e;
            if (fuzz_pae())
                fuzz.model[i][at / 4 + 1] = (uint32_t)(e >> 32);
        }
    for (unsigned i = 0; i < FUZZ_ROOTS; i++) {
        fuzz.model[i][0] = (uint32_t)own_table | ALL;
        fuzz.model[i][FUZZ_PDPT / 4] = (uint32_t)own_pd | PTE_P;
        fuzz.model[i][FUZZ_PDPT / 4 + 1] = 0;
    }
    for (unsigned i = 0; i < FUZZ_PAGES; i++)
        memcpy(fuzz_real(i), fuzz.model[i], PAGE_SIZE);
    for (unsigned i = 0; i < FUZZ_ROOTS; i++)
        put_pdptes(i);
}

static bool new_world(uint32_t pressure)
{
    write_cr0(read_cr0() & ~CR0_PG);
    fuzz.mmu.cr0 = (fuzz.mmu.cr0 & ~CR0_PG) | CR0_WP;
    fuzz.mmu.cr4 = has_pae && fuzz_often(50) ? CR4_PAE : CR4_PSE;
    fuzz.mmu.cr3 = fuzz_gpa_of_page(fuzz_rnd(FUZZ_ROOTS)) + FUZZ_PDPT;
    tlb_flush(&fuzz.tlb);
    new_memory();
    write_cr4(fuzz.mmu.cr4);
    write_cr3(fuzz.mmu.cr3);
    return event_paging() && event_pressure(pressure);
}

static void find_out(void)
{
    uint32_t r[4], la[sizeof slots / sizeof *slots * PLACES];

    fuzz.exact = rt_monitor_present();
    fuzz.xchg = rt_option("xchg", 1) != 0;
    has_pae = fuzz.exact && (cpuid_edx(1) & CPUID1_PAE);
    has_pge = (cpuid_edx(1) & CPUID1_PGE) != 0;
    has_nx = fuzz.exact && (cpuid_edx(0x80000001) & CPUID81_NX);
    fuzz_memory_init();
    fuzz.mmu.pse36 = (cpuid_edx(1) & CPUID1_PSE36) != 0;
    cpuid(0x80000000, r);
    if (r[0] >= 0x80000008u && r[0] < 0x80010000u) {
        cpuid(0x80000008, r);
        fuzz.mmu.maxphyaddr = r[0] & 0xff;
    }
    /* Firmware keeps the last of RAM for its tables. */
    fuzz.beyond = (rt_ram_end() + 0x3fffff) / 0x400000 * 1024;
    for (unsigned i = 0; i < sizeof la / sizeof *la; i++)
        la[i] = slots[i / PLACES] | (uint32_t)places[i % PLACES] << 12;
    tlb_init(&fuzz.tlb, &fuzz.mmu, la, sizeof la / sizeof *la);
}

int main(void)
{
    const uint32_t seed = rt_option("seed", 1), events = rt_option("events", 2000);
    const uint32_t length = rt_option("length", 500), pages = rt_option("pages", 64);
    const uint32_t tell = rt_option("tell", UINT32_MAX);
    const struct rt_range free = rt_free_ram();
    bool good = true;

    if (!(cpuid_edx(1) & CPUID1_PSE) || length == 0)
        rt_panic(length ? "the processor has no 4 MiB pages" : "length=0: no world is that short");
    find_out();
    if (free.start > PRESSURE || fuzz.beyond * PAGE_SIZE < FUZZ_BASE + FUZZ_SPAN * PAGE_SIZE)
        rt_panic("needs RAM from %08x to %08x, has %08x to %08x", PRESSURE,
                 FUZZ_BASE + FUZZ_SPAN * PAGE_SIZE, free.start, fuzz.beyond * PAGE_SIZE);
    map_own();
    trap_init();
    if (rt_option_is("whole", ""))
        fill_span();
    for (; good && fuzz.did.events < events; fuzz.did.events++) {
        fuzz.event_now = fuzz.did.events % length;
        fuzz.world_now = fuzz.did.events / length;
        fuzz.told = fuzz.world_now == tell;
        fuzz.rng = (uint32_t)fuzz_mix(fuzz_mix(seed) + fuzz.did.events) | 1;
        good = (fuzz.event_now || new_world(pages)) && live(pages) &&
               (fuzz.did.events % 64 || fuzz_all_same());
    }
    good = good && fuzz_all_same();
    write_cr0(read_cr0() & ~CR0_PG);
    tap_ok(good, "%u events from seed %u as the model says", fuzz.did.events, seed);
    tap_note("%u accesses, %u of them faults, %u by what the tables no longer say, %u left out, %u "
             "loads refused",
             fuzz.did.accesses, fuzz.did.faults, fuzz.did.stale, fuzz.did.left_out,
             fuzz.did.refused);
    return tap_done();
}
