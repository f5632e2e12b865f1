/*
 * System instructions of the soft CPU are restartable at every access: random descriptor tables,
 * tasks, gates and short programs are run twice, once with all memory mapped and once with none,
 * where each miss maps only the page and the right that was asked for (and a load of CR3 takes all
 * of it away again). Both must end in the same state, having touched ports and told the monitor the
 * same.
 *
 *   fuzz_soft_sys [SEED [COUNT]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rng.h"
#include "tests/soft_world.h"

enum { STEPS = 300, TSS2_FAR = 0xe800, CODE2 = 0x1200, MAX_MISSES = 400 };

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

static uint16_t random_sel(void)
{
    static const uint16_t sel[] = {S_CODE0, S_DATA0, S_CODE3, S_DATA3, S_TSS,   S_LDT,    S_X,
                                   S_Y,     S_CONF0, S_CONF3, S_CODE1, S_DATA1, S_CODE16, S_DATA16,
                                   S_TSS2,  S_RO0,   S_XO0,   S_TSS16, S_XLDT,  S_CODE2,  S_DATA2,
                                   S_X,     S_Y,     S_TSS2,  S_X,     S_Y};
    const uint16_t s = sel[below(sizeof sel / sizeof *sel)];
    if (one_in(20))
        return (uint16_t)rnd();
    return one_in(4) ? (uint16_t)((s & ~3u) | below(4)) : s;
}

static void random_desc(struct world *w, uint16_t at)
{
    const uint32_t dpl = below(4) << 5, p = one_in(8) ? 0 : SA_P;

    switch (below(7)) {
    case 0:
        world_call_gate(w, at, random_sel(), CODE2, p | dpl | (one_in(3) ? 4 : 12), below(8));
        break;
    case 1:
        world_call_gate(w, at, one_in(2) ? S_TSS2 : random_sel(), 0, p | dpl | ST_TASK, 0);
        break;
    case 2:
        world_desc(w, at, TSS2_FAR, one_in(6) ? below(0x70) : 0x67, p | dpl | (one_in(4) ? 1 : 9));
        break;
    case 3: world_desc(w, at, rnd(), rnd(), p | dpl | below(16)); break;
    default:
        world_desc(w, at, 0, one_in(4) ? below(0x2000) : 0xfffff,
                   p | dpl | SA_S | below(16) | (one_in(4) ? 0 : SA_DB) | (one_in(8) ? 0 : SA_G));
    }
}

static void clear_accessed(struct world *w)
{
    static const uint16_t sel[] = {S_CODE0, S_DATA0, S_CODE3, S_DATA3,
                                   S_CONF0, S_CODE1, S_DATA1, S_XLDT};
    for (size_t k = 0; k < sizeof sel / sizeof *sel; k++)
        if (one_in(2)) {
            const uint32_t at = ((sel[k] & 4) ? W_LDT : W_GDT) + (sel[k] & 0xfff8u) + 5;
            *senv_at(w->e, at) &= 0xfe;
        }
}

static void random_task(struct world *w)
{
    const unsigned cpl = below(4);
    static const uint16_t code[] = {S_CODE0, S_CODE1, S_CODE2, S_CODE3};
    static const uint16_t data[] = {S_DATA0, S_DATA1, S_DATA2, S_DATA3};
    uint32_t flags = FL_ONE | (rnd() & (FL_ARITH | FL_IF | FL_NT | FL_IOPL));

    if (one_in(5))
        flags |= FL_VM;
    if (one_in(8))
        flags |= FL_TF;
    world_desc(w, S_TSS2, TSS2_FAR, 0x67,
               (one_in(3) ? ST_TSS32_BUSY : ST_TSS32) | SA_P | below(4) << 5);
    for (unsigned at = 0; at < 0x68; at += 4)
        world_put32(w, TSS2_FAR + at, rnd() & 0xffff);
    world_put32(w, TSS2_FAR + 4, 0x6ff8 + below(3) * 4);
    world_put32(w, TSS2_FAR + 8, S_DATA0);
    world_put32(w, TSS2_FAR + 0x1c, 0x5000);
    world_put32(w, TSS2_FAR + 0x20, CODE2);
    world_put32(w, TSS2_FAR + 0x24, flags);
    world_put32(w, TSS2_FAR + 0x38, 0xc004);
    for (unsigned r = 0; r < SEG_COUNT; r++)
        world_put32(w, TSS2_FAR + 0x48 + 4 * r,
                    one_in(12)    ? random_sel()
                    : r == SEG_CS ? code[cpl]
                                  : data[cpl]);
    world_put32(w, TSS2_FAR + 0x60, one_in(2) ? S_LDT : one_in(2) ? 0 : random_sel());
    world_put32(w, TSS2_FAR + 0x64, 0x680000u | one_in(6));
    world_put16(w, W_TSS, one_in(4) ? random_sel() : S_TSS2);
}

static void random_idt(struct world *w)
{
    static const uint32_t type[] = {ST_INT32, ST_TRAP32, ST_INT16, ST_TRAP16, ST_TASK, ST_INT32};
    for (unsigned k = 0; k < 12; k++) {
        const unsigned v = one_in(3) ? 0x80 : below(18);
        world_idt(w, v, one_in(3) ? random_sel() : S_CODE0, CODE2,
                  type[below(6)] | (one_in(10) ? 0 : SA_P) | (one_in(3) ? A_DPL3 : 0));
    }
    if (one_in(3))
        world_idt(w, one_in(2) ? 0x80 : below(18), S_TSS2, 0, A_TASK | A_DPL3);
}

/* --- programs --- */

