/*
 * Multiboot 1 (specification 0.6.96): kernels with a small header in their first 8 KiB; they start
 * in flat 32-bit protected mode with the address of an information block in EBX.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/load/load.h"

#define MB_SEARCH       8192u
#define MB_HEADER_MAGIC 0x1badb002u
#define MB_LOADER_MAGIC 0x2badb002u
#define MB_LOADER_NAME  "Umbra"

/* Header flags (3.1.2). Bits 0-15 are demands: one that we cannot meet means refusal. */
enum mb_header_flags {
    MB_PAGE_ALIGN = 1u << 0,
    MB_MEMORY_INFO = 1u << 1,
    MB_VIDEO_MODE = 1u << 2,
    MB_DEMANDS = 0xffffu,
    MB_ADDRESSES = 1u << 16,
};

struct mb_header {
    uint32_t off; /* where in the file it lies */
    uint32_t flags;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

/* Information flags (3.3). */
enum mb_info_flags {
    MB_INFO_MEMORY = 1u << 0,
    MB_INFO_CMDLINE = 1u << 2,
    MB_INFO_MODS = 1u << 3,
    MB_INFO_MMAP = 1u << 6,
    MB_INFO_LOADER = 1u << 9,
};

struct mb_info {
    uint32_t flags;
    uint32_t mem_lower, mem_upper;
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr;
    uint32_t config_table;
    uint32_t boot_loader_name;
    uint32_t apm_table;
    uint32_t vbe[4];
};
_Static_assert(sizeof(struct mb_info) == 88, "layout of 3.3");

struct mb_module {
    uint32_t start, end, string, reserved;
};

struct mb_mmap {
    uint32_t size; /* of what follows */
    uint32_t base_lo, base_hi, len_lo, len_hi, type;
};

static bool find_header(const struct load_file *f, struct mb_header *h)
{
    uint32_t len = f->head_len < MB_SEARCH ? f->head_len : MB_SEARCH;

    for (uint32_t off = 0; off + 12 <= len; off += 4) {
        const uint8_t *p = f->head + off;
        uint32_t flags = load_u32(p + 4);
        if (load_u32(p) != MB_HEADER_MAGIC || MB_HEADER_MAGIC + flags + load_u32(p + 8) != 0)
            continue;
        *h = (struct mb_header){.off = off, .flags = flags};
        if ((flags & MB_ADDRESSES) && off + 32 <= len) {
            h->header_addr = load_u32(p + 12);
            h->load_addr = load_u32(p + 16);
            h->load_end_addr = load_u32(p + 20);
            h->bss_end_addr = load_u32(p + 24);
            h->entry_addr = load_u32(p + 28);
        }
        return true;
    }
    return false;
}

static bool probe(const struct load_file *f)
{
    struct mb_header h;
    return find_header(f, &h);
}

static int check_demands(const struct loading *l, const struct mb_header *h)
{
    uint32_t unknown = h->flags & MB_DEMANDS & ~(uint32_t)(MB_PAGE_ALIGN | MB_MEMORY_INFO);

    if (unknown & MB_VIDEO_MODE)
        return load_refuse(l, -EINVAL,
                           "Multiboot flags %#x demand a video mode (bit 2), but the machine has a "
                           "serial console only; clear the bit",
                           h->flags);
    if (unknown)
        return load_refuse(l, -ENOEXEC, "Multiboot flags %#x demand what no loader knows (%#x)",
                           h->flags, unknown);
    return 0;
}

/* Load by the header's address fields (3.1.3), whatever the file is otherwise. */
static int load_addresses(struct loading *l, const struct mb_header *h, uint32_t *entry)
{
    uint64_t size = l->file.size;
    uint32_t before = h->header_addr - h->load_addr; /* bytes between load start and header */
    uint32_t from, bytes, end;
    int ret;

    if (h->off + 32 > l->file.head_len || h->off + 32 > MB_SEARCH)
        return load_refuse(l, -ENOEXEC, "Multiboot header at %#x: its address fields are cut off",
                           h->off);
    if (h->load_addr > h->header_addr || before > h->off)
        return load_refuse(l, -ENOEXEC,
                           "load_addr %#x and header_addr %#x do not agree with the header's place "
                           "in the file (%#x)",
                           h->load_addr, h->header_addr, h->off);
    from = h->off - before;
    if (h->load_end_addr == 0) {
        if (size - from > UINT32_MAX - h->load_addr)
            return load_refuse(l, -ENOEXEC, "load_addr %#x with the file's %#llx bytes wraps",
                               h->load_addr, (unsigned long long)size);
        bytes = (uint32_t)(size - from);
    } else if (h->load_end_addr <= h->load_addr) {
        return load_refuse(l, -ENOEXEC, "load_end_addr %#x is not above load_addr %#x",
                           h->load_end_addr, h->load_addr);
    } else {
        bytes = h->load_end_addr - h->load_addr;
    }
    if (bytes > size - from)
        return load_refuse(l, -ENOEXEC,
                           "load_end_addr %#x asks for %#x bytes, the file has %#llx; is it "
                           "truncated?",
                           h->load_end_addr, bytes, (unsigned long long)(size - from));
    end = h->load_addr + bytes;
    if (h->bss_end_addr != 0 && h->bss_end_addr < end)
        return load_refuse(l, -ENOEXEC, "bss_end_addr %#x lies below the load end %#x",
                           h->bss_end_addr, end);
    if (h->entry_addr < h->load_addr || h->entry_addr >= end)
        return load_refuse(l, -ENOEXEC, "entry_addr %#x lies outside of what is loaded (%#x-%#x)",
                           h->entry_addr, h->load_addr, end);

    ret = place_claim(l, h->load_addr, (h->bss_end_addr ? h->bss_end_addr : end) - h->load_addr,
                      "image");
    if (!ret)
        ret = load_file_copy(&l->file, from, bytes, l->g, h->load_addr, l->err);
    if (!ret && h->bss_end_addr) {
        ret = gmem_fill(l->g, end, 0, h->bss_end_addr - end);
        if (ret)
            return load_refuse(l, ret, "bss at %#x cannot be zeroed", end);
    }
    *entry = h->entry_addr;
    return ret;
}

static int load_segments(struct loading *l, uint32_t *entry)
{
    struct elf_image elf;
    int ret;

    if (!elf_magic(&l->file))
        return load_refuse(
            l, -ENOEXEC,
            "Multiboot header without address fields (flags bit 16), but the file is "
            "no ELF");
    ret = elf_plan(l, &elf);
    if (!ret)
        ret = elf_copy(l, &elf);
    *entry = elf.entry;
    return ret;
}

/* --- the information block: one piece of memory, filled at blob, to lie at guest address gpa ---
 */
struct blob {
    uint8_t *data;
    size_t size, used;
    uint32_t gpa;
};

/* Room for len bytes, aligned to 4: its guest address. The size was reckoned beforehand. */
static uint32_t blob_add(struct blob *b, const void *data, size_t len)
{
    size_t at = (b->used + 3) & ~(size_t)3;

    if (at > b->size || len > b->size - at)
        abort(); /* blob_size() and fill_info() disagree */
    memcpy(b->data + at, data, len);
    b->used = at + len;
    return b->gpa + (uint32_t)at;
}

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

/* QEMU and GRUB Legacy put the image's name before the arguments; kernels skip one word. */
static void command_line(const struct loading *l, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s", l->o->path, l->o->append ? " " : "",
             l->o->append ? l->o->append : "");
}

