/* The Multiboot 2 loader: its tags both ways, and each in an attacker's hands. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/load_world.h"

static struct world w;
static struct sample s;
static uint8_t *const hdr = s.bytes + SAMPLE_MB_OFF;

static void setup(void)
{
    world_open(&w, 16 << 20, 32 << 20);
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(load_multiboot2, .init = setup, .fini = teardown);

/* The sample with a header of these words of tags; the end tag is added. */
static void make(const uint32_t *words, unsigned n)
{
    uint32_t len = 16 + 4 * n + 8;

    sample_elf(&s);
    put_u32(hdr, 0xe85250d6);
    put_u32(hdr + 4, 0);
    put_u32(hdr + 8, len);
    put_u32(hdr + 12, 0u - 0xe85250d6u - len);
    for (unsigned i = 0; i < n; i++)
        put_u32(hdr + 16 + 4 * i, words[i]);
    put_u32(hdr + 16 + 4 * n, 0);
    put_u32(hdr + 20 + 4 * n, 8);
}

#define MAKE(...)                                                                                  \
    make((uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static int load(void)
{
    return world_load(&w, &s, sizeof s);
}

/* Address of the n-th information tag of a type; 0 if there is none. */
static uint32_t tag(uint32_t type, unsigned n)
{
    uint32_t at = w.img.cpu.gpr[R_EBX], end = at + world_u32(&w, at);

    for (at += 8; at < end; at += (world_u32(&w, at + 4) + 7) & ~7u)
        if (world_u32(&w, at) == type && n-- == 0)
            return at;
    return 0;
}

Test(load_multiboot2, an_elf_with_a_header_is_recognised)
{
    make(NULL, 0);
    cr_assert_eq(load(), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "Multiboot 2 (ELF32)");
    cr_assert_eq(w.img.cpu.gpr[R_EAX], 0x36d76289);
    cr_assert_eq(w.img.cpu.gpr[R_EBX] % 8, 0);
    cr_assert_eq(w.img.cpu.eip, SAMPLE_ENTRY);
    cr_assert(world_sound(&w));
}

Test(load_multiboot2, information_tells_command_line_memory_and_modules)
{
    char m1[200], m2[200], buf[200];
    const char *modules[] = {m1, m2};
    struct image_opts o = {.append = "a b", .modules = modules, .module_count = 2};
    uint32_t t;

    make(NULL, 0);
    o.path = world_file(&w, "image", &s, sizeof s);
    snprintf(m1, sizeof m1, "%s one", world_file(&w, "m1", "first", 5));
    snprintf(m2, sizeof m2, "%s", world_file(&w, "m2", "second", 6));
    cr_assert_eq(world_load_opts(&w, &o), 0, "%s", w.err.text);

    cr_assert_str_eq(world_text(&w, tag(1, 0) + 8, buf, sizeof buf), "a b");
    cr_assert_str_eq(world_text(&w, tag(2, 0) + 8, buf, sizeof buf), "Umbra");
    t = tag(3, 0);
    cr_assert_str_eq(world_text(&w, t + 16, buf, sizeof buf), m1);
    cr_assert_eq(world_u32(&w, t + 12) - world_u32(&w, t + 8), 5);
    cr_assert_eq(world_u32(&w, world_u32(&w, t + 8)), 'f' | 'i' << 8 | 'r' << 16 | 's' << 24);
    t = tag(3, 1);
    cr_assert_str_eq(world_text(&w, t + 16, buf, sizeof buf), m2);
    cr_assert_eq(world_u32(&w, t + 8) & PAGE_MASK, 0);
    t = tag(4, 0);
    cr_assert_eq(world_u32(&w, t + 8), 639);
    cr_assert_eq(world_u32(&w, t + 12), 15 * 1024);
    t = tag(6, 0);
    cr_assert_eq(world_u32(&w, t + 4), 16 + 4 * 24);
    cr_assert_eq(world_u32(&w, t + 8), 24);
    cr_assert_eq(world_u32(&w, t + 16 + 3 * 24), 0x100000);
    cr_assert_eq(world_u32(&w, t + 16 + 3 * 24 + 8), 15 << 20);
    cr_assert_eq(world_u32(&w, t + 16 + 3 * 24 + 16), 1);
    t = tag(8, 0);
    cr_assert_eq(world_u32(&w, t + 4), 32);
    cr_assert_eq(world_u32(&w, t + 8), 0xb8000);
    cr_assert_eq(world_u32(&w, t + 16), 160);
    cr_assert_eq(world_u32(&w, t + 20), 80);
    cr_assert_eq(world_u32(&w, t + 24), 25);
    cr_assert_eq(world_u32(&w, t + 28), 0x0210, "16 bits for a character; EGA text");
    t = tag(21, 0);
    cr_assert_eq(world_u32(&w, t + 4), 12);
    cr_assert_eq(world_u32(&w, t + 8), SAMPLE_TEXT, "the image's lowest address");
    cr_assert_neq(tag(0, 0), 0);
    cr_assert_eq(world_u32(&w, tag(0, 0) + 4), 8);
}

Test(load_multiboot2, entry_tag_wins_over_the_elf)
{
    MAKE(3, 12, SAMPLE_TEXT + 0x40, 0);
    cr_assert_eq(load(), 0, "%s", w.err.text);
    cr_assert_eq(w.img.entry, SAMPLE_TEXT + 0x40);
    MAKE(3, 12, SAMPLE_DATA, 0);
    cr_assert_eq(load(), -ENOEXEC);
    cr_assert(strstr(w.err.text, "entry_addr"), "%s", w.err.text);
}

Test(load_multiboot2, address_tag_loads_a_file_that_is_no_elf)
{
    MAKE(2, 24, 0x300000 + SAMPLE_MB_OFF, 0x300000, 0x300400, 0x301000, 3, 12, 0x300200, 0);
    memset(s.bytes, 0, 4);
    cr_assert_eq(load(), 0, "%s", w.err.text);
    cr_assert_str_eq(w.img.kind, "Multiboot 2 (address tag)");
    cr_assert_eq(w.img.entry, 0x300200);
    cr_assert_eq(w.img.ranges[0].start, 0x300000);
    cr_assert_eq(w.img.ranges[0].bytes, 0x1000);
    cr_assert_eq(world_u32(&w, 0x300000 + SAMPLE_MB_OFF), 0xe85250d6);

    /* load_addr of all ones: from the file's start. */
    MAKE(2, 24, 0x300000 + SAMPLE_MB_OFF, 0xffffffff, 0, 0, 3, 12, 0x300200, 0);
    cr_assert_eq(load(), 0, "%s", w.err.text);
    cr_assert_eq(w.img.ranges[0].start, 0x300000);
    cr_assert_eq(w.img.ranges[0].bytes, sizeof s);
}

Test(load_multiboot2, each_address_is_checked)
{
    static const struct {
        uint32_t header, load, end, bss, entry;
        int code;
        const char *says;
    } cases[] = {
        {0x300000, 0x300001, 0, 0, 0x300000, -ENOEXEC, "load_addr"},
        {0x300101, 0x300000, 0, 0, 0x300000, -ENOEXEC, "load_addr"},
        {0xff, 0xffffffff, 0, 0, 0x10, -ENOEXEC, "load_addr"},
        {0x300100, 0x300000, 0x300000, 0, 0x300000, -ENOEXEC, "load_end_addr"},
        {0x300100, 0x300000, 0xffffffff, 0, 0x300000, -ENOEXEC, "load_end_addr"},
        {0x300100, 0x300000, 0x300400, 0x300300, 0x300000, -ENOEXEC, "bss_end_addr"},
        {0x300100, 0x300000, 0x300400, 0xffffffff, 0x300000, -EINVAL, "does not lie in RAM"},
        {0x300100, 0x300000, 0x300400, 0, 0x300400, -ENOEXEC, "entry_addr"},
        {0x300100, 0x300000, 0x300400, 0, 0x2fffff, -ENOEXEC, "entry_addr"},
        {0xffffff00, 0xfffffe00, 0, 0, 0xfffffe00, -ENOEXEC, "load_addr"},
        {0xffffff80, 0xffffff00, 0, 0, 0xffffff00, -ENOEXEC, "wraps"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        MAKE(2, 24, cases[i].header, cases[i].load, cases[i].end, cases[i].bss, 3, 12,
             cases[i].entry, 0);
        cr_expect_eq(load(), cases[i].code, "case %zu: %s", i, w.err.text);
        cr_expect(strstr(w.err.text, cases[i].says), "case %zu: %s", i, w.err.text);
    }
    MAKE(2, 24, 0x300100, 0x300000, 0, 0);
    cr_expect_eq(load(), -ENOEXEC);
    cr_expect(strstr(w.err.text, "no entry address tag"), "%s", w.err.text);
}

Test(load_multiboot2, demands_are_met_or_refused)
{
    static const struct {
        uint32_t words[6];
        unsigned n;
        int code;
    } cases[] = {
        {{1, 24, 1, 3, 4, 6}, 6, 0},              /* information that is there */
        {{1, 16, 8, 21}, 4, 0},                   /* the screen, the image's address */
        {{1, 12, 7, 0}, 4, -EINVAL},              /* VBE information */
        {{1 | 1 << 16, 12, 7, 0}, 4, 0},          /* ... optional */
        {{4, 12, 1, 0}, 4, -EINVAL},              /* a console must be there, and no text */
        {{4, 12, 3, 0}, 4, 0},                    /* ... or text */
        {{4, 12, 2, 0}, 4, 0},                    /* text is understood */
        {{5, 20, 80, 25, 0, 0}, 6, 0},            /* a framebuffer: it gets text */
        {{5 | 1 << 16, 20, 80, 25, 0}, 6, 0},     /* ... optional */
        {{6, 8}, 2, 0},                           /* modules page-aligned */
        {{10, 24, 0, 0xffffffff, 4096, 0}, 6, 0}, /* relocatable */
        {{99, 8}, 2, -EINVAL},                    /* unknown */
        {{99 | 1 << 16, 8}, 2, 0},                /* ... optional */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(cases[i].words, cases[i].n);
        cr_expect_eq(load(), cases[i].code, "case %zu: %s", i, w.err.text);
        if (cases[i].code)
            cr_expect(strstr(w.err.text, "optional"), "%s", w.err.text);
    }
}

Test(load_multiboot2, each_header_field_is_checked)
{
    static const struct {
        uint32_t off, value;
        const char *says;
    } cases[] = {
        {4, 4, "architecture is 4"},
        {8, 16, "header_length"},
        {8, 0, "header_length"},
        {8, 0x8000, "header_length"},
        {8, 0xffffffff, "header_length"},
        {8, 0xfffffff8, "header_length"},
        {8, 24, "has size 0xc"},
        {20, 0, "has size 0"},
        {20, 7, "has size 0x7"},
        {20, 8, "needs 12"},
        {20, 0xffffffff, "has size 0xffffffff"},
        {20, 25, "has size"},
        {20, 24, "no end tag"},
        {36, 0, "has size 0"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        MAKE(3, 12, SAMPLE_ENTRY, 0);
        put_u32(hdr + cases[i].off, cases[i].value);
        put_u32(hdr + 12, 0u - 0xe85250d6u - *(uint32_t *)(hdr + 4) - *(uint32_t *)(hdr + 8));
        cr_expect_eq(load(), -ENOEXEC, "case %zu: %s", i, w.err.text);
        cr_expect(strstr(w.err.text, cases[i].says), "case %zu: %s", i, w.err.text);
    }
}

Test(load_multiboot2, truncated_anywhere_it_is_refused)
{
    MAKE(3, 12, SAMPLE_ENTRY, 0);
    for (size_t len = 1; len < sizeof s; len++)
        cr_assert_neq(world_load(&w, &s, len), 0, "%zu bytes", len);
}

Test(load_multiboot2, without_an_elf_it_needs_an_address_tag)
{
    make(NULL, 0);
    memset(s.bytes, 0, 4);
    cr_assert_eq(load(), -ENOEXEC);
    cr_assert(strstr(w.err.text, "no ELF"), "%s", w.err.text);
}