static uint8_t prog[64];
static unsigned len;

static void put(const void *bytes, unsigned n)
{
    memcpy(prog + len, bytes, n);
    len += n;
}

#define PUT(...)                                                                                   \
    do {                                                                                           \
        const uint8_t put_[] = {__VA_ARGS__};                                                      \
        put(put_, sizeof put_);                                                                    \
    } while (0)

static void mov_eax(uint32_t v)
{
    PUT(0xb8, (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24));
}

static void random_insn(void)
{
    static const uint8_t one[] = {0xcb, 0xcf, 0xcf, 0xcf, 0x9c, 0x9d, 0xfa, 0xfb,
                                  0xcc, 0xce, 0xf1, 0x06, 0x1f, 0x17, 0x6c, 0x6d,
                                  0x6e, 0x6f, 0xec, 0xef, 0xf4, 0x60, 0x61, 0x0e};
    static const uint8_t two[][3] = {{0x0f, 0x34}, {0x0f, 0x35}, {0x0f, 0x06}, {0x0f, 0xa1},
                                     {0x0f, 0xa8}, {0x0f, 0xa2}, {0x0f, 0x32}, {0xf3, 0x6d},
                                     {0xf3, 0x6f}, {0xcd, 0x80}};
    const uint16_t sel = random_sel();

    if (one_in(8))
        PUT(0x66);
    switch (below(12)) {
    case 0: PUT(0xea, CODE2 & 0xff, CODE2 >> 8, 0, 0, (uint8_t)sel, (uint8_t)(sel >> 8)); break;
    case 1: PUT(0x9a, CODE2 & 0xff, CODE2 >> 8, 0, 0, (uint8_t)sel, (uint8_t)(sel >> 8)); break;
    case 2:
    case 3:
        mov_eax(sel);
        PUT(0x8e, (uint8_t)(0xc0 | below(6) << 3));
        break;
    case 4:
        mov_eax(sel);
        PUT(0x0f, (uint8_t)below(2) * 2, (uint8_t)(0xc0 | below(6) << 3));
        break;
    case 5:
        mov_eax(rnd() & 0x80010031u);
        PUT(0x0f, 0x22, (uint8_t)(0xc0 | below(5) << 3));
        break;
    case 6: PUT(0x0f, (uint8_t)(0xb2 + below(2) * 2), 0x1d, 0xfe, 0xaf, 0, 0); break;
    case 7: PUT(0x0f, 0x01, (uint8_t)(0x05 | below(4) << 3), 0xfc, 0xaf, 0, 0); break;
    case 8:
    case 9: put(two[below(10)], 2); break;
    default: put(&one[below(sizeof one)], 1); break;
    }
}

