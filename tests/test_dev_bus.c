/* The port-I/O bus and the exit port: who answers, and how wide accesses are split. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/bus_probe.h"
#include "vmm/dev/exitport.h"

static uint32_t probe_in(void *ctx, uint16_t port, unsigned size)
{
    struct probe *p = ctx;
    return probe_get(p, port - p->first, size);
}

static void probe_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct probe *p = ctx;
    probe_put(p, port - p->first, val, size);
}

static struct bus bus;

static int claim(struct probe *p, uint16_t first, uint16_t last, uint8_t sizes)
{
    p->first = first;
    return bus_claim(&bus, &(struct bus_range){.name = "probe",
                                               .first = first,
                                               .last = last,
                                               .sizes = sizes,
                                               .in = probe_in,
                                               .out = probe_out,
                                               .ctx = p});
}

static void fresh_bus(void)
{
    bus_init(&bus);
}

TestSuite(bus, .init = fresh_bus);

Test(bus, unclaimed_port_reads_all_ones_and_ignores_writes)
{
    bus_out(&bus, 0x1234, 0, 4);
    cr_assert_eq(bus_in(&bus, 0x1234, 1), 0xffu);
    cr_assert_eq(bus_in(&bus, 0x1234, 2), 0xffffu);
    cr_assert_eq(bus_in(&bus, 0x1234, 4), 0xffffffffu);
}

Test(bus, wide_access_to_byte_device_is_split_low_port_first)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0x100, 0x107, 1), 0);
    bus_out(&bus, 0x102, 0x44332211, 4);
    cr_assert_eq(p.writes, 4u);
    cr_assert_eq(p.last_val, 0x44u);
    cr_assert_eq(p.reg[2], 0x11);
    cr_assert_eq(p.reg[5], 0x44);
    cr_assert_eq(bus_in(&bus, 0x102, 4), 0x44332211u);
    cr_assert_eq(bus_in(&bus, 0x103, 2), 0x3322u);
}

Test(bus, wide_access_reaches_wide_device_whole)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0x100, 0x107, 1 | 2 | 4), 0);
    bus_out(&bus, 0x104, 0xdeadbeef, 4);
    cr_assert_eq(p.writes, 1u);
    cr_assert_eq(p.last_size, 4u);
    bus_out(&bus, 0x100, 0xffff1234, 2);
    cr_assert_eq(p.last_val, 0x1234u, "bits above the size must not reach the device");
}

Test(bus, access_over_a_ranges_end_is_split_and_the_rest_floats)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0x100, 0x101, 1 | 2 | 4), 0);
    bus_out(&bus, 0x100, 0x44332211, 4);
    cr_assert_eq(p.writes, 1u);
    cr_assert_eq(p.last_size, 2u);
    cr_assert_eq(bus_in(&bus, 0x100, 4), 0xffff2211u);
    cr_assert_eq(bus_in(&bus, 0x101, 4), 0xffffff22u);
    cr_assert_eq(bus_in(&bus, 0xff, 2), 0x11ffu);
}

Test(bus, access_wraps_at_the_last_port)
{
    struct probe hi = {0}, lo = {0};
    cr_assert_eq(claim(&hi, 0xffff, 0xffff, 1), 0);
    cr_assert_eq(claim(&lo, 0x0000, 0x0000, 1), 0);
    bus_out(&bus, 0xffff, 0xbbaa, 2);
    cr_assert_eq(hi.reg[0], 0xaa);
    cr_assert_eq(lo.reg[0], 0xbb);
}

Test(bus, overlapping_claim_is_refused_whole)
{
    struct probe a = {0}, b = {0};
    cr_assert_eq(claim(&a, 0x100, 0x107, 1), 0);
    cr_assert_eq(claim(&b, 0x0fe, 0x100, 1), -EEXIST);
    cr_assert_eq(claim(&b, 0x107, 0x108, 1), -EEXIST);
    cr_assert_eq(bus_in(&bus, 0xfe, 1), 0xffu);
    cr_assert_eq(b.reads, 0u);
    cr_assert_str_eq(bus_port_name(&bus, 0x107), "probe");
    cr_assert_null(bus_port_name(&bus, 0x108));
}

Test(bus, malformed_and_surplus_claims_are_refused)
{
    struct probe p = {0};
    cr_assert_eq(claim(&p, 0x101, 0x100, 1), -EINVAL);
    cr_assert_eq(claim(&p, 0x100, 0x101, 8), -EINVAL);
    for (unsigned i = 0; i < BUS_RANGES_MAX; i++)
        cr_assert_eq(claim(&p, (uint16_t)(0x1000 + i), (uint16_t)(0x1000 + i), 1), 0);
    cr_assert_eq(claim(&p, 0x2000, 0x2000, 1), -ENOSPC);
}

Test(bus, range_without_callbacks_floats)
{
    cr_assert_eq(
        bus_claim(&bus,
                  &(struct bus_range){.name = "mute", .first = 0x80, .last = 0x80, .sizes = 7}),
        0);
    bus_out(&bus, 0x80, 0, 1);
    cr_assert_eq(bus_in(&bus, 0x80, 1), 0xffu);
    cr_assert_eq(bus_in(&bus, 0x80, 4), 0xffffffffu);
}

static int stopped;
static void on_stop(void *ctx, int status)
{
    *(int *)ctx = status;
}

Test(bus, exit_port_gives_odd_status_of_eight_bits)
{
    struct exitport e;
    const struct {
        uint32_t val;
        unsigned size;
        int status;
    } cases[] = {{0, 1, 1},      {0x10, 1, 33},  {0x31, 1, 99},
                 {0x7f, 4, 255}, {0xff, 1, 255}, {0x80, 2, 1}};
    cr_assert_eq(exitport_init(&e, &bus, (struct vm_stop){on_stop, &stopped}), 0);
    cr_assert_eq(bus_in(&bus, 0xf4, 4), 0u);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stopped = -1;
        bus_out(&bus, 0xf4, cases[i].val, cases[i].size);
        cr_assert_eq(stopped, cases[i].status, "value %#x gave %d", cases[i].val, stopped);
    }
}
