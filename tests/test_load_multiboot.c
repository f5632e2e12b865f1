/* The Multiboot 1 loader: what the kernel is told, and each header field in an attacker's hands. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/load_world.h"

static struct world w;
static struct sample s;

/* Fields of the information block, by their offset (specification 3.3). */
enum {
    I_FLAGS = 0,
    I_MEM_LOWER = 4,
    I_MEM_UPPER = 8,
    I_CMDLINE = 16,
    I_MODS_COUNT = 20,
    I_MODS_ADDR = 24,
    I_MMAP_LENGTH = 44,
    I_MMAP_ADDR = 48,
    I_LOADER = 64,
    I_SCREEN = 88,
};

static void setup(void)
{
    world_open(&w, 16 << 20, 32 << 20);
    sample_multiboot(&s, 3);
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(load_multiboot, .init = setup, .fini = teardown);

static uint32_t info(unsigned field)
{
    return world_u32(&w, w.img.cpu.gpr[R_EBX] + field);
}

Test(load_multiboot, an_elf_with_a_header_is_recognised)
{
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "Multiboot 1 (ELF32)");
    cr_assert_eq(w.img.cpu.gpr[R_EAX], 0x2badb002);
    cr_assert_eq(w.img.cpu.eip, SAMPLE_ENTRY);
    cr_assert(world_sound(&w));
}

Test(load_multiboot, information_tells_memory_name_and_command_line)
{
    struct image_opts o = {.path = world_file(&w, "image", &s, sizeof s), .append = "a=1 b"};
    char want[256], buf[256];

    cr_assert_eq(world_load_opts(&w, &o), 0, "%s", w.err.text);
    cr_assert_eq(info(I_FLAGS), 0x24d);
    cr_assert_eq(info(I_MEM_LOWER), 639);
    cr_assert_eq(info(I_MEM_UPPER), 15 * 1024);
    snprintf(want, sizeof want, "%s a=1 b", o.path);
    cr_assert_str_eq(world_text(&w, info(I_CMDLINE), buf, sizeof buf), want);
    cr_assert_str_eq(world_text(&w, info(I_LOADER), buf, sizeof buf), "Umbra");
    cr_assert_eq(info(I_MODS_COUNT), 0);
}

Test(load_multiboot, memory_map_has_low_ram_bios_and_high_ram)
{
    static const uint32_t want[][3] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0xf0000, 0x10000, 2}, {0x100000, 15 << 20, 1}};
    uint32_t at;

    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    at = info(I_MMAP_ADDR);
    cr_assert_eq(info(I_MMAP_LENGTH), 4 * 24);
    for (int i = 0; i < 4; i++, at += 24) {
        cr_assert_eq(world_u32(&w, at), 20);
        cr_assert_eq(world_u32(&w, at + 4), want[i][0]);
        cr_assert_eq(world_u32(&w, at + 8), 0);
        cr_assert_eq(world_u32(&w, at + 12), want[i][1]);
        cr_assert_eq(world_u32(&w, at + 16), 0);
        cr_assert_eq(world_u32(&w, at + 20), want[i][2]);
    }
}

Test(load_multiboot, modules_are_page_aligned_with_their_strings)
{
    char first[200], second[200], buf[200];
    static uint8_t data[9000];
    const char *modules[] = {first, second};
    struct image_opts o = {.modules = modules, .module_count = 2};
    uint32_t list, start, end;

    memset(data, 0x5a, sizeof data);
    o.path = world_file(&w, "image", &s, sizeof s);
    snprintf(first, sizeof first, "%s root=x  y", world_file(&w, "m1", data, sizeof data));
    snprintf(second, sizeof second, "%s", world_file(&w, "m2", "abc", 3));
    cr_assert_eq(world_load_opts(&w, &o), 0, "%s", w.err.text);
    cr_assert(world_sound(&w));
    cr_assert_eq(info(I_MODS_COUNT), 2);
    list = info(I_MODS_ADDR);

    start = world_u32(&w, list), end = world_u32(&w, list + 4);
    cr_assert_eq(start & PAGE_MASK, 0);
    cr_assert_eq(end - start, sizeof data);
    cr_assert_geq(start, SAMPLE_DATA + SAMPLE_DATA_MEM);
    cr_assert_eq(world_u32(&w, end - 4), 0x5a5a5a5a);
    cr_assert_eq(world_u32(&w, end), 0);
    cr_assert_str_eq(world_text(&w, world_u32(&w, list + 8), buf, sizeof buf), first);

    start = world_u32(&w, list + 16);
    cr_assert_eq(start & PAGE_MASK, 0);
    cr_assert_eq(world_u32(&w, start), 'a' | 'b' << 8 | 'c' << 16);
    cr_assert_str_eq(world_text(&w, world_u32(&w, list + 24), buf, sizeof buf), second);
}

