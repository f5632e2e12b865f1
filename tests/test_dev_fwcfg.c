/* fw_cfg: items and files by its ports, and by requests in the guest's memory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/dev/fwcfg_dma.h"

enum { MEMORY = 64 << 10, REQUEST = 0x100 };
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

static struct bus bus;
static struct fwcfg f;
static struct fwcfg_dma dma;
static uint8_t memory[MEMORY];

static int mem_read(void *ctx, uint64_t at, void *buf, size_t len)
{
    (void)ctx;
    if (at > MEMORY || len > MEMORY - at)
        return -EFAULT;
    memcpy(buf, memory + at, len);
    return 0;
}

static int mem_write(void *ctx, uint64_t at, const void *buf, size_t len)
{
    (void)ctx;
    if (at > MEMORY || len > MEMORY - at)
        return -EFAULT;
    memcpy(memory + at, buf, len);
    return 0;
}

static void fresh(void)
{
    bus_init(&bus);
    memset(memory, 0xee, sizeof memory);
    cr_assert_eq(fwcfg_init(&f, &bus), 0);
    cr_assert_eq(fwcfg_dma_init(&dma, &f, &bus, mem_read, mem_write, NULL), 0);
}

static void done(void)
{
    fwcfg_destroy(&f);
}

TestSuite(fwcfg, .init = fresh, .fini = done);

static uint8_t next(void)
{
    return (uint8_t)bus_in(&bus, 0x511, 1);
}

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t swapped(uint32_t v)
{
    uint8_t b[4];
    uint32_t out;
    put32(b, v);
    memcpy(&out, b, 4);
    return out;
}

/* Make a request; its control field afterwards. */
static uint32_t request(uint32_t control, uint32_t len, uint64_t to)
{
    uint8_t *r = memory + REQUEST;
    put32(r, control);
    put32(r + 4, len);
    put32(r + 8, (uint32_t)(to >> 32));
    put32(r + 12, (uint32_t)to);
    bus_out(&bus, 0x514, 0, 4);
    bus_out(&bus, 0x518, swapped(REQUEST), 4);
    return (uint32_t)r[0] << 24 | (uint32_t)r[1] << 16 | (uint32_t)r[2] << 8 | r[3];
}

Test(fwcfg, an_item_is_read_byte_by_byte_and_zeros_follow)
{
    cr_assert_eq(fwcfg_add(&f, 0x30, "abc", 3), 0);
    bus_out(&bus, 0x510, 0x30, 2);
    cr_assert_eq(next(), 'a');
    cr_assert_eq(next(), 'b');
    cr_assert_eq(next(), 'c');
    cr_assert_eq(next(), 0);
    cr_assert_eq(next(), 0);
    bus_out(&bus, 0x510, 0x30, 2);
    cr_assert_eq(next(), 'a', "it begins anew");
    bus_out(&bus, 0x510, 0x31, 2);
    cr_assert_eq(next(), 0, "there is no such item");
}

Test(fwcfg, it_says_what_it_is)
{
    static const char sign[] = "QEMU";
    bus_out(&bus, 0x510, FWCFG_SIGNATURE, 2);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(next(), sign[i]);
    bus_out(&bus, 0x510, FWCFG_ID, 2);
    cr_assert_eq(next(), FWCFG_ID_TRADITIONAL | FWCFG_ID_DMA);
    cr_assert_eq(bus_in(&bus, 0x514, 4), 'Q' | 'E' << 8 | 'M' << 16 | 'U' << 24);
    cr_assert_eq(bus_in(&bus, 0x518, 4), ' ' | 'C' << 8 | 'F' << 16 | 'G' << 24);
}

