/* See diff_machine.h. */
#include "tests/diff_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/rng.h"
#include "vmm/kvm/kvm.h"
#include "vmm/soft_engine.h"

enum {
    SYS = (int)0xc0000000, /* ring 0's pages, linear */
    AT_PDPT = 0x1000,      /* guest-physical */
    AT_PD = 0x2000,        /* of gigabyte 0 and 3 */
    AT_PT_LOW = 0x4000,
    AT_PT_WINDOW = 0x5000,
    AT_PT_SYS = 0x6000,
    AT_SYS = 0x8000,
    AT_WINDOW = 0x10000,
    SYS_PAGES = 5, /* GDT, IDT, TSS, handlers, stack */
};
#define SYS_GDT      ((la_t)SYS)
#define SYS_IDT      ((la_t)SYS + 0x1000)
#define SYS_TSS      ((la_t)SYS + 0x2000)
#define SYS_HANDLERS ((la_t)SYS + 0x3000)
#define SYS_STACK    ((la_t)SYS + 0x4000)

#define P  1ull
#define W  2ull
#define U  4ull
#define A  0x20ull
#define D  0x40ull
#define NX (1ull << 63)

/* --- building -------------------------------------------------------------------------------- */

static int watch(struct diff_machine *m, gfn_t gfn, la_t la, bool table)
{
    int err;
    struct diff_watched *w = &m->page[m->n_pages++];
    uint8_t *host = gmem_page(&m->vm->gmem, gfn, MM_ACCESS_WRITE, &err);
    *w = (struct diff_watched){.gfn = gfn, .la = la, .host = host, .table = table};
    return host ? 0 : err;
}

static uint8_t *page_at(const struct diff_machine *m, la_t la)
{
    for (unsigned i = 0; i < m->n_pages; i++)
        if (!m->page[i].table && m->page[i].la == (la & ~(la_t)PAGE_MASK))
            return m->page[i].host + (la & PAGE_MASK);
    return NULL;
}

static void put32(struct diff_machine *m, la_t la, uint32_t v)
{
    memcpy(page_at(m, la), &v, 4);
}

static uint32_t get32(const struct diff_machine *m, la_t la)
{
    uint32_t v;
    memcpy(&v, page_at(m, la), 4);
    return v;
}

static void put64(struct diff_machine *m, gpa_t at, uint64_t v)
{
    for (unsigned i = 0; i < m->n_pages; i++)
        if (m->page[i].table && m->page[i].gfn == gfn_of(at))
            memcpy(m->page[i].host + (at & PAGE_MASK), &v, 8);
}

static void put_desc(struct diff_machine *m, unsigned sel, uint32_t base, uint32_t limit,
                     unsigned attr)
{
    put32(m, SYS_GDT + sel, (base << 16) | (limit & 0xffff));
    put32(m, SYS_GDT + sel + 4,
          (base & 0xff000000) | (limit & 0xf0000) | attr << 8 | (base >> 16 & 0xff));
}

static void make_descriptors(struct diff_machine *m)
{
    const unsigned dpl = m->ring << 5;
    put_desc(m, 0x08, 0, 0xfffff, 0xc09b);       /* ring-0 code */
    put_desc(m, 0x18, 0, 0xfffff, 0xc093);       /* ring-0 data */
    put_desc(m, 0x20, 0, 0xfffff, 0xc09b | dpl); /* the code under test */
    put_desc(m, 0x28, 0, 0xfffff, 0xc093 | dpl); /* its data */
    put_desc(m, 0x30, 0, 0xfffff, 0xc0f1);       /* read-only */
    put_desc(m, 0x40, SYS_TSS, 0x67, 0x008b);
    put_desc(m, 0x60, 0, 0xfffff, 0xc09f); /* conforming code */
    for (unsigned v = 0; v < 256; v++) {
        const uint32_t to = SYS_HANDLERS + 4 * v;
        const uint32_t gate_dpl = v == 3 || v == 4 || v == DIFF_END_VECTOR ? 3 : 0;
        put32(m, SYS_IDT + 8 * v, 0x08 << 16 | (to & 0xffff));
        put32(m, SYS_IDT + 8 * v + 4, (to & 0xffff0000) | 0x8e00 | gate_dpl << 13);
        put32(m, to, 0xf4f4f4f4);
    }
    put32(m, SYS_TSS + 4, SYS_STACK + PAGE_SIZE);
    put32(m, SYS_TSS + 8, 0x18);
    put32(m, SYS_TSS + 0x64, 0x680000); /* no I/O bitmap */
}

static void map_page(struct diff_machine *m, la_t la, gpa_t gpa, uint64_t bits)
{
    const gpa_t pt = la < 0x200000 ? AT_PT_LOW : la < SYS_GDT ? AT_PT_WINDOW : AT_PT_SYS;
    const gpa_t pd = la < SYS_GDT ? AT_PD : AT_PD + PAGE_SIZE;
    put64(m, pd + (la >> 21 & 0x1ff) * 8, pt | P | W | U | A);
    put64(m, pt + (la >> 12 & 0x1ff) * 8, gpa | bits | P | A | D);
}