static void random_stack(struct world *w)
{
    /* What RET and IRET of either size may make sense of. */
    const uint32_t esp = w->c->gpr[R_ESP] & 0xffff;
    for (unsigned k = 0; k < 12; k++)
        world_put32(w, esp + 4 * k, random_sel());
    world_put32(w, esp, CODE2);
    if (one_in(2)) {
        world_put32(w, esp + 8,
                    FL_ONE | (rnd() & (FL_ARITH | FL_IF | FL_IOPL | FL_VM | FL_RF | FL_NT)));
        world_put32(w, esp + 12, 0x7ff6);
    }
}

static struct world *make(uint64_t seed, uint64_t n)
{
    rng = (seed * 0x9e3779b97f4a7c15u) ^ (n * 0xbf58476d1ce4e5b9u) ^ 0x94d049bb133111eb;
    for (unsigned k = 0; k < 4; k++)
        rnd();
    const unsigned mode = below(8);
    struct world *w = mode == 0   ? world_real()
                      : mode == 1 ? world_v86(below(4))
                                  : world_new(below(4));
    random_task(w);
    random_desc(w, S_X);
    random_desc(w, S_Y);
    clear_accessed(w);
    random_idt(w);
    for (unsigned k = 0; k < 64; k++)
        world_put32(w, W_DATA + 0xf80 + 4 * k, rnd());
    world_put16(w, W_DATA + PAGE_SIZE + 2, random_sel());
    for (unsigned r = 0; r < 8; r++)
        if (r != R_ESP)
            w->c->gpr[r] = below(0x10000);
    w->c->gpr[R_ECX] = below(20);
    w->c->gpr[R_ESP] = one_in(2) ? 0xc000 - below(12) * 2 : w->c->gpr[R_ESP];
    random_stack(w);
    w->c->sysenter_cs = one_in(2) ? S_CODE0 : 0;
    w->c->sysenter_eip = CODE2;
    w->c->sysenter_esp = 0xc000;
    w->c->eflags |= rnd() & (FL_ARITH | FL_IF | FL_DF);
    if (!cpu_v86(w->c) && one_in(4))
        w->c->eflags |= FL_NT;
    if (one_in(6))
        w->c->eflags |= FL_TF;
    if (one_in(3) && cpu_protected(w->c))
        w->c->cr0 |= CR0_PG;
    len = 0;
    for (unsigned k = 0; k < 3; k++)
        random_insn();
    PUT(0xf4, 0xf4);
    senv_put(w->e, W_CODE, prog, len);
    len = 0;
    random_insn();
    PUT(0x90, 0xf4, 0xf4);
    senv_put(w->e, CODE2, prog, len);
    w->e->in_value = 0xa1b2c3d4;
    if (one_in(3)) {
        w->e->intr_vector = one_in(2) ? 0x80 : (int)below(256);
        soft_set_intr(w->e->soft, true);
    }
    return w;
}

/* --- running --- */

static bool flush_only(void *ctx, int reg, uint32_t old)
{
    struct senv *e = ctx;
    (void)reg, (void)old;
    e->n_cr_written++;
    soft_tlb_flush(e->soft);
    return true;
}

static void unmap_all(struct senv *e)
{
    for (uint32_t f = 0; f < W_FRAMES; f++)
        e->map[f] = f << PAGE_SHIFT;
    soft_tlb_flush(e->soft);
}

static bool unmap_too(void *ctx, int reg, uint32_t old)
{
    struct senv *e = ctx;
    const bool ok = flush_only(ctx, reg, old);
    if (reg == 3)
        unmap_all(e);
    return ok;
}

