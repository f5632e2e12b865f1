/*
 * Differential test: random i386 code on the soft CPU and natively on the host's CPU, from the same
 * state; registers, flags, memory, FPU state and faults must be the same.
 *
 *   diff_native [--seed N] [--count N] [--class int,string,fpu,mmx,sse|all] [--case N] [-v]
 *
 * A difference is shrunk and printed with the --class and --case that bring it back. Exit status:
 * 0 none, 1 differences, 77 the host cannot run 32-bit code.
 *
 * On the soft side the code runs at CPL 3 with the selectors that it has natively. Every IDT gate
 * leads to a HLT of its own in ring 0: which one it halts at tells the vector, and the frame on the
 * ring-0 stack what the CPU pushed.
 */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/diff_case.h"
#include "tests/rng.h"
#include "tests/soft_env.h"

enum {
    SYS = 0xc0000000u, /* ring 0's pages on the soft side */
    SYS_GDT = SYS,
    SYS_IDT = SYS + 0x1000,
    SYS_TSS = SYS + 0x2000,
    SYS_HANDLERS = SYS + 0x3000,
    SYS_STACK = SYS + 0x4000,
    SYS_PAGES = 5,
    SYS_FRAME = 32, /* first frame of them; frame k is page k of the window */
    STUB_FRAME = SYS_FRAME + SYS_PAGES,
    FRAMES = 64,
    BUDGET = 30000,
};
/* Outcomes beside vectors. */
enum { OUT_END = -1, OUT_TIMEOUT = -2, OUT_UNSUPPORTED = -3, OUT_SHUTDOWN = -4, OUT_HALT = -5 };

struct outcome {
    int vector; /* or OUT_... */
    uint32_t error, cr2;
    bool has_frame; /* RF in the flags is the pushed one */
    struct native32_state st;
    char why[160];
};

struct diff {
    uint8_t *alias; /* the window's pages, always writable for us */
    uint8_t *pristine;
    struct senv *env;
    bool low; /* the pages below 64 KiB could be mapped */
    uint64_t n_done, n_insns, n_fault, n_timeout, n_unsupported, n_diff;
    /* Differences that a second run does not show: the host's kernel came in between, whose XSAVE
     * drops the x87's pointers. */
    uint64_t n_unsteady;
    uint64_t n_vendor; /* left out: the host is of another vendor than the soft CPU follows */
    uint64_t unsupported[ZYDIS_MNEMONIC_MAX_VALUE + 1];
    bool verbose;
};

static uint32_t window_bytes(void)
{
    return diff_n_pages * PAGE_SIZE;
}

/* --- set-up --------------------------------------------------------------------------------- */

