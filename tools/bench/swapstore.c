/*
 * The swap store beside the bare host: compressed pages in and out against plain LZ4 and memcpy
 * (and, with --zram, the kernel's own compressed device), pages on disk against bare pread and
 * pwrite of the same file, with the same flags, taken in turns.
 *
 *     swapstore [--json] [--zram] [--pages N] [FILE]
 *
 * FILE is made and removed; it belongs on the file system that is to be measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/area.h"
#include "mm/store.h"
#include "mm/zpool.h"
#include "tools/bench/bench.h"

#define SAMPLES 2000u
#define POOL    (64u << 20)
#define ZPAGES  4096u
#define BATCH   32u

static uint8_t *page, *want;
static uint64_t rnd = 88172645463325252ull;

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("swapstore: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static uint64_t next(void)
{
    rnd ^= rnd << 13;
    rnd ^= rnd >> 7;
    rnd ^= rnd << 17;
    return rnd * 0x2545f4914f6cdd1dull;
}

#define WORDS                                                                                      \
    9u /* as noise: many short matches, as text, tables and code have; LZ4's slow case             \
        */

static void words(uint8_t *p, uint64_t seed)
{
    rnd = 4711;
    uint64_t dict[256];
    for (unsigned i = 0; i < 256; i++)
        dict[i] = next();
    rnd = seed * 0x9e3779b97f4a7c15ull + 1;
    for (unsigned at = 0; at < PAGE_SIZE;) {
        uint64_t r = next() >> 20;
        unsigned len = 3 + (unsigned)(r >> 8) % 6;
        len = len < PAGE_SIZE - at ? len : PAGE_SIZE - at;
        memcpy(p + at, &dict[r & 255], len);
        at += len;
    }
}

/* A page of which `noise` eighths do not compress, or of words. */
static void content(void *p, uint64_t seed, unsigned noise)
{
    if (noise == WORDS) {
        uint64_t was = rnd;
        words(p, seed);
        rnd = was;
        return;
    }
    uint64_t *w = p, keep = rnd;
    rnd = seed * 0x9e3779b97f4a7c15ull + 1;
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        w[i] = i % 8 < noise ? next() : seed;
    rnd = keep;
}

static struct store *open_store(const char *path, uint64_t zpool)
{
    struct mm_err err;
    struct store *st;
    const struct store_opts o = {.path = path, .zpool_bytes = zpool};
    if (store_open(&o, &st, &err))
        die("%s", err.text);
    return st;
}

static void must(int e, const char *what)
{
    if (e < 0)
        die("%s: %s", what, strerror(-e));
}

/* Medians of loading a page from the pool, of decompressing the same bytes from a plain buffer. */
static void pool_loads(struct bench_table *t, unsigned noise, const char *name)
{
    struct store *st = open_store(NULL, POOL);
    static slot_t slot[ZPAGES];
    static char flat[ZPAGES][LZ4_COMPRESSBOUND(PAGE_SIZE)];
    static int len[ZPAGES];
    static double in[SAMPLES], out[SAMPLES], bare_in[SAMPLES], bare_out[SAMPLES];
    char label[64], host[64];
    for (unsigned i = 0; i < ZPAGES; i++) {
        content(page, i, noise);
        must(store_alloc(st, NULL, &slot[i]), "alloc");
        uint64_t a = bench_now();
        must(store_write(st, slot[i], page), "write");
        uint64_t b = bench_now();
        len[i] = LZ4_compress_default((const char *)page, flat[i], PAGE_SIZE, sizeof flat[i]);
        uint64_t c = bench_now();
        in[i % SAMPLES] = (double)(b - a);
        bare_in[i % SAMPLES] = (double)(c - b);
    }
    for (unsigned k = 0; k < SAMPLES; k++) {
        unsigned i = (unsigned)(next() >> 33) % ZPAGES, j = (unsigned)(next() >> 33) % ZPAGES;
        uint64_t a = bench_now();
        must(store_read(st, slot[i], page, NULL), "read");
        uint64_t b = bench_now();
        LZ4_decompress_safe(flat[j], (char *)page, len[j], PAGE_SIZE);
        uint64_t c = bench_now();
        out[k] = (double)(b - a);
        bare_out[k] = (double)(c - b);
    }
    double load = bench_median(out, SAMPLES);
    snprintf(label, sizeof label, "compressed load, %s", name);
    bench_row(t, label, load, "aim: 4 us", 4000, 1.0);
    snprintf(host, sizeof host, "LZ4 alone (%d bytes)", len[0]);
    bench_row(t, label, load, host, bench_median(bare_out, SAMPLES), 0);
    snprintf(label, sizeof label, "compressed store, %s", name);
    bench_row(t, label, bench_median(in, SAMPLES), "LZ4 alone", bench_median(bare_in, SAMPLES), 0);
    store_close(st);
}

