/* The Linux loaders: what a kernel is told, and each field of the setup header in an attacker's
 * hands. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/load_world.h"

#define RAM       (64u << 20)
#define SETUP     (3u * 512u)
#define CODE_LEN  1600u
#define BZ_SIZE   (SETUP + CODE_LEN)
#define PREF      0x1000000u
#define INIT_SIZE 0x900000u

static struct world w;
static struct sample s;
static uint8_t bz[BZ_SIZE];

static void put16(uint32_t off, uint16_t v)
{
    memcpy(bz + off, &v, 2);
}

/* A relocatable kernel by protocol 2.15 that prefers 16 MiB, as Debian's. */
static void make_bz(void)
{
    for (unsigned i = 0; i < BZ_SIZE; i++)
        bz[i] = i < 0x1f1 ? 0xcc : i < SETUP ? 0 : (uint8_t)(i * 7 + 1);
    bz[0x1f1] = 2;
    put_u32(bz + 0x1f4, CODE_LEN / 16);
    put16(0x1fe, 0xaa55);
    bz[0x200] = 0xeb;
    bz[0x201] = 0x6a;
    memcpy(bz + 0x202, "HdrS", 4);
    put16(0x206, 0x20f);
    bz[0x211] = 0x01;
    put_u32(bz + 0x214, 0x100000);
    put_u32(bz + 0x22c, 0x7fffffff);
    put_u32(bz + 0x230, 0x1000);
    bz[0x234] = 1;
    put_u32(bz + 0x238, 2047);
    put_u32(bz + 0x248, 100);
    put_u32(bz + 0x24c, 1000);
    put_u32(bz + 0x258, PREF);
    put_u32(bz + 0x260, INIT_SIZE);
}

