/*
 * What explain foretells is what then happens: accesses of every kind to pages in every state that
 * random work brings them into, each foretold, then made (a fault goes the way that the CPU's own
 * would: fault_handle), and held against what was said.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "mm/reclaim.h"
#include "vmm/cpu/cpu.h"
#include "vmm/explain.h"
#include "vmm/vm.h"

enum { DIR = 0x10000, TABLE = 0x11000, PAGES = 64, FIRST = 0x400000 };
/* What depends on more than the page. */
#define PATH_TOLD (~(uint32_t)(MM_PATH_READAHEAD | MM_PATH_RECLAIM | MM_PATH_RACE))

struct world {
    struct vm *vm;
    struct store *store;
    struct mm *child; /* of a fork; NULL: none */
    uint32_t seed;
    unsigned faults, guest, none, mmio;
    uint32_t paths; /* met */
};

static uint32_t pick(struct world *w, uint32_t n)
{
    w->seed = w->seed * 1664525u + 1013904223u;
    return (w->seed >> 8) % n;
}

static void poke(struct world *w, gpa_t gpa, uint32_t val)
{
    cr_assert_eq(gmem_write(&w->vm->gmem, gpa, &val, 4), 0);
}

/* Guest page 0x40 + i behind linear FIRST + i pages; some lie where no RAM is. */
static uint32_t fresh_entry(struct world *w, uint32_t i)
{
    static const uint32_t rights[] = {7, 7, 7, 5, 3, 1, 0, 0x67, 0x47, 0x27};
    const uint32_t gfn = i % 16 == 15 ? 0xd0000 + i : 0x40 + i;
    return gfn << 12 | rights[pick(w, 10)];
}

static void setup(struct world *w, bool swap, uint32_t cr0)
{
    struct vm_opts o = {.ram = 4u << 20, .shadow_quota = 256, .engine = VM_ENGINE_SOFT};
    struct errmsg err;
    if (swap) {
        const struct vm_swap_opts so = {.zpool = 4u << 20};
        cr_assert_eq(vm_swap_open(&so, &w->store, &err), 0, "%s", err.text);
        o.store = w->store;
    }
    cr_assert_eq(vm_create(&o, &w->vm, &err), 0, "%s", err.text);
    poke(w, DIR + 4, TABLE | 0x27);
    poke(w, DIR + 8, 0x00000087);  /* 0x800000: a large page over all of RAM, for a change */
    poke(w, DIR + 12, 0x00402087); /* 0xc00000: reserved bits */
    for (uint32_t i = 0; i < PAGES; i++)
        poke(w, TABLE + 4 * i, fresh_entry(w, i));
    cpu_set_flat(&w->vm->cpu, 0x1000);
    w->vm->cpu.cr0 |= cr0;
    w->vm->cpu.cr3 = DIR;
    w->vm->cpu.cr4 = CR4_PSE;
    shadow_load_mode(w->vm->shadow, &w->vm->cpu);
}

static void teardown(struct world *w)
{
    if (w->child)
        mm_destroy(w->child);
    vm_destroy(w->vm);
    store_close(w->store);
}

static la_t any_address(struct world *w)
{
    switch (pick(w, 12)) {
    case 0: return 0x800000 + (pick(w, 1024) << 12) + pick(w, 4096);
    case 1: return 0xc00000 + pick(w, 4096);
    case 2: return pick(w, 1u << 24) << 8;
    default: return FIRST + (pick(w, PAGES) << 12) + pick(w, 4096);
    }
}

/* Foretell an access, make it, compare. */
static void foretold(struct world *w)
{
    struct vm *vm = w->vm;
    const la_t la = any_address(w);
    const bool write = pick(w, 2), user = pick(w, 2);
    struct explain_use u;
    explain_predict(vm, la, write, user, &u);
    const spte_t s = shadow_lookup(vm->shadow, la, user, NULL);
    const bool lets = spte_present(s) && (!write || spte_writable(s));
    cr_assert_eq(lets, u.what == EXPLAIN_NO_TRAP);
    if (lets) {
        w->none++;
        return;
    }
    const uint64_t mmio = vm->stats.mmio;
    vm->fault_result = vm->fault_path = 0;
    const enum fault_outcome o = fault_handle(vm, la, (write ? PF_W : 0) | (user ? PF_U : 0));
    switch (u.what) {
    case EXPLAIN_GUEST_FAULT:
        cr_assert_eq(o, FAULT_GUEST, "%x %d %d: outcome %d", la, write, user, o);
        cr_assert_eq(vm->guest_error, u.error, "%x: error %x, not %x", la, vm->guest_error,
                     u.error);
        w->guest++;
        break;
    case EXPLAIN_MMIO:
        cr_assert_eq(o, FAULT_EMULATE);
        cr_assert_eq(vm->stats.mmio, mmio + 1);
        w->mmio++;
        break;
    case EXPLAIN_FAULT:
        cr_assert_eq(o, FAULT_RETRY, "%x %d %d: outcome %d", la, write, user, o);
        cr_assert_eq(vm->fault_result, u.result, "%x: result %u, not %u", la, vm->fault_result,
                     u.result);
        if (u.exact)
            cr_assert_eq(vm->fault_path & PATH_TOLD, u.path, "%x %d %d: path %x, not %x", la, write,
                         user, vm->fault_path, u.path);
        w->faults++;
        w->paths |= u.path;
        break;
    default: cr_assert_fail("%x: foretold %d", la, u.what);
    }
}