static size_t blob_size(const struct loading *l, const char *cmdline)
{
    size_t n = sizeof(struct mb_info) + padded(strlen(cmdline) + 1) +
               padded(sizeof MB_LOADER_NAME) + l->out->map_count * sizeof(struct mb_mmap) +
               l->o->module_count * sizeof(struct mb_module);

    for (size_t i = 0; i < l->o->module_count; i++)
        n += padded(strlen(l->o->modules[i]) + 1);
    return n;
}

static void fill_mmap(const struct image *out, struct mb_info *info, struct blob *b)
{
    for (unsigned i = 0; i < out->map_count; i++) {
        const struct image_mem *m = &out->map[i];
        struct mb_mmap e = {sizeof e - sizeof e.size,   (uint32_t)m->start,
                            (uint32_t)(m->start >> 32), (uint32_t)m->bytes,
                            (uint32_t)(m->bytes >> 32), m->type};
        uint32_t at = blob_add(b, &e, sizeof e);
        if (i == 0)
            info->mmap_addr = at;
        info->mmap_length += (uint32_t)sizeof e;
    }
}

static void fill_modules(const struct loading *l, const struct load_module *mods,
                         struct mb_info *info, struct blob *b)
{
    struct mb_module list[IMAGE_MODULES_MAX];
    size_t n = l->o->module_count;