static int map_window(struct diff *d)
{
    const int fd = memfd_create("diff_native", 0);
    if (fd < 0 || ftruncate(fd, window_bytes()) < 0)
        return -errno;
    d->alias = mmap(NULL, window_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (d->alias == MAP_FAILED)
        return -errno;
    d->low = true;
    for (unsigned i = 0; i < diff_n_pages; i++) {
        void *want = (void *)(uintptr_t)diff_pages[i].la;
        void *got = mmap(want, PAGE_SIZE, diff_pages[i].prot,
                         MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, (off_t)i * PAGE_SIZE);
        if (got == want)
            continue;
        if (diff_pages[i].la >= 0x10000)
            return -errno;
        d->low = false; /* not privileged: these are holes on both sides */
        if (got != MAP_FAILED)
            munmap(got, PAGE_SIZE);
    }
    close(fd);
    d->pristine = malloc(window_bytes());
    if (!d->pristine)
        return -ENOMEM;
    uint64_t x = 88172645463325252u;
    for (uint32_t i = 0; i < window_bytes(); i++) {
        d->pristine[i] = (uint8_t)(rng_next(&x) >> 32);
    }
    memset(d->pristine, 0xf4, 2 * PAGE_SIZE); /* HLT: #GP for user code */
    memcpy(d->alias, d->pristine, window_bytes());
    return 0;
}

static void put32(struct senv *e, uint32_t la, uint32_t v)
{
    senv_put(e, (gpa_t)(la - SYS) + SYS_FRAME * PAGE_SIZE, &v, 4);
}

static void put_desc(struct senv *e, unsigned sel, uint32_t base, uint32_t limit, unsigned attr)
{
    put32(e, SYS_GDT + sel, (base << 16) | (limit & 0xffff));
    put32(e, SYS_GDT + sel + 4,
          (base & 0xff000000) | (limit & 0xf0000) | attr << 8 | (base >> 16 & 0xff));
}

/* Descriptors of the host that user code can see: its code and data segments and what else there
 * is. */
static void copy_host_segments(struct senv *e)
{
    for (unsigned sel = 0x20; sel < 0x80; sel += 8) {
        uint32_t ar = 0, limit = 0;
        bool ok;
        if (sel == 0x40)
            continue; /* the TSS */
        __asm__("lar %2, %0; setz %1" : "+r"(ar), "=q"(ok) : "r"(sel | 3) : "cc");
        __asm__("lsl %1, %0" : "+r"(limit) : "r"(sel | 3) : "cc");
        if (ok)
            put_desc(e, sel, 0, ar & 0x800000 ? limit >> 12 : limit, ar >> 8 & 0xf0ff);
    }
}

static void make_tables(struct senv *e)
{
    put_desc(e, 0x08, 0, 0xfffff, 0xc09b); /* ring-0 code */
    put_desc(e, 0x18, 0, 0xfffff, 0xc093); /* ring-0 data */
    copy_host_segments(e);
    put_desc(e, 0x40, SYS_TSS, 0x67, 0x008b);
    for (unsigned v = 0; v < 256; v++) {
        const uint32_t to = SYS_HANDLERS + 4 * v;
        const uint32_t dpl = v == 3 || v == 4 ? 3 : 0;
        put32(e, SYS_IDT + 8 * v, 0x08 << 16 | (to & 0xffff));
        put32(e, SYS_IDT + 8 * v + 4, (to & 0xffff0000) | 0x8e00 | dpl << 13);
        put32(e, to, 0xf4f4f4f4);
    }
    put32(e, SYS_TSS + 4, SYS_STACK + PAGE_SIZE);
    put32(e, SYS_TSS + 8, 0x18);
    put32(e, SYS_TSS + 0x64, 0x680000); /* no I/O bitmap */
}

/* Where the far jump at the code's end goes: nothing is mapped there on the soft side, so that
 * arriving there shows as a miss. */
static uint32_t end_stub(void)
{
    uint8_t end[NATIVE32_END_LEN];
    uint32_t la;
    native32_put_end(end);
    memcpy(&la, end + 1, 4);
    return la;
}

static void make_soft(struct diff *d)
{
    d->env = senv_new(FRAMES);
    struct senv *e = d->env;
    senv_map(e, 0, 0, FRAMES, 0);
    for (unsigned i = 0; i < diff_n_pages; i++) {
        const int prot = diff_pages[i].prot;
        if (diff_pages[i].la < 0x10000 && !d->low)
            continue;
        senv_map(e, diff_pages[i].la, i, 1,
                 SENV_P | SENV_U | (prot & PROT_WRITE ? SENV_W : 0) |
                     (prot & PROT_EXEC ? SENV_X : 0));
        senv_put(e, (gpa_t)i * PAGE_SIZE, d->pristine + i * PAGE_SIZE, PAGE_SIZE);
    }
    /* The stub at the code's end can be read natively, by chance; it must not be run here. */
    const uint32_t stub = end_stub() & ~0xfffu;
    senv_map(e, stub, STUB_FRAME, 1, SENV_P | SENV_U);
    senv_put(e, (gpa_t)STUB_FRAME * PAGE_SIZE, (const void *)(uintptr_t)stub, PAGE_SIZE);
    senv_map(e, SYS, SYS_FRAME, SYS_PAGES, SENV_P | SENV_W | SENV_X);
    make_tables(e);
}

/* --- one run on either side ------------------------------------------------------------------ */

static uint8_t *page_at(struct diff *d, uint32_t la)
{
    const int i = diff_page_of(la);
    return i < 0 ? NULL : d->alias + (uint32_t)i * PAGE_SIZE + (la & 0xfff);
}

/* Bytes into both memories at linear address la; what lies outside the window is dropped. */
static void put_both(struct diff *d, uint32_t la, const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        uint8_t *p = page_at(d, la + i);
        if (!p)
            continue;
        *p = bytes[i];
        senv_put(d->env, (gpa_t)(p - d->alias), bytes + i, 1);
    }
}

