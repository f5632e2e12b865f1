/*
 * Linux for the i386 by its 32-bit boot protocol (Documentation/arch/x86/boot.rst): the setup code
 * of real mode is left out; what it would have found out is told in boot_params, whose address is
 * in ESI. Two kinds of file: a bzImage, which unpacks itself, and a vmlinux ELF, which is entered
 * directly.
 */
#include <errno.h>
#include <string.h>

#include "vmm/load/load.h"
#include "vmm/load/setup_header.h"

/* Offsets in boot_params that are not a file's. */
enum bp {
    BP_EXT_MEM_K = 0x002,
    BP_ALT_MEM_K = 0x1e0,
    BP_E820_ENTRIES = 0x1e8,
    BP_E820 = 0x2d0,
    BP_SIZE = 0x1000,
};

#define LX_OLDEST 0x202u
#define LX_BANNER "Linux version "

struct kernel {
    uint8_t bp[BP_SIZE];  /* boot_params as far as it is known */
    gpa_t initrd_end;     /* an initrd must end here or below */
    uint32_t cmdline_max; /* without terminator */
    uint32_t entry;
    struct load_module initrd;
    const struct loading *l;
};

static uint64_t get64(const uint8_t *p)
{
    return load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

/* --- what both kinds have in common --- */

static void fill_memory(uint8_t *bp, const struct image *out, uint64_t ram)
{
    uint64_t high_k = ram > LOAD_HIGH ? (ram - LOAD_HIGH) >> 10 : 0;
    uint8_t *e = bp + BP_E820;

    load_put16(bp + BP_EXT_MEM_K, high_k < 0xfc00 ? (uint32_t)high_k : 0xfc00);
    load_put32(bp + BP_ALT_MEM_K, (uint32_t)high_k);
    bp[BP_E820_ENTRIES] = (uint8_t)out->map_count;
    for (unsigned i = 0; i < out->map_count; i++, e += 20) {
        const struct image_mem *m = &out->map[i];
        load_put32(e, (uint32_t)m->start);
        load_put32(e + 4, (uint32_t)(m->start >> 32));
        load_put32(e + 8, (uint32_t)m->bytes);
        load_put32(e + 12, (uint32_t)(m->bytes >> 32));
        load_put32(e + 16, m->type);
    }
}

/* The kernel reloads its segments from the table that the loader left: selectors 0x10 and 0x18. */
static const uint64_t boot_gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
enum { BOOT_CS = 0x10, BOOT_DS = 0x18, BOOT_GDT_AT = BP_SIZE };

static void fill_boot(struct blob *b, void *ctx)
{
    struct kernel *k = ctx;
    const char *append = k->l->o->append;
    uint32_t at = blob_add(b, k->bp, BP_SIZE, PAGE_SIZE);

    blob_add(b, boot_gdt, sizeof boot_gdt, 8); /* at BOOT_GDT_AT */
    load_put32(k->bp + SETUP_CMDLINE, blob_add_string(b, append ? append : ""));
    blob_set(b, at, k->bp, BP_SIZE);
}

static void set_cpu(struct cpu *cpu, uint32_t entry, uint32_t boot)
{
    cpu_set_flat(cpu, entry);
    for (int i = 0; i < SEG_COUNT; i++)
        cpu->seg[i].sel = i == SEG_CS ? BOOT_CS : BOOT_DS;
    cpu->gdtr = (struct desc_table){boot + BOOT_GDT_AT, sizeof boot_gdt - 1};
    cpu->gpr[R_ESI] = boot;
}

/* The image itself is planned and copied: the initrd, boot_params, the processor. */
static int finish(struct loading *l, struct kernel *k)
{
    size_t len = l->o->append ? strlen(l->o->append) : 0;
    uint32_t boot = 0;
    int ret;

    if (len > k->cmdline_max)
        return load_refuse(l, -EINVAL,
                           "the command line has %zu bytes, this kernel takes %u; shorten -append",
                           len, k->cmdline_max);
    ret = load_initrd(l, k->initrd_end, &k->initrd);
    if (ret)
        return ret;
    fill_memory(k->bp, l->out, l->g->bytes);
    k->bp[SETUP_LOADER] = SETUP_NO_LOADER;
    load_put32(k->bp + SETUP_RAMDISK, (uint32_t)k->initrd.start);
    load_put32(k->bp + SETUP_RAMDISK_SIZE, (uint32_t)k->initrd.bytes);
    k->l = l;
    ret = load_blob(l, fill_boot, k, &boot);
    if (ret)
        return ret;
    l->out->entry = k->entry;
    set_cpu(&l->out->cpu, k->entry, boot);
    return 0;
}

/* --- bzImage --- */

static bool probe_bzimage(const struct loading *l)
{
    const uint8_t *h = l->file.head;
    return l->file.head_len >= SETUP_VERSION && load_u16(h + SETUP_BOOT_FLAG) == SETUP_FLAG &&
           load_u32(h + SETUP_MAGIC) == SETUP_HDRS;
}

static int check_setup(const struct loading *l, const uint8_t *h, uint32_t version)
{
    uint32_t end = SETUP_MAGIC + h[SETUP_LEN];

    if (version < LX_OLDEST)
        return load_refuse(l, -EINVAL, "boot protocol version %#x is older than 2.02", version);
    if (end < SETUP_INITRD_MAX || end > SETUP_END)
        return load_refuse(l, -ENOEXEC, "setup header ends at %#x, must be %#x to %#x", end,
                           SETUP_INITRD_MAX, SETUP_END);
    if (!(h[SETUP_LOADFLAGS] & SETUP_LOADED_HIGH))
        return load_refuse(l, -EINVAL,
                           "loadflags %#x: a zImage, which goes below 1 MiB; build a bzImage",
                           h[SETUP_LOADFLAGS]);
    return setup_check_i386(l, h, version);
}

/* Where the protected-mode part lies in the file, and that it is all there. */
static int find_code(const struct loading *l, const uint8_t *h, uint32_t version, uint64_t *off)
{
    uint64_t len, claimed = (uint64_t)load_u32(h + SETUP_SYSSIZE) * 16;
    int ret = setup_check_size(l, h);

    if (ret)
        return ret;
    *off = setup_bytes(h);
    len = l->file.size - *off;
    if (version >= 0x204 && claimed > ((len + 15) & ~(uint64_t)15))
        return load_refuse(l, -ENOEXEC,
                           "syssize says %#llx bytes of kernel, the file has %#llx; is it "
                           "truncated?",
                           (unsigned long long)claimed, (unsigned long long)len);
    if (version >= 0x208 &&
        (uint64_t)load_u32(h + SETUP_PAYLOAD) + load_u32(h + SETUP_PAYLOAD_LEN) > len)
        return load_refuse(l, -ENOEXEC,
                           "payload_offset %#x with payload_length %#x goes beyond the file's end; "
                           "is it truncated?",
                           load_u32(h + SETUP_PAYLOAD), load_u32(h + SETUP_PAYLOAD_LEN));
    return 0;
}

/* The kernel unpacks itself in place: from its preferred address if it can be moved there (it would
 * move itself otherwise), and needs init_size bytes from that on. */
static int place_kernel(struct loading *l, const uint8_t *h, uint32_t version, uint64_t len,
                        gpa_t *base)
{
    bool movable = version >= 0x20a && h[SETUP_RELOCATABLE];
    uint64_t pref = version >= 0x20a ? get64(h + SETUP_PREF_ADDRESS) : LOAD_HIGH;
    uint64_t need = version >= 0x20a ? load_u32(h + SETUP_INIT_SIZE) : 0;
    uint32_t align = load_u32(h + SETUP_ALIGNMENT);
    int ret;

    *base = LOAD_HIGH;
    if (movable) {
        if (align == 0 || (align & (align - 1)))
            return load_refuse(l, -ENOEXEC, "kernel_alignment %#x is not a power of two", align);
        if (pref & (align - 1))
            return load_refuse(l, -ENOEXEC,
                               "pref_address %#llx is no multiple of kernel_alignment %#x",
                               (unsigned long long)pref, align);
        *base = pref;
    }
    if (pref == *base)
        return place_claim(l, *base, len > need ? len : need, "kernel");
    /* Not movable: it is copied from where it was loaded to where it runs, which may overlap. */
    ret = place_claim(l, *base, len, "kernel");
    if (ret || need == 0 || pref < *base + len)
        return ret;
    return place_claim(l, pref, need, "kernel, unpacked");
}

static int set_entry(const struct loading *l, const uint8_t *h, gpa_t base, uint64_t len,
                     uint32_t *entry)
{
    uint32_t code32 = load_u32(h + SETUP_CODE32);

    if (code32 < LOAD_HIGH || code32 - LOAD_HIGH >= len)
        return load_refuse(l, -ENOEXEC,
                           "code32_start %#x lies outside of the kernel (%#x, %#llx bytes)", code32,
                           LOAD_HIGH, (unsigned long long)len);
    *entry = (uint32_t)(base + (code32 - LOAD_HIGH));
    return 0;
}

/* What the file's header says goes to boot_params; what only a loader may say is cleared. */
static void take_header(struct kernel *k, const uint8_t *h, uint32_t version, gpa_t base)
{
    memcpy(k->bp + SETUP_SECTS, h + SETUP_SECTS, SETUP_MAGIC + h[SETUP_LEN] - SETUP_SECTS);
    load_put32(k->bp + SETUP_CODE32, (uint32_t)base);
    if (version >= 0x207)
        memset(k->bp + SETUP_SUBARCH, 0, SETUP_PAYLOAD - SETUP_SUBARCH);
    if (version >= 0x209)
        memset(k->bp + SETUP_DATA, 0, 8);
    k->initrd_end = setup_initrd_end(h, version);
    k->cmdline_max = setup_cmdline_max(h, version);
}

static int load_bz(struct loading *l)
{
    struct kernel k = {.entry = 0};
    uint8_t h[SETUP_END] = {0};
    uint32_t version;
    uint64_t off, len;
    gpa_t base;
    int ret;

    /* A short file, or a header that is shorter, reads as zeros behind its end. */
    memcpy(h, l->file.head, l->file.head_len < sizeof h ? l->file.head_len : sizeof h);
    version = load_u16(h + SETUP_VERSION);
    ret = check_setup(l, h, version);
    if (!ret)
        ret = find_code(l, h, version, &off);
    if (ret)
        return ret;
    len = l->file.size - off;
    ret = place_kernel(l, h, version, len, &base);
    if (!ret)
        ret = set_entry(l, h, base, len, &k.entry);
    if (!ret)
        ret = load_file_copy(&l->file, off, len, l->g, base, l->err);
    if (ret)
        return ret;
    take_header(&k, h, version, base);
    snprintf(l->out->kind, sizeof l->out->kind, "Linux (bzImage, protocol %u.%02u)", version >> 8,
             version & 0xff);
    return finish(l, &k);
}

const struct loader load_bzimage = {"Linux bzImage", probe_bzimage, load_bz};

/* --- vmlinux --- */

static bool probe_vmlinux(const struct loading *l)
{
    return elf_magic(l) && elf_holds(l, LX_BANNER);
}

static int load_vm(struct loading *l)
{
    struct kernel k = {.initrd_end = (gpa_t)SETUP_OLD_INITRD_MAX + 1, .cmdline_max = 2047};
    struct elf_image elf;
    int ret = elf_plan(l, &elf);

    if (!ret)
        ret = elf_copy(l, &elf);
    if (ret)
        return ret;
    k.entry = elf.entry;
    /* The header that its bzImage would have had, for what the kernel reads of it. */
    load_put16(k.bp + SETUP_BOOT_FLAG, SETUP_FLAG);
    load_put32(k.bp + SETUP_MAGIC, SETUP_HDRS);
    load_put16(k.bp + SETUP_VERSION, 0x20c);
    k.bp[SETUP_LOADFLAGS] = SETUP_LOADED_HIGH;
    load_put32(k.bp + SETUP_CODE32, k.entry);
    load_put32(k.bp + SETUP_CMDLINE_SIZE, k.cmdline_max);
    load_put32(k.bp + SETUP_INITRD_MAX, SETUP_OLD_INITRD_MAX);
    snprintf(l->out->kind, sizeof l->out->kind, "Linux (vmlinux, ELF32)");
    return finish(l, &k);
}

const struct loader load_vmlinux = {"Linux vmlinux", probe_vmlinux, load_vm};
