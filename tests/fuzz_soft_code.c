/*
 * fuzz_soft_code SEED COUNT: programs that write over themselves, through aliases too, on two soft
 * CPUs: one runs from its cache of decoded blocks, the other decodes each instruction anew. After
 * each stretch registers and memory must be the same. Prints the seed of a case that differs; exit
 * status 1.
 *
 * All of the linear space maps a few frames over and over, so that whatever a program computes as
 * an address hits its own code sooner or later. Every exception leads to a handler that steps over
 * one byte and returns.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rng.h"
#include "tests/soft_env.h"

enum {
    PLAY = 4, /* frames that everything maps */
    FRAMES = 16,
    SYS = 8, /* frames of ring 0's tables, at the same linear pages */
    GDT = SYS * PAGE_SIZE,
    IDT = GDT + PAGE_SIZE,
    HANDLERS = IDT + PAGE_SIZE,
    STACK = (SYS + 4) * PAGE_SIZE,
    STRETCHES = 20,
};

static uint64_t state;

static uint32_t rnd(void)
{
    return rng_u32(&state);
}

/* --- the world ---------------------------------------------------------------------------------
 */

static struct senv *world(void)
{
    static const uint32_t gdt[6] = {0, 0, 0x0000ffff, 0x00cf9b00, 0x0000ffff, 0x00cf9300};
    /* inc dword [esp]; iret, and the same behind an error code */
    static const uint8_t plain[] = {0xff, 0x04, 0x24, 0xcf};
    static const uint8_t with_error[] = {0x83, 0xc4, 0x04, 0xff, 0x04, 0x24, 0xcf};
    struct senv *e = senv_new(FRAMES);

    for (uint32_t p = 0; p < 1u << 20; p++)
        if (p < SYS || p >= FRAMES)
            e->map[p] = (p % PLAY) << PAGE_SHIFT | SENV_ALL;
    memcpy(senv_at(e, GDT), gdt, sizeof gdt);
    for (uint32_t v = 0; v < 256; v++) {
        const bool error = v == 8 || (v >= 10 && v <= 14) || v == 17;
        const uint32_t to = HANDLERS + (error ? 16 : 0);
        const uint32_t gate[2] = {8u << 16 | (to & 0xffff), (to & 0xffff0000) | 0x8e00};
        memcpy(senv_at(e, IDT + 8 * v), gate, sizeof gate);
    }
    memcpy(senv_at(e, HANDLERS), plain, sizeof plain);
    memcpy(senv_at(e, HANDLERS + 16), with_error, sizeof with_error);
    e->cpu.gdtr = (struct desc_table){GDT, 23};
    e->cpu.idtr = (struct desc_table){IDT, 0x7ff};
    return e;
}

/* One of some instructions that store, or anything. */
static unsigned emit(uint8_t *p)
{
    static const uint8_t stores[] = {0x00, 0x01, 0x88, 0x89, 0x30, 0x31, 0x87, 0x11, 0x28, 0x29};
    const uint32_t kind = rnd() % 8;

    for (unsigned k = 0; k < 12; k++)
        p[k] = (uint8_t)rnd();
    if (kind < 3) { /* op [reg + disp32], reg */
        p[0] = stores[rnd() % sizeof stores];
        p[1] = (uint8_t)(0x80 | (rnd() & 0x3f));
        return (p[1] & 7) == 4 ? 7 : 6;
    }
    if (kind == 3) { /* mov dword [code], imm */
        const uint32_t at = rnd() % (PLAY * PAGE_SIZE);
        p[0] = (rnd() & 1) ? 0xc6 : 0xc7;
        p[1] = 0x05;
        memcpy(p + 2, &at, 4);
        return p[0] == 0xc6 ? 7 : 10;
    }
    if (kind == 4) { /* short jumps */
        p[0] = (uint8_t)(0x70 + rnd() % 16);
        p[1] = (uint8_t)(rnd() % 64 - 32);
        return 2;
    }
    if (kind == 5) { /* arithmetic on registers */
        p[0] = (uint8_t)((rnd() % 8) << 3 | 1);
        p[1] = (uint8_t)(0xc0 | (rnd() & 0x3f));
        if ((p[1] & 7) == 4)
            p[1] ^= 1;
        return 2;
    }
    return 1 + rnd() % 4;
}

