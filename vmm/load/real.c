/* See real.h. Offsets and places: Documentation/arch/x86/boot.rst, "Memory layout" and "The
 * real-mode kernel header". */
#include "vmm/load/real.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/load/load.h"
#include "vmm/load/setup_header.h"

enum {
    SETUP_OLD_CMDLINE_MAGIC = 0x020, /* before 2.02 */
    SETUP_OLD_CMDLINE_OFFSET = 0x022,
};

#define OLD_CMDLINE_MAGIC 0xa33fu

#define ENTERED_32 0x204u /* from this protocol on loaders may count on the 32-bit entry */

#define LOW_KERNEL     0x10000u /* a zImage, and its end: */
#define LOW_KERNEL_END 0x90000u
#define OLD_SETUP      0x90000u
#define OLD_SETUP_END  0x9a000u /* ends below what a BIOS may keep there */
#define NEW_SETUP      0x10000u
#define NEW_SETUP_END  0x20000u
#define STACK          0x1000u          /* kept free of setup code */
#define BIOS_KEEPS     ((gpa_t)1 << 19) /* at the end of RAM, for its tables; initrds end below */

/* --- what the header says -------------------------------------------------------------------- */

struct header {
    uint32_t version; /* 0: before 2.00 */
    bool high;
    uint32_t setup_len; /* with the boot sector */
    uint32_t code32;
};

/* A file from before 2.00 has no mark; the size that its boot sector tells must be the file's, for
 * a disk's first sector has the same signature. */
static bool old_kernel(const struct load_file *f)
{
    const uint32_t setup = setup_bytes(f->head);
    return f->size > setup &&
           (f->size - setup + 15) / 16 == load_u16(f->head + SETUP_SYSSIZE); /* 16 bits then */
}

/* false: no image that has an entry in real mode. */
static bool read_header(const struct load_file *f, struct header *h)
{
    const uint8_t *b = f->head;
    memset(h, 0, sizeof *h);
    if (f->head_len < SETUP_END || load_u16(b + SETUP_BOOT_FLAG) != SETUP_FLAG)
        return false;
    h->setup_len = setup_bytes(b);
    if (load_u32(b + SETUP_MAGIC) != SETUP_HDRS)
        return old_kernel(f);
    h->version = load_u16(b + SETUP_VERSION);
    h->high = h->version >= 0x200 && (b[SETUP_LOADFLAGS] & SETUP_LOADED_HIGH);
    h->code32 = load_u32(b + SETUP_CODE32);
    return true;
}

bool real_wanted(const char *path)
{
    struct load_file f;
    struct header h;
    struct errmsg unused;
    bool wanted = false;
    if (load_file_open(&f, path, LOAD_FILE_MAX, &unused) == 0 && read_header(&f, &h))
        wanted = h.version < ENTERED_32 || !h.high || h.code32 == 0;
    load_file_close(&f);
    return wanted;
}

/* --- the parts ------------------------------------------------------------------------------- */

/* Part p: len bytes at off of the file. */
static int take(const struct load_file *f, uint64_t off, uint64_t len, const char *what,
                struct real_part *p, struct errmsg *err)
{
    p->bytes = malloc(len);
    if (!p->bytes)
        return err_set(err, -ENOMEM, "%s: no memory for its %s", f->name, what);
    p->len = (uint32_t)len;
    return load_file_read(f, off, p->bytes, len, what, err);
}

static int take_code(const struct loading *l, const struct header *h, struct real_image *r)
{
    const uint64_t room = h->high                        ? l->g->bytes - LOAD_HIGH
                          : l->g->bytes < LOW_KERNEL_END ? 0
                                                         : LOW_KERNEL_END - LOW_KERNEL;
    int rc = setup_check_size(l, l->file.head);
    if (rc)
        return rc;
    const uint64_t len = l->file.size - h->setup_len;
    if (l->g->bytes <= LOAD_HIGH + BIOS_KEEPS || len > room)
        return load_refuse(l, -EINVAL, "%#llx bytes of kernel do not fit into %s; %s",
                           (unsigned long long)len,
                           h->high ? "RAM above 1 MiB" : "low memory (0x10000-0x8ffff)",
                           h->high ? "give more RAM with -m" : "build a bzImage");
    rc = setup_check_i386(l, l->file.head, h->version);
    if (!rc)
        rc = take(&l->file, 0, h->setup_len, "setup code", &r->setup, l->err);
    if (!rc)
        rc = take(&l->file, h->setup_len, len, "kernel", &r->kernel, l->err);
    r->kernel.addr = h->high ? LOAD_HIGH : LOW_KERNEL;
    return rc;
}

