/*
 * Changes of the shadow tables under a running guest: whatever was mapped, remapped,
 * write-protected, taken away or recycled, guest code must see exactly what a plain model says, and
 * fault where it says so. Needs /dev/kvm; says so and skips where there is none.
 */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "mm/mm.h"
#include "vmm/kvm/kvm.h"
#include "vmm/shadow/shadow.h"

#define FRAMES     64u
#define PAGES      48u         /* linear pages under test, in three tables */
#define CODE_LA    0xfff00000u /* far from them */
#define CODE_FRAME (FRAMES - 1)

static struct kvm_host host;
static struct pool *pool;
static struct mm *mm;
static struct gmem gmem;
static struct shadow *shadow;
static struct engine *kvm;
static struct cpu cpu;
static frame_t frame[FRAMES]; /* frame[i] backs gfn i of mm */
static struct {
    int frame; /* index into frame[], -1: absent */
    bool writable;
} model[PAGES];

static bool on_io(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count, void *data)
{
    (void)ctx, (void)port, (void)size, (void)in, (void)count, (void)data;
    return true;
}

static la_t la_of(unsigned page)
{
    return 0x10000000u * (page % 3 + 1) + (page / 3) * PAGE_SIZE;
}

static uint32_t *word(unsigned f)
{
    return (uint32_t *)(void *)pool_ptr(pool, frame[f]);
}

/* Paging is off: rights are the mapper's, and any gfn may stand behind any linear address. */
static int map(la_t la, gfn_t gfn, frame_t f, bool writable)
{
    const struct walk w = {.gpa = gpa_of(gfn), .writable = true, .user = true, .dirty = true};
    return shadow_map(shadow, la, false, &w, f, writable);
}

static void setup(uint32_t quota)
{
    struct errmsg err;
    if (kvm_host_open(NULL, &host, &err) < 0)
        cr_skip_test("no usable KVM here: %s", err.text);
    cr_assert_eq(pool_create(&(struct pool_opts){.bytes = 6u << 20}, &pool), 0);
    cr_assert_eq(mm_create(pool, "test", &mm), 0);
    cr_assert_eq(mm_map_anon(mm, 0, FRAMES, MM_READ | MM_WRITE, MM_ANON_PRIVATE), 0);
    for (unsigned i = 0; i < FRAMES; i++) {
        frame[i] = mm_fault(mm, i, MM_ACCESS_WRITE).frame;
        *word(i) = 0x1000 + i;
    }
    gmem = (struct gmem){.mm = mm, .bytes = FRAMES * PAGE_SIZE};
    cr_assert_eq(shadow_create(&gmem, quota, &shadow), 0);
    const struct engine_env env = {.cpu = &cpu, .pool = pool, .shadow = shadow, .io = on_io};
    cr_assert_eq(
        kvm_engine_create(&host, &env, &(struct kvm_engine_opts){.native_ring0 = true}, &kvm, &err),
        0, "%s", err.text);
    for (unsigned i = 0; i < PAGES; i++)
        model[i].frame = -1;
}

static void teardown(void)
{
    kvm->ops->destroy(kvm);
    shadow_destroy(shadow);
    mm_destroy(mm);
    pool_destroy(pool);
    kvm_host_close(&host);
}

/* Run one instruction at EBX with EAX; true: it completed, EAX as it left it. */
static bool guest(const uint8_t insn[2], la_t la, uint32_t *eax)
{
    struct trap t;
    uint8_t *code = pool_ptr(pool, frame[CODE_FRAME]);
    code[0] = insn[0], code[1] = insn[1], code[2] = 0xf4;
    cpu_set_flat(&cpu, CODE_LA);
    cpu.gpr[R_EBX] = la;
    cpu.gpr[R_EAX] = *eax;
    for (;;) {
        kvm->ops->run(kvm, &t);
        if (t.kind == TRAP_PF && (t.la & ~PAGE_MASK) == CODE_LA) {
            cr_assert_eq(map(CODE_LA, CODE_FRAME, frame[CODE_FRAME], false), 0);
            continue;
        }
        if (t.kind == TRAP_PF) {
            cr_assert_eq(t.la, la, "CR2 %x, not %x", t.la, la);
            cr_assert_eq(cpu.eip, CODE_LA);
            return false;
        }
        cr_assert_eq(t.kind, TRAP_EMULATE, "trap %d %s", t.kind, t.kind == TRAP_ERROR ? t.why : "");
        cr_assert_eq(cpu.eip, CODE_LA + 2, "EIP %x", cpu.eip);
        *eax = cpu.gpr[R_EAX];
        return true;
    }
}