static void place(struct diff *d, const struct diff_case *c)
{
    uint32_t at = c->start;
    for (unsigned k = 0; k < c->n; at += c->len[k++])
        put_both(d, at, c->code[k], c->len[k]);
    uint8_t end[NATIVE32_END_LEN];
    native32_put_end(end);
    put_both(d, at, end, NATIVE32_END_LEN);
    for (unsigned i = 0; i < c->n_patch; i++)
        put_both(d, c->patch[i].la, c->patch[i].bytes, c->patch[i].len);
}

/* Undo every change to the window. */
static void restore(struct diff *d)
{
    for (uint32_t off = 0; off < window_bytes(); off += 256) {
        if (memcmp(d->alias + off, d->pristine + off, 256))
            memcpy(d->alias + off, d->pristine + off, 256);
        if (memcmp(senv_at(d->env, off), d->pristine + off, 256))
            senv_put(d->env, off, d->pristine + off, 256);
    }
}

static void run_native(const struct diff_case *c, struct outcome *o)
{
    struct native32_result res;
    memset(o, 0, sizeof *o);
    o->st = c->in;
    native32_run(&o->st, &res);
    o->vector = res.vector;
    o->error = res.error;
    o->cr2 = res.cr2;
    o->has_frame = true;
}

static struct seg flat(uint16_t sel, uint16_t type)
{
    return (struct seg){
        .sel = sel, .attr = (uint16_t)(SA_P | SA_DPL | SA_S | SA_DB | SA_G | type), .limit = ~0u};
}

static void load_cpu(struct cpu *cpu, const struct native32_state *st)
{
    const struct seg data = flat(NATIVE32_DS, SA_ACCESSED | SA_RW);
    cpu_reset(cpu);
    memcpy(cpu->gpr, st->gpr, sizeof st->gpr);
    cpu->eip = st->eip;
    cpu->eflags = st->eflags;
    cpu->seg[SEG_CS] = flat(NATIVE32_CS, SA_CODE | SA_ACCESSED | SA_RW);
    cpu->seg[SEG_DS] = cpu->seg[SEG_ES] = cpu->seg[SEG_SS] = data;
    cpu->seg[SEG_FS] = cpu->seg[SEG_GS] = (struct seg){0};
    cpu->gdtr.base = SYS_GDT, cpu->gdtr.limit = 0x7f;
    cpu->idtr.base = SYS_IDT, cpu->idtr.limit = 0x7ff;
    cpu->ldtr = (struct seg){0};
    cpu->tr =
        (struct seg){.sel = 0x40, .attr = SA_P | ST_TSS32_BUSY, .base = SYS_TSS, .limit = 0x67};
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu->cr4 = CR4_PSE | CR4_DE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cpu->cpl = 3;
    memcpy(cpu->fpu.fxsave, st->fxsave, 512);
}

static uint32_t get32(struct senv *e, uint32_t la)
{
    uint32_t v;
    memcpy(&v, senv_at(e, (gpa_t)(la - SYS) + SYS_FRAME * PAGE_SIZE), 4);
    return v;
}

static bool has_error(int v)
{
    return v == 8 || (v >= 10 && v <= 14) || v == 17;
}