static void make_tables(struct diff_machine *m)
{
    put64(m, AT_PDPT, AT_PD | P);
    put64(m, AT_PDPT + 24, (AT_PD + PAGE_SIZE) | P);
    for (unsigned i = 0; i < diff_n_pages; i++)
        map_page(m, diff_pages[i].la, AT_WINDOW + i * PAGE_SIZE,
                 U | (diff_pages[i].prot & PROT_WRITE ? W : 0) |
                     (diff_pages[i].prot & PROT_EXEC ? 0 : NX));
    for (unsigned i = 0; i < SYS_PAGES; i++)
        map_page(m, SYS_GDT + i * PAGE_SIZE, AT_SYS + i * PAGE_SIZE, W);
}

static void fill_window(struct diff_machine *m)
{
    uint64_t x = 88172645463325252u;
    for (unsigned i = 0; i < diff_n_pages; i++) {
        uint8_t *page = page_at(m, diff_pages[i].la);
        for (unsigned k = 0; k < PAGE_SIZE; k++) {
            const uint8_t byte = (uint8_t)(rng_next(&x) >> 32);
            page[k] = diff_pages[i].prot & PROT_EXEC ? 0xf4 : byte;
        }
    }
}

static int build(struct diff_machine *m)
{
    int rc = 0;
    for (gpa_t at = AT_PDPT; at <= AT_PT_SYS && !rc; at += PAGE_SIZE)
        rc = watch(m, gfn_of(at), (la_t)at, true);
    for (unsigned i = 0; i < SYS_PAGES && !rc; i++)
        rc = watch(m, gfn_of(AT_SYS + i * PAGE_SIZE), SYS_GDT + i * PAGE_SIZE, false);
    for (unsigned i = 0; i < diff_n_pages && !rc; i++)
        rc = watch(m, gfn_of(AT_WINDOW + i * PAGE_SIZE), diff_pages[i].la, false);
    if (rc)
        return rc;
    make_descriptors(m);
    make_tables(m);
    fill_window(m);
    m->pristine = malloc((size_t)m->n_pages * PAGE_SIZE);
    if (!m->pristine)
        return -ENOMEM;
    for (unsigned i = 0; i < m->n_pages; i++) {
        m->page[i].before = m->pristine + (size_t)i * PAGE_SIZE;
        memcpy(m->page[i].before, m->page[i].host, PAGE_SIZE);
    }
    return 0;
}

int diff_machine_create(const struct vm_opts *o, unsigned ring, struct diff_machine *m,
                        struct errmsg *err)
{
    *m = (struct diff_machine){.ring = ring};
    int rc = vm_create(o, &m->vm, err);
    if (rc < 0)
        return rc;
    bus_init(&m->vm->board.bus); /* no devices: they know the time */
    rc = build(m);
    return rc < 0 ? err_set(err, rc, "no memory for the guest: %s", strerror(-rc)) : 0;
}

void diff_machine_destroy(struct diff_machine *m)
{
    vm_destroy(m->vm);
    free(m->pristine);
}

/* --- running --------------------------------------------------------------------------------- */

/* Bytes that nobody but the monitor writes: decoded code and shadow tables hear of it. */
static void put(struct diff_machine *m, la_t la, const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        const int page = diff_page_of(la + i);
        if (page >= 0)
            (void)gmem_write(&m->vm->gmem,
                             AT_WINDOW + (gpa_t)page * PAGE_SIZE + ((la + i) & PAGE_MASK),
                             bytes + i, 1);
    }
}

static struct seg flat(unsigned sel, unsigned ring, unsigned type)
{
    return (struct seg){.sel = (uint16_t)(sel | ring),
                        .attr = (uint16_t)(SA_P | ring << SA_DPL_SHIFT | SA_S | SA_DB | SA_G |
                                           SA_ACCESSED | SA_RW | type),
                        .limit = ~0u};
}

