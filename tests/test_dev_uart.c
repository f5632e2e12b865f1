/* The 16550A as its data sheet has it, seen through the bus as a driver sees it. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/dev_pins.h"
#include "vmm/dev/uart.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

static struct bus bus;
static struct uart uart;
static struct chardev_mem line;
static struct pin irq;

static uint8_t rd(unsigned reg)
{
    return (uint8_t)bus_in(&bus, (uint16_t)(UART_COM1 + reg), 1);
}
static void wr(unsigned reg, uint8_t val)
{
    bus_out(&bus, (uint16_t)(UART_COM1 + reg), val, 1);
}

static void power_on(const char *input)
{
    irq.level = false;
    irq.rises = 0;
    bus_init(&bus);
    chardev_mem_init(&line, input, strlen(input));
    cr_assert_eq(
        uart_init(&uart, &bus, UART_COM1, &line.c, (struct line){pin_drive, &irq, 4}, "com1"), 0);
}

static void start(void)
{
    power_on("");
}
static void finish(void)
{
    chardev_close(&line.c);
}
TestSuite(uart, .init = start, .fini = finish);

Test(uart, registers_after_reset)
{
    cr_assert_eq(rd(IER), 0);
    cr_assert_eq(rd(IIR), 0x01);
    cr_assert_eq(rd(LCR), 0);
    cr_assert_eq(rd(MCR), 0);
    cr_assert_eq(rd(LSR), 0x60);
    cr_assert_eq(rd(MSR), 0xb0, "connected: DCD, DSR, CTS");
}

Test(uart, transmitted_bytes_come_out_in_order)
{
    for (const char *s = "hello\n"; *s; s++) {
        cr_assert(rd(LSR) & 0x20);
        wr(DATA, (uint8_t)*s);
    }
    cr_assert_eq(line.out_len, 6u);
    cr_assert_eq(memcmp(line.out, "hello\n", 6), 0);
}

Test(uart, scratch_and_reserved_bits)
{
    wr(SCR, 0xa5);
    cr_assert_eq(rd(SCR), 0xa5);
    wr(IER, 0xff);
    cr_assert_eq(rd(IER), 0x0f);
    wr(MCR, 0xff);
    cr_assert_eq(rd(MCR), 0x1f);
    wr(LSR, 0);
    cr_assert_eq(rd(LSR) & 0x60, 0x60);
}

Test(uart, divisor_latch_hides_data_and_ier)
{
    wr(IER, 0x05);
    wr(LCR, 0x83);
    wr(DATA, 0x34);
    wr(IER, 0x12);
    cr_assert_eq(rd(DATA), 0x34);
    cr_assert_eq(rd(IER), 0x12);
    cr_assert_eq(line.out_len, 0u, "a divisor byte is not data");
    wr(LCR, 0x03);
    cr_assert_eq(rd(IER), 0x05);
    cr_assert_eq(uart.divisor, 0x1234);
}

Test(uart, sixteen_bit_write_sets_the_whole_divisor)
{
    wr(LCR, 0x83);
    bus_out(&bus, UART_COM1, 0x0102, 2);
    cr_assert_eq(uart.divisor, 0x0102);
}

Test(uart, fifo_is_reported_only_when_enabled)
{
    cr_assert_eq(rd(IIR) & 0xc0, 0);
    wr(FCR, 0x01);
    cr_assert_eq(rd(IIR) & 0xc0, 0xc0);
    wr(FCR, 0xc0);
    cr_assert_eq(rd(IIR) & 0xc0, 0, "bit 0 clear turns the FIFOs off");
}

Test(uart, received_bytes_wait_on_the_line_until_there_is_room)
{
    power_on("abcdefghijklmnopqrstuvwxyz");
    wr(FCR, 0x01);
    for (int c = 'a'; c <= 'z'; c++) {
        cr_assert(rd(LSR) & 0x01);
        cr_assert_eq(rd(DATA), c);
    }
    cr_assert_eq(rd(LSR) & 0x03, 0, "neither data nor overrun");
}

Test(uart, data_interrupt_needs_trigger_level_and_timeout_covers_the_rest)
{
    power_on("abcde");
    wr(FCR, 0x41); /* trigger at 4; before all else, for it clears the FIFO */
    wr(MCR, 0x08);
    wr(IER, 0x01);
    uart_poll(&uart);
    cr_assert(irq.level);
    cr_assert_eq(rd(IIR), 0xc4);
    rd(DATA);
    rd(DATA);
    cr_assert_eq(rd(IIR), 0xcc, "three bytes left, below the trigger: character time-out");
    rd(DATA);
    rd(DATA);
    cr_assert(irq.level);
    rd(DATA);
    cr_assert(!irq.level);
    cr_assert_eq(rd(IIR), 0xc1);
}

Test(uart, interrupts_reach_the_bus_whatever_out2_is)
{
    wr(IER, 0x02);
    cr_assert(irq.level);
    wr(MCR, 0x08);
    cr_assert(irq.level);
    wr(MCR, 0x00);
    cr_assert(irq.level);
    cr_assert_eq(irq.rises, 1u);
}

Test(uart, transmitter_interrupt_on_enable_cleared_by_iir_and_raised_by_each_byte)
{
    wr(MCR, 0x08);
    wr(IER, 0x02);
    cr_assert(irq.level);
    cr_assert_eq(rd(IIR), 0x02);
    cr_assert_not(irq.level, "reading IIR takes it back");
    cr_assert_eq(rd(IIR), 0x01);
    wr(DATA, 'x');
    cr_assert(irq.level);
    wr(DATA, 'y');
    cr_assert(irq.level);
    cr_assert_eq(irq.rises, 3u, "each byte makes an edge, even when IIR was not read between");
    wr(IER, 0x00);
    cr_assert_not(irq.level);
    wr(IER, 0x02);
    cr_assert(irq.level, "enabling it again while empty raises it again");
}