static void one_fault(struct senv *e)
{
    static const uint32_t bits[] = {SENV_P | SENV_U, SENV_P | SENV_U | SENV_W,
                                    SENV_P | SENV_U | SENV_X};
    e->map[e->exit.la >> PAGE_SHIFT] |= bits[e->exit.access];
    soft_tlb_drop(e->soft, e->exit.la);
}

/* Runs STEPS instructions. lazy: pages come one by one. Returns how it ended; beyond RAM counts as
 * an end. */
static enum soft_exit go(struct world *w, bool lazy, unsigned *misses)
{
    uint64_t left = STEPS;
    enum soft_exit x;

    w->e->env.cr_written = lazy ? unmap_too : flush_only;
    if (lazy)
        unmap_all(w->e);
    for (*misses = 0; *misses < MAX_MISSES; ++*misses) {
        x = senv_run(w->e, left);
        left -= w->e->exit.insns < left ? w->e->exit.insns : left;
        if (x != SOFT_EXIT_PF || w->e->exit.la >= W_FRAMES * PAGE_SIZE || !lazy)
            return x;
        one_fault(w->e);
    }
    return SOFT_EXIT_ATTENTION; /* it does not get on */
}

static const char *compare(struct world *a, struct world *b, enum soft_exit xa, enum soft_exit xb)
{
    if (xa != xb)
        return "exit";
    if (xa == SOFT_EXIT_PF && a->e->exit.la != b->e->exit.la)
        return "address of the miss";
    if (memcmp(a->c, b->c, offsetof(struct cpu, fpu)) != 0)
        return "registers";
    if (memcmp(a->e->ram, b->e->ram, W_FRAMES * PAGE_SIZE) != 0)
        return "memory";
    if (a->e->n_io != b->e->n_io || memcmp(a->e->io, b->e->io, sizeof a->e->io) != 0)
        return "ports";
    if (a->e->n_cr_written != b->e->n_cr_written || a->e->n_invlpg != b->e->n_invlpg)
        return "what the monitor was told";
    return NULL;
}

/* Has a run written over its program? A REP that does goes on with the old one until it is looked
 * at again, which a miss makes earlier; so may a processor. Such a case tells nothing. */
static bool wrote_over_itself(uint64_t seed, uint64_t n, const struct world *a,
                              const struct world *b)
{
    static const uint32_t at[] = {W_CODE, CODE2};
    struct world *was = make(seed, n);
    bool written = false;

    for (size_t k = 0; k < sizeof at / sizeof *at; k++)
        written = written || memcmp(a->e->ram + at[k], was->e->ram + at[k], sizeof prog) != 0 ||
                  memcmp(b->e->ram + at[k], was->e->ram + at[k], sizeof prog) != 0;
    world_free(was);
    return written;
}

int main(int argc, char **argv)
{
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 2000;
    const uint64_t from = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    uint64_t bad = 0, all_misses = 0, ended = 0;

    for (uint64_t n = from; n < from + count && bad < 10; n++) {
        unsigned ma, mb;
        struct world *a = make(seed, n), *b = make(seed, n);
        const enum soft_exit xa = go(a, false, &ma), xb = go(b, true, &mb);
        const char *what = compare(a, b, xa, xb);
        all_misses += mb;
        ended += xa != SOFT_EXIT_BUDGET;
        if (what && xa != SOFT_EXIT_BUDGET && !wrote_over_itself(seed, n, a, b)) {
            bad++;
            printf("case %" PRIu64 ": %s differ; exits %d %d, %s %s\n", n, what, xa, xb,
                   a->e->exit.why, b->e->exit.why);
            if (argc > 3) {
                cpu_dump(&make(seed, n)->e->cpu, stdout);
                cpu_dump(a->c, stdout);
                cpu_dump(b->c, stdout);
            }
        }
        world_free(a);
        world_free(b);
    }
    printf("seed %" PRIu64 ": %" PRIu64 " cases, %" PRIu64 " ended, %" PRIu64 " misses, %" PRIu64
           " differences\n",
           seed, count, ended, all_misses, bad);
    return bad != 0;
}
