/* Images in real mode: what goes where by each old protocol, and what is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/load_world.h"
#include "vmm/load/real.h"

#define RAM      (16u << 20)
#define SECTS    3u
#define SETUP    ((SECTS + 1) * 512u)
#define CODE_LEN 2008u
#define SIZE     (SETUP + CODE_LEN)
#define KEPT     (512u << 10) /* by the BIOS */

static struct world w;
static uint8_t image[SIZE];
static struct real_image r;
static struct errmsg err;

static void put16(uint32_t off, uint32_t v)
{
    image[off] = (uint8_t)v;
    image[off + 1] = (uint8_t)(v >> 8);
}

static uint32_t get32(uint32_t off)
{
    uint32_t v;
    memcpy(&v, r.setup.bytes + off, 4);
    return v;
}

static uint32_t get16(uint32_t off)
{
    return get32(off) & 0xffff;
}

/* One of protocol 2.07, loaded high, without 32-bit entry. */
static void make(void)
{
    for (unsigned i = 0; i < SIZE; i++)
        image[i] = i < SETUP ? 0 : (uint8_t)(i * 3 + 1);
    image[0x1f1] = SECTS;
    put_u32(image + 0x1f4, (CODE_LEN + 15) / 16);
    put16(0x1fe, 0xaa55);
    memcpy(image + 0x202, "HdrS", 4);
    put16(0x206, 0x207);
    image[0x211] = 1;
    put_u32(image + 0x22c, 0x37ffffff);
    put_u32(image + 0x238, 255);
}

static void setup(void)
{
    world_open(&w, 1 << 20, 1 << 20);
    make();
    err.text[0] = '\0';
}

static void teardown(void)
{
    real_free(&r);
    world_close(&w);
}

TestSuite(load_real, .init = setup, .fini = teardown);

static const char *path(void)
{
    return world_file(&w, "image", image, SIZE);
}

static int load(const char *append, const char *initrd, uint64_t ram)
{
    const char *modules[] = {initrd};
    const struct image_opts o = {
        .path = path(), .append = append, .modules = modules, .module_count = initrd != NULL};
    real_free(&r);
    return real_load(&o, ram, &r, &err);
}

Test(load_real, a_bzimage_goes_above_1_mib)
{
    uint8_t initrd[5000];
    memset(initrd, 0x77, sizeof initrd);
    cr_assert_eq(load("some words", world_file(&w, "initrd", initrd, sizeof initrd), RAM), 0, "%s",
                 err.text);
    cr_assert_str_eq(r.kind, "Linux (bzImage, protocol 2.07), in real mode");
    cr_assert_eq(r.setup.addr, 0x10000);
    cr_assert_eq(r.setup.len, SETUP);
    cr_assert_eq(r.kernel.addr, 0x100000);
    cr_assert_eq(r.kernel.len, CODE_LEN);
    cr_assert_arr_eq(r.kernel.bytes, image + SETUP, CODE_LEN);
    cr_assert_eq(r.cmdline.addr, 0x20000);
    cr_assert_str_eq((char *)r.cmdline.bytes, "some words");
    cr_assert_eq(get32(0x228), 0x20000);
    cr_assert_eq(r.setup.bytes[0x210], 0xff);
    cr_assert_eq(r.setup.bytes[0x211], 0x81);
    cr_assert_eq(get16(0x224), 0x10000 - 0x1000 - 0x200);
    cr_assert_eq(r.initrd.addr, RAM - KEPT - 0x2000);
    cr_assert_eq(r.initrd.len, sizeof initrd);
    cr_assert_eq(get32(0x218), r.initrd.addr);
    cr_assert_eq(get32(0x21c), sizeof initrd);
}

Test(load_real, a_zimage_goes_below_1_mib)
{
    image[0x211] = 0;
    cr_assert_eq(load("words", NULL, RAM), 0, "%s", err.text);
    cr_assert_str_eq(r.kind, "Linux (zImage, protocol 2.07), in real mode");
    cr_assert_eq(r.kernel.addr, 0x10000);
    cr_assert_eq(r.setup.addr, 0x90000);
    cr_assert_eq(r.cmdline.addr, 0x9a000 - 16);
    cr_assert_eq(get32(0x228), r.cmdline.addr);
    cr_assert_eq(get32(0x218), 0);
}

