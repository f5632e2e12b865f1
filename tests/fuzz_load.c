/*
 * Fuzzer of the loaders: spoils sound images in many ways and loads what comes out.
 *   fuzz_load [SEED [ROUNDS]]
 * Whatever the file, image_load must return, name a reason when it refuses, and when it accepts
 * leave ranges that lie in RAM, do not overlap, and hold the entry. The same for real_load, which
 * gets each file too. Prints the failing seed and round.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/load/image.h"
#include "vmm/load/real.h"

#define RAM      ((uint64_t)8 << 20)
#define FILE_MAX 12288u

struct fuzz {
    uint64_t seed;
    struct pool *pool;
    struct gmem g;
    int fd;
    char path[32];
    uint8_t file[FILE_MAX];
    uint32_t len;
    uint64_t loaded, refused, real;
};

static uint32_t rnd(struct fuzz *f)
{
    uint64_t z = (f->seed += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (uint32_t)(z ^ (z >> 31));
}

static void put(struct fuzz *f, uint32_t off, uint32_t v, uint32_t n)
{
    if (off <= FILE_MAX - n)
        memcpy(f->file + off, &v, n);
}

static void put_words(struct fuzz *f, uint32_t off, const uint32_t *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        put(f, off + 4 * i, v[i], 4);
}

/* Up to four segments at plausible places. */
static void make_elf(struct fuzz *f)
{
    static const uint32_t ident[] = {0x464c457f, 0x00010101, 0, 0, 0x00030002, 1};
    uint32_t n = 1 + rnd(f) % 4;

    put_words(f, 0, ident, 6);
    put(f, 24, 0x100000 + rnd(f) % 256, 4);
    put(f, 28, 52, 4);
    put(f, 40, 52 | 32 << 16, 4);
    put(f, 44, n, 2);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = 0x100000 * (i + 1), size = 256 + rnd(f) % 1024;
        const uint32_t ph[] = {1, 1024, at, at, size, size + rnd(f) % 8192, 5 + (i & 2), 4096};
        put_words(f, 52 + 32 * i, ph, 8);
    }
    f->len = 4096;
}

static void make_header(struct fuzz *f, bool addresses)
{
    uint32_t off = 4 * (256 + rnd(f) % 64), flags = (addresses ? 0x10000 : 0) | (rnd(f) & 3);
    const uint32_t h[] = {
        0x1badb002,      flags,    0u - 0x1badb002u - flags, 0x100000 + off, 0x100000,
        0x100000 + 2048, 0x103000, 0x100000 + rnd(f) % 2048};

    put_words(f, off, h, addresses ? 8 : 3);
}

static void make_header2(struct fuzz *f, bool addresses)
{
    uint32_t off = 8 * (128 + rnd(f) % 64), tag = 16;
    const uint32_t address[] = {
        2, 24, 0x100000 + off,           0x100000, 0x100000 + 2048, 0x103000,
        3, 12, 0x100000 + rnd(f) % 2048, 0};
    const uint32_t request[] = {1 | (rnd(f) & 1) << 16, 16, rnd(f) % 8, 6};

    if (rnd(f) & 1) {
        put_words(f, off + tag, request, 4);
        tag += 16;
    }
    if (addresses) {
        put_words(f, off + tag, address, 10);
        tag += 40;
    }
    put_words(f, off + tag, (uint32_t[]){0, 8}, 2);
    put_words(f, off, (uint32_t[]){0xe85250d6, 0, tag + 8, 0u - 0xe85250d6u - (tag + 8)}, 4);
}

static void make_bzimage(struct fuzz *f)
{
    const uint32_t oldest = rnd(f) % 4 ? 0x202 : 0x1ff;
    uint32_t version = oldest + rnd(f) % 14, code = 4096 - 3 * 512;

    put(f, 0x1f1, 2, 1);
    put(f, 0x1f4, code / 16, 4);
    put(f, 0x1fe, 0xaa55, 2);
    put(f, 0x200, 0x6aeb, 2);
    put(f, 0x202, 0x53726448, 4);
    put(f, 0x206, version, 2);
    put(f, 0x211, 1, 1);
    put(f, 0x214, 0x100000, 4);
    put(f, 0x22c, 0x37ffffff, 4);
    put(f, 0x230, 0x1000, 4);
    put(f, 0x234, rnd(f) & 1, 4);
    put(f, 0x238, 255, 4);
    put_words(f, 0x248, (uint32_t[]){16, 64, 0, 0, 0x200000, 0, 0x100000}, 7);
}

