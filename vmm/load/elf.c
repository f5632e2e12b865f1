/*
 * ELF32 executables for the i386 (System V ABI, chapters 4 and 5): loaded at their physical
 * addresses, entered with paging off.
 */
#include <errno.h>
#include <string.h>

#include "vmm/load/load.h"

#include <elf.h> /* last: its PF_W is a segment's, that of cpu/regs.h a page fault's */

bool elf_magic(const struct loading *l)
{
    return l->file.head_len >= SELFMAG && memcmp(l->file.head, ELFMAG, SELFMAG) == 0;
}

static int check_ident(const struct loading *l, const Elf32_Ehdr *h)
{
    if (h->e_ident[EI_CLASS] == ELFCLASS64)
        return load_refuse(l, -ENOEXEC,
                           "EI_CLASS is 2: a 64-bit ELF, but the machine is an i386; build it with "
                           "-m32");
    if (h->e_ident[EI_CLASS] != ELFCLASS32)
        return load_refuse(l, -ENOEXEC, "EI_CLASS is %u, must be 1 (32-bit)", h->e_ident[EI_CLASS]);
    if (h->e_ident[EI_DATA] != ELFDATA2LSB)
        return load_refuse(l, -ENOEXEC, "EI_DATA is %u, must be 1 (little-endian)",
                           h->e_ident[EI_DATA]);
    if (h->e_ident[EI_VERSION] != EV_CURRENT)
        return load_refuse(l, -ENOEXEC, "EI_VERSION is %u, must be 1", h->e_ident[EI_VERSION]);
    return 0;
}

static int check_header(const struct loading *l, const Elf32_Ehdr *h)
{
    int ret = check_ident(l, h);

    if (ret)
        return ret;
    if (h->e_machine != EM_386)
        return load_refuse(l, -ENOEXEC,
                           "e_machine is %u, must be 3 (Intel 80386); take an image for i386",
                           h->e_machine);
    if (h->e_type != ET_EXEC)
        return load_refuse(l, -ENOEXEC, "e_type is %u, must be 2 (executable)%s", h->e_type,
                           h->e_type == ET_DYN   ? "; link it with -static -no-pie"
                           : h->e_type == ET_REL ? "; it is not linked yet"
                                                 : "");
    if (h->e_version != EV_CURRENT)
        return load_refuse(l, -ENOEXEC, "e_version is %u, must be 1", h->e_version);
    if (h->e_ehsize != sizeof *h)
        return load_refuse(l, -ENOEXEC, "e_ehsize is %u, must be %zu", h->e_ehsize, sizeof *h);
    if (h->e_phnum == 0 || h->e_phnum > LOAD_ELF_SEGMENTS)
        return load_refuse(l, -ENOEXEC, "e_phnum is %u, must be 1 to %d program headers",
                           h->e_phnum, LOAD_ELF_SEGMENTS);
    if (h->e_phentsize != sizeof(Elf32_Phdr))
        return load_refuse(l, -ENOEXEC, "e_phentsize is %u, must be %zu", h->e_phentsize,
                           sizeof(Elf32_Phdr));
    return 0;
}

static int plan_segment(struct loading *l, unsigned n, const Elf32_Phdr *p, struct elf_image *elf)
{
    if (p->p_type == PT_INTERP)
        return load_refuse(
            l, -ENOEXEC,
            "program header %u is PT_INTERP: it needs a dynamic linker; link it with "
            "-static",
            n);
    if (p->p_type != PT_LOAD || p->p_memsz == 0)
        return 0;
    if (p->p_filesz > p->p_memsz)
        return load_refuse(l, -ENOEXEC, "segment %u: p_filesz %#x is more than p_memsz %#x", n,
                           p->p_filesz, p->p_memsz);
    if (p->p_offset > l->file.size || p->p_filesz > l->file.size - p->p_offset)
        return load_refuse(l, -ENOEXEC,
                           "segment %u: p_offset %#x with p_filesz %#x goes beyond the file's end "
                           "(%#llx bytes); is it truncated?",
                           n, p->p_offset, p->p_filesz, (unsigned long long)l->file.size);
    if (p->p_vaddr > UINT32_MAX - (p->p_memsz - 1))
        return load_refuse(l, -ENOEXEC, "segment %u: p_vaddr %#x with p_memsz %#x wraps", n,
                           p->p_vaddr, p->p_memsz);
    if (p->p_align & (p->p_align - 1))
        return load_refuse(l, -ENOEXEC, "segment %u: p_align %#x is not a power of two", n,
                           p->p_align);
    elf->seg[elf->segs++] = (struct elf_segment){
        .off = p->p_offset,
        .filesz = p->p_filesz,
        .paddr = p->p_paddr,
        .memsz = p->p_memsz,
        .vaddr = p->p_vaddr,
        .flags = p->p_flags,
    };
    return place_claim(l, p->p_paddr, p->p_memsz, "segment %u (%c%c%c)", n,
                       (p->p_flags & PF_R) ? 'r' : '-', (p->p_flags & PF_W) ? 'w' : '-',
                       (p->p_flags & PF_X) ? 'x' : '-');
}