Test(load_real, before_2_02_the_command_line_has_a_mark_of_its_own)
{
    put16(0x206, 0x201);
    cr_assert_eq(load("0123456789abcde", NULL, RAM), 0, "%s", err.text);
    cr_assert_eq(r.setup.addr, 0x90000);
    cr_assert_eq(r.kernel.addr, 0x100000);
    cr_assert_eq(r.cmdline.addr, 0x9a000 - 16, "a terminator still fits");
    cr_assert_eq(get16(0x20), 0xa33f);
    cr_assert_eq(get16(0x22), 0xa000 - 16);
    cr_assert_eq(get32(0x228), 0);
    cr_assert_eq(load("0123456789abcdef", NULL, RAM), 0);
    cr_assert_eq(r.cmdline.addr, 0x9a000 - 32);
}

Test(load_real, before_2_01_there_is_no_heap_and_before_2_00_no_header)
{
    put16(0x206, 0x200);
    cr_assert_eq(load(NULL, NULL, RAM), 0, "%s", err.text);
    cr_assert_eq(r.setup.bytes[0x211], 1);
    cr_assert_eq(get16(0x224), 0);
    memset(image + 0x202, 0x90, 6);
    cr_assert_eq(load(NULL, NULL, RAM), 0, "%s", err.text);
    cr_assert_str_eq(r.kind, "Linux (zImage, before protocol 2.00), in real mode");
    cr_assert_eq(r.setup.bytes[0x210], 0);
    cr_assert_eq(r.kernel.addr, 0x10000);
    image[0x1f1] = 0; /* stands for 4 */
    put_u32(image + 0x1f4, (SIZE - 5 * 512 + 15) / 16);
    cr_assert_eq(load(NULL, NULL, RAM), 0, "%s", err.text);
    cr_assert_eq(r.setup.len, 5 * 512);
}

Test(load_real, a_video_mode_on_the_command_line_goes_to_the_header)
{
    static const struct {
        const char *append;
        uint32_t mode;
    } cases[] = {
        {NULL, 0xabcd},
        {"", 0xabcd},
        {"vga=", 0xabcd},
        {"vga=none", 0xabcd},
        {"vga=normal", 0xffff},
        {"quiet vga=ext", 0xfffe},
        {"vga=ask quiet", 0xfffd},
        {"vga=0x0f01", 0x0f01},
        {"vga=791", 791},
        {"vga=1 vga=2", 2},
        {"vga=0x10000", 0xabcd},
        {"vga=-1", 0xabcd},
        {"novga=3", 0xabcd},
        {"vga=3x", 0xabcd},
        {"vga=extra", 0xabcd},
        {"vga= 5", 0xabcd},
        {"vga=vga=7", 0xabcd},
        {"vga=4 novga=5", 4},
    };
    put16(0x1fa, 0xabcd);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(load(cases[i].append, NULL, RAM), 0, "%s", err.text);
        cr_assert_eq(get16(0x1fa), cases[i].mode, "%s: %#x", cases[i].append, get16(0x1fa));
    }
}

Test(load_real, an_initrd_keeps_to_what_the_kernel_says)
{
    const char *initrd = world_file(&w, "initrd", "x", 1);
    put_u32(image + 0x22c, 0x7fffff);
    cr_assert_eq(load(NULL, initrd, RAM), 0, "%s", err.text);
    cr_assert_eq(r.initrd.addr, 0x7ff000);
    put_u32(image + 0x22c, 0xffffffff);
    cr_assert_eq(load(NULL, initrd, RAM), 0, "%s", err.text);
    cr_assert_eq(r.initrd.addr, RAM - KEPT - 0x1000);
    put16(0x206, 0x20a);
    put_u32(image + 0x260, RAM - (1 << 20) - KEPT - 0xfff); /* unpacked it is that large */
    cr_assert_eq(load(NULL, initrd, RAM), -EINVAL);
    cr_assert_not_null(strstr(err.text, "does not fit below"));
}