/* A note segment as last program header. */
static void make_note(struct fuzz *f)
{
    const uint32_t note[] = {4, 4, 18, 0x006e6558, 0x100000 + rnd(f) % 256};
    const uint32_t ph[] = {4, 512, 0, 0, 20, 20, 4, 4};
    uint32_t n = f->file[44];

    put(f, 44, n + 1, 2);
    put_words(f, 52 + 32 * n, ph, 8);
    put_words(f, 512, note, 5);
}

static void make_image(struct fuzz *f)
{
    uint32_t kind = rnd(f) % 8;

    for (uint32_t i = 0; i < FILE_MAX; i += 4)
        put(f, i, (rnd(f) & 3) ? 0 : rnd(f), 4);
    f->len = 4096;
    if (kind < 5)
        make_elf(f);
    switch (kind) {
    case 1: make_header(f, false); break;
    case 2: make_header2(f, false); break;
    case 3: make_note(f); break;
    case 4: memcpy(f->file + 1100, "Linux version ", 14); break;
    case 5: make_header(f, true); break;
    case 6: make_header2(f, true); break;
    case 7: make_bzimage(f); break;
    default: break;
    }
}

static uint32_t odd_value(struct fuzz *f)
{
    static const uint32_t odd[] = {
        0,       1,          2,          0x7f,       0x80,       0xff,       0xfff,      0x1000,
        0x1001,  0x9fc00,    0xa0000,    0xf0000,    0xfffff,    0x100000,   RAM - 1,    RAM,
        RAM + 1, 0x7fffffff, 0x80000000, 0xfffff000, 0xfffffff0, 0xfffffffc, 0xffffffff, 0xffff};
    uint32_t v = odd[rnd(f) % (sizeof odd / sizeof *odd)];

    return (rnd(f) & 3) ? v : v + rnd(f) % 64 - 32;
}

/* Where the header lies that makes the image special: 0 for an ELF's own. */
static uint32_t find_header(const struct fuzz *f)
{
    if (memcmp(f->file + 0x202, "HdrS", 4) == 0)
        return 0x1f0 + (f->file[0x300] & 0x70);
    for (uint32_t off = 0; off + 32 <= 8192 && off + 32 <= f->len; off += 4)
        if (memcmp(f->file + off, "\x02\xb0\xad\x1b", 4) == 0 ||
            memcmp(f->file + off, "\xd6\x50\x52\xe8", 4) == 0)
            return off;
    return 0;
}

/* A checksum that fits spoiled fields. */
static void mend(struct fuzz *f, uint32_t header)
{
    uint32_t w[4];

    memcpy(w, f->file + header, sizeof w);
    if (w[0] == 0x1badb002)
        put(f, header + 8, 0u - w[0] - w[1], 4);
    else if (w[0] == 0xe85250d6)
        put(f, header + 12, 0u - w[0] - w[1] - w[2], 4);
}

static void spoil(struct fuzz *f)
{
    uint32_t header = find_header(f);

    for (uint32_t n = rnd(f) % 4; n > 0; n--) {
        uint32_t field = (rnd(f) & 1) ? header + 4 * (rnd(f) % 8) : 4 * (rnd(f) % 48);
        switch (rnd(f) % 6) {
        case 0: put(f, field, odd_value(f), 4); break;
        case 1: put(f, field + 2 * (rnd(f) & 1), odd_value(f), 2); break;
        case 2: f->file[rnd(f) % f->len] ^= (uint8_t)(1u << (rnd(f) & 7)); break;
        case 3: put(f, field, rnd(f), 4); break;
        case 4: f->len = 1 + rnd(f) % (rnd(f) & 1 ? 64 : f->len); break;
        default: mend(f, header); break;
        }
    }
}

static bool fail(const char *why)
{
    fprintf(stderr, "%s: ", why);
    return false;
}

static bool in_ram(const struct image *img, const struct image_range *r)
{
    for (unsigned i = 0; i < img->map_count; i++)
        if (img->map[i].type == IMAGE_MEM_RAM && r->start >= img->map[i].start &&
            r->start + r->bytes <= img->map[i].start + img->map[i].bytes)
            return true;
    return false;
}

static bool check_loaded(const struct image *img)
{
    bool entry = false;

    for (unsigned i = 0; i < img->range_count; i++) {
        const struct image_range *r = &img->ranges[i];
        if (!in_ram(img, r))
            return fail("a range outside of RAM");
        for (unsigned j = 0; j < i; j++)
            if (r->start < img->ranges[j].start + img->ranges[j].bytes &&
                img->ranges[j].start < r->start + r->bytes)
                return fail("two ranges overlap");
        entry |= img->entry >= r->start && img->entry < r->start + r->bytes;
    }
    if (!entry || img->cpu.eip != img->entry)
        return fail("the entry lies in no range");
    return true;
}