/* Setup code, stack and command line share a segment; the last is at its end, or from 2.02 on just
 * behind it. */
static int place_setup(const struct loading *l, const struct header *h, struct real_image *r)
{
    const bool modern = h->high && h->version >= 0x202;
    const char *text = l->o->append ? l->o->append : "";
    const size_t len = strlen(text), space = (len + 16) & ~(size_t)15;
    const uint32_t most = setup_cmdline_max(r->setup.bytes, h->version);

    if (len > most)
        return load_refuse(l, -EINVAL,
                           "the command line has %zu bytes, this kernel takes %u; shorten -append",
                           len, most);
    r->setup.addr = modern ? NEW_SETUP : OLD_SETUP;
    r->cmdline.addr = modern ? NEW_SETUP_END : OLD_SETUP_END - (uint32_t)space;
    if (r->setup.addr + r->setup.len + STACK > r->cmdline.addr)
        return load_refuse(l, -ENOEXEC,
                           "setup_sects %u: setup code of %#x bytes has no room at %#x",
                           l->file.head[SETUP_SECTS], r->setup.len, r->setup.addr);
    r->cmdline.bytes = calloc(1, space);
    if (!r->cmdline.bytes)
        return load_refuse(l, -ENOMEM, "no memory for its command line");
    memcpy(r->cmdline.bytes, text, len);
    r->cmdline.len = (uint32_t)space;
    return 0;
}

/* As high as the kernel allows, below what the BIOS keeps for itself. */
static int take_initrd(const struct loading *l, const struct header *h, struct real_image *r)
{
    struct load_file f = {.fd = -1};
    const uint8_t *b = r->setup.bytes;
    gpa_t first = LOAD_HIGH + (h->high ? r->kernel.len : 0), end = l->g->bytes - BIOS_KEEPS;
    const gpa_t most = setup_initrd_end(b, h->version);

    if (l->o->module_count == 0)
        return 0;
    if (l->o->module_count > 1 || strchr(l->o->modules[0], ' '))
        return load_refuse(l, -EINVAL,
                           "it takes one -initrd without arguments; join the files into one");
    if (h->version < 0x200)
        return load_refuse(l, -EINVAL, "a kernel from before protocol 2.00 takes no -initrd");
    if (h->version >= 0x20a && LOAD_HIGH + (gpa_t)load_u32(b + SETUP_INIT_SIZE) > first)
        first = LOAD_HIGH + load_u32(b + SETUP_INIT_SIZE);
    if (most < end)
        end = most;
    int rc = load_file_open(&f, l->o->modules[0], LOAD_FILE_MAX, l->err);
    if (!rc && (end < first || f.size > ((end - first) & ~(gpa_t)PAGE_MASK)))
        rc = load_no_room(l, &f, end);
    if (!rc) {
        r->initrd.addr = (uint32_t)((end - f.size) & ~(gpa_t)PAGE_MASK);
        rc = take(&f, 0, f.size, "content", &r->initrd, l->err);
    }
    load_file_close(&f);
    return rc;
}

/* vga=WORD or NUMBER on the command line, for which the setup code looks in the header; the last
 * one counts. A word that means nothing is left for the kernel. */
