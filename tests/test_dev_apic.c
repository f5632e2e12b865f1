/* Local and I/O APIC with the 8259s, as wired on a board: what the guest dev_apic cannot see from
 * inside, and random accesses. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/dev_pins.h"
#include "vmm/dev/apic.h"

static struct bus bus;
static struct mmio mmio;
static struct pic pic;
static struct apic apic;
static uint64_t now;
static struct pin intr;
static struct pin nmis;

static void make(bool present)
{
    bus_init(&bus);
    mmio_init(&mmio);
    now = nmis.rises = 0;
    intr.level = false;
    cr_assert_eq(pic_init(&pic, &bus, (struct line){apic_pic_intr, &apic, 0}), 0);
    cr_assert_eq(apic_init(&apic, &bus, &mmio, (struct clock){pin_clock, &now}, &pic,
                           (struct line){pin_drive, &intr, 0}, (struct line){pin_pulse, &nmis, 0},
                           present),
                 0);
}

static void fresh(void)
{
    make(true);
}

TestSuite(apic, .init = fresh);

static void set(uint32_t reg, uint32_t v)
{
    mmio_write(&mmio, LAPIC_BASE + reg, v, 4);
}
static uint32_t get(uint32_t reg)
{
    return mmio_read(&mmio, LAPIC_BASE + reg, 4);
}
static void route(unsigned pin, uint32_t low)
{
    mmio_write(&mmio, IOAPIC_BASE, 0x10 + 2 * pin, 4);
    mmio_write(&mmio, IOAPIC_BASE + 0x10, low, 4);
}

enum {
    EOI = 0xb0,
    TPR = 0x80,
    SVR = 0xf0,
    ICR = 0x300,
    TIMER = 0x320,
    LINT0 = 0x350,
    COUNT = 0x380,
    COUNTED = 0x390,
    DIVIDE = 0x3e0
};

Test(apic, without_apics_the_8259_has_the_pin)
{
    make(false);
    cr_assert_eq(get(0x30), UINT32_MAX);
    cr_assert_eq(bus_in(&bus, 0x22, 1), 0xffu);
    cr_assert(!apic_may_interrupt(&apic));
    bus_out(&bus, 0x21, 0xfd, 1);
    cr_assert(apic_may_interrupt(&apic));
    apic_irq(&apic, 1, true);
    cr_assert(intr.level);
    cr_assert_eq(apic_ack(&apic), 9);
    cr_assert(!intr.level);
    cr_assert_eq(apic_ack(&apic), -1);
    apic_set_base(&apic, 0);
    cr_assert_eq(apic_deadline(&apic), CLOCK_NEVER);
}

Test(apic, virtual_wire_until_lint0_is_masked)
{
    bus_out(&bus, 0x21, 0xfd, 1);
    apic_irq(&apic, 1, true);
    cr_assert(intr.level);
    set(LINT0, 0x10700);
    cr_assert(!intr.level && !apic_may_interrupt(&apic));
    set(LINT0, 0x700);
    cr_assert(intr.level);
    cr_assert_eq(apic_ack(&apic), 9);
}

Test(apic, the_imcr_takes_the_8259_past_the_apic)
{
    bus_out(&bus, 0x21, 0xfd, 1);
    set(LINT0, 0x10700);
    apic_irq(&apic, 1, true);
    cr_assert(!intr.level);
    bus_out(&bus, 0x22, 0x70, 1);
    cr_assert_eq(bus_in(&bus, 0x23, 1), 1u);
    bus_out(&bus, 0x23, 0, 1);
    cr_assert(intr.level);
    bus_out(&bus, 0x23, 1, 1);
    cr_assert(!intr.level);
}

Test(apic, input_0_of_the_io_apic_passes_the_8259_too)
{
    bus_out(&bus, 0x21, 0xfd, 1);
    set(LINT0, 0x10700);
    route(0, 0x700);
    apic_irq(&apic, 1, true);
    cr_assert(intr.level);
    cr_assert_eq(apic_ack(&apic), 9);
}

Test(apic, an_own_interrupt_comes_before_the_8259s)
{
    bus_out(&bus, 0x21, 0xfd, 1);
    apic_irq(&apic, 1, true);
    set(ICR, 0x40031);
    cr_assert_eq(apic_ack(&apic), 0x31);
    cr_assert_eq(apic_ack(&apic), 9);
    cr_assert_eq(apic_ack(&apic), -1);
}

Test(apic, timer_counts_by_its_divider)
{
    set(TIMER, 0x10031);
    set(DIVIDE, 3); /* by 16 */
    set(COUNT, 1000);
    now += 1600;
    cr_assert_eq(get(COUNTED), 900u);
    set(DIVIDE, 0xb); /* by 1, from here on */
    now += 100;
    cr_assert_eq(get(COUNTED), 800u);
    cr_assert_eq(apic_deadline(&apic), CLOCK_NEVER, "masked, nobody waits for it");
    set(TIMER, 0x31);
    cr_assert_eq(apic_deadline(&apic), now + 800);
    now += 800;
    apic_update(&apic);
    cr_assert(intr.level);
    cr_assert_eq(apic_ack(&apic), 0x31);
    cr_assert_eq(apic_deadline(&apic), CLOCK_NEVER);
}

