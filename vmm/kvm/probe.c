/* See probe.h. */
#include <errno.h>
#include <string.h>

#include "mm/mm.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/probe.h"
#include "vmm/shadow/shadow.h"
#include "vmm/soft_engine.h"
#include "vmm/stats.h"

#define CODE_AT  0x1000u
#define DATA_AT  0x2000u
#define STACK_AT 0x4000u
#define GFNS     8u
#define LOOPS    4096u

/* A machine just big enough to try an instruction on. */
struct scratch {
    struct pool *pool;
    struct mm *mm;
    struct gmem gmem;
    struct shadow *shadow;
    struct engine *kvm, *soft;
    struct cpu cpu;
    unsigned io_seen; /* port accesses that left without the monitor's help */
};

static bool on_io(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count, void *data)
{
    struct scratch *s = ctx;
    (void)port;
    s->io_seen++;
    if (in)
        memset(data, 0x5a, (size_t)size * count);
    return true;
}

static uint32_t no_mmio(void *ctx, gpa_t gpa, unsigned size)
{
    (void)ctx;
    (void)gpa;
    return UINT32_MAX >> (32 - 8 * size);
}

static void no_mmio_write(void *ctx, gpa_t gpa, uint32_t val, unsigned size)
{
    (void)ctx;
    (void)gpa;
    (void)val;
    (void)size;
}

static uint64_t scratch_tsc(void *ctx)
{
    (void)ctx;
    return stats_now();
}

static bool cr_written(void *ctx, int reg, uint32_t old)
{
    (void)ctx;
    (void)reg;
    (void)old;
    return true;
}

static void no_invlpg(void *ctx, la_t la)
{
    (void)ctx;
    (void)la;
}

static int no_intr(void *ctx)
{
    (void)ctx;
    return -1;
}

static void scratch_destroy(struct scratch *s)
{
    if (s->kvm)
        s->kvm->ops->destroy(s->kvm);
    if (s->soft)
        s->soft->ops->destroy(s->soft);
    shadow_destroy(s->shadow);
    if (s->mm)
        mm_destroy(s->mm);
    if (s->pool)
        pool_destroy(s->pool);
}

static int scratch_create(const struct kvm_host *h, uint32_t frames, struct scratch *s,
                          struct errmsg *err)
{
    const struct pool_opts po = {.bytes = (uint64_t)frames * PAGE_SIZE, .step = 64 * PAGE_SIZE};
    *s = (struct scratch){0};
    int rc = pool_create(&po, &s->pool);
    if (!rc)
        rc = mm_create(s->pool, "probe", &s->mm);
    if (!rc)
        rc = mm_map_anon(s->mm, 0, GFNS, MM_READ | MM_WRITE | MM_EXEC, MM_ANON_PRIVATE);
    s->gmem = (struct gmem){.mm = s->mm, .bytes = GFNS * PAGE_SIZE};
    if (!rc)
        rc = shadow_create(&s->gmem, SHADOW_MIN_PAGES, &s->shadow);
    if (rc < 0)
        return err_set(err, rc, "kvm: no memory to try it: %s", strerror(-rc));
    const struct engine_env env = {
        .cpu = &s->cpu, .pool = s->pool, .shadow = s->shadow, .ctx = s, .io = on_io};
    const struct soft_engine_env senv = {.ctx = s,
                                         .mmio_read = no_mmio,
                                         .mmio_write = no_mmio_write,
                                         .tsc = scratch_tsc,
                                         .cr_written = cr_written,
                                         .invlpg = no_invlpg,
                                         .intr_ack = no_intr};
    rc = soft_engine_create(&env, &senv, &s->soft);
    if (rc < 0)
        return err_set(err, rc, "kvm: no memory to try it: %s", strerror(-rc));
    return kvm_engine_create(h, &env, &(struct kvm_engine_opts){.native_ring0 = true}, &s->kvm,
                             err);
}