/* An image whose linker has marked no segment at all as executable does not mean it: code may lie
 * in any of them. */
static bool marks_code(const struct elf_image *elf)
{
    for (unsigned i = 0; i < elf->segs; i++)
        if (elf->seg[i].flags & PF_X)
            return true;
    return false;
}

/* The entry is a virtual address; as paging is off, what counts is where its byte was loaded. Some
 * kernels name the physical address instead. */
static int plan_entry(const struct loading *l, uint32_t entry, struct elf_image *elf)
{
    const uint32_t need = marks_code(elf) ? PF_X : 0;
    for (int physical = 0; physical < 2; physical++)
        for (unsigned i = 0; i < elf->segs; i++) {
            const struct elf_segment *s = &elf->seg[i];
            uint32_t base = physical ? s->paddr : s->vaddr;
            if ((s->flags & need) == need && entry >= base && entry - base < s->filesz) {
                elf->entry = entry - base + s->paddr;
                return 0;
            }
        }
    return load_refuse(l, -ENOEXEC,
                       "e_entry %#x lies in no executable segment that the file has content for",
                       entry);
}

int elf_plan(struct loading *l, struct elf_image *elf)
{
    Elf32_Ehdr h;
    Elf32_Phdr ph[LOAD_ELF_SEGMENTS];
    int ret;

    memset(elf, 0, sizeof *elf);
    /* Wrong class first: a 64-bit header is longer, and its name is the better message. */
    memset(&h, 0, sizeof h);
    memcpy(&h, l->file.head, l->file.head_len < sizeof h ? l->file.head_len : sizeof h);
    if (l->file.head_len >= EI_NIDENT) {
        ret = check_ident(l, &h);
        if (ret)
            return ret;
    }
    if (l->file.head_len < sizeof h)
        return load_refuse(l, -ENOEXEC, "%u bytes are too short for an ELF header (%zu)",
                           l->file.head_len, sizeof h);
    ret = check_header(l, &h);
    if (ret)
        return ret;
    ret = load_file_read(&l->file, h.e_phoff, ph, h.e_phnum * sizeof *ph, "program header table",
                         l->err);
    for (unsigned i = 0; !ret && i < h.e_phnum; i++)
        ret = plan_segment(l, i, &ph[i], elf);
    if (ret)
        return ret;
    return plan_entry(l, h.e_entry, elf);
}

int elf_copy(struct loading *l, const struct elf_image *elf)
{
    for (unsigned i = 0; i < elf->segs; i++) {
        const struct elf_segment *s = &elf->seg[i];
        int ret = load_file_copy(&l->file, s->off, s->filesz, l->g, s->paddr, l->err);
        if (ret)
            return ret;
        ret = gmem_fill(l->g, (gpa_t)s->paddr + s->filesz, 0, s->memsz - s->filesz);
        if (ret)
            return load_refuse(l, ret, "segment at %#x cannot be zeroed", s->paddr);
    }
    return 0;
}

bool elf_executable(const struct elf_image *elf, uint32_t addr)
{
    for (unsigned i = 0; i < elf->segs; i++) {
        const struct elf_segment *s = &elf->seg[i];
        if ((s->flags & PF_X) && addr >= s->paddr && addr - s->paddr < s->filesz)
            return true;
    }
    return false;
}

/* --- looking at an ELF before it is planned: whatever does not fit is passed over --- */