static bool check(struct fuzz *f, int ret, const struct image *img, const struct errmsg *err)
{
    if (ret == 0) {
        f->loaded++;
        return check_loaded(img);
    }
    f->refused++;
    if (ret != -ENOEXEC && ret != -EINVAL)
        return fail("an unexpected error code");
    if (!strstr(err->text, "/proc/self/fd/") || strlen(err->text) < 24)
        return fail("no message");
    return true;
}

/* The parts of an image in real mode: in RAM, below the display memory or above the BIOS, and none
 * over another; the stack lies between setup code and command line. */
static bool check_parts(const struct real_image *r)
{
    const struct real_part *p[] = {&r->setup, &r->kernel, &r->initrd, &r->cmdline};
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t end = (uint64_t)p[i]->addr + p[i]->len;
        if (p[i]->len && !(p[i]->addr >= 0x10000 && end <= 0x9fc00) &&
            !(p[i]->addr >= 0x100000 && end <= RAM))
            return fail("a part of an image in real mode outside of RAM");
        for (unsigned j = 0; j < i; j++)
            if (p[i]->len && p[j]->len && p[i]->addr < (uint64_t)p[j]->addr + p[j]->len &&
                p[j]->addr < end)
                return fail("two parts of an image in real mode overlap");
    }
    if (r->cmdline.addr < r->setup.addr + r->setup.len + 0x800 ||
        r->cmdline.addr - r->setup.addr > 0x10000)
        return fail("no stack for an image in real mode");
    return true;
}

static bool check_real(struct fuzz *f, const struct image_opts *o)
{
    struct real_image r;
    struct errmsg err = {{0}};
    const bool wanted = real_wanted(o->path);
    const int ret = real_load(o, RAM, &r, &err);
    if (ret == 0) {
        const bool good = check_parts(&r);
        f->real++;
        real_free(&r);
        return good;
    }
    if (ret != -ENOEXEC && ret != -EINVAL)
        return fail("an unexpected error code of an image in real mode");
    if (wanted && strstr(err.text, "no entry in real mode"))
        return fail("an image that is wanted in real mode has no such entry");
    return strlen(err.text) > 24 || fail("no message for an image in real mode");
}

static bool round_once(struct fuzz *f)
{
    static struct image img;
    struct errmsg err = {{0}};
    const char *module = f->path;
    struct image_opts o = {.path = f->path};

    make_image(f);
    spoil(f);
    if (ftruncate(f->fd, 0) || pwrite(f->fd, f->file, f->len, 0) != (ssize_t)f->len)
        return fail("the file cannot be written");
    if (rnd(f) % 4 == 0) {
        o.append = "x";
        o.modules = &module;
        o.module_count = rnd(f) & 1;
    }
    if (!check(f, image_load(&f->g, &o, &img, &err), &img, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    if (!check_real(f, &o))
        return false;
    /* Fresh memory for the next one. */
    return mm_unmap(f->g.mm, 0, (uint32_t)(RAM >> PAGE_SHIFT)) == 0 &&
           mm_map_anon(f->g.mm, 0, (uint32_t)(RAM >> PAGE_SHIFT), MM_READ | MM_WRITE,
                       MM_ANON_PRIVATE) == 0;
}

int main(int argc, char **argv)
{
    static struct fuzz f;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t rounds = argc > 2 ? strtoull(argv[2], NULL, 0) : 100000;
    struct mm *mm;

    f.seed = seed;
    f.fd = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    if (f.fd < 0 || pool_create(&(struct pool_opts){.bytes = 4 * RAM}, &f.pool) ||
        mm_create(f.pool, "ram", &mm) ||
        mm_map_anon(mm, 0, (uint32_t)(RAM >> PAGE_SHIFT), MM_READ | MM_WRITE, MM_ANON_PRIVATE)) {
        fprintf(stderr, "cannot set up\n");
        return 1;
    }
    f.g = (struct gmem){.mm = mm, .bytes = RAM};
    for (uint64_t i = 0; i < rounds; i++)
        if (!round_once(&f)) {
            fprintf(stderr, "seed %" PRIu64 " round %" PRIu64 "\n", seed, i);
            return 1;
        }
    printf("%" PRIu64 " rounds: %" PRIu64 " loaded, %" PRIu64 " refused, %" PRIu64
           " loaded in real mode\n",
           rounds, f.loaded, f.refused, f.real);
    mm_destroy(mm);
    pool_destroy(f.pool);
    close(f.fd);
    /* A fuzzer whose images never load, or always do, tests nothing. */
    return rounds >= 1000 &&
           (f.loaded < rounds / 20 || f.refused < rounds / 20 || f.real < rounds / 100);
}
