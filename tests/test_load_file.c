/* What may be named as an image: files of every kind, and flat binaries at an address. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/load_world.h"
#include "vmm/load/load.h"

static struct world w;

static void setup(void)
{
    world_open(&w, 4 << 20, 16 << 20);
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(load_file, .init = setup, .fini = teardown);

static int load_path(const char *path)
{
    return world_load_opts(&w, &(struct image_opts){.path = path});
}

Test(load_file, what_is_no_regular_file_is_refused, .timeout = 10)
{
    char fifo[100];

    cr_expect_eq(load_path("/nonexistent/image"), -ENOENT);
    cr_expect(strstr(w.err.text, "/nonexistent/image: cannot be opened"), "%s", w.err.text);
    cr_expect_eq(load_path(w.dir), -EISDIR);
    cr_expect(strstr(w.err.text, "directory"), "%s", w.err.text);
    cr_expect_eq(load_path("/dev/zero"), -EINVAL);
    cr_expect(strstr(w.err.text, "device"), "%s", w.err.text);
    snprintf(fifo, sizeof fifo, "%s/fifo", w.dir);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    cr_expect_eq(load_path(fifo), -EINVAL); /* and does not wait for a writer */
    cr_expect(strstr(w.err.text, "FIFO"), "%s", w.err.text);
    cr_expect_eq(load_path(""), -ENOENT);
}

Test(load_file, empty_and_huge_files_are_refused)
{
    char path[128];

    strcpy(path, world_file(&w, "f", "", 0));
    cr_expect_eq(load_path(path), -ENOEXEC);
    cr_expect(strstr(w.err.text, "empty"), "%s", w.err.text);
    cr_assert_eq(truncate(path, ((off_t)1 << 32) + 1), 0);
    cr_expect_eq(load_path(path), -EFBIG);
    cr_expect(strstr(w.err.text, "4294967297 bytes"), "%s", w.err.text);
}

Test(load_file, unknown_content_is_told_what_to_do)
{
    cr_assert_eq(world_load(&w, "#!/bin/sh\n", 10), -ENOEXEC);
    cr_assert(strstr(w.err.text, "--flat"), "%s", w.err.text);
}