Test(load_real, what_is_wanted_in_real_mode)
{
    cr_assert(real_wanted(path()), "no 32-bit entry");
    put_u32(image + 0x214, 0x100000);
    cr_assert_not(real_wanted(path()));
    put16(0x206, 0x203);
    cr_assert(real_wanted(path()), "older than the 32-bit entry");
    put16(0x206, 0x204);
    cr_assert_not(real_wanted(path()));
    image[0x211] = 0;
    cr_assert(real_wanted(path()), "a zImage");
    memset(image + 0x202, 0, 4);
    cr_assert(real_wanted(path()), "before 2.00");
    put_u32(image + 0x1f4, CODE_LEN / 16 + 2);
    cr_assert_not(real_wanted(path()), "a boot sector of something else");
    put_u32(image + 0x1f4, (CODE_LEN + 15) / 16);
    image[0x1fe] = 0;
    cr_assert_not(real_wanted(path()));
    cr_assert_not(real_wanted("/nonexistent/image"));
    cr_assert_not(real_wanted("/tmp"));
    cr_assert_not(real_wanted(world_file(&w, "image", image, 100)));
}

Test(load_real, what_is_refused)
{
    static const struct {
        uint32_t off, value;
        unsigned bytes;
        uint64_t ram;
        int code;
        const char *says;
    } bad[] = {
        {0x1fe, 0, 2, RAM, -EINVAL, "no entry in real mode"},
        {0x1f1, 200, 1, RAM, -ENOEXEC, "leaves no kernel"},
        {0x211, 1, 1, 1 << 20, -EINVAL, "RAM above 1 MiB"},
        {0x211, 1, 1, 1 << 19, -EINVAL, "RAM above 1 MiB"},
        {0x211, 0, 1, 1 << 19, -EINVAL, "low memory"},
        {0x206, 0x0001020c, 4, RAM, -ENOEXEC, "64-bit"},
        {0x238, 3, 4, RAM, -EINVAL, "this kernel takes 3"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        make();
        for (unsigned b = 0; b < bad[i].bytes; b++)
            image[bad[i].off + b] = (uint8_t)(bad[i].value >> 8 * b);
        if (strcmp(bad[i].says, "64-bit") == 0)
            image[0x236] = 1;
        cr_assert_eq(load("abcd", NULL, bad[i].ram), bad[i].code, "%zu: %s", i, err.text);
        cr_assert_not_null(strstr(err.text, bad[i].says), "%zu: %s", i, err.text);
        cr_assert_null(r.setup.bytes, "nothing is left behind");
    }
    make();
    cr_assert_eq(load(NULL, "/nonexistent/initrd", RAM), -ENOENT);
    cr_assert_eq(load(NULL, "a b", RAM), -EINVAL);
    put16(0x206, 0x1ff);
    cr_assert_eq(load(NULL, path(), RAM), -EINVAL);
    cr_assert_not_null(strstr(err.text, "no -initrd"));
}

Test(load_real, setup_code_leaves_room_for_a_stack)
{
    static uint8_t large[200 * 512];
    memcpy(large, image, SIZE);
    large[0x1f1] = 0x76; /* (0x76 + 1) * 512 = 0xee00 */
    real_free(&r);
    const struct image_opts o = {.path = world_file(&w, "large", large, sizeof large)};
    cr_assert_eq(real_load(&o, RAM, &r, &err), 0, "%s", err.text);
    large[0x1f1] = 0x78; /* 0xf200, of 0x10000 */
    real_free(&r);
    const struct image_opts o2 = {.path = world_file(&w, "large", large, sizeof large)};
    cr_assert_eq(real_load(&o2, RAM, &r, &err), -ENOEXEC);
    cr_assert_not_null(strstr(err.text, "has no room"));
}

Test(load_real, the_rom_sums_to_zero_and_has_a_boot_entry)
{
    uint8_t rom[REAL_ROM_SIZE], sum = 0, pnp_sum = 0;
    real_rom(rom);
    cr_assert_eq(rom[0], 0x55);
    cr_assert_eq(rom[1], 0xaa);
    cr_assert_eq(rom[2] * 512u, REAL_ROM_SIZE);
    for (unsigned i = 0; i < sizeof rom; i++)
        sum = (uint8_t)(sum + rom[i]);
    cr_assert_eq(sum, 0);
    const uint8_t *pnp = rom + rom[0x1a];
    cr_assert_arr_eq(pnp, "$PnP", 4);
    for (unsigned i = 0; i < 32; i++)
        pnp_sum = (uint8_t)(pnp_sum + pnp[i]);
    cr_assert_eq(pnp_sum, 0);
    cr_assert_neq(pnp[0x1a] | pnp[0x1b] << 8, 0, "a boot entry");
}