Test(load_multiboot, information_goes_where_the_image_is_not)
{
    /* All of low memory is the image's, but for its first page. */
    sample_phdr(&s, 1)->p_paddr = 0x1000;
    sample_phdr(&s, 1)->p_memsz = 0x9fc00 - 0x1000;
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert(world_sound(&w));
    cr_assert_geq(w.img.cpu.gpr[R_EBX], SAMPLE_TEXT + SAMPLE_TEXT_LEN);
}

Test(load_multiboot, no_room_for_information_is_told)
{
    sample_phdr(&s, 1)->p_paddr = 0x1000;
    sample_phdr(&s, 1)->p_memsz = 0x9fc00 - 0x1000;
    /* High memory down to the last page is text. */
    sample_phdr(&s, 0)->p_memsz = (15 << 20) - 100;
    cr_assert_eq(world_load(&w, &s, sizeof s), -EINVAL);
    cr_assert(strstr(w.err.text, "boot information"), "%s", w.err.text);
}

Test(load_multiboot, each_elf_and_header_field_is_checked)
{
    static const struct attack attacks[] = {
        /* A spoiled magic or checksum makes it a plain ELF; a spoiled ELF under it is refused. */
        {SAMPLE_MB_OFF, 4, 0x1badb003, 0, ""},     {SAMPLE_MB_OFF + 8, 4, 0, 0, ""},
        {SAMPLE_MB_OFF + 8, 4, 0xffffffff, 0, ""}, {0, 1, 0, -ENOEXEC, "the file is no ELF"},
        {EI_CLASS, 1, 2, -ENOEXEC, "64-bit ELF"},  {18, 2, EM_X86_64, -ENOEXEC, "e_machine is 62"},
    };

    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        check_attack(&w, &s, sizeof s, &attacks[i]);
}

Test(load_multiboot, who_asks_for_a_video_mode_is_told_of_the_text_screen)
{
    sample_multiboot(&s, 7);
    cr_assert_eq(world_load(&w, &s, sizeof s), 0, "%s", w.err.text);
    cr_assert_eq(info(I_FLAGS), 0x124d);
    cr_assert_eq(info(I_SCREEN), 0xb8000);
    cr_assert_eq(info(I_SCREEN + 4), 0);
    cr_assert_eq(info(I_SCREEN + 8), 160);
    cr_assert_eq(info(I_SCREEN + 12), 80);
    cr_assert_eq(info(I_SCREEN + 16), 25);
    cr_assert_eq(info(I_SCREEN + 20), 0x0210, "16 bits for a character; EGA text");
}

Test(load_multiboot, demands_that_cannot_be_met_are_refused)
{
    for (unsigned bit = 0; bit < 16; bit++) {
        sample_multiboot(&s, 1u << bit);
        cr_expect_eq(world_load(&w, &s, sizeof s), bit < 3 ? 0 : -ENOEXEC, "bit %u: %s", bit,
                     w.err.text);
    }
    for (unsigned bit = 17; bit < 32; bit++) { /* optional: to be ignored */
        sample_multiboot(&s, 1u << bit);
        cr_expect_eq(world_load(&w, &s, sizeof s), 0, "bit %u: %s", bit, w.err.text);
    }
}

Test(load_multiboot, truncated_anywhere_it_is_refused)
{
    for (size_t len = 1; len < sizeof s; len++)
        cr_assert_neq(world_load(&w, &s, len), 0, "%zu bytes", len);
}

/* --- address fields --- */

#define KLUDGE_OFF  64u
#define KLUDGE_SIZE 0x400u
#define KLUDGE_LOAD 0x200000u
enum { K_HEADER = 12, K_LOAD = 16, K_LOAD_END = 20, K_BSS_END = 24, K_ENTRY = 28 };

static void kludge(uint8_t *k)
{
    for (unsigned i = 0; i < KLUDGE_SIZE; i++)
        k[i] = (uint8_t)(i * 3);
    put_u32(k + KLUDGE_OFF, 0x1badb002);
    put_u32(k + KLUDGE_OFF + 4, 0x10003);
    put_u32(k + KLUDGE_OFF + 8, 0u - 0x1badb002u - 0x10003u);
    put_u32(k + KLUDGE_OFF + K_HEADER, KLUDGE_LOAD + 32);
    put_u32(k + KLUDGE_OFF + K_LOAD, KLUDGE_LOAD);
    put_u32(k + KLUDGE_OFF + K_LOAD_END, KLUDGE_LOAD + 0x300);
    put_u32(k + KLUDGE_OFF + K_BSS_END, KLUDGE_LOAD + 0x1000);
    put_u32(k + KLUDGE_OFF + K_ENTRY, KLUDGE_LOAD + 0x80);
}