Test(uart, stuck_line_fills_the_transmitter_and_clears_thre)
{
    wr(FCR, 0x01);
    line.stuck = true;
    for (int i = 0; i < 16; i++)
        wr(DATA, (uint8_t)('a' + i));
    cr_assert_eq(rd(LSR) & 0x60, 0);
    cr_assert(uart_busy(&uart));
    line.stuck = false;
    cr_assert_eq(rd(LSR) & 0x60, 0x60);
    cr_assert_eq(line.out_len, 16u);
    cr_assert_eq(memcmp(line.out, "abcdefghijklmnop", 16), 0);
    cr_assert_not(uart_busy(&uart));
}

Test(uart, clearing_the_transmit_fifo_drops_its_bytes)
{
    wr(FCR, 0x01);
    line.stuck = true;
    wr(DATA, 'a');
    wr(DATA, 'b');
    wr(FCR, 0x05);
    line.stuck = false;
    cr_assert_eq(rd(LSR) & 0x60, 0x60);
    cr_assert_eq(line.out_len, 0u);
}

Test(uart, loopback_returns_data_and_sends_none)
{
    wr(MCR, 0x10);
    wr(DATA, 0x5a);
    cr_assert_eq(rd(LSR) & 0x01, 1);
    cr_assert_eq(rd(DATA), 0x5a);
    cr_assert_eq(line.out_len, 0u);
}

Test(uart, loopback_disconnects_the_line)
{
    power_on("q");
    wr(MCR, 0x10);
    cr_assert_eq(rd(LSR) & 0x01, 0);
    wr(MCR, 0x00);
    cr_assert_eq(rd(LSR) & 0x01, 1);
    cr_assert_eq(rd(DATA), 'q');
}

Test(uart, loopback_overrun_keeps_new_byte_without_fifo_and_old_with_it)
{
    wr(MCR, 0x10);
    wr(DATA, 1);
    wr(DATA, 2);
    cr_assert_eq(rd(LSR) & 0x03, 0x03);
    cr_assert_eq(rd(LSR) & 0x02, 0, "reading LSR clears the overrun");
    cr_assert_eq(rd(DATA), 2);
    wr(FCR, 0x01);
    for (int i = 0; i < 17; i++)
        wr(DATA, (uint8_t)i);
    cr_assert(rd(LSR) & 0x02);
    for (int i = 0; i < 16; i++)
        cr_assert_eq(rd(DATA), i);
    cr_assert_eq(rd(LSR) & 0x01, 0);
}

Test(uart, loopback_wires_modem_outputs_to_inputs_with_deltas)
{
    wr(MCR, 0x10);
    cr_assert_eq(rd(MSR), 0x0b, "CTS, DSR, DCD fell; RI did not move");
    cr_assert_eq(rd(MSR), 0x00, "reading clears the deltas");
    const struct {
        uint8_t mcr, msr;
    } wires[] = {{0x02, 0x10 | 0x01}, {0x01, 0x20 | 0x02}, {0x08, 0x80 | 0x08}, {0x04, 0x40}};
    for (size_t i = 0; i < 4; i++) {
        wr(MCR, 0x10 | wires[i].mcr);
        cr_assert_eq(rd(MSR), wires[i].msr, "MCR %#x", wires[i].mcr);
        wr(MCR, 0x10);
        uint8_t falling = wires[i].mcr == 0x04 ? 0x04 : wires[i].msr & 0x0f;
        cr_assert_eq(rd(MSR), falling, "RI's delta is its trailing edge; the others' are both");
    }
}

Test(uart, loopback_modem_change_interrupts_until_msr_is_read)
{
    wr(IER, 0x08);
    wr(MCR, 0x10);
    cr_assert_eq(rd(IIR), 0x00);
    rd(MSR);
    cr_assert_eq(rd(IIR), 0x01);
}

Test(uart, loopback_break_is_a_zero_byte_with_its_flag)
{
    wr(FCR, 0x01);
    wr(MCR, 0x10);
    wr(DATA, 'a');
    wr(LCR, 0x40);
    cr_assert_eq(rd(LSR) & 0x91, 0x81, "an error waits in the FIFO, not at its head yet");
    cr_assert_eq(rd(DATA), 'a');
    cr_assert_eq(rd(LSR) & 0x91, 0x91);
    cr_assert_eq(rd(LSR) & 0x91, 0x01, "reading LSR clears it");
    cr_assert_eq(rd(DATA), 0);
}

Test(uart, interrupts_have_the_data_sheets_priorities)
{
    wr(IER, 0x0f);
    wr(MCR, 0x10);
    wr(DATA, 1);
    wr(DATA, 2);
    cr_assert_eq(rd(IIR), 0x06, "line status first");
    rd(LSR);
    cr_assert_eq(rd(IIR), 0x04, "then received data");
    rd(DATA);
    cr_assert_eq(rd(IIR), 0x02, "then transmitter empty");
    cr_assert_eq(rd(IIR), 0x00, "then modem status");
    rd(MSR);
    cr_assert_eq(rd(IIR), 0x01);
}

Test(uart, without_a_line_it_swallows_and_never_receives)
{
    struct uart u;
    struct bus b;
    bus_init(&b);
    cr_assert_eq(uart_init(&u, &b, UART_COM1, NULL, (struct line){0}, "com1"), 0);
    bus_out(&b, UART_COM1, 'x', 1);
    cr_assert_eq(bus_in(&b, UART_COM1 + LSR, 1), 0x60u);
}
