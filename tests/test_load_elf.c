/* The ELF32 loader: what a sound image becomes, and each header field in an attacker's hands. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "tests/load_world.h"

static struct world w;
static struct sample s;

static void setup(void)
{
    world_open(&w, 16 << 20, 32 << 20);
    sample_elf(&s);
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(load_elf, .init = setup, .fini = teardown);

Test(load_elf, segments_land_at_their_physical_addresses)
{
    uint8_t text[SAMPLE_TEXT_LEN], data[SAMPLE_DATA_LEN];

    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_eq(gmem_read(&w.g, SAMPLE_TEXT, text, sizeof text), 0);
    cr_assert_eq(gmem_read(&w.g, SAMPLE_DATA, data, sizeof data), 0);
    cr_assert_arr_eq(text, s.bytes + SAMPLE_TEXT_OFF, sizeof text);
    cr_assert_arr_eq(data, s.bytes + SAMPLE_DATA_OFF, sizeof data);
    cr_assert_str_eq(w.img.kind, "ELF32");
    cr_assert_eq(w.img.range_count, 2);
    cr_assert_str_eq(w.img.ranges[0].name, "segment 0 (r-x)");
    cr_assert(world_sound(&w));
}

Test(load_elf, the_machine_starts_flat_with_a_stack)
{
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, SAMPLE_ENTRY);
    cr_assert_eq(w.img.cpu.eip, SAMPLE_ENTRY);
    cr_assert_eq(w.img.cpu.cr0 & (CR0_PE | CR0_PG), CR0_PE);
    cr_assert_eq(w.img.cpu.gpr[R_ESP], 0x9fc00);
}

Test(load_elf, bss_is_zeroed_where_memory_was_not_zero)
{
    uint8_t bss[SAMPLE_DATA_MEM - SAMPLE_DATA_LEN];

    cr_assert_eq(gmem_fill(&w.g, SAMPLE_DATA, 0xcc, SAMPLE_DATA_MEM + 1), 0);
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_eq(gmem_read(&w.g, SAMPLE_DATA + SAMPLE_DATA_LEN, bss, sizeof bss), 0);
    for (size_t i = 0; i < sizeof bss; i++)
        cr_assert_eq(bss[i], 0, "byte %zu", i);
    cr_assert_eq(world_u32(&w, SAMPLE_DATA + SAMPLE_DATA_MEM - 3) >> 24, 0xcc);
}

Test(load_elf, a_huge_bss_takes_no_frames)
{
    struct mm_stats st;

    sample_phdr(&s, 1)->p_memsz = (14 << 20) - 4096;
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    mm_get_stats(w.g.mm, &st);
    cr_assert_leq(st.resident, 3);
}

Test(load_elf, virtual_entry_of_a_high_kernel_becomes_physical)
{
    sample_phdr(&s, 0)->p_vaddr = 0xc0100000;
    sample_ehdr(&s)->e_entry = 0xc0100080;
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, SAMPLE_ENTRY);

    sample_ehdr(&s)->e_entry = SAMPLE_ENTRY; /* physical already */
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, SAMPLE_ENTRY);
}

Test(load_elf, last_byte_of_ram_may_be_used)
{
    sample_phdr(&s, 1)->p_paddr = (16 << 20) - SAMPLE_DATA_MEM;
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert(world_sound(&w));
}

#define EHDR(field, v, c, text)                                                                    \
    {                                                                                              \
        offsetof(Elf32_Ehdr, field), sizeof(((Elf32_Ehdr *)0)->field), v, c, text                  \
    }
#define IDENT(n, v, text)                                                                          \
    {                                                                                              \
        n, 1, v, -ENOEXEC, text                                                                    \
    }
#define PHDR(n, field, v, c, text)                                                                 \
    {                                                                                              \
        sizeof(Elf32_Ehdr) + n * sizeof(Elf32_Phdr) + offsetof(Elf32_Phdr, field), 4, v, c, text   \
    }