static void check_read(unsigned p)
{
    const uint8_t load[2] = {0x8b, 0x03};
    uint32_t eax = 0;
    const bool done = guest(load, la_of(p), &eax);
    if (done) {
        cr_assert(model[p].frame >= 0, "page %u is absent and was read: %x", p, eax);
        cr_assert_eq(eax, *word((unsigned)model[p].frame), "page %u reads %x, its frame has %x", p,
                     eax, *word((unsigned)model[p].frame));
    } else {
        /* The quota may have taken a present mapping away; never the other way round. */
        cr_assert(!spte_present(shadow_lookup(shadow, la_of(p), false, NULL)),
                  "page %u is present and faults", p);
        model[p].frame = -1;
    }
}

static void check_write(unsigned p, uint32_t val)
{
    const uint8_t store[2] = {0x89, 0x03};
    uint32_t eax = val;
    if (guest(store, la_of(p), &eax)) {
        cr_assert(model[p].frame >= 0 && model[p].writable,
                  "page %u is not writable and was written", p);
        cr_assert_eq(*word((unsigned)model[p].frame), val);
    } else {
        cr_assert(!spte_writable(shadow_lookup(shadow, la_of(p), false, NULL)),
                  "page %u is writable and faults", p);
    }
}

static void change(unsigned p)
{
    switch (rand() % 4) {
    case 0:
        shadow_zap(shadow, FRAMES + p, 1);
        model[p].frame = -1;
        break;
    case 1:
        shadow_write_protect(shadow, FRAMES + p, 1);
        model[p].writable = false;
        break;
    default:
        model[p].frame = rand() % (int)CODE_FRAME;
        model[p].writable = rand() % 2;
        cr_assert_eq(map(la_of(p), FRAMES + p, frame[model[p].frame], model[p].writable), 0);
    }
}

static void hammer(uint32_t quota, unsigned seed, unsigned rounds)
{
    setup(quota);
    srand(seed);
    for (unsigned i = 0; i < rounds; i++) {
        for (int n = rand() % 6; n > 0; n--)
            change((unsigned)rand() % PAGES);
        if (i % 500 == 499)
            shadow_zap_all(shadow);
        const unsigned p = (unsigned)rand() % PAGES;
        if (rand() % 2)
            check_read(p);
        else
            check_write(p, (uint32_t)rand());
    }
    teardown();
}

Test(kvm_shadow, guest_sees_every_change, .timeout = 60)
{
    hammer(1024, 1, 20000);
}

Test(kvm_shadow, guest_sees_every_change_when_tables_are_recycled, .timeout = 60)
{
    hammer(SHADOW_MIN_PAGES, 2, 20000);
}

Test(kvm_shadow, many_restrictions_at_once_overflow_the_queue_safely, .timeout = 60)
{
    setup(4096);
    for (unsigned i = 0; i < 600; i++) {
        cr_assert_eq(map(0x50000000u + i * PAGE_SIZE, 1000 + i, frame[i % CODE_FRAME], true), 0);
        uint32_t eax = 0;
        cr_assert(guest((const uint8_t[2]){0x8b, 0x03}, 0x50000000u + i * PAGE_SIZE, &eax));
    }
    shadow_zap(shadow, 1000, 600);
    for (unsigned i = 0; i < 600; i++) {
        uint32_t eax = 0;
        cr_assert(!guest((const uint8_t[2]){0x8b, 0x03}, 0x50000000u + i * PAGE_SIZE, &eax));
    }
    teardown();
}

