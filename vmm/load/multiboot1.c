/*
 * Multiboot 1 (specification 0.6.96): kernels with a small header in their first 8 KiB; they start
 * in flat 32-bit protected mode with the address of an information block in EBX.
 */
#include <errno.h>
#include <string.h>

#include "vmm/load/load.h"

#define MB_SEARCH       8192u
#define MB_HEADER_MAGIC 0x1badb002u
#define MB_LOADER_MAGIC 0x2badb002u
#define MB_LOADER_NAME  "Umbra"

/* Header flags (3.1.2). Bits 0-15 are demands: one that we cannot meet means refusal. A video mode
 * is a wish (3.1.4): whatever it asks for, a loader may set text mode and say so. */
enum mb_header_flags {
    MB_PAGE_ALIGN = 1u << 0,
    MB_MEMORY_INFO = 1u << 1,
    MB_VIDEO_MODE = 1u << 2,
    MB_DEMANDS = 0xffffu,
    MB_ADDRESSES = 1u << 16,
};

struct mb_header {
    uint32_t flags;
    bool cut_off; /* address fields beyond the file's end or the first 8 KiB */
    struct load_kludge k;
};

/* Information flags (3.3). */
enum mb_info_flags {
    MB_INFO_MEMORY = 1u << 0,
    MB_INFO_CMDLINE = 1u << 2,
    MB_INFO_MODS = 1u << 3,
    MB_INFO_MMAP = 1u << 6,
    MB_INFO_LOADER = 1u << 9,
    MB_INFO_SCREEN = 1u << 12,
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
    struct load_framebuffer screen;
    uint32_t colours;
};
_Static_assert(sizeof(struct mb_info) == 116, "layout of 3.3");

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
        *h = (struct mb_header){.flags = flags, .cut_off = off + 32 > len, .k.header_off = off};
        if ((flags & MB_ADDRESSES) && !h->cut_off) {
            h->k.header_addr = load_u32(p + 12);
            h->k.load_addr = load_u32(p + 16);
            h->k.load_end_addr = load_u32(p + 20);
            h->k.bss_end_addr = load_u32(p + 24);
            h->k.entry_addr = load_u32(p + 28);
        }
        return true;
    }
    return false;
}

static bool probe(const struct loading *l)
{
    struct mb_header h;
    return find_header(&l->file, &h);
}

static int check_demands(const struct loading *l, const struct mb_header *h)
{
    uint32_t unknown =
        h->flags & MB_DEMANDS & ~(uint32_t)(MB_PAGE_ALIGN | MB_MEMORY_INFO | MB_VIDEO_MODE);

    if (unknown)
        return load_refuse(l, -ENOEXEC, "Multiboot flags %#x demand what no loader knows (%#x)",
                           h->flags, unknown);
    return 0;
}

static int load_addresses(struct loading *l, const struct mb_header *h)
{
    if (h->cut_off)
        return load_refuse(l, -ENOEXEC, "Multiboot header at %#x: its address fields are cut off",
                           h->k.header_off);
    l->out->entry = h->k.entry_addr;
    return load_by_addresses(l, &h->k);
}

static int load_segments(struct loading *l, uint32_t *entry)
{
    struct elf_image elf;
    int ret;

    if (!elf_magic(l))
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

/* --- the information block --- */

struct telling {
    const struct loading *l;
    const struct load_module *mods;
    bool screen; /* the image has asked what it is */
};

/* QEMU and GRUB Legacy put the image's name before the arguments; kernels skip one word. */
static uint32_t add_command_line(struct blob *b, const struct loading *l)
{
    char buf[2 * IMAGE_STRING_MAX];

    snprintf(buf, sizeof buf, "%s%s%s", l->o->path, l->o->append ? " " : "",
             l->o->append ? l->o->append : "");
    return blob_add_string(b, buf);
}

static void add_mmap(struct blob *b, const struct image *out, struct mb_info *info)
{
    struct mb_mmap list[IMAGE_MEMMAP_MAX];

    for (unsigned i = 0; i < out->map_count; i++) {
        const struct image_mem *m = &out->map[i];
        list[i] = (struct mb_mmap){sizeof *list - sizeof list->size, (uint32_t)m->start,
                                   (uint32_t)(m->start >> 32),       (uint32_t)m->bytes,
                                   (uint32_t)(m->bytes >> 32),       m->type};
    }
    info->mmap_length = (uint32_t)(out->map_count * sizeof *list);
    info->mmap_addr = blob_add(b, list, info->mmap_length, 4);
}

static void add_modules(struct blob *b, const struct telling *t, struct mb_info *info)
{
    struct mb_module list[IMAGE_MODULES_MAX];
    size_t n = t->l->o->module_count;

    for (size_t i = 0; i < n; i++)
        list[i] = (struct mb_module){
            .start = (uint32_t)t->mods[i].start,
            .end = (uint32_t)(t->mods[i].start + t->mods[i].bytes),
            .string = blob_add_string(b, t->mods[i].string),
        };
    info->mods_count = (uint32_t)n;
    info->mods_addr = n ? blob_add(b, list, n * sizeof *list, 4) : 0;
}

static void fill_info(struct blob *b, void *ctx)
{
    const struct telling *t = ctx;
    const struct loading *l = t->l;
    uint64_t ram = l->g->bytes;
    struct mb_info info = {
        .flags = MB_INFO_MEMORY | MB_INFO_CMDLINE | MB_INFO_MODS | MB_INFO_MMAP | MB_INFO_LOADER,
        .mem_lower = (uint32_t)(l->out->map[0].bytes >> 10),
        .mem_upper = ram > LOAD_HIGH ? (uint32_t)((ram - LOAD_HIGH) >> 10) : 0,
    };
    uint32_t at = blob_add(b, &info, sizeof info, 4); /* its place comes first, its content last */

    if (t->screen) {
        info.flags |= MB_INFO_SCREEN;
        info.screen = LOAD_TEXT_SCREEN;
    }
    info.cmdline = add_command_line(b, l);
    info.boot_loader_name = blob_add_string(b, MB_LOADER_NAME);
    add_mmap(b, l->out, &info);
    add_modules(b, t, &info);
    blob_set(b, at, &info, sizeof info);
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
        ret = addresses ? load_addresses(l, &h) : load_segments(l, &l->out->entry);
    if (!ret)
        ret = load_modules(l, mods);
    if (!ret)
        ret = load_blob(l, fill_info, &(struct telling){l, mods, (h.flags & MB_VIDEO_MODE) != 0},
                        &info);
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
