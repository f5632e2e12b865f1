/*
 * The soft CPU's segmentation against the host's CPU: random descriptors in a local descriptor
 * table (modify_ldt), short programs of segment loads, accesses near limits, far transfers within
 * ring 3, LAR, LSL, VERR, VERW, ARPL, run natively and by the soft CPU. Registers, flags,
 * selectors, memory, vectors and error codes must be the same.
 *
 *   diff_segments [--seed N] [--count N] [--only N]
 *
 * Exit: 0 no difference, 1 differences, 77 the host cannot.
 */
#include <asm/ldt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/native32.h"
#include "tests/rng.h"
#include "tests/soft_env.h"

enum {
    DATA = 0x20000000, /* 16 pages of data and stack */
    DATA_PAGES = 16,
    CODE = 0x20100000, /* program, and at TARGET where far transfers lead */
    CODE_PAGES = 2,
    TARGET = CODE + 0x800,
    SYS = 0x30000000, /* the soft CPU's LDT, GDT, IDT, TSS, ring-0 stack, handlers: a page each */
    LDT_AT = SYS,
    GDT_AT = SYS + 0x1000,
    IDT_AT = SYS + 0x2000,
    TSS_AT = SYS + 0x3000,
    STACK0 = SYS + 0x5000,
    HANDLERS = SYS + 0x5000,
    SYS_PAGES = 6,
    N_LDT = 32,
    F_DATA = 0,
    F_CODE = F_DATA + DATA_PAGES,
    F_SYS = F_CODE + CODE_PAGES,
    FRAMES = F_SYS + SYS_PAGES,
};

/* --- random numbers --- */

static uint64_t rng;

static uint32_t rnd(void)
{
    return rng_u32(&rng);
}