/* Run code from its first byte until a trap that is no page fault of the shadow tables. */
static void run_code(struct scratch *s, struct engine *e, const uint8_t *code, size_t len,
                     struct trap *t)
{
    const struct mm_fault f = mm_fault(s->mm, gfn_of(CODE_AT), MM_ACCESS_WRITE);
    memset(pool_ptr(s->pool, f.frame), 0xf4, PAGE_SIZE); /* HLT: what follows any code here */
    memcpy(pool_ptr(s->pool, f.frame), code, len);
    soft_code_written(soft_engine_cpu(s->soft), f.frame, 0, PAGE_SIZE);
    cpu_set_flat(&s->cpu, CODE_AT);
    s->cpu.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    s->cpu.gpr[R_ESP] = STACK_AT;
    s->cpu.gpr[R_EBX] = DATA_AT;
    for (;;) {
        e->ops->run(e, t);
        if (t->kind == TRAP_KICK || t->kind == TRAP_BUDGET)
            continue;
        if (t->kind != TRAP_PF || gfn_of(t->la) >= GFNS)
            return;
        const struct walk w = {.gpa = t->la, .writable = true, .user = true, .dirty = true};
        const struct mm_fault m =
            mm_fault(s->mm, gfn_of(t->la), (t->error & PF_W) ? MM_ACCESS_WRITE : MM_ACCESS_READ);
        if (m.result > MM_SPURIOUS ||
            shadow_map(s->shadow, t->la & ~PAGE_MASK, false, &w, m.frame, m.writable) < 0)
            return;
    }
}

#define CODE(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* Did the code run to its closing HLT, len bytes on? Adds the row. */
static bool try_code(struct scratch *s, struct kvm_findings *f, const char *what,
                     const uint8_t *code, size_t len)
{
    struct trap t = {0};
    struct kvm_finding *row = &f->row[f->rows++];
    s->io_seen = 0;
    run_code(s, s->kvm, code, len, &t);
    row->what = what;
    row->native = t.kind == TRAP_EMULATE && s->cpu.eip == CODE_AT + len;
    if (row->native)
        snprintf(row->how, sizeof row->how, "runs natively");
    else if (t.kind == TRAP_EMULATE && s->cpu.eip > CODE_AT + len)
        snprintf(row->how, sizeof row->how, "runs, with a wrong length");
    else if (t.kind == TRAP_EMULATE)
        snprintf(row->how, sizeof row->how, "vector %u: emulated", t.vector);
    else
        snprintf(row->how, sizeof row->how, "trap %s", trap_name(t.kind));
    return row->native;
}

/* The flags that code left in memory at DATA_AT. */
static uint32_t data_word(struct scratch *s)
{
    uint32_t v;
    memcpy(&v, pool_ptr(s->pool, mm_fault(s->mm, gfn_of(DATA_AT), MM_ACCESS_READ).frame), sizeof v);
    return v;
}

static void wrong(struct kvm_findings *f, const char *how)
{
    struct kvm_finding *row = &f->row[f->rows - 1];
    row->native = false;
    snprintf(row->how, sizeof row->how, "%s", how);
}

/* Ring 0 at CPL 3 is exact only if IOPL 3 is honoured and what reads descriptor tables traps. */
static void probe_ring0(struct scratch *s, struct kvm_findings *f)
{
    const char *missing = NULL;

    /* cli; pushf; pop [ebx]; sti */
    if (!try_code(s, f, "CLI and STI at IOPL 3", CODE(0xfa, 0x9c, 0x8f, 0x03, 0xfb)))
        missing = "CLI and STI trap";
    else if ((data_word(s) & FL_IF) || !(s->cpu.eflags & FL_IF)) {
        wrong(f, "do not act on IF");
        missing = "CLI and STI do not act on IF";
    }
    /* push 202h; popf; pushf; pop [ebx] */
    if (!try_code(s, f, "PUSHF and POPF with IF",
                  CODE(0x68, 0x02, 0x02, 0, 0, 0x9d, 0x9c, 0x8f, 0x03)))
        missing = missing ? missing : "PUSHF and POPF trap";
    else if (!(data_word(s) & FL_IF)) {
        wrong(f, "lose IF silently");
        missing = missing ? missing : "POPF loses IF";
    }
    /* in al,80h; out 80h,al */
    if (!try_code(s, f, "IN and OUT at IOPL 3", CODE(0xe4, 0x80, 0xe6, 0x80)))
        missing = missing ? missing : "IN and OUT trap";
    else if (s->io_seen != 2 || (s->cpu.gpr[R_EAX] & 0xff) != 0x5a) {
        wrong(f, "do not reach the monitor");
        missing = missing ? missing : "IN and OUT do not reach the monitor";
    }
    /* sidt [ebx]; smsw eax; str eax: must not run */
    if (try_code(s, f, "SIDT, SGDT, SLDT, STR, SMSW", CODE(0x0f, 0x01, 0x0b)) ||
        try_code(s, f, "SMSW", CODE(0x0f, 0x01, 0xe0)) ||
        try_code(s, f, "STR", CODE(0x0f, 0x00, 0xc8)))
        missing = missing ? missing : "SIDT and its like show the monitor's tables (no UMIP)";
    else {
        f->umip = true;
        f->rows -= 2; /* one row says it for all */
        wrong(f, "trap, as they must");
        f->row[f->rows - 1].native = true;
    }
    f->ring0_exact = !missing;
    snprintf(f->ring0_why, sizeof f->ring0_why, "%s", missing ? missing : "IOPL 3 and UMIP hold");
}