Test(load_file, a_file_of_another_kind_is_told_where_it_belongs)
{
    static uint8_t data[0x9000];
    static const struct {
        size_t at;
        const char *magic, *what, *remedy;
    } kinds[] = {
        {0, "\x1f\x8b", "gzip", "gunzip"},           {0, "\xfd\x37zXZ", "xz", "unxz"},
        {0, "!<arch>\n", "archive", "dpkg -x"},      {0, "QFI\xfb", "qcow2", "qemu-img"},
        {64, "\x7f\x10\xda\xbe", "VDI", "qemu-img"}, {0x8001, "CD001", "CD-ROM", "-cdrom"},
        {510, "\x55\xaa", "boot sector", "-hda"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        memset(data, 0, sizeof data);
        memcpy(data + kinds[i].at, kinds[i].magic, strlen(kinds[i].magic));
        cr_assert_eq(world_load(&w, data, sizeof data), -ENOEXEC);
        cr_expect(strstr(w.err.text, kinds[i].what), "%s", w.err.text);
        cr_expect(strstr(w.err.text, kinds[i].remedy), "%s", w.err.text);
    }
    /* A boot sector's mark needs a whole sector. */
    cr_assert_eq(world_load(&w, data, 511), -ENOEXEC);
    cr_expect(strstr(w.err.text, "--flat"), "%s", w.err.text);
}

Test(load_file, a_file_that_shrinks_meanwhile_is_an_error)
{
    static const char data[40000] = {1};
    const char *path = world_file(&w, "f", data, sizeof data);
    struct load_file f;

    cr_assert_eq(load_file_open(&f, path, 1 << 20, &w.err), 0);
    cr_assert_eq(truncate(path, 20000), 0);
    cr_assert_eq(load_file_copy(&f, 0, f.size, &w.g, 0x100000, &w.err), -EIO);
    cr_assert(strstr(w.err.text, "shorter"), "%s", w.err.text);
    load_file_close(&f);
}

Test(load_file, a_long_path_leaves_room_for_the_message)
{
    char path[300];

    memset(path, 'd', sizeof path);
    strcpy(path + 280, "/the-end");
    cr_assert_lt(load_path(path), 0);
    cr_assert(strstr(w.err.text, "/the-end: cannot"), "%s", w.err.text);
}

Test(load_file, no_message_wanted_is_fine)
{
    cr_assert_eq(image_load(&w.g, &(struct image_opts){.path = "/nonexistent"}, &w.img, NULL),
                 -ENOENT);
}

static int load_flat_at(const void *data, size_t len, gpa_t at)
{
    return world_load_opts(&w, &(struct image_opts){.path = world_file(&w, "flat", data, len),
                                                    .flat = true,
                                                    .flat_addr = at});
}

Test(load_file, flat_binary_is_entered_at_its_first_byte)
{
    cr_assert_eq(load_flat_at("\xfa\xf4", 2, IMAGE_FLAT_DEFAULT), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "flat binary");
    cr_assert_eq(w.img.cpu.eip, 0x100000);
    cr_assert_eq(w.img.cpu.gpr[R_ESP], 0x9fc00);
    cr_assert_eq(world_u32(&w, 0x100000), 0xf4fa);
    cr_assert_eq(w.img.range_count, 1);
}

Test(load_file, flat_takes_an_elf_as_bytes)
{
    struct sample s;

    sample_elf(&s);
    cr_assert_eq(load_flat_at(&s, sizeof s, 0x7c00), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, 0x7c00);
    cr_assert_eq(world_u32(&w, 0x7c00), 0x464c457f);
}

Test(load_file, flat_stays_inside_ram)
{
    static const struct {
        gpa_t at;
        int code;
    } cases[] = {
        {0, 0},
        {0xf0000, 0},
        {(4 << 20) - 8, 0},
        {(4 << 20) - 7, -EINVAL},
        {4 << 20, -EINVAL},
        {0xffffffff, -EINVAL},
        {(gpa_t)1 << 32, -EINVAL},
        {UINT64_MAX, -EINVAL},
        {UINT64_MAX - 7, -EINVAL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(load_flat_at("12345678", 8, cases[i].at), cases[i].code, "at %#llx: %s",
                     (unsigned long long)cases[i].at, w.err.text);
}

Test(load_file, flat_takes_no_command_line)
{
    struct image_opts o = {
        .path = world_file(&w, "flat", "\xf4", 1), .flat = true, .append = "quiet"};
    cr_assert_eq(world_load_opts(&w, &o), -EINVAL);
}

Test(load_file, memory_map_of_small_machines_never_names_what_is_not_there)
{
    static const uint64_t sizes[] = {0x1000, 0x80000, 0x9fc00, 0xa0000, 0x100000, 0x101000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct image img = {0};
        place_memory_map(&img, sizes[i]);
        for (unsigned j = 0; j < img.map_count; j++)
            if (img.map[j].type == IMAGE_MEM_RAM)
                cr_expect_leq(img.map[j].start + img.map[j].bytes, sizes[i]);
    }
}

Test(load_file, places_are_found_around_what_is_claimed)
{
    struct loading l = {.g = &w.g, .out = &w.img, .err = &w.err};
    gpa_t at;

    memset(&w.img, 0, sizeof w.img);
    place_memory_map(&w.img, w.g.bytes);
    cr_assert_eq(place_claim(&l, 0x101000, 0x1000, "a"), 0);
    cr_assert_eq(place_claim(&l, 0x103000, 0x1000, "b"), 0);
    cr_assert(place_find(&w.img, 0x100000, 4 << 20, 0x1000, 4096, &at));
    cr_assert_eq(at, 0x100000);
    cr_assert(place_find(&w.img, 0x100001, 4 << 20, 0x1000, 4096, &at));
    cr_assert_eq(at, 0x102000);
    cr_assert(place_find(&w.img, 0x100000, 4 << 20, 0x1001, 4096, &at));
    cr_assert_eq(at, 0x104000);
    cr_assert(!place_find(&w.img, 0x100000, 4 << 20, 4 << 20, 4096, &at));
    cr_assert(!place_find(&w.img, 0x100000, 0x104fff, 0x1001, 4096, &at));
    cr_assert_eq(place_above(&w.img), 0x104000);
    cr_assert_eq(place_claim(&l, 0x102fff, 2, "c"), -ENOEXEC);
    cr_assert_eq(place_claim(&l, UINT64_MAX, 2, "d"), -EINVAL);
    cr_assert_eq(place_claim(&l, 0x200000, UINT64_MAX, "e"), -EINVAL);
}