/* The CPU halted in a handler: take the interrupted state from its frame. */
static void from_frame(struct senv *e, struct outcome *o)
{
    const uint32_t v = (e->cpu.eip - 1 - SYS_HANDLERS) / 4;
    uint32_t sp = e->cpu.gpr[R_ESP];
    if (v > 255 || sp < SYS_STACK || sp > SYS_STACK + PAGE_SIZE - 20) {
        o->vector = OUT_HALT;
        return;
    }
    o->vector = (int)v;
    if (has_error(o->vector)) {
        o->error = get32(e, sp);
        sp += 4;
    }
    o->has_frame = true;
    if (get32(e, sp) == end_stub()) /* a single-step trap of the far jump */
        o->vector = OUT_END;
    o->st.eip = get32(e, sp);
    o->st.eflags = get32(e, sp + 8);
    o->st.gpr[R_ESP] = get32(e, sp + 12);
    o->st.ss = (uint16_t)get32(e, sp + 16);
}

/* With nothing decoded kept: the other way through the soft CPU. */
static enum soft_exit step_by_step(struct senv *e)
{
    enum soft_exit x = SOFT_EXIT_BUDGET;
    for (unsigned n = 0; x == SOFT_EXIT_BUDGET && n < BUDGET; n++)
        x = soft_step(e->soft, &e->exit);
    return x;
}

static void run_soft(struct diff *d, const struct diff_case *c, struct outcome *o)
{
    struct senv *e = d->env;
    memset(o, 0, sizeof *o);
    load_cpu(&e->cpu, &c->in);
    soft_tlb_flush(e->soft);
    const enum soft_exit x = c->seed % 4 ? senv_run(e, BUDGET) : step_by_step(e);
    memcpy(o->st.gpr, e->cpu.gpr, sizeof o->st.gpr);
    o->st.eip = e->cpu.eip;
    o->st.eflags = e->cpu.eflags;
    o->st.ds = e->cpu.seg[SEG_DS].sel;
    o->st.es = e->cpu.seg[SEG_ES].sel;
    o->st.ss = e->cpu.seg[SEG_SS].sel;
    memcpy(o->st.fxsave, e->cpu.fpu.fxsave, 512);
    memcpy(o->why, e->exit.why, sizeof o->why);
    switch (x) {
    case SOFT_EXIT_HLT: from_frame(e, o); break;
    case SOFT_EXIT_PF:
        if (e->exit.access == SOFT_X && e->exit.la == end_stub()) {
            o->vector = OUT_END;
            break;
        }
        o->vector = 14;
        o->cr2 = e->exit.la;
        o->error = (e->exit.user ? 4u : 0) | (e->exit.access == SOFT_W ? 2u : 0) |
                   (e->exit.access == SOFT_X ? 16u : 0);
        break;
    case SOFT_EXIT_BUDGET: o->vector = OUT_TIMEOUT; break;
    case SOFT_EXIT_SHUTDOWN: o->vector = OUT_SHUTDOWN; break;
    default: o->vector = OUT_UNSUPPORTED; break;
    }
}

/* --- comparing ---------------------------------------------------------------------------------
 */

static void say(FILE *out, const char *what, uint64_t native, uint64_t soft)
{
    if (out)
        fprintf(out, "  %-8s native %016" PRIx64 "  soft %016" PRIx64 "\n", what, native, soft);
}

static int differs(FILE *out, const char *what, uint64_t native, uint64_t soft)
{
    if (native == soft)
        return 0;
    say(out, what, native, soft);
    return 1;
}

