/*
 * PVH: an ELF32 that names a 32-bit physical entry in a note of owner "Xen"
 * (XEN_ELFNOTE_PHYS32_ENTRY). It starts flat with the address of a start-info block in EBX
 * (xen/include/public/arch-x86/hvm/start_info.h).
 */
#include <errno.h>
#include <string.h>

#include "vmm/load/load.h"

#define PVH_OWNER       "Xen"
#define PVH_NOTE_ENTRY  18u
#define PVH_START_MAGIC 0x336ec578u

struct pvh_start {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist, cmdline, rsdp, memmap;
    uint32_t memmap_entries, reserved;
};
_Static_assert(sizeof(struct pvh_start) == 56, "start info, version 1");

struct pvh_module {
    uint64_t start, size, cmdline, reserved;
};

struct pvh_mem {
    uint64_t start, size;
    uint32_t type, reserved;
};

struct telling {
    const struct loading *l;
    const struct load_module *mods;
};

static bool probe(const struct loading *l)
{
    uint8_t desc[8];
    return elf_note(l, PVH_OWNER, PVH_NOTE_ENTRY, desc, sizeof desc) != 0;
}

/* The note's content: an address of 4 bytes, or 8 of which the upper half is 0. */
static int read_entry(const struct loading *l, const struct elf_image *elf, uint32_t *entry)
{
    uint8_t desc[8] = {0};
    size_t size = elf_note(l, PVH_OWNER, PVH_NOTE_ENTRY, desc, sizeof desc);

    if (size != 4 && size != 8)
        return load_refuse(l, -ENOEXEC, "PVH entry note holds %zu bytes, must be 4 or 8", size);
    *entry = load_u32(desc);
    if (load_u32(desc + 4) != 0 || !elf_executable(elf, *entry))
        return load_refuse(l, -ENOEXEC,
                           "PVH entry %#llx lies in no executable segment that the file has "
                           "content for",
                           (unsigned long long)load_u32(desc + 4) << 32 | *entry);
    return 0;
}

static void add_memmap(struct blob *b, const struct image *out, struct pvh_start *s)
{
    struct pvh_mem list[IMAGE_MEMMAP_MAX];

    for (unsigned i = 0; i < out->map_count; i++)
        list[i] = (struct pvh_mem){out->map[i].start, out->map[i].bytes, out->map[i].type, 0};
    s->memmap_entries = out->map_count;
    s->memmap = blob_add(b, list, out->map_count * sizeof *list, 8);
}

static void add_modules(struct blob *b, const struct telling *t, struct pvh_start *s)
{
    struct pvh_module list[IMAGE_MODULES_MAX];
    size_t n = t->l->o->module_count;

    for (size_t i = 0; i < n; i++)
        list[i] = (struct pvh_module){t->mods[i].start, t->mods[i].bytes,
                                      blob_add_string(b, t->mods[i].string), 0};
    s->nr_modules = (uint32_t)n;
    s->modlist = n ? blob_add(b, list, n * sizeof *list, 8) : 0;
}

static void fill_start(struct blob *b, void *ctx)
{
    const struct telling *t = ctx;
    struct pvh_start s = {.magic = PVH_START_MAGIC, .version = 1};
    uint32_t at = blob_add(b, &s, sizeof s, 8);

    s.cmdline = blob_add_string(b, t->l->o->append ? t->l->o->append : "");
    add_memmap(b, t->l->out, &s);
    add_modules(b, t, &s);
    blob_set(b, at, &s, sizeof s);
}

static int load(struct loading *l)
{
    struct load_module mods[IMAGE_MODULES_MAX] = {0};
    struct elf_image elf;
    uint32_t entry = 0, start = 0;
    int ret = elf_plan(l, &elf);

    if (!ret)
        ret = read_entry(l, &elf, &entry);
    if (!ret)
        ret = elf_copy(l, &elf);
    if (!ret)
        ret = load_modules(l, mods);
    if (!ret)
        ret = load_blob(l, fill_start, &(struct telling){l, mods}, &start);
    if (ret)
        return ret;
    snprintf(l->out->kind, sizeof l->out->kind, "PVH (ELF32)");
    l->out->entry = entry;
    cpu_set_flat(&l->out->cpu, entry);
    l->out->cpu.gpr[R_EBX] = start;
    return 0;
}

const struct loader load_pvh = {"PVH", probe, load};
