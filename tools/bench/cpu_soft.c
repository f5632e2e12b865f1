/*
 * cpu_soft IMAGE [COMMAND LINE]: boots a guest on the soft CPU alone (flat RAM, a console, the exit
 * port; no shadow tables, no devices) and says how fast it ran. The guest's console goes to stdout,
 * one line of JSON to stderr: instructions, seconds of processor time, millions of instructions per
 * second.
 */
#include <errno.h>
#include <stdlib.h>

#include "guest/abi.h"
#include "mm/mm.h"
#include "tools/bench/bench.h"
#include "vmm/load/image.h"
#include "vmm/soft/soft.h"

enum { RAM_PAGES = 64 << 8, SLICE = 100000000 };

struct world {
    struct cpu cpu;
    struct gmem g;
    struct soft *soft;
    bool ended;
    uint8_t *host[RAM_PAGES];
};

static int translate(void *ctx, la_t la, enum soft_access acc, bool user, struct soft_page *out)
{
    struct world *w = ctx;
    const gfn_t gfn = la >> PAGE_SHIFT;

    (void)acc, (void)user;
    *out = (struct soft_page){.frame = FRAME_NONE, .gpa = la & ~PAGE_MASK};
    if (gfn >= RAM_PAGES)
        return 0; /* nothing there: reads as device memory */
    *out = (struct soft_page){.host = w->host[gfn],
                              .frame = gfn,
                              .gpa = gpa_of(gfn),
                              .writable = true,
                              .executable = true};
    return 0;
}

static uint32_t open_bus(void *ctx, gpa_t gpa, unsigned size)
{
    (void)ctx, (void)gpa, (void)size;
    return UINT32_MAX;
}

static void ignore_write(void *ctx, gpa_t gpa, uint32_t val, unsigned size)
{
    (void)ctx, (void)gpa, (void)val, (void)size;
}

static uint32_t io_in(void *ctx, uint16_t port, unsigned size)
{
    (void)ctx, (void)size;
    return port == UMBRA_COM1_PORT + 5 ? 0x60 : UINT32_MAX; /* transmitter empty */
}

static void io_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct world *w = ctx;

    (void)size;
    if (port == UMBRA_COM1_PORT && val >= ' ')
        putchar((int)(val & 0x7f));
    else if (port == UMBRA_COM1_PORT && val == '\n')
        putchar('\n');
    if (port == UMBRA_EXIT_PORT) {
        w->ended = true;
        soft_kick(w->soft);
    }
}

static bool no_msr(void *ctx, uint32_t msr, uint64_t *val)
{
    (void)ctx, (void)msr, (void)val;
    return false;
}

static bool no_wrmsr(void *ctx, uint32_t msr, uint64_t val)
{
    (void)ctx, (void)msr, (void)val;
    return false;
}

static void cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    (void)ctx, (void)subleaf;
    memset(out, 0, 4 * sizeof *out);
    if (leaf == 0)
        out[0] = 1;
    else if (leaf == 1)
        out[3] = 0x07808111; /* FPU, TSC, CX8, CMOV, MMX, FXSR, SSE, SSE2 */
}

static uint64_t tsc(void *ctx)
{
    (void)ctx;
    return bench_now();
}

static bool cr_written(void *ctx, int reg, uint32_t old)
{
    struct world *w = ctx;
    (void)reg, (void)old;
    return !cpu_paging(&w->cpu);
}

static void invlpg(void *ctx, la_t la)
{
    (void)ctx, (void)la;
}

static int no_intr(void *ctx)
{
    (void)ctx;
    return -1;
}

static int boot(struct world *w, const char *path, const char *append)
{
    struct pool *pool;
    struct mm *mm;
    struct errmsg err = {0};
    struct image img;
    int r;

    if ((r = pool_create(&(struct pool_opts){.bytes = (uint64_t)2 * RAM_PAGES * PAGE_SIZE},
                         &pool)) ||
        (r = mm_create(pool, "ram", &mm)) ||
        (r = mm_map_anon(mm, 0, RAM_PAGES, MM_READ | MM_WRITE | MM_EXEC, MM_ANON_PRIVATE)))
        return r;
    w->g = (struct gmem){.mm = mm, .bytes = (uint64_t)RAM_PAGES * PAGE_SIZE};
    r = image_load(&w->g, &(struct image_opts){.path = path, .append = append}, &img, &err);
    if (r) {
        fprintf(stderr, "cpu_soft: %s\n", err.text);
        return r;
    }
    for (gfn_t gfn = 0; gfn < RAM_PAGES && !r; gfn++)
        w->host[gfn] = gmem_page(&w->g, gfn, MM_ACCESS_WRITE, &r);
    w->cpu = img.cpu;
    return r;
}

/* Processor time of this process in seconds: what else runs on the machine does not count. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(struct world *w)
{
    struct soft_exit_info x;
    uint64_t insns = 0;
    const double start = cpu_seconds();

    do {
        soft_run(w->soft, SLICE, &x);
        insns += x.insns;
    } while (!w->ended && (x.kind == SOFT_EXIT_BUDGET || x.kind == SOFT_EXIT_ATTENTION));
    const double s = cpu_seconds() - start;

    fflush(stdout);
    if (!w->ended) {
        fprintf(stderr, "cpu_soft: the guest stopped: exit %d at %08x %s\n", x.kind, x.la, x.why);
        cpu_dump(&w->cpu, stderr);
        return 1;
    }
    fprintf(stderr, "{\"instructions\":%lu,\"seconds\":%.6f,\"mips\":%.1f}\n", insns, s,
            (double)insns / s / 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    static struct world w;
    static const struct soft_env env = {
        .ctx = &w,
        .translate = translate,
        .mmio_read = open_bus,
        .mmio_write = ignore_write,
        .io_in = io_in,
        .io_out = io_out,
        .cpuid = cpuid,
        .tsc = tsc,
        .rdmsr = no_msr,
        .wrmsr = no_wrmsr,
        .cr_written = cr_written,
        .invlpg = invlpg,
        .intr_ack = no_intr,
    };

    if (argc < 2) {
        fprintf(stderr, "usage: cpu_soft IMAGE [COMMAND LINE]\n");
        return 2;
    }
    if (boot(&w, argv[1], argc > 2 ? argv[2] : "") ||
        soft_create(&w.cpu, &env, RAM_PAGES, &w.soft)) {
        fprintf(stderr, "cpu_soft: cannot boot %s\n", argv[1]);
        return 1;
    }
    const int r = run(&w);
    soft_destroy(w.soft);
    return r;
}
