/* The PVH loader: the entry note, what start info tells, and the note in an attacker's hands. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/load_world.h"

#define NOTE_OFF (SAMPLE_TEXT_OFF + 0x100)

static struct world w;
static struct sample s;
static uint8_t *const note = s.bytes + NOTE_OFF;

/* A third program header: a note segment of owner "Xen" whose entry is SAMPLE_ENTRY + 4. */
static void setup(void)
{
    world_open(&w, 16 << 20, 32 << 20);
    sample_elf(&s);
    sample_ehdr(&s)->e_phnum = 3;
    *sample_phdr(&s, 2) = (Elf32_Phdr){
        .p_type = PT_NOTE, .p_offset = NOTE_OFF, .p_filesz = 40, .p_memsz = 40, .p_flags = PF_R};
    /* Another note comes first. */
    put_u32(note, 4);
    put_u32(note + 4, 3);
    put_u32(note + 8, 1);
    memcpy(note + 12, "GNU", 4);
    put_u32(note + 20, 4);
    put_u32(note + 24, 4);
    put_u32(note + 28, 18);
    memcpy(note + 32, "Xen", 4);
    put_u32(note + 36, SAMPLE_ENTRY + 4);
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(load_pvh, .init = setup, .fini = teardown);

Test(load_pvh, the_note_names_the_entry)
{
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "PVH (ELF32)");
    cr_assert_eq(w.img.entry, SAMPLE_ENTRY + 4);
    cr_assert(world_sound(&w));
}

Test(load_pvh, start_info_tells_command_line_memory_and_modules)
{
    char m[200], buf[200];
    const char *modules[] = {m};
    struct image_opts o = {.append = "x=1", .modules = modules, .module_count = 1};
    uint32_t info, list;

    o.path = world_file(&w, "image", &s, sizeof s);
    snprintf(m, sizeof m, "%s arg", world_file(&w, "m", "abcd", 4));
    cr_assert_eq(world_load_opts(&w, &o), 0, "%s", w.err.text);
    info = w.img.cpu.gpr[R_EBX];
    cr_assert_eq(world_u32(&w, info), 0x336ec578);
    cr_assert_eq(world_u32(&w, info + 4), 1);
    cr_assert_eq(world_u32(&w, info + 12), 1);
    cr_assert_str_eq(world_text(&w, world_u32(&w, info + 24), buf, sizeof buf), "x=1");
    list = world_u32(&w, info + 16);
    cr_assert_eq(world_u32(&w, world_u32(&w, list)), 'a' | 'b' << 8 | 'c' << 16 | 'd' << 24);
    cr_assert_eq(world_u32(&w, list + 8), 4);
    cr_assert_str_eq(world_text(&w, world_u32(&w, list + 16), buf, sizeof buf), m);
    cr_assert_eq(world_u32(&w, info + 48), 4);
    list = world_u32(&w, info + 40);
    cr_assert_eq(world_u32(&w, list + 3 * 24), 0x100000);
    cr_assert_eq(world_u32(&w, list + 3 * 24 + 8), 15 << 20);
    cr_assert_eq(world_u32(&w, list + 3 * 24 + 16), 1);
}

Test(load_pvh, an_entry_of_8_bytes_is_taken)
{
    sample_phdr(&s, 2)->p_filesz = 44;
    put_u32(note + 24, 8);
    put_u32(note + 40, 0);
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, SAMPLE_ENTRY + 4);
    put_u32(note + 40, 1);
    cr_assert_eq(world_load(&w, &s, sizeof s), -ENOEXEC);
}

Test(load_pvh, an_entry_outside_of_code_is_refused)
{
    static const struct attack attacks[] = {
        {NOTE_OFF + 36, 4, 0, -ENOEXEC, "PVH entry"},
        {NOTE_OFF + 36, 4, SAMPLE_DATA, -ENOEXEC, "PVH entry"},
        {NOTE_OFF + 36, 4, SAMPLE_TEXT + SAMPLE_TEXT_LEN, -ENOEXEC, "PVH entry"},
        {NOTE_OFF + 36, 4, 0xffffffff, -ENOEXEC, "PVH entry"},
        {NOTE_OFF + 24, 4, 2, -ENOEXEC, "holds 2 bytes"},
        {NOTE_OFF + 24, 4, 1, -ENOEXEC, "holds 1 bytes"},
    };

    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        check_attack(&w, &s, sizeof s, &attacks[i]);
}

Test(load_pvh, a_malformed_note_is_no_note)
{
    static const struct {
        uint32_t off, value;
    } cases[] = {
        {NOTE_OFF, 0xffffffff},      {NOTE_OFF, 0xfffffffd},      {NOTE_OFF + 4, 0xffffffff},
        {NOTE_OFF + 4, 0xfffffff0},  {NOTE_OFF + 20, 0xffffffff}, {NOTE_OFF + 20, 5},
        {NOTE_OFF + 24, 0xffffffff}, {NOTE_OFF + 24, 5},          {NOTE_OFF + 28, 17},
        {NOTE_OFF + 32, 0x006e6559}, {NOTE_OFF + 24, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t keep = *(uint32_t *)(s.bytes + cases[i].off);
        put_u32(s.bytes + cases[i].off, cases[i].value);
        cr_expect_eq(world_load(&w, &s, sizeof s), 0, "case %zu: %s", i, w.err.text);
        cr_expect_str_eq(w.img.kind, "ELF32", "case %zu", i);
        put_u32(s.bytes + cases[i].off, keep);
    }
}

Test(load_pvh, a_note_segment_may_lie_about_its_place)
{
    static const uint32_t values[] = {0, 11, 8193, 0x7fffffff, 0xffffffff};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        sample_phdr(&s, 2)->p_filesz = values[i];
        cr_expect_eq(world_load(&w, &s, sizeof s), 0, "size %#x: %s", values[i], w.err.text);
        cr_expect_str_eq(w.img.kind, "ELF32");
    }
    sample_phdr(&s, 2)->p_filesz = 40;
    sample_phdr(&s, 2)->p_offset = 0xfffffff0;
    cr_expect_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_expect_str_eq(w.img.kind, "ELF32");
}

Test(load_pvh, the_elf_below_is_checked_as_ever)
{
    static const struct attack attacks[] = {
        {18, 2, EM_X86_64, -ENOEXEC, "e_machine is 62"},
        {16, 2, ET_DYN, -ENOEXEC, "e_type is 3"},
    };

    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        check_attack(&w, &s, sizeof s, &attacks[i]);
}