static const struct attack attacks[] = {
    IDENT(0, 0, "not an image"),
    IDENT(3, 'f', "not an image"),
    IDENT(EI_CLASS, 0, "EI_CLASS is 0"),
    IDENT(EI_CLASS, 2, "64-bit ELF"),
    IDENT(EI_CLASS, 255, "EI_CLASS is 255"),
    IDENT(EI_DATA, 2, "EI_DATA is 2"),
    IDENT(EI_DATA, 0, "EI_DATA is 0"),
    IDENT(EI_VERSION, 0, "EI_VERSION is 0"),
    EHDR(e_type, ET_REL, -ENOEXEC, "e_type is 1"),
    EHDR(e_type, ET_DYN, -ENOEXEC, "-no-pie"),
    EHDR(e_type, ET_CORE, -ENOEXEC, "e_type is 4"),
    EHDR(e_type, 0xffff, -ENOEXEC, "e_type is 65535"),
    EHDR(e_machine, EM_X86_64, -ENOEXEC, "e_machine is 62"),
    EHDR(e_machine, EM_ARM, -ENOEXEC, "e_machine is 40"),
    EHDR(e_version, 2, -ENOEXEC, "e_version is 2"),
    EHDR(e_entry, 0, -ENOEXEC, "e_entry 0"),
    EHDR(e_entry, SAMPLE_TEXT - 1, -ENOEXEC, "e_entry"),
    EHDR(e_entry, SAMPLE_TEXT + SAMPLE_TEXT_LEN, -ENOEXEC, "e_entry"),
    EHDR(e_entry, SAMPLE_DATA, -ENOEXEC, "no executable segment"),
    EHDR(e_entry, 0xffffffff, -ENOEXEC, "e_entry"),
    EHDR(e_phoff, SAMPLE_SIZE, -ENOEXEC, "program header table"),
    EHDR(e_phoff, SAMPLE_SIZE - 63, -ENOEXEC, "program header table"),
    EHDR(e_phoff, 0xffffffff, -ENOEXEC, "program header table"),
    EHDR(e_phoff, 0xffffffe0, -ENOEXEC, "program header table"),
    EHDR(e_ehsize, 0, -ENOEXEC, "e_ehsize is 0"),
    EHDR(e_ehsize, 64, -ENOEXEC, "e_ehsize is 64"),
    EHDR(e_phentsize, 31, -ENOEXEC, "e_phentsize is 31"),
    EHDR(e_phentsize, 56, -ENOEXEC, "e_phentsize is 56"),
    EHDR(e_phentsize, 0, -ENOEXEC, "e_phentsize is 0"),
    EHDR(e_phnum, 0, -ENOEXEC, "e_phnum is 0"),
    EHDR(e_phnum, 65, -ENOEXEC, "e_phnum is 65"),
    EHDR(e_phnum, PN_XNUM, -ENOEXEC, "e_phnum is 65535"),
    EHDR(e_phnum, 64, -ENOEXEC, "program header table"),
    PHDR(0, p_type, PT_INTERP, -ENOEXEC, "PT_INTERP"),
    PHDR(0, p_type, PT_NULL, -ENOEXEC, "e_entry"),
    PHDR(0, p_offset, SAMPLE_SIZE - SAMPLE_TEXT_LEN + 1, -ENOEXEC, "p_offset"),
    PHDR(0, p_offset, 0xffffffff, -ENOEXEC, "p_offset"),
    PHDR(0, p_offset, 0xfffffe00, -ENOEXEC, "p_offset"),
    PHDR(0, p_filesz, 0xffffffff, -ENOEXEC, "p_filesz"),
    PHDR(0, p_filesz, SAMPLE_TEXT_LEN + 1, -ENOEXEC, "more than p_memsz"),
    PHDR(0, p_filesz, 0x80, -ENOEXEC, "e_entry"),
    PHDR(0, p_memsz, SAMPLE_TEXT_LEN - 1, -ENOEXEC, "more than p_memsz"),
    PHDR(0, p_memsz, 0, -ENOEXEC, "e_entry"),
    PHDR(0, p_memsz, 0x100001, -ENOEXEC, "overlaps segment 0"),
    PHDR(1, p_memsz, (14 << 20) + 1, -EINVAL, "does not lie in RAM"),
    PHDR(1, p_memsz, 0xffffffff, -ENOEXEC, "wraps"),
    PHDR(1, p_vaddr, 0xffffffff, -ENOEXEC, "wraps"),
    PHDR(0, p_paddr, 0xffffffff, -EINVAL, "does not lie in RAM"),
    PHDR(0, p_paddr, 0xfffffe00, -EINVAL, "does not lie in RAM"),
    PHDR(0, p_paddr, 16 << 20, -EINVAL, "does not lie in RAM"),
    PHDR(0, p_paddr, (16 << 20) - SAMPLE_TEXT_LEN + 1, -EINVAL, "give more RAM"),
    PHDR(0, p_paddr, 0x9fc00 - SAMPLE_TEXT_LEN + 1, -EINVAL, "does not lie in RAM"),
    PHDR(0, p_paddr, 0xb8000, -EINVAL, "does not lie in RAM"),
    PHDR(0, p_paddr, 0xf0000, -EINVAL, "does not lie in RAM"),
    PHDR(0, p_paddr, SAMPLE_DATA, -ENOEXEC, "overlaps"),
    PHDR(0, p_paddr, SAMPLE_DATA - SAMPLE_TEXT_LEN + 1, -ENOEXEC, "overlaps"),
    PHDR(0, p_paddr, SAMPLE_DATA + SAMPLE_DATA_MEM - 1, -ENOEXEC, "overlaps"),
    PHDR(0, p_align, 3, -ENOEXEC, "p_align 0x3"),
    PHDR(0, p_align, 0xffffffff, -ENOEXEC, "p_align"),
    /* And what may be odd without harm. */
    PHDR(0, p_align, 0, 0, ""),
    PHDR(0, p_flags, PF_R | PF_W, 0, ""), /* no segment is marked as code */
    PHDR(1, p_type, PT_NOTE, 0, ""),
    PHDR(1, p_memsz, 14 << 20, 0, ""),
    PHDR(0, p_paddr, 0, 0, ""),
};