static void program(struct senv *e)
{
    uint8_t code[PLAY * PAGE_SIZE + 16];

    for (uint32_t at = 0; at < PLAY * PAGE_SIZE;)
        at += emit(code + at);
    for (uint32_t k = 0; k < PLAY * PAGE_SIZE; k++)
        if (code[k] == 0xf4) /* HLT would be the end */
            code[k] = 0x90;
    senv_put(e, 0, code, PLAY * PAGE_SIZE);
    for (unsigned r = 0; r < 8; r++)
        e->cpu.gpr[r] = rnd();
    e->cpu.gpr[R_ESP] = STACK;
    e->cpu.eip = rnd() % (PLAY * PAGE_SIZE);
}

/* --- comparing -----------------------------------------------------------------------------------
 */

static bool same(const struct senv *a, const struct senv *b)
{
    return !memcmp(&a->cpu, &b->cpu, offsetof(struct cpu, fpu)) &&
           !memcmp(a->ram, b->ram, (size_t)FRAMES * PAGE_SIZE) && a->n_io == b->n_io;
}

enum { INSN_MOST = 15 };

static void bytes_at(const struct senv *e, uint32_t la, uint8_t *out)
{
    for (uint32_t k = 0; k < INSN_MOST; k++) {
        const uint32_t m = e->map[(la + k) >> PAGE_SHIFT];
        out[k] = e->ram[(m & ~PAGE_MASK) + ((la + k) & PAGE_MASK)];
    }
}

/* A repeated string at EIP: how many visits it takes is each CPU's own affair. */
static bool at_repeat(const struct senv *e)
{
    uint8_t b[INSN_MOST];
    bool rep = false;

    bytes_at(e, e->cpu.seg[SEG_CS].base + e->cpu.eip, b);
    for (uint32_t k = 0; k < INSN_MOST; k++) {
        if (b[k] == 0xf2 || b[k] == 0xf3)
            rep = true;
        else if (!memchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0", b[k], 9))
            return rep;
    }
    return rep;
}

/* One step. false: a repeated string has written over itself; how soon that is seen is each CPU's
 * own affair as well. */
static bool step_one(struct senv *e, bool *ended)
{
    const uint32_t la = e->cpu.seg[SEG_CS].base + e->cpu.eip;
    const bool rep = at_repeat(e);
    uint8_t was[INSN_MOST], now[INSN_MOST];

    bytes_at(e, la, was);
    *ended = soft_step(e->soft, &e->exit) != SOFT_EXIT_BUDGET;
    bytes_at(e, la, now);
    return !rep || memcmp(was, now, sizeof was) == 0;
}

/* Step until n instructions are done or something else ends it; how many were. */
static uint64_t step_some(struct senv *e, uint64_t n, bool *ended)
{
    uint64_t done = 0;
    unsigned faults = 0;

    while (done < n && !(e->exit.insns && at_repeat(e)) && faults < 200) {
        if (!step_one(e, ended)) {
            *ended = true;
            break;
        }
        done += e->exit.insns;
        faults = e->exit.insns ? 0 : faults + 1;
        if (*ended)
            break;
    }
    *ended |= faults >= 200;
    return done;
}

/* true: the two agree to the end. */
static bool run_case(struct senv *fast, struct senv *slow, uint64_t *insns)
{
    bool ended = false;

    for (int k = 0; k < STRETCHES && !ended; k++) {
        slow->exit.insns = 0;
        const uint64_t n = step_some(slow, 1 + rnd() % 200, &ended);
        if (ended)
            break; /* HLT, shutdown: what led there has been compared */
        senv_run(fast, n);
        *insns += n;
        if (fast->exit.insns != n || !same(fast, slow))
            return false;
        if (at_repeat(slow))
            break;
    }
    return true;
}

int main(int argc, char **argv)
{
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000;
    uint64_t insns = 0, bad = 0;

    for (uint64_t k = 0; k < count && bad < 10; k++) {
        struct senv *fast = world(), *slow = world();
        state = (seed + k) * 0x9e3779b97f4a7c15u | 1;
        program(fast);
        state = (seed + k) * 0x9e3779b97f4a7c15u | 1;
        program(slow);
        if (!run_case(fast, slow, &insns)) {
            printf("differs: seed %" PRIu64 " (eip %08x and %08x, %" PRIu64 " instructions)\n",
                   seed + k, fast->cpu.eip, slow->cpu.eip, insns);
            cpu_dump(&fast->cpu, stdout);
            cpu_dump(&slow->cpu, stdout);
            bad++;
        }
        senv_free(fast);
        senv_free(slow);
    }
    printf("fuzz_soft_code: seed %" PRIu64 ": %" PRIu64 " programs, %" PRIu64
           " instructions, %" PRIu64 " differences\n",
           seed, count, insns, bad);
    return bad ? 1 : 0;
}