static void one_value(struct bench_table *t)
{
    struct store *st = open_store(NULL, POOL);
    static double w[SAMPLES], r[SAMPLES], m[SAMPLES], c[SAMPLES];
    slot_t s;
    must(store_alloc(st, NULL, &s), "alloc");
    memset(page, 0, PAGE_SIZE);
    for (unsigned k = 0; k < SAMPLES; k++) {
        uint64_t t0 = bench_now();
        for (unsigned i = 0; i < BATCH; i++)
            must(store_write(st, s, page), "write");
        uint64_t t1 = bench_now();
        for (unsigned i = 0; i < BATCH; i++)
            must(store_read(st, s, page, NULL), "read");
        uint64_t t2 = bench_now();
        for (unsigned i = 0; i < BATCH; i++) {
            memcpy(want, page, PAGE_SIZE);
            __asm__ volatile("" ::: "memory");
        }
        uint64_t t3 = bench_now();
        for (unsigned i = 0; i < BATCH; i++) {
            slot_t x;
            must(store_alloc(st, NULL, &x), "alloc");
            store_put(st, x);
        }
        uint64_t t4 = bench_now();
        w[k] = (double)(t1 - t0) / BATCH;
        r[k] = (double)(t2 - t1) / BATCH;
        m[k] = (double)(t3 - t2) / BATCH;
        c[k] = (double)(t4 - t3) / BATCH;
    }
    double copy = bench_median(m, SAMPLES);
    bench_row(t, "one-valued page, store", bench_median(w, SAMPLES), "memcpy of a page", copy, 0);
    bench_row(t, "one-valued page, load", bench_median(r, SAMPLES), "memcpy of a page", copy, 0);
    bench_row(t, "slot given and taken back", bench_median(c, SAMPLES), "memcpy of a page", copy,
              0);
    store_close(st);
}

/* Single pages at random places: ours and the bare call in turns, so that both see the same disk.
 */
static void random_pages(struct bench_table *t, struct store *st, int fd, unsigned n)
{
    static double rd[SAMPLES], wr[SAMPLES], bare_rd[SAMPLES], bare_wr[SAMPLES];
    for (unsigned k = 0; k < SAMPLES; k++) {
        slot_t s = 1 + (slot_t)(next() >> 33) % n, b = 1 + (slot_t)(next() >> 33) % n;
        uint64_t t0 = bench_now();
        must(store_read(st, s, page, NULL), "read");
        uint64_t t1 = bench_now();
        if (pread(fd, want, PAGE_SIZE, (off_t)b * PAGE_SIZE) != (ssize_t)PAGE_SIZE)
            die("pread: %s", strerror(errno));
        uint64_t t2 = bench_now();
        /* Each writes what is there already. */
        must(store_write(st, s, page), "write");
        uint64_t t3 = bench_now();
        if (pwrite(fd, want, PAGE_SIZE, (off_t)b * PAGE_SIZE) != (ssize_t)PAGE_SIZE)
            die("pwrite: %s", strerror(errno));
        uint64_t t4 = bench_now();
        rd[k] = (double)(t1 - t0);
        bare_rd[k] = (double)(t2 - t1);
        wr[k] = (double)(t3 - t2);
        bare_wr[k] = (double)(t4 - t3);
    }
    bench_row(t, "area, random read", bench_median(rd, SAMPLES), "pread",
              bench_median(bare_rd, SAMPLES), 1.3);
    bench_row(t, "area, random write", bench_median(wr, SAMPLES), "pwrite",
              bench_median(bare_wr, SAMPLES), 0);
}

struct slot_io {
    struct store_io io;
    uint8_t *buf;
    bool busy;
};

static void landed(struct store_io *io, int err)
{
    struct slot_io *s = io->ctx;
    must(err, "asynchronous transfer");
    s->busy = false;
}

/* n pages through 32 requests at a time, in the order of their slots; ns per page. */
static double stream(struct store *st, bool write, unsigned n)
{
    static struct slot_io io[BATCH];
    uint64_t start = bench_now();
    for (unsigned i = 0; i < n; i++) {
        struct slot_io *s = &io[i % BATCH];
        if (!s->buf)
            s->buf = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
        while (s->busy)
            store_wait(st);
        s->io = (struct store_io){.done = landed, .ctx = s};
        if (write)
            content(s->buf, i, 8);
        s->busy = true;
        int e = write ? store_write_async(st, 1 + i, s->buf, &s->io)
                      : store_read_async(st, 1 + i, s->buf, &s->io, NULL);
        must(e, "asynchronous transfer");
        s->busy = s->busy && e == STORE_QUEUED;
        if (i % 16 == 15)
            store_kick(st);
    }
    store_drain(st);
    return (double)(bench_now() - start) / n;
}

static double bare_stream(int fd, bool write, unsigned n)
{
    uint64_t start = bench_now();
    for (unsigned i = 0; i < n; i++) {
        off_t at = (off_t)(1 + i) * PAGE_SIZE;
        if (write)
            content(page, i, 8);
        ssize_t got = write ? pwrite(fd, page, PAGE_SIZE, at) : pread(fd, page, PAGE_SIZE, at);
        if (got != (ssize_t)PAGE_SIZE)
            die("bare transfer: %s", strerror(errno));
    }
    return (double)(bench_now() - start) / n;
}