/* mov [DATA_EDGE],eax with the second page absent: a processor stores nothing (SDM vol. 3, 6.5: a
 * fault leaves the state as before the instruction). */
static void probe_split_store(struct scratch *s, struct kvm_findings *f)
{
    struct kvm_finding *row = &f->row[f->rows++];
    struct trap t = {0};
    uint16_t half;

    run_code(s, s->kvm, CODE(0x48, 0xa3, 0xfe, 0x7f, 0, 0), &t); /* dec eax; mov [7ffeh],eax */
    memcpy(&half, pool_ptr(s->pool, mm_fault(s->mm, GFNS - 1, MM_ACCESS_READ).frame) + 0xffe, 2);
    row->what = "store over a page's edge that faults";
    row->native = t.kind == TRAP_PF && half == 0;
    f->tears = !row->native;
    snprintf(row->how, sizeof row->how,
             row->native ? "stores nothing, as it must" : "stores its first part");
}

/* The same, and did it come to what the soft CPU makes of it? */
static void try_exact(struct scratch *s, struct kvm_findings *f, const char *what,
                      const uint8_t *code, size_t len)
{
    struct trap t = {0};
    if (!try_code(s, f, what, code, len))
        return;
    const struct cpu native = s->cpu;
    run_code(s, s->soft, code, len, &t);
    if (memcmp(native.gpr, s->cpu.gpr, sizeof native.gpr) != 0 ||
        ((native.eflags ^ s->cpu.eflags) & FL_ARITH))
        wrong(f, "runs natively, but not as silicon does");
}

static void probe_user(struct scratch *s, struct kvm_findings *f)
{
    probe_split_store(s, f);
    try_code(s, f, "INT3", CODE(0xcc));
    try_code(s, f, "CPUID", CODE(0x0f, 0xa2));
    f->cpuid_faults = !f->row[f->rows - 1].native;
    try_code(s, f, "x87 arithmetic", CODE(0xd9, 0xe8, 0xdd, 0xd8)); /* fld1; fstp st0 */
    try_code(s, f, "SSE arithmetic", CODE(0x0f, 0x58, 0xc1));       /* addps xmm0,xmm1 */
    try_code(s, f, "SSE2 integer", CODE(0x66, 0x0f, 0xfe, 0xc1));   /* paddd xmm0,xmm1 */
    try_code(s, f, "decimal adjust (AAA, DAS)", CODE(0x37, 0x2f));
    try_code(s, f, "ENTER with a level",
             CODE(0x8b, 0xec, 0xc8, 0, 0, 1)); /* mov ebp,esp; enter 0,1 */
    try_code(s, f, "LAR, VERR", CODE(0x0f, 0x02, 0xc0, 0x0f, 0x00, 0xe0));
    /* mov eax,fed2h; aad: the addition carries */
    try_exact(s, f, "AAD flags", CODE(0xb8, 0xd2, 0xfe, 0, 0, 0xd5, 0x0a));
    try_exact(s, f, "NOP with a 16-bit address", CODE(0x67, 0x0f, 0x19, 0x80, 0x38, 0x01));
}

/* mov ecx,LOOPS; 1: dec ecx; jnz 1b */
static double loop_mips(struct scratch *s, struct engine *e)
{
    struct trap t = {0};
    struct stats clock;
    stats_start(&clock);
    const uint64_t start = stats_now();
    run_code(s, e, CODE(0xb9, LOOPS & 0xff, LOOPS >> 8, 0, 0, 0x49, 0x75, 0xfd), &t);
    const double ns = (double)(stats_now() - start) * stats_ns_per_cycle(&clock);
    return ns > 0 ? 2.0 * LOOPS * 1000 / ns : 0;
}

static void probe_speed(struct scratch *s, struct kvm_findings *f)
{
    for (int round = 0; round < 2; round++) { /* the first warms the tables */
        f->kvm_mips = loop_mips(s, s->kvm);
        f->soft_mips = loop_mips(s, s->soft);
    }
    f->faster_than_soft = f->kvm_mips > f->soft_mips;
    snprintf(f->speed_why, sizeof f->speed_why,
             "a tight loop runs at %.0f MIPS on kvm, %.0f on soft", f->kvm_mips, f->soft_mips);
}