Test(load_multiboot, address_fields_say_where_a_raw_file_goes)
{
    uint8_t k[KLUDGE_SIZE], got[0x300];

    kludge(k);
    cr_assert_eq(gmem_fill(&w.g, KLUDGE_LOAD, 0xee, 0x1001), 0);
    cr_assert_eq(world_load(&w, k, sizeof k), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "Multiboot 1 (address fields)");
    cr_assert_eq(w.img.entry, KLUDGE_LOAD + 0x80);
    cr_assert_eq(gmem_read(&w.g, KLUDGE_LOAD, got, sizeof got), 0);
    cr_assert_arr_eq(got, k + 32, sizeof got);
    cr_assert_eq(world_u32(&w, KLUDGE_LOAD + 0x300), 0);
    cr_assert_eq(world_u32(&w, KLUDGE_LOAD + 0xffd), 0xee000000);
    cr_assert(world_sound(&w));
}

Test(load_multiboot, load_end_zero_means_the_whole_file)
{
    uint8_t k[KLUDGE_SIZE];

    kludge(k);
    put_u32(k + KLUDGE_OFF + K_LOAD_END, 0);
    put_u32(k + KLUDGE_OFF + K_BSS_END, 0);
    cr_assert_eq(world_load(&w, k, sizeof k), 0, "%s", w.err.text);
    cr_assert_eq(w.img.ranges[0].bytes, KLUDGE_SIZE - 32);
}

Test(load_multiboot, each_address_field_is_checked)
{
#define K(field, v, c, text)                                                                       \
    {                                                                                              \
        KLUDGE_OFF + field, 4, v, c, text                                                          \
    }
    static const struct attack attacks[] = {
        K(K_HEADER, 0, -ENOEXEC, "header_addr"),
        K(K_HEADER, KLUDGE_LOAD - 1, -ENOEXEC, "header_addr"),
        K(K_HEADER, KLUDGE_LOAD + KLUDGE_OFF + 1, -ENOEXEC, "header_addr"),
        K(K_HEADER, 0xffffffff, -ENOEXEC, "header_addr"),
        K(K_LOAD, KLUDGE_LOAD + 33, -ENOEXEC, "load_addr"),
        K(K_LOAD, KLUDGE_LOAD - 33, -ENOEXEC, "load_addr"),
        K(K_LOAD, 0, -ENOEXEC, "load_addr"),
        K(K_LOAD, 0xffffffff, -ENOEXEC, "load_addr"),
        K(K_LOAD_END, KLUDGE_LOAD, -ENOEXEC, "load_end_addr"),
        K(K_LOAD_END, 1, -ENOEXEC, "load_end_addr"),
        K(K_LOAD_END, KLUDGE_LOAD + KLUDGE_SIZE - 31, -ENOEXEC, "load_end_addr"),
        K(K_LOAD_END, 0xffffffff, -ENOEXEC, "load_end_addr"),
        K(K_LOAD_END, KLUDGE_LOAD + 0x80, -ENOEXEC, "entry_addr"),
        K(K_BSS_END, KLUDGE_LOAD + 0x2ff, -ENOEXEC, "bss_end_addr"),
        K(K_BSS_END, 1, -ENOEXEC, "bss_end_addr"),
        K(K_BSS_END, 0xffffffff, -EINVAL, "does not lie in RAM"),
        K(K_BSS_END, (16 << 20) + 1, -EINVAL, "give more RAM"),
        K(K_BSS_END, 16 << 20, 0, ""),
        K(K_ENTRY, KLUDGE_LOAD - 1, -ENOEXEC, "entry_addr"),
        K(K_ENTRY, KLUDGE_LOAD + 0x300, -ENOEXEC, "entry_addr"),
        K(K_ENTRY, 0, -ENOEXEC, "entry_addr"),
        K(K_ENTRY, 0xffffffff, -ENOEXEC, "entry_addr"),
    };
#undef K
    uint8_t k[KLUDGE_SIZE];

    kludge(k);
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        check_attack(&w, k, sizeof k, &attacks[i]);
}

Test(load_multiboot, address_fields_near_4_gib_do_not_wrap)
{
    uint8_t k[KLUDGE_SIZE];

    kludge(k);
    put_u32(k + KLUDGE_OFF + K_HEADER, 0xffffff20);
    put_u32(k + KLUDGE_OFF + K_LOAD, 0xffffff00);
    put_u32(k + KLUDGE_OFF + K_LOAD_END, 0);
    put_u32(k + KLUDGE_OFF + K_BSS_END, 0);
    put_u32(k + KLUDGE_OFF + K_ENTRY, 0xffffff80);
    cr_assert_eq(world_load(&w, k, sizeof k), -ENOEXEC);
    cr_assert(strstr(w.err.text, "wraps"), "%s", w.err.text);
}