Test(apic, periodic_timer_keeps_its_beat_and_is_no_storm)
{
    set(DIVIDE, 0xb);
    set(TIMER, 0x20031);
    set(COUNT, 100000);
    now += 350000; /* looked at late: one interrupt, and the beat goes on */
    apic_update(&apic);
    cr_assert_eq(apic_ack(&apic), 0x31);
    set(EOI, 0);
    cr_assert_eq(apic_deadline(&apic), 400000u);
    set(COUNT, 1);
    now += 1;
    apic_update(&apic);
    cr_assert_geq(apic_deadline(&apic), now + 10000);
    set(COUNT, UINT32_MAX);
    set(DIVIDE, 0xa); /* by 128 */
    cr_assert_eq(apic_deadline(&apic), now + (uint64_t)UINT32_MAX * 128);
}

Test(apic, level_is_asked_again_after_its_end_while_it_stands)
{
    route(5, 0x8045);
    apic_irq(&apic, 5, true);
    cr_assert_eq(apic_ack(&apic), 0x45);
    cr_assert(!intr.level);
    set(EOI, 0);
    cr_assert(intr.level);
    cr_assert_eq(apic_ack(&apic), 0x45);
    apic_irq(&apic, 5, false);
    set(EOI, 0);
    cr_assert(!intr.level);
}

Test(apic, a_halt_may_end_only_by_what_is_open)
{
    cr_assert(!apic_may_interrupt(&apic), "all masked");
    route(5, 0x45);
    cr_assert(apic_may_interrupt(&apic));
    set(TPR, 0xff);
    cr_assert(!apic_may_interrupt(&apic));
    set(TPR, 0);
    route(5, 0x10045);
    set(TIMER, 0x31);
    set(COUNT, 5);
    cr_assert(apic_may_interrupt(&apic));
    set(SVR, 0xff);
    cr_assert(!apic_may_interrupt(&apic));
}

Test(apic, nmis_by_icr_and_by_input)
{
    set(ICR, 0x40400);
    cr_assert_eq(nmis.rises, 1u);
    route(7, 0x400);
    apic_irq(&apic, 7, true);
    cr_assert_eq(nmis.rises, 2u);
}

Test(apic, registers_in_parts)
{
    set(0x350, 0x00018712);
    cr_assert_eq(mmio_read(&mmio, LAPIC_BASE + 0x351, 1), 0x87u);
    cr_assert_eq(mmio_read(&mmio, LAPIC_BASE + 0x352, 2), 1u);
    cr_assert_eq(mmio_read(&mmio, LAPIC_BASE + 0x354, 4), 0u);
    mmio_write(&mmio, LAPIC_BASE + 0x350, 0, 1);
    cr_assert_eq(get(0x350), 0x00018712u);
}

/* Whatever a guest does: no access leaves the device, the pin says what an acknowledge gives. */
Test(apic, random_accesses)
{
    unsigned seed = 3;
    for (unsigned i = 0; i < 500000; i++) {
        const unsigned r = (unsigned)rand_r(&seed), v = (unsigned)rand_r(&seed) ^ r << 16;
        const unsigned size = (r & 3) == 3 ? 1u << (r >> 2 & 1) : 4;
        now += v & 0xfff;
        switch (r >> 4 & 7) {
        case 0: apic_irq(&apic, r >> 8 & 15, v & 1); break;
        case 1: bus_out(&bus, (uint16_t)(0x20 + (r >> 8) % 4), v, 1); break;
        case 2: route((r >> 8) % 30, v); break;
        case 3: mmio_write(&mmio, IOAPIC_BASE + (r >> 8 & 0x1f), v, size); break;
        case 4: mmio_read(&mmio, LAPIC_BASE + (r >> 8 & 0xfff), size); break;
        case 5: apic_update(&apic); break;
        case 6:
            if (r >> 8 & 0xf0)
                set(r >> 8 & 0xff0, v);
            else
                apic_set_base(&apic, LAPIC_BASE | (v & 0x800));
            break;
        default: {
            const bool was = intr.level;
            const int vector = apic_ack(&apic);
            cr_assert(vector >= -1 && vector < 256);
            cr_assert_eq(was, vector >= 0);
        }
        }
        (void)apic_may_interrupt(&apic);
        (void)apic_deadline(&apic);
    }
}
