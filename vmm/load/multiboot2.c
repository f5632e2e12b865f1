/*
 * Multiboot 2 (specification 2.0): a header of tags in the image's first 32 KiB, aligned to 8; it
 * starts like Multiboot 1, with an information block of tags in EBX.
 */
#include <errno.h>
#include <string.h>

#include "vmm/load/load.h"

#define MB2_SEARCH       32768u
#define MB2_HEADER_MAGIC 0xe85250d6u
#define MB2_LOADER_MAGIC 0x36d76289u
#define MB2_ARCH_I386    0u
#define MB2_LOADER_NAME  "Umbra"

/* Tags of the header (3.1.3 and on). */
enum mb2_header_tag {
    MB2_END = 0,
    MB2_REQUEST = 1,
    MB2_ADDRESS = 2,
    MB2_ENTRY = 3,
    MB2_CONSOLE = 4,
    MB2_FRAMEBUFFER = 5,
    MB2_MODULE_ALIGN = 6,
    MB2_EFI_SERVICES = 7,
    MB2_EFI_ENTRY32 = 8,
    MB2_EFI_ENTRY64 = 9,
    MB2_RELOCATABLE = 10,
};
#define MB2_OPTIONAL         1u /* flag of a header tag */
#define MB2_CONSOLE_REQUIRED 1u
#define MB2_CONSOLE_TEXT     2u /* the image can do with a VGA's text mode */

/* Tags of the information (3.6). */
enum mb2_info_tag {
    MB2_INFO_END = 0,
    MB2_INFO_CMDLINE = 1,
    MB2_INFO_LOADER = 2,
    MB2_INFO_MODULE = 3,
    MB2_INFO_MEMORY = 4,
    MB2_INFO_MMAP = 6,
    MB2_INFO_SCREEN = 8,
    MB2_INFO_BASE = 21,
};