static uint16_t fx_word(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static int compare_fpu(const struct outcome *a, const struct outcome *b, FILE *out)
{
    const uint8_t *x = a->st.fxsave, *y = b->st.fxsave;
    int n = 0;
    char name[16];
    n += differs(out, "fcw", fx_word(x), fx_word(y));
    n += differs(out, "fsw", fx_word(x + 2), fx_word(y + 2));
    n += differs(out, "ftw", x[4], y[4]);
    uint32_t mx, my;
    memcpy(&mx, x + 24, 4);
    memcpy(&my, y + 24, 4);
    n += differs(out, "mxcsr", mx, my);
    for (int i = 0; i < 8; i++) {
        if (!memcmp(x + 32 + 16 * i, y + 32 + 16 * i, 10))
            continue;
        uint64_t u[2] = {0}, v[2] = {0};
        memcpy(u, x + 32 + 16 * i, 10);
        memcpy(v, y + 32 + 16 * i, 10);
        snprintf(name, sizeof name, "st%d.man", i);
        n += differs(out, name, u[0], v[0]);
        snprintf(name, sizeof name, "st%d.exp", i);
        n += differs(out, name, u[1], v[1]);
    }
    for (int i = 0; i < 16; i++) {
        uint64_t u, v;
        memcpy(&u, x + 160 + 8 * i, 8);
        memcpy(&v, y + 160 + 8 * i, 8);
        snprintf(name, sizeof name, "xmm%d.%c", i / 2, i & 1 ? 'h' : 'l');
        n += differs(out, name, u, v);
    }
    return n;
}

/*
 * Where the two may differ, and why:
 *  - MXCSR_MASK in what FXSAVE wrote: the host may have a bit 17 (AMD's misaligned mode) that the
 * guest has not.
 *  - An ENTER or PUSHA that faults has pushed some of its words on silicon, a POPA has loaded some
 * of its registers; here they have changed nothing.
 */
static bool half_done(const struct diff_case *c, const struct outcome *a)
{
    if (a->vector < 0)
        return false;
    const ZydisMnemonic m = diff_mnemonic_at(c, a->st.eip);
    return m == ZYDIS_MNEMONIC_POPA || m == ZYDIS_MNEMONIC_POPAD;
}

static bool may_differ(const struct diff_case *c, const struct outcome *a, uint32_t la,
                       uint8_t native, uint8_t soft)
{
    if ((la & 15) == 14 && native == 2 && soft == 0)
        return diff_has_mnemonic(c, ZYDIS_MNEMONIC_FXSAVE);
    if (a->vector < 0 || la - (a->st.gpr[R_ESP] - 256) >= 256)
        return false;
    const ZydisMnemonic m = diff_mnemonic_at(c, a->st.eip);
    return m == ZYDIS_MNEMONIC_ENTER || m == ZYDIS_MNEMONIC_PUSHA || m == ZYDIS_MNEMONIC_PUSHAD;
}

/* The order in which the host's microcode walks an image of many words is its own: any of
 * its addresses may fault first, and a part may have been loaded or stored by then. */
static bool is_image_fault(const struct diff_case *c, const struct outcome *a)
{
    switch (diff_mnemonic_at(c, a->st.eip)) {
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXRSTOR: return true;
    default: return false;
    }
}

static bool is_memory_fault(int vector)
{
    return vector >= 12 && vector <= 14;
}

/* Which operand's fault comes first is open: see native32_is_cmps(). */
static bool is_cmps(const struct diff_case *c, const struct outcome *a)
{
    switch (diff_mnemonic_at(c, a->st.eip)) {
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
        return true; /* of SSE2 too, which reads one: that is compared less */
    default: return false;
    }
}

static int compare_memory(struct diff *d, const struct diff_case *c, const struct outcome *a,
                          FILE *out)
{
    int n = 0;
    for (uint32_t off = 0; off < window_bytes(); off += 256) {
        if (!memcmp(d->alias + off, senv_at(d->env, off), 256))
            continue;
        for (uint32_t i = off; i < off + 256; i++) {
            const uint32_t la = diff_pages[i >> 12].la + (i & 0xfff);
            if (d->alias[i] == *senv_at(d->env, i) ||
                may_differ(c, a, la, d->alias[i], *senv_at(d->env, i)))
                continue;
            char name[24];
            snprintf(name, sizeof name, "%08x", la);
            if (n++ < 20)
                say(out, name, d->alias[i], *senv_at(d->env, i));
        }
    }
    return n;
}

/* The host's IRET out of its kernel makes every NULL selector 0. */
static uint16_t selector(uint16_t sel)
{
    return sel < 4 ? 0 : sel;
}

/* Number of differences, each printed to out unless NULL. */
static int compare(struct diff *d, const struct diff_case *c, const struct outcome *a,
                   const struct outcome *b, FILE *out)
{
    static const char *const reg[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    if (a->st.fxsave[26] & 2) /* the host took AMD's bit 17 of MXCSR, which the guest has not */
        return 0;
    if (is_image_fault(c, a) && is_memory_fault(a->vector) && is_memory_fault(b->vector) &&
        a->st.eip == b->st.eip)
        return 0;
    const bool either = is_cmps(c, a) && is_memory_fault(a->vector) && is_memory_fault(b->vector);
    int n = either ? 0 : differs(out, "vector", (uint64_t)a->vector, (uint64_t)b->vector);
    for (int i = 0; i < 8; i++)
        if (!half_done(c, a))
            n += differs(out, reg[i], a->st.gpr[i], b->st.gpr[i]);
    uint32_t flags = ~diff_vendor_flags(c);
    flags &= FL_ARITH | FL_DF | FL_TF | FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID | FL_VM;
    if (a->vector >= 0 && b->has_frame)
        flags |= FL_RF;
    n += differs(out, "eflags", a->st.eflags & flags, b->st.eflags & flags);
    if (a->vector >= 0)
        n += differs(out, "eip", a->st.eip, b->st.eip);
    n += differs(out, "ds", selector(a->st.ds), selector(b->st.ds));
    n += differs(out, "es", selector(a->st.es), selector(b->st.es));
    if (a->vector == 14 && !either) {
        n += differs(out, "cr2", a->cr2, b->cr2);
        n += differs(out, "error", a->error & 0x16, b->error & 0x16);
    } else if (has_error(a->vector) && !either) {
        n += differs(out, "error", a->error, b->error);
    }
    n += compare_fpu(a, b, out);
    return n + compare_memory(d, c, a, out);
}

/* Run a case on both sides. Negative: nothing to compare. */
static int run_case(struct diff *d, const struct diff_case *c, struct outcome *a, struct outcome *b,
                    FILE *out)
{
    place(d, c);
    run_soft(d, c, b);
    int n = OUT_UNSUPPORTED;
    if (b->vector != OUT_UNSUPPORTED) {
        run_native(c, a);
        n = a->vector == NATIVE32_TIMEOUT && b->vector == OUT_TIMEOUT ? OUT_TIMEOUT
                                                                      : compare(d, c, a, b, out);
    }
    restore(d);
    return n;
}

/* --- differences ----------------------------------------------------------------------------- */

static bool still(void *ctx, const struct diff_case *c)
{
    struct outcome a, b;
    return run_case(ctx, c, &a, &b, NULL) > 0;
}

static void report(struct diff *d, struct diff_case *c)
{
    struct outcome a, b;
    diff_shrink(c, still, d);
    printf("difference: --class %s --case %" PRIu64 "\n", diff_class_name[c->cls], c->seed);
    diff_show(c);
    run_case(d, c, &a, &b, stdout);
    if (b.why[0])
        printf("  soft says: %s\n", b.why);
}

/* --- many ------------------------------------------------------------------------------------- */

static void count_unsupported(struct diff *d, const struct diff_case *c)
{
    ZydisDecoder dec;
    ZydisDecodedInstruction zi;
    const uint32_t at = d->env->cpu.eip;
    d->n_unsupported++;
    ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    uint32_t la = c->start;
    for (unsigned k = 0; k < c->n; la += c->len[k++])
        if (la == at &&
            ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&dec, NULL, c->code[k], c->len[k], &zi)))
            d->unsupported[zi.mnemonic]++;
}