static void setup(void)
{
    world_open(&w, RAM, 32 << 20);
    make_bz();
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(load_linux, .init = setup, .fini = teardown);

static uint32_t bp(unsigned field)
{
    return world_u32(&w, w.img.cpu.gpr[R_ESI] + field);
}

static int load_with(const char *append, const char *initrd)
{
    struct image_opts o = {.path = world_file(&w, "image", bz, sizeof bz),
                           .append = append,
                           .modules = &initrd,
                           .module_count = initrd ? 1 : 0};
    return world_load_opts(&w, &o);
}

Test(load_linux, a_relocatable_kernel_goes_to_its_preferred_address)
{
    uint8_t got[CODE_LEN];

    cr_assert_eq(load_with(NULL, NULL), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "Linux (bzImage, protocol 2.15)");
    cr_assert_eq(w.img.entry, PREF);
    cr_assert_eq(gmem_read(&w.g, PREF, got, sizeof got), 0);
    cr_assert_arr_eq(got, bz + SETUP, sizeof got);
    cr_assert_eq(w.img.ranges[0].bytes, INIT_SIZE);
    cr_assert_eq(bp(0x214), PREF);
    cr_assert(world_sound(&w));
}

Test(load_linux, a_fixed_kernel_goes_to_1_mib_and_keeps_its_running_place_free)
{
    bz[0x234] = 0;
    cr_assert_eq(load_with(NULL, NULL), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, 0x100000);
    cr_assert_eq(w.img.range_count, 3);
    cr_assert_eq(w.img.ranges[1].start, PREF);
    cr_assert_eq(w.img.ranges[1].bytes, INIT_SIZE);
    cr_assert(world_sound(&w));
}

Test(load_linux, an_old_protocol_needs_only_what_it_had)
{
    put16(0x206, 0x202);
    bz[0x201] = 0x2a;
    memset(bz + 0x22c, 0xff, 0x264 - 0x22c); /* not header any more */
    cr_assert_eq(load_with("root=/dev/hda", NULL), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, 0x100000);
    cr_assert_eq(bp(0x22c), 0);
    cr_assert_eq(bp(0x258), 0);
}

Test(load_linux, the_processor_is_as_the_protocol_says)
{
    uint32_t gdt;

    cr_assert_eq(load_with(NULL, NULL), 0, "%s", w.err.text);
    cr_assert_eq(w.img.cpu.seg[SEG_CS].sel, 0x10);
    cr_assert_eq(w.img.cpu.seg[SEG_DS].sel, 0x18);
    cr_assert_eq(w.img.cpu.seg[SEG_SS].sel, 0x18);
    cr_assert_eq(w.img.cpu.seg[SEG_ES].sel, 0x18);
    cr_assert_eq(w.img.cpu.gpr[R_EBX] | w.img.cpu.gpr[R_EBP] | w.img.cpu.gpr[R_EDI], 0);
    cr_assert_eq(w.img.cpu.eflags & FL_IF, 0);
    gdt = w.img.cpu.gdtr.base;
    cr_assert_eq(w.img.cpu.gdtr.limit, 31);
    cr_assert_eq(world_u32(&w, gdt + 0x10), 0x0000ffff);
    cr_assert_eq(world_u32(&w, gdt + 0x14), 0x00cf9b00);
    cr_assert_eq(world_u32(&w, gdt + 0x18), 0x0000ffff);
    cr_assert_eq(world_u32(&w, gdt + 0x1c), 0x00cf9300);
}

Test(load_linux, boot_params_tell_header_memory_and_loader)
{
    cr_assert_eq(load_with(NULL, NULL), 0, "%s", w.err.text);
    cr_assert_eq(bp(0x202), 0x53726448);
    cr_assert_eq(bp(0x206) & 0xffff, 0x20f);
    cr_assert_eq(bp(0x210) & 0xff, 0xff);
    cr_assert_eq(bp(0x1e0), (RAM >> 10) - 1024);
    cr_assert_eq(bp(0x1e8) & 0xff, 4);
    cr_assert_eq(bp(0x2d0), 0);
    cr_assert_eq(bp(0x2d8), 0x9fc00);
    cr_assert_eq(bp(0x2e0), 1);
    cr_assert_eq(bp(0x2d0 + 60), 0x100000);
    cr_assert_eq(bp(0x2d0 + 68), RAM - 0x100000);
    cr_assert_eq(bp(0x2d0 + 76), 1);
    cr_assert_eq(bp(4) | bp(0x1ec), 0); /* nothing but what is told: no setup code of the file */
}

Test(load_linux, fields_that_only_a_loader_may_set_are_cleared)
{
    put_u32(bz + 0x218, 0xdead0000);
    put_u32(bz + 0x21c, 0xdead);
    put_u32(bz + 0x228, 0xdead0000);
    put_u32(bz + 0x23c, 5);
    put_u32(bz + 0x250, 0xdead0000);
    put_u32(bz + 0x254, 1);
    cr_assert_eq(load_with(NULL, NULL), 0, "%s", w.err.text);
    cr_assert_eq(bp(0x218) | bp(0x21c) | bp(0x23c) | bp(0x250) | bp(0x254), 0);
    cr_assert_eq(world_u32(&w, bp(0x228)) & 0xff, 0); /* an empty line, not nonsense */
}

Test(load_linux, command_line_is_the_append_alone)
{
    char buf[64];

    cr_assert_eq(load_with("console=ttyS0 quiet", NULL), 0, "%s", w.err.text);
    cr_assert_str_eq(world_text(&w, bp(0x228), buf, sizeof buf), "console=ttyS0 quiet");
}

Test(load_linux, a_command_line_that_the_kernel_cannot_take_is_refused)
{
    static char line[300];

    put_u32(bz + 0x238, 255);
    memset(line, 'x', 255);
    cr_assert_eq(load_with(line, NULL), 0, "%s", w.err.text);
    line[255] = 'x';
    cr_assert_eq(load_with(line, NULL), -EINVAL);
    cr_assert(strstr(w.err.text, "this kernel takes 255"), "%s", w.err.text);
}

Test(load_linux, the_initrd_goes_high_below_the_limit_of_the_kernel)
{
    static uint8_t data[10000];
    char path[128];

    memset(data, 0xa7, sizeof data);
    strcpy(path, world_file(&w, "initrd", data, sizeof data));
    cr_assert_eq(load_with(NULL, path), 0, "%s", w.err.text);
    cr_assert_eq(bp(0x218), RAM - 3 * PAGE_SIZE);
    cr_assert_eq(bp(0x21c), sizeof data);
    cr_assert_eq(world_u32(&w, bp(0x218) + 9996), 0xa7a7a7a7);

    put_u32(bz + 0x22c, 0x2ffffff); /* 48 MiB - 1 */
    cr_assert_eq(load_with(NULL, path), 0, "%s", w.err.text);
    cr_assert_eq(bp(0x218), 0x3000000 - 3 * PAGE_SIZE);
    cr_assert(world_sound(&w));
}

Test(load_linux, an_initrd_that_does_not_fit_is_refused)
{
    char path[128];

    strcpy(path, world_file(&w, "initrd", "x", 1));
    cr_assert_eq(truncate(path, 40 << 20), 0);
    cr_expect_eq(load_with(NULL, path), -EINVAL);
    cr_expect(strstr(w.err.text, "does not fit"), "%s", w.err.text);
    cr_assert_eq(truncate(path, 8192), 0);
    put_u32(bz + 0x22c, 0x100fff);
    cr_expect_eq(load_with(NULL, path), -EINVAL);
    put_u32(bz + 0x22c, 0);
    cr_expect_eq(load_with(NULL, path), -EINVAL);
    put_u32(bz + 0x22c, 0x101fff);
    cr_expect_eq(load_with(NULL, path), 0, "%s", w.err.text);
}

Test(load_linux, one_initrd_without_arguments)
{
    const char *two[] = {"a", "b"};
    struct image_opts o = {
        .path = world_file(&w, "image", bz, sizeof bz), .modules = two, .module_count = 2};

    cr_expect_eq(world_load_opts(&w, &o), -EINVAL);
    cr_expect(strstr(w.err.text, "one -initrd"), "%s", w.err.text);
    cr_expect_eq(load_with(NULL, "file args"), -EINVAL);
    cr_expect(strstr(w.err.text, "no arguments"), "%s", w.err.text);
    cr_expect_eq(load_with(NULL, "/nonexistent"), -ENOENT);
}

Test(load_linux, each_field_of_the_setup_header_is_checked)
{
    static const struct attack attacks[] = {
        {0x1f1, 1, 7, -ENOEXEC, "setup_sects"},
        {0x1f1, 1, 255, -ENOEXEC, "setup_sects 255"},
        {0x1f1, 1, 4, -ENOEXEC, "syssize"},
        {0x1f1, 1, 0, -ENOEXEC, "syssize"}, /* 0 means 4 */
        {0x1f4, 4, CODE_LEN / 16 + 1, -ENOEXEC, "syssize"},
        {0x1f4, 4, 0xffffffff, -ENOEXEC, "syssize"},
        {0x1fe, 2, 0xaa54, -ENOEXEC, "not an image"},
        {0x202, 4, 0, -ENOEXEC, "an image with a boot sector"},
        {0x201, 1, 0, -ENOEXEC, "setup header ends"},
        {0x201, 1, 0x29, -ENOEXEC, "setup header ends"},
        {0x201, 1, 0xff, -ENOEXEC, "setup header ends"},
        {0x206, 2, 0x201, -EINVAL, "version 0x201"},
        {0x206, 2, 0, -EINVAL, "older than 2.02"},
        {0x211, 1, 0, -EINVAL, "zImage"},
        {0x214, 4, 0, -ENOEXEC, "code32_start 0"},
        {0x214, 4, 0xfffff, -ENOEXEC, "code32_start"},
        {0x214, 4, 0x100000 + CODE_LEN, -ENOEXEC, "code32_start"},
        {0x214, 4, 0xffffffff, -ENOEXEC, "code32_start"},
        {0x230, 4, 0, -ENOEXEC, "kernel_alignment"},
        {0x230, 4, 0x1001, -ENOEXEC, "kernel_alignment"},
        {0x230, 4, 0x80000000, -ENOEXEC, "pref_address"},
        {0x236, 2, 1, -ENOEXEC, "64-bit kernel"},
        {0x236, 2, 0xffff, -ENOEXEC, "64-bit kernel"},
        {0x248, 4, CODE_LEN - 999, -ENOEXEC, "payload_offset"},
        {0x248, 4, 0xffffffff, -ENOEXEC, "payload_offset"},
        {0x24c, 4, 0xffffffff, -ENOEXEC, "payload_length"},
        {0x258, 4, 0x1000001, -ENOEXEC, "pref_address"},
        {0x258, 4, RAM, -EINVAL, "does not lie in RAM"},
        {0x258, 4, 0xfffff000, -EINVAL, "does not lie in RAM"},
        {0x25c, 4, 1, -EINVAL, "does not lie in RAM"},
        {0x25c, 4, 0xffffffff, -EINVAL, "does not lie in RAM"},
        {0x260, 4, RAM - PREF + 1, -EINVAL, "give more RAM"},
        {0x260, 4, 0xffffffff, -EINVAL, "does not lie in RAM"},
        /* And what may be odd without harm. */
        {0x260, 4, 0, 0, ""},
        {0x1f4, 4, 0, 0, ""},
        {0x214, 4, 0x100000 + CODE_LEN - 1, 0, ""},
        {0x206, 2, 0xffff, 0, ""},
    };

    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        check_attack(&w, bz, sizeof bz, &attacks[i]);
}

Test(load_linux, truncated_anywhere_it_is_refused)
{
    for (size_t len = 15; len < sizeof bz; len += 16)
        cr_assert_neq(world_load(&w, bz, len < SETUP + CODE_LEN - 16 ? len : SETUP + CODE_LEN - 16),
                      0, "%zu bytes", len);
}

/* --- vmlinux --- */

static void make_vmlinux(void)
{
    sample_elf(&s);
    strcpy((char *)s.bytes + SAMPLE_DATA_OFF + 10, "Linux version 2.4.37 (root@host)");
    sample_phdr(&s, 0)->p_vaddr += 0xc0000000;
    sample_phdr(&s, 1)->p_vaddr += 0xc0000000;
}

Test(load_linux, a_vmlinux_is_known_by_its_banner_and_entered_directly)
{
    struct image_opts o = {.append = "quiet"};
    char buf[16];

    make_vmlinux();
    o.path = world_file(&w, "image", &s, sizeof s);
    cr_assert_eq(world_load_opts(&w, &o), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "Linux (vmlinux, ELF32)");
    cr_assert_eq(w.img.entry, SAMPLE_ENTRY);
    cr_assert_eq(w.img.cpu.seg[SEG_DS].sel, 0x18);
    cr_assert_eq(bp(0x202), 0x53726448);
    cr_assert_str_eq(world_text(&w, bp(0x228), buf, sizeof buf), "quiet");
    cr_assert(world_sound(&w));
}

Test(load_linux, a_spoiled_vmlinux_is_refused)
{
    static const struct attack attacks[] = {
        {18, 2, EM_X86_64, -ENOEXEC, "e_machine is 62"},
        {24, 4, 0, -ENOEXEC, "e_entry"},
        {EI_DATA, 1, 2, -ENOEXEC, "EI_DATA"},
    };

    make_vmlinux();
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        check_attack(&w, &s, sizeof s, &attacks[i]);
}

Test(load_linux, the_banner_is_found_where_a_read_is_cut_in_two)
{
    static uint8_t big[40000];

    for (size_t at = 16384 - 20; at < 16384 + 4; at++) {
        sample_elf((struct sample *)big);
        memset(big + sizeof(struct sample), 0, sizeof big - sizeof(struct sample));
        sample_phdr((struct sample *)big, 1)->p_filesz = 38000;
        sample_phdr((struct sample *)big, 1)->p_memsz = 38000;
        memcpy(big + SAMPLE_DATA_OFF + at, "Linux version ", 14);
        cr_assert_eq(world_load(&w, big, sizeof big), 0, "%s", w.err.text);
        cr_assert_str_eq(w.img.kind, "Linux (vmlinux, ELF32)", "at %zu", at);
    }
}