static unsigned peek_phdrs(const struct loading *l, Elf32_Phdr ph[LOAD_ELF_SEGMENTS])
{
    Elf32_Ehdr h;

    if (!elf_magic(l) || l->file.head_len < sizeof h)
        return 0;
    memcpy(&h, l->file.head, sizeof h);
    if (h.e_ident[EI_CLASS] != ELFCLASS32 || h.e_phentsize != sizeof *ph ||
        h.e_phnum > LOAD_ELF_SEGMENTS ||
        load_file_read(&l->file, h.e_phoff, ph, h.e_phnum * sizeof *ph, "", NULL))
        return 0;
    return h.e_phnum;
}

/* Search off .. off+len-1 of the file, in pieces that overlap by what could be cut in two. */
static bool file_holds(const struct load_file *f, uint64_t off, uint64_t len, const char *text)
{
    uint8_t buf[16384];
    size_t n = strlen(text);

    while (len >= n) {
        uint64_t part = len < sizeof buf ? len : sizeof buf;
        if (load_file_read(f, off, buf, part, "", NULL))
            return false;
        if (memmem(buf, part, text, n))
            return true;
        if (part == len)
            return false;
        off += part - n + 1;
        len -= part - n + 1;
    }
    return false;
}

bool elf_holds(const struct loading *l, const char *text)
{
    Elf32_Phdr ph[LOAD_ELF_SEGMENTS];
    unsigned n = peek_phdrs(l, ph);

    for (unsigned i = 0; i < n; i++)
        if (ph[i].p_type == PT_LOAD && file_holds(&l->file, ph[i].p_offset, ph[i].p_filesz, text))
            return true;
    return false;
}

/* Look for the note in a note segment's content. */
static size_t find_note(const uint8_t *p, size_t len, const char *owner, uint32_t type, void *buf,
                        size_t size)
{
    size_t owner_len = strlen(owner) + 1;

    while (len >= sizeof(Elf32_Nhdr)) {
        uint64_t namesz = load_u32(p), descsz = load_u32(p + 4);
        uint64_t desc = sizeof(Elf32_Nhdr) + ((namesz + 3) & ~(uint64_t)3);
        uint64_t next = desc + ((descsz + 3) & ~(uint64_t)3);
        if (desc + descsz > len)
            return 0;
        if (namesz == owner_len && load_u32(p + 8) == type &&
            memcmp(p + sizeof(Elf32_Nhdr), owner, owner_len) == 0) {
            memcpy(buf, p + desc, descsz < size ? descsz : size);
            return descsz;
        }
        if (next > len)
            return 0;
        p += next;
        len -= next;
    }
    return 0;
}

size_t elf_note(const struct loading *l, const char *owner, uint32_t type, void *buf, size_t size)
{
    Elf32_Phdr ph[LOAD_ELF_SEGMENTS];
    uint8_t notes[8192]; /* real ones are a few hundred bytes */
    unsigned n = peek_phdrs(l, ph);

    for (unsigned i = 0; i < n; i++) {
        size_t found;
        if (ph[i].p_type != PT_NOTE || ph[i].p_filesz > sizeof notes ||
            load_file_read(&l->file, ph[i].p_offset, notes, ph[i].p_filesz, "", NULL))
            continue;
        found = find_note(notes, ph[i].p_filesz, owner, type, buf, size);
        if (found)
            return found;
    }
    return 0;
}

static int load_elf_image(struct loading *l)
{
    struct elf_image elf;
    int ret;

    if (l->o->append || l->o->module_count)
        return load_refuse(l, -EINVAL,
                           "a plain ELF has no way to get a command line or modules; leave out "
                           "-append and -initrd or give the image a Multiboot header");
    ret = elf_plan(l, &elf);
    if (!ret)
        ret = elf_copy(l, &elf);
    if (ret)
        return ret;
    snprintf(l->out->kind, sizeof l->out->kind, "ELF32");
    l->out->entry = elf.entry;
    cpu_set_flat(&l->out->cpu, elf.entry);
    l->out->cpu.gpr[R_ESP] = (uint32_t)l->out->map[0].bytes & ~15u;
    return 0;
}

const struct loader load_elf = {"ELF32", elf_magic, load_elf_image};
