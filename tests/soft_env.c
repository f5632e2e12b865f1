/* See soft_env.h. Failures of the host (no memory) end the test program. */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/soft_env.h"

static int translate(void *ctx, la_t la, enum soft_access acc, bool user, struct soft_page *out)
{
    struct senv *e = ctx;
    const uint32_t m = e->map[la >> PAGE_SHIFT];
    const uint32_t need =
        SENV_P | (acc == SOFT_W ? SENV_W : 0) | (acc == SOFT_X ? SENV_X : 0) | (user ? SENV_U : 0);

    e->n_translate++;
    if ((m & need) != need)
        return -EFAULT;
    const frame_t f = m >> PAGE_SHIFT;
    const bool ram = !(m & SENV_MMIO) && f < e->frames;
    *out = (struct soft_page){.host = ram ? e->ram + (size_t)f * PAGE_SIZE : NULL,
                              .frame = ram ? f : FRAME_NONE,
                              .gpa = (gpa_t)f << PAGE_SHIFT,
                              .writable = (m & SENV_W) != 0,
                              .executable = (m & SENV_X) != 0};
    return 0;
}

static void log_io(struct senv *e, uint16_t port, unsigned size, uint32_t val, bool in)
{
    if (e->n_io < SENV_IO_LOG)
        e->io[e->n_io] =
            (struct senv_io){.val = val, .port = port, .size = (uint8_t)size, .in = in};
    e->n_io++;
}

static uint32_t mmio_read(void *ctx, gpa_t gpa, unsigned size)
{
    struct senv *e = ctx;
    log_io(e, 0xffff, size, (uint32_t)gpa, true);
    return e->in_value;
}

static void mmio_write(void *ctx, gpa_t gpa, uint32_t val, unsigned size)
{
    (void)gpa;
    log_io(ctx, 0xffff, size, val, false);
}

static uint32_t io_in(void *ctx, uint16_t port, unsigned size)
{
    struct senv *e = ctx;
    log_io(e, port, size, e->in_value, true);
    return e->in_value;
}

static void io_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    log_io(ctx, port, size, val, false);
}

static void host_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    (void)ctx;
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

static uint64_t tsc(void *ctx)
{
    struct senv *e = ctx;
    return e->tsc += 100;
}

static bool rdmsr(void *ctx, uint32_t msr, uint64_t *val)
{
    (void)ctx, (void)msr, (void)val;
    return false;
}

static bool wrmsr(void *ctx, uint32_t msr, uint64_t val)
{
    (void)ctx, (void)msr, (void)val;
    return false;
}

static bool cr_written(void *ctx, int reg, uint32_t old)
{
    struct senv *e = ctx;
    (void)reg, (void)old;
    e->n_cr_written++;
    soft_tlb_flush(e->soft);
    return true;
}

static void invlpg(void *ctx, la_t la)
{
    struct senv *e = ctx;
    e->n_invlpg++;
    soft_tlb_drop(e->soft, la);
}

static int intr_ack(void *ctx)
{
    struct senv *e = ctx;
    const int v = e->intr_vector;
    e->intr_vector = -1;
    soft_set_intr(e->soft, false);
    return v;
}

static void code_frame(void *ctx, frame_t f, gpa_t gpa, bool cached)
{
    struct senv *e = ctx;
    (void)f, (void)gpa;
    *(cached ? &e->n_code_on : &e->n_code_off) += 1;
}

struct senv *senv_new(uint32_t frames)
{
    struct senv *e = aligned_alloc(_Alignof(struct senv), sizeof *e);
    const size_t bytes = (size_t)frames * PAGE_SIZE;

    if (!e)
        abort();
    memset(e, 0, sizeof *e);
    e->frames = frames;
    e->ram = mmap(NULL, bytes + PAGE_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    e->map = calloc(1u << 20, sizeof *e->map);
    if (e->ram == MAP_FAILED || !e->map || mprotect(e->ram + bytes, PAGE_SIZE, PROT_NONE) < 0)
        abort();
    for (uint32_t f = 0; f < frames; f++)
        e->map[f] = f << PAGE_SHIFT | SENV_ALL;
    e->intr_vector = -1;
    e->env = (struct soft_env){
        .ctx = e,
        .translate = translate,
        .mmio_read = mmio_read,
        .mmio_write = mmio_write,
        .io_in = io_in,
        .io_out = io_out,
        .cpuid = host_cpuid,
        .tsc = tsc,
        .rdmsr = rdmsr,
        .wrmsr = wrmsr,
        .cr_written = cr_written,
        .invlpg = invlpg,
        .intr_ack = intr_ack,
        .code_frame = code_frame,
    };
    cpu_set_flat(&e->cpu, 0x1000);
    if (soft_create(&e->cpu, &e->env, frames, &e->soft) < 0)
        abort();
    return e;
}

void senv_free(struct senv *e)
{
    soft_destroy(e->soft);
    munmap(e->ram, (size_t)(e->frames + 1) * PAGE_SIZE);
    free(e->map);
    free(e);
}

void senv_map(struct senv *e, la_t la, frame_t frame, uint32_t n, unsigned bits)
{
    for (uint32_t i = 0; i < n; i++) {
        e->map[(la >> PAGE_SHIFT) + i] = (frame + i) << PAGE_SHIFT | bits;
        soft_tlb_drop(e->soft, la + i * PAGE_SIZE);
    }
}

uint8_t *senv_at(struct senv *e, gpa_t gpa)
{
    if (gpa >= (gpa_t)e->frames * PAGE_SIZE)
        abort();
    return e->ram + gpa;
}

void senv_put(struct senv *e, gpa_t gpa, const void *bytes, uint32_t n)
{
    const uint8_t *from = bytes;
    while (n) {
        const uint32_t off = (uint32_t)(gpa & PAGE_MASK);
        const uint32_t part = n < PAGE_SIZE - off ? n : PAGE_SIZE - off;
        memcpy(senv_at(e, gpa), from, part);
        soft_code_written(e->soft, (frame_t)(gpa >> PAGE_SHIFT), off, part);
        gpa += part, from += part, n -= part;
    }
}

enum soft_exit senv_run(struct senv *e, uint64_t budget)
{
    return soft_run(e->soft, budget, &e->exit);
}