/* --- entries of 2 MiB --------------------------------------------------------------------------
 * Two linear ranges over frames 512 to 1535, which the mm does not use: mapped whole, taken apart
 * page by page, and whole again. */

#define LARGE_FIRST 512u
#define LARGE_PAGES (2 * SHADOW_LARGE_PAGES)

static struct {
    unsigned frame; /* 0: absent */
    bool writable;
} large[LARGE_PAGES];

static la_t large_la(unsigned p)
{
    return 0x60000000u + (p / SHADOW_LARGE_PAGES << 28) + p % SHADOW_LARGE_PAGES * PAGE_SIZE;
}

static uint32_t *large_word(unsigned f)
{
    return (uint32_t *)(void *)pool_ptr(pool, f);
}

static void large_map(unsigned p, unsigned f, bool writable)
{
    cr_assert_eq(map(large_la(p), 2000 + p, f, writable), 0);
    large[p].frame = f;
    large[p].writable = writable;
}

/* One range from nothing to all of its pages. */
static void large_whole(unsigned range, bool writable)
{
    const unsigned first = range * SHADOW_LARGE_PAGES;
    shadow_zap(shadow, 2000 + first, SHADOW_LARGE_PAGES);
    for (unsigned i = first; i < first + SHADOW_LARGE_PAGES; i++)
        large_map(i, LARGE_FIRST + i, writable);
}

static void large_change(unsigned p)
{
    switch (rand() % 4) {
    case 0:
        shadow_zap(shadow, 2000 + p, 1);
        large[p].frame = 0;
        break;
    case 1:
        shadow_write_protect(shadow, 2000 + p, 1);
        large[p].writable = false;
        break;
    case 2: large_map(p, LARGE_FIRST + (unsigned)rand() % LARGE_PAGES, rand() % 2); break;
    default: large_map(p, LARGE_FIRST + p, true); break;
    }
}

static void large_check(unsigned p)
{
    uint32_t eax = (uint32_t)rand();
    const uint32_t val = eax;
    if (rand() % 2) {
        const bool done = guest((const uint8_t[2]){0x8b, 0x03}, large_la(p), &eax);
        cr_assert_eq(done, large[p].frame != 0, "page %u: %s", p, done ? "read" : "faults");
        if (done)
            cr_assert_eq(eax, *large_word(large[p].frame), "page %u reads another frame", p);
    } else {
        const bool done = guest((const uint8_t[2]){0x89, 0x03}, large_la(p), &eax);
        cr_assert_eq(done, large[p].frame && large[p].writable, "page %u: %s", p,
                     done ? "written" : "faults");
        if (done)
            cr_assert_eq(*large_word(large[p].frame), val);
    }
}

Test(kvm_shadow, guest_sees_every_change_under_large_entries, .timeout = 60)
{
    struct shadow_stats s;
    unsigned met = 0;
    setup(1024);
    shadow_set_large(shadow, true);
    srand(3);
    for (unsigned f = 0; f < LARGE_PAGES; f++)
        *large_word(LARGE_FIRST + f) = 0x2000 + f;
    for (unsigned i = 0; i < 10000; i++) {
        if (i % 40 == 0)
            large_whole(i / 40 % 2, i % 3 != 0);
        const unsigned p = (unsigned)rand() % LARGE_PAGES;
        met += shadow_is_large(shadow, large_la(p), false);
        large_check(p);
        /* often the neighbour of what has just been used, by the same entry */
        if (rand() % 12 == 0)
            large_change(rand() % 2 ? p : (p ^ 1));
        large_check(rand() % 2 ? p : (p ^ 1));
    }
    shadow_get_stats(shadow, &s);
    cr_expect_gt(s.splits, 20);
    cr_expect_gt(met, 500, "%u accesses through large entries", met);
    printf("%u accesses through large entries, %llu split\n", met, (unsigned long long)s.splits);
    teardown();
}