Test(fwcfg, files_are_listed)
{
    uint8_t list[4 + 2 * 64];
    cr_assert_eq(fwcfg_add_file(&f, "one", "x", 1), 0);
    cr_assert_eq(fwcfg_add_file(&f, "etc/two", "yz", 2), 0);
    cr_assert_eq(request(FWCFG_DIRECTORY << 16 | SELECT | READ, sizeof list, 0x1000), 0);
    memcpy(list, memory + 0x1000, sizeof list);
    cr_assert_eq(list[3], 2);
    cr_assert_eq(list[4 + 3], 1);
    cr_assert_eq(list[4 + 5], FWCFG_FIRST_FILE);
    cr_assert_str_eq((char *)list + 4 + 8, "one");
    cr_assert_eq(list[68 + 3], 2);
    cr_assert_eq(list[68 + 5], FWCFG_FIRST_FILE + 1);
    cr_assert_str_eq((char *)list + 68 + 8, "etc/two");
    cr_assert_eq(
        fwcfg_add_file(&f, "a name of far more characters than fit, fifty-six at most", "", 0),
        -EINVAL);
}

Test(fwcfg, a_request_reads_selects_and_skips)
{
    static const char text[] = "0123456789";
    cr_assert_eq(fwcfg_lend(&f, 0x30, text, 10), 0);
    cr_assert_eq(request(0x30 << 16 | SELECT | READ, 4, 0x1000), 0);
    cr_assert_arr_eq(memory + 0x1000, "0123", 4);
    cr_assert_eq(memory[0x1004], 0xee);
    cr_assert_eq(request(SKIP, 2, 0), 0);
    cr_assert_eq(next(), '6', "ports and requests share the place");
    cr_assert_eq(request(READ, 6, 0x2000), 0);
    cr_assert_arr_eq(memory + 0x2000, "789\0\0\0", 6, "zeros follow");
    cr_assert_eq(request(0x30 << 16 | SELECT, 0, 0), 0);
    cr_assert_eq(next(), '0');
    cr_assert_eq(request(SKIP, UINT32_MAX, 0), 0);
    cr_assert_eq(request(SKIP, UINT32_MAX, 0), 0);
    cr_assert_eq(next(), 0);
}

Test(fwcfg, a_request_longer_than_the_buffer_inside_is_whole)
{
    static uint8_t big[20000];
    for (unsigned i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7 + i / 256);
    cr_assert_eq(fwcfg_lend(&f, 0x30, big, sizeof big), 0);
    cr_assert_eq(request(0x30 << 16 | SELECT | READ, sizeof big, 0x1000), 0);
    cr_assert_arr_eq(memory + 0x1000, big, sizeof big);
}

Test(fwcfg, what_cannot_be_done_is_an_error)
{
    cr_assert_eq(fwcfg_add(&f, 0x30, "abc", 3), 0);
    cr_assert_eq(request(0x30 << 16 | SELECT | WRITE, 3, 0x1000), ERROR, "items are read-only");
    cr_assert_eq(request(0x30 << 16 | SELECT | READ, 3, MEMORY - 2), ERROR);
    cr_assert_eq(request(0x30 << 16 | SELECT | READ, 3, UINT64_MAX - 1), ERROR, "it wraps");
    cr_assert_eq(request(0x30 << 16 | SELECT | READ, UINT32_MAX, 0x1000), ERROR);
}

Test(fwcfg, a_request_nowhere_does_nothing)
{
    uint8_t before[MEMORY];
    memcpy(before, memory, sizeof before);
    bus_out(&bus, 0x514, 0, 4);
    bus_out(&bus, 0x518, swapped(MEMORY - 8), 4);
    bus_out(&bus, 0x514, swapped(1), 4);
    bus_out(&bus, 0x518, swapped(REQUEST), 4); /* 4 GiB above */
    bus_out(&bus, 0x518, 0x1234, 2);           /* not the register's width */
    cr_assert_arr_eq(memory, before, sizeof before);
    /* The upper half is 0 again for the next one. */
    put32(memory + REQUEST, SKIP);
    bus_out(&bus, 0x518, swapped(REQUEST), 4);
    cr_assert_arr_eq(memory + REQUEST, "\0\0\0\0", 4);
}

Test(fwcfg, items_are_not_endless)
{
    int rc = 0;
    for (unsigned i = 0; i <= FWCFG_ITEMS && !rc; i++)
        rc = fwcfg_add(&f, (uint16_t)(0x40 + i), "", 0);
    cr_assert_eq(rc, -ENOSPC);
}