static void one(struct diff *d, uint64_t seed, enum diff_class cls)
{
    static struct diff_case c;
    struct outcome a, b;
    diff_generate(&c, seed, cls);
    if (diff_vendor_flags(&c) == UINT32_MAX) {
        d->n_vendor++;
        return;
    }
    const int n = run_case(d, &c, &a, &b, NULL);
    d->n_done++;
    d->n_insns += c.n;
    if (n == OUT_UNSUPPORTED) {
        count_unsupported(d, &c);
        if (d->verbose)
            printf("not supported: %s\n", b.why);
    } else if (n == OUT_TIMEOUT) {
        d->n_timeout++;
    } else {
        d->n_fault += a.vector >= 0;
        if (n > 0 && still(d, &c)) {
            d->n_diff++;
            report(d, &c);
        } else if (n > 0) {
            d->n_unsteady++;
        }
    }
}

static int summary(const struct diff *d, uint64_t seed, double secs)
{
    printf("diff_native: seed %" PRIu64 ": %" PRIu64 " cases, %" PRIu64 " instructions, %" PRIu64
           " ended in a fault, %" PRIu64 " endless, %" PRIu64 " not supported, %" PRIu64
           " differences (%.1f s, %.0f/s)\n",
           seed, d->n_done, d->n_insns, d->n_fault, d->n_timeout, d->n_unsupported, d->n_diff, secs,
           (double)d->n_done / secs);
    if (d->n_unsteady)
        printf("diff_native: %" PRIu64 " more were gone when run again (interrupted on the host)\n",
               d->n_unsteady);
    if (d->n_vendor)
        printf("diff_native: %" PRIu64 " left out: not an AMD processor (tests/diff_vendor.c)\n",
               d->n_vendor);
    if (!d->low)
        printf("diff_native: memory below 64 KiB cannot be mapped here: 16-bit addresses only "
               "fault\n");
    for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
        if (d->unsupported[m])
            printf("  not supported: %-12s %" PRIu64 "\n", ZydisMnemonicGetString((ZydisMnemonic)m),
                   d->unsupported[m]);
    return d->n_diff ? 1 : 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: diff_native [--seed N] [--count N] [--max-diffs N] [-v]\n"
                    "                   [--class int,string,fpu,mmx,sse|all] [--case N]\n");
    exit(2);
}

