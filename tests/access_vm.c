/* See access_vm.h. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "mm/reclaim.h"
#include "tests/access_cpu.h"
#include "tests/access_vm.h"
#include "vmm/soft_engine.h"

struct access_vm {
    struct vm *vm;
    struct store *store;
    bool audit, large;
    uint64_t swapped; /* pages that went out */
};

static void put(struct access_vm *a, gpa_t gpa, const void *bytes, unsigned n)
{
    if (gmem_valid(&a->vm->gmem, gpa, n))
        cr_assert_eq(gmem_write(&a->vm->gmem, gpa, bytes, n), 0);
}

static uint64_t get(struct access_vm *a, gpa_t gpa, unsigned n)
{
    uint64_t v = 0;
    if (gmem_valid(&a->vm->gmem, gpa, n))
        cr_assert_eq(gmem_read(&a->vm->gmem, gpa, &v, n), 0);
    return v;
}

#define PUT_CODE(a, gpa, ...)                                                                      \
    put(a, gpa, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* HLT behind each access: at CPL 0 on soft it would halt, so it is never executed: the access is
 * one step. On kvm it traps, and the trap says that the access is done. */
static void put_world(struct access_vm *a)
{
    PUT_CODE(a, READ_AT, 0x8b, 0x06, 0xf4);  /* mov (%esi), %eax; hlt */
    PUT_CODE(a, WRITE_AT, 0x89, 0x06, 0xf4); /* mov %eax, (%esi); hlt */
    PUT_CODE(a, ACCESS_PAGE + (ACCESS_LA & PAGE_MASK), 0x90, 0xf4);
    PUT_CODE(a, ACCESS_BIG + (ACCESS_LA & 0x3fffffu), 0x90, 0xf4);
    PUT_CODE(a, ACCESS_BIG + (ACCESS_LA & 0x1fffffu), 0x90, 0xf4);
    for (uint32_t i = 0; i < ACCESS_OURS / PAGE_SIZE; i++) {
        const uint32_t e = i << PAGE_SHIFT | ENTRY_ALL;
        put(a, TABLE + i * 4, &e, 4);
    }
}

struct access_vm *access_vm_new(enum vm_engine engine, enum vm_ring0 ring0, bool large,
                                const char **why)
{
    static struct errmsg err;
    struct access_vm *a = calloc(1, sizeof *a);
    const struct vm_swap_opts so = {.zpool = 1u << 20};
    cr_assert(a != NULL);
    cr_assert_eq(vm_swap_open(&so, &a->store, &err), 0, "%s", err.text);
    const struct vm_opts o = {.ram = ACCESS_RAM,
                              .shadow_quota = 256,
                              .engine = engine,
                              .ring0 = ring0,
                              .large_pages = large,
                              .store = a->store};
    if (vm_create(&o, &a->vm, &err) < 0) {
        *why = err.text;
        store_close(a->store);
        free(a);
        return NULL;
    }
    a->large = large;
    put_world(a);
    return a;
}

void access_vm_free(struct access_vm *a)
{
    vm_destroy(a->vm);
    store_close(a->store);
    free(a);
}

uint64_t access_vm_swapped(const struct access_vm *a)
{
    return a->swapped;
}

uint64_t access_vm_collapses(const struct access_vm *a)
{
    struct shadow_stats s;
    shadow_get_stats(a->vm->shadow, &s);
    return s.collapses;
}

void access_vm_audit(struct access_vm *a, bool on)
{
    a->audit = on;
}

/* All that a large page can map is there, written, and nobody's but ours: one run, for all that the
 * events of the case before have done. */
static void make_whole(struct access_vm *a)
{
    for (gfn_t g = gfn_of(ACCESS_BIG); g < gfn_of(ACCESS_RAM); g++)
        cr_assert_leq(mm_fault(a->vm->mm, g, MM_ACCESS_WRITE).result, MM_SPURIOUS);
}

static void put_tables(struct access_vm *a, const struct access_case *c)
{
    const unsigned size = c->pae ? 8 : 4;
    const uint64_t low = TABLE | ENTRY_ALL;

    cr_assert_eq(gmem_fill(&a->vm->gmem, ACCESS_PD, 0, 2 * PAGE_SIZE), 0);
    if (c->pae)
        for (uint32_t i = 0; i < 512; i++) {
            const uint64_t e = i << PAGE_SHIFT | ENTRY_ALL;
            put(a, TABLE + i * 8, &e, 8);
        }
    else
        for (uint32_t i = 0; i < 512; i++) {
            const uint32_t e = i << PAGE_SHIFT | ENTRY_ALL;
            put(a, TABLE + i * 4, &e, 4);
        }
    put(a, ACCESS_PD, &low, size);
    if (c->pae) {
        const uint64_t pdpte = ACCESS_PD | 1;
        put(a, ACCESS_PDPT, &pdpte, 8);
    }
    put(a, access_pde_gpa(c), &c->pde, size);
    put(a, access_pte_gpa(c), &c->pte, size);
}

/* What a load of CR3 does. */
static void flush(struct access_vm *a)
{
    shadow_load_mode(a->vm->shadow, &a->vm->cpu);
    a->vm->soft->ops->flush(a->vm->soft);
}

static bool sound(struct access_vm *a)
{
    char msg[200];
    if (!a->audit || (mm_audit(a->vm->pool, msg, sizeof msg) == 0 &&
                      shadow_audit(a->vm->shadow, msg, sizeof msg) == 0))
        return true;
    fprintf(stderr, "audit: %s\n", msg);
    return false;
}

/* Do the access on the engine that the machine would take for it. 1: done, 0: the guest's fault,
 * -1: the engine could not. */
static int do_access(struct access_vm *a, const struct access_case *c, struct access_result *r)
{
    struct vm *vm = a->vm;
    const uint32_t eip = vm->cpu.eip, behind = eip + (c->kind == REF_FETCH ? 1 : 2);

    for (int i = 0; i < 32 && vm->end == VM_RUNNING; i++) {
        struct trap t = {0};
        const bool kvm = vm->kvm && vm->kvm->ops->can_run(vm->kvm);
        if (kvm)
            vm->kvm->ops->run(vm->kvm, &t);
        else
            soft_engine_step(vm->soft, &t);
        if (t.kind == TRAP_KICK)
            continue;
        if (vm->cpu.eip == behind && (t.kind == TRAP_EMULATE || t.kind == TRAP_BUDGET))
            return 1;
        if (t.kind != TRAP_PF || vm->cpu.eip != eip) {
            char text[200];
            access_describe(c, text, sizeof text);
            fprintf(stderr, "trap %d (%s) at %x, la %x: %s\n", t.kind, t.why, vm->cpu.eip, t.la,
                    text);
            return -1;
        }
        switch (fault_handle(vm, t.la, t.error)) {
        case FAULT_RETRY: break;
        case FAULT_GUEST:
            r->fault = true;
            r->error = vm->guest_error;
            r->cr2 = t.la;
            return 0;
        case FAULT_EMULATE:
            if (!kvm)
                break;
            soft_engine_step(vm->soft, &t);
            return vm->cpu.eip == behind ? 1 : -1;
        case FAULT_ENDED: break;
        }
    }
    fprintf(stderr, "ended: %s\n", vm->end_text);
    return -1;
}

static bool run(void *ctx, const struct access_case *c, struct access_result *r)
{
    struct access_vm *a = ctx;
    const unsigned size = c->pae ? 8 : 4;

    *r = (struct access_result){0};
    if (!c->again && a->large)
        make_whole(a);
    if (!c->again)
        put_tables(a, c);
    access_set_cpu(&a->vm->cpu, c);
    a->vm->cpu.gpr[R_EAX] = 0xf4f4f490; /* what a write leaves is what a fetch expects: NOP, HLT */
    if (!c->again)
        flush(a);
    if (do_access(a, c, r) < 0 || !sound(a))
        return false;
    r->pde = get(a, access_pde_gpa(c), size);
    r->pte = get(a, access_pte_gpa(c), size);
    return true;
}

/* --- events that must not show --------------------------------------------------------------- */

enum {
    EV_FORK,
    EV_PROTECT_ALL,
    EV_ZAP_PAGE,
    EV_ZAP_TABLE,
    EV_SWAP_PAGE,
    EV_SWAP_TABLE,
    EV_SWAP_DIRECTORY,
    EV_QUOTA,
    EV_INVLPG,
    EV_FLUSH,
    EVENTS
};

/* Send a page out. It must be gone, unless there is none, or nothing of its own in it. */
static bool swap_out(struct access_vm *a, gpa_t gpa)
{
    const gfn_t gfn = gfn_of(gpa);
    if (!gmem_valid(&a->vm->gmem, gpa, 1))
        return true;
    const pte_t was = mm_pte(a->vm->mm, gfn);
    if (mm_pageout(a->vm->mm, gfn, 1) < 0)
        return false;
    const pte_t now = mm_pte(a->vm->mm, gfn);
    a->swapped += pte_is_swap(now);
    return pte_is_swap(now) || pte_none(was) || pte_frame(was) == POOL_ZERO_FRAME;
}

/* What the case's walk ends at, as far as it has one. */
static gpa_t page_of(const struct access_case *c)
{
    const bool large = (c->pde & 0x80) && (c->pae || (c->cr4 & CR4_PSE));
    return large ? ACCESS_BIG + (ACCESS_LA & (c->pae ? 0x1fffffu : 0x3fffffu)) : ACCESS_PAGE;
}

static bool disturb(void *ctx, unsigned event, const struct access_case *c)
{
    struct access_vm *a = ctx;
    struct mm *child;

    switch (event) {
    case EV_FORK: /* every page is copy-on-write, tables too; the child goes, the parent owns alone
                   */
        if (mm_fork(a->vm->mm, "child", &child) < 0)
            return false;
        mm_destroy(child);
        break;
    case EV_PROTECT_ALL: shadow_write_protect(a->vm->shadow, 0, ACCESS_RAM / PAGE_SIZE); break;
    case EV_ZAP_PAGE: shadow_zap(a->vm->shadow, ACCESS_PAGE >> PAGE_SHIFT, 1); break;
    case EV_ZAP_TABLE: shadow_zap(a->vm->shadow, gfn_of(access_pte_gpa(c)), 1); break;
    case EV_SWAP_PAGE:
        if (!swap_out(a, page_of(c)))
            return false;
        break;
    case EV_SWAP_TABLE:
        if (!swap_out(a, access_pte_gpa(c)))
            return false;
        break;
    case EV_SWAP_DIRECTORY:
        if (!swap_out(a, access_pde_gpa(c)))
            return false;
        break;
    case EV_QUOTA: shadow_zap_all(a->vm->shadow); break;
    case EV_INVLPG:
        shadow_invlpg(a->vm->shadow, ACCESS_LA);
        soft_tlb_drop(soft_engine_cpu(a->vm->soft), ACCESS_LA);
        break;
    case EV_FLUSH: flush(a); break;
    default: return false;
    }
    return sound(a);
}

static const char *event_name(unsigned event)
{
    static const char *const names[EVENTS] = {"a fork",
                                              "write protection",
                                              "zap of the page",
                                              "zap of the table",
                                              "swap-out of the page",
                                              "swap-out of the table",
                                              "swap-out of the directory",
                                              "quota reclaim",
                                              "INVLPG",
                                              "a flush"};
    return names[event];
}

struct access_engine access_vm_engine(struct access_vm *a)
{
    return (struct access_engine){.name = vm_engine_name(a->vm),
                                  .ctx = a,
                                  .run = run,
                                  .events = EVENTS,
                                  .disturb = disturb,
                                  .event_name = event_name};
}