Test(load_multiboot, address_fields_may_be_cut_off)
{
    uint8_t k[KLUDGE_SIZE];

    kludge(k);
    for (size_t len = KLUDGE_OFF + 12; len < KLUDGE_OFF + 32; len++) {
        cr_assert_eq(world_load(&w, k, len), -ENOEXEC);
        cr_assert(strstr(w.err.text, "cut off"), "%s", w.err.text);
    }
}

Test(load_multiboot, header_counts_only_in_the_first_8_kib_and_aligned)
{
    static uint8_t f[10000];
    static const struct {
        size_t at;
        bool found;
    } places[] = {{0, true}, {8192 - 32, true}, {8192 - 8, false}, {8192, false}, {2, false}};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        uint8_t *h = f + places[i].at;
        memset(f, 0, sizeof f);
        put_u32(h, 0x1badb002);
        put_u32(h + 4, 0x10000);
        put_u32(h + 8, 0u - 0x1badb002u - 0x10000u);
        put_u32(h + K_HEADER, KLUDGE_LOAD + (uint32_t)places[i].at);
        put_u32(h + K_LOAD, KLUDGE_LOAD);
        put_u32(h + K_ENTRY, KLUDGE_LOAD);
        cr_expect_eq(world_load(&w, f, sizeof f), places[i].found ? 0 : -ENOEXEC, "at %zu: %s",
                     places[i].at, w.err.text);
    }
}

/* --- modules --- */

static int load_with_module(const char *module)
{
    struct image_opts o = {
        .path = world_file(&w, "image", &s, sizeof s), .modules = &module, .module_count = 1};
    return world_load_opts(&w, &o);
}

Test(load_multiboot, bad_modules_are_refused_by_name)
{
    static char longer[IMAGE_STRING_MAX + 100];
    char path[100];

    cr_expect_eq(load_with_module("/nonexistent/m args"), -ENOENT);
    cr_expect(strstr(w.err.text, "/nonexistent/m:"), "%s", w.err.text);
    cr_expect_eq(load_with_module(w.dir), -EISDIR);
    cr_expect_eq(load_with_module(" args"), -EINVAL);
    cr_expect_eq(load_with_module(""), -EINVAL);
    cr_expect_eq(load_with_module(world_file(&w, "empty", "", 0)), -ENOEXEC);
    cr_expect(strstr(w.err.text, "empty"), "%s", w.err.text);
    snprintf(path, sizeof path, "%s/fifo", w.dir);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_eq(load_with_module(path), -EINVAL);
    memset(longer, 'x', sizeof longer - 1);
    cr_expect_eq(load_with_module(longer), -EINVAL);
    cr_expect(strstr(w.err.text, "longer than"), "%s", w.err.text);
}

Test(load_multiboot, a_module_that_does_not_fit_is_refused)
{
    char path[200];

    strcpy(path, world_file(&w, "big", "x", 1));
    cr_assert_eq(truncate(path, 15 << 20), 0);
    cr_expect_eq(load_with_module(path), -EINVAL);
    cr_expect(strstr(w.err.text, "does not fit"), "%s", w.err.text);
    cr_assert_eq(truncate(path, (off_t)1 << 34), 0);
    cr_expect_eq(load_with_module(path), -EFBIG);
}

Test(load_multiboot, too_many_modules_are_refused)
{
    const char *m = world_file(&w, "m", "x", 1), *modules[IMAGE_MODULES_MAX + 1];
    struct image_opts o = {.path = world_file(&w, "image", &s, sizeof s), .modules = modules};

    for (int i = 0; i <= IMAGE_MODULES_MAX; i++)
        modules[i] = m;
    o.module_count = IMAGE_MODULES_MAX + 1;
    cr_assert_eq(world_load_opts(&w, &o), -EINVAL);
    o.module_count = IMAGE_MODULES_MAX;
    cr_assert_eq(world_load_opts(&w, &o), 0, "%s", w.err.text);
    cr_assert(world_sound(&w));
}

Test(load_multiboot, a_long_command_line_is_refused_and_the_longest_fits)
{
    static char line[IMAGE_STRING_MAX + 1];
    struct image_opts o = {.path = world_file(&w, "image", &s, sizeof s), .append = line};
    static char buf[2 * IMAGE_STRING_MAX];

    memset(line, 'x', IMAGE_STRING_MAX);
    cr_assert_eq(world_load_opts(&w, &o), -EINVAL);
    line[IMAGE_STRING_MAX - 1] = '\0';
    cr_assert_eq(world_load_opts(&w, &o), 0, "%s", w.err.text);
    world_text(&w, info(I_CMDLINE), buf, sizeof buf);
    cr_assert_str_eq(buf + strlen(o.path) + 1, line);
}