static void on_disk(struct bench_table *t, const char *path, unsigned n)
{
    struct mm_err err;
    char what[256];
    if (area_format(path, (uint64_t)(n + 1) * PAGE_SIZE, &err))
        die("%s", err.text);
    struct store *st = open_store(path, 0);
    store_describe(st, what, sizeof what);
    if (!t->json)
        printf("  %s\n", what);
    int fd = open(path, O_RDWR | O_CLOEXEC | (strstr(what, "O_DIRECT") ? O_DIRECT : 0));
    if (fd < 0)
        die("%s: %s", path, strerror(errno));
    for (unsigned i = 0; i < n; i++) {
        slot_t s;
        must(store_alloc(st, NULL, &s), "alloc");
        if (s != 1 + i)
            die("slots are not in order");
    }
    bare_stream(fd, true, n); /* both then write over what is there */
    double w = stream(st, true, n), bw = bare_stream(fd, true, n);
    double r = stream(st, false, n), br = bare_stream(fd, false, n);
    random_pages(t, st, fd, n);
    bench_row(t, "area, pages out in order, async", w, "pwrite loop", bw, 0);
    bench_row(t, "area, pages in in order, async", r, "pread loop", br, 0);
    close(fd);
    store_close(st);
    unlink(path);
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The kernel's compressed pages: a zram device of our own, read past the page cache. ns per page,
 * 0: not to be had. */
static double zram_read(unsigned noise)
{
    static double v[SAMPLES];
    char path[64], id[16] = "";
    int fd = open("/sys/class/zram-control/hot_add", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof id - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    id[strcspn(id, "\n")] = 0;
    snprintf(path, sizeof path, "/sys/block/zram%s/comp_algorithm", id);
    bool ok = write_text(path, "lz4");
    snprintf(path, sizeof path, "/sys/block/zram%s/disksize", id);
    ok = ok && write_text(path, "16M");
    snprintf(path, sizeof path, "/dev/zram%s", id);
    fd = ok ? open(path, O_RDWR | O_CLOEXEC | O_DIRECT) : -1;
    for (unsigned i = 0; fd >= 0 && i < ZPAGES; i++) {
        content(page, i, noise);
        ok = ok && pwrite(fd, page, PAGE_SIZE, (off_t)i * PAGE_SIZE) == (ssize_t)PAGE_SIZE;
    }
    for (unsigned k = 0; ok && fd >= 0 && k < SAMPLES; k++) {
        uint64_t a = bench_now();
        ok = pread(fd, page, PAGE_SIZE, (off_t)((next() >> 33) % ZPAGES) * PAGE_SIZE) ==
             (ssize_t)PAGE_SIZE;
        v[k] = (double)(bench_now() - a);
    }
    ok = ok && fd >= 0;
    if (fd >= 0)
        close(fd);
    write_text("/sys/class/zram-control/hot_remove", id);
    return ok ? bench_median(v, SAMPLES) : 0;
}

static void against_zram(struct bench_table *t)
{
    static double v[SAMPLES];
    double host = zram_read(WORDS);
    if (host <= 0) {
        fprintf(stderr, "swapstore: no zram device to be had here\n");
        return;
    }
    struct store *st = open_store(NULL, POOL);
    static slot_t slot[ZPAGES];
    for (unsigned i = 0; i < ZPAGES; i++) {
        content(page, i, WORDS);
        must(store_alloc(st, NULL, &slot[i]), "alloc");
        must(store_write(st, slot[i], page), "write");
    }
    for (unsigned k = 0; k < SAMPLES; k++) {
        uint64_t a = bench_now();
        must(store_read(st, slot[(next() >> 33) % ZPAGES], page, NULL), "read");
        v[k] = (double)(bench_now() - a);
    }
    bench_row(t, "compressed load, words", bench_median(v, SAMPLES), "pread of zram (lz4)", host,
              0);
    store_close(st);
}

int main(int argc, char **argv)
{
    struct bench_table t = {0};
    const char *path = "swapstore.bench";
    unsigned pages = 32768;
    bool zram = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            t.json = true;
        else if (strcmp(argv[i], "--zram") == 0)
            zram = true;
        else if (strcmp(argv[i], "--pages") == 0 && i + 1 < argc)
            pages = (unsigned)strtoul(argv[++i], NULL, 0);
        else if (argv[i][0] == '-')
            die("usage: swapstore [--json] [--zram] [--pages N] [FILE]");
        else
            path = argv[i];
    }
    if (pages < 64 || pages >= SLOTS_MAX)
        die("--pages takes 64 to %u", SLOTS_MAX - 1);
    page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    want = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    if (!page || !want)
        die("out of memory");
    bench_begin(&t, "swap store");
    one_value(&t);
    pool_loads(&t, 1, "1/8 noise");
    pool_loads(&t, 3, "3/8 noise");
    pool_loads(&t, 5, "5/8 noise");
    pool_loads(&t, WORDS, "words");
    if (zram)
        against_zram(&t);
    on_disk(&t, path, pages);
    bench_end(&t);
    return t.missed ? 2 : 0;
}