static void take_video_mode(uint8_t *header, const char *text)
{
    static const struct {
        const char *word;
        unsigned long mode;
    } words[] = {{"normal", 0xffff}, {"ext", 0xfffe}, {"ask", 0xfffd}};
    for (const char *p = text; (p = strstr(p, "vga=")) != NULL;) {
        const bool starts = p == text || p[-1] == ' ';
        p += 4;
        const size_t len = strcspn(p, " ");
        char *end;
        unsigned long mode = len ? strtoul(p, &end, 0) : 0x10000;
        if (!len || end != p + len)
            mode = 0x10000;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (len == strlen(words[i].word) && strncmp(p, words[i].word, len) == 0)
                mode = words[i].mode;
        if (starts && mode <= 0xffff)
            load_put16(header + SETUP_VID_MODE, (uint32_t)mode);
    }
}

/* The fields that a loader fills, as far as this protocol has them. */
static void fill_header(const struct header *h, struct real_image *r)
{
    uint8_t *b = r->setup.bytes;
    take_video_mode(b, (const char *)r->cmdline.bytes);
    if (h->version >= 0x200) {
        b[SETUP_LOADER] = SETUP_NO_LOADER;
        load_put32(b + SETUP_RAMDISK, r->initrd.addr);
        load_put32(b + SETUP_RAMDISK_SIZE, r->initrd.len);
    }
    if (h->version >= 0x201) { /* up to the stack's bottom, less the boot sector */
        b[SETUP_LOADFLAGS] |= SETUP_CAN_USE_HEAP;
        load_put16(b + SETUP_HEAP_END, r->cmdline.addr - r->setup.addr - STACK - 0x200);
    }
    if (h->version >= 0x202) {
        load_put32(b + SETUP_CMDLINE, r->cmdline.addr);
    } else {
        load_put16(b + SETUP_OLD_CMDLINE_MAGIC, OLD_CMDLINE_MAGIC);
        load_put16(b + SETUP_OLD_CMDLINE_OFFSET, r->cmdline.addr - r->setup.addr);
    }
}

int real_load(const struct image_opts *o, uint64_t ram, struct real_image *out, struct errmsg *err)
{
    struct gmem size_only = {.bytes = ram};
    struct loading l = {.g = &size_only, .o = o, .err = err};
    struct header h;

    memset(out, 0, sizeof *out);
    int rc = load_file_open(&l.file, o->path, LOAD_FILE_MAX, err);
    if (!rc && !read_header(&l.file, &h))
        rc = load_refuse(&l, -EINVAL,
                         "it has no entry in real mode, as Linux images have, so that no BIOS can "
                         "start it; leave out --bios and -boot");
    if (!rc)
        rc = take_code(&l, &h, out);
    if (!rc)
        rc = place_setup(&l, &h, out);
    if (!rc)
        rc = take_initrd(&l, &h, out);
    load_file_close(&l.file);
    if (rc) {
        real_free(out);
        return rc;
    }
    fill_header(&h, out);
    if (h.version)
        snprintf(out->kind, sizeof out->kind, "Linux (%s, protocol %u.%02u), in real mode",
                 h.high ? "bzImage" : "zImage", h.version >> 8, h.version & 0xff);
    else
        snprintf(out->kind, sizeof out->kind, "Linux (zImage, before protocol 2.00), in real mode");
    return 0;
}

void real_free(struct real_image *r)
{
    free(r->setup.bytes);
    free(r->kernel.bytes);
    free(r->initrd.bytes);
    free(r->cmdline.bytes);
    memset(r, 0, sizeof *r);
}

/* --- the ROM --------------------------------------------------------------------------------- */

extern const uint8_t real_rom_start[REAL_ROM_SIZE];

enum { PNP_POINTER = 0x1a, PNP_LEN = 0x20, PNP_CHECKSUM = 9 };

static uint8_t missing(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)(0u - sum);
}

void real_rom(uint8_t out[REAL_ROM_SIZE])
{
    memcpy(out, real_rom_start, REAL_ROM_SIZE);
    uint8_t *pnp = out + load_u16(out + PNP_POINTER);
    pnp[PNP_CHECKSUM] = missing(pnp, PNP_LEN);
    out[REAL_ROM_SIZE - 1] = missing(out, REAL_ROM_SIZE);
}
