/* REP INS and OUTS by whole runs: the same as element by element, whatever the segment, the page,
 * the direction and the device's block. */
#include "tests/soft_world.h"

#include <criterion/criterion.h>
#include <string.h>

/* A device that gives a stream of bytes and sums up what it is given. */
static struct {
    uint32_t next, sum, taken;
    uint32_t block; /* elements that it moves in one go; 0: it does no such thing */
} dev;

static uint32_t rnd_state;
static uint32_t rnd(uint32_t n)
{
    rnd_state = rnd_state * 1664525u + 1013904223u;
    return (rnd_state >> 8) % n;
}

static uint8_t stream(uint32_t n)
{
    return (uint8_t)(n * 37 + (n >> 8));
}

static uint32_t dev_in(void *ctx, uint16_t port, unsigned size)
{
    uint32_t v = 0;
    (void)ctx, (void)port;
    for (unsigned i = 0; i < size; i++)
        v |= (uint32_t)stream(dev.next++) << 8 * i;
    return v;
}

static void dev_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)ctx, (void)port;
    for (unsigned i = 0; i < size; i++, val >>= 8) {
        dev.sum = dev.sum * 31 + (val & 0xff);
        dev.taken++;
    }
}

static uint32_t dev_many(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count,
                         void *data)
{
    uint8_t *p = data;
    if (count > dev.block)
        count = dev.block;
    for (uint32_t i = 0; i < count; i++, p += size) {
        uint32_t v = 0;
        if (in)
            v = dev_in(ctx, port, size);
        else
            memcpy(&v, p, size);
        if (in)
            memcpy(p, &v, size);
        else
            dev_out(ctx, port, v, size);
    }
    return count;
}

/* One random instruction, run to its end or its fault. */
static struct world *run(uint32_t seed, uint32_t block)
{
    struct world *w = world_new(0);
    uint8_t code[8];
    unsigned n = 0;

    memset(&dev, 0, sizeof dev);
    dev.block = block;
    rnd_state = seed;
    w->e->env.io_in = dev_in;
    w->e->env.io_out = dev_out;
    w->e->env.io_many = block ? dev_many : NULL;
    code[n++] = 0xf3;
    if (rnd(3) == 0)
        code[n++] = 0x67;
    const bool word = rnd(3) == 0;
    if (word)
        code[n++] = 0x66;
    code[n++] = (uint8_t)((rnd(2) ? 0x6c : 0x6e) | (word || rnd(4)));
    code[n++] = 0xf4; /* HLT */
    world_code(w, code, n);
    if (rnd(2)) {
        world_desc(w, S_X, rnd(3) * 0x10, 0xc000 + rnd(0x3000), SA_P | SA_S | SA_RW | SA_DB);
        world_set_seg(w, rnd(2) ? SEG_ES : SEG_DS, S_X);
    }
    if (rnd(4) == 0)
        senv_map(w->e, 0xe000, 0xe, 1, SENV_P | SENV_U);
    if (rnd(5) == 0)
        w->c->eflags |= FL_DF;
    w->c->gpr[R_EDX] = 0x1f0;
    w->c->gpr[R_ECX] = rnd(8) ? rnd(3000) : rnd(3);
    w->c->gpr[R_EDI] = 0xb000 + rnd(0x2000);
    w->c->gpr[R_ESI] = 0xb000 + rnd(0x2000);
    for (unsigned i = 0; i < 0x6000; i++)
        *senv_at(w->e, 0xa000 + i) = (uint8_t)(i * 7);
    for (unsigned i = 0; i < 50 && !w->c->halted; i++)
        if (senv_run(w->e, 10) == SOFT_EXIT_PF)
            break;
    return w;
}

Test(io_many, whole_runs_are_element_by_element)
{
    static const uint32_t blocks[] = {1, 7, 256, 100000};
    for (uint32_t seed = 1; seed < 300; seed++) {
        struct world *one = run(seed, 0);
        const uint32_t next = dev.next, sum = dev.sum, taken = dev.taken;
        struct world *many = run(seed, blocks[seed % 4]);
        cr_assert_eq(dev.next, next, "seed %u: read from the device", seed);
        cr_assert_eq(dev.sum, sum, "seed %u", seed);
        cr_assert_eq(dev.taken, taken, "seed %u: written to it", seed);
        cr_assert_eq(one->e->exit.kind, many->e->exit.kind, "seed %u", seed);
        cr_assert_eq(one->e->exit.insns, many->e->exit.insns, "seed %u", seed);
        cr_assert_eq(one->c->eip, many->c->eip, "seed %u", seed);
        cr_assert_arr_eq(one->c->gpr, many->c->gpr, sizeof one->c->gpr, "seed %u", seed);
        cr_assert_eq(memcmp(one->e->ram, many->e->ram, one->e->frames * PAGE_SIZE), 0, "seed %u",
                     seed);
        world_free(one);
        world_free(many);
    }
}