int kvm_probe(const struct kvm_host *h, struct kvm_findings *out, struct errmsg *err)
{
    struct scratch s;
    struct trap t = {0};
    *out = (struct kvm_findings){0};
    int rc = scratch_create(h, 64, &s, err);
    if (!rc) {
        run_code(&s, s.kvm, CODE(0x90), &t);
        if (t.kind != TRAP_EMULATE || s.cpu.eip != CODE_AT + 1)
            rc = err_set(err, -ENOTSUP,
                         "kvm: not even NOP, HLT runs as it should (%s %s); use --engine soft",
                         trap_name(t.kind), t.kind == TRAP_ERROR ? t.why : "");
    }
    if (!rc) {
        probe_ring0(&s, out);
        probe_user(&s, out);
        probe_speed(&s, out);
    }
    scratch_destroy(&s);
    return rc;
}

/* --- 2 MiB entries ------------------------------------------------------------------------------
 */

#define LARGE_AT  0x00400000u
#define LARGE_GFN 0x800u
#define HIT_AT    (LARGE_AT + 0x5d * PAGE_SIZE)
#define LAST_AT   (LARGE_AT + (SHADOW_LARGE_PAGES - 1) * PAGE_SIZE)

/* Machine code with a 32-bit address: mov eax,[at] (0xa1) and mov [at],eax (0xa3). */
#define ADDR32(a) (uint8_t)(a), (uint8_t)((a) >> 8), (uint8_t)((a) >> 16), (uint8_t)((a) >> 24)

/* Frames 512 to 1023, which the scratch mm does not use, as one entry. */
static bool map_large(struct scratch *s)
{
    shadow_set_large(s->shadow, true);
    for (uint32_t i = 0; i < SHADOW_LARGE_PAGES; i++) {
        const struct walk w = {
            .gpa = gpa_of(LARGE_GFN + i), .writable = true, .user = true, .dirty = true};
        if (shadow_map(s->shadow, LARGE_AT + i * PAGE_SIZE, false, &w, SHADOW_LARGE_PAGES + i,
                       true) < 0)
            return false;
    }
    return shadow_is_large(s->shadow, LARGE_AT, false);
}

static uint32_t *large_word(struct scratch *s, la_t at)
{
    const frame_t f = SHADOW_LARGE_PAGES + (at - LARGE_AT) / PAGE_SIZE;
    return (uint32_t *)(void *)pool_ptr(s->pool, f);
}

/* NULL, or what went wrong. */
static const char *try_large(struct scratch *s)
{
    struct trap t = {0};
    if (!map_large(s))
        return "no entry was made";
    *large_word(s, HIT_AT) = 0x11223344;
    /* read one page, write another */
    run_code(s, s->kvm, CODE(0xa1, ADDR32(HIT_AT), 0xa3, ADDR32(LAST_AT)), &t);
    if (t.kind != TRAP_EMULATE || *large_word(s, LAST_AT) != 0x11223344)
        return "it does not translate";
    /* one page is made read-only under it: the entry is split */
    shadow_write_protect(s->shadow, LARGE_GFN + (HIT_AT - LARGE_AT) / PAGE_SIZE, 1);
    run_code(s, s->kvm, CODE(0x40, 0xa3, ADDR32(HIT_AT)), &t);
    if (t.kind != TRAP_PF || t.la != HIT_AT || *large_word(s, HIT_AT) != 0x11223344)
        return "it stays in use after it was split";
    run_code(s, s->kvm, CODE(0xa1, ADDR32(HIT_AT), 0x40, 0xa3, ADDR32(LAST_AT)), &t);
    if (t.kind != TRAP_EMULATE || *large_word(s, LAST_AT) != 0x11223345)
        return "its pages are lost when it is split";
    shadow_zap(s->shadow, LARGE_GFN + (HIT_AT - LARGE_AT) / PAGE_SIZE, 1);
    run_code(s, s->kvm, CODE(0xa1, ADDR32(HIT_AT)), &t);
    return t.kind == TRAP_PF && t.la == HIT_AT ? NULL : "a page under it stays";
}

int kvm_probe_large(const struct kvm_host *h, struct kvm_finding *out, struct errmsg *err)
{
    struct scratch s;
    *out = (struct kvm_finding){.what = "2 MiB entries in shadow tables"};
    const int rc = scratch_create(h, 2 * SHADOW_LARGE_PAGES, &s, err);
    if (!rc) {
        const char *wrong_how = try_large(&s);
        out->native = !wrong_how;
        snprintf(out->how, sizeof out->how, "%s", wrong_how ? wrong_how : "walked and flushed");
    }
    scratch_destroy(&s);
    return rc;
}