/* One name, or several with commas. */
static unsigned class_mask(char *names)
{
    unsigned mask = 0;
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        unsigned m = strcmp(name, "all") ? 0 : (1u << DIFF_CLASSES) - 1;
        for (unsigned i = 0; i < DIFF_CLASSES; i++)
            if (!strcmp(name, diff_class_name[i]))
                m = 1u << i;
        if (!m)
            usage();
        mask |= m;
    }
    return mask;
}

int main(int argc, char **argv)
{
    static const struct option opts[] = {{"seed", 1, NULL, 's'},      {"count", 1, NULL, 'n'},
                                         {"class", 1, NULL, 'c'},     {"case", 1, NULL, 'k'},
                                         {"max-diffs", 1, NULL, 'm'}, {0}};
    uint64_t seed = 1, count = 100000, max_diffs = 10, only = 0;
    unsigned classes = (1u << DIFF_CLASSES) - 1;
    bool one_case = false;
    static struct diff d;
    for (int o; (o = getopt_long(argc, argv, "v", opts, NULL)) != -1;) {
        switch (o) {
        case 's': seed = strtoull(optarg, NULL, 0); break;
        case 'n': count = strtoull(optarg, NULL, 0); break;
        case 'm': max_diffs = strtoull(optarg, NULL, 0); break;
        case 'k': only = strtoull(optarg, NULL, 0), one_case = true; break;
        case 'c': classes = class_mask(optarg); break;
        case 'v': d.verbose = true; break;
        default: usage();
        }
    }
    if (native32_open() < 0) {
        printf("diff_native: SKIPPED: %s\n", native32_why());
        return 77;
    }
    const int err = map_window(&d);
    if (err) {
        fprintf(stderr, "diff_native: mapping the window: %s\n", strerror(-err));
        return 2;
    }
    make_soft(&d);
    const double t0 = now();
    for (uint64_t i = 0; i < (one_case ? 1 : count) && d.n_diff < max_diffs;)
        for (unsigned k = 0; k < DIFF_CLASSES; k++)
            if (classes >> k & 1) {
                one(&d, one_case ? only : seed * 1000000007u + i, (enum diff_class)k);
                i++;
            }
    return summary(&d, seed, now() - t0);
}
