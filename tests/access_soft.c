/*
 * See access_soft.h. Guest-physical memory below ACCESS_OURS:
 *
 *   0x3000  GDT                                                 0x4000  IDT
 *   0x5000  TSS                                                 0x9000  #PF handler (never run:
 *   what access_cpu.h names                                             delivery ends there)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/access_cpu.h"
#include "tests/access_soft.h"
#include "tests/soft_env.h"

enum { GDT = 0x3000, IDT = 0x4000, TSS = 0x5000, HANDLER = 0x9000, SEL_TSS = 0x28 };

struct access_soft {
    struct senv *e;
    struct refmmu m;
    struct refmmu_walk miss; /* the walk that ended in a fault */
};

static uint64_t load(void *ctx, uint64_t gpa, unsigned size)
{
    uint64_t v = 0;
    struct senv *e = ctx;
    if (gpa + size <= (uint64_t)e->frames * PAGE_SIZE)
        memcpy(&v, e->ram + gpa, size);
    return v;
}

static void store(void *ctx, uint64_t gpa, uint64_t val, unsigned size)
{
    struct senv *e = ctx;
    if (gpa + size <= (uint64_t)e->frames * PAGE_SIZE)
        memcpy(e->ram + gpa, &val, size);
}

/* Grants exactly the access that is asked for, so that each kind comes to the reference MMU. */
static int translate(void *ctx, la_t la, enum soft_access acc, bool user, struct soft_page *out)
{
    struct access_soft *s = ((struct senv *)ctx)->user;
    const enum refmmu_kind kind = acc == SOFT_W ? REF_WRITE : acc == SOFT_X ? REF_FETCH : REF_READ;
    struct refmmu_walk w;

    refmmu_access(&s->m, la, kind, user, &w);
    if (w.fault) {
        s->miss = w;
        return -EFAULT;
    }
    const uint64_t f = w.gpa >> PAGE_SHIFT;
    const bool is_ram = f < s->e->frames;
    *out = (struct soft_page){.host = is_ram ? s->e->ram + f * PAGE_SIZE : NULL,
                              .frame = is_ram ? (frame_t)f : FRAME_NONE,
                              .gpa = w.gpa & ~(uint64_t)PAGE_MASK,
                              .writable = acc == SOFT_W,
                              .executable = acc == SOFT_X};
    return 0;
}

static void put32(struct senv *e, uint32_t gpa, uint32_t v)
{
    senv_put(e, gpa, &v, 4);
}

static void put_desc(struct senv *e, uint32_t gpa, uint32_t lo, uint32_t hi)
{
    put32(e, gpa, lo);
    put32(e, gpa + 4, hi);
}

static void put_world(struct senv *e)
{
    put_desc(e, GDT + SEL_KCODE, 0xffff, 0xcf9b00);
    put_desc(e, GDT + SEL_KDATA, 0xffff, 0xcf9300);
    put_desc(e, GDT + (SEL_UCODE & ~3), 0xffff, 0xcffb00);
    put_desc(e, GDT + (SEL_UDATA & ~3), 0xffff, 0xcff300);
    put_desc(e, IDT + 8 * VEC_PF, SEL_KCODE << 16 | HANDLER, 0x8e00);
    put32(e, TSS + 4, STACK);
    put32(e, TSS + 8, SEL_KDATA);
    SENV_CODE(e, READ_AT, 0x8b, 0x06);  /* mov (%esi), %eax */
    SENV_CODE(e, WRITE_AT, 0x89, 0x06); /* mov %eax, (%esi) */
    SENV_CODE(e, ACCESS_PAGE + (ACCESS_LA & PAGE_MASK), 0x90);
    SENV_CODE(e, ACCESS_BIG + (ACCESS_LA & 0x3fffffu), 0x90);
    SENV_CODE(e, ACCESS_BIG + (ACCESS_LA & 0x1fffffu), 0x90);
}

struct access_soft *access_soft_new(void)
{
    struct access_soft *s = calloc(1, sizeof *s);

    if (!s)
        abort();
    s->e = senv_new(ACCESS_RAM / PAGE_SIZE);
    s->e->user = s; /* the context stays the environment: its other callbacks need it */
    s->e->env.translate = translate;
    s->m = (struct refmmu){.mem = {s->e, load, store}, .maxphyaddr = ACCESS_MAXPHYADDR};
    put_world(s->e);
    return s;
}