static void load_cpu(struct diff_machine *m, const struct diff_case *c)
{
    struct cpu *cpu = &m->vm->cpu;

    cpu_reset(cpu);
    memcpy(cpu->gpr, c->in.gpr, sizeof c->in.gpr);
    cpu->eip = c->in.eip;
    cpu->eflags = c->in.eflags;
    for (int i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = flat(0x28, m->ring, 0);
    cpu->seg[SEG_CS] = flat(0x20, m->ring, SA_CODE);
    cpu->seg[SEG_FS] = cpu->seg[SEG_GS] = (struct seg){0};
    cpu->gdtr.base = SYS_GDT, cpu->gdtr.limit = 0x7f;
    cpu->idtr.base = SYS_IDT, cpu->idtr.limit = 0x7ff;
    cpu->ldtr = (struct seg){0};
    cpu->tr =
        (struct seg){.sel = 0x40, .attr = SA_P | ST_TSS32_BUSY, .base = SYS_TSS, .limit = 0x67};
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    cpu->cr3 = AT_PDPT;
    cpu->cr4 = CR4_PAE | CR4_PSE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cpu->efer = EFER_NXE;
    cpu->pdpte[0] = AT_PD | P;
    cpu->pdpte[3] = (AT_PD + PAGE_SIZE) | P;
    cpu->cpl = (uint8_t)m->ring;
    memcpy(cpu->fpu.fxsave, c->in.fxsave, 512);
}

/* A run may have left other translations, or tables that are not as they were. */
static void load_mode(struct diff_machine *m)
{
    shadow_load_mode(m->vm->shadow, &m->vm->cpu);
    m->vm->soft->ops->flush(m->vm->soft);
}

static void clear_accessed(struct diff_machine *m)
{
    for (unsigned i = 0; i < m->n_pages; i++) {
        const struct diff_watched *w = &m->page[i];
        if (!w->table || w->gfn == gfn_of(AT_PDPT))
            continue;
        for (unsigned k = 0; k < PAGE_SIZE; k += 8) {
            uint64_t e;
            memcpy(&e, w->host + k, 8);
            if (!(e & (A | D)))
                continue;
            e &= ~(uint64_t)(A | D);
            (void)gmem_write(&m->vm->gmem, gpa_of(w->gfn) + k, &e, 8);
        }
    }
}

static bool standard_mode(const struct cpu *c)
{
    return c->cr0 == (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG) && c->cr3 == AT_PDPT &&
           (c->cr4 & (CR4_PAE | CR4_PSE)) == (CR4_PAE | CR4_PSE) && c->efer == EFER_NXE;
}

void diff_machine_run(struct diff_machine *m, const struct diff_case *c, bool clean)
{
    static const uint8_t end[2] = {0xcd, DIFF_END_VECTOR};
    struct vm *vm = m->vm;
    la_t at = c->start;

    for (unsigned k = 0; k < c->n; at += c->len[k++])
        put(m, at, c->code[k], c->len[k]);
    put(m, at, end, sizeof end);
    for (unsigned i = 0; i < c->n_patch; i++)
        put(m, c->patch[i].la, c->patch[i].bytes, c->patch[i].len);
    if (vm->kvm)
        (void)kvm_engine_fpu_fetch(vm->kvm);
    const bool other_mode = !standard_mode(&vm->cpu);
    load_cpu(m, c);
    if (clean)
        clear_accessed(m);
    m->tables_clean = clean;
    if (clean || other_mode)
        load_mode(m);
    vm->end = VM_RUNNING;
    vm->end_text[0] = '\0';
    atomic_store(&vm->asked, 0);
    m->quit = false;
    const uint64_t before = soft_engine_insns(vm->soft);
    vm_run(vm);
    m->insns = soft_engine_insns(vm->soft) - before;
    m->quit = vm->end == VM_END_QUIT;
    if (vm->kvm)
        (void)kvm_engine_fpu_fetch(vm->kvm);
}

void diff_machine_quit(struct diff_machine *m)
{
    vm_ask(m->vm, VM_ASK_QUIT);
}

void diff_machine_restore(struct diff_machine *m)
{
    bool tables = false;
    for (unsigned i = 0; i < m->n_pages; i++) {
        const struct diff_watched *w = &m->page[i];
        for (unsigned off = 0; off < PAGE_SIZE; off += 256) {
            if (memcmp(w->host + off, w->before + off, 256) == 0)
                continue;
            (void)gmem_write(&m->vm->gmem, gpa_of(w->gfn) + off, w->before + off, 256);
            tables |= w->table;
        }
    }
    if (tables) {
        const struct diff_case none = {.cls = DIFF_INT};
        load_cpu(m, &none);
        load_mode(m);
    }
}

/* --- looking --------------------------------------------------------------------------------- */

int diff_machine_vector(const struct diff_machine *m)
{
    const struct cpu *c = &m->vm->cpu;
    if (m->vm->end != VM_END_HALT || c->eip <= SYS_HANDLERS || c->eip > SYS_HANDLERS + 0x400)
        return -1;
    return (int)((c->eip - 1 - SYS_HANDLERS) / 4);
}

uint32_t diff_machine_fault_eip(const struct diff_machine *m)
{
    const int v = diff_machine_vector(m);
    const bool has_error = v == 8 || (v >= 10 && v <= 14) || v == 17;
    const la_t at = m->vm->cpu.gpr[R_ESP] + (has_error ? 4 : 0);
    return v >= 0 && page_at(m, at) && (at & PAGE_MASK) <= PAGE_SIZE - 4 ? get32(m, at) : 0;
}
