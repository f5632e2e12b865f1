/* The MMIO bus: who answers, how accesses are split, what moves. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/bus_probe.h"
#include "vmm/dev/mmio.h"

static uint32_t probe_read(void *ctx, uint32_t off, unsigned size)
{
    return probe_get(ctx, off, size);
}

static void probe_write(void *ctx, uint32_t off, uint32_t val, unsigned size)
{
    probe_put(ctx, off, val, size);
}

static struct mmio bus;

static int claim(struct probe *p, gpa_t first, gpa_t last, uint8_t sizes)
{
    return mmio_claim(&bus, &(struct mmio_range){.name = "probe",
                                                 .first = first,
                                                 .last = last,
                                                 .sizes = sizes,
                                                 .read = probe_read,
                                                 .write = probe_write,
                                                 .ctx = p});
}

static void fresh(void)
{
    mmio_init(&bus);
}

TestSuite(mmio, .init = fresh);

Test(mmio, unclaimed_address_reads_all_ones_and_ignores_writes)
{
    mmio_write(&bus, 0xfee00000, 0, 4);
    cr_assert_eq(mmio_read(&bus, 0xfee00000, 1), 0xffu);
    cr_assert_eq(mmio_read(&bus, 0xfee00000, 2), 0xffffu);
    cr_assert_eq(mmio_read(&bus, 0xfee00000, 4), 0xffffffffu);
    cr_assert_eq(mmio_read(&bus, 0xffffffff, 4), 0xffffffffu, "beyond 4 GiB nobody answers");
}

Test(mmio, device_sees_the_offset_and_only_the_bits_of_the_size)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0xa0000, 0xa000f, 7), 0);
    mmio_write(&bus, 0xa0004, 0xffff1234, 2);
    cr_assert_eq(p.last_off, 4u);
    cr_assert_eq(p.last_val, 0x1234u);
    mmio_write(&bus, 0xa0008, 0xdeadbeef, 4);
    cr_assert_eq(p.writes, 2u);
    cr_assert_eq(mmio_read(&bus, 0xa0008, 4), 0xdeadbeefu);
    cr_assert_eq(p.last_size, 4u);
}

Test(mmio, wide_access_to_a_narrow_device_is_split_lowest_first)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0xa0000, 0xa000f, 1), 0);
    mmio_write(&bus, 0xa0002, 0x44332211, 4);
    cr_assert_eq(p.writes, 4u);
    cr_assert_eq(p.last_off, 5u);
    cr_assert_eq(p.reg[2], 0x11);
    cr_assert_eq(mmio_read(&bus, 0xa0002, 4), 0x44332211u);
}

Test(mmio, access_that_is_not_aligned_is_split)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0xa0000, 0xa000f, 7), 0);
    mmio_write(&bus, 0xa0001, 0x44332211, 4);
    cr_assert_eq(p.last_size, 1u);
    cr_assert_eq(p.writes, 4u, "two halves at odd addresses are two bytes each");
    cr_assert_eq(mmio_read(&bus, 0xa0001, 4), 0x44332211u);
    p.writes = 0;
    mmio_write(&bus, 0xa0006, 0x88776655, 4);
    cr_assert_eq(p.writes, 2u);
    cr_assert_eq(p.last_size, 2u);
}

Test(mmio, access_over_a_ranges_end_reaches_both_neighbours_or_floats)
{
    struct probe a = {0}, b = {0};
    cr_assert_eq(claim(&a, 0x1000, 0x1001, 7), 0);
    cr_assert_eq(claim(&b, 0x1002, 0x1002, 7), 1);
    mmio_write(&bus, 0x1000, 0x44332211, 4);
    cr_assert_eq(a.reg[1], 0x22);
    cr_assert_eq(b.reg[0], 0x33);
    cr_assert_eq(mmio_read(&bus, 0x1000, 4), 0xff332211u);
}

Test(mmio, bad_and_surplus_claims_are_refused)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0x1001, 0x1000, 1), -EINVAL);
    cr_assert_eq(claim(&p, 0x1000, 0x1000, 8), -EINVAL);
    cr_assert_eq(claim(&p, 0xffffffff, 0x100000000, 1), -EINVAL);
    cr_assert_eq(claim(&p, 0x1000, 0x1fff, 1), 0);
    cr_assert_eq(claim(&p, 0x1fff, 0x2000, 1), -EEXIST);
    cr_assert_eq(claim(&p, 0x0, 0xffffffff, 1), -EEXIST);
    for (unsigned i = 1; i < MMIO_RANGES_MAX; i++)
        cr_assert_eq(claim(&p, 0x10000 + i, 0x10000 + i, 1), (int)i);
    cr_assert_eq(claim(&p, 0x20000, 0x20000, 1), -ENOSPC);
}

Test(mmio, range_moves_and_wins_where_it_was_claimed_later)
{
    struct probe a = {0}, b = {0};
    cr_assert_eq(claim(&a, 0x1000, 0x100f, 7), 0);
    cr_assert_eq(claim(&b, 0x2000, 0x200f, 7), 1);
    cr_assert_eq(mmio_move(&bus, 1, 0x1008), 0);
    mmio_write(&bus, 0x1008, 1, 1);
    cr_assert_eq(b.reg[0], 1);
    cr_assert_eq(mmio_read(&bus, 0x2000, 1), 0xffu);
    cr_assert_eq(mmio_move(&bus, 1, 0xfffffff0), 0);
    cr_assert_eq(mmio_find(&bus, 0xffffffff), &bus.range[1]);
    cr_assert_eq(mmio_move(&bus, 1, 0xfffffff1), -EINVAL);
    cr_assert_eq(mmio_find(&bus, 0xfffffff0), &bus.range[1], "it stays where it was");
}

Test(mmio, range_without_callbacks_floats)
{
    cr_assert_eq(
        mmio_claim(&bus, &(struct mmio_range){.name = "mute", .first = 0, .last = 7, .sizes = 7}),
        0);
    mmio_write(&bus, 0, 0, 4);
    cr_assert_eq(mmio_read(&bus, 0, 2), 0xffffu);
}