/* What changes a page's state from outside. */
static void disturb(struct world *w)
{
    struct vm *vm = w->vm;
    struct errmsg err;
    const uint32_t i = pick(w, PAGES), n = 1 + pick(w, 8);
    (void)err;
    switch (pick(w, 8)) {
    case 0: cr_assert_eq(mm_pageout(vm->mm, 0x40 + i, n), 0); break;
    case 1:
        if (w->child) {
            mm_destroy(w->child);
            w->child = NULL;
        } else {
            cr_assert_eq(mm_fork(vm->mm, "child", &w->child), 0);
        }
        break;
    case 2:
        if (w->child) /* the child has its own, or lets go of its share */
            (void)mm_fault(w->child, 0x40 + i, pick(w, 2) ? MM_ACCESS_WRITE : MM_ACCESS_READ);
        break;
    case 3: poke(w, TABLE + 4 * i, fresh_entry(w, i)); break; /* not flushed yet */
    case 4:
        poke(w, TABLE + 4 * i, fresh_entry(w, i));
        shadow_load_mode(vm->shadow, &vm->cpu);
        break;
    case 5: shadow_zap(vm->shadow, 0x40 + i, n); break;
    case 6: shadow_write_protect(vm->shadow, 0x40 + i, n); break;
    default: shadow_invlpg(vm->shadow, FIRST + (i << 12)); break;
    }
}

static void random_work(struct world *w)
{
    char msg[200];
    for (int i = 0; i < 20000; i++) {
        foretold(w);
        if (pick(w, 4) == 0)
            disturb(w);
    }
    cr_assert_eq(shadow_audit(w->vm->shadow, msg, sizeof msg), 0, "%s", msg);
    cr_expect_gt(w->faults, 500u);
    cr_expect_gt(w->guest, 500u);
    cr_expect_gt(w->none, 500u);
    cr_expect_gt(w->mmio, 20u);
}

Test(explain, random_work_without_swap)
{
    struct world w = {.seed = 1};
    setup(&w, false, CR0_PG | CR0_WP);
    random_work(&w);
    const uint32_t want = MM_PATH_ZERO | MM_PATH_FRESH | MM_PATH_UNZERO | MM_PATH_COPY;
    cr_expect_eq(w.paths & want, want, "paths met: %x", w.paths);
    teardown(&w);
}

Test(explain, random_work_with_swap)
{
    struct world w = {.seed = 2};
    setup(&w, true, CR0_PG | CR0_WP);
    random_work(&w);
    const uint32_t want =
        MM_PATH_ZERO | MM_PATH_FRESH | MM_PATH_COPY | MM_PATH_REUSE | MM_PATH_SAME;
    cr_expect_eq(w.paths & want, want, "paths met: %x", w.paths);
    teardown(&w);
}

Test(explain, random_work_where_supervisors_may_write_what_is_read_only)
{
    struct world w = {.seed = 3};
    setup(&w, true, CR0_PG);
    random_work(&w);
    teardown(&w);
}

Test(explain, without_paging)
{
    struct world w = {.seed = 4};
    setup(&w, true, 0);
    for (int i = 0; i < 5000; i++) {
        foretold(&w);
        if (pick(&w, 4) == 0)
            disturb(&w);
    }
    teardown(&w);
}

/* The sentences of one page, whole. */
Test(explain, words)
{
    struct world w = {.seed = 5};
    struct explanation x;
    char *text = NULL;
    size_t len;
    setup(&w, false, CR0_PG | CR0_WP);
    poke(&w, TABLE + 4 * 3, 0x43005);
    shadow_load_mode(w.vm->shadow, &w.vm->cpu);
    cr_assert_eq(fault_handle(w.vm, FIRST + 0x3123, PF_U), FAULT_RETRY);
    explain_page(w.vm, FIRST + 0x3123, &x);
    cr_assert(x.faulted);
    x.faulted_ago_s = 0.5;
    FILE *f = open_memstream(&text, &len);
    explain_print(&x, f);
    fclose(f);
    static const char want[] =
        "00403123: two-level tables, CR3 00010000\n"
        "  directory entry 1 at guest-physical 00010004 is 00011027: writable, user, accessed; "
        "leads to the table at 00011000\n"
        "  table entry 3 at guest-physical 0001100c is 00043025: read-only, user, accessed, not "
        "dirty; maps guest-physical 00043000\n"
        "Rights: ring 0 may read and not write; ring 3 may read and not write. The table entry is "
        "read-only.\n"
        "Backing: guest page 00043 is the zero frame, shared and read-only.\n"
        "Shadow: for supervisor accesses the CPU has nothing; for user accesses frame 00000 "
        "read-only. Why: zero page: read-only until the first write.\n"
        "Last fault: 0.500000 s ago (minor: zero frame).\n"
        "What comes next:\n"
        "  read  from ring 0: a trap: all is there, and the shadow gets it\n"
        "  write from ring 0: #PF, error 0003, to the guest\n"
        "  read  from ring 3: no trap\n"
        "  write from ring 3: #PF, error 0007, to the guest\n";
    cr_expect_str_eq(text, want, "%s", text);
    free(text);
    teardown(&w);
}