    for (size_t i = 0; i < n; i++)
        list[i] = (struct mb_module){
            .start = (uint32_t)mods[i].start,
            .end = (uint32_t)(mods[i].start + mods[i].bytes),
            .string = blob_add(b, mods[i].string, strlen(mods[i].string) + 1),
        };
    info->mods_count = (uint32_t)n;
    info->mods_addr = n ? blob_add(b, list, n * sizeof *list) : 0;
}

static void fill_info(const struct loading *l, const struct load_module *mods, const char *cmdline,
                      struct blob *b)
{
    uint64_t ram = l->g->bytes;
    struct mb_info info = {
        .flags = MB_INFO_MEMORY | MB_INFO_CMDLINE | MB_INFO_MODS | MB_INFO_MMAP | MB_INFO_LOADER,
        .mem_lower = (uint32_t)(l->out->map[0].bytes >> 10),
        .mem_upper = ram > LOAD_HIGH ? (uint32_t)((ram - LOAD_HIGH) >> 10) : 0,
    };

    blob_add(b, &info, sizeof info); /* its place comes first, its content last */
    info.cmdline = blob_add(b, cmdline, strlen(cmdline) + 1);
    info.boot_loader_name = blob_add(b, MB_LOADER_NAME, sizeof MB_LOADER_NAME);
    fill_mmap(l->out, &info, b);
    fill_modules(l, mods, &info, b);
    memcpy(b->data, &info, sizeof info);
}

/* Low memory is where kernels expect it least to be in their way; else wherever there is room. */
static bool find_info(const struct image *out, size_t size, uint64_t ram, gpa_t *at)
{
    return place_find(out, 0x10000, LOAD_LOW_END, size, PAGE_SIZE, at) ||
           place_find(out, 0x1000, ram, size, PAGE_SIZE, at);
}

static int write_info(struct loading *l, const struct load_module *mods, uint32_t *info_gpa)
{
    char cmdline[2 * IMAGE_STRING_MAX];
    struct blob b = {0};
    gpa_t at;
    int ret;

    command_line(l, cmdline, sizeof cmdline);
    b.size = blob_size(l, cmdline);
    if (!find_info(l->out, b.size, l->g->bytes, &at))
        return load_refuse(l, -EINVAL,
                           "no room for the boot information (%zu bytes); give more RAM "
                           "with -m",
                           b.size);
    ret = place_claim(l, at, b.size, "boot information");
    if (ret)
        return ret;
    b.gpa = *info_gpa = (uint32_t)at;
    b.data = calloc(1, b.size);
    if (!b.data)
        return load_refuse(l, -ENOMEM, "no memory for the boot information");
    fill_info(l, mods, cmdline, &b);
    ret = gmem_write(l->g, at, b.data, b.size);
    free(b.data);
    return ret ? load_refuse(l, ret, "boot information cannot be written at %#x", *info_gpa) : 0;
}

static int load(struct loading *l)
{
    struct load_module mods[IMAGE_MODULES_MAX] = {0};
    struct mb_header h;
    uint32_t info = 0;
    bool addresses;
    int ret;

    if (!find_header(&l->file, &h))
        return load_refuse(l, -ENOEXEC, "no Multiboot header");
    addresses = (h.flags & MB_ADDRESSES) != 0;
    ret = check_demands(l, &h);
    if (!ret)
        ret = addresses ? load_addresses(l, &h, &l->out->entry) : load_segments(l, &l->out->entry);
    if (!ret)
        ret = load_modules(l, mods);
    if (!ret)
        ret = write_info(l, mods, &info);
    if (ret)
        return ret;
    snprintf(l->out->kind, sizeof l->out->kind, "Multiboot 1 (%s)",
             addresses ? "address fields" : "ELF32");
    cpu_set_flat(&l->out->cpu, l->out->entry);
    l->out->cpu.gpr[R_EAX] = MB_LOADER_MAGIC;
    l->out->cpu.gpr[R_EBX] = info;
    return 0;
}

const struct loader load_multiboot1 = {"Multiboot 1", probe, load};