static uint32_t below(uint32_t n)
{
    return rng_below(&rng, n);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

/* --- descriptors --- */

static struct user_desc ldt[N_LDT];

static struct user_desc random_desc(unsigned n)
{
    struct user_desc d = {.entry_number = n};

    d.base_addr = one_in(4) ? 0 : DATA + below(DATA_PAGES) * 4096 + below(256) * 16;
    d.contents = below(4) & 3;
    d.seg_32bit = below(2) & 1;
    d.limit_in_pages = below(2) & 1;
    d.limit = d.limit_in_pages ? (one_in(3) ? 0xfffff : below(4)) : below(one_in(2) ? 64 : 0x10000);
    d.read_exec_only = below(2) & 1;
    d.useable = below(2) & 1;
    d.seg_not_present = d.contents == 3 || one_in(6) ? 1 : 0;
    if (d.contents == 2) { /* code: where the program can be reached */
        d.base_addr = one_in(2) ? 0 : CODE - below(0x1000) * 8;
        if (d.seg_32bit || d.base_addr == 0)
            d.limit_in_pages = one_in(8) ? 0 : 1;
        else
            d.limit = one_in(2) ? 0xffff : below(0x10000);
        if (d.limit_in_pages && !one_in(8))
            d.limit = 0xfffff;
    }
    return d;
}

static uint64_t desc_bytes(const struct user_desc *d)
{
    const uint64_t type = 1u | (d->read_exec_only ^ 1u) << 1 | (unsigned)d->contents << 2;
    const uint64_t hi = (d->base_addr >> 16 & 0xff) | type << 8 | 1u << 12 | 3u << 13 |
                        (d->seg_not_present ^ 1u) << 15 | (d->limit & 0xf0000) |
                        (uint32_t)d->useable << 20 | (uint32_t)d->seg_32bit << 22 |
                        (uint32_t)d->limit_in_pages << 23 | (d->base_addr & 0xff000000);
    return hi << 32 | (uint64_t)(d->base_addr & 0xffff) << 16 | (d->limit & 0xffff);
}

/* What clears an entry, in the kernel's eyes. */
static bool desc_empty(const struct user_desc *d)
{
    return !d->base_addr && !d->limit && !d->contents && d->read_exec_only && !d->seg_32bit &&
           !d->limit_in_pages && d->seg_not_present && !d->useable;
}

static bool put_desc(struct senv *e, unsigned n)
{
    const uint64_t bytes = desc_empty(&ldt[n]) ? 0 : desc_bytes(&ldt[n]);
    if (syscall(SYS_modify_ldt, 0x11, &ldt[n], sizeof ldt[n]) != 0)
        return false;
    senv_put(e, (gpa_t)F_SYS * PAGE_SIZE + 8 * n, &bytes, 8);
    return true;
}

/* --- programs --- */

static uint8_t prog[256];
static unsigned prog_len;

static void b1(unsigned v)
{
    prog[prog_len++] = (uint8_t)v;
}

static void b2(unsigned v)
{
    b1(v & 0xff);
    b1(v >> 8 & 0xff);
}

static void b4(uint32_t v)
{
    b2(v & 0xffff);
    b2(v >> 16);
}

static uint16_t random_sel(void)
{
    switch (below(16)) {
    case 0: return (uint16_t)below(4);
    case 1: return NATIVE32_DS;
    case 2: return NATIVE32_CS;
    case 3: return (uint16_t)((N_LDT + below(4)) << 3 | 7);
    case 4: return (uint16_t)(below(N_LDT) << 3 | 4 | below(4));
    default: return (uint16_t)(below(N_LDT) << 3 | 7);
    }
}

/* A selector that far transfers like more often than not. */
static uint16_t code_sel(void)
{
    for (unsigned tries = 0; tries < 40 && !one_in(6); tries++) {
        const unsigned n = below(N_LDT);
        if (ldt[n].contents == 2 && !ldt[n].seg_not_present)
            return (uint16_t)(n << 3 | 7);
    }
    return random_sel();
}

static void mov_imm(unsigned r, uint32_t v)
{
    b1(0xb8 + r);
    b4(v);
}

/* An offset that is interesting for a segment with this selector. */
static uint32_t random_off(uint16_t sel)
{
    const unsigned n = sel >> 3;
    if (!(sel & 4) || n >= N_LDT)
        return DATA + below(DATA_PAGES * 4096);
    const uint32_t limit = ldt[n].limit_in_pages ? ldt[n].limit << 12 | 0xfff : ldt[n].limit;
    switch (below(4)) {
    case 0: return limit - 4 + below(9);
    case 1: return 0xfffc + below(8);
    case 2: return below(64);
    default: return DATA + below(DATA_PAGES * 4096) - ldt[n].base_addr;
    }
}

static uint16_t last_sel[8]; /* what the program loaded last, by sreg */

/* ModRM of [disp32]. */
static void modrm_abs(unsigned reg, uint32_t at)
{
    b1(reg << 3 | 5);
    b4(at);
}

static uint32_t put_far_ptr(struct senv *e, uint32_t off, unsigned size, uint16_t sel)
{
    const uint32_t at = DATA + 0x100 + below(64) * 8;
    uint8_t b[6] = {0};
    memcpy(b, &off, size);
    memcpy(b + size, &sel, 2);
    memcpy((void *)(uintptr_t)at, b, 6); // NOLINT(performance-no-int-to-ptr)
    senv_put(e, (gpa_t)F_DATA * PAGE_SIZE + (at - DATA), b, 6);
    return at;
}

static void gen_load(struct senv *e)
{
    static const uint8_t sregs[] = {0, 2, 3, 3, 0};
    const unsigned sreg = sregs[below(5)];
    const uint16_t any = random_sel();
    const uint16_t sel = any < 4 ? 0 : any;

    last_sel[sreg] = sel;
    switch (below(3)) {
    case 0:
        mov_imm(R_EAX, rnd() << 16 | sel);
        b1(0x8e), b1(0xc0 | sreg << 3);
        break;
    case 1:
        b1(0x68), b4(sel); /* PUSH */
        b1(sreg == 0 ? 0x07 : sreg == 2 ? 0x17 : 0x1f);
        break;
    default: {
        const bool op16 = one_in(3);
        const uint32_t at = put_far_ptr(e, DATA + below(0x8000) + 0x4000, op16 ? 2 : 4, sel);
        if (op16)
            b1(0x66);
        if (sreg == 2)
            b1(0x0f), b1(0xb2);
        else
            b1(sreg == 0 ? 0xc4 : 0xc5);
        modrm_abs(sreg == 2 ? R_ESP : R_EBX, at);
        break;
    }
    }
}

static void gen_access(void)
{
    static const uint8_t op[] = {0x8a, 0x88, 0x8b, 0x89, 0x03, 0x01, 0x86, 0x84};
    static const uint8_t prefix[8] = {0x26, 0x2e, 0x36, 0x3e};
    static const uint8_t sregs[] = {0, 2, 3, 3};
    const unsigned sreg = sregs[below(4)];

    mov_imm(R_ESI, random_off(last_sel[sreg]));
    b1(prefix[sreg]);
    if (one_in(3))
        b1(0x66);
    b1(op[below(8)]);
    b1(R_EDX << 3 | R_ESI);
}

/* No PUSHA, POPA: this host leaves a part of them done when they fault. */
static void gen_stack(void)
{
    static const uint8_t op[] = {0x50, 0x58, 0x9c, 0x06, 0x1e, 0x16, 0x0e, 0xc9};
    if (one_in(2))
        mov_imm(R_ESP, random_off(last_sel[SEG_SS]));
    if (one_in(3))
        b1(0x66);
    b1(op[below(sizeof op)]);
}

static void gen_query(void)
{
    static const uint8_t op[][2] = {{0x02, 0}, {0x03, 0}, {0x00, 4}, {0x00, 5}};
    const unsigned k = below(5);

    mov_imm(R_EAX, rnd() << 16 | random_sel());
    if (k == 4) { /* ARPL AX, DX */
        b1(0x63), b1(0xd0);
        return;
    }
    if (one_in(3))
        b1(0x66);
    b1(0x0f), b1(op[k][0]);
    b1(0xc0 | (k < 2 ? (unsigned)R_EBX : op[k][1]) << 3 | R_EAX);
}

static void gen_string(void)
{
    static const uint8_t op[] = {0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xae};
    mov_imm(R_ESI, random_off(last_sel[SEG_DS]));
    mov_imm(R_EDI, random_off(last_sel[SEG_ES]));
    mov_imm(R_ECX, below(12));
    if (one_in(2))
        b1(0xf3);
    if (one_in(4))
        b1(0x67);
    b1(op[below(8)]);
}

static void gen_privileged(void)
{
    static const uint8_t op[][3] = {{0xfa},       {0xfb},       {0xf4},       {0xec},
                                    {0xef},       {0x6c},       {0x0f, 0x06}, {0x0f, 0x20, 0xc0},
                                    {0x0f, 0x08}, {0x0f, 0x32}, {0x0f, 0x30}};
    static const uint8_t len[] = {1, 1, 1, 1, 1, 1, 2, 3, 2, 2, 2};
    const unsigned k = below(sizeof len);
    for (unsigned n = 0; n < len[k]; n++)
        b1(op[k][n]);
}

/* Code at TARGET fit for a segment: MOV ECX, CS; then the way back. */
static void put_target(struct senv *e, uint16_t sel, uint32_t *end)
{
    const bool code16 = (sel & 4) && sel >> 3 < N_LDT && !ldt[sel >> 3].seg_32bit;
    uint8_t t[16] = {0x8c, 0xc9};
    unsigned n = 2;

    *end = TARGET + n;
    if (code16)
        t[n++] = 0x66;
    native32_put_end(t + n);
    memcpy((void *)(uintptr_t)TARGET, t, sizeof t); // NOLINT(performance-no-int-to-ptr)
    senv_put(e, (gpa_t)F_CODE * PAGE_SIZE + (TARGET - CODE), t, sizeof t);
}

/* Ends the program. */
static void gen_far(struct senv *e, uint32_t *end)
{
    const uint16_t sel = code_sel();
    const uint32_t base = (sel & 4) && sel >> 3 < N_LDT ? ldt[sel >> 3].base_addr : 0;
    const uint32_t off = TARGET - base;
    const bool op16 = one_in(4);

    put_target(e, sel, end);
    switch (below(5)) {
    case 0:
    case 1: /* JMP, CALL */
        if (op16)
            b1(0x66);
        b1(below(2) ? 0xea : 0x9a);
        if (op16)
            b2(off);
        else
            b4(off);
        b2(sel);
        break;
    case 2: { /* through memory */
        const uint32_t at = put_far_ptr(e, off, op16 ? 2 : 4, sel);
        if (op16)
            b1(0x66);
        b1(0xff);
        modrm_abs(below(2) ? 5 : 3, at);
        break;
    }
    case 3: /* RET */
        b1(0x68), b4(sel);
        b1(0x68), b4(off);
        if (below(2)) {
            b1(0xcb);
        } else {
            b1(0xca);
            b2(below(8) * 4);
        }
        break;
    default: /* IRET; no TF, NT, AC */
        b1(0x68), b4(rnd() & ~(uint32_t)(FL_TF | FL_NT | FL_AC));
        b1(0x68), b4(sel);
        b1(0x68), b4(off);
        b1(0xcf);
        break;
    }
}

static void gen(struct senv *e, uint32_t *end1, uint32_t *end2)
{
    prog_len = 0;
    for (unsigned k = 0; k < 8; k++)
        last_sel[k] = NATIVE32_DS;
    for (unsigned k = 1 + below(4); k > 0; k--)
        switch (below(10)) {
        case 0:
        case 1:
        case 2: gen_load(e); break;
        case 3:
        case 4: gen_access(); break;
        case 5: gen_stack(); break;
        case 6: gen_string(); break;
        case 7: gen_query(); break;
        case 8: gen_access(); break;
        default:
            if (one_in(4))
                gen_privileged();
            else
                gen_query();
        }
    *end2 = 0;
    if (one_in(3))
        gen_far(e, end2);
    *end1 = CODE + prog_len;
    native32_put_end(prog + prog_len);
    const unsigned all = prog_len + NATIVE32_END_LEN;
    memcpy((void *)(uintptr_t)CODE, prog, all); // NOLINT(performance-no-int-to-ptr)
    senv_put(e, (gpa_t)F_CODE * PAGE_SIZE, prog, all);
}

/* --- the soft side --- */

static void put_gate(struct senv *e, unsigned v)
{
    const uint32_t to = HANDLERS + v * 4;
    const uint64_t hi = (to & 0xffff0000u) | 0xee00;
    const uint64_t g = hi << 32 | 0x08u << 16 | (to & 0xffff);
    const uint8_t hlt = 0xf4;
    senv_put(e, (gpa_t)(F_SYS + 2) * PAGE_SIZE + 8 * v, &g, 8);
    senv_put(e, (gpa_t)(F_SYS + 5) * PAGE_SIZE + 4 * v, &hlt, 1);
}

static struct senv *make_soft(void)
{
    static const uint64_t gdt[] = {
        0,
        0x00cf9b000000ffff, /* 08: ring 0 code */
        0x00cf93000000ffff, /* 10: ring 0 data */
        0,
        0x00cffb000000ffff, /* 23 */
        0x00cff3000000ffff, /* 2B */
    };
    struct senv *e = senv_new(FRAMES);
    const uint32_t ss0 = 0x10, esp0 = STACK0, no_bitmap = 0x680000;

    senv_map(e, 0, 0, FRAMES, 0);
    senv_map(e, DATA, F_DATA, DATA_PAGES, SENV_ALL);
    senv_map(e, CODE, F_CODE, CODE_PAGES, SENV_ALL);
    senv_map(e, SYS, F_SYS, SYS_PAGES, SENV_P | SENV_W | SENV_X);
    senv_put(e, (gpa_t)(F_SYS + 1) * PAGE_SIZE, gdt, sizeof gdt);
    for (unsigned v = 0; v < 32; v++)
        put_gate(e, v);
    senv_put(e, (gpa_t)(F_SYS + 3) * PAGE_SIZE + 4, &esp0, 4);
    senv_put(e, (gpa_t)(F_SYS + 3) * PAGE_SIZE + 8, &ss0, 4);
    senv_put(e, (gpa_t)(F_SYS + 3) * PAGE_SIZE + 100, &no_bitmap, 4);
    return e;
}

static struct seg flat(uint16_t sel, uint32_t attr)
{
    return (struct seg){.sel = sel, .attr = (uint16_t)attr, .limit = UINT32_MAX};
}

static void soft_start(struct senv *e, const struct native32_state *st)
{
    struct cpu *c = &e->cpu;
    memcpy(c->gpr, st->gpr, sizeof st->gpr);
    c->eip = st->eip;
    c->eflags = st->eflags;
    c->cpl = 3;
    c->halted = c->int_shadow = c->db_shadow = false;
    for (unsigned r = 0; r < SEG_COUNT; r++)
        c->seg[r] = flat(NATIVE32_DS, 0xc0f3);
    c->seg[SEG_CS] = flat(NATIVE32_CS, 0xc0fb);
    c->seg[SEG_FS] = c->seg[SEG_GS] = (struct seg){0};
    c->cr0 = CR0_PE | CR0_ET | CR0_WP | CR0_NE;
    c->gdtr = (struct desc_table){GDT_AT, 6 * 8 - 1};
    c->idtr = (struct desc_table){IDT_AT, 32 * 8 - 1};
    c->ldtr =
        (struct seg){.sel = 0x30, .attr = SA_P | ST_LDT, .base = LDT_AT, .limit = N_LDT * 8 - 1};
    c->tr = (struct seg){.sel = 0x38, .attr = SA_P | ST_TSS32_BUSY, .base = TSS_AT, .limit = 0x67};
}

struct soft_result {
    int vector;
    uint32_t error, la;
    struct native32_state st;
};

static uint32_t frame_word(struct senv *e, unsigned k)
{
    uint32_t v;
    const uint32_t at = e->cpu.gpr[R_ESP] + 4 * k - SYS;
    memcpy(&v, senv_at(e, (gpa_t)F_SYS * PAGE_SIZE + at), 4);
    return v;
}

static void soft_fault(struct senv *e, struct soft_result *r)
{
    const bool code = r->vector == 8 || (r->vector >= 10 && r->vector <= 14) || r->vector == 17;
    unsigned k = 0;
    r->error = code ? frame_word(e, k++) : 0;
    r->st.eip = frame_word(e, k);
    r->st.eflags = frame_word(e, k + 2);
    r->st.gpr[R_ESP] = frame_word(e, k + 3);
    r->st.ss = (uint16_t)frame_word(e, k + 4);
}

static struct soft_result soft_go(struct senv *e, uint32_t end1, uint32_t end2)
{
    struct soft_result r = {.vector = NATIVE32_TIMEOUT};
    struct cpu *c = &e->cpu;

    for (unsigned n = 0; n < 100; n++) {
        const struct seg *cs = &c->seg[SEG_CS];
        const uint32_t la = cs->base + c->eip;
        const uint32_t jump = NATIVE32_END_LEN - 1u + ((cs->attr & SA_DB) ? 0 : 1);
        if ((la == end1 || la == end2) && c->cpl == 3 && c->eip + jump <= cs->limit) {
            r.vector = NATIVE32_END;
            break;
        }
        const enum soft_exit x = senv_run(e, 1);
        if (x == SOFT_EXIT_PF) {
            r.vector = VEC_PF;
            r.la = e->exit.la;
            break;
        }
        if (c->cpl == 0) {
            r.vector = (int)((c->eip - HANDLERS) / 4);
            break;
        }
        if (x != SOFT_EXIT_BUDGET)
            break;
    }
    memcpy(r.st.gpr, c->gpr, sizeof r.st.gpr);
    r.st.eip = c->eip;
    r.st.eflags = c->eflags;
    r.st.ss = c->seg[SEG_SS].sel;
    r.st.ds = c->seg[SEG_DS].sel;
    r.st.es = c->seg[SEG_ES].sel;
    if (c->cpl == 0)
        soft_fault(e, &r);
    return r;
}

/* --- comparing --- */

/* On the way back from an interrupt or fault the host's kernel turns every NULL into 0; that is
 * also why programs load no NULL but 0. */
static bool same_sel(uint16_t host, uint16_t soft)
{
    return host == soft || (host == 0 && soft < 4);
}

static uint32_t stack_top(const struct native32_state *st)
{
    if (!(st->ss & 4) || st->ss >> 3 >= N_LDT)
        return st->gpr[R_ESP];
    const struct user_desc *d = &ldt[st->ss >> 3];
    return d->base_addr + (d->seg_32bit ? st->gpr[R_ESP] : st->gpr[R_ESP] & 0xffff);
}

/* A far CALL of this host that faults on its target's limit has pushed already, without moving ESP:
 * what lies just below the stack of a fault does not count, and is made equal. */
static bool same_memory(struct senv *e, uint32_t esp)
{
    uint8_t *host = (uint8_t *)(uintptr_t)DATA; // NOLINT(performance-no-int-to-ptr)
    uint8_t *soft = senv_at(e, (gpa_t)F_DATA * PAGE_SIZE);

    for (uint32_t at = esp - 8; esp && at != esp; at++)
        if (at - DATA < DATA_PAGES * PAGE_SIZE)
            soft[at - DATA] = host[at - DATA];
    return memcmp(host, soft, DATA_PAGES * PAGE_SIZE) == 0;
}

static bool memory_fault(int vector)
{
    return vector == VEC_SS || vector == VEC_GP || vector == VEC_PF;
}

static bool at_cmps(const struct native32_state *st)
{
    const uint32_t at = st->eip - CODE;
    return at < prog_len && native32_is_cmps(prog + at, prog_len - at);
}

static const char *differs(const struct native32_state *st, const struct native32_result *res,
                           const struct soft_result *r, struct senv *e)
{
    const bool either = memory_fault(res->vector) && memory_fault(r->vector) && at_cmps(st);
    if (res->vector != r->vector && !either)
        return "vector";
    if (!either && res->vector == VEC_PF && res->cr2 != r->la)
        return "CR2";
    if (res->vector >= 0 && res->vector != VEC_PF && res->error != r->error)
        return "error code";
    for (unsigned k = 0; k < 8; k++)
        if (st->gpr[k] != r->st.gpr[k])
            return "register";
    const uint32_t flags = FL_ARITH | FL_DF | FL_AC | FL_ID;
    if ((st->eflags ^ r->st.eflags) & flags)
        return "flags";
    if (!same_sel(st->ds, r->st.ds) || !same_sel(st->es, r->st.es))
        return "DS or ES";
    if (res->vector >= 0 && (st->ss != r->st.ss || st->eip != r->st.eip))
        return "SS or EIP";
    if (!same_memory(e, res->vector >= 0 ? stack_top(st) : 0))
        return "memory";
    return NULL;
}

static void print_state(const char *who, int vector, uint32_t error, uint32_t la,
                        const struct native32_state *st)
{
    printf("  %-7s vector %d error %#x la %#x eip %#x flags %#x ds %#x es %#x ss %#x\n         ",
           who, vector, error, la, st->eip, st->eflags, st->ds, st->es, st->ss);
    for (unsigned k = 0; k < 8; k++)
        printf(" %08" PRIx32, st->gpr[k]);
    printf("\n");
}

static void report(uint64_t n, const char *what, const struct native32_state *st,
                   const struct native32_result *res, const struct soft_result *r)
{
    printf("case %" PRIu64 ": %s differs\n  code", n, what);
    for (unsigned k = 0; k < prog_len; k++)
        printf(" %02x", prog[k]);
    printf("\n");
    for (unsigned k = 0; k < 4; k++) {
        const unsigned sreg = k;
        const unsigned sel = last_sel[sreg];
        if (sreg != SEG_CS && (sel & 4) && sel >> 3 < N_LDT)
            printf("  %04x: %016" PRIx64 "\n", sel, desc_bytes(&ldt[sel >> 3]));
    }
    print_state("host", res->vector, res->error, res->cr2, st);
    print_state("soft", r->vector, r->error, r->la, &r->st);
}

static void start_rng(uint64_t seed, uint64_t n)
{
    rng = (seed * 0x9e3779b97f4a7c15u) ^ (n * 0xbf58476d1ce4e5b9u) ^ 0x94d049bb133111eb;
    for (unsigned k = 0; k < 4; k++)
        rnd();
}

/* A table serves a number of cases, for writing it costs more than they do. */
enum { LDT_CASES = 32 };
static bool have_ldt;

static void new_ldt(struct senv *e, uint64_t seed, uint64_t n)
{
    start_rng(seed, n);
    for (unsigned k = 0; k < N_LDT; k++) {
        ldt[k] = random_desc(k);
        if (!put_desc(e, k)) {
            perror("modify_ldt");
            exit(2);
        }
    }
    have_ldt = true;
}

static bool one_case(struct senv *e, uint64_t seed, uint64_t n)
{
    struct native32_state st = {0};
    struct native32_result res;
    uint32_t end1, end2;

    if (!have_ldt || n % LDT_CASES == 0)
        new_ldt(e, seed, n / LDT_CASES);
    start_rng(seed, n + (1ull << 32));
    gen(e, &end1, &end2);
    st.fxsave[0] = 0x7f, st.fxsave[1] = 3, st.fxsave[24] = 0x80, st.fxsave[25] = 0x1f;
    for (unsigned k = 0; k < 8; k++)
        st.gpr[k] = rnd();
    st.gpr[R_ESP] = DATA + 0x8000 + below(64) * 4;
    st.gpr[R_EBP] = DATA + 0x9000;
    st.eip = CODE;
    st.eflags = FL_ONE | FL_IF | (rnd() & (FL_ARITH | FL_DF));
    soft_start(e, &st);
    native32_run(&st, &res);
    const struct soft_result r = soft_go(e, end1, end2);
    const char *what = differs(&st, &res, &r, e);
    if (!what)
        return true;
    report(n, what, &st, &res, &r);
    memcpy(senv_at(e, (gpa_t)F_DATA * PAGE_SIZE), (void *)(uintptr_t)DATA,
           DATA_PAGES * PAGE_SIZE); // NOLINT(performance-no-int-to-ptr)
    return false;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, count = 20000, only = UINT64_MAX, bad = 0;

    for (int k = 1; k + 1 < argc; k += 2) {
        uint64_t *to = !strcmp(argv[k], "--seed")    ? &seed
                       : !strcmp(argv[k], "--count") ? &count
                       : !strcmp(argv[k], "--only")  ? &only
                                                     : NULL;
        if (!to) {
            fprintf(stderr, "diff_segments: %s?\n", argv[k]);
            return 2;
        }
        *to = strtoull(argv[k + 1], NULL, 0);
    }
    struct user_desc probe = {.entry_number = N_LDT - 1, .limit = 1, .useable = 1};
    if (native32_open() < 0 || syscall(SYS_modify_ldt, 0x11, &probe, sizeof probe) != 0) {
        printf("skipped: %s\n", *native32_why() ? native32_why() : "no modify_ldt here");
        return 77;
    }
    if (native32_map(DATA, DATA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0 ||
        native32_map(CODE, CODE_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0) {
        printf("skipped: addresses taken\n");
        return 77;
    }
    struct senv *e = make_soft();
    for (uint64_t n = only == UINT64_MAX ? 0 : only;
         n < (only == UINT64_MAX ? count : only + 1) && bad < 20; n++)
        bad += !one_case(e, seed, n);
    printf("seed %" PRIu64 ": %" PRIu64 " cases, %" PRIu64 " differences\n", seed, count, bad);
    senv_free(e);
    native32_close();
    return bad != 0;
}