void access_soft_free(struct access_soft *s)
{
    senv_free(s->e);
    free(s);
}

/* The first 2 MiB, one to one, for ring 0 and 3; then the case's own entries. */
static void put_tables(struct senv *e, const struct access_case *c)
{
    const unsigned size = c->pae ? 8 : 4;

    memset(e->ram + ACCESS_PD, 0, 2 * PAGE_SIZE);
    for (uint32_t i = 0; i < ACCESS_OURS / PAGE_SIZE; i++)
        store(e, TABLE + i * size, i << PAGE_SHIFT | ENTRY_ALL, size);
    store(e, ACCESS_PD, TABLE | ENTRY_ALL, size);
    if (c->pae)
        store(e, ACCESS_PDPT, ACCESS_PD | 1, 8);
    store(e, access_pde_gpa(c), c->pde, size);
    store(e, access_pte_gpa(c), c->pte, size);
}

static void set_cpu(struct access_soft *s, const struct access_case *c)
{
    struct cpu *cpu = &s->e->cpu;

    access_set_cpu(cpu, c);
    cpu->gdtr = (struct desc_table){.base = GDT, .limit = 0x2f};
    cpu->idtr = (struct desc_table){.base = IDT, .limit = 8 * 32 - 1};
    cpu->tr =
        (struct seg){.sel = SEL_TSS, .attr = SA_P | ST_TSS32_BUSY, .base = TSS, .limit = 0x67};
    cpu->cr2 = 0xdead;
    s->m.cr0 = cpu->cr0;
    s->m.cr4 = cpu->cr4;
    s->m.cr3 = cpu->cr3;
    s->m.nxe = c->nxe;
}

/* Deliver the #PF through the guest's IDT; CR2, error code, EIP and CS on the stack are the guest's
 * view. */
static bool deliver(struct access_soft *s, const struct access_case *c, struct access_result *r)
{
    const uint32_t eip = s->e->cpu.eip;
    const struct soft_event ev = {.vector = VEC_PF,
                                  .has_error = true,
                                  .error = s->miss.error,
                                  .kind = SOFT_EV_FAULT,
                                  .cr2 = s->e->exit.la};
    struct cpu *cpu = &s->e->cpu;
    uint32_t frame[3];

    if (soft_deliver(s->e->soft, &ev, &s->e->exit) != SOFT_EXIT_BUDGET)
        return false;
    memcpy(frame, s->e->ram + cpu->gpr[R_ESP], sizeof frame);
    r->fault = true;
    r->error = frame[0];
    r->cr2 = cpu->cr2;
    return cpu->eip == HANDLER && cpu->cpl == 0 && frame[1] == eip &&
           frame[2] == (c->user ? SEL_UCODE : SEL_KCODE);
}

static bool run(void *ctx, const struct access_case *c, struct access_result *r)
{
    struct access_soft *s = ctx;
    const unsigned size = c->pae ? 8 : 4;
    bool good = true;

    if (!c->again)
        put_tables(s->e, c);
    set_cpu(s, c);
    if (c->pae && !refmmu_load_pdptes(&s->m))
        return false;
    soft_tlb_flush(s->e->soft);
    *r = (struct access_result){0};
    switch (soft_run(s->e->soft, 1, &s->e->exit)) {
    case SOFT_EXIT_BUDGET: break;
    case SOFT_EXIT_PF:
        good = s->e->exit.user == c->user &&
               s->e->exit.access == (c->kind == REF_WRITE   ? SOFT_W
                                     : c->kind == REF_FETCH ? SOFT_X
                                                            : SOFT_R) &&
               deliver(s, c, r);
        break;
    default: good = false; break;
    }
    r->pde = load(s->e, access_pde_gpa(c), size);
    r->pte = load(s->e, access_pte_gpa(c), size);
    return good;
}

static bool flush(void *ctx, unsigned event, const struct access_case *c)
{
    struct access_soft *s = ctx;
    (void)c;
    if (event == 0)
        soft_tlb_drop(s->e->soft, ACCESS_LA);
    else
        soft_tlb_flush(s->e->soft);
    return true;
}

static const char *flush_name(unsigned event)
{
    return event ? "a flush" : "INVLPG";
}

struct access_engine access_soft_engine(struct access_soft *s)
{
    return (struct access_engine){.name = "soft CPU over the reference MMU",
                                  .ctx = s,
                                  .run = run,
                                  .events = 2,
                                  .disturb = flush,
                                  .event_name = flush_name};
}