Test(load_elf, each_header_field_is_checked)
{
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        check_attack(&w, &s, sizeof s, &attacks[i]);
}

Test(load_elf, truncated_anywhere_it_is_refused)
{
    for (size_t len = 1; len < sizeof s; len++) {
        int ret = world_load(&w, &s, len);
        cr_assert_eq(ret, -ENOEXEC, "%zu bytes: %d", len, ret);
        cr_assert(strlen(w.err.text) > 0);
    }
}

Test(load_elf, refused_for_its_headers_it_changes_nothing)
{
    struct mm_stats st;

    sample_phdr(&s, 1)->p_paddr = 0xb8000;
    cr_assert_eq(world_load(&w, &s, sizeof s), -EINVAL);
    mm_get_stats(w.g.mm, &st);
    cr_assert_eq(st.resident, 0);
}

Test(load_elf, it_takes_no_command_line_and_no_modules)
{
    const char *path = world_file(&w, "image", &s, sizeof s), *modules[] = {path};
    struct image_opts o = {.path = path, .append = "quiet"};

    cr_assert_eq(world_load_opts(&w, &o), -EINVAL);
    cr_assert(strstr(w.err.text, "-append"), "%s", w.err.text);
    o = (struct image_opts){.path = path, .modules = modules, .module_count = 1};
    cr_assert_eq(world_load_opts(&w, &o), -EINVAL);
}

Test(load_elf, a_pool_that_is_too_small_is_told_as_such)
{
    struct world small;
    static struct sample big;

    world_open(&small, 16 << 20, 3 * PAGE_SIZE);
    sample_elf(&big);
    *sample_phdr(&big, 1) =
        (Elf32_Phdr){PT_LOAD, 0, SAMPLE_DATA, SAMPLE_DATA, SAMPLE_SIZE, SAMPLE_SIZE, PF_R, 0};
    sample_phdr(&big, 0)->p_paddr = SAMPLE_TEXT + PAGE_SIZE - 1;
    sample_phdr(&big, 1)->p_paddr = SAMPLE_DATA + PAGE_SIZE - 1;
    cr_assert_eq(world_load(&small, &big, sizeof big), -ENOMEM);
    cr_assert(strstr(small.err.text, "--pool"), "%s", small.err.text);
    world_close(&small);
}