struct mb2_header {
    uint32_t off, len;
    bool addresses, has_entry;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct mb2_tag {
    uint32_t type, size;
};

struct mb2_mmap {
    uint64_t start, bytes;
    uint32_t type, reserved;
};

static bool find_header(const struct load_file *f, struct mb2_header *h)
{
    uint32_t len = f->head_len < MB2_SEARCH ? f->head_len : MB2_SEARCH;

    for (uint32_t off = 0; off + 16 <= len; off += 8) {
        const uint8_t *p = f->head + off;
        if (load_u32(p) != MB2_HEADER_MAGIC ||
            load_u32(p) + load_u32(p + 4) + load_u32(p + 8) + load_u32(p + 12) != 0)
            continue;
        memset(h, 0, sizeof *h);
        h->off = off;
        h->len = load_u32(p + 8);
        return true;
    }
    return false;
}

static bool probe(const struct loading *l)
{
    struct mb2_header h;
    return find_header(&l->file, &h);
}

static bool can_tell(uint32_t type)
{
    return type == MB2_INFO_CMDLINE || type == MB2_INFO_LOADER || type == MB2_INFO_MODULE ||
           type == MB2_INFO_MEMORY || type == MB2_INFO_MMAP || type == MB2_INFO_SCREEN ||
           type == MB2_INFO_BASE;
}

static int check_request(const struct loading *l, const uint8_t *tag, uint32_t size)
{
    for (uint32_t at = 8; at + 4 <= size; at += 4)
        if (!can_tell(load_u32(tag + at)))
            return load_refuse(l, -EINVAL,
                               "Multiboot 2 header requests information of type %u, which this "
                               "machine does not have; mark the request optional",
                               load_u32(tag + at));
    return 0;
}

/* Tags with fields must be long enough for them. */
static uint32_t least_size(uint16_t type)
{
    switch (type) {
    case MB2_ADDRESS: return 24;
    case MB2_ENTRY:
    case MB2_CONSOLE: return 12;
    default: return 8;
    }
}

static int take_tag(const struct loading *l, struct mb2_header *h, const uint8_t *p, uint32_t size)
{
    uint16_t type = load_u16(p);
    bool optional = (load_u16(p + 2) & MB2_OPTIONAL) != 0;

    if (size < least_size(type))
        return load_refuse(l, -ENOEXEC, "Multiboot 2 header tag of type %u has size %u, needs %u",
                           type, size, least_size(type));
    switch (type) {
    case MB2_REQUEST: return optional ? 0 : check_request(l, p, size);
    case MB2_ADDRESS:
        h->addresses = true;
        h->header_addr = load_u32(p + 8);
        h->load_addr = load_u32(p + 12);
        h->load_end_addr = load_u32(p + 16);
        h->bss_end_addr = load_u32(p + 20);
        return 0;
    case MB2_ENTRY:
        h->has_entry = true;
        h->entry_addr = load_u32(p + 8);
        return 0;
    case MB2_CONSOLE:
        if (!optional &&
            (load_u32(p + 8) & (MB2_CONSOLE_REQUIRED | MB2_CONSOLE_TEXT)) == MB2_CONSOLE_REQUIRED)
            break;
        return 0;
    case MB2_FRAMEBUFFER: /* a wish (3.1.10): a loader may set text mode, and says so */
    case MB2_MODULE_ALIGN:
    case MB2_EFI_SERVICES: /* these only matter to loaders that move images or have EFI */
    case MB2_EFI_ENTRY32:
    case MB2_EFI_ENTRY64:
    case MB2_RELOCATABLE: return 0;
    default:
        if (!optional)
            break;
        return 0;
    }
    return load_refuse(l, -EINVAL,
                       "Multiboot 2 header demands what this machine does not have (tag of type "
                       "%u); mark the tag optional",
                       type);
}

static int parse_tags(const struct loading *l, struct mb2_header *h)
{
    uint32_t room = (l->file.head_len < MB2_SEARCH ? l->file.head_len : MB2_SEARCH) - h->off;
    const uint8_t *p = l->file.head + h->off;

    if (load_u32(p + 4) != MB2_ARCH_I386)
        return load_refuse(l, -ENOEXEC, "Multiboot 2 architecture is %u, must be 0 (i386)",
                           load_u32(p + 4));
    if (h->len < 24 || h->len > room)
        return load_refuse(l, -ENOEXEC,
                           "Multiboot 2 header_length %#x at %#x does not fit the first 32 KiB of "
                           "the file",
                           h->len, h->off);
    for (uint32_t at = 16; at <= h->len - 8;) {
        uint32_t size = load_u32(p + at + 4);
        int ret;
        if (size < 8 || size > h->len - at)
            return load_refuse(l, -ENOEXEC, "Multiboot 2 header tag at %#x has size %#x",
                               h->off + at, size);
        if (load_u16(p + at) == MB2_END)
            return 0;
        ret = take_tag(l, h, p + at, size);
        if (ret)
            return ret;
        at += (size + 7) & ~7u;
        if (at > h->len)
            break;
    }
    return load_refuse(l, -ENOEXEC, "Multiboot 2 header tags have no end tag");
}

/* --- the information block --- */

struct telling {
    const struct loading *l;
    const struct load_module *mods;
    uint32_t base; /* the image's lowest address */
};

static uint32_t add_tag(struct blob *b, uint32_t type, const void *data, size_t len)
{
    struct mb2_tag t = {type, (uint32_t)(sizeof t + len)};
    uint32_t at = blob_add(b, &t, sizeof t, 8);

    blob_add(b, data, len, 1);
    return at;
}

static void add_memory(struct blob *b, const struct loading *l)
{
    uint64_t ram = l->g->bytes;
    uint32_t basic[2] = {(uint32_t)(l->out->map[0].bytes >> 10),
                         ram > LOAD_HIGH ? (uint32_t)((ram - LOAD_HIGH) >> 10) : 0};
    struct {
        uint32_t entry_size, version;
        struct mb2_mmap e[IMAGE_MEMMAP_MAX];
    } mmap = {.entry_size = sizeof(struct mb2_mmap)};

    for (unsigned i = 0; i < l->out->map_count; i++)
        mmap.e[i] =
            (struct mb2_mmap){l->out->map[i].start, l->out->map[i].bytes, l->out->map[i].type, 0};
    add_tag(b, MB2_INFO_MEMORY, basic, sizeof basic);
    add_tag(b, MB2_INFO_MMAP, &mmap, 8 + l->out->map_count * sizeof mmap.e[0]);
}

static void add_module(struct blob *b, const struct load_module *m)
{
    struct {
        struct mb2_tag t;
        uint32_t start, end;
    } tag = {{MB2_INFO_MODULE, (uint32_t)(sizeof tag + strlen(m->string) + 1)},
             (uint32_t)m->start,
             (uint32_t)(m->start + m->bytes)};

    blob_add(b, &tag, sizeof tag, 8);
    blob_add_string(b, m->string);
}

static void fill_info(struct blob *b, void *ctx)
{
    const struct telling *t = ctx;
    const char *append = t->l->o->append ? t->l->o->append : "";
    uint32_t head[2] = {0};
    uint32_t start = blob_add(b, head, sizeof head, 8);

    add_tag(b, MB2_INFO_CMDLINE, append, strlen(append) + 1);
    add_tag(b, MB2_INFO_LOADER, MB2_LOADER_NAME, sizeof MB2_LOADER_NAME);
    for (size_t i = 0; i < t->l->o->module_count; i++)
        add_module(b, &t->mods[i]);
    add_memory(b, t->l);
    add_tag(b, MB2_INFO_BASE, &t->base, sizeof t->base);
    add_tag(b, MB2_INFO_SCREEN, &LOAD_TEXT_SCREEN, sizeof LOAD_TEXT_SCREEN);
    add_tag(b, MB2_INFO_END, NULL, 0);
    head[0] = (uint32_t)b->used;
    blob_set(b, start, head, sizeof head);
}

/* --- the image --- */

static int load_addresses(struct loading *l, const struct mb2_header *h)
{
    struct load_kludge k = {
        .header_off = h->off,
        .header_addr = h->header_addr,
        /* all ones: from the file's start */
        .load_addr = h->load_addr == UINT32_MAX ? h->header_addr - h->off : h->load_addr,
        .load_end_addr = h->load_end_addr,
        .bss_end_addr = h->bss_end_addr,
        .entry_addr = h->entry_addr,
    };

    if (!h->has_entry)
        return load_refuse(l, -ENOEXEC,
                           "Multiboot 2 header has an address tag but no entry address tag");
    l->out->entry = h->entry_addr;
    return load_by_addresses(l, &k);
}

static int load_segments(struct loading *l, const struct mb2_header *h)
{
    struct elf_image elf;
    int ret;

    if (!elf_magic(l))
        return load_refuse(l, -ENOEXEC,
                           "Multiboot 2 header without an address tag, but the file is no ELF");
    ret = elf_plan(l, &elf);
    if (ret)
        return ret;
    l->out->entry = elf.entry;
    if (h->has_entry && !elf_executable(&elf, h->entry_addr))
        return load_refuse(l, -ENOEXEC,
                           "Multiboot 2 entry_addr %#x lies in no executable segment that the file "
                           "has content for",
                           h->entry_addr);
    if (h->has_entry)
        l->out->entry = h->entry_addr;
    return elf_copy(l, &elf);
}

static uint32_t lowest(const struct image *out)
{
    gpa_t low = UINT32_MAX;
    for (unsigned i = 0; i < out->range_count; i++)
        if (out->ranges[i].start < low)
            low = out->ranges[i].start;
    return (uint32_t)low;
}

static int load(struct loading *l)
{
    struct load_module mods[IMAGE_MODULES_MAX] = {0};
    struct mb2_header h = {0};
    uint32_t info = 0, base;
    int ret;

    if (!find_header(&l->file, &h))
        return load_refuse(l, -ENOEXEC, "no Multiboot 2 header");
    ret = parse_tags(l, &h);
    if (!ret)
        ret = h.addresses ? load_addresses(l, &h) : load_segments(l, &h);
    base = lowest(l->out);
    if (!ret)
        ret = load_modules(l, mods);
    if (!ret)
        ret = load_blob(l, fill_info, &(struct telling){l, mods, base}, &info);
    if (ret)
        return ret;
    snprintf(l->out->kind, sizeof l->out->kind, "Multiboot 2 (%s)",
             h.addresses ? "address tag" : "ELF32");
    cpu_set_flat(&l->out->cpu, l->out->entry);
    l->out->cpu.gpr[R_EAX] = MB2_LOADER_MAGIC;
    l->out->cpu.gpr[R_EBX] = info;
    return 0;
}

const struct loader load_multiboot2 = {"Multiboot 2", probe, load};
